/* SPDX-License-Identifier: MIT */
/*
 * lib/base against models that are too simple to be wrong. The seed of every random run is printed;
 * ASPACE_SEED=N repeats it.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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
	assert_true(cache->slabs <= SLABS_KEPT);

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

/* ---- with threads ---------------------------------------------------------------------------------- */

#define THREADS 3
#define BATCH	64

/* Objects go from thread to thread through `box`, so that they are freed elsewhere than they came from. */
struct shared {
	struct alloc_domain domain;
	struct kmem_cache *cache;
	spinlock_t spin;
	struct mutex mutex;
	struct rw_semaphore sem;
	void *box[64];
	unsigned long by_spin, by_mutex, by_sem;	/* guarded by what their names say */
	unsigned long pair[2];				/* by sem: always equal */
	pthread_barrier_t start;
	atomic_bool stop;
	atomic_ulong rounds, writes;
	atomic_ulong foreign;				/* objects freed by another thread than took them */
};

static void pass_on(struct shared *s, uint64_t *x)
{
	uint64_t *object = kmem_cache_alloc(s->cache), *other;
	unsigned int i;

	*x = *x * 6364136223846793005ull + 1442695040888963407ull;
	i = *x >> 58;
	BUG_ON(!object);
	for (int k = 0; k < 7; k++)
		object[k] = *x;
	object[7] = (uint64_t)pthread_self();
	spin_lock(&s->spin);
	other = s->box[i];
	s->box[i] = object;
	s->by_spin++;
	spin_unlock(&s->spin);
	for (int k = 1; other && k < 7; k++)
		BUG_ON(other[k] != other[0]);
	if (other && other[7] != (uint64_t)pthread_self())
		atomic_fetch_add_explicit(&s->foreign, 1, memory_order_relaxed);
	kmem_cache_free(s->cache, other);
}

static void *worker(void *arg)
{
	struct shared *s = arg;
	uint64_t x = (uintptr_t)&x;
	unsigned long i, writes = 0;

	pthread_barrier_wait(&s->start);
	for (i = 0; !atomic_load_explicit(&s->stop, memory_order_relaxed); i++) {
		for (int k = 0; k < BATCH; k++)		/* long enough to be met by another */
			pass_on(s, &x);
		mutex_lock(&s->mutex);
		s->by_mutex++;
		mutex_unlock(&s->mutex);
		if (i % 8) {
			down_read(&s->sem);
			BUG_ON(s->pair[0] != s->pair[1]);
			up_read(&s->sem);
		} else {
			down_write(&s->sem);
			BUG_ON(!rwsem_is_write_locked(&s->sem));
			s->pair[0]++;
			s->by_sem++;
			s->pair[1]++;
			up_write(&s->sem);
			writes++;
		}
	}
	atomic_fetch_add(&s->rounds, i);
	atomic_fetch_add(&s->writes, writes);
	return NULL;
}

static void test_threads(void **state)
{
	static struct shared s;
	struct timespec tick = { .tv_nsec = 50000000 };
	pthread_t thread[THREADS];
	unsigned long rounds;

	alloc_domain_init(&s.domain, NULL, NULL, NULL);
	s.cache = kmem_cache_create(&s.domain, "shared", 64, 0);
	spin_lock_init(&s.spin);
	mutex_init(&s.mutex);
	init_rwsem(&s.sem);
	assert_int_equal(pthread_barrier_init(&s.start, NULL, THREADS), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, worker, &s), 0);
	for (int ticks = 0; ticks < 4 || (ticks < 100 && atomic_load(&s.foreign) < 100); ticks++)
		nanosleep(&tick, NULL);
	atomic_store(&s.stop, true);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	rounds = atomic_load(&s.rounds);
	print_message("%lu of %lu objects freed by another thread\n", atomic_load(&s.foreign), rounds * BATCH);
	assert_int_equal(s.by_spin, rounds * BATCH);
	assert_int_equal(s.by_mutex, rounds);
	assert_int_equal(s.by_sem, atomic_load(&s.writes));
	assert_int_equal(atomic_load(&s.domain.allocations), 1 + rounds * BATCH);
	assert_true(atomic_load(&s.foreign) >= 100);
	assert_false(rwsem_is_write_locked(&s.sem));
	for (int i = 0; i < 64; i++)
		kmem_cache_free(s.cache, s.box[i]);
	destroy_rwsem(&s.sem);
	mutex_destroy(&s.mutex);
	pthread_barrier_destroy(&s.start);
	assert_int_equal(kmem_cache_destroy(s.cache), 0);
	assert_int_equal(atomic_load(&s.domain.bytes), 0);
}

