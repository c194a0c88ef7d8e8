/* SPDX-License-Identifier: MIT */
/*
 * Two readers of the same bytes (D1): the library's walker, and an MMU written from the processor's
 * manual that shares no code with it. First the MMU alone, over tables made by hand; then both over
 * address spaces in which everything happens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <aspace/aspace.h>

#include "hw/mmu.h"

#define PAGE	4096ull
#define RW	(ASPACE_PROT_READ | ASPACE_PROT_WRITE)
#define ANON	(ASPACE_MAP_PRIVATE | ASPACE_MAP_ANONYMOUS)

/* ---- the MMU alone ------------------------------------------------------------------------------------ */

#define P	1ull
#define W	2ull
#define U	4ull
#define LARGE	0x80ull
#define NX	(1ull << 63)

/* Frames: 1 PML4, 2 PDPT, 3 PD, 4 PT, 5 PML5. */
static uint64_t bare_ram[6 * 512] __attribute__((aligned(4096)));
static struct mmu bare = { .ram = (uint8_t *)bare_ram, .ram_bytes = sizeof(bare_ram) };

static uint64_t *bare_entry(unsigned frame, unsigned index)
{
	return &bare_ram[frame * 512 + index];
}

/* Maps address 0x40201000 (indexes 0, 1, 1, 1) through levels that allow all. */
static void bare_tables(void)
{
	memset(bare_ram, 0, sizeof(bare_ram));
	bare.pkru = 0;
	bare.la57 = false;
	*bare_entry(5, 0) = 1 * PAGE | P | W | U;
	*bare_entry(1, 0) = 2 * PAGE | P | W | U;
	*bare_entry(2, 1) = 3 * PAGE | P | W | U;
	*bare_entry(3, 1) = 4 * PAGE | P | W | U;
	*bare_entry(4, 1) = 0x12345000 | P | W | U;
}

static uint32_t bare_walk(uint64_t addr, unsigned access, uint64_t *phys)
{
	return mmu_translate(&bare, (bare.la57 ? 5 : 1) * PAGE, addr, access, phys);
}

static void four_and_five_levels(void **state)
{
	uint64_t phys = 0;

	bare_tables();
	assert_int_equal(bare_walk(0x40201abc, MMU_READ, &phys), 0);
	assert_int_equal(phys, 0x12345abc);
	assert_int_equal(bare_walk(0x40202abc, MMU_READ, &phys), MMU_USER);
	assert_int_equal(bare_walk(0x40202abc, MMU_WRITE, &phys), MMU_USER | MMU_WAS_WRITE);
	assert_int_equal(bare_walk(0x800000000000, MMU_READ, &phys), MMU_CANONICAL);
	bare.la57 = true;
	assert_int_equal(bare_walk(0x40201abc, MMU_READ, &phys), 0);
	assert_int_equal(bare_walk(0x800000000000, MMU_READ, &phys), MMU_USER);
	assert_int_equal(bare_walk(0x100000000000000, MMU_READ, &phys), MMU_CANONICAL);
}

static void rights_are_the_least_of_all_levels(void **state)
{
	uint64_t phys;

	for (unsigned frame = 1; frame <= 4; frame++) {
		unsigned index = frame > 1;

		bare_tables();
		*bare_entry(frame, index) &= ~W;
		assert_int_equal(bare_walk(0x40201000, MMU_READ, &phys), 0);
		assert_int_equal(bare_walk(0x40201000, MMU_WRITE, &phys), MMU_PRESENT | MMU_USER | MMU_WAS_WRITE);
		bare_tables();
		*bare_entry(frame, index) &= ~U;
		assert_int_equal(bare_walk(0x40201000, MMU_READ, &phys), MMU_PRESENT | MMU_USER);
		bare_tables();
		*bare_entry(frame, index) |= NX;
		assert_int_equal(bare_walk(0x40201000, MMU_WRITE, &phys), 0);
		assert_int_equal(bare_walk(0x40201000, MMU_FETCH, &phys), MMU_PRESENT | MMU_USER | MMU_WAS_FETCH);
	}
}

static void large_leaves_and_reserved_bits(void **state)
{
	uint64_t phys;

	bare_tables();
	*bare_entry(3, 1) = 0x40000000 | LARGE | P | U;
	assert_int_equal(bare_walk(0x40201abc, MMU_READ, &phys), 0);
	assert_int_equal(phys, 0x40001abc);
	*bare_entry(3, 1) |= 0x2000;
	assert_int_equal(bare_walk(0x40201abc, MMU_READ, &phys), MMU_PRESENT | MMU_USER | MMU_RESERVED);
	*bare_entry(2, 1) = 0x80000000 | LARGE | P | U;
	assert_int_equal(bare_walk(0x40201abc, MMU_READ, &phys), 0);
	assert_int_equal(phys, 0x80201abc);
	*bare_entry(1, 0) |= LARGE;
	assert_int_equal(bare_walk(0x40201abc, MMU_READ, &phys), MMU_PRESENT | MMU_USER | MMU_RESERVED);
}

