/* SPDX-License-Identifier: MIT */
/*
 * mlock, mlock2, mlockall and their opposites. A locked area's pages are faulted in at once, unless
 * VM_LOCKONFAULT says that they stay once they come; locked_vm counts all its pages in either case.
 */
#include "mm/vma.h"

/* Areas of devices can't be locked, droppable memory means the opposite: the call passes over them. */
static bool vma_supports_mlock(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_SPECIAL | VM_DROPPABLE));
}

/* The area that has the range now; NULL: *error. */
static struct vm_area_struct *mlock_fixup(struct vm_area_struct *vma, uint64_t start, uint64_t end,
					  uint64_t flags, int *error)
{
	struct mm_struct *mm = vma->vm_mm;
	uint64_t old = vma->vm_flags, pages = (end - start) >> PAGE_SHIFT;

	*error = 0;
	if (flags == old || !vma_supports_mlock(vma))
		return vma;
	vma = vma_modify_flags(vma, start, end, flags, error);
	if (!vma)
		return NULL;
	vma->vm_flags = flags | (vma->vm_flags & VM_STICKY);
	if (!(flags & VM_LOCKED))
		mm->locked_vm -= pages;
	else if (!(old & VM_LOCKED))
		mm->locked_vm += pages;
	return vma;
}

/* Up to the first hole, where it is -ENOMEM. */
static int apply_vma_lock_flags(struct mm_struct *mm, uint64_t start, uint64_t len, uint64_t lock)
{
	uint64_t end = start + len, at = start;
	struct vm_area_struct *vma;
	int error;

	if (end < start)
		return -EINVAL;
	if (end == start)
		return 0;
	for (vma = find_vma(mm, start); at < end; vma = vma_next(vma)) {
		if (!vma || vma->vm_start > at)
			return -ENOMEM;
		vma = mlock_fixup(vma, at, min(end, (uint64_t)vma->vm_end),
				  (vma->vm_flags & ~VM_LOCKED_MASK) | lock, &error);
		if (error)
			return error;
		at = vma->vm_end;
	}
	return 0;
}

/* Pages of the range that are locked already, and count once. */
static uint64_t count_locked(struct mm_struct *mm, uint64_t start, uint64_t len)
{
	uint64_t end = start + len < start ? UINT64_MAX : start + len;
	uint64_t bytes = 0;

	for (struct vm_area_struct *vma = find_vma(mm, start); vma && vma->vm_start < end; vma = vma_next(vma))
		if (vma->vm_flags & VM_LOCKED)
			bytes += min(end, (uint64_t)vma->vm_end) - max(start, (uint64_t)vma->vm_start);
	return bytes >> PAGE_SHIFT;
}

static bool within_lock_limit(struct mm_struct *mm, uint64_t start, uint64_t len)
{
	uint64_t limit = rlimit_pages(mm, ASPACE_RLIMIT_MEMLOCK);
	uint64_t wanted = mm->locked_vm + (len >> PAGE_SHIFT);

	if (wanted <= limit || mm->cap_ipc_lock)
		return true;
	return wanted - count_locked(mm, start, len) <= limit;
}

/* What POSIX wants to hear: what isn't there or may not be touched, and what there is no room for. */
static int mlock_posix_error(int error)
{
	if (error == -EFAULT)
		return -ENOMEM;
	return error == -ENOMEM ? -EAGAIN : error;
}

int aspace_mlock(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned flags)
{
	uint64_t start = addr & PAGE_MASK, len = PAGE_ALIGN(length + offset_in_page(addr));
	int error = -ENOMEM;

	if (flags & ~(unsigned)MLOCK_ONFAULT)
		return -EINVAL;
	mmap_write_lock(mm);
	if (!can_do_mlock(mm))
		error = -EPERM;
	else if (within_lock_limit(mm, start, len))
		error = apply_vma_lock_flags(mm, start, len,
					     VM_LOCKED | (flags & MLOCK_ONFAULT ? VM_LOCKONFAULT : 0));
	mmap_write_unlock(mm);
	if (error)
		return error;
	return mlock_posix_error(populate_range(mm, start, len, false));
}

int aspace_munlock(struct aspace_mm *mm, uint64_t addr, uint64_t length)
{
	int error;

	mmap_write_lock(mm);
	error = apply_vma_lock_flags(mm, addr & PAGE_MASK, PAGE_ALIGN(length + offset_in_page(addr)), 0);
	mmap_write_unlock(mm);
	return error;
}

/* ---- all ------------------------------------------------------------------------------------------------ */

/* Areas that can't be split or joined for want of memory are passed over. */
static void lock_all(struct mm_struct *mm, uint64_t lock)
{
	struct vm_area_struct *vma = find_vma(mm, 0);
	int error;

	while (vma) {
		struct vm_area_struct *locked;

		locked = mlock_fixup(vma, vma->vm_start, vma->vm_end,
				     (vma->vm_flags & ~VM_LOCKED_MASK) | lock, &error);
		vma = vma_next(error ? vma : locked);
	}
}

static uint64_t mcl_lock_flags(unsigned flags)
{
	return VM_LOCKED | (flags & MCL_ONFAULT ? VM_LOCKONFAULT : 0);
}

static void apply_mlockall_flags(struct mm_struct *mm, unsigned flags)
{
	mm->def_flags &= ~VM_LOCKED_MASK;
	if (flags & MCL_FUTURE)
		mm->def_flags |= mcl_lock_flags(flags);
	if ((flags & MCL_CURRENT) || !(flags & MCL_FUTURE))
		lock_all(mm, flags & MCL_CURRENT ? mcl_lock_flags(flags) : 0);
}

int aspace_mlockall(struct aspace_mm *mm, unsigned flags)
{
	int error = 0;

	if (!flags || (flags & ~(unsigned)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
		return -EINVAL;
	mmap_write_lock(mm);
	if (!can_do_mlock(mm))
		error = -EPERM;
	else if ((flags & MCL_CURRENT) && !mm->cap_ipc_lock &&
		 mm->total_vm > rlimit_pages(mm, ASPACE_RLIMIT_MEMLOCK))
		error = -ENOMEM;
	else
		apply_mlockall_flags(mm, flags);
	mmap_write_unlock(mm);
	if (!error && (flags & MCL_CURRENT))
		populate_range(mm, 0, mm->task_size, true);
	return error;
}

int aspace_munlockall(struct aspace_mm *mm)
{
	mmap_write_lock(mm);
	apply_mlockall_flags(mm, 0);
	mmap_write_unlock(mm);
	return 0;
}
