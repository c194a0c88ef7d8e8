/* SPDX-License-Identifier: MIT */
/*
 * Where mappings go.
 *
 *	0   min   MAP_32BIT  legacy_base                  mmap_base  gap  stack   window    task_size
 *	|---|-------[    ]-----|--> bottom-up    top-down <--|--------|-----|--------|----------|
 *
 * A hint is taken if it is free. Else the highest gap below mmap_base (top-down), or the lowest above
 * legacy_base: with the legacy layout, for MAP_32BIT, and when top-down finds nothing. The window is
 * what 4-level tables reach; beyond it only a hint beyond it leads. An area that grows down keeps the
 * stack guard gap below it free.
 */
#include "mm/vma.h"

/* ---- where the layout's corner stones lie --------------------------------------------------------------- */

#define STACK_GAP_MIN	(128ull << 20)
#define STACK_RANDOM	(16ull << 30)	/* how far ASLR may push the stack down */

static uint64_t clamp_u64(uint64_t x, uint64_t low, uint64_t high)
{
	return x < low ? low : x > high ? high : x;
}

void aspace_layout_pick(struct aspace_layout *layout, uint64_t rlimit_stack, unsigned personality,
			uint64_t random_pages)
{
	uint64_t top = min(layout->task_size ? layout->task_size : DEFAULT_MAP_WINDOW, DEFAULT_MAP_WINDOW);
	bool random = random_pages && !(personality & ADDR_NO_RANDOMIZE);
	uint64_t shift = random ? random_pages << PAGE_SHIFT : 0;
	uint64_t pad = (1ull << 20) + (random ? STACK_RANDOM : 0);
	uint64_t gap = rlimit_stack;

	if (gap + pad > gap)
		gap += pad;
	gap = clamp_u64(gap, STACK_GAP_MIN, top / 6 * 5);
	layout->mmap_legacy_base = PAGE_ALIGN(top / 3) + shift;
	layout->mmap_base = PAGE_ALIGN(top - gap - shift);
	layout->legacy = personality & ADDR_COMPAT_LAYOUT;
	if (layout->legacy)
		layout->mmap_base = layout->mmap_legacy_base;
}

/* ---- gaps ---------------------------------------------------------------------------------------------------- */

struct gap_request {
	uint64_t low, high, len;
};

/* The areas' view of a range: found->next is the first that ends above addr. Is the range free, gap included? */
static bool free_with_gap(struct mm_struct *mm, uint64_t addr, uint64_t len, struct place *found)
{
	found->next = find_vma(mm, addr);
	found->free = !found->next || addr + len <= vm_start_gap(found->next);
	return found->free;
}

static int64_t lowest_gap(struct mm_struct *mm, struct gap_request gap, struct place *found)
{
	unsigned long at;

	for (;; gap.low = found->next->vm_end) {
		if (gap.low >= gap.high ||
		    !range_index_gap_lowest(&mm->mm_mt, gap.low, gap.high, gap.len, &at))
			return -ENOMEM;
		if (free_with_gap(mm, at, gap.len, found))
			return (int64_t)at;
	}
}

static int64_t highest_gap(struct mm_struct *mm, struct gap_request gap, struct place *found)
{
	unsigned long at;

	for (;; gap.high = vm_start_gap(found->next)) {
		if (gap.low >= gap.high ||
		    !range_index_gap_highest(&mm->mm_mt, gap.low, gap.high, gap.len, &at))
			return -ENOMEM;
		if (free_with_gap(mm, at, gap.len, found))
			return (int64_t)at;
	}
}

/* ---- one placement --------------------------------------------------------------------------------------------- */

static int64_t place_bottom_up(struct mm_struct *mm, uint64_t addr, uint64_t len, unsigned flags,
			       struct place *found)
{
	uint64_t low = mm->mmap_legacy_base;
	uint64_t high = addr > DEFAULT_MAP_WINDOW ? mm->task_size : min(mm->task_size, DEFAULT_MAP_WINDOW);

	if (flags & MAP_32BIT) {
		low = 0x40000000;
		high = 0x80000000;
	}
	if (len > high)
		return -ENOMEM;
	if (addr) {
		addr = PAGE_ALIGN(addr);
		if (high - len >= addr && free_with_gap(mm, addr, len, found))
			return (int64_t)addr;
	}
	low = max(low, mm->machine->options.mmap_min_addr);
	return lowest_gap(mm, (struct gap_request){ low, high, len }, found);
}