static void keys_forbid_data_not_fetches(void **state)
{
	uint64_t phys;

	bare_tables();
	*bare_entry(4, 1) |= 5ull << 59;
	bare.pkru = 2u << 10;
	assert_int_equal(bare_walk(0x40201000, MMU_READ, &phys), 0);
	assert_int_equal(bare_walk(0x40201000, MMU_WRITE, &phys),
			 MMU_PRESENT | MMU_USER | MMU_WAS_WRITE | MMU_KEY);
	bare.pkru = 1u << 10;
	assert_int_equal(bare_walk(0x40201000, MMU_READ, &phys), MMU_PRESENT | MMU_USER | MMU_KEY);
	assert_int_equal(bare_walk(0x40201000, MMU_FETCH, &phys), 0);
}

static void accessed_and_dirty(void **state)
{
	uint64_t phys;

	bare_tables();
	assert_int_equal(bare_walk(0x40201000, MMU_READ, &phys), 0);
	assert_int_equal(*bare_entry(4, 1) & 0x60, 0);
	assert_int_equal(bare_walk(0x40201000, MMU_READ | MMU_SET_AD, &phys), 0);
	assert_int_equal(*bare_entry(4, 1) & 0x60, 0x20);
	assert_int_equal(*bare_entry(1, 0) & 0x60, 0x20);
	assert_int_equal(bare_walk(0x40201000, MMU_WRITE | MMU_SET_AD, &phys), 0);
	assert_int_equal(*bare_entry(4, 1) & 0x60, 0x60);
	assert_int_equal(*bare_entry(3, 1) & 0x60, 0x20);
}

/* ---- both ------------------------------------------------------------------------------------------------ */

struct leaf {
	uint64_t addr, phys;
	unsigned shift, access;
	bool accessed, dirty;
};

struct leaves {
	struct leaf *leaf;
	size_t n, room;
};

static void add_leaf(struct leaves *leaves, struct leaf leaf)
{
	if (leaves->n == leaves->room) {
		leaves->room = leaves->room ? 2 * leaves->room : 64;
		leaves->leaf = realloc(leaves->leaf, leaves->room * sizeof(leaf));
	}
	memset(&leaves->leaf[leaves->n], 0, sizeof(leaf));
	leaves->leaf[leaves->n++] = leaf;
}

static int seen_by_library(void *priv, const struct aspace_pte *pte)
{
	add_leaf(priv, (struct leaf){ pte->addr, pte->phys, pte->page_shift, pte->access, pte->accessed, pte->dirty });
	return 0;
}

static int seen_by_mmu(void *priv, const struct mmu_leaf *l)
{
	unsigned access = ASPACE_READ | (l->write ? ASPACE_WRITE : 0) | (l->exec ? ASPACE_EXEC : 0);

	add_leaf(priv, (struct leaf){ l->addr, l->phys, l->shift, access, l->accessed, l->dirty });
	return 0;
}

static struct mmu mmu_of(struct aspace_machine *m, bool la57)
{
	struct mmu mmu = { .la57 = la57 };

	mmu.ram = aspace_machine_ram(m, &mmu.ram_bytes, NULL);
	return mmu;
}

/* The same leaves, in the same order, with the same rights; how many. */
static size_t compare_leaves(struct aspace_machine *m, struct aspace_mm *mm, bool la57)
{
	struct leaves ours = { NULL, 0, 0 }, hardware = { NULL, 0, 0 };
	struct mmu mmu = mmu_of(m, la57);
	size_t n;

	assert_int_equal(aspace_walk(mm, 0, UINT64_MAX, seen_by_library, &ours), 0);
	assert_int_equal(mmu_for_each_leaf(&mmu, aspace_mm_root(mm), seen_by_mmu, &hardware), 0);
	assert_int_equal(ours.n, hardware.n);
	for (size_t i = 0; i < ours.n; i++) {
		struct leaf *a = &ours.leaf[i], *b = &hardware.leaf[i];

		if (a->addr != b->addr || a->phys != b->phys || a->shift != b->shift || a->access != b->access ||
		    a->accessed != b->accessed || a->dirty != b->dirty)
			fail_msg("%#lx -> %#lx %u %u, the MMU sees %#lx -> %#lx %u %u", a->addr, a->phys, a->shift,
				 a->access, b->addr, b->phys, b->shift, b->access);
	}
	n = ours.n;
	free(ours.leaf);
	free(hardware.leaf);
	return n;
}

