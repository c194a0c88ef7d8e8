/* SPDX-License-Identifier: MIT */
/*
 * Host threads that meet in the page tables of one address space: faults on the same and on disjoint
 * pages, areas that come and go under loads and stores, fork while others write, truncation under
 * faults, write-back under stores. Made for TSan.
 *
 * What must hold, holds whatever the order: no verdict waits for a race to happen. How often it did is
 * printed. Memory is reached by aspace_copy_from_user and aspace_copy_to_user, which keep the frame.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "mm/internal.h"

#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define BASE	0x10000000ull
#define PAGES	32ull
#define SPAN	(PAGES * PAGE_SIZE)
#define THREADS	4
#define MS	400	/* of each race */

static struct aspace_machine *m;
static struct aspace_mm *mm;
static struct aspace_mapping *mapping;
static struct aspace_file *file;
static atomic_bool stop;
static atomic_long wrong;		/* what must never be */
static atomic_long loads, stores, refused;

static void expect(bool right)
{
	if (!right)
		atomic_fetch_add(&wrong, 1);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* ---- the file: an array, one caller at a time ------------------------------------------------ */

static struct {
	pthread_mutex_t lock;
	uint64_t size;
	uint8_t bytes[SPAN];
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int64_t disk_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	pthread_mutex_lock(&disk.lock);
	n = offset >= disk.size ? 0 : min(n, disk.size - offset);
	memcpy(buffer, disk.bytes + offset, n);
	pthread_mutex_unlock(&disk.lock);
	return (int64_t)n;
}

/* A page may be stored to while it is written; word by word, as the processor stores. */
static int64_t disk_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	expect(offset + n <= SPAN);
	pthread_mutex_lock(&disk.lock);
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t word = __atomic_load_n((const uint64_t *)((const uint8_t *)buffer + i), __ATOMIC_RELAXED);

		memcpy(disk.bytes + offset + i, &word, 8);
	}
	disk.size = max(disk.size, offset + n);
	pthread_mutex_unlock(&disk.lock);
	return (int64_t)n;
}

static void disk_truncate(uint64_t bytes)
{
	pthread_mutex_lock(&disk.lock);
	disk.size = bytes;
	memset(disk.bytes + bytes, 0, SPAN - bytes);
	pthread_mutex_unlock(&disk.lock);
}

static uint64_t disk_word(uint64_t offset)
{
	uint64_t word;

	pthread_mutex_lock(&disk.lock);
	memcpy(&word, disk.bytes + offset, 8);
	pthread_mutex_unlock(&disk.lock);
	return word;
}

/* ---- the stage --------------------------------------------------------------------------------- */

static void set_up(void)
{
	static const struct aspace_mapping_ops ops = {
		.size = sizeof(ops), .read = disk_read, .write = disk_write,
	};
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 32 << 20 };
	struct aspace_mapping_options contents = { .size = sizeof(contents), .ops = &ops, .bytes = SPAN };
	struct aspace_file_options opened = {
		.size = sizeof(opened), .readable = true, .writable = true, .path = "/disk",
	};

	disk_truncate(0);
	disk_truncate(SPAN);
	atomic_store(&stop, false);
	atomic_store(&wrong, 0);
	atomic_store(&loads, 0);
	atomic_store(&stores, 0);
	atomic_store(&refused, 0);
	assert_int_equal(aspace_machine_create(&options, &m), 0);
	assert_int_equal(aspace_mm_create(m, &mm), 0);
	assert_int_equal(aspace_mapping_create(m, &contents, &mapping), 0);
	assert_int_equal(aspace_file_open(mapping, &opened, &file), 0);
}

/* The whole state holds, before and after everything goes; and nothing is left. */
static void tear_down(void)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };
	char why[256] = "";

	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("%s", why);
	aspace_mm_put(mm);
	aspace_file_put(file);
	aspace_mapping_put(mapping);
	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("at the end: %s", why);
	aspace_machine_stats(m, &stats);
	assert_int_equal(stats.frames_anon + stats.frames_file + stats.frames_shmem, 0);
	assert_int_equal(stats.committed_as, 0);
	assert_int_equal(stats.areas, 0);
	aspace_machine_destroy(m);
	assert_int_equal(atomic_load(&wrong), 0);
}

