/* SPDX-License-Identifier: MIT */
/*
 * Taking entries away: munmap, MADV_DONTNEED, truncation.
 *
 * A dirty entry of a shared page marks the page, for the mark may be clean: write-back has cleared
 * it and is about to look for entries to write-protect. It then finds none here, and writes at once;
 * so such an entry's translations are flushed before its page_ptl is dropped, not later with the
 * others.
 */
#include "mm/pagetable.h"

void update_hiwater_rss(struct mm_struct *mm)
{
	uint64_t now = 0;
	uint64_t high = atomic_load_explicit(&mm->hiwater_rss, memory_order_relaxed);

	for (int kind = 0; kind < NR_MM_COUNTERS; kind++)
		if (kind != MM_SWAPENTS)
			now += (uint64_t)atomic_load_explicit(&mm->rss_stat[kind],
							      memory_order_relaxed);
	while (now > high && !atomic_compare_exchange_weak(&mm->hiwater_rss, &high, now))
		;
}

struct zap_walk {
	struct pt_walk walk;	/* first */
	struct mmu_gather *tlb;
	struct zap_details details;
};

bool note_dirty(struct page *page, bool dirty)
{
	if (!dirty || page_is_anon(page))
		return false;
	if (page->type == PAGE_FILE)
		filemap_dirty_page(page);
	else
		atomic_fetch_or_explicit(&page->flags, PG_dirty, memory_order_relaxed);
	return true;
}

/* Clears one leaf; true: its page must be flushed with the lock held. */
static bool zap_leaf(struct zap_walk *zap, void *slot, pte_t entry, uint64_t addr, uint64_t end,
		     struct page *page)
{
	const struct pt_format *f = pt_format(zap->walk.mm);

	entry = pt_exchange(f, slot, 0);
	tlb_cover(zap->tlb, addr, end);
	return page && note_dirty(page, entry & f->dirty);
}

static void gather_page(struct zap_walk *zap, struct page *page)
{
	zap->tlb->rss[page_rss_kind(page)]++;
	atomic_fetch_sub_explicit(&page->_mapcount, 1, memory_order_relaxed);
	tlb_remove_page(zap->tlb, page);
}

static bool kept(const struct zap_walk *zap, pte_t entry, bool leaf, const struct page *page)
{
	if (!leaf)
		return pt_none(entry) || !zap->details.drop_markers;
	return zap->details.keep_cows && page && page_is_anon(page);
}

/* Until the end of the piece, or until the gather is full. Returns how far it came. */
static uint64_t zap_some(struct zap_walk *zap, struct page *table, void **slot, uint64_t addr,
			 uint64_t end)
{
	struct aspace_machine *m = zap->walk.mm->machine;
	const struct pt_format *f = m->format;
	bool flush_now = false;
	int gone = 0;

	spin_lock(page_ptl(table));
	for (; addr < end && !tlb_full(zap->tlb); addr += PAGE_SIZE, *slot = pt_slot_next(f, *slot)) {
		pte_t entry = pt_read(f, *slot);
		bool leaf = pt_leaf(f, 0, entry);
		struct page *page = leaf ? vm_normal_page(m, entry) : NULL;

		if (kept(zap, entry, leaf, page))
			continue;
		flush_now |= zap_leaf(zap, *slot, entry, addr, addr + PAGE_SIZE, page);
		gone++;
		if (page)
			gather_page(zap, page);
	}
	if (flush_now)
		tlb_flush(zap->tlb);
	pt_count_entries(table, -gone);
	spin_unlock(page_ptl(table));
	return addr;
}

static int zap_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr,
		       uint64_t end)
{
	struct zap_walk *zap = container_of(walk, struct zap_walk, walk);

	if (pt_table_empty(table))
		return 0;
	while (addr < end) {
		addr = zap_some(zap, table, &slot, addr, end);
		if (tlb_full(zap->tlb))
			tlb_flush_free(zap->tlb);
	}
	return 0;
}

void zap_page_range(struct mmu_gather *tlb, struct vm_area_struct *vma, uint64_t start, uint64_t end,
		    struct zap_details details)
{
	struct zap_walk zap = {
		.walk = { .mm = vma->vm_mm, .entries = zap_entries },
		.tlb = tlb, .details = details,
	};

	walk_page_range(&zap.walk, start, end);
}

/* ---- what the areas wing asks ------------------------------------------------------------ */

void zap_area(struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	struct mmu_gather tlb;

	update_hiwater_rss(vma->vm_mm);
	tlb_gather(&tlb, vma->vm_mm);
	zap_page_range(&tlb, vma, start, end, (struct zap_details){ 0 });
	tlb_finish(&tlb);
}

/* From first to last, both included; what follows last is not looked at. */
#define for_each_in_run(vma, first, last)				\
	for ((vma) = (first); (vma); (vma) = (vma) == (last) ? NULL : vma_next(vma))

/*
 * Entries first; then the areas leave the reverse maps, after which nobody comes to their tables
 * any more; then the tables; and all frames when translations are flushed.
 */
void unmap_areas(struct mm_struct *mm, struct vm_area_struct *first,
		 struct vm_area_struct *last, uint64_t floor, uint64_t ceiling)
{
	const struct zap_details all = { .drop_markers = true };
	struct vm_area_struct *vma;
	struct mmu_gather tlb;

	update_hiwater_rss(mm);
	tlb_gather(&tlb, mm);
	for_each_in_run(vma, first, last)
		zap_page_range(&tlb, vma, vma->vm_start, vma->vm_end, all);
	for_each_in_run(vma, first, last) {
		unlink_anon_vmas(vma);
		vma_unlink_file(vma);
	}
	free_pgtables(&tlb, first->vm_start, last->vm_end, floor, ceiling);
	tlb_finish(&tlb);
}
