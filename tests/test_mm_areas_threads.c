/* SPDX-License-Identifier: MIT */
/*
 * Several host threads in one address space: each has a slice of it in which it maps, writes, splits,
 * moves and unmaps, and looks after every step at what it wrote; one forks and reads its child's copy
 * of the slices; one lists maps. They meet on mmap_lock, on the index, on shared anon_vmas and page
 * tables, on Committed_AS. Made for TSan. That they did meet is counted, not assumed.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mm/internal.h"

#define NWORKERS 3
#define SLICE	(16 * PAGE_SIZE)	/* slices lie side by side: their areas are neighbours, and merge */
#define BASE	0x10000000ull
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

static struct aspace_machine *m;
static struct aspace_mm *mm;
static atomic_bool stop;
static atomic_long wrong, forks, listings, copies, merged_across, steps;

static void expect(bool right)
{
	if (!right)
		atomic_fetch_add(&wrong, 1);
}

static void store(uint64_t addr, uint64_t value)
{
	expect(!aspace_copy_to_user(mm, addr, &value, sizeof(value)));
}

static uint64_t load(struct aspace_mm *from, uint64_t addr)
{
	uint64_t value = UINT64_MAX;

	return aspace_copy_from_user(from, &value, addr, sizeof(value)) ? UINT64_MAX : value;
}

/* Does one area hold pages of two slices? */
static void look_for_neighbours(uint64_t slice)
{
	struct aspace_area area = { .size = sizeof(area) };

	if (!aspace_find_area(mm, slice, &area) && area.start < slice && area.end > slice)
		atomic_fetch_add(&merged_across, 1);
}

/* Maps the slice, writes to each page, splits, moves and joins it; what was written stays. */
static void one_round(uint64_t slice, uint64_t round)
{
	const uint64_t half = SLICE / 2, pages = 8;

	expect(aspace_mmap(mm, slice, SLICE, RW, ANON | MAP_FIXED, NULL, 0) == (int64_t)slice);
	for (uint64_t i = 0; i < pages; i++)
		store(slice + i * PAGE_SIZE, round + i);
	sched_yield();
	look_for_neighbours(slice);
	expect(!aspace_mprotect(mm, slice + PAGE_SIZE, 2 * PAGE_SIZE, PROT_READ));
	expect(aspace_mremap(mm, slice, pages * PAGE_SIZE, pages * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			     slice + half) == (int64_t)(slice + half));
	for (uint64_t i = 0; i < pages; i++)
		expect(load(mm, slice + half + i * PAGE_SIZE) == round + i);
	expect(load(mm, slice) == UINT64_MAX);
	expect(!aspace_mprotect(mm, slice + half, pages * PAGE_SIZE, RW));
	expect(!aspace_madvise(mm, slice + half, PAGE_SIZE, MADV_DONTNEED));
	expect(load(mm, slice + half) == 0);
	expect(!aspace_munmap(mm, slice, SLICE));
	atomic_fetch_add(&steps, 1);
}

static void *worker(void *arg)
{
	uint64_t slice = BASE + (uint64_t)(uintptr_t)arg * SLICE;

	for (uint64_t round = 0; round < 150; round++)
		one_round(slice, round * 1000);
	return NULL;
}

/* In a child nobody changes anything: what is read twice is the same. */
static void *forker(void *arg)
{
	while (!atomic_load(&stop)) {
		struct aspace_mm *child;

		if (aspace_mm_fork(mm, &child)) {
			expect(false);
			break;
		}
		for (uint64_t i = 0; i < NWORKERS; i++) {
			uint64_t at = BASE + i * SLICE, value = load(child, at);

			atomic_fetch_add(&copies, value != UINT64_MAX && value % 1000 == 0);
			expect(value == load(child, at));
		}
		aspace_mm_put(child);
		atomic_fetch_add(&forks, 1);
	}
	return NULL;
}

static int count_lines(void *priv, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*(long *)priv += text[i] == '\n';
	return 0;
}

static void *lister(void *arg)
{
	while (!atomic_load(&stop)) {
		long lines = 0;

		expect(!aspace_print_maps(mm, count_lines, &lines));
		expect(!aspace_print_smaps_rollup(mm, count_lines, &lines));
		atomic_fetch_add(&listings, 1);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 64 << 20,
						  .index = *(enum aspace_index *)*state };
	pthread_t thread[NWORKERS], others[2];
	char why[256] = "";

	atomic_store(&stop, false);
	assert_int_equal(aspace_machine_create(&options, &m), 0);
	assert_int_equal(aspace_mm_create(m, &mm), 0);
	for (uintptr_t i = 0; i < NWORKERS; i++)
		pthread_create(&thread[i], NULL, worker, (void *)i);
	pthread_create(&others[0], NULL, forker, NULL);
	pthread_create(&others[1], NULL, lister, NULL);
	for (int i = 0; i < NWORKERS; i++)
		pthread_join(thread[i], NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(others[i], NULL);
	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(atomic_load(&wrong), 0);
	assert_int_equal(mm->mm_mt.count, 0);
	aspace_mm_put(mm);
	assert_int_equal(atomic_load(&m->vm_committed_as), 0);
	assert_int_equal(nr_frames_of(m, PAGE_ANON) + nr_frames_of(m, PAGE_TABLE),
			 nr_frames_of(m, PAGE_TABLE));	/* only init_mm's tables are left */
	aspace_machine_destroy(m);
	print_message("%ld rounds, %ld forks (%ld copies with data), %ld listings, areas across slices %ld times\n",
		      atomic_load(&steps), atomic_load(&forks), atomic_load(&copies),
		      atomic_load(&listings), atomic_load(&merged_across));
	assert_true(atomic_load(&forks) > 0 && atomic_load(&copies) > 0);
	assert_true(atomic_load(&listings) > 0);
}

int main(void)
{
	static enum aspace_index kinds[] = { ASPACE_INDEX_RANGE_TREE, ASPACE_INDEX_RBTREE };
	const struct CMUnitTest tests[] = {
		{ "threads, range tree", test_threads, NULL, NULL, &kinds[0] },
		{ "threads, rbtree", test_threads, NULL, NULL, &kinds[1] },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
