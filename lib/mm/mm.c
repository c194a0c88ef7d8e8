/* SPDX-License-Identifier: MIT */
/* An address space's settings, and looking at its areas. */
#include <string.h>

#include "mm/vma.h"

struct aspace_machine *aspace_mm_machine(struct aspace_mm *mm)
{
	return mm->machine;
}

uint64_t aspace_mm_root(struct aspace_mm *mm)
{
	return mm->pgd;
}

/* ---- layout --------------------------------------------------------------------------------------- */

/* What the caller's struct, maybe older and shorter, has room for. */
static void copy_out(void *to, const void *from, size_t from_size)
{
	size_t size = *(const size_t *)to;

	memcpy((char *)to + sizeof(size), (const char *)from + sizeof(size),
	       min(size, from_size) - sizeof(size));
}

void aspace_mm_layout(struct aspace_mm *mm, struct aspace_layout *result)
{
	struct aspace_layout layout;

	mmap_read_lock(mm);
	layout = (struct aspace_layout){
		.task_size = mm->task_size,
		.mmap_base = mm->mmap_base,
		.mmap_legacy_base = mm->mmap_legacy_base,
		.legacy = mm->mmap_legacy,
		.start_code = mm->start_code,
		.end_code = mm->end_code,
		.start_data = mm->start_data,
		.end_data = mm->end_data,
		.start_brk = mm->start_brk,
		.brk = mm->brk,
		.start_stack = mm->start_stack,
		.arg_start = mm->arg_start,
		.arg_end = mm->arg_end,
		.env_start = mm->env_start,
		.env_end = mm->env_end,
	};
	mmap_read_unlock(mm);
	copy_out(result, &layout, sizeof(layout));
}

/* Zero where the default is meant; the segments' boundaries are only shown, but for brk's. */
static bool layout_is_valid(const struct mm_struct *mm, const struct aspace_layout *layout)
{
	uint64_t highest = (1ull << (mm->machine->options.format == ASPACE_X86_64_5LEVEL ? 56 : 47));

	return !offset_in_page(layout->task_size | layout->mmap_base | layout->mmap_legacy_base) &&
	       layout->task_size < highest && layout->mmap_base < highest &&
	       layout->mmap_legacy_base < highest && layout->brk >= layout->start_brk &&
	       layout->brk < highest;
}

int aspace_mm_set_layout(struct aspace_mm *mm, const struct aspace_layout *given)
{
	struct aspace_layout layout = { 0 };

	memcpy(&layout, given, min(given->size, sizeof(layout)));
	if (!layout_is_valid(mm, &layout))
		return -EINVAL;
	mmap_write_lock(mm);
	mm->task_size = layout.task_size ? layout.task_size : mm->task_size;
	mm->mmap_base = layout.mmap_base ? layout.mmap_base : mm->mmap_base;
	mm->mmap_legacy_base = layout.mmap_legacy_base ? layout.mmap_legacy_base : mm->mmap_legacy_base;
	mm->mmap_legacy = layout.legacy;
	mm->start_code = layout.start_code;
	mm->end_code = layout.end_code;
	mm->start_data = layout.start_data;
	mm->end_data = layout.end_data;
	mm->start_brk = layout.start_brk;
	mm->brk = layout.brk;
	mm->start_stack = layout.start_stack;
	mm->arg_start = layout.arg_start;
	mm->arg_end = layout.arg_end;
	mm->env_start = layout.env_start;
	mm->env_end = layout.env_end;
	mmap_write_unlock(mm);
	return 0;
}

/* ---- limits and rights -------------------------------------------------------------------------- */

void aspace_mm_set_rlimit(struct aspace_mm *mm, enum aspace_rlimit which, uint64_t bytes)
{
	BUG_ON((size_t)which >= ARRAY_SIZE(mm->rlim));
	mmap_write_lock(mm);
	mm->rlim[which] = bytes;
	mmap_write_unlock(mm);
}

void aspace_mm_set_personality(struct aspace_mm *mm, unsigned personality)
{
	mmap_write_lock(mm);
	mm->personality = personality;
	mmap_write_unlock(mm);
}

void aspace_mm_set_privileged(struct aspace_mm *mm, bool cap_ipc_lock, bool cap_sys_rawio)
{
	mmap_write_lock(mm);
	mm->cap_ipc_lock = cap_ipc_lock;
	mm->cap_sys_rawio = cap_sys_rawio;
	mmap_write_unlock(mm);
}

/* Bits can't be taken back, and NO_INHERIT means nothing alone. */
int aspace_mm_set_mdwe(struct aspace_mm *mm, unsigned bits)
{
	int error = 0;

	if (bits & ~(unsigned)(MDWE_REFUSE_EXEC_GAIN | MDWE_NO_INHERIT))
		return -EINVAL;
	if ((bits & MDWE_NO_INHERIT) && !(bits & MDWE_REFUSE_EXEC_GAIN))
		return -EINVAL;
	mmap_write_lock(mm);
	if (mm->mdwe && mm->mdwe != bits)
		error = -EPERM;
	else
		mm->mdwe = bits;
	mmap_write_unlock(mm);
	return error;
}

void aspace_mm_set_thp_disable(struct aspace_mm *mm, bool disable)
{
	mmap_write_lock(mm);
	mm->thp_disable = disable;
	mmap_write_unlock(mm);
}

/* ---- exe_file, auxv -------------------------------------------------------------------------------- */

