/* SPDX-License-Identifier: MIT */
/* Physical memory: the buddy allocator, the short lists, the figures by use. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/internal.h"

static struct aspace_machine *machine(uint64_t bytes)
{
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = bytes };
	struct aspace_machine *m;

	assert_int_equal(aspace_machine_create(&options, &m), 0);
	return m;
}

static void check(struct aspace_machine *m)
{
	char why[256] = "";

	if (check_frames(m, why, sizeof(why)))
		fail_msg("%s", why);
}

static uint64_t free_frames(struct aspace_machine *m)
{
	return nr_frames_of(m, PAGE_FREE);
}

static bool is_zero(struct aspace_machine *m, struct page *page)
{
	static const uint8_t zero[PAGE_SIZE];

	return memcmp(page_address(m, page), zero, PAGE_SIZE) == 0;
}

static void one_frame_comes_and_goes(void **state)
{
	struct aspace_machine *m = machine(16 << 20);
	uint64_t before = free_frames(m);
	struct page *page = alloc_page(m, PAGE_ANON, 0);

	assert_non_null(page);
	assert_int_equal(free_frames(m), before - 1);
	assert_int_equal(nr_frames_of(m, PAGE_ANON), 1);
	check(m);
	get_page(page);
	put_page(m, page);
	assert_int_equal(nr_frames_of(m, PAGE_ANON), 1);
	put_page(m, page);
	assert_int_equal(free_frames(m), before);
	assert_int_equal(nr_frames_of(m, PAGE_ANON), 0);
	check(m);
	aspace_machine_destroy(m);
}

static void frame_zero_is_never_handed_out(void **state)
{
	struct aspace_machine *m = machine(1 << 20);
	struct page *page;

	assert_int_equal(m->mem_map[0].type, PAGE_RESERVED);
	while ((page = alloc_page(m, PAGE_TABLE, 0)))
		assert_int_not_equal(page_to_pfn(m, page), 0);
	assert_int_equal(free_frames(m), 0);
	check(m);
	aspace_machine_destroy(m);
}

static void zeroed_frames_are_zero_though_they_were_used(void **state)
{
	struct aspace_machine *m = machine(1 << 20);
	struct page *pages[200];
	unsigned n;

	for (int round = 0; round < 3; round++) {
		for (n = 0; n < 200 && (pages[n] = alloc_page(m, PAGE_ANON, GFP_ZERO)); n++) {
			assert_true(is_zero(m, pages[n]));
			memset(page_address(m, pages[n]), 0xaa, PAGE_SIZE);
		}
		assert_true(n > 100);
		free_pages_batch(m, pages, n);
		check(m);
	}
	aspace_machine_destroy(m);
}

/*
 *	order 3:  |........|        taken in halves, given back in any order, whole again
 */
static void buddies_join_again(void **state)
{
	struct aspace_machine *m = machine(32 << 20);
	struct page *pages[64];
	uint64_t largest = m->zone[ZONE_DMA].free_area[MAX_ORDER].nr;
	unsigned got;

	got = alloc_pages_run(m, PAGE_FILE, 64, 0, pages);
	assert_int_equal(got, 64);
	for (unsigned i = 1; i < got; i++)
		assert_ptr_equal(pages[i], pages[0] + i);
	check(m);
	for (unsigned i = 0; i < got; i++)
		put_page(m, pages[i * 29 % 64]);
	check(m);
	for (unsigned order = 1; order <= MAX_ORDER; order++) {
		struct page *page = alloc_pages(m, PAGE_DRIVER, order, GFP_ZERO);

		assert_non_null(page);
		assert_int_equal(page_to_pfn(m, page) & ((1u << order) - 1), 0);
		assert_int_equal(nr_frames_of(m, PAGE_DRIVER), 1u << order);
		check(m);
		put_page(m, page);
		check(m);
	}
	/* Only the short lists and the zero page keep blocks apart. */
	assert_true(m->zone[ZONE_DMA].free_area[MAX_ORDER].nr + 1 >= largest);
	assert_null(alloc_pages(m, PAGE_DRIVER, MAX_ORDER + 1, 0));
	aspace_machine_destroy(m);
}

