/* SPDX-License-Identifier: MIT */
/* The advices of madvise(2) that touch pages. mmap_lock is held for reading; to install guards, for writing. */
#include "mm/pagetable.h"

struct advise_walk {
	struct pt_walk walk;	/* first */
	struct vm_area_struct *vma;
	struct mmu_gather *tlb;
};

static struct advise_walk *advise_of(struct pt_walk *walk)
{
	return container_of(walk, struct advise_walk, walk);
}

static int walk_gathered(struct vm_area_struct *vma, uint64_t start, uint64_t end,
			 int (*entries)(struct pt_walk *walk, struct page *table, void *slot,
					uint64_t addr, uint64_t end))
{
	struct mmu_gather tlb;
	struct advise_walk advise = {
		.walk = { .mm = vma->vm_mm, .entries = entries },
		.vma = vma, .tlb = &tlb,
	};
	int err;

	tlb_gather(&tlb, vma->vm_mm);
	err = walk_page_range(&advise.walk, start, end);
	tlb_finish(&tlb);
	return err;
}

/* ---- MADV_FREE --------------------------------------------------------------------------- */

static bool forget_dirty(struct page *page)
{
	uint32_t flags = atomic_load_explicit(&page->flags, memory_order_relaxed);

	if (!(flags & PG_dirty))
		return true;
	if (!page_exclusive(page))
		return false;		/* others count on it */
	atomic_fetch_and_explicit(&page->flags, ~PG_dirty, memory_order_relaxed);
	return true;
}

/*
 * The page may be dropped as long as its entry stays clean; the hardware's next write sets the
 * dirty bit, which is all it takes to keep it. Of a page that others share only our entry is clean.
 */
static int free_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr,
			uint64_t end)
{
	struct advise_walk *advise = advise_of(walk);
	struct aspace_machine *m = walk->mm->machine;
	const struct pt_format *f = m->format;

	spin_lock(page_ptl(table));
	for (; addr < end; addr += PAGE_SIZE, slot = pt_slot_next(f, slot)) {
		pte_t entry = pt_read(f, slot);
		struct page *page = pt_leaf(f, 0, entry) ? vm_normal_page(m, entry) : NULL;

		if (!page || !page_is_anon(page) || !forget_dirty(page))
			continue;
		if (entry & (f->dirty | f->accessed)) {
			pt_change(f, slot, f->dirty | f->accessed, 0);
			tlb_cover(advise->tlb, addr, addr + PAGE_SIZE);
		}
		if (page_exclusive(page))
			atomic_fetch_or_explicit(&page->flags, PG_lazyfree, memory_order_relaxed);
	}
	tlb_flush(advise->tlb);
	spin_unlock(page_ptl(table));
	return 0;
}

/* ---- MADV_COLD, MADV_PAGEOUT ------------------------------------------------------------- */

static int cold_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr,
			uint64_t end)
{
	struct advise_walk *advise = advise_of(walk);
	const struct pt_format *f = pt_format(walk->mm);

	spin_lock(page_ptl(table));
	for (; addr < end; addr += PAGE_SIZE, slot = pt_slot_next(f, slot)) {
		pte_t entry = pt_read(f, slot);

		if (!pt_leaf(f, 0, entry) || !(entry & f->accessed) ||
		    !vm_normal_page(walk->mm->machine, entry))
			continue;
		pt_change(f, slot, f->accessed, 0);
		tlb_cover(advise->tlb, addr, addr + PAGE_SIZE);
	}
	tlb_flush(advise->tlb);
	spin_unlock(page_ptl(table));
	return 0;
}

#define PAGEOUT_BATCH 64

/* The file's pages of the piece that nobody else maps, each with a reference. */
static unsigned collect_file_pages(struct pt_walk *walk, struct page *table, void **slot,
				   uint64_t *addr, uint64_t end, struct page **pages)
{
	struct aspace_machine *m = walk->mm->machine;
	const struct pt_format *f = m->format;
	unsigned n = 0;

	spin_lock(page_ptl(table));
	for (; *addr < end && n < PAGEOUT_BATCH; *addr += PAGE_SIZE, *slot = pt_slot_next(f, *slot)) {
		pte_t entry = pt_read(f, *slot);
		struct page *page = pt_leaf(f, 0, entry) ? vm_normal_page(m, entry) : NULL;

		if (!page || page->type != PAGE_FILE ||
		    atomic_load_explicit(&page->_mapcount, memory_order_relaxed) != 1)
			continue;
		get_page(page);
		pages[n++] = page;
	}
	spin_unlock(page_ptl(table));
	return n;
}

/* Anonymous and shared memory stays: there is nowhere to put it. */
static int pageout_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr,
			   uint64_t end)
{
	while (addr < end) {
		struct page *pages[PAGEOUT_BATCH];
		unsigned n = collect_file_pages(walk, table, &slot, &addr, end, pages);

		for (unsigned i = 0; i < n; i++) {
			if (!try_to_unmap(pages[i]))
				filemap_try_drop(pages[i]);
			put_page(walk->mm->machine, pages[i]);
		}
	}
	return 0;
}

