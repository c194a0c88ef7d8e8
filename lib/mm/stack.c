/* SPDX-License-Identifier: MIT */
/*
 * Areas that grow down: the program's stack, and MAP_GROWSDOWN.
 *
 *	| prev |        free         |  stack  |
 *	       ^ at least the guard gap from here, if prev can be accessed and is no stack itself
 */
#include "mm/vma.h"

static bool keeps_guard_gap(const struct vm_area_struct *vma, uint64_t addr)
{
	const struct vm_area_struct *prev = vma_prev(vma);

	if (!prev || (prev->vm_flags & VM_GROWSDOWN) || !vma_is_accessible(prev))
		return true;
	return addr - prev->vm_end >= vma->vm_mm->machine->options.stack_guard_gap;
}

/* Limits, and then Committed_AS, which is charged where the area is. */
static int acct_stack_growth(struct vm_area_struct *vma, uint64_t size, uint64_t grow)
{
	struct mm_struct *mm = vma->vm_mm;

	if (!may_expand_vm(mm, vma->vm_flags, grow) || size > mm->rlim[ASPACE_RLIMIT_STACK] ||
	    !mlock_future_ok(mm, vma->vm_flags, grow << PAGE_SHIFT))
		return -ENOMEM;
	if (vm_enough_memory(mm->machine, grow))
		return -ENOMEM;
	if (!(vma->vm_flags & VM_ACCOUNT))
		vm_unacct_memory(mm->machine, grow);
	return 0;
}

int expand_stack(struct vm_area_struct *vma, uint64_t addr)
{
	struct mm_struct *mm = vma->vm_mm;
	struct vma_rmap_change change = { .vma = { vma } };
	uint64_t grow;

	addr &= PAGE_MASK;
	if (addr >= vma->vm_start)
		return 0;
	if (!(vma->vm_flags & VM_GROWSDOWN))
		return -EFAULT;
	if (addr < mm->machine->options.mmap_min_addr)
		return -EPERM;
	if (!keeps_guard_gap(vma, addr))
		return -ENOMEM;
	if (anon_vma_prepare(vma))
		return -ENOMEM;
	grow = (vma->vm_start - addr) >> PAGE_SHIFT;
	if (grow > vma->vm_pgoff || acct_stack_growth(vma, vma->vm_end - addr, grow))
		return -ENOMEM;
	if (vma->vm_flags & VM_LOCKED)
		mm->locked_vm += grow;
	vm_stat_account(mm, vma->vm_flags, (int64_t)grow);
	vma_rmap_change_begin(&change);
	range_index_set_bounds(&mm->mm_mt, &vma->node, addr, vma->vm_end);
	vma->vm_pgoff -= grow;
	vma_rmap_change_end(&change);
	note_mapped(mm, addr, grow << PAGE_SHIFT);
	return 0;
}

int aspace_setup_stack(struct aspace_mm *mm, uint64_t top, uint64_t bytes, bool exec)
{
	uint64_t size = bytes ? PAGE_ALIGN(bytes) : PAGE_SIZE;
	uint64_t flags = VM_READ | VM_WRITE | VM_MAY_FLAGS | VM_GROWSDOWN | VM_ACCOUNT;
	struct vm_area_struct *vma;
	int error;

	if (offset_in_page(top) || top > mm->task_size || size > top)
		return -EINVAL;
	vma = vm_area_alloc(mm);
	if (!vma)
		return -ENOMEM;
	vma->vm_start = top - size;
	vma->vm_end = top;
	vma->vm_pgoff = vma->vm_start >> PAGE_SHIFT;
	mmap_write_lock(mm);
	vma->vm_flags = flags | (exec ? VM_EXEC : 0) | mm->def_flags;
	error = may_expand_vm(mm, vma->vm_flags, vma_pages(vma)) ? insert_vm_struct(mm, vma) : -ENOMEM;
	if (!error) {
		mm->start_stack = top - 1;	/* until the caller knows better */
		note_mapped(mm, vma->vm_start, size);
	}
	mmap_write_unlock(mm);
	if (error)
		vm_area_free(vma);
	return error;
}
