/* SPDX-License-Identifier: MIT */
/*
 * mremap: grow, shrink, move, duplicate.
 *
 *	shrink		the tail is unmapped; the range that goes may cross areas
 *	grow in place	if the range ends with its area and what follows is free
 *	move		a new range like the old one (a merge or a new area); the entries of the page
 *			tables move; the old range is unmapped, or with DONTUNMAP left empty
 *	move many	MREMAP_FIXED without a change of length: area by area, holes keep their place
 *	duplicate	old length 0 of a shared area: a second range, no entries move
 *
 * A move that fails half way (no page for a table) moves the entries back and unmaps the new range.
 */
#include "mm/vma.h"

struct vma_remap {
	struct mm_struct *mm;
	struct vm_area_struct *vma;	/* where addr is */
	uint64_t addr, old_len, new_len, new_addr;
	unsigned flags;
	uint64_t charged;		/* pages */
	bool populate;			/* a locked area grew */
};

static bool implies_new_addr(const struct vma_remap *r)
{
	return r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
}

static uint64_t growth(const struct vma_remap *r)
{
	return r->new_len > r->old_len ? r->new_len - r->old_len : 0;
}

/* ---- refuse what can't be meant ------------------------------------------------------------------- */

static bool overlaps(const struct vma_remap *r)
{
	return r->addr + r->old_len > r->new_addr && r->new_addr + r->new_len > r->addr;
}

static int check_new_addr(const struct vma_remap *r)
{
	const struct mm_struct *mm = r->mm;

	if (r->new_addr > mm->task_size - r->new_len || offset_in_page(r->new_addr))
		return -EINVAL;
	if (!(r->flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) && r->old_len != r->new_len)
		return -EINVAL;
	if (overlaps(r))
		return -EINVAL;
	/* Both ends may be split in three on the way: better now than half way. */
	if (map_count(mm) + 2 >= mm->machine->options.max_map_count - 3)
		return -ENOMEM;
	return 0;
}

static int check_params(const struct vma_remap *r)
{
	if (r->flags & ~(unsigned)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	if (offset_in_page(r->addr) || !r->new_len || r->new_len > r->mm->task_size)
		return -EINVAL;
	return implies_new_addr(r) ? check_new_addr(r) : 0;
}

static int check_growth(const struct vma_remap *r)
{
	pgoff_t pgoff = linear_page_index(r->vma, r->addr);

	if (pgoff + (r->new_len >> PAGE_SHIFT) < pgoff)
		return -EINVAL;
	if (r->vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP))
		return -EFAULT;
	if (!mlock_future_ok(r->mm, r->vma->vm_flags, growth(r)))
		return -EAGAIN;
	return may_expand_vm(r->mm, r->vma->vm_flags, growth(r) >> PAGE_SHIFT) ? 0 : -ENOMEM;
}

static int check_vma(struct vma_remap *r)
{
	const struct vm_area_struct *vma = r->vma;
	uint64_t kept = min(r->old_len, r->new_len);

	if (!vma)
		return -EFAULT;
	if (vma_is_sealed(vma))
		return -EPERM;
	if (!implies_new_addr(r) && r->new_len <= r->old_len)
		return 0;
	if (!r->old_len && !(vma->vm_flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) && (vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP)))
		return -EINVAL;
	if (kept > vma->vm_end - r->addr)
		return -EFAULT;
	return r->new_len > r->old_len ? check_growth(r) : 0;
}

/* ---- move ---------------------------------------------------------------------------------------------- */

static int pick_new_addr(struct vma_remap *r)
{
	unsigned flags = (r->flags & MREMAP_FIXED ? MAP_FIXED : 0) |
			 (r->vma->vm_flags & VM_MAYSHARE ? MAP_SHARED : 0);
	uint64_t hint = implies_new_addr(r) ? r->new_addr : 0;
	int64_t at = get_unmapped_area(r->mm, r->vma->vm_file, hint, r->new_len,
				       linear_page_index(r->vma, r->addr), flags);

	if (at < 0)
		return (int)at;
	r->new_addr = (uint64_t)at;
	return 0;
}

