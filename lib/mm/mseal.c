/* SPDX-License-Identifier: MIT */
/* mseal: from now on nothing may unmap, move, protect or empty the areas of a range. */
#include "mm/vma.h"

static bool contains_hole(struct mm_struct *mm, uint64_t start, uint64_t end)
{
	struct vm_area_struct *vma = find_vma(mm, start);

	for (; vma && vma->vm_start <= start; vma = vma_next(vma)) {
		start = vma->vm_end;
		if (start >= end)
			return false;
	}
	return true;
}

static int seal_areas(struct mm_struct *mm, uint64_t start, uint64_t end)
{
	struct vm_area_struct *vma = find_vma(mm, start);
	int error;

	for (; start < end; vma = vma_next(vma)) {
		if (!vma_is_sealed(vma)) {
			uint64_t flags = vma->vm_flags | VM_SEALED;

			vma = vma_modify_flags(vma, start, min(end, (uint64_t)vma->vm_end), flags, &error);
			if (!vma)
				return error;
			vma->vm_flags = flags | (vma->vm_flags & VM_STICKY);
		}
		start = vma->vm_end;
	}
	return 0;
}

int aspace_mseal(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned flags)
{
	uint64_t len = PAGE_ALIGN(length), end = addr + len;
	int error = -ENOMEM;

	if (flags || offset_in_page(addr) || (length && !len) || end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	mmap_write_lock(mm);
	if (!contains_hole(mm, addr, end))
		error = seal_areas(mm, addr, end);
	mmap_write_unlock(mm);
	return error;
}
