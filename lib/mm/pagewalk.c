/* SPDX-License-Identifier: MIT */
/*
 * Looking at pages without changing what they hold: smaps, pagemap, mincore, clear_refs. All of them
 * are walks by the one walker; mmap_lock is held for reading.
 */
#include "mm/pagetable.h"

/* ---- smaps ----------------------------------------------------------------------------------- */

struct smaps_walk {
	struct pt_walk walk;	/* first */
	struct vm_area_struct *vma;
	struct mem_size_stats *mss;
};

/* One page as proc_pid_smaps(5) counts it: a page that several entries map is shared. */
static void smaps_account(struct smaps_walk *smaps, struct page *page, bool young, bool dirty)
{
	struct mem_size_stats *mss = smaps->mss;
	uint32_t flags = atomic_load_explicit(&page->flags, memory_order_relaxed);
	int32_t mapcount = atomic_load_explicit(&page->_mapcount, memory_order_relaxed);
	uint64_t pss = PAGE_SIZE << 12;

	if (mapcount >= 2)
		pss /= mapcount;
	dirty |= !!(flags & PG_dirty);
	mss->mapcount_max = max(mss->mapcount_max, mapcount);
	mss->resident += PAGE_SIZE;
	if (young || flags & PG_referenced)
		mss->referenced += PAGE_SIZE;
	if (page_is_anon(page)) {
		mss->anonymous += PAGE_SIZE;
		if (flags & PG_lazyfree && !dirty)
			mss->lazyfree += PAGE_SIZE;
	}
	*(mapcount >= 2 ? dirty ? &mss->shared_dirty : &mss->shared_clean :
			  dirty ? &mss->private_dirty : &mss->private_clean) += PAGE_SIZE;
	mss->pss += pss;
	if (dirty)
		mss->pss_dirty += pss;
	*(page_is_anon(page) ? &mss->pss_anon :
	  page->type == PAGE_SHMEM ? &mss->pss_shmem : &mss->pss_file) += pss;
	if (smaps->vma->vm_flags & VM_LOCKED)
		mss->pss_locked += pss;
}

static void smaps_leaf(struct smaps_walk *smaps, pte_t entry)
{
	const struct pt_format *f = pt_format(smaps->walk.mm);
	struct page *page = vm_normal_page(smaps->walk.mm->machine, entry);

	if (page)
		smaps_account(smaps, page, entry & f->accessed, entry & f->dirty);
}

static int smaps_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr, uint64_t end)
{
	struct smaps_walk *smaps = container_of(walk, struct smaps_walk, walk);
	const struct pt_format *f = pt_format(walk->mm);

	spin_lock(page_ptl(table));
	for (; addr < end; addr += PAGE_SIZE, slot = pt_slot_next(f, slot)) {
		pte_t entry = pt_read(f, slot);

		if (pt_leaf(f, 0, entry))
			smaps_leaf(smaps, entry);
	}
	spin_unlock(page_ptl(table));
	return 0;
}

/* Each frame of a huge leaf is counted by itself: the same sums. */
static int smaps_huge(struct pt_walk *walk, struct page *table, void *slot, unsigned level, uint64_t addr,
		      uint64_t end)
{
	struct smaps_walk *smaps = container_of(walk, struct smaps_walk, walk);
	const struct pt_format *f = pt_format(walk->mm);
	uint64_t first = (addr & (pt_span(f, level) - 1)) >> PAGE_SHIFT;
	pte_t entry;

	spin_lock(page_ptl(table));
	entry = pt_read(f, slot);
	if (pt_leaf(f, level, entry) && vm_normal_page(walk->mm->machine, entry))
		for (uint64_t i = 0; i < (end - addr) >> PAGE_SHIFT; i++)
			smaps_account(smaps, vm_normal_page(walk->mm->machine, entry) + first + i,
				      entry & f->accessed, entry & f->dirty);
	spin_unlock(page_ptl(table));
	return 0;
}

void smaps_gather(struct vm_area_struct *vma, struct mem_size_stats *mss)
{
	struct smaps_walk smaps = {
		.walk = { .mm = vma->vm_mm, .entries = smaps_entries, .huge = smaps_huge, .partly = true },
		.vma = vma, .mss = mss,
	};

	if (vma->vm_mm->machine->nr_frames)
		walk_page_range(&smaps.walk, vma->vm_start, vma->vm_end);
}

