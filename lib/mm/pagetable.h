/* SPDX-License-Identifier: MIT */
/*
 * The page tables of an address space: frames of RAM, in the format of the machine's hardware.
 *
 * Locks. An entry of a level-0 table, and a huge leaf in a higher one, changes under page_ptl() of
 * the table that it stands in. An entry above level 0 that is none becomes something under
 * mm->page_table_lock. Everyone may read without a lock, by pt_read().
 *
 * A table goes away only in free_pgtables(), for areas that no fault finds any more (mmap_lock is
 * held for writing) and that have left the reverse maps. So a table that was reached for an address
 * of an area stays while mmap_lock is held for reading, or while the area is held in the file's
 * i_mmap or in an anon_vma by their lock.
 *
 * References. Each entry with a frame that has an owner (not special) holds one reference and one
 * _mapcount on it; a huge leaf does so on each of its frames, so that to split one changes nothing
 * but tables. It comes with the tables that its split needs ("deposited"), so a split can't fail.
 */
#ifndef MM_PAGETABLE_H
#define MM_PAGETABLE_H

#include "arch/pgtable.h"
#include "mm/internal.h"

/* ---- tables ------------------------------------------------------------------------------ */

static inline spinlock_t *page_ptl(struct page *table)
{
	return &table->ptl;
}
static inline struct page *phys_to_page(struct aspace_machine *m, uint64_t phys)
{
	return &m->mem_map[phys >> PAGE_SHIFT];
}
/*
 * Entries of a table that are not none: under its ptl, or page_table_lock above level 0. Counted last:
 * who reads 0 without the lock finds all done that was done to the entries.
 */
static inline void pt_count_entries(struct page *table, int delta)
{
	atomic_fetch_add_explicit(&table->nr_entries, (uint32_t)delta, memory_order_release);
}
static inline bool pt_table_empty(struct page *table)
{
	return !atomic_load_explicit(&table->nr_entries, memory_order_acquire);
}

int pgd_alloc(struct mm_struct *mm);		/* the root; 0 or -ENOMEM */
void pgd_free(struct mm_struct *mm);		/* and whatever tables are left */

/* Where a walk for an address ended: at a leaf, or at an entry that is none or a marker. */
struct pt_pos {
	struct page *table;
	void *slot;
	unsigned level;
};
struct pt_pos pt_find(struct mm_struct *mm, uint64_t addr);

/* The level-0 slot for addr; NULL where there is no table, or a huge leaf instead. */
void *pte_offset(struct mm_struct *mm, uint64_t addr, struct page **table);
/* The same; makes the tables that are missing, and splits a huge leaf. NULL: no memory. */
void *pte_alloc(struct mm_struct *mm, uint64_t addr, struct page **table);
/* Makes the tables above `level`; the slot at that level, NULL: no memory. A huge leaf may be in it. */
void *pt_alloc(struct mm_struct *mm, uint64_t addr, unsigned level, struct page **table);

/*
 * A huge leaf where nothing is. entry's frames: the caller gives the reference and _mapcount of
 * each away with it. 0, -ENOMEM, -EEXIST.
 */
int pt_set_huge(struct mm_struct *mm, uint64_t addr, unsigned level, uint64_t entry);
/* The leaf in slot (which stands in `table` at `level` > 0) becomes a table of smaller ones. */
void pt_split_huge(struct mm_struct *mm, struct page *table, void *slot, unsigned level);

/* ---- the walker -------------------------------------------------------------------------- */

/*
 * Calls `entries` for each piece of [start, end) that lies in one level-0 table. It takes the
 * table's ptl itself, as often and as long as it needs. Non-zero ends the walk and is returned.
 */
struct pt_walk {
	struct mm_struct *mm;
	int (*entries)(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr,
		       uint64_t end);
	/* A huge leaf. NULL, or the piece is not all of it and `partly` isn't set: it is split. */
	int (*huge)(struct pt_walk *walk, struct page *table, void *slot, unsigned level,
		    uint64_t addr, uint64_t end);
	bool partly;
	/* No table is there. NULL: goes on. */
	int (*hole)(struct pt_walk *walk, uint64_t addr, uint64_t end);
};
int walk_page_range(struct pt_walk *walk, uint64_t start, uint64_t end);

/* ---- flushes, and what must wait for them ------------------------------------------------ */

/*
 * Entries are cleared first, translations flushed next, frames freed last: what is unmapped gathers
 * here. Lives on the stack; tlb_finish() leaves nothing behind.
 */
