/* SPDX-License-Identifier: MIT */
/*
 * The index of ranges (B2, B3, B4): both structures by the same tests, against one array that says for
 * each address which range is there. The tree is compiled in here with small nodes (the library's own is
 * then not linked), so that a few hundred ranges make it high and its rare paths common; how often they
 * were taken is printed, and a run that didn't take them fails.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define FAN	   8
#define SPARE_KEPT 0	/* a reservation is all there is */
#include "base/range_index_tree.c"
#include "base/lock.h"

static uint64_t seed;

static uint64_t below(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static void start_random(const char *what, enum range_index_kind kind)
{
	const char *given = getenv("ASPACE_SEED");

	seed = given ? strtoull(given, NULL, 0) : 88172645463325252ull;
	if (!seed)
		seed = 1;
	print_message("%s, %s: seed %llu\n", what, kind == RANGE_INDEX_TREE ? "tree" : "red-black",
		      (unsigned long long)seed);
}

/* ---- an index, the model beside it ------------------------------------------------------------ */

#define SPACE 3000	/* addresses base .. base + SPACE */

struct world {
	struct alloc_domain domain;
	struct kmem_cache *cache;
	struct range_index index;
	unsigned long base;
	struct range_node *at[SPACE];	/* the model */
	struct range_node pool[SPACE];
	bool used[SPACE];
	unsigned int highest, shrunk;	/* heights seen */
};

static void world_init(struct world *w, enum range_index_kind kind, unsigned long base)
{
	memset(w, 0, sizeof(*w));
	w->base = base;
	alloc_domain_init(&w->domain, NULL, NULL, NULL);
	w->cache = kmem_cache_create(&w->domain, "range_node", range_tree_node_bytes, 0);
	assert_non_null(w->cache);
	range_index_init(&w->index, kind, w->cache);
}

static void world_destroy(struct world *w)
{
	range_index_destroy(&w->index);
	assert_int_equal(kmem_cache_destroy(w->cache), 0);
	assert_int_equal(atomic_load(&w->domain.bytes), 0);
}

static void world_check(struct world *w)
{
	char why[200] = "";

	if (!range_index_check(&w->index, why, sizeof(why)))
		fail_msg("%s", why);
}

static void paint(struct world *w, struct range_node *node, struct range_node *with)
{
	for (unsigned long a = node->start; a < node->end; a++)
		w->at[a - w->base] = with;
}

static struct range_node *pool_take(struct world *w, unsigned long start, unsigned long end)
{
	unsigned int i = 0;

	while (w->used[i])
		i++;
	w->used[i] = true;
	memset(&w->pool[i], 0xa5, sizeof(w->pool[i]));	/* nothing but the bounds may be relied on */
	w->pool[i].start = start;
	w->pool[i].end = end;
	return &w->pool[i];
}

static bool try_insert(struct world *w, unsigned long off, unsigned long size)
{
	struct range_node *node;

	for (unsigned long u = off; u < off + size; u++)
		if (u >= SPACE || w->at[u])
			return false;
	node = pool_take(w, w->base + off, w->base + off + size);
	range_index_insert(&w->index, node);
	paint(w, node, node);
	return true;
}

/* They leave still linked to each other, and to nothing else. */
static void erase_run(struct world *w, struct range_node *first, struct range_node *last)
{
	struct range_node *node, *next, *prev = NULL;

	if (first == last && below(2))
		range_index_erase(&w->index, first);
	else
		range_index_erase_run(&w->index, first, last);
	for (node = first; node; prev = node, node = next) {
		next = node->next;
		assert_ptr_equal(node->prev, prev);
		paint(w, node, NULL);
		w->used[node - w->pool] = false;
	}
	assert_ptr_equal(prev, last);
}

static void erase_some(struct world *w, unsigned long most)
{
	struct range_node *first = range_index_find(&w->index, w->base + below(SPACE)), *last = first;

	if (!first)
		return;
	for (unsigned long n = below(most); n && last->next; n--)
		last = last->next;
	erase_run(w, first, last);
}

static void move_bounds(struct world *w)
{
	struct range_node *node = range_index_find(&w->index, w->base + below(SPACE));
	unsigned long lo, hi, start;

	if (!node)
		return;
	lo = node->prev ? node->prev->end : w->base;
	hi = node->next ? node->next->start : w->base + SPACE;
	start = below(3) ? lo + below(hi - lo) : node->start;
	paint(w, node, NULL);
	range_index_set_bounds(&w->index, node, start, start + 1 + below(hi - start));
	paint(w, node, node);
}

static void split_some(struct world *w)
{
	struct range_node *node = range_index_find(&w->index, w->base + below(SPACE)), *above;

	if (!node || node->end - node->start < 2)
		return;
	assert_int_equal(range_index_reserve(&w->index, 1), 0);
	above = pool_take(w, node->start + 1 + below(node->end - node->start - 1), node->end);
	range_index_split(&w->index, node, above);
	paint(w, node, node);
	paint(w, above, above);
}

/* The ranges that follow one without a gap, or some of them, become part of it. */
static void join_some(struct world *w)
{
	struct range_node *node = range_index_find(&w->index, w->base + below(SPACE)), *first, *last, *next;

	for (last = node; last && last->next && last->next->start == last->end && below(6);)
		last = last->next;
	if (last == node)
		return;
	first = node->next;
	range_index_join(&w->index, node, last);
	for (; first; first = next) {
		next = first->next;
		w->used[first - w->pool] = false;
	}
	paint(w, node, node);
}

static void compare_find(struct world *w)
{
	unsigned long u = below(SPACE), at = u;
	struct range_node *before, *found = range_index_find_prev(&w->index, w->base + u, &before), *model = NULL;

	while (u < SPACE && !w->at[u])
		u++;
	assert_ptr_equal(found, u < SPACE ? w->at[u] : NULL);
	assert_ptr_equal(range_index_find(&w->index, w->base + at), found);
	for (u = found ? found->start - w->base : SPACE; u--;)
		if ((model = w->at[u]))
			break;
	assert_ptr_equal(before, model);
}

static void compare_gaps(struct world *w)
{
	unsigned long lo = below(SPACE), hi = lo + below(SPACE - lo + 1), size = 1 + below(below(4) ? 6 : 60);
	unsigned long at, free = 0, lowest = SPACE, highest = SPACE;
	bool got;

	for (unsigned long u = lo; u < hi; u++) {
		free = w->at[u] ? 0 : free + 1;
		if (free < size)
			continue;
		highest = u + 1 - size;
		if (lowest == SPACE)
			lowest = highest;
	}
	got = range_index_gap_lowest(&w->index, w->base + lo, w->base + hi, size, &at);
	assert_int_equal(got, lowest < SPACE);
	if (got)
		assert_int_equal(at - w->base, lowest);
	got = range_index_gap_highest(&w->index, w->base + lo, w->base + hi, size, &at);
	assert_int_equal(got, lowest < SPACE);
	if (got)
		assert_int_equal(at - w->base, highest);
}

static void one_change(struct world *w, bool growing)
{
	switch (below(growing ? 18 : 9)) {
	case 0:
		erase_some(w, below(8) ? 3 : 120);
		break;
	case 1:
	case 2:
		erase_some(w, 1);
		break;
	case 3:
		move_bounds(w);
		break;
	case 4:
		split_some(w);
		break;
	case 5:
		join_some(w);
		break;
	default:
		assert_int_equal(range_index_reserve(&w->index, 1), 0);
		try_insert(w, below(SPACE), 1 + below(5));
	}
}

static void random_changes(enum range_index_kind kind, unsigned long base)
{
	static struct world w;

	start_random("random changes", kind);
	world_init(&w, kind, base);
	for (int turn = 0; turn < 12000; turn++) {
		unsigned int height = kind == RANGE_INDEX_TREE ? w.index.height : 0;

		one_change(&w, turn / 2000 % 2 == 0);
		world_check(&w);
		compare_find(&w);
		compare_gaps(&w);
		if (kind == RANGE_INDEX_TREE) {
			w.highest = max(w.highest, w.index.height);
			w.shrunk += w.index.height < height;
		}
	}
	if (kind == RANGE_INDEX_TREE) {
		print_message("height up to %u, lowered %u times\n", w.highest, w.shrunk);
		assert_true(w.highest >= 3 && w.shrunk >= 1);
	}
	world_destroy(&w);
}

static void test_random_tree(void **state)
{
	random_changes(RANGE_INDEX_TREE, 0);
	random_changes(RANGE_INDEX_TREE, 0x7fffffff0000);
	random_changes(RANGE_INDEX_TREE, ULONG_MAX - SPACE);	/* up to the last address that an end can be */
}

static void test_random_rbtree(void **state)
{
	random_changes(RANGE_INDEX_RBTREE, 0);
	random_changes(RANGE_INDEX_RBTREE, 0x7fffffff0000);
	random_changes(RANGE_INDEX_RBTREE, ULONG_MAX - SPACE);
}

/* ---- what can be said without a model ------------------------------------------------------------ */

static void empty_index(enum range_index_kind kind)
{
	static struct world w;
	struct range_node *before = &w.pool[0];
	unsigned long at;

	world_init(&w, kind, 0);
	assert_null(range_index_find(&w.index, 0));
	assert_null(range_index_find_prev(&w.index, ULONG_MAX, &before));
	assert_null(before);
	assert_null(range_index_first(&w.index));
	assert_null(range_index_last(&w.index));
	assert_true(range_index_gap_highest(&w.index, 5, ULONG_MAX, ULONG_MAX - 5, &at));
	assert_int_equal(at, 5);
	assert_false(range_index_gap_highest(&w.index, 5, ULONG_MAX, ULONG_MAX - 4, &at));
	assert_true(range_index_gap_lowest(&w.index, 5, 7, 2, &at));
	assert_int_equal(at, 5);
	assert_false(range_index_gap_lowest(&w.index, 5, 5, 1, &at));
	assert_false(range_index_gap_highest(&w.index, 7, 5, 1, &at));
	world_check(&w);
	world_destroy(&w);
}

static void test_empty(void **state)
{
	empty_index(RANGE_INDEX_TREE);
	empty_index(RANGE_INDEX_RBTREE);
}

/* A sequence that grows at an edge fills its nodes: the index of n ranges stays small. */
static void test_edges_fill_nodes(void **state)
{
	static struct world w;

	for (int down = 0; down < 2; down++) {
		world_init(&w, RANGE_INDEX_TREE, 0);
		for (unsigned long i = 0; i < SPACE / 2; i++) {
			assert_int_equal(range_index_reserve(&w.index, 1), 0);
			assert_true(try_insert(&w, 2 * (down ? SPACE / 2 - 1 - i : i), 1));
		}
		world_check(&w);
		print_message("%d ranges, %s: %u nodes\n", SPACE / 2, down ? "downwards" : "upwards", w.index.nr_nodes);
		assert_true(w.index.nr_nodes <= SPACE / 2 / (FAN - 2) * 5 / 4);
		world_destroy(&w);
	}
}

/* An index that is thinned out, here and there, gives its nodes back. */
static void test_thinned(void **state)
{
	static struct world w;
	unsigned int before;

	start_random("thinned", RANGE_INDEX_TREE);
	world_init(&w, RANGE_INDEX_TREE, 0);
	for (unsigned long i = 0; i < SPACE / 2; i++) {
		assert_int_equal(range_index_reserve(&w.index, 1), 0);
		assert_true(try_insert(&w, 2 * i, 1));
	}
	before = w.index.nr_nodes;
	while (w.index.count > SPACE / 40)
		erase_some(&w, 1);
	world_check(&w);
	print_message("%lu ranges left: %u nodes were %u\n", w.index.count, w.index.nr_nodes, before);
	assert_true(w.index.nr_nodes <= w.index.count * 2 / 3);
	world_destroy(&w);
}

/* ---- reservations ---------------------------------------------------------------------------------- */

/* A leaf with as many full nodes above it, itself included, as there are; the range in its middle. */
static struct range_node *fullest(struct world *w, unsigned int *full)
{
	struct range_node *best = NULL;

	*full = 0;
	for (struct range_node *node = w->index.first; node; node = node->next) {
		unsigned int n = 0;

		for (struct range_leaf *up = node->leaf; up && up->count == FAN; up = up->parent)
			n++;
		if (n > *full && node->start > w->base && !w->at[node->start - w->base - 1]) {
			*full = n;
			best = node;
		}
	}
	return best;
}

/*
 * Insertions go where they cost most, erasures come between, and memory is refused meanwhile: an index
 * that hadn't set enough aside would stop at its BUG_ON.
 */
static void test_reservation_holds(void **state)
{
	static struct world w;
	unsigned int most = 0, splits = 0;

	start_random("reservations", RANGE_INDEX_TREE);
	world_init(&w, RANGE_INDEX_TREE, 0);
	for (int turn = 0; turn < 600; turn++) {
		unsigned int n = 1 + (unsigned int)below(below(4) ? 4 : 60), nodes;

		if (below(2))
			range_index_unreserve(&w.index);
		assert_int_equal(range_index_reserve(&w.index, n), 0);
		atomic_store(&w.domain.fail_at, 1);
		while (n) {
			unsigned int full;
			struct range_node *node = below(8) ? fullest(&w, &full) : NULL;

			nodes = w.index.nr_nodes;
			if (below(12) == 0)
				erase_some(&w, 12);
			if (node && node->start && w.used[node - w.pool] && try_insert(&w, node->start - 1, 1)) {
				most = max(most, full);
				n--;
			} else if (try_insert(&w, below(SPACE), 1)) {
				n--;
			} else {
				erase_some(&w, 4);
			}
			splits += w.index.nr_nodes > nodes;
		}
		assert_int_equal(atomic_load(&w.domain.fail_at), 1);	/* nobody asked */
		atomic_store(&w.domain.fail_at, 0);
		world_check(&w);
		if (w.index.count > SPACE / 3)
			erase_some(&w, w.index.count);
	}
	print_message("splits %u; at most %u full nodes one above the other\n", splits, most);
	assert_true(splits > 500 && most >= 2);
	range_index_unreserve(&w.index);
	assert_true(w.index.nr_spare <= SPARE_KEPT);
	world_destroy(&w);
}

/* Every leaf is full, and each gets one more: each splits, and so do the nodes above them. */
static void test_reservation_worst(void **state)
{
	static struct world w;
	static struct range_node *leaf_first[SPACE];
	unsigned int leaves = 0, nodes;

	world_init(&w, RANGE_INDEX_TREE, 0);
	for (unsigned long i = 0; i < SPACE / 10; i++) {
		assert_int_equal(range_index_reserve(&w.index, 1), 0);
		assert_true(try_insert(&w, 10 * i + 5, 1));
	}
	for (struct range_node *node = w.index.first, *next; node; node = next) {
		struct range_leaf *leaf = node->leaf;
		unsigned long off = 1;

		next = ((struct range_node *)leaf->slot[leaf->count - 1])->next;
		for (; leaf->count < FAN; off++) {
			assert_int_equal(range_index_reserve(&w.index, 1), 0);
			assert_true(try_insert(&w, node->start + off, 1));
		}
		leaf_first[leaves++] = node;
	}
	world_check(&w);
	range_index_unreserve(&w.index);
	assert_int_equal(range_index_reserve(&w.index, leaves), 0);
	nodes = w.index.nr_nodes;
	for (unsigned int i = 0; i < leaves; i++)
		assert_true(try_insert(&w, leaf_first[i]->start - 1, 1));
	world_check(&w);
	print_message("%u leaves, %u nodes more, %u left of the reservation\n", leaves, w.index.nr_nodes - nodes,
		      w.index.nr_spare);
	assert_true(w.index.nr_nodes - nodes >= leaves);
	world_destroy(&w);
}

/* Each allocation of a reservation fails once: nothing is lost, and the next try goes well. */
static void test_reservation_fails(void **state)
{
	static struct world w;
	int failures = 0, error;

	world_init(&w, RANGE_INDEX_TREE, 0);
	for (int n = 1;; n++) {
		atomic_store(&w.domain.fail_at, n);
		error = range_index_reserve(&w.index, 200);
		atomic_store(&w.domain.fail_at, 0);
		world_check(&w);
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
		failures++;
		range_index_unreserve(&w.index);
	}
	print_message("%d reservations failed, one at each allocation\n", failures);
	assert_true(failures > 20);
	for (unsigned long i = 0; i < 200; i++)
		assert_true(try_insert(&w, 3 * i, 2));
	world_check(&w);
	world_destroy(&w);
}

/* ---- the checker ------------------------------------------------------------------------------------ */

static void assert_caught(struct world *w, unsigned long *word)
{
	char why[200] = "";

	*word ^= 1;
	assert_false(range_index_check(&w->index, why, sizeof(why)));
	assert_true(why[0]);
	*word ^= 1;
	world_check(w);
}

static void test_check_sees(void **state)
{
	static struct world w;

	for (int kind = 0; kind < 2; kind++) {
		world_init(&w, kind ? RANGE_INDEX_RBTREE : RANGE_INDEX_TREE, 0);
		for (unsigned long i = 0; i < 300; i++) {
			assert_int_equal(range_index_reserve(&w.index, 1), 0);
			assert_true(try_insert(&w, 10 * i, 4));
		}
		assert_caught(&w, &w.index.count);
		if (kind) {
			assert_caught(&w, &w.index.first->subtree_gap);
			assert_caught(&w, &range_index_find(&w.index, 1500)->subtree_gap);
		} else {
			struct range_leaf *leaf = range_index_find(&w.index, 1500)->leaf;

			assert_caught(&w, &leaf->gap[0]);
			assert_caught(&w, &leaf->end[0]);
			assert_caught(&w, &leaf->parent->gap[leaf->place]);
			assert_caught(&w, &root_of(&w.index)->end[0]);
		}
		world_destroy(&w);
	}
}

/* ---- lookups beside each other ----------------------------------------------------------------------- */

/*
 * Ranges [100 i, 100 i + 50 or 60) for all i; the writer takes some out, puts them back and moves their
 * ends. Whatever a reader finds must be as one of these, and its lookups run while others do.
 */
struct race {
	struct world *w;
	struct rw_semaphore lock;
	atomic_bool stop;
	atomic_ulong lookups, hits, together;
	atomic_int inside;
};
#define RACE_RANGES 30ul

static void *reader(void *arg)
{
	struct race *race = arg;
	uint64_t x = (uintptr_t)&x | 1;
	unsigned long lookups = 0, hits = 0;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		unsigned long addr, at;
		struct range_node *found;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		addr = x % (100 * RACE_RANGES);
		down_read(&race->lock);
		if (atomic_fetch_add(&race->inside, 1) > 0)
			atomic_fetch_add_explicit(&race->together, 1, memory_order_relaxed);
		for (int i = 0; i < 20; i++) {
			found = range_index_find(&race->w->index, addr + (unsigned long)i);
			BUG_ON(found && found->end <= addr + (unsigned long)i);
			BUG_ON(found && found->start % 100);
			lookups++;
			hits += found && found->start <= addr + (unsigned long)i;
		}
		if (range_index_gap_highest(&race->w->index, 0, addr + 1, 30, &at)) {
			found = range_index_find(&race->w->index, at);
			BUG_ON(found && found->start < at + 30);
		}
		atomic_fetch_sub(&race->inside, 1);
		up_read(&race->lock);
	}
	atomic_fetch_add(&race->lookups, lookups);
	atomic_fetch_add(&race->hits, hits);
	return NULL;
}