/* ---- pagemap ----------------------------------------------------------------------------------- */

/* Bits of an entry, see Linux's documentation of pagemap. */
#define PM_EXCLUSIVE	BIT(56)
#define PM_GUARD_REGION BIT(58)
#define PM_FILE		BIT(61)
#define PM_SWAP		BIT(62)
#define PM_PRESENT	BIT(63)

static uint64_t pagemap_of(struct mm_struct *mm, struct pt_pos pos, uint64_t addr)
{
	const struct pt_format *f = pt_format(mm);
	pte_t entry = pt_read(f, pos.slot);
	struct page *page;
	uint64_t pfn;

	if (pt_marker(f, entry) == PT_MARKER_GUARD)
		return PM_GUARD_REGION | PM_SWAP;	/* Linux keeps markers as swap entries */
	if (!pt_leaf(f, pos.level, entry))
		return 0;
	pfn = pt_pfn(f, entry) + ((addr & (pt_span(f, pos.level) - 1)) >> PAGE_SHIFT);
	page = vm_normal_page(mm->machine, entry);
	if (!page)
		return PM_PRESENT | pfn;
	page = pfn_to_page(mm->machine, pfn);
	return PM_PRESENT | pfn | (page_is_anon(page) ? 0 : PM_FILE) |
	       (atomic_load_explicit(&page->_mapcount, memory_order_relaxed) == 1 ? PM_EXCLUSIVE : 0);
}

/* Under the table's lock, for without it the frame may be another page by the time it's looked at. */
uint64_t pagemap_entry(struct vm_area_struct *vma, uint64_t addr)
{
	struct pt_pos pos = pt_find(vma->vm_mm, addr);
	uint64_t entry;

	spin_lock(page_ptl(pos.table));
	entry = pagemap_of(vma->vm_mm, pos, addr);
	spin_unlock(page_ptl(pos.table));
	return entry;
}

/* Entries are zero outside areas; there is one for every address that a user can have. */
int64_t aspace_pagemap_read(struct aspace_mm *mm, uint64_t addr, uint64_t *entries, size_t n)
{
	struct vm_area_struct *vma;
	size_t done = 0;

	if (offset_in_page(addr))
		return -EINVAL;
	down_read(&mm->mmap_lock);
	vma = find_vma(mm, addr);
	for (; done < n && addr < mm->task_size; done++, addr += PAGE_SIZE) {
		while (vma && vma->vm_end <= addr)
			vma = vma_next(vma);
		entries[done] = vma && vma->vm_start <= addr && mm->machine->nr_frames ? pagemap_entry(vma, addr) : 0;
	}
	up_read(&mm->mmap_lock);
	return (int64_t)done;
}

/* ---- PAGEMAP_SCAN ------------------------------------------------------------------------------- */

struct scan_walk {
	struct pt_walk walk;	/* first */
	struct aspace_pagemap_scan *scan;
	size_t found;		/* regions */
	uint64_t pages;
};

static bool scan_matches(const struct aspace_pagemap_scan *s, uint64_t categories)
{
	categories ^= s->category_inverted;
	return (categories & s->category_mask) == s->category_mask &&
	       (!s->category_anyof_mask || categories & s->category_anyof_mask);
}

/*
 * [addr, end) is of one kind. 0, or 1: there is no room for all of it, and walk_end says where that
 * begins. A walk whose room is just used up goes on until it finds more.
 */
static int scan_output(struct scan_walk *w, uint64_t addr, uint64_t end, uint64_t categories)
{
	struct aspace_pagemap_scan *s = w->scan;
	struct aspace_page_region *last = w->found ? &s->regions[w->found - 1] : NULL;
	uint64_t left = s->max_pages ? s->max_pages - w->pages : UINT64_MAX;
	uint64_t stop = (end - addr) >> PAGE_SHIFT <= left ? end : addr + (left << PAGE_SHIFT);

	if (!s->regions || !scan_matches(s, categories))
		return 0;
	categories &= s->return_mask;
	if (last && last->end == addr && last->categories == categories)
		last->end = stop;
	else if (stop > addr && w->found < s->nr_regions)
		s->regions[w->found++] = (struct aspace_page_region){ addr, stop, categories };
	else
		stop = addr;
	w->pages += (stop - addr) >> PAGE_SHIFT;
	s->walk_end = stop < end ? stop : s->walk_end;
	return stop < end;
}

