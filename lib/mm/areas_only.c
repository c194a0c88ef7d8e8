/* SPDX-License-Identifier: MIT */
/*
 * A machine without RAM: the areas are Linux's, the pages are the embedder's affair. What would be
 * done to page tables goes out through struct aspace_area_ops.
 */
#include <string.h>

#include "mm/vma.h"

static const struct aspace_area_ops *ops_of(const struct mm_struct *mm)
{
	return &mm->machine->area_ops;
}

static int areas_mm_init(struct mm_struct *mm)
{
	return 0;
}

static void areas_mm_exit(struct mm_struct *mm)
{
	struct aspace_port *port = &mm->machine->port;

	if (port->mm_gone)
		port->mm_gone(port->priv, mm);
}

static void areas_unmap(struct mm_struct *mm, struct vm_area_struct *first, struct vm_area_struct *last,
			uint64_t floor, uint64_t ceiling)
{
	const struct aspace_area_ops *ops = ops_of(mm);

	for (struct vm_area_struct *vma = first;; vma = vma_next(vma)) {
		if (ops->unmap)
			ops->unmap(ops->priv, mm, vma->vm_start, vma->vm_end);
		unlink_anon_vmas(vma);
		vma_unlink_file(vma);
		if (vma == last)
			break;
	}
}

static void areas_zap(struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	const struct aspace_area_ops *ops = ops_of(vma->vm_mm);

	if (ops->discard)
		ops->discard(ops->priv, vma->vm_mm, start, end);
}

static void areas_protect(struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	const struct aspace_area_ops *ops = ops_of(vma->vm_mm);

	if (ops->protect)
		ops->protect(ops->priv, vma->vm_mm, start, end, vma->vm_flags & VM_ACCESS_FLAGS);
}

static uint64_t areas_move(struct vm_area_struct *from_vma, uint64_t from, struct vm_area_struct *to_vma,
			   uint64_t to, uint64_t length)
{
	const struct aspace_area_ops *ops = ops_of(from_vma->vm_mm);

	if (ops->move && ops->move(ops->priv, from_vma->vm_mm, from, to, length))
		return 0;
	return length;
}

static int areas_copy(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	return 0;
}

/* Guards stand in page tables, and an anonymous area with tables of its own has an anon_vma. */
static int areas_advise(struct vm_area_struct *vma, uint64_t start, uint64_t end, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		areas_zap(vma, start, end);
		return 0;
	case MADV_GUARD_INSTALL:
		areas_zap(vma, start, end);
		vma_set_maybe_guard(vma);
		return vma_is_anonymous(vma) ? anon_vma_prepare(vma) : 0;
	case MADV_POPULATE_READ:
		return 0;
	case MADV_POPULATE_WRITE:
		return vma->vm_flags & VM_SHARED ? 0 : anon_vma_prepare(vma);
	case MADV_COLLAPSE:
		return -EINVAL;		/* no pages to make huge */
	default:
		return 0;		/* advice about pages that aren't here */
	}
}

/* The host brings pages in where it can; private ones that may be written get an anon_vma by that. */
static int populate_area(struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_IO | VM_PFNMAP | VM_LOCKONFAULT))
		return 0;
	if (!vma_is_accessible(vma) || vma_is_execute_only(vma))
		return -EFAULT;
	return (vma->vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE ? anon_vma_prepare(vma) : 0;
}

static int areas_populate(struct mm_struct *mm, uint64_t start, uint64_t length, bool ignore_errors)
{
	struct vm_area_struct *vma;
	int error = 0;

	if (!length)
		return 0;
	mmap_read_lock(mm);
	for (vma = find_vma(mm, start); vma && vma->vm_start < start + length; vma = vma_next(vma)) {
		error = populate_area(vma);
		if (error && !ignore_errors)
			break;
	}
	mmap_read_unlock(mm);
	return ignore_errors ? 0 : error;
}

static void areas_mincore(struct vm_area_struct *vma, uint64_t start, uint64_t end, unsigned char *vec)
{
	memset(vec, 0, (end - start) >> PAGE_SHIFT);	/* none of ours is */
}

const struct translation_ops callback_translation_ops = {
	.mm_init = areas_mm_init,
	.mm_exit = areas_mm_exit,
	.unmap = areas_unmap,
	.zap = areas_zap,
	.protect = areas_protect,
	.move = areas_move,
	.copy = areas_copy,
	.advise = areas_advise,
	.populate = areas_populate,
	.mincore = areas_mincore,
};

void note_mapped(struct mm_struct *mm, uint64_t start, uint64_t len)
{
	const struct aspace_area_ops *ops = ops_of(mm);
	struct aspace_area area = { .size = sizeof(area) };
	struct vm_area_struct *vma;

	if (mm->machine->tr != &callback_translation_ops || !ops->map)
		return;
	vma = vma_lookup(mm, start);
	if (!vma)
		return;
	area_describe(vma, &area);
	area.offset += vma->vm_file ? start - area.start : 0;
	area.start = start;
	area.end = start + len;
	ops->map(ops->priv, mm, &area);
}

int aspace_note_anon(struct aspace_mm *mm, uint64_t addr)
{
	struct vm_area_struct *vma;
	int error = -ENOMEM;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		error = vma->vm_flags & VM_SHARED ? -EINVAL : anon_vma_prepare(vma);
	mmap_read_unlock(mm);
	return error;
}

int aspace_insert_area(struct aspace_mm *mm, uint64_t start, uint64_t end, uint64_t flags,
		       struct aspace_file *file, uint64_t offset, const char *special_name)
{
	struct vm_area_struct *vma;
	int error;

	if (start >= end || offset_in_page(start | end | offset))
		return -EINVAL;
	vma = vm_area_alloc(mm);
	if (!vma)
		return -ENOMEM;
	vma->vm_start = start;
	vma->vm_end = end;
	vma->vm_flags = flags;
	vma->vm_pgoff = (file ? offset : start) >> PAGE_SHIFT;
	vma->vm_file = file ? aspace_file_get(file) : NULL;
	vma->special_name = special_name;
	mmap_write_lock(mm);
	error = insert_vm_struct(mm, vma);
	mmap_write_unlock(mm);
	if (error)
		vm_area_free(vma);
	return error;
}