static void one_write(struct race *race)
{
	struct range_node *node = &race->w->pool[below(RACE_RANGES)];
	bool *in = &race->w->used[node - race->w->pool];

	down_write(&race->lock);
	if (*in && below(2)) {
		range_index_set_bounds(&race->w->index, node, node->start, node->start + 50 + 10 * below(2));
	} else if (*in) {
		range_index_erase(&race->w->index, node);
		*in = false;
	} else {
		BUG_ON(range_index_reserve(&race->w->index, 1));
		range_index_insert(&race->w->index, node);
		*in = true;
	}
	up_write(&race->lock);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* For a fifth of a second, and on until readers were seen side by side (for at most five). */
static unsigned long writer(struct race *race)
{
	double start = seconds(), now;
	unsigned long writes = 0;

	do {
		one_write(race);
		if (++writes % 64 == 0)
			sched_yield();
		now = seconds() - start;
	} while (now < 0.2 || (!atomic_load(&race->together) && now < 5));
	return writes;
}

static void lookups_race(enum range_index_kind kind)
{
	static struct world w;
	static struct race race;
	pthread_t thread[3];
	unsigned long writes;

	start_random("lookups beside changes", kind);
	world_init(&w, kind, 0);
	memset(&race, 0, sizeof(race));
	race.w = &w;
	init_rwsem(&race.lock);
	for (unsigned long i = 0; i < RACE_RANGES; i++)
		w.pool[i] = (struct range_node){ .start = 100 * i, .end = 100 * i + 50 };
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader, &race), 0);
	writes = writer(&race);
	atomic_store(&race.stop, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	print_message("%lu changes, %lu lookups, %lu in a range, %lu times beside another reader\n", writes,
		      atomic_load(&race.lookups), atomic_load(&race.hits), atomic_load(&race.together));
	assert_true(atomic_load(&race.hits) && atomic_load(&race.together));
	world_check(&w);
	destroy_rwsem(&race.lock);
	world_destroy(&w);
}

static void test_lookups_race(void **state)
{
	lookups_race(RANGE_INDEX_TREE);
	lookups_race(RANGE_INDEX_RBTREE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_random_tree),
		cmocka_unit_test(test_random_rbtree),
		cmocka_unit_test(test_edges_fill_nodes),
		cmocka_unit_test(test_thinned),
		cmocka_unit_test(test_reservation_holds),
		cmocka_unit_test(test_reservation_worst),
		cmocka_unit_test(test_reservation_fails),
		cmocka_unit_test(test_check_sees),
		cmocka_unit_test(test_lookups_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