static uint64_t scan_categories(struct mm_struct *mm, unsigned level, pte_t entry)
{
	const struct pt_format *f = pt_format(mm);
	struct page *page;

	if (pt_marker(f, entry) == PT_MARKER_GUARD)
		return ASPACE_PAGE_IS_SWAPPED | ASPACE_PAGE_IS_GUARD | ASPACE_PAGE_IS_WRITTEN;
	if (!pt_leaf(f, level, entry))
		return ASPACE_PAGE_IS_WRITTEN;
	page = vm_normal_page(mm->machine, entry);
	return ASPACE_PAGE_IS_PRESENT | ASPACE_PAGE_IS_WRITTEN | (page && !page_is_anon(page) ? ASPACE_PAGE_IS_FILE : 0) |
	       (pt_is_zero_page(mm->machine, entry) ? ASPACE_PAGE_IS_PFNZERO : 0) |
	       (level ? ASPACE_PAGE_IS_HUGE : 0);
}

static int scan_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr, uint64_t end)
{
	struct scan_walk *w = container_of(walk, struct scan_walk, walk);
	const struct pt_format *f = pt_format(walk->mm);
	int stop = 0;

	for (; addr < end && !stop; addr += PAGE_SIZE, slot = pt_slot_next(f, slot))
		stop = scan_output(w, addr, addr + PAGE_SIZE, scan_categories(walk->mm, 0, pt_read(f, slot)));
	return stop;
}

static int scan_huge(struct pt_walk *walk, struct page *table, void *slot, unsigned level, uint64_t addr, uint64_t end)
{
	return scan_output(container_of(walk, struct scan_walk, walk), addr, end,
			   scan_categories(walk->mm, level, pt_read(pt_format(walk->mm), slot)));
}

static int scan_hole(struct pt_walk *walk, uint64_t addr, uint64_t end)
{
	return scan_output(container_of(walk, struct scan_walk, walk), addr, end, 0);
}

int64_t aspace_pagemap_scan(struct aspace_mm *mm, struct aspace_pagemap_scan *scan)
{
	struct scan_walk w = {
		.walk = { .mm = mm, .entries = scan_entries, .huge = scan_huge, .partly = true, .hole = scan_hole },
		.scan = scan,
	};
	struct vm_area_struct *vma;
	int stop = 0;

	if (offset_in_page(scan->start) || offset_in_page(scan->end) || !mm->machine->nr_frames)
		return -EINVAL;
	scan->walk_end = scan->end;
	down_read(&mm->mmap_lock);
	for (vma = find_vma(mm, scan->start); vma && vma->vm_start < scan->end && !stop; vma = vma_next(vma))
		stop = walk_page_range(&w.walk, max((uint64_t)vma->vm_start, scan->start),
				       min((uint64_t)vma->vm_end, scan->end));
	up_read(&mm->mmap_lock);
	return (int64_t)w.found;
}

/* ---- mincore -------------------------------------------------------------------------------------- */

struct mincore_walk {
	struct pt_walk walk;	/* first */
	struct vm_area_struct *vma;
	uint64_t start;
	unsigned char *vec;
};

/* Nothing is mapped there: a file's page may be in its cache all the same. */
static void mincore_cached(struct mincore_walk *mincore, uint64_t addr, uint64_t end)
{
	struct vm_area_struct *vma = mincore->vma;
	struct page *page;

	if (!vma->vm_file || vma->vm_file->vm_ops)
		return;
	for (; addr < end; addr += PAGE_SIZE) {
		pgoff_t index = linear_page_index(vma, addr);

		if (filemap_get_pages(vma->vm_file->f_mapping, index, index, &page, 1)) {
			mincore->vec[(addr - mincore->start) >> PAGE_SHIFT] = 1;
			put_page(vma->vm_mm->machine, page);
		}
	}
}

