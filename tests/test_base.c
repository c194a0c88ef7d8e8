/* SPDX-License-Identifier: MIT */
/*
 * lib/base against models that are too simple to be wrong. The seed of every random run is printed;
 * ASPACE_SEED=N repeats it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/interval_tree.h"
#include "base/range_index.h"
#include "base/slab.h"
#include "base/xarray.h"

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t below(uint64_t n)
{
	return next_random() % n;
}

static void start_random(const char *what)
{
	const char *given = getenv("ASPACE_SEED");

	seed = given ? strtoull(given, NULL, 0) : 88172645463325252ull;
	print_message("%s: seed %llu\n", what, (unsigned long long)seed);
}

/* ---- slab --------------------------------------------------------------------------------------- */

static void test_slab(void **state)
{
	struct alloc_domain domain;
	struct kmem_cache *cache;
	static unsigned char *object[5000];

	alloc_domain_init(&domain, NULL, NULL, NULL);
	cache = kmem_cache_create(&domain, "test", 100, 0);
	assert_non_null(cache);
	start_random("slab");
	for (int turn = 0; turn < 100000; turn++) {
		unsigned int i = below(5000);

		if (object[i]) {
			for (int b = 0; b < 100; b++)
				assert_int_equal(object[i][b], i % 251);
			kmem_cache_free(cache, object[i]);
			object[i] = NULL;
		} else {
			object[i] = kmem_cache_alloc(cache);
			assert_non_null(object[i]);
			assert_int_equal((uintptr_t)object[i] % 64, 0);
			memset(object[i], i % 251, 100);
		}
	}
	for (int i = 0; i < 5000; i++)
		kmem_cache_free(cache, object[i]);
	assert_int_equal(cache->in_use, 0);
	assert_true(cache->slabs <= 1);

	/* The third allocation from now fails, then all go well. */
	atomic_store(&domain.fail_at, 3);
	object[0] = kmem_cache_alloc(cache);
	object[1] = kmem_cache_alloc(cache);
	object[2] = kmem_cache_alloc(cache);
	object[3] = kmem_cache_alloc(cache);
	assert_non_null(object[0]);
	assert_non_null(object[1]);
	assert_null(object[2]);
	assert_non_null(object[3]);
	kmem_cache_free(cache, object[0]);
	kmem_cache_free(cache, object[1]);
	assert_int_equal(kmem_cache_destroy(cache), 1);
	assert_int_equal(atomic_load(&domain.bytes), 0);
}

/* ---- xarray --------------------------------------------------------------------------------------- */

#define XA_SPACE 4000u

static uint64_t spread(uint64_t i)	/* neighbours, and far apart up to the last index */
{
	return i < XA_SPACE / 2 ? i : i < XA_SPACE - 1 ? (i - XA_SPACE / 2 + 1) << 40 : UINT64_MAX;
}

