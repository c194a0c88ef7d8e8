/* SPDX-License-Identifier: MIT */
#include "proc_query.h"

#include <errno.h>
#include <string.h>

#define PAGE_SIZE 4096ull

/* ---- PROCMAP_QUERY ----------------------------------------------------------------------------- */

struct procmap_query_arg {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
_Static_assert(sizeof(struct procmap_query_arg) == 104, "the ioctl's number carries the size");

enum { QUERY_READABLE = 1, QUERY_WRITABLE = 2, QUERY_EXECUTABLE = 4, QUERY_SHARED = 8, QUERY_NEXT = 0x10, QUERY_FILE = 0x20 };
#define QUERY_PROT (QUERY_READABLE | QUERY_WRITABLE | QUERY_EXECUTABLE | QUERY_SHARED)

static uint64_t query_flags_of(const struct aspace_area *area)
{
	return (area->flags & ASPACE_VM_READ ? QUERY_READABLE : 0) |
	       (area->flags & ASPACE_VM_WRITE ? QUERY_WRITABLE : 0) |
	       (area->flags & ASPACE_VM_EXEC ? QUERY_EXECUTABLE : 0) |
	       (area->flags & ASPACE_VM_MAYSHARE ? QUERY_SHARED : 0);
}

/* The area that covers the address, or with QUERY_NEXT the next, with what is asked of it. */
static int query_area(struct aspace_mm *mm, const struct procmap_query_arg *q, struct aspace_area *area)
{
	uint64_t addr = q->query_addr, wanted = q->query_flags & QUERY_PROT;

	while (!aspace_find_area(mm, addr, area)) {
		bool fits = (query_flags_of(area) & wanted) == wanted && (!(q->query_flags & QUERY_FILE) || area->file);

		if (fits && (area->start <= q->query_addr || q->query_flags & QUERY_NEXT))
			return 0;
		if (!(q->query_flags & QUERY_NEXT))
			break;
		addr = area->end;
	}
	return -ENOENT;
}

static int give_name(struct task_struct *task, struct procmap_query_arg *q, const struct aspace_area *area)
{
	size_t n = area->name[0] ? strlen(area->name) + 1 : 0;

	if (!q->vma_name_size)
		return 0;
	if (n > q->vma_name_size)
		return -ENAMETOOLONG;
	q->vma_name_size = n;
	return n && copy_to_user(task, q->vma_name_addr, area->name, n) ? -EFAULT : 0;
}

int64_t procmap_query(struct task_struct *task, struct aspace_mm *mm, uint64_t arg)
{
	struct procmap_query_arg q = { 0 };
	struct aspace_area area = { .size = sizeof(area) };
	uint64_t size;
	int r;

	if (copy_from_user(task, &size, arg, sizeof(size)))
		return -EFAULT;
	if (size > PAGE_SIZE)
		return -E2BIG;
	if (size < offsetof(struct procmap_query_arg, vma_start))
		return -EINVAL;
	if (copy_from_user(task, &q, arg, size < sizeof(q) ? size : sizeof(q)))
		return -EFAULT;
	for (uint64_t at = sizeof(q); at < size; at++) {	/* what we don't know must be zero */
		char byte;

		if (copy_from_user(task, &byte, arg + at, 1))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	if (q.query_flags & ~(uint64_t)(QUERY_PROT | QUERY_NEXT | QUERY_FILE))
		return -EINVAL;
	if (!q.vma_name_size != !q.vma_name_addr || !q.build_id_size != !q.build_id_addr)
		return -EINVAL;
	r = query_area(mm, &q, &area);
	if (r)
		return r;
	q.vma_start = area.start;
	q.vma_end = area.end;
	q.vma_flags = query_flags_of(&area);
	q.vma_page_size = PAGE_SIZE;
	q.vma_offset = area.file ? area.offset : 0;
	q.inode = area.ino;
	q.dev_major = area.dev_major;
	q.dev_minor = area.dev_minor;
	q.build_id_size = 0;			/* docs/differences.md */
	r = give_name(task, &q, &area);
	if (r)
		return r;
	return copy_to_user(task, arg, &q, size < sizeof(q) ? size : sizeof(q)) ? -EFAULT : 0;
}

/* ---- PAGEMAP_SCAN ------------------------------------------------------------------------------ */

struct pm_scan_arg_guest {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
		category_anyof_mask, return_mask;
};
_Static_assert(sizeof(struct pm_scan_arg_guest) == 96, "the ioctl's number carries the size");

enum { PM_SCAN_WP_MATCHING = 1, PM_SCAN_CHECK_WPASYNC = 2 };
#define PAGE_IS_ALL 0x1ffull
#define SCAN_BATCH  512

static int check_scan(struct task_struct *task, const struct pm_scan_arg_guest *a)
{
	uint64_t masks = a->category_inverted | a->category_mask | a->category_anyof_mask | a->return_mask;
	struct aspace_layout layout = { .size = sizeof(layout) };

	if (a->size != sizeof(*a) || a->flags & ~(uint64_t)(PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC) ||
	    masks & ~PAGE_IS_ALL || a->start % PAGE_SIZE)
		return -EINVAL;
	aspace_mm_layout(task->mm, &layout);
	if (a->end < a->start || a->end > layout.task_size)
		return -EFAULT;
	if (!a->vec && a->vec_len)
		return -EINVAL;
	if (a->vec && (a->vec_len > layout.task_size / sizeof(struct aspace_page_region) ||
		       a->vec > layout.task_size - a->vec_len * sizeof(struct aspace_page_region)))
		return -EFAULT;
	return a->flags ? -EPERM : 0;	/* no area is registered with a userfaultfd */
}

/* A batch of regions at a time: where one ends in the middle, the next continues its last region. */
static int64_t scan_all(struct task_struct *task, struct aspace_mm *mm, struct pm_scan_arg_guest *a)
{
	struct aspace_page_region regions[SCAN_BATCH];
	uint64_t done = 0, pages = 0;
	struct aspace_pagemap_scan s = {
		.size = sizeof(s), .start = a->start, .end = (a->end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1),
		.category_inverted = a->category_inverted, .category_mask = a->category_mask,
		.category_anyof_mask = a->category_anyof_mask, .return_mask = a->return_mask,
		.regions = a->vec ? regions : NULL,
	};
	int64_t n;

	do {
		s.nr_regions = a->vec_len - done < SCAN_BATCH ? a->vec_len - done : SCAN_BATCH;
		s.max_pages = a->max_pages ? a->max_pages - pages : 0;
		n = aspace_pagemap_scan(mm, &s);
		if (n < 0)
			return n;
		if (n && copy_to_user(task, a->vec + done * sizeof(regions[0]), regions, n * sizeof(regions[0])))
			return -EFAULT;
		for (int64_t i = 0; i < n; i++)
			pages += (regions[i].end - regions[i].start) / PAGE_SIZE;
		done += n;
		a->walk_end = s.start = s.walk_end;
	} while (n == SCAN_BATCH && done < a->vec_len && s.walk_end < s.end && (!a->max_pages || pages < a->max_pages));
	return done;
}

int64_t pagemap_scan(struct task_struct *task, struct aspace_mm *mm, uint64_t arg)
{
	struct pm_scan_arg_guest a;
	int64_t r;

	if (copy_from_user(task, &a, arg, sizeof(a)))
		return -EFAULT;
	r = check_scan(task, &a);
	if (r)
		return r;
	r = scan_all(task, mm, &a);
	if (r >= 0 && copy_to_user(task, arg + offsetof(struct pm_scan_arg_guest, walk_end), &a.walk_end, 8))
		return -EFAULT;
	return r;
}