static int mincore_hole(struct pt_walk *walk, uint64_t addr, uint64_t end)
{
	mincore_cached(container_of(walk, struct mincore_walk, walk), addr, end);
	return 0;
}

static int mincore_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr, uint64_t end)
{
	struct mincore_walk *mincore = container_of(walk, struct mincore_walk, walk);
	const struct pt_format *f = pt_format(walk->mm);

	for (; addr < end; addr += PAGE_SIZE, slot = pt_slot_next(f, slot)) {
		pte_t entry = pt_read(f, slot);

		if (pt_leaf(f, 0, entry))
			mincore->vec[(addr - mincore->start) >> PAGE_SHIFT] = 1;
		else if (pt_none(entry) || pt_marker(f, entry))
			mincore_cached(mincore, addr, addr + PAGE_SIZE);
	}
	return 0;
}

static int mincore_huge(struct pt_walk *walk, struct page *table, void *slot, unsigned level, uint64_t addr,
			uint64_t end)
{
	struct mincore_walk *mincore = container_of(walk, struct mincore_walk, walk);

	for (; addr < end; addr += PAGE_SIZE)
		mincore->vec[(addr - mincore->start) >> PAGE_SHIFT] = 1;
	return 0;
}

void mincore_range(struct vm_area_struct *vma, uint64_t start, uint64_t end, unsigned char *vec)
{
	struct mincore_walk mincore = {
		.walk = { .mm = vma->vm_mm, .entries = mincore_entries, .huge = mincore_huge, .partly = true,
			  .hole = mincore_hole },
		.vma = vma, .start = start, .vec = vec,
	};

	for (uint64_t i = 0; i < (end - start) >> PAGE_SHIFT; i++)
		vec[i] = 0;
	walk_page_range(&mincore.walk, start, end);
}

/* ---- clear_refs ------------------------------------------------------------------------------------- */

enum { CLEAR_REFS_ALL = 1, CLEAR_REFS_ANON, CLEAR_REFS_MAPPED, CLEAR_REFS_SOFT_DIRTY, CLEAR_REFS_MM_HIWATER_RSS };

static int clear_young(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr, uint64_t end)
{
	const struct pt_format *f = pt_format(walk->mm);

	spin_lock(page_ptl(table));
	for (; addr < end; addr += PAGE_SIZE, slot = pt_slot_next(f, slot)) {
		pte_t entry = pt_read(f, slot);
		struct page *page;

		if (!pt_leaf(f, 0, entry))
			continue;
		pt_change(f, slot, f->accessed, 0);
		page = vm_normal_page(walk->mm->machine, entry);
		if (page)
			atomic_fetch_and_explicit(&page->flags, ~PG_referenced, memory_order_relaxed);
	}
	spin_unlock(page_ptl(table));
	return 0;
}

static void clear_referenced(struct mm_struct *mm, int what)
{
	struct pt_walk walk = { .mm = mm, .entries = clear_young };
	struct vm_area_struct *vma;

	for (vma = find_vma(mm, 0); vma; vma = vma_next(vma)) {
		if (what == CLEAR_REFS_ANON && vma->vm_file)
			continue;
		if (what == CLEAR_REFS_MAPPED && !vma->vm_file)
			continue;
		walk_page_range(&walk, vma->vm_start, vma->vm_end);
	}
	flush_tlb_range(mm, 0, UINT64_MAX);
}

/* Soft-dirty bits aren't kept (VmFlags never shows sd), as by a kernel without CONFIG_MEM_SOFT_DIRTY. */
int aspace_clear_refs(struct aspace_mm *mm, int what)
{
	if (what < CLEAR_REFS_ALL || what > CLEAR_REFS_MM_HIWATER_RSS)
		return -EINVAL;
	if (what == CLEAR_REFS_MM_HIWATER_RSS) {
		atomic_store_explicit(&mm->hiwater_rss, 0, memory_order_relaxed);
		update_hiwater_rss(mm);
		return 0;
	}
	if (what == CLEAR_REFS_SOFT_DIRTY || !mm->machine->nr_frames)
		return 0;
	down_read(&mm->mmap_lock);
	clear_referenced(mm, what);
	up_read(&mm->mmap_lock);
	return 0;
}