static void zones_are_where_they_belong(void **state)
{
	struct aspace_machine *m = machine(5ull << 30);
	struct page *page = alloc_page(m, PAGE_ANON, 0);

	assert_true(page_to_pfn(m, page) >= 4ull << 30 >> PAGE_SHIFT);
	put_page(m, page);
	page = alloc_page(m, PAGE_DRIVER, GFP_DMA);
	assert_true(page_to_pfn(m, page) < 16ull << 20 >> PAGE_SHIFT);
	put_page(m, page);
	page = alloc_pages(m, PAGE_DRIVER, 4, GFP_DMA32);
	assert_true(page_to_pfn(m, page) < 4ull << 30 >> PAGE_SHIFT);
	put_page(m, page);
	for (int z = 0; z < MAX_NR_ZONES; z++) {
		assert_true(m->zone[z].watermark[0] < m->zone[z].watermark[1]);
		assert_true(m->zone[z].watermark[1] < m->zone[z].watermark[2]);
	}
	aspace_machine_destroy(m);
}

/* Page tables may take what others must leave: who holds a lock can't step back. */
static void the_last_frames_are_kept_for_page_tables(void **state)
{
	struct aspace_machine *m = machine(4 << 20);
	uint64_t n = 0;

	while (alloc_page(m, PAGE_ANON, 0))
		n++;
	assert_in_range(free_frames(m), 1, m->zone[ZONE_DMA].watermark[0]);
	while (alloc_page(m, PAGE_TABLE, 0))
		n++;
	assert_int_equal(free_frames(m), 0);
	assert_int_equal(n, m->nr_frames - 3);	/* frame 0, the zero page, init_mm's root */
	check(m);
	aspace_machine_destroy(m);
}

static void *take_and_return(void *arg)
{
	struct page *pages[40];
	unsigned n = 0;

	while (n < 40 && (pages[n] = alloc_page(arg, PAGE_ANON, 0)))
		n++;
	free_pages_batch(arg, pages, n);
	return NULL;
}

/* Frames that other threads gave back stand in their lists; they are had when nothing else is left. */
static void what_is_in_lists_of_others_is_found(void **state)
{
	struct aspace_machine *m = machine(1 << 20);
	uint64_t n = 0;

	for (int i = 0; i < 8; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, take_and_return, m), 0);
		pthread_join(thread, NULL);
	}
	while (alloc_page(m, PAGE_TABLE, 0))
		n++;
	assert_int_equal(n, m->nr_frames - 3);	/* frame 0, the zero page, init_mm's root */
	check(m);
	aspace_machine_destroy(m);
}

static void the_nth_allocation_fails_once(void **state)
{
	struct aspace_machine *m = machine(1 << 20);
	struct page *page;

	atomic_store(&m->fail_frame, 2);
	page = alloc_page(m, PAGE_ANON, 0);
	assert_non_null(page);
	assert_null(alloc_page(m, PAGE_ANON, 0));
	put_page(m, page);
	page = alloc_page(m, PAGE_ANON, 0);
	assert_non_null(page);
	put_page(m, page);
	aspace_machine_destroy(m);
}

static void drivers_get_zeroed_runs(void **state)
{
	struct aspace_machine *m = machine(8 << 20);
	uint64_t before = free_frames(m), phys;
	uint8_t *ram = aspace_machine_ram(m, NULL, NULL);

	for (int round = 0; round < 2; round++) {
		assert_int_equal(aspace_frames_alloc(m, 5, &phys), 0);
		for (uint64_t i = 0; i < 32 * PAGE_SIZE; i++)
			assert_int_equal(ram[phys + i], 0);
		memset(ram + phys, 1, 32 * PAGE_SIZE);
		aspace_frames_free(m, phys, 5);
	}
	assert_int_equal(aspace_frames_alloc(m, 11, &phys), -EINVAL);
	assert_int_equal(free_frames(m), before);
	check(m);
	aspace_machine_destroy(m);
}

/* ---- random: against a table of who owns which frame --------------------------------------------- */

