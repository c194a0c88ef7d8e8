/* SPDX-License-Identifier: MIT */
#include "hw/mmu.h"

#include <stddef.h>

#define P	(1ull << 0)
#define RW	(1ull << 1)
#define US	(1ull << 2)
#define A	(1ull << 5)
#define D	(1ull << 6)
#define PS	(1ull << 7)
#define NX	(1ull << 63)
#define FRAME	0x000ffffffffff000ull	/* bits 12..51 */

static unsigned root_shift(const struct mmu *mmu)
{
	return mmu->la57 ? 48 : 39;
}

/* The address' sign goes on to bit 63. */
static bool is_canonical(const struct mmu *mmu, uint64_t addr)
{
	unsigned unused = 64 - (root_shift(mmu) + 9);

	return (uint64_t)((int64_t)(addr << unused) >> unused) == addr;
}

static uint64_t *entry_at(const struct mmu *mmu, uint64_t table, unsigned index)
{
	uint64_t at = (table & FRAME) + index * 8;

	return at + 8 <= mmu->ram_bytes ? (uint64_t *)(mmu->ram + at) : NULL;
}

static bool is_leaf(uint64_t entry, unsigned shift)
{
	return shift == 12 || ((shift == 21 || shift == 30) && (entry & PS));
}

/* PS where no leaf may be; frame bits of a large leaf below its size, but for bit 12 (PAT). */
static bool has_reserved_bits(uint64_t entry, unsigned shift)
{
	if (shift > 30)
		return entry & PS;
	if (shift == 12 || !(entry & PS))
		return false;
	return entry & ((1ull << shift) - 1) & ~0x1fffull;
}

static uint64_t leaf_phys(uint64_t entry, unsigned shift)
{
	return entry & FRAME & ~((1ull << shift) - 1);
}

static uint32_t error_code(unsigned access, uint32_t why)
{
	return why | MMU_USER | (access & MMU_WRITE ? MMU_WAS_WRITE : 0) |
	       (access & MMU_FETCH ? MMU_WAS_FETCH : 0);
}

/* What the levels together forbid. rights: the AND of RW and US, and the OR of NX. */
static uint32_t refused(const struct mmu *mmu, uint64_t rights, uint64_t leaf, unsigned access)
{
	unsigned key = leaf >> 59 & 15;
	unsigned forbidden = mmu->pkru >> (2 * key) & 3;	/* 1: any access, 2: writes */

	if (!(rights & US) || ((access & MMU_WRITE) && !(rights & RW)) || ((access & MMU_FETCH) && (rights & NX)))
		return error_code(access, MMU_PRESENT);
	if (!(access & MMU_FETCH) && ((forbidden & 1) || ((forbidden & 2) && (access & MMU_WRITE))))
		return error_code(access, MMU_PRESENT | MMU_KEY);
	return 0;
}

static void set_bits(uint64_t *entry, uint64_t bits)
{
	if ((__atomic_load_n(entry, __ATOMIC_RELAXED) & bits) != bits)
		__atomic_fetch_or(entry, bits, __ATOMIC_RELAXED);
}

uint32_t mmu_translate(const struct mmu *mmu, uint64_t cr3, uint64_t addr, unsigned access, uint64_t *phys)
{
	uint64_t rights = RW | US, table = cr3, *path[5];
	unsigned depth = 0;

	if (!is_canonical(mmu, addr))
		return MMU_CANONICAL;
	for (unsigned shift = root_shift(mmu);; shift -= 9) {
		uint64_t *slot = entry_at(mmu, table, addr >> shift & 511);
		uint64_t entry;
		uint32_t error;

		if (!slot)
			return MMU_NOT_RAM;
		entry = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
		if (!(entry & P))
			return error_code(access, 0);
		if (has_reserved_bits(entry, shift))
			return error_code(access, MMU_PRESENT | MMU_RESERVED);
		rights = (rights & entry & (RW | US)) | ((rights | entry) & NX);
		path[depth++] = slot;
		if (!is_leaf(entry, shift)) {
			table = entry;
			continue;
		}
		error = refused(mmu, rights, entry, access);
		if (error)
			return error;
		*phys = leaf_phys(entry, shift) | (addr & ((1ull << shift) - 1));
		break;
	}
	for (unsigned i = 0; i < depth && (access & MMU_SET_AD); i++)
		set_bits(path[i], A | (i == depth - 1 && (access & MMU_WRITE) ? D : 0));
	return 0;
}

/* ---- all leaves ------------------------------------------------------------------------------------ */

struct scan {
	const struct mmu *mmu;
	int (*leaf)(void *priv, const struct mmu_leaf *leaf);
	void *priv;
};

static int scan_leaf(const struct scan *scan, uint64_t entry, uint64_t rights, unsigned shift, uint64_t addr)
{
	struct mmu_leaf leaf = {
		.addr = addr,
		.phys = leaf_phys(entry, shift),
		.shift = shift,
		.write = rights & RW,
		.exec = !(rights & NX),
		.accessed = entry & A,
		.dirty = entry & D,
		.key = entry >> 59 & 15,
	};

	return scan->leaf(scan->priv, &leaf);
}

static int scan_table(const struct scan *scan, uint64_t table, uint64_t above, unsigned shift, uint64_t addr)
{
	int end = 0;

	/* The upper half of the root is the kernel's. */
	for (unsigned i = 0; i < (shift == root_shift(scan->mmu) ? 256 : 512) && !end; i++) {
		uint64_t *slot = entry_at(scan->mmu, table, i), entry, rights;

		if (!slot)
			return -1;
		entry = *slot;
		if (!(entry & P))
			continue;
		rights = (above & entry & (RW | US)) | ((above | entry) & NX);
		if (has_reserved_bits(entry, shift))
			return -1;
		if (!is_leaf(entry, shift))
			end = scan_table(scan, entry, rights, shift - 9, addr + ((uint64_t)i << shift));
		else if (rights & US)
			end = scan_leaf(scan, entry, rights, shift, addr + ((uint64_t)i << shift));
	}
	return end;
}

int mmu_for_each_leaf(const struct mmu *mmu, uint64_t cr3,
		      int (*leaf)(void *priv, const struct mmu_leaf *leaf), void *priv)
{
	const struct scan scan = { mmu, leaf, priv };

	return scan_table(&scan, cr3, RW | US, root_shift(mmu), 0);
}