static void test_xarray(void **state)
{
	static char *entry[XA_SPACE];
	static bool mark[XA_SPACE];
	struct alloc_domain domain;
	struct kmem_cache *cache;
	struct xarray xa;
	unsigned int failed = 0;

	alloc_domain_init(&domain, NULL, NULL, NULL);
	cache = kmem_cache_create(&domain, "xa_node", sizeof(struct xa_node), 0);
	xa_init(&xa, cache);
	start_random("xarray");
	memset(entry, 0, sizeof(entry));
	memset(mark, 0, sizeof(mark));
	for (int turn = 0; turn < 60000; turn++) {
		unsigned int i = below(XA_SPACE), j;
		uint64_t at = spread(i), last;
		void *found;

		switch (below(6)) {
		case 0:
		case 1:
			if (below(10) == 0)
				atomic_store(&domain.fail_at, 1 + below(3));
			if (xa_store(&xa, at, &entry[i]) == 0)
				entry[i] = (char *)&entry[i];
			else
				failed++;
			atomic_store(&domain.fail_at, 0);
			break;
		case 2:
			assert_ptr_equal(xa_erase(&xa, at), entry[i]);
			entry[i] = NULL;
			mark[i] = false;
			break;
		case 3:
			xa_set_mark(&xa, at, XA_MARK_0);
			mark[i] = entry[i] != NULL;
			break;
		case 4:
			xa_clear_mark(&xa, at, XA_MARK_0);
			mark[i] = false;
			break;
		default: {
			bool marked = below(2);
			unsigned int end = below(XA_SPACE);

			last = spread(end);
			for (j = i; j <= end && !(entry[j] && (!marked || mark[j])); j++)
				;
			found = xa_find(&xa, &at, last, marked ? XA_MARK_0 : XA_ANY);
			if (i > end || j > end) {
				assert_null(found);
			} else {
				assert_ptr_equal(found, entry[j]);
				assert_int_equal(at, spread(j));
			}
		}
		}
		assert_ptr_equal(xa_load(&xa, spread(i)), entry[i]);
		assert_int_equal(xa_get_mark(&xa, spread(i), XA_MARK_0), mark[i]);
	}
	assert_true(failed > 10);
	xa_destroy(&xa);
	assert_int_equal(kmem_cache_destroy(cache), 0);
}

/* ---- interval tree ---------------------------------------------------------------------------------- */

static void test_interval_tree(void **state)
{
	static struct interval_tree_node node[300];
	static bool in[300];
	struct rb_root root = RB_ROOT;

	start_random("interval tree");
	memset(in, 0, sizeof(in));
	for (int turn = 0; turn < 30000; turn++) {
		unsigned int i = below(300), found = 0, expected = 0;
		uint64_t start = below(1000), last = start + below(50);
		struct interval_tree_node *it;

		if (in[i]) {
			interval_tree_remove(&node[i], &root);
		} else {
			node[i].start = below(1000);
			node[i].last = node[i].start + below(40);
			interval_tree_insert(&node[i], &root);
		}
		in[i] = !in[i];
		assert_true(rb_check(&root));
		interval_tree_for_each(it, &root, start, last) {
			assert_true(it->start <= last && it->last >= start);
			found++;
		}
		for (int k = 0; k < 300; k++)
			expected += in[k] && node[k].start <= last && node[k].last >= start;
		assert_int_equal(found, expected);
	}
}

/* ---- range index -------------------------------------------------------------------------------------- */

#define SPACE 2048	/* units; the model is one byte a unit */

struct indexed {
	struct range_node node;	/* first */
	bool used;
};
static struct indexed range[SPACE];
static struct range_node *unit[SPACE];

static void fill_model(struct range_node *node, struct range_node *with)
{
	for (unsigned long u = node->start; u < node->end; u++)
		unit[u] = with;
}

static void check_queries(struct range_index *index)
{
	unsigned long addr = below(SPACE), lo = below(SPACE), hi = lo + below(SPACE - lo + 1), size = 1 + below(40);
	unsigned long at, u = addr, free = 0, lowest = SPACE, highest = SPACE;
	struct range_node *found = range_index_find(index, addr);
	bool got;

	while (u < SPACE && !unit[u])
		u++;
	assert_ptr_equal(found, u < SPACE ? unit[u] : NULL);
	for (u = lo; u < hi; u++) {
		free = unit[u] ? 0 : free + 1;
		if (free >= size) {
			highest = u + 1 - size;
			if (lowest == SPACE)
				lowest = highest;
		}
	}
	got = range_index_gap_lowest(index, lo, hi, size, &at);
	assert_int_equal(got, lowest < SPACE);
	if (got)
		assert_int_equal(at, lowest);
	got = range_index_gap_highest(index, lo, hi, size, &at);
	assert_int_equal(got, lowest < SPACE);
	if (got)
		assert_int_equal(at, highest);
}

