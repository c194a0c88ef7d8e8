/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: which pages of the cache go when frames are short. All file pages stand in one list, coldest
 * first; a clock hand passes over it, takes PG_referenced away, and drops what is clean and unmapped
 * the next time round.
 *
 * It is called wherever a frame is wanted, so it waits for nobody: lru_lock is taken first, a mapping's
 * i_pages_lock, against the order of locks, only by trylock. Dirty and mapped pages stay.
 */
#include "mm/filemap.h"

void lru_add_run(struct aspace_machine *m, struct page **pages, unsigned n)
{
	spin_lock(&m->lru_lock);
	for (unsigned i = 0; i < n; i++)
		list_add_tail(&pages[i]->lru, &m->lru);
	spin_unlock(&m->lru_lock);
}

void lru_remove(struct aspace_machine *m, struct page *page)
{
	spin_lock(&m->lru_lock);
	list_del(&page->lru);
	spin_unlock(&m->lru_lock);
}

/* One step of the clock: the coldest page is dropped, or gets another round. lru_lock is held. */
static struct page *shrink_one(struct aspace_machine *m)
{
	struct page *page = list_first_entry(&m->lru, struct page, lru);
	struct address_space *mapping = page->mapping;
	bool drop;

	list_move_tail(&page->lru, &m->lru);
	if (test_flag(page, PG_referenced)) {
		clear_flag(page, PG_referenced);
		return NULL;
	}
	/* Against the order of locks, so only if it's free. The mapping lives while its page is listed. */
	if (!spin_trylock(&mapping->i_pages_lock))
		return NULL;
	drop = is_droppable(page);
	if (drop) {
		list_del(&page->lru);
		remove_from_page_cache(mapping, page);
	}
	spin_unlock(&mapping->i_pages_lock);
	return drop ? page : NULL;
}

unsigned shrink_page_cache(struct aspace_machine *m, unsigned n)
{
	struct page *dropped[64];
	unsigned steps, nr = 0;

	if (n > 64)
		n = 64;
	/* Twice around is enough: the first round may find every page referenced. */
	steps = 2 * nr_frames_of(m, PAGE_FILE) + 1;
	spin_lock(&m->lru_lock);
	while (nr < n && steps-- && !list_empty(&m->lru)) {
		dropped[nr] = shrink_one(m);
		if (dropped[nr])
			nr++;
	}
	spin_unlock(&m->lru_lock);
	free_pages_batch(m, dropped, nr);
	return nr;
}

bool filemap_try_drop(struct page *page)
{
	struct address_space *mapping = page->mapping;
	struct aspace_machine *m = mapping->machine;
	bool drop;

	if (!mapping->ops)
		return false;
	spin_lock(&mapping->i_pages_lock);
	drop = page->mapping && !test_flag(page, PG_dirty) && atomic_load(&page->_refcount) == 2;
	if (drop) {
		lru_remove(m, page);
		remove_from_page_cache(mapping, page);
	}
	spin_unlock(&mapping->i_pages_lock);
	if (drop)
		put_page(m, page);
	return drop;
}
