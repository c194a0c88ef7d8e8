/* SPDX-License-Identifier: MIT */
/*
 * Tables: finding, making, splitting, walking, freeing. What entries mean is memory.c's business.
 *
 *	mm->pgd -> [level 3] -> [level 2] -> [level 1] -> [level 0] -> frame
 *	                             |            |
 *	                          1 GiB leaf   2 MiB leaf          (and their deposited tables)
 */
#include "mm/pagetable.h"

static struct page *entry_table(struct aspace_machine *m, pte_t entry)
{
	return pfn_to_page(m, pt_pfn(m->format, entry));
}

static struct page *root_table(struct mm_struct *mm)
{
	return phys_to_page(mm->machine, mm->pgd);
}

static void *slot_of(struct mm_struct *mm, struct page *table, unsigned level, uint64_t addr)
{
	return pt_slot_at(pt_format(mm), page_address(mm->machine, table),
			  pt_index(pt_format(mm), level, addr));
}

/* ---- making and freeing one table -------------------------------------------------------- */

static struct page *table_alloc(struct mm_struct *mm, unsigned level)
{
	struct page *table = alloc_page(mm->machine, PAGE_TABLE, GFP_ZERO);

	if (!table)
		return NULL;
	table->level = (uint8_t)level;
	table->pt_mm = mm;
	spin_lock_init(&table->ptl);
	atomic_store_explicit(&table->nr_entries, 0, memory_order_relaxed);
	INIT_LIST_HEAD(&table->lru);	/* tables deposited for the huge leaves in it */
	atomic_fetch_add_explicit(&mm->pgtables[level], 1, memory_order_relaxed);
	return table;
}

/* The hardware can't reach it: it never was linked, or was flushed. */
static void table_free(struct mm_struct *mm, struct page *table)
{
	atomic_fetch_sub_explicit(&mm->pgtables[table->level], 1, memory_order_relaxed);
	put_page(mm->machine, table);
}

static void free_deposits(struct mm_struct *mm, struct list_head *list)
{
	while (!list_empty(list)) {
		struct page *table = list_first_entry(list, struct page, lru);

		list_del(&table->lru);
		table_free(mm, table);
	}
}

int pgd_alloc(struct mm_struct *mm)
{
	struct page *root = table_alloc(mm, pt_format(mm)->levels - 1);

	if (!root)
		return -ENOMEM;
	mm->pgd = page_to_pfn(mm->machine, root) << PAGE_SHIFT;
	return 0;
}

static pte_t table_entry(struct mm_struct *mm, struct page *table, unsigned level)
{
	const struct pt_format *f = pt_format(mm);

	return pt_from_pfn(f, page_to_pfn(mm->machine, table)) | f->level[level].table;
}

/* ---- finding ----------------------------------------------------------------------------- */

struct pt_pos pt_find(struct mm_struct *mm, uint64_t addr)
{
	const struct pt_format *f = pt_format(mm);
	struct pt_pos pos = { .table = root_table(mm), .level = f->levels - 1 };

	for (;;) {
		pte_t entry;

		pos.slot = slot_of(mm, pos.table, pos.level, addr);
		if (!pos.level)
			return pos;
		entry = pt_read(f, pos.slot);
		if (!pt_table(f, pos.level, entry))
			return pos;
		pos.table = entry_table(mm->machine, entry);
		pos.level--;
	}
}

void *pte_offset(struct mm_struct *mm, uint64_t addr, struct page **table)
{
	struct pt_pos pos = pt_find(mm, addr);

	*table = pos.table;
	return pos.level ? NULL : pos.slot;
}

/* The table below `slot`, made if there is none. NULL: no memory. */
static struct page *table_below(struct mm_struct *mm, struct page *table, void *slot, unsigned level)
{
	const struct pt_format *f = pt_format(mm);
	struct page *new;
	pte_t entry;

	for (;;) {
		entry = pt_read(f, slot);
		if (pt_table(f, level, entry))
			return entry_table(mm->machine, entry);
		if (pt_none(entry))
			break;
		pt_split_huge(mm, table, slot, level);
	}
	new = table_alloc(mm, level - 1);
	if (!new)
		return NULL;
	spin_lock(&mm->page_table_lock);
	entry = pt_read(f, slot);
	if (pt_none(entry)) {
		pt_store(f, slot, table_entry(mm, new, level));
		pt_count_entries(table, 1);
		spin_unlock(&mm->page_table_lock);
		return new;
	}
	spin_unlock(&mm->page_table_lock);
	table_free(mm, new);	/* another thread was first */
	return table_below(mm, table, slot, level);
}

