/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: which pages of the cache go when frames are short. All file pages stand in one list, coldest
 * first; a clock hand passes over it, takes PG_referenced away, and drops what is clean and unmapped
 * the next time round.
 *
 * shrink_page_cache() is called wherever a frame is wanted, so it waits for nobody: lru_lock is taken
 * first, a mapping's i_pages_lock, against the order of locks, only by trylock. Dirty and mapped pages
 * stay. When that was not enough, a fault that has let go of its locks calls reclaim_pages(), which
 * writes dirty pages back and takes pages away from those who map them.
 */
#include "mm/filemap.h"

void lru_add_run(struct aspace_machine *m, struct page **pages, unsigned n)
{
	spin_lock(&m->lru_lock);
	for (unsigned i = 0; i < n; i++)
		list_add_tail(&pages[i]->lru, &m->lru);
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
	spin_lock(&m->lru_lock);
	drop = page->mapping && !test_flag(page, PG_dirty) && atomic_load(&page->_refcount) == 2;
	if (drop) {
		list_del(&page->lru);
		remove_from_page_cache(mapping, page);
	}
	spin_unlock(&m->lru_lock);
	spin_unlock(&mapping->i_pages_lock);
	if (drop)
		put_page(m, page);
	return drop;
}

/* ---- the slow way ------------------------------------------------------------------------------- */

#define RECLAIM_BATCH 32u

/* A page that is looked at, with a reference on it and on its file, so that both stay. */
struct cold_page {
	struct page *page;
	struct address_space *mapping;
	pgoff_t index;
};

static bool get_mapping_not_dying(struct address_space *mapping)
{
	int refs = atomic_load(&mapping->refs);

	do {
		if (!refs)
			return false;
	} while (!atomic_compare_exchange_weak(&mapping->refs, &refs, refs + 1));
	return true;
}

/*
 * The coldest pages, which go to the end of the list. A reference may be taken here because who drops
 * a page looks at its references under lru_lock, and the file of a listed page isn't gone.
 */
static unsigned isolate_cold(struct aspace_machine *m, struct cold_page *cold, unsigned n)
{
	unsigned nr = 0;

	spin_lock(&m->lru_lock);
	while (n-- && !list_empty(&m->lru)) {
		struct page *page = list_first_entry(&m->lru, struct page, lru);
		struct address_space *mapping = page->mapping;

		list_move_tail(&page->lru, &m->lru);
		if (!get_mapping_not_dying(mapping))
			continue;
		get_page(page);
		cold[nr++] = (struct cold_page){ page, mapping, page->index };
	}
	spin_unlock(&m->lru_lock);
	return nr;
}

/* Written if dirty, with its neighbours; then unmapped everywhere; then dropped. */
static bool reclaim_page(struct cold_page *cold)
{
	struct address_space *mapping = cold->mapping;
	bool dropped = false;

	if (test_flag(cold->page, PG_dirty))
		filemap_writeback(mapping, cold->index & ~63ull, cold->index | 63);
	down_read(&mapping->invalidate_lock);
	/* Not truncated away meanwhile; and while we have a reference, nobody else drops it. */
	if (cold->page->mapping == mapping)
		dropped = try_to_unmap(cold->page) == 0 && filemap_try_drop(cold->page);
	up_read(&mapping->invalidate_lock);
	return dropped;
}

/* Once over the list, or until enough are free. */
static unsigned reclaim_round(struct aspace_machine *m)
{
	uint64_t left = nr_frames_of(m, PAGE_FILE);
	struct cold_page cold[RECLAIM_BATCH];
	unsigned freed = 0;

	while (left && freed < RECLAIM_BATCH) {
		unsigned n = min(left, (uint64_t)RECLAIM_BATCH);
		unsigned nr = isolate_cold(m, cold, n);

		for (unsigned i = 0; i < nr; i++) {
			freed += reclaim_page(&cold[i]);
			put_page(m, cold[i].page);
			aspace_mapping_put(cold[i].mapping);
		}
		left -= n;
	}
	return freed;
}

/*
 * One at a time: pages that another thread looks at can't be dropped, and seem to be in use. Who
 * waited for another's round may find enough free already. A page may be busy for a moment (a fault
 * has its reference), so nothing is given up after one round.
 */
bool reclaim_pages(struct aspace_machine *m)
{
	bool again = false;

	mutex_lock(&m->reclaim_lock);
	for (int round = 0; round < 4 && !again; round++)
		again = frames_are_at_hand(m) || reclaim_round(m) > 0;
	mutex_unlock(&m->reclaim_lock);
	return again;
}