static void map_fixed(unsigned prot, unsigned flags, struct aspace_file *of)
{
	assert_int_equal(aspace_mmap(mm, BASE, SPAN, prot, flags | MAP_FIXED, of, 0), BASE);
}

static bool store(struct aspace_mm *to, uint64_t addr, uint64_t word)
{
	bool done = !aspace_copy_to_user(to, addr, &word, sizeof(word));

	atomic_fetch_add_explicit(done ? &stores : &refused, 1, memory_order_relaxed);
	return done;
}

static bool load(struct aspace_mm *from, uint64_t addr, uint64_t *word)
{
	bool done = !aspace_copy_from_user(from, word, addr, sizeof(*word));

	atomic_fetch_add_explicit(done ? &loads : &refused, 1, memory_order_relaxed);
	return done;
}

/* Runs the bodies beside each other: until the time is over, or each returns by itself. */
static void race(void *(*const body[])(void *), unsigned n, unsigned ms)
{
	pthread_t thread[8];
	uint64_t end = now_ms() + ms;

	for (uintptr_t i = 0; i < n; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, body[i], (void *)i), 0);
	while (ms && now_ms() < end) {
		struct timespec nap = { 0, 2000000 };

		nanosleep(&nap, NULL);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
}

/* ---- faults on the same pages, and beside each other -------------------------------------------- */

static pthread_barrier_t barrier;
static uint64_t round_flags;
static atomic_bool last_round;

/* A word of its own in every page; threads begin at the same page, or each at its own. */
static void fill_and_look(uint64_t me, uint64_t round)
{
	uint64_t word, first = round & 1 ? me * (PAGES / THREADS) : 0;

	for (uint64_t i = 0; i < PAGES; i++) {
		uint64_t at = BASE + (first + i) % PAGES * PAGE_SIZE + 8 * me;

		if (round & 2)
			expect(load(mm, at, &word) && word == 0);
		expect(store(mm, at, round * THREADS + me));
	}
	pthread_barrier_wait(&barrier);
	for (uint64_t i = 0; i < PAGES; i++)
		for (uint64_t other = 0; other < THREADS; other++)
			expect(load(mm, BASE + i * PAGE_SIZE + 8 * other, &word) &&
			       word == round * THREADS + other);
}

static void *faulter(void *arg)
{
	uint64_t me = (uintptr_t)arg;
	bool last;

	for (uint64_t round = 1;; round++) {
		if (!me) {
			expect(aspace_mmap(mm, BASE, SPAN, RW, round_flags | MAP_FIXED, NULL, 0) == BASE);
			atomic_store(&last_round, atomic_load(&stop));
		}
		pthread_barrier_wait(&barrier);
		last = atomic_load(&last_round);	/* before the first thread comes to set it anew */
		fill_and_look(me, round);
		pthread_barrier_wait(&barrier);
		if (last)
			return NULL;
	}
}

static void faults_on_one_page(unsigned flags)
{
	void *(*const body[THREADS])(void *) = { faulter, faulter, faulter, faulter };
	struct aspace_machine_stats stats = { .size = sizeof(stats) };

	set_up();
	round_flags = flags;
	pthread_barrier_init(&barrier, NULL, THREADS);
	race(body, THREADS, MS);
	pthread_barrier_destroy(&barrier);
	aspace_machine_stats(m, &stats);
	print_message("%ld stores, %ld loads; %lu faults came second\n", atomic_load(&stores),
		      atomic_load(&loads), stats.faults_spurious);
	tear_down();
}

static void threads_fault_on_the_same_private_pages(void **state)
{
	faults_on_one_page(ANON);
}

static void threads_fault_on_the_same_shared_pages(void **state)
{
	faults_on_one_page(MAP_SHARED | MAP_ANONYMOUS);
}

/* ---- areas come and go under loads and stores ---------------------------------------------------- */

/* Only this is ever stored at addr: so a frame that came back too early would show. */
static uint64_t tag(uint64_t addr)
{
	return addr * 0x9e3779b97f4a7c15ull | 1;
}