void *pt_alloc(struct mm_struct *mm, uint64_t addr, unsigned level, struct page **tablep)
{
	struct page *table = root_table(mm);
	unsigned at = pt_format(mm)->levels - 1;

	while (at > level) {
		table = table_below(mm, table, slot_of(mm, table, at, addr), at);
		if (!table)
			return NULL;
		at--;
	}
	*tablep = table;
	return slot_of(mm, table, level, addr);
}

void *pte_alloc(struct mm_struct *mm, uint64_t addr, struct page **table)
{
	void *slot = pte_offset(mm, addr, table);

	return slot ? slot : pt_alloc(mm, addr, 0, table);
}

/* ---- huge leaves ------------------------------------------------------------------------- */

/* All tables that it takes to split a leaf of the level down to single pages. */
static int deposit_alloc(struct mm_struct *mm, unsigned level, struct list_head *list)
{
	uint64_t nr = 1;

	while (level--) {
		for (uint64_t i = 0; i < nr; i++) {
			struct page *table = table_alloc(mm, level);

			if (!table) {
				free_deposits(mm, list);
				return -ENOMEM;
			}
			list_add_tail(&table->lru, list);
		}
		nr *= pt_entries(pt_format(mm), level);
	}
	return 0;
}

/* Takes what one leaf of the level has deposited out of its table's list. */
static void deposit_withdraw(struct mm_struct *mm, struct page *table, unsigned level,
			     struct list_head *list)
{
	uint64_t nr = 1;

	while (level--) {
		struct page *page, *next;
		uint64_t left = nr;

		list_for_each_entry_safe(page, next, &table->lru, lru) {
			if (!left)
				break;
			if (page->level != level)
				continue;
			list_move_tail(&page->lru, list);
			left--;
		}
		BUG_ON(left);
		nr *= pt_entries(pt_format(mm), level);
	}
}

int pt_set_huge(struct mm_struct *mm, uint64_t addr, unsigned level, uint64_t entry)
{
	const struct pt_format *f = pt_format(mm);
	LIST_HEAD(deposit);
	struct page *table;
	void *slot = pt_alloc(mm, addr, level, &table);
	int err = -ENOMEM;

	if (!slot || deposit_alloc(mm, level, &deposit))
		return -ENOMEM;
	spin_lock(&mm->page_table_lock);
	spin_lock(page_ptl(table));
	if (pt_none(pt_read(f, slot))) {
		list_splice_init(&deposit, &table->lru);
		pt_store(f, slot, entry | f->huge);
		pt_count_entries(table, 1);
		err = 0;
	} else {
		err = -EEXIST;
	}
	spin_unlock(page_ptl(table));
	spin_unlock(&mm->page_table_lock);
	free_deposits(mm, &deposit);
	return err;
}

/*
 * Accessed and dirty bits may still be set in the leaf by the hardware while the table is filled:
 * the exchange at the end fetches them. Translations of the leaf stay true, so nothing is flushed.
 */
void pt_split_huge(struct mm_struct *mm, struct page *table, void *slot, unsigned level)
{
	const struct pt_format *f = pt_format(mm);
	unsigned nr = pt_entries(f, level - 1);
	uint64_t pages = pt_span(f, level - 1) >> PAGE_SHIFT;
	LIST_HEAD(deposit);
	struct page *lower;
	pte_t entry, late;
	void *base;

	spin_lock(page_ptl(table));
	entry = pt_read(f, slot);
	if (!pt_leaf(f, level, entry)) {
		spin_unlock(page_ptl(table));
		return;		/* another thread was first */
	}
	deposit_withdraw(mm, table, level, &deposit);
	lower = list_first_entry(&deposit, struct page, lru);
	list_del(&lower->lru);
	INIT_LIST_HEAD(&lower->lru);
	list_splice_init(&deposit, &lower->lru);
	base = page_address(mm->machine, lower);
	for (unsigned i = 0; i < nr; i++) {
		pte_t leaf = (level == 1 ? entry & ~f->huge : entry) & ~f->pfn_mask;

		leaf |= pt_from_pfn(f, pt_pfn(f, entry) + i * pages);
		pt_store(f, pt_slot_at(f, base, i), leaf);
	}
	atomic_store_explicit(&lower->nr_entries, nr, memory_order_relaxed);
	late = pt_exchange(f, slot, table_entry(mm, lower, level));
	late &= ~entry & (f->accessed | f->dirty);
	for (unsigned i = 0; late && i < nr; i++)
		pt_change(f, pt_slot_at(f, base, i), 0, late);
	spin_unlock(page_ptl(table));
}