void aspace_mm_set_exe_file(struct aspace_mm *mm, struct aspace_file *file)
{
	struct aspace_file *old;

	mmap_write_lock(mm);
	old = mm->exe_file;
	mm->exe_file = file ? aspace_file_get(file) : NULL;
	mmap_write_unlock(mm);
	if (old)
		aspace_file_put(old);
}

struct aspace_file *aspace_mm_exe_file(struct aspace_mm *mm)
{
	struct aspace_file *file;

	mmap_read_lock(mm);
	file = mm->exe_file ? aspace_file_get(mm->exe_file) : NULL;
	mmap_read_unlock(mm);
	return file;
}

int aspace_mm_set_auxv(struct aspace_mm *mm, const void *auxv, size_t bytes)
{
	if (bytes > sizeof(mm->saved_auxv))
		return -EINVAL;
	mmap_write_lock(mm);
	memcpy(mm->saved_auxv, auxv, bytes);
	mm->auxv_bytes = bytes;
	mmap_write_unlock(mm);
	return 0;
}

/* The bytes there are; as many as fit are written. */
size_t aspace_mm_auxv(struct aspace_mm *mm, void *auxv, size_t bytes)
{
	size_t have;

	mmap_read_lock(mm);
	have = mm->auxv_bytes;
	memcpy(auxv, mm->saved_auxv, min(have, bytes));
	mmap_read_unlock(mm);
	return have;
}

/* ---- looking ------------------------------------------------------------------------------------------ */

void area_describe(struct vm_area_struct *vma, struct aspace_area *result)
{
	struct aspace_area area = {
		.start = vma->vm_start, .end = vma->vm_end, .flags = vma->vm_flags,
		.file = vma->vm_file, .has_anon = vma->anon_vma,
	};
	char buffer[4096];

	if (vma->vm_file) {
		area.offset = vma->vm_pgoff << PAGE_SHIFT;
		area.dev_major = vma->vm_file->f_mapping->dev_major;
		area.dev_minor = vma->vm_file->f_mapping->dev_minor;
		area.ino = vma->vm_file->f_mapping->ino;
	}
	strncpy(area.name, vma_name(vma, buffer, sizeof(buffer)), sizeof(area.name) - 1);
	copy_out(result, &area, sizeof(area));
}

int aspace_find_area(struct aspace_mm *mm, uint64_t addr, struct aspace_area *area)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	if (vma)
		area_describe(vma, area);
	mmap_read_unlock(mm);
	return vma ? 0 : -ENOENT;
}

/* The largest free range that mmap could use. */
static void largest_gap(struct mm_struct *mm, struct aspace_mm_stats *s)
{
	uint64_t at = PAGE_ALIGN(mm->machine->options.mmap_min_addr);

	for (struct vm_area_struct *vma = find_vma(mm, 0);; vma = vma_next(vma)) {
		uint64_t end = vma ? min((uint64_t)vma->vm_start, mm->task_size) : mm->task_size;

		if (end > at && end - at > s->largest_gap) {
			s->largest_gap = end - at;
			s->largest_gap_start = at;
		}
		if (!vma)
			break;
		at = max(at, (uint64_t)vma->vm_end);
	}
}

static uint64_t counter(atomic_long *value)
{
	long v = atomic_load(value);

	return v < 0 ? 0 : (uint64_t)v;
}

uint64_t mm_hiwater_rss(struct mm_struct *mm)
{
	uint64_t rss = mm_rss(mm), high = atomic_load(&mm->hiwater_rss);

	return rss > high ? rss : high;
}

uint64_t mm_rss(struct mm_struct *mm)
{
	return counter(&mm->rss_stat[MM_FILEPAGES]) + counter(&mm->rss_stat[MM_ANONPAGES]) +
	       counter(&mm->rss_stat[MM_SHMEMPAGES]);
}

void aspace_mm_stats(struct aspace_mm *mm, struct aspace_mm_stats *stats)
{
	struct aspace_mm_stats s;

	mmap_read_lock(mm);
	s = (struct aspace_mm_stats){
		.map_count = map_count(mm),
		.total_vm = mm->total_vm,
		.locked_vm = mm->locked_vm,
		.pinned_vm = atomic_load(&mm->pinned_vm),
		.data_vm = mm->data_vm,
		.exec_vm = mm->exec_vm,
		.stack_vm = mm->stack_vm,
		.hiwater_vm = max(mm->hiwater_vm, mm->total_vm),
		.hiwater_rss = mm_hiwater_rss(mm),
		.rss_file = counter(&mm->rss_stat[MM_FILEPAGES]),
		.rss_anon = counter(&mm->rss_stat[MM_ANONPAGES]),
		.rss_shmem = counter(&mm->rss_stat[MM_SHMEMPAGES]),
		.swap_entries = counter(&mm->rss_stat[MM_SWAPENTS]),
		.mm_users = (uint64_t)atomic_load(&mm->mm_users),
		.mm_count = (uint64_t)atomic_load(&mm->mm_count),
		.minor_faults = atomic_load(&mm->min_flt),
		.major_faults = atomic_load(&mm->maj_flt),
	};
	for (size_t level = 0; level < ARRAY_SIZE(s.page_tables); level++)
		s.page_tables[level] = counter(&mm->pgtables[level]);
	largest_gap(mm, &s);
	mmap_read_unlock(mm);
	copy_out(stats, &s, sizeof(s));
}