static int charge(struct vma_remap *r)
{
	r->charged = 0;
	if (!(r->vma->vm_flags & VM_ACCOUNT))
		return 0;
	r->charged = (r->flags & MREMAP_DONTUNMAP ? r->new_len : growth(r)) >> PAGE_SHIFT;
	if (r->charged && vm_enough_memory(r->mm->machine, r->charged)) {
		r->charged = 0;
		return -ENOMEM;
	}
	return 0;
}

static void account_growth(struct vma_remap *r, uint64_t flags, uint64_t bytes)
{
	vm_stat_account(r->mm, flags, (int64_t)(bytes >> PAGE_SHIFT));
	if (flags & VM_LOCKED)
		r->mm->locked_vm += bytes >> PAGE_SHIFT;
}

/* An area of its own for the new range, in the index. NULL: no memory. */
static struct vm_area_struct *dup_for_move(struct vma_remap *r, pgoff_t pgoff)
{
	const struct aspace_vm_ops *ops = vma_ops(r->vma);
	struct vm_area_struct *new;

	if (range_index_reserve(&r->mm->mm_mt, 1))
		return NULL;
	new = vm_area_dup(r->vma);
	if (!new)
		return NULL;
	new->vm_start = r->new_addr;
	new->vm_end = r->new_addr + r->new_len;
	new->vm_pgoff = pgoff;
	if (anon_vma_clone(new, r->vma)) {
		vm_area_free(new);
		return NULL;
	}
	if (ops && ops->open)
		ops->open(new->vm_file->priv, new);
	vma_link(r->mm, new);
	return new;
}

/*
 * The new range. An anonymous area without pages takes its number from its new address, so that it
 * merges there; it may even merge with itself, in which case r->vma is the merged one.
 */
static struct vm_area_struct *copy_vma(struct vma_remap *r)
{
	struct vm_area_struct *vma = r->vma;
	uint64_t addr = r->addr;
	struct vma_merge merge = {
		.mm = r->mm, .copied_from = vma, .start = r->new_addr, .end = r->new_addr + r->new_len,
		.flags = vma->vm_flags, .pgoff = linear_page_index(vma, addr), .file = vma->vm_file,
		.anon_name = vma->anon_name, .anon_vma = vma->anon_vma,
	};
	struct vm_area_struct *new;

	if (vma_is_anonymous(vma) && !vma->anon_vma)
		merge.pgoff = r->new_addr >> PAGE_SHIFT;
	merge.next = find_vma_prev(r->mm, r->new_addr, &merge.prev);
	if (!vma_merge_prepare(&merge))
		return dup_for_move(r, merge.pgoff);
	new = vma_merge_commit(&merge);
	if (addr >= new->vm_start && addr < new->vm_end)
		r->vma = new;
	return new;
}

/* The entries move; or they are moved back and the new range is the one to be unmapped. */
static int move_data(struct vma_remap *r, struct vm_area_struct *new)
{
	const struct translation_ops *tr = r->mm->machine->tr;
	const struct aspace_vm_ops *ops = vma_ops(r->vma);
	uint64_t moved = tr->move(r->vma, r->addr, new, r->new_addr, r->old_len);
	int error = moved < r->old_len ? -ENOMEM : 0;

	if (!error && ops && ops->mremap)
		error = ops->mremap(new->vm_file->priv, new);
	if (!error)
		return 0;
	tr->move(new, r->new_addr, r->vma, r->addr, moved);
	r->vma = new;
	r->addr = r->new_addr;
	r->old_len = r->new_len;
	return error;
}

/* What is left of the area that had this range is charged as before. */
static void restore_account(struct mm_struct *mm, uint64_t start, uint64_t end)
{
	struct vm_area_struct *vma = find_vma(mm, start);

	for (; vma && vma->vm_start < end; vma = vma_next(vma))
		vma->vm_flags |= VM_ACCOUNT;
}