struct owned {
	struct page *page;
	unsigned order;
};

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void random_orders_never_overlap(void **state)
{
	enum { SLOTS = 300, STEPS = 20000 };
	struct aspace_machine *m = machine(16 << 20);
	struct owned owned[SLOTS] = { { NULL, 0 } };
	uint8_t *owner = calloc(m->nr_frames, 1);
	uint64_t seed = 0x5eed, before = free_frames(m), failed = 0;

	for (int step = 0; step < STEPS; step++) {
		struct owned *slot = &owned[next_random(&seed) % SLOTS];
		unsigned order = __builtin_ctzll(next_random(&seed) | 1u << 9);

		if (slot->page) {
			memset(owner + page_to_pfn(m, slot->page), 0, 1u << slot->order);
			put_page(m, slot->page);
			slot->page = NULL;
			continue;
		}
		slot->order = order;
		slot->page = alloc_pages(m, 2 + next_random(&seed) % 3, order, 0);
		failed += !slot->page;
		for (unsigned i = 0; slot->page && i < 1u << order; i++) {
			assert_int_equal(owner[page_to_pfn(m, slot->page) + i], 0);
			owner[page_to_pfn(m, slot->page) + i] = 1;
		}
		if (step % 500 == 0)
			check(m);
	}
	for (int i = 0; i < SLOTS; i++)
		if (owned[i].page)
			put_page(m, owned[i].page);
	assert_int_equal(free_frames(m), before);
	check(m);
	print_message("%d steps, %lu refused for want of a block\n", STEPS, (unsigned long)failed);
	free(owner);
	aspace_machine_destroy(m);
}

/* ---- threads: every frame is one thread's at a time ------------------------------------------------ */

struct worker {
	struct aspace_machine *m;
	uint64_t seed, got, refused;
};

static void *allocate_and_free(void *arg)
{
	struct worker *w = arg;
	struct page *pages[100] = { NULL };

	for (int step = 0; step < 50000; step++) {
		unsigned i = next_random(&w->seed) % 100;
		uint64_t *word;

		if (pages[i]) {
			word = page_address(w->m, pages[i]);
			BUG_ON(*word != (uint64_t)w);
			put_page(w->m, pages[i]);
			pages[i] = NULL;
		} else if ((pages[i] = alloc_page(w->m, PAGE_ANON, GFP_ZERO))) {
			word = page_address(w->m, pages[i]);
			BUG_ON(*word != 0);
			*word = (uint64_t)w;
			w->got++;
		} else {
			w->refused++;
		}
	}
	for (int i = 0; i < 100; i++)
		if (pages[i])
			put_page(w->m, pages[i]);
	return NULL;
}

static void threads_share_nothing(void **state)
{
	enum { THREADS = 6 };
	struct aspace_machine *m = machine(1 << 20);	/* too little for all: lists are drained */
	uint64_t before = free_frames(m), refused = 0;
	struct worker w[THREADS];
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ m, i + 1, 0, 0 };
		assert_int_equal(pthread_create(&thread[i], NULL, allocate_and_free, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_true(w[i].got > 1000);
		refused += w[i].refused;
	}
	print_message("refused %lu times\n", (unsigned long)refused);
	assert_int_equal(free_frames(m), before);
	check(m);
	aspace_machine_destroy(m);
}

/* ---- the checker sees what it is there for ---------------------------------------------------------- */

static void the_checker_sees_damage(void **state)
{
	struct aspace_machine *m = machine(4 << 20);
	struct page *page = alloc_page(m, PAGE_ANON, 0);
	char why[256];

	page->type = PAGE_FILE;
	assert_int_equal(check_frames(m, why, sizeof(why)), -EUCLEAN);
	page->type = PAGE_ANON;
	atomic_store(&page->_refcount, 0);
	assert_int_equal(check_frames(m, why, sizeof(why)), -EUCLEAN);
	atomic_store(&page->_refcount, 1);
	atomic_store(&page->_mapcount, 2);
	assert_int_equal(check_frames(m, why, sizeof(why)), -EUCLEAN);
	atomic_store(&page->_mapcount, 0);
	m->zone[ZONE_DMA].free++;
	assert_int_equal(check_frames(m, why, sizeof(why)), -EUCLEAN);
	m->zone[ZONE_DMA].free--;
	check(m);
	put_page(m, page);
	aspace_machine_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_frame_comes_and_goes),
		cmocka_unit_test(frame_zero_is_never_handed_out),
		cmocka_unit_test(zeroed_frames_are_zero_though_they_were_used),
		cmocka_unit_test(buddies_join_again),
		cmocka_unit_test(zones_are_where_they_belong),
		cmocka_unit_test(the_last_frames_are_kept_for_page_tables),
		cmocka_unit_test(what_is_in_lists_of_others_is_found),
		cmocka_unit_test(the_nth_allocation_fails_once),
		cmocka_unit_test(drivers_get_zeroed_runs),
		cmocka_unit_test(random_orders_never_overlap),
		cmocka_unit_test(threads_share_nothing),
		cmocka_unit_test(the_checker_sees_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
