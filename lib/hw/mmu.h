/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 MMU as its manual tells it: a walker over raw bytes of RAM that knows nothing of the
 * library's own page-table code, and shares none with it. It is there to be held against that code:
 * two readers of the same bytes must agree.
 *
 *	cr3 --> PML5 (la57) --> PML4 --> PDPT --> PD --> PT --> frame of 4 KiB
 *	                                  |        \--> leaf of 2 MiB
 *	                                  \--> leaf of 1 GiB
 */
#ifndef HW_MMU_H
#define HW_MMU_H

#include <stdbool.h>
#include <stdint.h>

enum mmu_access {
	MMU_READ = 1,
	MMU_WRITE = 2,
	MMU_FETCH = 4,
	MMU_SET_AD = 8,		/* set accessed and dirty bits, as a real access does */
};

/* Bits of a page fault's error code. */
enum mmu_error {
	MMU_PRESENT = 1,
	MMU_WAS_WRITE = 2,
	MMU_USER = 4,
	MMU_RESERVED = 8,
	MMU_WAS_FETCH = 16,
	MMU_KEY = 32,
	MMU_NOT_RAM = 1 << 16,	/* not hardware's: the tables lead outside RAM */
	MMU_CANONICAL = 1 << 17, /* #GP: not an address at all */
};

struct mmu {
	uint8_t *ram;
	uint64_t ram_bytes;
	bool la57;
	uint32_t pkru;
};

struct mmu_leaf {
	uint64_t addr;		/* first address that it maps */
	uint64_t phys;
	unsigned shift;		/* 12, 21, 30 */
	bool write, exec, accessed, dirty;
	unsigned key;
};

/* User mode. 0 and *phys, or an error code (never 0). */
uint32_t mmu_translate(const struct mmu *mmu, uint64_t cr3, uint64_t addr, unsigned access, uint64_t *phys);
/*
 * Every user leaf, ascending: calls back until that returns non-zero, and returns it; or a negative
 * number if the tables lead outside RAM.
 */
int mmu_for_each_leaf(const struct mmu *mmu, uint64_t cr3,
		      int (*leaf)(void *priv, const struct mmu_leaf *leaf), void *priv);

#endif