/* The charge goes with the pages: what is unmapped here must not give it back. */
static void unmap_source(struct vma_remap *r)
{
	struct vm_area_struct *vma = r->vma;
	uint64_t start = vma->vm_start, end = vma->vm_end;
	bool moves_charge = (vma->vm_flags & VM_ACCOUNT) && !(r->flags & MREMAP_DONTUNMAP);

	if (!r->old_len)
		return;
	if (moves_charge)
		vma->vm_flags &= ~VM_ACCOUNT;
	/* Without memory to split the area, the range stays where it is, empty, with a charge of its own. */
	if (do_munmap(r->mm, r->addr, r->old_len) && moves_charge)
		atomic_fetch_add(&r->mm->machine->vm_committed_as, (long)(r->old_len >> PAGE_SHIFT));
	if (moves_charge)
		restore_account(r->mm, start, end);
}

/* DONTUNMAP: the old range stays, empty and unlocked. What it had locked stays counted, as in Linux. */
static void leave_source(struct vma_remap *r, struct vm_area_struct *new)
{
	struct vm_area_struct *vma = r->vma;

	if (vma->vm_flags & VM_LOCKED)
		r->mm->locked_vm_drift += vma_pages(vma);
	vma->vm_flags &= ~VM_LOCKED_MASK;
	if (new != vma && r->addr == vma->vm_start && r->addr + r->old_len == vma->vm_end)
		unlink_anon_vmas(vma);
}

/* Splitting the source later must not be refused by the driver. */
static int check_source(struct vma_remap *r)
{
	struct vm_area_struct *vma = r->vma;
	const struct aspace_vm_ops *ops = vma_ops(vma);
	uint64_t end = r->addr + r->old_len;
	int error = 0;

	if (map_count(r->mm) >= r->mm->machine->options.max_map_count - 3)
		return -ENOMEM;
	if (!ops || !ops->may_split)
		return 0;
	if (vma->vm_start != r->addr)
		error = ops->may_split(vma->vm_file->priv, vma, r->addr);
	if (!error && vma->vm_end != end)
		error = ops->may_split(vma->vm_file->priv, vma, end);
	return error;
}

static int64_t move_vma(struct vma_remap *r)
{
	struct mm_struct *mm = r->mm;
	uint64_t hiwater_vm, flags = r->vma->vm_flags, new_addr = r->new_addr;
	struct vm_area_struct *new;
	int error = check_source(r);

	if (!error)
		error = charge(r);
	if (error)
		return error;
	new = copy_vma(r);
	if (!new) {
		vm_unacct_memory(mm->machine, r->charged);
		return -ENOMEM;
	}
	error = move_data(r, new);
	/* Both ranges count for a moment: that is no peak. */
	hiwater_vm = max(mm->hiwater_vm, mm->total_vm);
	account_growth(r, flags, r->new_len);
	if (!error && (r->flags & MREMAP_DONTUNMAP))
		leave_source(r, new);
	else
		unmap_source(r);
	mm->hiwater_vm = hiwater_vm;
	r->populate = (flags & VM_LOCKED) && growth(r);
	return error ? error : (int64_t)new_addr;
}

/* ---- the forms ----------------------------------------------------------------------------------------- */

static int shrink(struct vma_remap *r)
{
	return do_munmap(r->mm, r->addr + r->new_len, r->old_len - r->new_len);
}

static bool can_expand_in_place(struct vma_remap *r)
{
	struct vm_area_struct *vma = r->vma;
	uint64_t end = vma->vm_end + growth(r);

	if (vma->vm_end - r->addr != r->old_len || end < vma->vm_end)
		return false;
	if (find_vma_intersection(r->mm, vma->vm_end, end))
		return false;
	return get_unmapped_area(r->mm, NULL, vma->vm_start, end - vma->vm_start, 0, MAP_FIXED) >= 0;
}

/* The new end is a range like the area, to be merged with it, and with what comes after if that fits. */
static int64_t expand_in_place(struct vma_remap *r)
{
	struct vm_area_struct *vma = r->vma;
	struct vma_merge merge = {
		.mm = r->mm, .prev = vma, .next = vma_next(vma), .start = vma->vm_end,
		.end = vma->vm_end + growth(r), .flags = vma->vm_flags, .file = vma->vm_file,
		.pgoff = linear_page_index(vma, vma->vm_end), .anon_name = vma->anon_name,
		.anon_vma = vma->anon_vma,
	};

	if (charge(r))
		return -ENOMEM;
	if (!vma_merge_prepare(&merge)) {
		vm_unacct_memory(r->mm->machine, r->charged);
		return -ENOMEM;
	}
	vma_merge_commit(&merge);
	account_growth(r, merge.flags, growth(r));
	r->populate = merge.flags & VM_LOCKED;
	return (int64_t)r->addr;
}