/* ---- aspace_walk ----------------------------------------------------------------------------------- */

#define WALK_BATCH 512

/* What one table holds is copied under its lock; the caller is told when no spinlock is held any more. */
struct leaf_walk {
	struct pt_walk walk;	/* first */
	int (*leaf)(void *priv, const struct aspace_pte *pte);
	void *priv;
	unsigned n;
	struct { uint64_t addr; pte_t entry; bool anon; } found[WALK_BATCH];
};

static void describe_leaf(struct mm_struct *mm, unsigned level, pte_t entry, uint64_t addr, struct aspace_pte *pte)
{
	const struct pt_format *f = pt_format(mm);

	*pte = (struct aspace_pte){
		.size = sizeof(*pte),
		.addr = addr,
		.phys = pt_pfn(f, entry) << PAGE_SHIFT,
		.page_shift = f->level[level].shift,
		.access = pt_access(f, entry),
		.accessed = entry & f->accessed,
		.dirty = entry & f->dirty,
		.zero_page = pt_pfn(f, entry) == page_to_pfn(mm->machine, mm->machine->zero_page),
	};
}

static int tell_leaves(struct leaf_walk *walk, unsigned level)
{
	int ret = 0;

	for (unsigned i = 0; i < walk->n && !ret; i++) {
		struct aspace_pte pte;

		describe_leaf(walk->walk.mm, level, walk->found[i].entry, walk->found[i].addr, &pte);
		pte.anon = walk->found[i].anon;
		ret = walk->leaf(walk->priv, &pte);
	}
	return ret;
}

/* page_ptl is held: who the frame belongs to can't be asked later. */
static void note_leaf(struct leaf_walk *walk, pte_t entry, uint64_t addr)
{
	struct page *page = vm_normal_page(walk->walk.mm->machine, entry);

	if (!(entry & pt_format(walk->walk.mm)->present))
		return;
	walk->found[walk->n].addr = addr;
	walk->found[walk->n].anon = page && page_is_anon(page);
	walk->found[walk->n++].entry = entry;
}

static int leaf_entries(struct pt_walk *pt_walk, struct page *table, void *slot, uint64_t addr, uint64_t end)
{
	struct leaf_walk *walk = container_of(pt_walk, struct leaf_walk, walk);
	const struct pt_format *f = pt_format(pt_walk->mm);

	walk->n = 0;
	spin_lock(page_ptl(table));
	for (; addr < end && walk->n < WALK_BATCH; addr += PAGE_SIZE, slot = pt_slot_next(f, slot)) {
		pte_t entry = pt_read(f, slot);

		if (pt_leaf(f, 0, entry))
			note_leaf(walk, entry, addr);
	}
	spin_unlock(page_ptl(table));
	return tell_leaves(walk, 0);
}

static int leaf_huge(struct pt_walk *pt_walk, struct page *table, void *slot, unsigned level, uint64_t addr,
		     uint64_t end)
{
	struct leaf_walk *walk = container_of(pt_walk, struct leaf_walk, walk);
	const struct pt_format *f = pt_format(pt_walk->mm);
	pte_t entry;

	walk->n = 0;
	spin_lock(page_ptl(table));
	entry = pt_read(f, slot);
	if (pt_leaf(f, level, entry))
		note_leaf(walk, entry, ALIGN_DOWN(addr, pt_span(f, level)));
	spin_unlock(page_ptl(table));
	return tell_leaves(walk, level);
}

int aspace_walk(struct aspace_mm *mm, uint64_t start, uint64_t end,
		int (*leaf)(void *priv, const struct aspace_pte *pte), void *priv)
{
	struct leaf_walk walk = {
		.walk = { .mm = mm, .entries = leaf_entries, .huge = leaf_huge, .partly = true },
		.leaf = leaf, .priv = priv,
	};
	int ret;

	if (!mm->machine->nr_frames)
		return -ENOSYS;
	start &= PAGE_MASK;
	if (end > mm->task_size)
		end = mm->task_size;
	else if (offset_in_page(end))
		end = PAGE_ALIGN(end);
	down_read(&mm->mmap_lock);
	ret = walk_page_range(&walk.walk, start, end);
	up_read(&mm->mmap_lock);
	return ret;
}