/* Truncation would take the pages out of their file under our hands: invalidate_lock keeps it away. */
static int pageout(struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	struct rw_semaphore *invalidate_lock;

	if (!vma->vm_file)
		return 0;
	invalidate_lock = &vma->vm_file->f_mapping->invalidate_lock;
	down_read(invalidate_lock);
	walk_gathered(vma, start, end, pageout_entries);
	up_read(invalidate_lock);
	return 0;
}

/* ---- MADV_GUARD_INSTALL, MADV_GUARD_REMOVE ----------------------------------------------- */

/* Clears what is there and leaves a marker, until the gather is full. */
static uint64_t guard_some(struct advise_walk *advise, struct page *table, void **slot,
			   uint64_t addr, uint64_t end)
{
	struct aspace_machine *m = advise->walk.mm->machine;
	const struct pt_format *f = m->format;
	bool flush_now = false;
	int added = 0;

	spin_lock(page_ptl(table));
	for (; addr < end && !tlb_full(advise->tlb);
	     addr += PAGE_SIZE, *slot = pt_slot_next(f, *slot)) {
		pte_t entry = pt_exchange(f, *slot, pt_make_marker(f, PT_MARKER_GUARD));
		struct page *page = pt_leaf(f, 0, entry) ? vm_normal_page(m, entry) : NULL;

		added += pt_none(entry);
		if (pt_leaf(f, 0, entry))
			tlb_cover(advise->tlb, addr, addr + PAGE_SIZE);
		if (!page)
			continue;
		flush_now |= note_dirty(page, entry & f->dirty);
		advise->tlb->rss[page_rss_kind(page)]++;
		atomic_fetch_sub_explicit(&page->_mapcount, 1, memory_order_relaxed);
		tlb_remove_page(advise->tlb, page);
	}
	pt_count_entries(table, added);
	if (flush_now)
		tlb_flush(advise->tlb);
	spin_unlock(page_ptl(table));
	return addr;
}

static bool guard_possible(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB));
}

/* An anon_vma makes fork copy the tables, and with them the markers. */
static int guard_install(struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	const struct pt_format *f = pt_format(vma->vm_mm);
	struct mmu_gather tlb;
	struct advise_walk advise = { .walk = { .mm = vma->vm_mm }, .vma = vma, .tlb = &tlb };
	int err = 0;

	if (!guard_possible(vma) || (vma->vm_flags & VM_LOCKED))
		return -EINVAL;
	vma_set_maybe_guard(vma);
	if (vma_is_anonymous(vma) && anon_vma_prepare(vma))
		return -ENOMEM;
	update_hiwater_rss(vma->vm_mm);
	tlb_gather(&tlb, vma->vm_mm);
	while (start < end) {
		struct page *table;
		void *slot = pte_alloc(vma->vm_mm, start, &table);

		if (!slot) {
			err = -ENOMEM;
			break;
		}
		start = guard_some(&advise, table, &slot, start, pt_next(f, 1, start, end));
		if (tlb_full(&tlb))
			tlb_flush_free(&tlb);
	}
	tlb_finish(&tlb);
	return err;
}

static int unguard_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr,
			   uint64_t end)
{
	const struct pt_format *f = pt_format(walk->mm);
	int removed = 0;

	spin_lock(page_ptl(table));
	for (; addr < end; addr += PAGE_SIZE, slot = pt_slot_next(f, slot)) {
		if (pt_marker(f, pt_read(f, slot)) != PT_MARKER_GUARD)
			continue;
		pt_store(f, slot, 0);
		removed++;
	}
	pt_count_entries(table, -removed);
	spin_unlock(page_ptl(table));
	return 0;
}

/* ---- by name ----------------------------------------------------------------------------- */

static int willneed(struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	if (!vma->vm_file || (vma->vm_flags & VM_PFNMAP) || !vma->vm_file->f_mapping->ops)
		return 0;
	filemap_read_ahead(vma->vm_file->f_mapping, linear_page_index(vma, start),
			   linear_page_index(vma, end - PAGE_SIZE));
	return 0;
}

static bool can_age(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB));
}

int advise_pages(struct vm_area_struct *vma, uint64_t start, uint64_t end, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		zap_area(vma, start, end);
		return 0;
	case MADV_FREE:
		if (!vma_is_anonymous(vma))
			return -EINVAL;
		return walk_gathered(vma, start, end, free_entries);
	case MADV_COLD:
		return can_age(vma) ? walk_gathered(vma, start, end, cold_entries) : -EINVAL;
	case MADV_PAGEOUT:
		return can_age(vma) ? pageout(vma, start, end) : -EINVAL;
	case MADV_WILLNEED:
		return willneed(vma, start, end);
	case MADV_POPULATE_READ:
		return populate_advised(vma, start, end, false);
	case MADV_POPULATE_WRITE:
		return populate_advised(vma, start, end, true);
	case MADV_GUARD_INSTALL:
		return guard_install(vma, start, end);
	case MADV_GUARD_REMOVE:
		if (!guard_possible(vma))
			return -EINVAL;
		return walk_gathered(vma, start, end, unguard_entries);
	}
	return -EINVAL;
}
