/* SPDX-License-Identifier: MIT */
/*
 * The index of ranges, both structures in one run: nanoseconds an operation, the median of ROUNDS
 * rounds with the fastest and the slowest beside it. "nothing" is the loop with its random numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/range_index.h"

#define PAGE   4096ul
#define ROUNDS 11
#define TURNS  100000

static uint64_t seed = 88172645463325252ull;
static unsigned long sink;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* n ranges of 1 to 4 pages, with gaps of 1 to 16 pages between them. */
struct filled {
	struct range_index index;
	struct range_node *nodes, extra;
	unsigned long n, top;
};

static void fill(struct filled *f, enum range_index_kind kind, struct kmem_cache *cache, unsigned long n)
{
	unsigned long at = PAGE;

	range_index_init(&f->index, kind, cache);
	f->nodes = calloc(n, sizeof(*f->nodes));
	f->n = n;
	for (unsigned long i = 0; i < n; i++) {
		at += (1 + next_random() % 16) * PAGE;
		f->nodes[i].start = at;
		at += (1 + next_random() % 4) * PAGE;
		f->nodes[i].end = at;
	}
	f->top = at;
	for (unsigned long i = 0; i < n; i++) {		/* in random order, as processes come to their areas */
		unsigned long j = next_random() % n;
		struct range_node swap = f->nodes[i];

		f->nodes[i] = f->nodes[j];
		f->nodes[j] = swap;
	}
	for (unsigned long i = 0; i < n; i++) {
		if (range_index_reserve(&f->index, 1))
			exit(1);
		range_index_insert(&f->index, &f->nodes[i]);
	}
}

static void nothing(struct filled *f)
{
	for (int i = 0; i < TURNS; i++)
		sink += next_random() % f->top;
}

static void find(struct filled *f)
{
	for (int i = 0; i < TURNS; i++)
		sink += range_index_find(&f->index, next_random() % (f->top - 1))->start;
}

static void gap_down(struct filled *f)
{
	unsigned long at = 0;

	for (int i = 0; i < TURNS; i++) {
		range_index_gap_highest(&f->index, PAGE, 1 + next_random() % f->top, (1 + next_random() % 16) * PAGE, &at);
		sink += at;
	}
}

static void insert_erase(struct filled *f)
{
	for (int i = 0; i < TURNS; i++) {
		unsigned long at;

		if (!range_index_gap_highest(&f->index, PAGE, 1 + next_random() % f->top, PAGE, &at))
			continue;
		f->extra.start = at;
		f->extra.end = at + PAGE;
		if (range_index_reserve(&f->index, 1))
			exit(1);
		range_index_insert(&f->index, &f->extra);
		range_index_erase(&f->index, &f->extra);
	}
}

static void bounds(struct filled *f)
{
	for (int i = 0; i < TURNS; i++) {
		struct range_node *node = &f->nodes[next_random() % f->n];

		range_index_set_bounds(&f->index, node, node->start, node->end + PAGE);
		range_index_set_bounds(&f->index, node, node->start, node->end - PAGE);
	}
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure(const char *what, void (*run)(struct filled *), struct filled *tree, struct filled *rb)
{
	double t[2][ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		for (int k = 0; k < 2; k++) {
			double start = now();

			run(k ? rb : tree);
			t[k][r] = (now() - start) / TURNS;
		}
	}
	qsort(t[0], ROUNDS, sizeof(double), by_value);
	qsort(t[1], ROUNDS, sizeof(double), by_value);
	printf("| %-34s | %6.1f (%.1f to %.1f) | %6.1f (%.1f to %.1f) |\n", what, t[0][ROUNDS / 2], t[0][0],
	       t[0][ROUNDS - 1], t[1][ROUNDS / 2], t[1][0], t[1][ROUNDS - 1]);
}

int main(void)
{
	static const unsigned long sizes[] = { 100, 10000, 60000 };
	struct alloc_domain domain;
	struct kmem_cache *cache;

	alloc_domain_init(&domain, NULL, NULL, NULL);
	cache = kmem_cache_create(&domain, "range_node", range_tree_node_bytes, 0);
	printf("### The index of areas alone (nanoseconds)\n\n| | wide tree | red-black tree |\n|---|---|---|\n");
	for (int i = 0; i < 3; i++) {
		struct filled tree = { 0 }, rb = { 0 };
		char what[64];

		fill(&tree, RANGE_INDEX_TREE, cache, sizes[i]);
		fill(&rb, RANGE_INDEX_RBTREE, cache, sizes[i]);
#define MEASURE(name, run) (snprintf(what, sizeof(what), name ", %lu ranges", sizes[i]), measure(what, run, &tree, &rb))
		MEASURE("nothing", nothing);
		MEASURE("find", find);
		MEASURE("gap search from the top", gap_down);
		MEASURE("gap search, insert, erase", insert_erase);
		MEASURE("end moved up and down", bounds);
		range_index_destroy(&tree.index);
		free(tree.nodes);
		free(rb.nodes);
	}
	kmem_cache_destroy(cache);
	return sink == 42;
}
