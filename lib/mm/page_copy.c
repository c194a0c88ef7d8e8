/* SPDX-License-Identifier: MIT */
/*
 * Fork's share of the tables. Private pages are write-protected on both sides and get a second
 * reference; who writes first copies, who is left alone takes the page back (memory.c).
 *
 * Only what can't be found again is copied: private pages, driver's frames, guard markers. What is
 * only in a file comes back by a fault.
 */
#include "mm/pagetable.h"

struct copy_walk {
	struct pt_walk walk;	/* first; over the parent */
	struct vm_area_struct *dst;
	uint64_t clear_parent;	/* bits that private entries lose on both sides */
	uint64_t clear_child;
	int64_t rss[NR_MM_COUNTERS];
	bool protected;		/* the parent lost write permission somewhere */
};

static bool is_cow_mapping(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE;
}

static bool needs_copy(const struct vm_area_struct *src)
{
	if (src->vm_flags & VM_WIPEONFORK)
		return false;
	return src->anon_vma || (src->vm_flags & (VM_PFNMAP | VM_MIXEDMAP | VM_MAYBE_GUARD));
}

/* The child's entry for one of the parent's. Both ptls are held. */
static pte_t copy_leaf(struct copy_walk *copy, void *slot, pte_t entry)
{
	struct aspace_machine *m = copy->walk.mm->machine;
	struct page *page = vm_normal_page(m, entry);

	if (entry & copy->clear_parent) {
		entry = pt_change(m->format, slot, copy->clear_parent, 0);
		copy->protected = true;
	}
	if (page) {
		get_page(page);
		atomic_fetch_add_explicit(&page->_mapcount, 1, memory_order_relaxed);
		copy->rss[page_rss_kind(page)]++;
	}
	return entry & ~(copy->clear_parent | copy->clear_child);
}

static int copy_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr,
			uint64_t end)
{
	struct copy_walk *copy = container_of(walk, struct copy_walk, walk);
	const struct pt_format *f = pt_format(walk->mm);
	struct page *dst_table;
	void *dst_slot;
	int copied = 0;

	if (pt_table_empty(table))
		return 0;
	dst_slot = pte_alloc(copy->dst->vm_mm, addr, &dst_table);
	if (!dst_slot)
		return -ENOMEM;
	spin_lock(page_ptl(dst_table));
	spin_lock(page_ptl(table));
	for (; addr < end; addr += PAGE_SIZE) {
		pte_t entry = pt_read(f, slot);

		if (!pt_none(entry)) {
			if (pt_leaf(f, 0, entry))
				entry = copy_leaf(copy, slot, entry);
			pt_store(f, dst_slot, entry);
			copied++;
		}
		slot = pt_slot_next(f, slot);
		dst_slot = pt_slot_next(f, dst_slot);
	}
	pt_count_entries(dst_table, copied);
	spin_unlock(page_ptl(table));
	spin_unlock(page_ptl(dst_table));
	return 0;
}

/*
 * The child is not running, and nobody faults in the parent: mmap_lock of both is held for writing.
 * What was copied when memory runs out goes with the child.
 */
int copy_page_range(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	const struct pt_format *f = pt_format(src->vm_mm);
	struct copy_walk copy = {
		.walk = { .mm = src->vm_mm, .entries = copy_entries },
		.dst = dst,
		.clear_parent = is_cow_mapping(src) ? f->write : 0,
		.clear_child = f->accessed | (src->vm_flags & VM_SHARED ? f->dirty : 0),
	};
	struct address_space *mapping = src->vm_file ? src->vm_file->f_mapping : NULL;
	int err;

	if (!needs_copy(src))
		return 0;
	if (mapping)
		down_read(&mapping->invalidate_lock);
	err = walk_page_range(&copy.walk, src->vm_start, src->vm_end);
	if (mapping)
		up_read(&mapping->invalidate_lock);
	for (int kind = 0; kind < NR_MM_COUNTERS; kind++)
		rss_add(dst->vm_mm, kind, copy.rss[kind]);
	if (copy.protected)
		flush_tlb_range(src->vm_mm, src->vm_start, src->vm_end);
	return err;
}
