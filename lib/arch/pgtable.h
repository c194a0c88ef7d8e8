/* SPDX-License-Identifier: MIT */
/*
 * Page-table formats, as data: where an address' indices lie, and what each bit of an entry says.
 * Pure functions over entries; no state, no tables, no locks (lib/mm/pagetable.c has those).
 *
 * Levels are numbered from the leaf: 0 holds leaves of the smallest page, levels - 1 is the root.
 *
 *	address   | ...  | index at level 1 | index at level 0 | offset |
 *	                  ^ level[1].shift   ^ level[0].shift
 *
 * What an entry can be, at any level:
 *
 *	none        0
 *	table       present, and not a leaf: the frame of the next lower table   (level > 0)
 *	leaf        present: the frame that addresses translate to; at level > 0 a huge page
 *	prot-none   not present to the hardware, but keeps a leaf's frame: memory that nobody may
 *	            touch just now (PROT_NONE). A leaf in all but access.
 *	marker      not present, no frame: a word from the software to itself (enum pt_marker).
 *	            Swap entries will be markers with an offset.
 */
#ifndef ARCH_PGTABLE_H
#define ARCH_PGTABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <aspace/aspace.h>

#define PT_MAX_LEVELS 5

struct pt_level {
	uint8_t shift, bits;	/* index = (address >> shift) & ((1 << bits) - 1) */
	bool leaf;		/* may hold leaves */
	uint64_t table;		/* the bits of an entry here that points to a table */
};

struct pt_format {
	const char *name;
	unsigned levels;
	unsigned entry_shift;	/* log2 of an entry's bytes: 2 or 3 */
	unsigned user_bits;	/* user addresses are below 1 << user_bits */
	struct pt_level level[PT_MAX_LEVELS];
	unsigned pfn_shift;	/* frame number = (entry & pfn_mask) >> pfn_shift */
	uint64_t pfn_mask;
	/* Bits of a leaf; 0 where the format has no such bit. */
	uint64_t present;
	uint64_t read;		/* RISC-V; elsewhere present is readable */
	uint64_t write;
	uint64_t exec;		/* RISC-V */
	uint64_t noexec;	/* x86 */
	uint64_t user;
	uint64_t global;
	uint64_t accessed;
	uint64_t dirty;
	uint64_t huge;		/* set in a leaf above level 0 */
	uint64_t leaf_any;	/* above level 0: one of these set makes a present entry a leaf */
	unsigned pkey_shift;	/* protection key, 0 bits where there is none */
	uint64_t pkey_mask;
	/* Bits that the hardware leaves to the software. */
	uint64_t special;	/* no struct page's reference stands behind it */
	uint64_t soft_dirty;
	/* Bits of an entry that is not present. */
	uint64_t protnone;	/* keeps a frame; else it is a marker */
	unsigned marker_shift;
	uint64_t marker_mask;
};

enum pt_marker {
	PT_MARKER_NONE,
	PT_MARKER_GUARD,	/* MADV_GUARD_INSTALL: SIGSEGV until it is removed */
};

extern const struct pt_format pt_x86_64_4level, pt_x86_64_5level;
const struct pt_format *pt_format_of(enum aspace_format format);	/* NULL: no such format */

/*
 * The bits of a user leaf, without a frame, that allows `access` (READ, WRITE, EXEC; none of them:
 * a prot-none entry). Accessed is set: software makes entries for those who are about to use them.
 */
uint64_t pt_leaf_bits(const struct pt_format *f, unsigned access, unsigned pkey);
/* What a leaf allows the user: READ, WRITE, EXEC. */
unsigned pt_access(const struct pt_format *f, uint64_t entry);

/* ---- addresses --------------------------------------------------------------------------- */

static inline unsigned pt_index(const struct pt_format *f, unsigned level, uint64_t addr)
{
	return (addr >> f->level[level].shift) & ((1u << f->level[level].bits) - 1);
}
/* The bytes that one entry of the level covers. */
static inline uint64_t pt_span(const struct pt_format *f, unsigned level)
{
	return 1ull << f->level[level].shift;
}
static inline unsigned pt_entries(const struct pt_format *f, unsigned level)
{
	return 1u << f->level[level].bits;
}
/* The end of the entry that covers addr, or `end` if that comes first. */
static inline uint64_t pt_next(const struct pt_format *f, unsigned level, uint64_t addr, uint64_t end)
{
	uint64_t next = (addr | (pt_span(f, level) - 1)) + 1;

	return next - 1 < end - 1 ? next : end;
}