/* One address, one access: both translate, to the same place, or both don't. */
static bool compare_access(struct aspace_machine *m, struct aspace_mm *mm, bool la57, uint64_t addr, unsigned access)
{
	struct aspace_translation t = { .size = sizeof(t) };
	struct mmu mmu = mmu_of(m, la57);
	uint64_t phys = 0;
	uint32_t error = mmu_translate(&mmu, aspace_mm_root(mm), addr, access, &phys);
	int ours = aspace_translate(mm, addr, access, &t);

	assert_int_equal(error != 0, ours != 0);
	if (!error)
		assert_int_equal(phys, t.phys);
	return !error;
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#define WINDOW	0x7f0000000000ull
#define PAGES	64

static void do_something(struct aspace_mm *mm, uint64_t *seed)
{
	uint64_t addr = WINDOW + next_random(seed) % PAGES * PAGE, n = (1 + next_random(seed) % 16) * PAGE;
	unsigned prot = next_random(seed) % 4 ? 7 : next_random(seed) % 8;
	uint64_t word = *seed;

	switch (next_random(seed) % 16) {
	case 0:
		aspace_mmap(mm, addr, n, prot, ANON | ASPACE_MAP_FIXED, NULL, 0);
		break;
	case 1:
		aspace_mmap(mm, addr, n, prot, ASPACE_MAP_SHARED | ASPACE_MAP_ANONYMOUS | ASPACE_MAP_FIXED, NULL, 0);
		break;
	case 2:
		aspace_munmap(mm, addr, n);
		break;
	case 3:
		aspace_mprotect(mm, addr, n, prot);
		break;
	case 4:
		aspace_mremap(mm, addr, n, n, ASPACE_MREMAP_MAYMOVE | ASPACE_MREMAP_FIXED,
			      WINDOW + next_random(seed) % PAGES * PAGE);
		break;
	case 5:
		aspace_madvise(mm, addr, n, ASPACE_MADV_DONTNEED);
		break;
	default:
		aspace_fault(mm, addr, 1u << next_random(seed) % 3, 0, NULL);
		aspace_copy_to_user(mm, addr, &word, sizeof(word));
	}
}

static void both_agree(enum aspace_format format)
{
	struct aspace_machine_options options = {
		.size = sizeof(options), .ram_bytes = 32 << 20, .format = format,
	};
	bool la57 = format == ASPACE_X86_64_5LEVEL;
	uint64_t seed = 0x123456789, translated = 0, leaves = 0;
	struct aspace_mm *mm[3];
	struct aspace_machine *m;
	char why[256];

	assert_int_equal(aspace_machine_create(&options, &m), 0);
	assert_int_equal(aspace_mm_create(m, &mm[0]), 0);
	for (int i = 1; i < 3; i++)
		assert_int_equal(aspace_mm_fork(mm[i - 1], &mm[i]), 0);
	for (int step = 0; step < 6000; step++) {
		int i = next_random(&seed) % 3;

		if (next_random(&seed) % 100 == 0) {
			int to = (i + 1) % 3;

			aspace_mm_put(mm[to]);
			assert_int_equal(aspace_mm_fork(mm[i], &mm[to]), 0);
		}
		do_something(mm[i], &seed);
		translated += compare_access(m, mm[i], la57, WINDOW + next_random(&seed) % (PAGES * PAGE),
					     1u << next_random(&seed) % 3);
		if (step % 20 == 0)
			leaves += compare_leaves(m, mm[i], la57);
	}
	print_message("%lu of 6000 addresses translated, %lu leaves compared\n", translated, leaves);
	assert_true(translated > 500 && leaves > 1000);
	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("%s", why);
	for (int i = 0; i < 3; i++)
		aspace_mm_put(mm[i]);
	aspace_machine_destroy(m);
}

static void both_agree_on_four_levels(void **state)
{
	both_agree(ASPACE_X86_64_4LEVEL);
}

static void both_agree_on_five_levels(void **state)
{
	both_agree(ASPACE_X86_64_5LEVEL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_and_five_levels),
		cmocka_unit_test(rights_are_the_least_of_all_levels),
		cmocka_unit_test(large_leaves_and_reserved_bits),
		cmocka_unit_test(keys_forbid_data_not_fetches),
		cmocka_unit_test(accessed_and_dirty),
		cmocka_unit_test(both_agree_on_four_levels),
		cmocka_unit_test(both_agree_on_five_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