#define GATHER_PAGES 512
struct mmu_gather {
	struct mm_struct *mm;
	uint64_t start, end;	/* to be flushed; start >= end: nothing */
	bool dead;		/* nobody runs in mm any more: flushed once, at the start */
	unsigned nr;
	int64_t rss[NR_MM_COUNTERS];	/* what mm has less now */
	struct page *pages[GATHER_PAGES];
};
void tlb_gather(struct mmu_gather *tlb, struct mm_struct *mm);
void tlb_flush(struct mmu_gather *tlb);		/* translations only; any lock held */
void tlb_flush_free(struct mmu_gather *tlb);	/* then the frames */
void tlb_finish(struct mmu_gather *tlb);
static inline void tlb_cover(struct mmu_gather *tlb, uint64_t start, uint64_t end)
{
	if (start < tlb->start)
		tlb->start = start;
	if (end > tlb->end)
		tlb->end = end;
}
/* Takes over one reference. There is room for it: who fills the last place flushes. */
static inline void tlb_remove_page(struct mmu_gather *tlb, struct page *page)
{
	DEBUG_ON(tlb->nr == GATHER_PAGES);
	tlb->pages[tlb->nr++] = page;
}
static inline bool tlb_full(const struct mmu_gather *tlb)
{
	return tlb->nr == GATHER_PAGES;
}

/*
 * Takes the tables under [start, end) out that are needed by nothing outside [floor, ceiling): ends
 * of the neighbours that stay; ceiling is the first byte of the next one, UINT64_MAX if none.
 */
void free_pgtables(struct mmu_gather *tlb, uint64_t start, uint64_t end, uint64_t floor,
		   uint64_t ceiling);

/* ---- memory.c's helpers for its neighbours ----------------------------------------------- */

static inline const struct pt_format *pt_format(const struct mm_struct *mm)
{
	return mm->machine->format;
}
/* The frame's owner; NULL: the zero page, a driver's frame. */
static inline struct page *vm_normal_page(struct aspace_machine *m, pte_t entry)
{
	if (entry & m->format->special)
		return NULL;
	return pfn_to_page(m, pt_pfn(m->format, entry));
}
static inline bool pt_is_zero_page(struct aspace_machine *m, pte_t entry)
{
	return (entry & m->format->special) &&
	       pt_pfn(m->format, entry) == page_to_pfn(m, m->zero_page);
}
static inline bool page_is_anon(const struct page *page)
{
	return page->type == PAGE_ANON;
}
static inline int page_rss_kind(const struct page *page)
{
	return page->type == PAGE_ANON ? MM_ANONPAGES :
	       page->type == PAGE_SHMEM ? MM_SHMEMPAGES : MM_FILEPAGES;
}
static inline void rss_add(struct mm_struct *mm, int kind, int64_t pages)
{
	if (pages)
		atomic_fetch_add_explicit(&mm->rss_stat[kind], pages, memory_order_relaxed);
}
void update_hiwater_rss(struct mm_struct *mm);	/* before rss goes down */
/* A shared page of a file whose writes must be known: mapped read-only until the first one. */
bool vma_wants_writenotify(const struct vm_area_struct *vma);
/* The bits of a leaf of the area, write left out where a fault must decide. */
pte_t vma_leaf_bits(const struct vm_area_struct *vma, bool write);
/* Does the page belong to nobody but the one entry that maps it? Under that entry's ptl. */
static inline bool page_exclusive(struct page *page)
{
	return page_is_anon(page) &&
	       atomic_load_explicit(&page->_refcount, memory_order_acquire) == 1;
}

/*
 * Makes `access` at addr possible. mmap_lock is held for reading; it may be given up and taken
 * again (the stack grew), so that areas found before are stale. 0, -EFAULT, -ENOMEM.
 */
int fault_in(struct mm_struct *mm, uint64_t addr, unsigned access, uint32_t pkru,
	     struct aspace_fault *fault);

/* Which entries of an area go. */
struct zap_details {
	bool keep_cows;		/* private copies of file pages stay */
	bool drop_markers;	/* the area itself goes: guard markers too */
};
void zap_page_range(struct mmu_gather *tlb, struct vm_area_struct *vma, uint64_t start, uint64_t end,
		    struct zap_details details);
/* mmap_lock for reading; it is given up meanwhile. See memory.c. */
int grow_stack(struct mm_struct *mm, uint64_t addr);
/* The page loses an entry that may have been written through. Must it be flushed at once? */
bool note_dirty(struct page *page, bool dirty);

/* ---- struct translation_ops, by file ----------------------------------------------------- */

/* zap.c */
void unmap_areas(struct mm_struct *mm, struct vm_area_struct *first, struct vm_area_struct *last,
		 uint64_t floor, uint64_t ceiling);
void zap_area(struct vm_area_struct *vma, uint64_t start, uint64_t end);
/* page_copy.c */
int copy_page_range(struct vm_area_struct *dst, struct vm_area_struct *src);
/* page_move.c */
uint64_t move_page_tables(struct vm_area_struct *from_vma, uint64_t from,
			  struct vm_area_struct *to_vma, uint64_t to, uint64_t length);
/* page_protect.c */
void change_protection(struct vm_area_struct *vma, uint64_t start, uint64_t end);
/* page_advise.c */
int advise_pages(struct vm_area_struct *vma, uint64_t start, uint64_t end, int advice);
/* populate.c */
int mm_populate(struct mm_struct *mm, uint64_t start, uint64_t length, bool ignore_errors);
int populate_advised(struct vm_area_struct *vma, uint64_t start, uint64_t end, bool write);
/* pagewalk.c */
void mincore_range(struct vm_area_struct *vma, uint64_t start, uint64_t end, unsigned char *vec);

#endif
