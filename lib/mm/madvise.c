/* SPDX-License-Identifier: MIT */
/*
 * madvise, and names of anonymous areas, which are given the same way.
 *
 * The range is walked area by area. Holes are passed over and make it -ENOMEM in the end; an area
 * that refuses ends the walk. Advice that changes flags wants mmap_lock for writing, and splits and
 * merges; advice about pages goes to the translation wing, with the lock held for reading.
 */
#include <ctype.h>
#include <string.h>

#include "mm/vma.h"

struct madvise {
	struct mm_struct *mm;
	uint64_t start, end;
	int advice;			/* or SET_ANON_NAME */
	struct anon_vma_name *name;	/* SET_ANON_NAME; NULL: none any more */
};
#define SET_ANON_NAME (-1)

/* ---- kinds of advice --------------------------------------------------------------------------------- */

static bool advice_is_known(int advice)
{
	return (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) ||
	       (advice >= MADV_FREE && advice <= MADV_COLLAPSE) ||
	       advice == MADV_GUARD_INSTALL || advice == MADV_GUARD_REMOVE;
}

/* About pages, not flags. */
static bool advice_is_about_pages(int advice)
{
	switch (advice) {
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case MADV_COLLAPSE:
	case MADV_GUARD_INSTALL:
	case MADV_GUARD_REMOVE:
		return true;
	default:
		return false;
	}
}

/* What was written may be gone afterwards. */
static bool advice_discards(int advice)
{
	switch (advice) {
	case MADV_FREE:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_REMOVE:
	case MADV_DONTFORK:
	case MADV_WIPEONFORK:
	case MADV_GUARD_INSTALL:
		return true;
	default:
		return false;
	}
}

/* A sealed anonymous area that can't be written can't be emptied either. */
static bool seal_allows(const struct vm_area_struct *vma, int advice)
{
	return !vma_is_sealed(vma) || !advice_discards(advice) || !vma_is_anonymous(vma) ||
	       (vma->vm_flags & VM_WRITE);
}

/* ---- advice that changes flags ---------------------------------------------------------------------------- */

static int ksm_flags(int advice, uint64_t *flags)
{
	if (advice == MADV_UNMERGEABLE)
		*flags &= ~VM_MERGEABLE;
	else if (!(*flags & (VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_HUGETLB | VM_DROPPABLE)))
		*flags |= VM_MERGEABLE;
	return 0;
}

static int fork_and_dump_flags(const struct vm_area_struct *vma, int advice, uint64_t *flags)
{
	switch (advice) {
	case MADV_DONTFORK:
		*flags |= VM_DONTCOPY;
		return 0;
	case MADV_DOFORK:
		if (*flags & VM_IO)
			return -EINVAL;
		*flags &= ~VM_DONTCOPY;
		return 0;
	case MADV_WIPEONFORK:
		if (vma->vm_file || (*flags & VM_SHARED))
			return -EINVAL;
		*flags |= VM_WIPEONFORK;
		return 0;
	case MADV_KEEPONFORK:
		if (*flags & VM_DROPPABLE)
			return -EINVAL;
		*flags &= ~VM_WIPEONFORK;
		return 0;
	case MADV_DONTDUMP:
		*flags |= VM_DONTDUMP;
		return 0;
	default:
		if (*flags & (VM_SPECIAL | VM_DROPPABLE))
			return -EINVAL;
		*flags &= ~VM_DONTDUMP;
		return 0;
	}
}