static void *toucher(void *arg)
{
	uint64_t seed = 77 + (uintptr_t)arg, word;

	while (!atomic_load(&stop)) {
		uint64_t at = BASE + next_random(&seed) % (SPAN / 8) * 8;

		if (next_random(&seed) & 1)
			store(mm, at, tag(at));
		else if (load(mm, at, &word))
			expect(word == 0 || word == tag(at));
	}
	return NULL;
}

static atomic_long changes;

static void change_something(uint64_t *seed)
{
	uint64_t first = next_random(seed) % PAGES, n = 1 + next_random(seed) % (PAGES - first);
	uint64_t at = BASE + first * PAGE_SIZE, bytes = n * PAGE_SIZE;

	switch (next_random(seed) % 8) {
	case 0:
		expect(!aspace_munmap(mm, at, bytes));
		break;
	case 1:
	case 2:
		expect(aspace_mmap(mm, at, bytes, RW, ANON | MAP_FIXED, NULL, 0) == (int64_t)at);
		break;
	case 3:
		expect(aspace_mmap(mm, at, bytes, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, NULL, 0) ==
		       (int64_t)at);
		break;
	case 4:		/* the file's page behind the address of the same number: words are where they belong */
		expect(aspace_mmap(mm, at, bytes, RW, (next_random(seed) & 1 ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED,
				   file, first * PAGE_SIZE) == (int64_t)at);
		break;
	case 5:
		aspace_mprotect(mm, at, bytes, next_random(seed) & 1 ? RW : PROT_READ);
		break;
	case 6:
		aspace_madvise(mm, at, bytes, next_random(seed) & 1 ? MADV_DONTNEED : MADV_FREE);
		break;
	case 7:
		aspace_madvise(mm, at, bytes, MADV_POPULATE_WRITE);
	}
	atomic_fetch_add(&changes, 1);
}

static void *changer(void *arg)
{
	uint64_t seed = 1234567 + (uintptr_t)arg;

	while (!atomic_load(&stop))
		change_something(&seed);
	return NULL;
}

static int swallow(void *priv, const char *text, size_t n)
{
	return 0;
}

static int count_leaf(void *priv, const struct aspace_pte *pte)
{
	expect(pte->addr >= BASE && pte->addr < BASE + SPAN);
	++*(uint64_t *)priv;
	return 0;
}

/* Who only looks, looks at something whole. */
static void *looker(void *arg)
{
	unsigned char vector[PAGES];
	uint64_t entries[PAGES], leaves;

	while (!atomic_load(&stop)) {
		leaves = 0;
		expect(!aspace_walk(mm, 0, UINT64_MAX, count_leaf, &leaves) && leaves <= PAGES);
		expect(!aspace_print_smaps(mm, swallow, NULL));
		aspace_mincore(mm, BASE, SPAN, vector);
		expect(aspace_pagemap_read(mm, BASE, entries, PAGES) == (int64_t)PAGES);
		expect(!aspace_clear_refs(mm, 1));
		sched_yield();
	}
	return NULL;
}

static void areas_come_and_go(void **state)
{
	void *(*const body[])(void *) = { toucher, toucher, changer, changer, looker };

	set_up();
	atomic_store(&changes, 0);
	race(body, 5, 2 * MS);
	print_message("%ld changes under %ld stores and %ld loads, %ld refused\n", atomic_load(&changes),
		      atomic_load(&stores), atomic_load(&loads), atomic_load(&refused));
	tear_down();
}

/* ---- fork while others write -------------------------------------------------------------------- */

static atomic_long forks, moved_on;

/* The word goes up in page 2k first, then in page 2k+1: what one moment shows differs by one at most. */
static void *counter(void *arg)
{
	uint64_t at = BASE + (uintptr_t)arg * 2 * PAGE_SIZE, word;

	for (uint64_t n = 1; !atomic_load(&stop); n++) {
		expect(store(mm, at, n));
		expect(store(mm, at + PAGE_SIZE, n));
		expect(load(mm, at, &word) && word == n);
	}
	return NULL;
}

static void look_at_pair(struct aspace_mm *child, uint64_t at)
{
	uint64_t a = 0, b = 0, again = 0, now = 0;

	expect(load(child, at, &a) && load(child, at + PAGE_SIZE, &b));
	expect(a == b || a == b + 1);
	expect(load(mm, at, &now) && now >= a);
	atomic_fetch_add(&moved_on, now > a);
	expect(load(child, at, &again) && again == a);
	expect(store(child, at, UINT64_MAX));	/* must not reach the parent: its thread looks */
}

static void *forker(void *arg)
{
	while (!atomic_load(&stop)) {
		struct aspace_mm *child, *grandchild;
		uint64_t word;

		expect(!aspace_mm_fork(mm, &child));
		for (uint64_t pair = 0; pair < 2; pair++)
			look_at_pair(child, BASE + pair * 2 * PAGE_SIZE);
		expect(!aspace_mm_fork(child, &grandchild));
		aspace_mm_put(child);
		expect(load(grandchild, BASE, &word) && word == UINT64_MAX);
		aspace_mm_put(grandchild);
		atomic_fetch_add(&forks, 1);
		sched_yield();
	}
	return NULL;
}

static void fork_is_one_moment(void **state)
{
	void *(*const body[])(void *) = { counter, counter, forker, forker };

	set_up();
	map_fixed(RW, ANON, NULL);
	atomic_store(&forks, 0);
	atomic_store(&moved_on, 0);
	race(body, 4, 2 * MS);
	print_message("%ld forks under %ld stores; the parent had moved on %ld times\n", atomic_load(&forks),
		      atomic_load(&stores), atomic_load(&moved_on));
	tear_down();
}

/* ---- truncation under faults --------------------------------------------------------------------- */

#define KEPT	(PAGES / 4)		/* pages that the file always has */
static atomic_long truncations;

static void *file_toucher(void *arg)
{
	uint64_t seed = 99 + (uintptr_t)arg, word;

	while (!atomic_load(&stop)) {
		uint64_t offset = next_random(&seed) % (SPAN / 8) * 8, at = BASE + offset;
		bool done;

		if (next_random(&seed) & 1) {
			done = store(mm, at, tag(at));
		} else {
			done = load(mm, at, &word);
			expect(!done || word == 0 || word == tag(at));
		}
		expect(done || offset >= KEPT * PAGE_SIZE);
	}
	return NULL;
}

/* The only one who changes the length: while the file is short, nothing is cached beyond its end. */
static void *truncater(void *arg)
{
	while (!atomic_load(&stop)) {
		expect(!aspace_mapping_truncate(mapping, KEPT * PAGE_SIZE));
		expect(aspace_mapping_pages(mapping) <= KEPT);
		disk_truncate(KEPT * PAGE_SIZE);
		expect(!aspace_mapping_truncate(mapping, SPAN));
		atomic_fetch_add(&truncations, 1);
		sched_yield();
	}
	return NULL;
}

static void *hole_puncher(void *arg)
{
	uint64_t seed = 4711;

	while (!atomic_load(&stop)) {
		uint64_t first = next_random(&seed) % PAGES;

		expect(!aspace_mapping_punch_hole(mapping, first * PAGE_SIZE, 3 * PAGE_SIZE / 2));
		sched_yield();
	}
	return NULL;
}

static void truncate_under(unsigned flags)
{
	void *(*const body[])(void *) = { file_toucher, file_toucher, truncater, hole_puncher };

	set_up();
	map_fixed(RW, flags, file);
	atomic_store(&truncations, 0);
	race(body, flags & MAP_SHARED ? 3 : 4, MS);
	print_message("%ld truncations under %ld stores and %ld loads, %ld beyond the end\n",
		      atomic_load(&truncations), atomic_load(&stores), atomic_load(&loads), atomic_load(&refused));
	tear_down();
}

static void truncation_under_a_shared_mapping(void **state)
{
	truncate_under(MAP_SHARED);
}

static void truncation_under_a_private_mapping(void **state)
{
	truncate_under(MAP_PRIVATE);
}

/* Private copies go with the end of the file, and come back through fork nowhere. */
static void *truncation_forker(void *arg)
{
	while (!atomic_load(&stop)) {
		struct aspace_mm *child;
		uint64_t word;

		expect(!aspace_mm_fork(mm, &child));
		for (uint64_t i = 0; i < PAGES; i++) {
			uint64_t at = BASE + i * PAGE_SIZE;

			if (load(child, at, &word))
				expect(word == 0 || word == tag(at));
			else
				expect(i >= KEPT);
		}
		aspace_mm_put(child);
		sched_yield();
	}
	return NULL;
}

static void truncation_under_forks(void **state)
{
	void *(*const body[])(void *) = { file_toucher, truncation_forker, truncater };

	set_up();
	map_fixed(RW, MAP_PRIVATE, file);
	atomic_store(&truncations, 0);
	race(body, 3, MS);
	print_message("%ld truncations under %ld stores and %ld loads, %ld beyond the end\n",
		      atomic_load(&truncations), atomic_load(&stores), atomic_load(&loads), atomic_load(&refused));
	tear_down();
}

/* ---- write-back under stores ---------------------------------------------------------------------- */

static atomic_long syncs;

/* What was stored before msync is in the file after it, however many others store and sync. */
static void *sync_writer(void *arg)
{
	uint64_t me = (uintptr_t)arg, seed = 5 + me;

	for (uint64_t n = 1; !atomic_load(&stop); n++) {
		uint64_t offset = next_random(&seed) % PAGES * PAGE_SIZE + 8 * me;

		expect(store(mm, BASE + offset, n));
		if (n % 4 == 0) {
			expect(!aspace_msync(mm, BASE, SPAN, MS_SYNC));
			expect(disk_word(offset) == n);
			atomic_fetch_add(&syncs, 1);
		}
	}
	return NULL;
}

/* The same with the area taken away in between: what was stored is still the file's. */
static void *remapper(void *arg)
{
	uint64_t at = BASE + SPAN, offset = 8 * (uintptr_t)arg;

	for (uint64_t n = 1; !atomic_load(&stop); n++) {
		expect(aspace_mmap(mm, at, SPAN, RW, MAP_SHARED | MAP_FIXED, file, 0) == (int64_t)at);
		expect(store(mm, at + offset, n));
		expect(!aspace_munmap(mm, at, SPAN));
		expect(!aspace_mapping_sync(mapping, 0, SPAN));
		expect(disk_word(offset) == n);
		sched_yield();
	}
	return NULL;
}

static void what_was_stored_before_msync_is_written(void **state)
{
	void *(*const body[])(void *) = { sync_writer, sync_writer, remapper };
	uint64_t word;

	set_up();
	map_fixed(RW, MAP_SHARED, file);
	atomic_store(&syncs, 0);
	race(body, 3, MS);
	assert_int_equal(aspace_msync(mm, BASE, SPAN, MS_SYNC), 0);
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 0);
	for (uint64_t offset = 0; offset < SPAN; offset += 8)
		if (load(mm, BASE + offset, &word) && word != disk_word(offset))
			fail_msg("at %#lx memory has %lu, the file %lu", offset, word, disk_word(offset));
	print_message("%ld msyncs under %ld stores\n", atomic_load(&syncs), atomic_load(&stores));
	tear_down();
}

