/* SPDX-License-Identifier: MIT */
/*
 * mremap's share of the tables: entries move to another address of the same space.
 *
 * Both areas' reverse maps are held for writing all the while, so that whoever looks for a page's
 * entries finds each one either at the old address or at the new one. For the same reason one flush
 * at the end is enough. Where both addresses stand alike in a higher table's span, its entry moves,
 * and the table under it with it:
 *
 *	level 1   [ a | b |   |   ]  ->  [   |   | a | b ]      512 entries in one store
 */
#include "mm/pagetable.h"

struct page_move {
	struct mm_struct *mm;
	uint64_t from, to, end;		/* end: of the old range */
	bool moved;
};

/* As far as both addresses stay under one entry of the level. */
static uint64_t piece_length(struct page_move *move, unsigned level)
{
	const struct pt_format *f = pt_format(move->mm);
	uint64_t span = pt_span(f, level);
	uint64_t length = move->end - move->from;

	if (length > span - (move->from & (span - 1)))
		length = span - (move->from & (span - 1));
	if (length > span - (move->to & (span - 1)))
		length = span - (move->to & (span - 1));
	return length;
}

/* Moves the table under an entry of the level. False: it can't be, go by smaller pieces. */
static bool move_table(struct page_move *move, struct pt_pos from, unsigned level)
{
	const struct pt_format *f = pt_format(move->mm);
	struct page *to_table;
	bool done = false;
	pte_t entry;
	void *to;

	to = pt_alloc(move->mm, move->to, level, &to_table);
	if (!to)
		return false;
	spin_lock(&move->mm->page_table_lock);
	entry = pt_read(f, from.slot);
	if (pt_none(pt_read(f, to)) && pt_table(f, level, entry)) {
		pt_store(f, from.slot, 0);
		pt_store(f, to, entry);
		pt_count_entries(from.table, -1);
		pt_count_entries(to_table, 1);
		done = move->moved = true;
	}
	spin_unlock(&move->mm->page_table_lock);
	return done;
}

/* The slot at `level` for addr; false: nothing is there, up to the end of the span of *at. */
static bool slot_at_level(struct mm_struct *mm, uint64_t addr, unsigned level, struct pt_pos *pos)
{
	const struct pt_format *f = pt_format(mm);
	struct pt_pos at = pt_find(mm, addr);
	struct page *table = phys_to_page(mm->machine, mm->pgd);

	if (at.level > level) {
		*pos = at;
		return false;
	}
	for (unsigned l = f->levels - 1;; l--) {
		pos->slot = pt_slot_at(f, page_address(mm->machine, table), pt_index(f, l, addr));
		pos->table = table;
		pos->level = l;
		if (l == level)
			return true;
		table = pfn_to_page(mm->machine, pt_pfn(f, pt_read(f, pos->slot)));
	}
}

static bool move_large(struct page_move *move)
{
	const struct pt_format *f = pt_format(move->mm);

	for (unsigned level = 2; level > 0; level--) {
		struct pt_pos from;

		if (level >= f->levels - 1 || piece_length(move, level) != pt_span(f, level))
			continue;
		if (!slot_at_level(move->mm, move->from, level, &from) ||
		    !pt_table(f, level, pt_read(f, from.slot)))
			continue;
		if (!move_table(move, from, level))
			continue;
		move->from += pt_span(f, level);
		move->to += pt_span(f, level);
		return true;
	}
	return false;
}

static void lock_two(struct page *a, struct page *b)
{
	if (a == b) {
		spin_lock(page_ptl(a));
		return;
	}
	spin_lock(page_ptl(a < b ? a : b));
	spin_lock(page_ptl(a < b ? b : a));
}

static void unlock_two(struct page *a, struct page *b)
{
	spin_unlock(page_ptl(a));
	if (a != b)
		spin_unlock(page_ptl(b));
}

static void move_entries(struct page_move *move, struct pt_pos from, struct page *to_table,
			 void *to, uint64_t pages)
{
	const struct pt_format *f = pt_format(move->mm);
	int moved = 0;

	lock_two(from.table, to_table);
	for (; pages--; from.slot = pt_slot_next(f, from.slot), to = pt_slot_next(f, to)) {
		pte_t entry = pt_read(f, from.slot);

		if (pt_none(entry))
			continue;
		entry = pt_exchange(f, from.slot, 0);
		if (pt_leaf(f, 0, entry))
			entry |= f->soft_dirty;
		pt_store(f, to, entry);
		moved++;
	}
	pt_count_entries(from.table, -moved);
	pt_count_entries(to_table, moved);
	unlock_two(from.table, to_table);
	move->moved |= moved > 0;
}

/* One piece, by entries; or the hole that is there. False: no memory. */
static bool move_small(struct page_move *move)
{
	const struct pt_format *f = pt_format(move->mm);
	struct pt_pos from = pt_find(move->mm, move->from);
	uint64_t length;
	struct page *to_table;
	void *to;

	if (from.level && pt_none(pt_read(f, from.slot))) {
		length = pt_next(f, from.level, move->from, move->end) - move->from;
		goto done;
	}
	if (from.level) {
		pt_split_huge(move->mm, from.table, from.slot, from.level);
		return true;
	}
	length = piece_length(move, 1);
	if (!pt_table_empty(from.table)) {
		to = pte_alloc(move->mm, move->to, &to_table);
		if (!to)
			return false;
		move_entries(move, from, to_table, to, length >> PAGE_SHIFT);
	}
done:
	move->from += length;
	move->to += length;
	return true;
}

uint64_t move_page_tables(struct vm_area_struct *from_vma, uint64_t from,
			  struct vm_area_struct *to_vma, uint64_t to, uint64_t length)
{
	struct page_move move = {
		.mm = from_vma->vm_mm, .from = from, .to = to, .end = from + length,
	};
	struct rw_semaphore *i_mmap = from_vma->vm_file ?
		&from_vma->vm_file->f_mapping->i_mmap_rwsem : NULL;
	struct rw_semaphore *anon = from_vma->anon_vma ? &from_vma->anon_vma->root->rwsem : NULL;

	if (i_mmap)
		down_write(i_mmap);
	if (anon)
		down_write(anon);
	while (move.from < move.end)
		if (!move_large(&move) && !move_small(&move))
			break;
	if (move.moved)
		flush_tlb_range(move.mm, from, move.from);
	if (anon)
		up_write(anon);
	if (i_mmap)
		up_write(i_mmap);
	return move.from - from;
}
