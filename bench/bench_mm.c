/* SPDX-License-Identifier: MIT */
/*
 * The address space alone, no processor: nanoseconds an operation in a space of 10,000 areas, the
 * median of ROUNDS rounds with the fastest and the slowest beside it; both indexes, with and without
 * RAM. "nothing" is the loop with its random numbers. Wall time: other load on the machine shows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mm/internal.h"

#define ROUNDS	9
#define TURNS	50000
#define NAREAS	10000
#define BASE	0x10000000ull
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

static struct aspace_mm *mm;
static uint64_t big;	/* an area of 64 MiB among the others */
static uint64_t seed = 88172645463325252ull, sink;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A place beside one of the areas, picked at random: they lie two pages apart. */
static uint64_t some_gap(void)
{
	return BASE + (next_random() >> 20) % NAREAS * 2 * PAGE_SIZE + PAGE_SIZE;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ---- what is timed -------------------------------------------------------------------------------- */

static void nothing(void)
{
	sink += some_gap();
}

static void map_unmap(void)
{
	int64_t at = aspace_mmap(mm, 0, PAGE_SIZE, PROT_READ, ANON, NULL, 0);

	aspace_munmap(mm, (uint64_t)at, PAGE_SIZE);
}

static void map_unmap_between(void)
{
	uint64_t at = some_gap();

	aspace_mmap(mm, at, PAGE_SIZE, PROT_READ, ANON | MAP_FIXED, NULL, 0);
	aspace_munmap(mm, at, PAGE_SIZE);
}

static void map_unmap_128m(void)
{
	int64_t at = aspace_mmap(mm, 0, 128 << 20, RW, ANON, NULL, 0);

	aspace_munmap(mm, (uint64_t)at, 128 << 20);
}

static void split_merge(void)
{
	uint64_t at = big + (next_random() >> 20) % 1000 * PAGE_SIZE + PAGE_SIZE;

	aspace_mprotect(mm, at, PAGE_SIZE, PROT_READ);
	aspace_mprotect(mm, at, PAGE_SIZE, RW);
}

static void find(void)
{
	sink += find_vma(mm, some_gap())->vm_start;
}

static void find_gap(void)
{
	sink += (uint64_t)get_unmapped_area(mm, NULL, 0, PAGE_SIZE * (1 + (next_random() >> 20) % 4), 0, 0);
}

/* An anonymous page comes, is written to, and goes. */
static void fault(void)
{
	static uint64_t turn;
	uint64_t at = big + turn++ % 1024 * PAGE_SIZE;

	aspace_fault(mm, at, ASPACE_WRITE, 0, NULL);
	if (turn % 1024 == 0)
		aspace_madvise(mm, big, 1024 * PAGE_SIZE, MADV_DONTNEED);
}

static const struct { const char *name; void (*once)(void); bool needs_ram; } cases[] = {
	{ "nothing", nothing, false },
	{ "mmap + munmap of a page", map_unmap, false },
	{ "mmap + munmap between areas", map_unmap_between, false },
	{ "mmap + munmap of 128 MiB", map_unmap_128m, false },
	{ "mprotect in the middle + back", split_merge, false },
	{ "find", find, false },
	{ "gap search", find_gap, false },
	{ "anonymous fault + its share of DONTNEED", fault, true },
};

/* ---- timing -------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void time_case(size_t i)
{
	double ns[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		double start = now();

		for (int turn = 0; turn < TURNS; turn++)
			cases[i].once();
		ns[round] = (now() - start) / TURNS;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), by_size);
	printf("  %-42s %7.0f   (%.0f to %.0f)\n", cases[i].name, ns[ROUNDS / 2], ns[0], ns[ROUNDS - 1]);
}

static int furnish(void)
{
	int64_t at = aspace_mmap(mm, 0, 64 << 20, RW, ANON, NULL, 0);

	big = (uint64_t)at;
	for (uint64_t i = 0; i < NAREAS && at >= 0; i++)
		at = aspace_mmap(mm, BASE + i * 2 * PAGE_SIZE, PAGE_SIZE, RW, ANON | MAP_FIXED, NULL, 0);
	return at < 0;
}

static int run(enum aspace_index index, uint64_t ram)
{
	struct aspace_machine_options options = { .size = sizeof(options), .index = index, .ram_bytes = ram };
	struct aspace_machine *m;

	if (aspace_machine_create(&options, &m) || aspace_mm_create(m, &mm) || furnish())
		return 1;
	printf("%s, %s: ns, the median of %d rounds (fastest to slowest)\n",
	       index == ASPACE_INDEX_RBTREE ? "rbtree" : "range tree", ram ? "with RAM" : "areas only", ROUNDS);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (ram || !cases[i].needs_ram)
			time_case(i);
	aspace_mm_put(mm);
	aspace_machine_destroy(m);
	return 0;
}

int main(void)
{
	int failed = 0;

	for (int index = ASPACE_INDEX_RANGE_TREE; index <= ASPACE_INDEX_RBTREE; index++)
		for (int ram = 0; ram < 2; ram++)
			failed |= run((enum aspace_index)index, ram ? 256ull << 20 : 0);
	return failed;
}