/* The hint lies in the user's part, and not astride of the window's end. */
static bool hint_is_valid(const struct mm_struct *mm, uint64_t addr, uint64_t len)
{
	if (mm->task_size - len < addr)
		return false;
	return (addr > DEFAULT_MAP_WINDOW) == (addr + len > DEFAULT_MAP_WINDOW);
}

static int64_t place_top_down(struct mm_struct *mm, uint64_t addr, uint64_t len, unsigned flags,
			      struct place *found)
{
	uint64_t low = max(PAGE_SIZE, PAGE_ALIGN(mm->machine->options.mmap_min_addr));
	uint64_t high = mm->mmap_base, hint = addr & PAGE_MASK;
	int64_t at;

	if (flags & MAP_32BIT)
		return place_bottom_up(mm, addr, len, flags, found);
	if (hint && hint_is_valid(mm, hint, len) && free_with_gap(mm, hint, len, found))
		return (int64_t)hint;
	if (flags & MAP_ABOVE4G)
		low = 1ull << 32;
	if (hint > DEFAULT_MAP_WINDOW)
		high += mm->task_size - min(mm->task_size, DEFAULT_MAP_WINDOW);
	at = highest_gap(mm, (struct gap_request){ low, high, len }, found);
	return at >= 0 ? at : place_bottom_up(mm, addr, len, flags, found);
}

static int64_t place_plain(struct mm_struct *mm, uint64_t addr, uint64_t len, unsigned flags,
			   struct place *found)
{
	found->free = false;
	if (len > mm->task_size)
		return -ENOMEM;
	if (flags & MAP_FIXED)
		return addr > mm->task_size - len ? -ENOMEM : (int64_t)addr;
	return mm->mmap_legacy ? place_bottom_up(mm, addr, len, flags, found) :
				 place_top_down(mm, addr, len, flags, found);
}

/* ---- alignment for huge pages --------------------------------------------------------------------------------- */

/*
 * Looks for a place that is a huge page longer, and aligns in it: address and file offset shall be
 * alike modulo a huge page. -ENOMEM: it makes no sense, or there is none; place it as usual.
 */
static int64_t place_aligned(struct mm_struct *mm, uint64_t addr, uint64_t len, uint64_t offset, unsigned flags,
			     struct place *found)
{
	uint64_t padded = len + PMD_SIZE;
	uint64_t first_huge = ALIGN(offset, PMD_SIZE);
	uint64_t shift;
	int64_t at;

	if (offset + len <= first_huge || offset + len - first_huge < PMD_SIZE)
		return -ENOMEM;
	if (padded < len || offset + padded < offset)
		return -ENOMEM;
	at = place_plain(mm, addr, padded, flags, found);
	if (at < 0)
		return -ENOMEM;
	if ((uint64_t)at == addr)
		return at;
	shift = (offset - (uint64_t)at) & (PMD_SIZE - 1);
	if (!mm->mmap_legacy && !shift)
		return at + (int64_t)PMD_SIZE;
	return at + (int64_t)shift;
}

static bool wants_alignment(struct mm_struct *mm, struct aspace_file *file, uint64_t addr, uint64_t len,
			    unsigned flags)
{
	if (!mm->machine->options.thp_align)
		return false;
	if (file)
		return file->f_mapping->ops && !file->f_mapping->no_huge_align && !file->vm_ops;
	return !(flags & MAP_SHARED) && !addr && IS_ALIGNED(len, PMD_SIZE);
}

/* ---- the door ---------------------------------------------------------------------------------------------------- */

int find_place(struct mm_struct *mm, struct aspace_file *file, uint64_t addr, uint64_t len, pgoff_t pgoff,
	       unsigned flags, struct place *found)
{
	int64_t at = -ENOMEM;

	if (len > mm->task_size)
		return -ENOMEM;
	if (!file)
		pgoff = 0;
	if (wants_alignment(mm, file, addr, len, flags))
		at = place_aligned(mm, addr, len, pgoff << PAGE_SHIFT, flags, found);
	if (at < 0)
		at = place_plain(mm, addr, len, flags, found);
	if (at < 0)
		return (int)at;
	found->start = (uint64_t)at;
	if (found->start > mm->task_size - len)
		return -ENOMEM;
	if (offset_in_page(found->start))
		return -EINVAL;
	if (found->start < mm->machine->options.mmap_min_addr && !mm->cap_sys_rawio)
		return -EPERM;
	return 0;
}

int64_t get_unmapped_area(struct mm_struct *mm, struct aspace_file *file, uint64_t addr, uint64_t len,
			  pgoff_t pgoff, unsigned flags)
{
	struct place found;
	int error = find_place(mm, file, addr, len, pgoff, flags, &found);

	return error ? error : (int64_t)found.start;
}