static int64_t expand(struct vma_remap *r)
{
	int error;

	if (can_expand_in_place(r))
		return expand_in_place(r);
	if (!(r->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	error = pick_new_addr(r);
	return error ? error : move_vma(r);
}

static int64_t mremap_at(struct vma_remap *r)
{
	int error;

	r->new_addr = r->addr;
	if (r->new_len > r->old_len)
		return expand(r);
	error = r->new_len < r->old_len ? shrink(r) : 0;
	return error ? error : (int64_t)r->addr;
}

/* To new_addr, or with DONTUNMAP alone to where there is room, best there. */
static int64_t mremap_to(struct vma_remap *r)
{
	int error = 0;

	if (r->flags & MREMAP_FIXED)
		error = do_munmap(r->mm, r->new_addr, r->new_len);
	if (!error && r->new_len < r->old_len) {
		error = shrink(r);
		r->old_len = r->new_len;
	}
	if (error)
		return error;
	r->vma = vma_lookup(r->mm, r->addr);	/* it may have been split */
	if (!r->vma)
		return -EFAULT;
	if ((r->flags & MREMAP_DONTUNMAP) && !may_expand_vm(r->mm, r->vma->vm_flags, r->old_len >> PAGE_SHIFT))
		return -ENOMEM;
	error = pick_new_addr(r);
	return error ? error : move_vma(r);
}

/* A driver could place its area elsewhere than asked: not in a row with others. */
static bool may_move_in_a_row(const struct vm_area_struct *vma)
{
	return !vma_ops(vma);
}

/* Area by area; an error stops, and what was moved stays moved. */
static int64_t move_areas(struct vma_remap *whole)
{
	uint64_t start = whole->addr, end = start + whole->old_len, at = start;
	int64_t result = -EFAULT;

	while (at < end) {
		struct vm_area_struct *vma = find_vma_intersection(whole->mm, at, end);
		struct vma_remap r = *whole;
		int64_t moved;

		if (!vma)
			break;
		if (at == start && vma->vm_start > start)
			return -EFAULT;
		r.vma = vma;
		r.addr = max(at, (uint64_t)vma->vm_start);
		at = min(end, (uint64_t)vma->vm_end);
		r.old_len = r.new_len = at - r.addr;
		r.new_addr = whole->new_addr + (r.addr - start);
		if (!may_move_in_a_row(vma) && (r.addr != start || at < end))
			return -EFAULT;
		moved = check_vma(&r);
		if (!moved)
			moved = mremap_to(&r);
		if (moved < 0)
			return moved;
		if (r.addr == start || result < 0)
			result = moved;
	}
	return result;
}

static int64_t remap(struct vma_remap *r)
{
	int error;

	if ((r->flags & MREMAP_FIXED) && r->old_len == r->new_len)
		return move_areas(r);
	r->vma = vma_lookup(r->mm, r->addr);
	error = check_vma(r);
	if (error)
		return error;
	return implies_new_addr(r) ? mremap_to(r) : mremap_at(r);
}

int64_t aspace_mremap(struct aspace_mm *mm, uint64_t addr, uint64_t old_length, uint64_t new_length,
		      unsigned flags, uint64_t new_addr)
{
	struct vma_remap r = {
		.mm = mm, .addr = addr, .old_len = PAGE_ALIGN(old_length),
		.new_len = PAGE_ALIGN(new_length), .flags = flags, .new_addr = new_addr,
	};
	uint64_t old_len = r.old_len;
	int64_t result;

	mmap_write_lock(mm);
	result = check_params(&r);
	if (!result)
		result = remap(&r);
	if (result >= 0)
		note_mapped(mm, (uint64_t)result, r.new_len);
	mmap_write_unlock(mm);
	if (result >= 0 && r.populate)
		populate_range(mm, (uint64_t)result + old_len, r.new_len - old_len, true);
	return result;
}
