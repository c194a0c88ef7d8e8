/* SPDX-License-Identifier: MIT */
/*
 * Faulting pages in before they are touched: mlock, MAP_POPULATE, MADV_POPULATE_READ and _WRITE.
 */
#include "mm/pagetable.h"

/* Would the processor get through already? A glance: what changes next to us changes after us too. */
static bool already_there(struct vm_area_struct *vma, uint64_t addr, bool write)
{
	const struct pt_format *f = pt_format(vma->vm_mm);
	struct pt_pos pos = pt_find(vma->vm_mm, addr);
	pte_t entry = pt_read(f, pos.slot);
	struct page *page;

	if (!pt_leaf(f, pos.level, entry) || (write && !pt_writable(f, entry)))
		return false;
	if (!write || pos.level)
		return true;
	/* Who brings it in to write counts as having written. */
	spin_lock(page_ptl(pos.table));
	entry = pt_read(f, pos.slot);
	page = pt_leaf(f, 0, entry) ? vm_normal_page(vma->vm_mm->machine, entry) : NULL;
	if (page && !(entry & f->dirty) && !note_dirty(page, true))
		atomic_fetch_or_explicit(&page->flags, PG_dirty, memory_order_relaxed);
	spin_unlock(page_ptl(pos.table));
	return true;
}

static int populate_page(struct vm_area_struct *vma, uint64_t addr, unsigned access)
{
	struct fault_outcome outcome = { 0 };
	int err;

	if (already_there(vma, addr, access & ASPACE_WRITE))
		return 0;
	err = handle_mm_fault(vma, addr, access, &outcome);
	if (!err)
		atomic_fetch_add_explicit(outcome.major ? &vma->vm_mm->maj_flt : &vma->vm_mm->min_flt,
					  1, memory_order_relaxed);
	return err;
}

static int populate_range(struct vm_area_struct *vma, uint64_t start, uint64_t end, unsigned access)
{
	for (uint64_t addr = start; addr < end; addr += PAGE_SIZE) {
		int err = populate_page(vma, addr, access);

		if (err)
			return err;
	}
	return 0;
}

/*
 * A private area that may be written to gets its own pages at once. A shared one is only read, so
 * that nothing becomes dirty for it. Areas that nobody may touch fail, as get_user_pages does.
 */
static int populate_area(struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	unsigned access = ASPACE_READ;

	if (vma->vm_flags & VM_LOCKONFAULT)
		return 0;
	if (!vm_access_of(vma->vm_flags) || vma_is_execute_only(vma))
		return -EFAULT;
	if ((vma->vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE)
		access = ASPACE_WRITE;
	return populate_range(vma, start, end, access);
}

/* mmap_lock is given up between pieces, for those who want to change the areas. */
#define POPULATE_PIECE (512 * PAGE_SIZE)

int mm_populate(struct mm_struct *mm, uint64_t start, uint64_t length, bool ignore_errors)
{
	uint64_t end = start + length, addr = start & PAGE_MASK;
	int err = 0;

	while (addr < end && (!err || ignore_errors)) {
		struct vm_area_struct *vma;
		uint64_t to;

		down_read(&mm->mmap_lock);
		vma = find_vma(mm, addr);
		if (!vma || vma->vm_start >= end) {
			up_read(&mm->mmap_lock);
			break;
		}
		if (addr < vma->vm_start)
			addr = vma->vm_start;
		to = end < vma->vm_end ? end : vma->vm_end;
		if (to - addr > POPULATE_PIECE)
			to = addr + POPULATE_PIECE;
		err = 0;
		if (!(vma->vm_flags & (VM_IO | VM_PFNMAP)))
			err = populate_area(vma, addr, to);
		addr = err ? vma->vm_end : to;
		up_read(&mm->mmap_lock);
	}
	return ignore_errors ? 0 : err;
}

int populate_advised(struct vm_area_struct *vma, uint64_t start, uint64_t end, bool write)
{
	unsigned access = write ? ASPACE_WRITE : ASPACE_READ;

	if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		return -EINVAL;
	if (!(vm_access_of(vma->vm_flags) & access))
		return -EINVAL;
	return populate_range(vma, start, end, access);
}