static void test_locks_refuse(void **state)
{
	struct rw_semaphore sem;
	spinlock_t spin = SPINLOCK_INIT;

	assert_true(spin_trylock(&spin));
	assert_false(spin_trylock(&spin));
	spin_unlock(&spin);
	assert_true(spin_trylock(&spin));
	init_rwsem(&sem);
	assert_true(down_read_trylock(&sem));
	assert_true(down_read_trylock(&sem));
	assert_false(down_write_trylock(&sem));
	up_read(&sem);
	up_read(&sem);
	assert_true(down_write_trylock(&sem));
	assert_false(down_read_trylock(&sem));
	up_write(&sem);
	destroy_rwsem(&sem);
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

static unsigned long in_use(const struct xarray *xa)
{
	return xa->cache->in_use;
}

/* What is reserved is stored without memory; what isn't used goes; a failed try leaves no node behind. */
static void test_xa_reserve(void **state)
{
	static const uint64_t index[] = { 0, 63, 64, 5000, 1ull << 40, UINT64_MAX };
	struct alloc_domain domain;
	struct kmem_cache *cache;
	struct xarray xa;
	unsigned int failed = 0;
	unsigned long before;

	alloc_domain_init(&domain, NULL, NULL, NULL);
	cache = kmem_cache_create(&domain, "xa_node", sizeof(struct xa_node), 0);
	xa_init(&xa, cache);
	for (unsigned int i = 0; i < ARRAY_SIZE(index); i++) {
		before = in_use(&xa);
		for (int n = 1;; n++) {
			int error;

			atomic_store(&domain.fail_at, n);
			error = xa_reserve(&xa, index[i]);
			atomic_store(&domain.fail_at, 0);
			if (!error)
				break;
			failed++;
			for (unsigned int k = 0; k < i; k++)
				assert_ptr_equal(xa_load(&xa, index[k]), &failed);
		}
		assert_null(xa_load(&xa, index[i]));
		xa_unreserve(&xa, index[i]);
		if (!before)
			assert_int_equal(in_use(&xa), 0);
		assert_int_equal(xa_reserve(&xa, index[i]), 0);
		atomic_store(&domain.fail_at, 1);
		assert_int_equal(xa_store(&xa, index[i], &failed), 0);
		assert_int_equal(atomic_load(&domain.fail_at), 1);
		atomic_store(&domain.fail_at, 0);
		xa_unreserve(&xa, index[i]);	/* nothing, for an entry that is there */
		assert_ptr_equal(xa_load(&xa, index[i]), &failed);
	}
	assert_true(failed > 10);
	for (int n = 1; n < 4; n++) {		/* fails half-way, and nobody comes back to it */
		atomic_store(&domain.fail_at, n);
		assert_int_equal(xa_reserve(&xa, 1ull << 30), -ENOMEM);
		atomic_store(&domain.fail_at, 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(index); i++)
		assert_ptr_equal(xa_erase(&xa, index[i]), &failed);
	assert_true(xa_empty(&xa));
	assert_int_equal(in_use(&xa), 0);
	assert_int_equal(kmem_cache_destroy(cache), 0);
}

/* The two marks know nothing of each other; an entry that is replaced keeps them. */
static void test_xa_marks(void **state)
{
	struct alloc_domain domain;
	struct kmem_cache *cache;
	struct xarray xa;
	uint64_t at = 0;
	int a, b;

	alloc_domain_init(&domain, NULL, NULL, NULL);
	cache = kmem_cache_create(&domain, "xa_node", sizeof(struct xa_node), 0);
	xa_init(&xa, cache);
	xa_set_mark(&xa, 7, XA_MARK_0);		/* there is no entry */
	assert_false(xa_get_mark(&xa, 7, XA_MARK_0));
	assert_int_equal(xa_store(&xa, 7, &a), 0);
	assert_int_equal(xa_store(&xa, 70000, &b), 0);
	xa_set_mark(&xa, 7, XA_MARK_0);
	xa_set_mark(&xa, 70000, XA_MARK_1);
	assert_int_equal(xa_store(&xa, 70000, &a), 0);
	assert_ptr_equal(xa_find(&xa, &at, UINT64_MAX, XA_MARK_1), &a);
	assert_int_equal(at, 70000);
	at = 8;
	assert_null(xa_find(&xa, &at, UINT64_MAX, XA_MARK_0));
	xa_clear_mark(&xa, 7, XA_MARK_1);
	assert_true(xa_get_mark(&xa, 7, XA_MARK_0));
	xa_erase(&xa, 70000);
	assert_int_equal(xa_store(&xa, 70000, &b), 0);
	assert_false(xa_get_mark(&xa, 70000, XA_MARK_1));	/* the mark went with its entry */
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
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_locks_refuse),
		cmocka_unit_test(test_xarray),
		cmocka_unit_test(test_xa_reserve),
		cmocka_unit_test(test_xa_marks),
		cmocka_unit_test(test_interval_tree),
		cmocka_unit_test(test_range_tree),
		cmocka_unit_test(test_range_rbtree),
		cmocka_unit_test(test_range_reserve_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
