/* SPDX-License-Identifier: MIT */
/* msync, mincore, remap_file_pages: calls that look at areas and ask their files or pages. */
#include "mm/vma.h"

/* ---- msync ------------------------------------------------------------------------------------------- */

struct msync {
	struct mm_struct *mm;
	uint64_t at, end;
	unsigned flags;
	int hole;	/* -ENOMEM once one was passed */
};

/* Writes the area's part back, with mmap_lock dropped meanwhile. */
static int sync_area(struct msync *s, struct vm_area_struct *vma)
{
	struct aspace_file *file = vma->vm_file;
	uint64_t offset = linear_page_index(vma, s->at) << PAGE_SHIFT;
	uint64_t bytes = min(s->end, (uint64_t)vma->vm_end) - s->at;
	int error;

	s->at = vma->vm_end;
	if (!(s->flags & MS_SYNC) || !file || !(vma->vm_flags & VM_SHARED))
		return 0;
	aspace_file_get(file);
	mmap_read_unlock(s->mm);
	error = aspace_mapping_sync(file->f_mapping, offset, bytes);
	aspace_file_put(file);
	mmap_read_lock(s->mm);
	return error;
}

static int sync_areas(struct msync *s)
{
	while (s->at < s->end) {
		struct vm_area_struct *vma = find_vma(s->mm, s->at);
		int error;

		if (!vma)
			return -ENOMEM;
		if (vma->vm_start > s->at) {
			s->hole = -ENOMEM;
			s->at = vma->vm_start;
			if (s->flags == MS_ASYNC || s->at >= s->end)
				return -ENOMEM;
		}
		if ((s->flags & MS_INVALIDATE) && (vma->vm_flags & VM_LOCKED))
			return -EBUSY;
		error = sync_area(s, vma);
		if (error)
			return error;
	}
	return s->hole;
}

int aspace_msync(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned flags)
{
	struct msync s = { .mm = mm, .at = addr, .end = addr + PAGE_ALIGN(length), .flags = flags };
	int error;

	if ((flags & ~(unsigned)(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || offset_in_page(addr) ||
	    ((flags & MS_ASYNC) && (flags & MS_SYNC)))
		return -EINVAL;
	if (s.end < addr)
		return -ENOMEM;
	mmap_read_lock(mm);
	error = sync_areas(&s);
	mmap_read_unlock(mm);
	return error;
}

/* ---- mincore ------------------------------------------------------------------------------------------- */

/* Up to the first hole; what was found before it stands in vector. */
int aspace_mincore(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned char *vector)
{
	uint64_t end = addr + PAGE_ALIGN(length);
	int error = 0;

	if (offset_in_page(addr))
		return -EINVAL;
	if (length > mm->task_size || addr > mm->task_size - length)
		return -ENOMEM;
	mmap_read_lock(mm);
	while (addr < end) {
		struct vm_area_struct *vma = vma_lookup(mm, addr);
		uint64_t stop;

		if (!vma) {
			error = -ENOMEM;
			break;
		}
		stop = min(end, (uint64_t)vma->vm_end);
		mm->machine->tr->mincore(vma, addr, stop, vector);
		vector += (stop - addr) >> PAGE_SHIFT;
		addr = stop;
	}
	mmap_read_unlock(mm);
	return error;
}

/* ---- remap_file_pages ---------------------------------------------------------------------------------- */

/* The range lies in areas of one file and one kind without a hole. */
static bool is_one_piece(struct vm_area_struct *vma, uint64_t end)
{
	const struct vm_area_struct *first = vma;

	while (vma->vm_end < end) {
		const struct vm_area_struct *next = vma_next(vma);

		if (!next || next->vm_start != vma->vm_end || next->vm_file != first->vm_file ||
		    next->vm_flags != first->vm_flags)
			return false;
		vma = vma_next(vma);
	}
	return true;
}

/* Emulated, as in Linux since 4.0: an ordinary mapping of the other part of the file on top. */
static int64_t remap_pages(struct mm_struct *mm, uint64_t start, uint64_t size, pgoff_t pgoff, unsigned flags,
			   uint64_t *populate)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);
	struct aspace_file *file;
	unsigned prot;
	int64_t result;

	if (!vma || !(vma->vm_flags & VM_SHARED) || !is_one_piece(vma, start + size))
		return -EINVAL;
	prot = vma->vm_flags & VM_ACCESS_FLAGS;
	flags = (flags & MAP_NONBLOCK) | MAP_SHARED | MAP_FIXED | MAP_POPULATE;
	if (vma->vm_flags & VM_LOCKED)
		flags |= MAP_LOCKED;
	file = aspace_file_get(vma->vm_file);
	result = do_mmap(mm, start, size, prot, flags, file, pgoff, populate);
	aspace_file_put(file);	/* the new area has one */
	return result;
}

int aspace_remap_file_pages(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned prot,
			    uint64_t pgoff, unsigned flags)
{
	uint64_t start = addr & PAGE_MASK, size = length & PAGE_MASK, populate = 0;
	int64_t result;

	if (prot || start + size <= start || pgoff + (size >> PAGE_SHIFT) < pgoff)
		return -EINVAL;
	mmap_write_lock(mm);
	result = remap_pages(mm, start, size, pgoff, flags, &populate);
	if (result >= 0)
		note_mapped(mm, start, size);
	mmap_write_unlock(mm);
	if (result >= 0 && populate)
		populate_range(mm, start, populate, true);
	return result < 0 ? (int)result : 0;
}