static int advised_flags(const struct vm_area_struct *vma, int advice, uint64_t *flags)
{
	switch (advice) {
	case MADV_NORMAL:
		*flags &= ~(VM_RAND_READ | VM_SEQ_READ);
		return 0;
	case MADV_RANDOM:
		*flags = (*flags & ~VM_SEQ_READ) | VM_RAND_READ;
		return 0;
	case MADV_SEQUENTIAL:
		*flags = (*flags & ~VM_RAND_READ) | VM_SEQ_READ;
		return 0;
	case MADV_HUGEPAGE:
		*flags = (*flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
		return 0;
	case MADV_NOHUGEPAGE:
		*flags = (*flags & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
		return 0;
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
		return ksm_flags(advice, flags);
	default:
		return fork_and_dump_flags(vma, advice, flags);
	}
}

static bool same_name(const struct anon_vma_name *a, const struct anon_vma_name *b)
{
	return a == b || (a && b && !strcmp(a->name, b->name));
}

/* The area that has the range now; NULL: *error. */
static struct vm_area_struct *update_area(struct vm_area_struct *vma, uint64_t start, uint64_t end,
					  uint64_t flags, struct anon_vma_name *name, int *error)
{
	struct aspace_machine *m = vma->vm_mm->machine;

	if (flags == vma->vm_flags && same_name(name, vma->anon_name))
		return vma;
	/* The area's own name may go with it when it merges. */
	anon_vma_name_get(name);
	vma = vma_modify(vma, start, end, flags, name, error);
	if (vma) {
		vma->vm_flags = flags | (vma->vm_flags & VM_STICKY);
		if (!same_name(vma->anon_name, name)) {
			anon_vma_name_put(m, vma->anon_name);
			vma->anon_name = anon_vma_name_get(name);
		}
	}
	anon_vma_name_put(m, name);
	return vma;
}

static struct vm_area_struct *advise_flags(const struct madvise *advise, struct vm_area_struct *vma,
					   uint64_t start, uint64_t end, int *error)
{
	uint64_t flags = vma->vm_flags;
	struct anon_vma_name *name = vma->anon_name;

	if (advise->advice == SET_ANON_NAME) {
		*error = vma->vm_file && !vma->vm_file->anonymous_shared ? -EBADF : 0;
		name = advise->name;
	} else {
		*error = advised_flags(vma, advise->advice, &flags);
	}
	if (*error)
		return NULL;
	vma = update_area(vma, start, end, flags, name, error);
	if (*error == -ENOMEM)
		*error = -EAGAIN;	/* madvise(2): -ENOMEM means holes */
	return vma;
}

/* ---- advice about pages ------------------------------------------------------------------------------------ */

/* Kinds of areas that the advice may not be given for: -EINVAL. */
static bool area_takes_advice(const struct vm_area_struct *vma, int advice)
{
	uint64_t flags = vma->vm_flags;

	switch (advice) {
	case MADV_DONTNEED_LOCKED:
		return !(flags & VM_PFNMAP);
	case MADV_DONTNEED:
		return !(flags & (VM_PFNMAP | VM_LOCKED));
	case MADV_FREE:
		return !(flags & (VM_PFNMAP | VM_LOCKED)) && vma_is_anonymous(vma);
	case MADV_COLD:
	case MADV_PAGEOUT:
		return !(flags & (VM_PFNMAP | VM_LOCKED | VM_HUGETLB));
	case MADV_GUARD_INSTALL:
		return !(flags & (VM_SPECIAL | VM_HUGETLB | VM_LOCKED));
	case MADV_GUARD_REMOVE:
		return !(flags & (VM_SPECIAL | VM_HUGETLB));
	case MADV_REMOVE:
		return !(flags & VM_LOCKED) && vma->vm_file && !vma->vm_file->vm_ops;
	case MADV_POPULATE_READ:
		return !(flags & (VM_IO | VM_PFNMAP)) && (flags & VM_READ);
	case MADV_POPULATE_WRITE:
		return !(flags & (VM_IO | VM_PFNMAP)) && (flags & VM_WRITE);
	default:
		return true;
	}
}

static int advise_pages_of(const struct madvise *advise, struct vm_area_struct *vma, uint64_t start,
			   uint64_t end)
{
	int error;

	if (!area_takes_advice(vma, advise->advice))
		return -EINVAL;
	error = vma->vm_mm->machine->tr->advise(vma, start, end, advise->advice);
	return error;
}

/* A hole is punched into the file without mmap_lock; whoever maps it finds the pages gone. */
static int advise_remove(struct mm_struct *mm, struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	struct aspace_file *file;
	uint64_t offset;
	int error;

	if (!area_takes_advice(vma, MADV_REMOVE))
		return -EINVAL;
	if (!is_shared_maywrite(vma->vm_flags))
		return -EACCES;
	file = aspace_file_get(vma->vm_file);
	offset = linear_page_index(vma, start) << PAGE_SHIFT;
	mmap_read_unlock(mm);
	error = aspace_mapping_punch_hole(file->f_mapping, offset, end - start);
	aspace_file_put(file);
	mmap_read_lock(mm);
	return error;
}

/* ---- the walk -------------------------------------------------------------------------------------------------- */

/* One area's part; *at becomes the end of what is done. */
static int advise_area(const struct madvise *advise, struct vm_area_struct *vma, uint64_t *at)
{
	uint64_t start = *at, end = min(advise->end, (uint64_t)vma->vm_end);
	int error = 0;

	if (!seal_allows(vma, advise->advice))
		return -EPERM;
	*at = end;
	if (advise->advice == MADV_REMOVE)
		return advise_remove(advise->mm, vma, start, end);
	if (advice_is_about_pages(advise->advice))
		return advise_pages_of(advise, vma, start, end);
	vma = advise_flags(advise, vma, start, end, &error);
	if (vma)
		*at = vma->vm_end;
	return error;
}

/* Populating stops at a hole; other advice passes over it. */
static int walk_areas(const struct madvise *advise)
{
	bool stops = advise->advice == MADV_POPULATE_READ || advise->advice == MADV_POPULATE_WRITE;
	uint64_t at = advise->start;
	int hole = 0, error;

	while (at < advise->end) {
		struct vm_area_struct *vma = find_vma(advise->mm, at);

		if (!vma || (stops && vma->vm_start > at))
			return -ENOMEM;
		if (vma->vm_start > at) {
			hole = -ENOMEM;
			at = vma->vm_start;
			if (at >= advise->end)
				break;
		}
		error = advise_area(advise, vma, &at);
		if (error)
			return error;
	}
	return hole;
}

/* 1: nothing to do. */
static int check_range(uint64_t start, uint64_t length, uint64_t *end)
{
	uint64_t len = PAGE_ALIGN(length);

	*end = start + len;
	if (offset_in_page(start) || (length && !len) || *end < start)
		return -EINVAL;
	return *end == start;
}

int aspace_madvise(struct aspace_mm *mm, uint64_t addr, uint64_t length, int advice)
{
	struct madvise advise = { .mm = mm, .start = addr, .advice = advice };
	int error;

	if (!advice_is_known(advice))
		return -EINVAL;
	error = check_range(addr, length, &advise.end);
	if (error)
		return min(error, 0);
	if (advice_is_about_pages(advice) && advice != MADV_GUARD_INSTALL) {
		mmap_read_lock(mm);
		error = walk_areas(&advise);
		mmap_read_unlock(mm);
	} else {	/* flags of areas change; a guard leaves VM_MAYBE_GUARD behind */
		mmap_write_lock(mm);
		error = walk_areas(&advise);
		mmap_write_unlock(mm);
	}
	return error;
}

/* ---- several ranges at once --------------------------------------------------------------------------------------- */

#define MAX_RW_COUNT 0x7ffff000ull	/* bytes that one call is about at most; the rest of the pieces is left out */

static bool advice_is_for_others(int advice)
{
	return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED || advice == MADV_COLLAPSE;
}

/* As the pieces of readv(2): what they name in all, or an error. A single one is cut before it is looked at. */
static int64_t check_pieces(const struct mm_struct *mm, const struct aspace_piece *pieces, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		if ((int64_t)pieces[i].length < 0)
			return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		uint64_t length = n == 1 ? min(pieces[i].length, MAX_RW_COUNT) : pieces[i].length;

		if (length > mm->task_size || pieces[i].addr > mm->task_size - length)
			return -EFAULT;
		total = min(total + length, MAX_RW_COUNT);
	}
	return (int64_t)total;
}

int64_t aspace_process_madvise(struct aspace_mm *mm, const struct aspace_piece *pieces, size_t n, int advice,
			       bool foreign)
{
	int64_t total = check_pieces(mm, pieces, n), done = 0;

	if (total < 0)
		return total;
	if (foreign && !advice_is_for_others(advice))
		return -EINVAL;
	for (size_t i = 0; done < total; i++) {
		uint64_t length = min(pieces[i].length, (uint64_t)(total - done));
		int error;

		if (!length && i)	/* only one in front of all others is looked at */
			continue;
		error = aspace_madvise(mm, pieces[i].addr, length, advice);
		if (error)
			return done ? done : error;
		done += (int64_t)length;
	}
	return done;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
	if (strlen(name) >= sizeof(((struct anon_vma_name *)0)->name))
		return false;
	for (; *name; name++)
		if (*name < 32 || *name > 126 || strchr("\\`$[]", *name))
			return false;
	return true;
}

int aspace_set_anon_name(struct aspace_mm *mm, uint64_t addr, uint64_t length, const char *name)
{
	struct madvise advise = { .mm = mm, .start = addr, .advice = SET_ANON_NAME };
	int error;

	if (name && !name_is_valid(name))
		return -EINVAL;
	if (name) {
		advise.name = anon_vma_name_alloc(mm->machine, name);
		if (!advise.name)
			return -ENOMEM;
	}
	error = check_range(addr, length, &advise.end);
	if (!error) {
		mmap_write_lock(mm);
		error = walk_areas(&advise);
		mmap_write_unlock(mm);
	}
	anon_vma_name_put(mm->machine, advise.name);
	return min(error, 0);
}