/* ---- the walker -------------------------------------------------------------------------- */

static int walk_level(struct pt_walk *walk, struct page *table, unsigned level, uint64_t addr,
		      uint64_t end);

static bool whole_entry(const struct pt_format *f, unsigned level, uint64_t addr, uint64_t end)
{
	return !(addr & (pt_span(f, level) - 1)) && end - addr == pt_span(f, level);
}

static int walk_entry(struct pt_walk *walk, struct page *table, void *slot, unsigned level,
		      uint64_t addr, uint64_t end)
{
	const struct pt_format *f = pt_format(walk->mm);
	pte_t entry = pt_read(f, slot);

	if (pt_none(entry))
		return walk->hole ? walk->hole(walk, addr, end) : 0;
	if (pt_table(f, level, entry))
		return walk_level(walk, entry_table(walk->mm->machine, entry), level - 1, addr, end);
	if (walk->huge && (walk->partly || whole_entry(f, level, addr, end)))
		return walk->huge(walk, table, slot, level, addr, end);
	pt_split_huge(walk->mm, table, slot, level);
	return walk_entry(walk, table, slot, level, addr, end);
}

static int walk_level(struct pt_walk *walk, struct page *table, unsigned level, uint64_t addr,
		      uint64_t end)
{
	const struct pt_format *f = pt_format(walk->mm);
	void *slot = slot_of(walk->mm, table, level, addr);

	if (!level)
		return walk->entries(walk, table, slot, addr, end);
	for (uint64_t next; addr < end; addr = next, slot = pt_slot_next(f, slot)) {
		int ret;

		next = pt_next(f, level, addr, end);
		ret = walk_entry(walk, table, slot, level, addr, next);
		if (ret)
			return ret;
	}
	return 0;
}

int walk_page_range(struct pt_walk *walk, uint64_t start, uint64_t end)
{
	if (start >= end)
		return 0;
	return walk_level(walk, root_table(walk->mm), pt_format(walk->mm)->levels - 1, start, end);
}

/* ---- freeing ----------------------------------------------------------------------------- */

struct table_range {
	struct mmu_gather *tlb;
	uint64_t floor, ceiling;
};

/* A table goes with its frame through the gather: the hardware may be walking it just now. */
static void remove_table(struct table_range *range, struct page *upper, void *slot,
			 struct page *table, uint64_t start, uint64_t end)
{
	struct mm_struct *mm = range->tlb->mm;

	BUG_ON(!list_empty(&table->lru));
	pt_store(pt_format(mm), slot, 0);
	pt_count_entries(upper, -1);
	tlb_cover(range->tlb, start, end);
	atomic_fetch_sub_explicit(&mm->pgtables[table->level], 1, memory_order_relaxed);
	if (tlb_full(range->tlb))	/* of pages, may be: zapping stops when it is, and leaves it so */
		tlb_flush_free(range->tlb);
	tlb_remove_page(range->tlb, table);
}

static void free_tables_below(struct table_range *range, struct page *table, unsigned level,
			      uint64_t addr, uint64_t end)
{
	struct mm_struct *mm = range->tlb->mm;
	const struct pt_format *f = pt_format(mm);
	void *slot = slot_of(mm, table, level, addr);

	for (uint64_t next; addr < end; addr = next, slot = pt_slot_next(f, slot)) {
		uint64_t first = addr & ~(pt_span(f, level) - 1);
		uint64_t last = first + pt_span(f, level) - 1;
		pte_t entry = pt_read(f, slot);
		struct page *lower;

		next = pt_next(f, level, addr, end);
		if (!pt_table(f, level, entry))
			continue;
		lower = entry_table(mm->machine, entry);
		if (level > 1)
			free_tables_below(range, lower, level - 1, addr, next);
		if (first >= range->floor && last <= range->ceiling - 1)
			remove_table(range, table, slot, lower, addr, next);
	}
}

void free_pgtables(struct mmu_gather *tlb, uint64_t start, uint64_t end, uint64_t floor,
		   uint64_t ceiling)
{
	struct table_range range = { .tlb = tlb, .floor = floor, .ceiling = ceiling };

	if (pt_format(tlb->mm)->levels > 1 && start < end)
		free_tables_below(&range, root_table(tlb->mm), pt_format(tlb->mm)->levels - 1, start,
				  end);
}

void pgd_free(struct mm_struct *mm)
{
	struct page *root = root_table(mm);

	BUG_ON(atomic_load_explicit(&root->nr_entries, memory_order_relaxed));
	table_free(mm, root);
	mm->pgd = 0;
}