static void try_insert(struct range_index *index)
{
	unsigned long start = below(SPACE), end = start + 1 + below(12), u;
	struct indexed *r = &range[0];

	for (u = start; u < end; u++)
		if (u >= SPACE || unit[u])
			return;
	while (r->used)
		r++;
	assert_int_equal(range_index_reserve(index, 1), 0);
	memset(r, 0, sizeof(*r));
	r->used = true;
	r->node.start = start;
	r->node.end = end;
	range_index_insert(index, &r->node);
	fill_model(&r->node, &r->node);
}

static void try_erase_run(struct range_index *index, bool one)
{
	struct range_node *first = range_index_find(index, below(SPACE)), *last = first, *node, *next;

	if (!first)
		return;
	for (int n = one ? 0 : below(60); n && last->next; n--)
		last = last->next;
	range_index_erase_run(index, first, last);
	for (node = first; node; node = next) {
		next = node->next;
		fill_model(node, NULL);
		container_of(node, struct indexed, node)->used = false;
	}
}

static void try_set_bounds(struct range_index *index)
{
	struct range_node *node = range_index_find(index, below(SPACE));
	unsigned long lo, hi, start;

	if (!node)
		return;
	lo = node->prev ? node->prev->end : 0;
	hi = node->next ? node->next->start : SPACE;
	start = lo + below(hi - lo);
	fill_model(node, NULL);
	range_index_set_bounds(index, node, start, start + 1 + below(hi - start));
	fill_model(node, node);
}

static void range_index_random(enum range_index_kind kind)
{
	struct alloc_domain domain;
	struct range_index index;
	struct kmem_cache *cache;
	char why[200] = "";

	alloc_domain_init(&domain, NULL, NULL, NULL);
	cache = kmem_cache_create(&domain, "range_node", range_tree_node_bytes, 0);
	range_index_init(&index, kind, cache);
	start_random(kind == RANGE_INDEX_TREE ? "range tree" : "red-black tree");
	memset(unit, 0, sizeof(unit));
	memset(range, 0, sizeof(range));
	for (int turn = 0; turn < 20000; turn++) {
		switch (below(turn / 2000 % 2 ? 8 : 20)) {	/* grows, shrinks */
		case 0:
			try_erase_run(&index, below(4));
			break;
		case 1:
		case 2:
			try_erase_run(&index, true);
			break;
		case 3:
			try_set_bounds(&index);
			break;
		default:
			try_insert(&index);
		}
		if (!range_index_check(&index, why, sizeof(why)))
			fail_msg("turn %d: %s", turn, why);
		check_queries(&index);
	}
	range_index_destroy(&index);
	assert_int_equal(kmem_cache_destroy(cache), 0);
}

static void test_range_tree(void **state)
{
	range_index_random(RANGE_INDEX_TREE);
}

static void test_range_rbtree(void **state)
{
	range_index_random(RANGE_INDEX_RBTREE);
}

/* Each allocation of a reservation fails once: nothing is lost, and the next try goes well. */
static void test_range_reserve_fails(void **state)
{
	struct alloc_domain domain;
	struct range_index index;
	struct kmem_cache *cache;
	int failures = 0, r;

	alloc_domain_init(&domain, NULL, NULL, NULL);
	cache = kmem_cache_create(&domain, "range_node", range_tree_node_bytes, 0);
	range_index_init(&index, RANGE_INDEX_TREE, cache);
	for (int n = 1;; n++) {
		atomic_store(&domain.fail_at, n);
		r = range_index_reserve(&index, 8);
		atomic_store(&domain.fail_at, 0);
		if (!r)
			break;
		failures++;
	}
	assert_true(failures >= 1);
	range_index_destroy(&index);
	assert_int_equal(kmem_cache_destroy(cache), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slab),
		cmocka_unit_test(test_xarray),
		cmocka_unit_test(test_interval_tree),
		cmocka_unit_test(test_range_tree),
		cmocka_unit_test(test_range_rbtree),
		cmocka_unit_test(test_range_reserve_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