/* ---- entries in memory ------------------------------------------------------------------- */

/*
 * A slot is the address of an entry. The hardware (an emulated processor's MMU) sets accessed and
 * dirty bits in present entries at any time, so a present entry is changed by exchange, and only an
 * entry that isn't present may simply be stored to.
 */
static inline void *pt_slot_at(const struct pt_format *f, void *table, unsigned index)
{
	return (uint8_t *)table + ((uint64_t)index << f->entry_shift);
}
static inline void *pt_slot_next(const struct pt_format *f, void *slot)
{
	return (uint8_t *)slot + (1u << f->entry_shift);
}
static inline uint64_t pt_read(const struct pt_format *f, const void *slot)
{
	if (f->entry_shift == 3)
		return __atomic_load_n((const uint64_t *)slot, __ATOMIC_ACQUIRE);
	return __atomic_load_n((const uint32_t *)slot, __ATOMIC_ACQUIRE);
}
static inline void pt_store(const struct pt_format *f, void *slot, uint64_t entry)
{
	if (f->entry_shift == 3)
		__atomic_store_n((uint64_t *)slot, entry, __ATOMIC_RELEASE);
	else
		__atomic_store_n((uint32_t *)slot, (uint32_t)entry, __ATOMIC_RELEASE);
}
static inline uint64_t pt_exchange(const struct pt_format *f, void *slot, uint64_t entry)
{
	if (f->entry_shift == 3)
		return __atomic_exchange_n((uint64_t *)slot, entry, __ATOMIC_ACQ_REL);
	return __atomic_exchange_n((uint32_t *)slot, (uint32_t)entry, __ATOMIC_ACQ_REL);
}
/* Replaces *old by entry, or puts what was there instead into *old. */
static inline bool pt_compare_exchange(const struct pt_format *f, void *slot, uint64_t *old,
				       uint64_t entry)
{
	uint32_t old32 = (uint32_t)*old;
	bool done;

	if (f->entry_shift == 3)
		return __atomic_compare_exchange_n((uint64_t *)slot, old, entry, false,
						   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	done = __atomic_compare_exchange_n((uint32_t *)slot, &old32, (uint32_t)entry, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	*old = old32;
	return done;
}
/* Clears and sets bits; returns the entry as it was. */
static inline uint64_t pt_change(const struct pt_format *f, void *slot, uint64_t clear, uint64_t set)
{
	uint64_t old = pt_read(f, slot);

	while (!pt_compare_exchange(f, slot, &old, (old & ~clear) | set))
		;
	return old;
}

/* ---- what an entry says ------------------------------------------------------------------ */

static inline bool pt_none(uint64_t entry)
{
	return !entry;
}
static inline bool pt_present(const struct pt_format *f, uint64_t entry)
{
	return entry & f->present;
}
static inline bool pt_protnone(const struct pt_format *f, uint64_t entry)
{
	return (entry & (f->present | f->protnone)) == f->protnone;
}
/* Has a frame that data lives in: a leaf, whether or not it may be touched. */
static inline bool pt_leaf(const struct pt_format *f, unsigned level, uint64_t entry)
{
	if (!(entry & f->present))
		return entry & f->protnone;
	return !level || (entry & f->leaf_any);
}
static inline bool pt_table(const struct pt_format *f, unsigned level, uint64_t entry)
{
	return level && (entry & f->present) && !(entry & f->leaf_any);
}
static inline uint64_t pt_pfn(const struct pt_format *f, uint64_t entry)
{
	return (entry & f->pfn_mask) >> f->pfn_shift;
}
static inline uint64_t pt_from_pfn(const struct pt_format *f, uint64_t pfn)
{
	return pfn << f->pfn_shift;
}
static inline bool pt_writable(const struct pt_format *f, uint64_t entry)
{
	return (entry & (f->present | f->write)) == (f->present | f->write);
}
static inline uint64_t pt_make_marker(const struct pt_format *f, enum pt_marker marker)
{
	return (uint64_t)marker << f->marker_shift;
}
/* The word in an entry that is neither present nor prot-none. */
static inline enum pt_marker pt_marker(const struct pt_format *f, uint64_t entry)
{
	if (entry & (f->present | f->protnone))
		return PT_MARKER_NONE;
	return (enum pt_marker)((entry & f->marker_mask) >> f->marker_shift);
}
static inline unsigned pt_pkey(const struct pt_format *f, uint64_t entry)
{
	return f->pkey_mask ? (unsigned)((entry & f->pkey_mask) >> f->pkey_shift) : 0;
}

#endif