/* ---- everything at once ------------------------------------------------------------------------------ */

/* Pages move, so a word tells only where in its page it belongs. */
static uint64_t place_tag(uint64_t addr)
{
	return tag(offset_in_page(addr));
}

static void *place_toucher(void *arg)
{
	uint64_t seed = 177 + (uintptr_t)arg, word;

	while (!atomic_load(&stop)) {
		uint64_t at = BASE + next_random(&seed) % (SPAN / 8) * 8;

		if (next_random(&seed) & 1)
			store(mm, at, place_tag(at));
		else if (load(mm, at, &word))
			expect(word == 0 || word == place_tag(at));
	}
	return NULL;
}

static void advise_something(uint64_t at, uint64_t bytes, uint64_t *seed)
{
	static const int advices[] = {
		MADV_PAGEOUT, MADV_COLD, MADV_FREE, MADV_DONTNEED, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE,
		MADV_WILLNEED, MADV_POPULATE_READ,
	};

	aspace_madvise(mm, at, bytes, advices[next_random(seed) % 8]);
}

static void *mover(void *arg)
{
	uint64_t seed = 7654321 + (uintptr_t)arg;

	while (!atomic_load(&stop)) {
		uint64_t first = next_random(&seed) % PAGES, n = 1 + next_random(&seed) % (PAGES - first);
		uint64_t to = next_random(&seed) % (PAGES - n + 1);
		uint64_t at = BASE + first * PAGE_SIZE, bytes = n * PAGE_SIZE;

		switch (next_random(&seed) % 8) {
		case 0:
			aspace_mremap(mm, at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, BASE + to * PAGE_SIZE);
			break;
		case 1:
			expect(aspace_mmap(mm, at, bytes, RW, ANON | MAP_FIXED, NULL, 0) == (int64_t)at);
			break;
		case 2:
			expect(aspace_mmap(mm, at, bytes, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, NULL, 0) ==
			       (int64_t)at);
			break;
		case 3:
			expect(aspace_mmap(mm, at, bytes, RW,
					   (next_random(&seed) & 1 ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED, file,
					   first * PAGE_SIZE) == (int64_t)at);
			break;
		case 4:
			aspace_mprotect(mm, at, bytes, next_random(&seed) & 1 ? RW : PROT_READ);
			break;
		default:
			advise_something(at, bytes, &seed);
		}
		atomic_fetch_add(&changes, 1);
	}
	return NULL;
}

static void *storm_forker(void *arg)
{
	uint64_t seed = 31337, word;

	while (!atomic_load(&stop)) {
		struct aspace_mm *child;

		expect(!aspace_mm_fork(mm, &child));
		for (int i = 0; i < 32; i++) {
			uint64_t at = BASE + next_random(&seed) % (SPAN / 8) * 8;

			if (load(child, at, &word))
				expect(word == 0 || word == place_tag(at));
			store(child, at, place_tag(at));
		}
		aspace_mm_put(child);
		atomic_fetch_add(&forks, 1);
		sched_yield();
	}
	return NULL;
}

static void *cache_shaker(void *arg)
{
	uint64_t seed = 271828;

	while (!atomic_load(&stop)) {
		uint64_t offset = next_random(&seed) % SPAN, word = 0;

		expect(!aspace_mapping_sync(mapping, 0, SPAN));
		expect(!aspace_mapping_invalidate(mapping, next_random(&seed) & 1));
		expect(!aspace_mapping_punch_hole(mapping, offset & ~7ull, 2 * PAGE_SIZE));
		expect(aspace_mapping_write(mapping, offset & PAGE_MASK, &word, 8) == 8);
		expect(!aspace_mapping_truncate(mapping, offset & PAGE_MASK));
		disk_truncate(offset & PAGE_MASK);
		expect(!aspace_mapping_truncate(mapping, SPAN));
		shrink_page_cache(m, 8);
		sched_yield();
	}
	return NULL;
}

static void everything_at_once(void **state)
{
	void *(*const body[])(void *) = {
		place_toucher, place_toucher, mover, mover, storm_forker, cache_shaker, looker,
	};

	set_up();
	atomic_store(&changes, 0);
	atomic_store(&forks, 0);
	race(body, 7, 3 * MS);
	print_message("%ld changes and %ld forks under %ld stores and %ld loads, %ld refused\n",
		      atomic_load(&changes), atomic_load(&forks), atomic_load(&stores), atomic_load(&loads),
		      atomic_load(&refused));
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_at_once),
		cmocka_unit_test(threads_fault_on_the_same_private_pages),
		cmocka_unit_test(threads_fault_on_the_same_shared_pages),
		cmocka_unit_test(areas_come_and_go),
		cmocka_unit_test(fork_is_one_moment),
		cmocka_unit_test(truncation_under_a_shared_mapping),
		cmocka_unit_test(truncation_under_a_private_mapping),
		cmocka_unit_test(truncation_under_forks),
		cmocka_unit_test(what_was_stored_before_msync_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
