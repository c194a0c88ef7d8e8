/* SPDX-License-Identifier: MIT */
/*
 * The page cache: the pages of files that are in memory.
 *
 *	fault, read ----> i_pages[index] ----> page            present: take a reference, done
 *	                       |  absent
 *	                       v
 *	                  a window of absent neighbours is read by one call, then put in
 *
 *	store to a shared page --> filemap_dirty_page --> XA_MARK_0 --> write-back --> the file
 *
 * What must be true
 *
 *  - The cache holds one reference on each page in it. References are taken under i_pages_lock (by
 *    reclaim, under lru_lock); so a page with one reference, seen under both, is used by nobody and can
 *    be dropped.
 *  - PG_dirty of a file's page and its mark in i_pages change together, under i_pages_lock.
 *  - An entry of a page table is writable for a shared area only while its page is marked dirty, or
 *    while write-back, which clears the mark first, has not yet reached the entry (page_mkclean).
 *  - No page lies wholly beyond i_size, and what lies beyond i_size in the last page was zero when
 *    it was read. (A program may store there; it is never written to the file.)
 *  - A page that is being read holds what the file held then. If the file was written to meanwhile
 *    (write_seq) the page may be old, is thrown away and read again.
 */
#include <stdio.h>
#include <string.h>

#include "base/ram.h"
#include "mm/filemap.h"

#define MAX_WINDOW	512u	/* pages read at once, at most */

/* ---- the index ------------------------------------------------------------------------------------ */

struct page *find_get_page(struct address_space *mapping, pgoff_t index)
{
	struct page *page;

	spin_lock(&mapping->i_pages_lock);
	page = xa_load(&mapping->i_pages, index);
	if (page)
		get_page(page);
	spin_unlock(&mapping->i_pages_lock);
	return page;
}

int add_to_page_cache(struct address_space *mapping, struct page *page, pgoff_t index)
{
	int error;

	if (xa_load(&mapping->i_pages, index))
		return -EEXIST;
	error = xa_store(&mapping->i_pages, index, page);
	if (error)
		return error;
	page->mapping = mapping;
	page->index = index;
	set_flag(page, PG_uptodate);
	mapping->nrpages++;
	return 0;
}

void remove_from_page_cache(struct address_space *mapping, struct page *page)
{
	if (test_flag(page, PG_dirty) && mapping->ops)
		mapping->nrdirty--;
	clear_flag(page, PG_dirty);
	xa_erase(&mapping->i_pages, page->index);
	mapping->nrpages--;
	page->mapping = NULL;
}

unsigned filemap_get_pages(struct address_space *mapping, pgoff_t first, pgoff_t last,
			   struct page **pages, unsigned n)
{
	unsigned got = 0;
	uint64_t index = first;
	struct page *page;

	spin_lock(&mapping->i_pages_lock);
	while (got < n && (page = xa_find(&mapping->i_pages, &index, last, XA_ANY))) {
		get_page(page);
		pages[got++] = page;
		if (index++ == last)
			break;
	}
	spin_unlock(&mapping->i_pages_lock);
	return got;
}

/* ---- reading --------------------------------------------------------------------------------------- */

/* Absent pages next to each other, to be read by one call. */
struct window {
	struct address_space *mapping;
	pgoff_t first;
	unsigned n;
	uint64_t write_seq;	/* when they were found absent */
	struct page *pages[MAX_WINDOW];
};

static unsigned read_ahead_pages(struct aspace_machine *m)
{
	uint64_t n = m->options.read_ahead_bytes >> PAGE_SHIFT;

	return n < 1 ? 1 : n > MAX_WINDOW ? MAX_WINDOW : n;
}

/* The absent pages around index, within [low, high]. False: index itself is there by now. */
static bool find_window(struct window *w, pgoff_t low, pgoff_t index, pgoff_t high)
{
	struct xarray *pages = &w->mapping->i_pages;
	pgoff_t first = index, end = index;
	bool absent;

	spin_lock(&w->mapping->i_pages_lock);
	w->write_seq = w->mapping->write_seq;
	absent = !xa_load(pages, index);
	while (absent && first > low && !xa_load(pages, first - 1))
		first--;
	while (absent && end < high && !xa_load(pages, end + 1))
		end++;
	spin_unlock(&w->mapping->i_pages_lock);
	w->first = first;
	w->n = end - first + 1;
	return absent;
}

/* The block of read-ahead size that index lies in, cut at the end of the file. */
static bool plan_window(struct window *w, pgoff_t index)
{
	unsigned n = read_ahead_pages(w->mapping->machine);
	pgoff_t low = index - index % n, high = low + n - 1;
	pgoff_t last = size_in_pages(atomic_load(&w->mapping->i_size)) - 1;

	return find_window(w, low, index, high < last ? high : last);
}

static int64_t read_fully(struct address_space *mapping, uint64_t offset, uint8_t *buffer, uint64_t n)
{
	uint64_t done = 0;

	while (done < n) {
		int64_t got = mapping->ops->read(mapping->priv, offset + done, buffer + done, n - done);

		if (got < 0)
			return got;
		if (got == 0)
			break;
		done += got;
	}
	return done;
}

/* Reads into frames that lie side by side; what the file doesn't have is zero. */
static int read_run(struct address_space *mapping, pgoff_t index, uint8_t *buffer, unsigned pages)
{
	uint64_t offset = index << PAGE_SHIFT, bytes = (uint64_t)pages << PAGE_SHIFT, wanted = bytes;
	uint64_t size = atomic_load(&mapping->i_size);
	int64_t got;

	if (size - offset < wanted)
		wanted = size - offset;
	got = read_fully(mapping, offset, buffer, wanted);
	if (got < 0)
		return got;
	memset(buffer + got, 0, bytes - got);
	return 0;
}

static int read_window(struct window *w)
{
	struct aspace_machine *m = w->mapping->machine;
	unsigned run;

	for (unsigned i = 0; i < w->n; i += run) {
		int error;

		run = contiguous(w->pages, i, w->n);
		error = read_run(w->mapping, w->first + i, page_address(m, w->pages[i]), run);
		if (error)
			return error;
	}
	atomic_fetch_add_explicit(&m->count.pages_read, w->n, memory_order_relaxed);
	return 0;
}

/*
 * The window's pages enter the cache, but for those that somebody else brought meanwhile, which are
 * freed. *wanted: the page at index, whoever brought it, with a reference.
 */
static int insert_window(struct window *w, pgoff_t index, struct page **wanted)
{
	struct address_space *mapping = w->mapping;
	struct page *added[MAX_WINDOW], *spare[MAX_WINDOW];
	unsigned nr_added = 0, nr_spare = 0;
	bool fresh;

	spin_lock(&mapping->i_pages_lock);
	fresh = mapping->write_seq == w->write_seq;
	for (unsigned i = 0; i < w->n; i++) {
		if (fresh && add_to_page_cache(mapping, w->pages[i], w->first + i) == 0)
			added[nr_added++] = w->pages[i];
		else
			spare[nr_spare++] = w->pages[i];
	}
	*wanted = xa_load(&mapping->i_pages, index);
	if (*wanted)
		get_page(*wanted);
	lru_add_run(mapping->machine, added, nr_added);
	spin_unlock(&mapping->i_pages_lock);
	free_pages_batch(mapping->machine, spare, nr_spare);
	return *wanted ? 0 : fresh ? -ENOMEM : -EAGAIN;
}

/* Frames for the window, or at least for index. */
static int alloc_window(struct window *w, pgoff_t index)
{
	struct aspace_machine *m = w->mapping->machine;
	unsigned got = alloc_pages_run(m, PAGE_FILE, w->n, 0, w->pages);

	if (got == 0)
		return -ENOMEM;
	if (index - w->first >= got) {
		free_pages_batch(m, w->pages + 1, got - 1);
		w->first = index;
		got = 1;
	}
	w->n = got;
	return 0;
}

static int fill_window(struct window *w, pgoff_t index, struct page **page)
{
	int error = alloc_window(w, index);

	if (error)
		return error;
	error = read_window(w);
	if (error) {
		free_pages_batch(w->mapping->machine, w->pages, w->n);
		return error;
	}
	return insert_window(w, index, page);
}

/* 0, -EAGAIN: look again, or why it can't be read. */
static int filemap_read_page(struct address_space *mapping, pgoff_t index, struct page **page)
{
	struct window w;
	int error;

	w.mapping = mapping;
	if (!plan_window(&w, index))
		return -EAGAIN;
	error = fill_window(&w, index, page);
	if (!error || error == -EAGAIN || w.n == 1)
		return error;
	/* The trouble may lie with a neighbour that nobody asked for. */
	if (!find_window(&w, index, index, index))
		return -EAGAIN;
	return fill_window(&w, index, page);
}

int filemap_get_page(struct address_space *mapping, pgoff_t index, bool create, struct page **result,
		     bool *major)
{
	int error;

	do {
		struct page *page = find_get_page(mapping, index);

		*result = page;
		if (page && !test_flag(page, PG_referenced))
			set_flag(page, PG_referenced);
		if (page || !create)
			return 0;
		if (index >= size_in_pages(atomic_load(&mapping->i_size)))
			return -EFAULT;
		if (!mapping->ops)
			return shmem_make_page(mapping, index, result);
		error = filemap_read_page(mapping, index, result);
	} while (error == -EAGAIN);
	if (!error && major)
		*major = true;
	return error;
}

int filemap_read_ahead(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	int error = 0;

	if (!mapping->ops)
		return 0;
	down_read(&mapping->invalidate_lock);
	for (pgoff_t index = first; index <= last && !error; index++) {
		struct page *page;

		if (index >= size_in_pages(atomic_load(&mapping->i_size)))
			break;
		error = filemap_get_page(mapping, index, true, &page, NULL);
		if (!error)
			put_page(mapping->machine, page);
	}
	up_read(&mapping->invalidate_lock);
	return error;
}

/* ---- dropping pages ----------------------------------------------------------------------------------- */

void filemap_zero_partial(struct address_space *mapping, uint64_t from, uint64_t to)
{
	struct aspace_machine *m = mapping->machine;
	struct page *page = find_get_page(mapping, from >> PAGE_SHIFT);

	if (!page)
		return;
	ram_clear((uint8_t *)page_address(m, page) + offset_in_page(from), to - from);
	page_was_rewritten(m, page);
	if (!mapping->ops)
		filemap_dirty_page(page);
	put_page(m, page);
}

/* Which pages of a range are to go, and under which condition. */
enum drop_what { DROP_ALL, DROP_CLEAN, DROP_UNUSED };

static bool must_go(struct page *page, enum drop_what what)
{
	return what == DROP_ALL || (what == DROP_UNUSED ? is_droppable(page) : !test_flag(page, PG_dirty));
}

/* Up to n pages leave the cache; the caller gets their references. *index moves on. */
static unsigned remove_some(struct address_space *mapping, uint64_t *index, pgoff_t last,
			    enum drop_what what, struct page **pages, unsigned n)
{
	struct aspace_machine *m = mapping->machine;
	struct page *page;
	unsigned nr = 0;

	spin_lock(&mapping->i_pages_lock);
	spin_lock(&m->lru_lock);
	while (nr < n && (page = xa_find(&mapping->i_pages, index, last, XA_ANY))) {
		if (must_go(page, what)) {
			DEBUG_ON(what != DROP_UNUSED && atomic_load(&page->_mapcount) != 0);
			if (mapping->ops)
				list_del(&page->lru);
			remove_from_page_cache(mapping, page);
			pages[nr++] = page;
		}
		if (*index == last)
			break;
		++*index;
	}
	spin_unlock(&m->lru_lock);
	if (!mapping->ops && mapping->charge_pages)
		shmem_uncharge(mapping, nr);
	spin_unlock(&mapping->i_pages_lock);
	return nr;
}

static void remove_pages(struct address_space *mapping, pgoff_t first, pgoff_t last, enum drop_what what)
{
	uint64_t index = first;
	struct page *pages[64];
	unsigned n;

	do {
		n = remove_some(mapping, &index, last, what, pages, 64);
		free_pages_batch(mapping->machine, pages, n);
	} while (n == 64);
}

void filemap_remove_pages(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	remove_pages(mapping, first, last, DROP_ALL);
}

int aspace_mapping_invalidate(struct aspace_mapping *mapping, bool all)
{
	int error;

	if (!mapping->ops)
		return 0;	/* the pages are the only copy */
	if (!all) {
		remove_pages(mapping, 0, UINT64_MAX, DROP_UNUSED);
		return 0;
	}
	down_write(&mapping->i_rwsem);
	/* What was stored through a mapping is not lost: the file gets it, over what changed there. */
	error = filemap_writeback_locked(mapping, 0, UINT64_MAX);
	down_write(&mapping->invalidate_lock);
	unmap_mapping_range(mapping, 0, UINT64_MAX, false);
	/* What was stored since then stays cached, and dirty. */
	remove_pages(mapping, 0, UINT64_MAX, DROP_CLEAN);
	up_write(&mapping->invalidate_lock);
	up_write(&mapping->i_rwsem);
	return error;
}

/* ---- the checker ---------------------------------------------------------------------------------------- */

#define complain(...) (snprintf(why, size, __VA_ARGS__), -EUCLEAN)

static int check_page(struct address_space *mapping, struct page *page, pgoff_t index, char *why, size_t size)
{
	enum page_type type = mapping->ops ? PAGE_FILE : PAGE_SHMEM;
	unsigned long i = index;
	bool marked = xa_get_mark(&mapping->i_pages, index, PAGECACHE_TAG_DIRTY);

	if (page->mapping != mapping || page->index != index)
		return complain("mapping %lu: page at %lu says it is at %lu", (unsigned long)mapping->ino, i,
				(unsigned long)page->index);
	if (page->type != type)
		return complain("mapping %lu: page %lu is of type %u", (unsigned long)mapping->ino, i, page->type);
	if (index >= size_in_pages(atomic_load(&mapping->i_size)))
		return complain("mapping %lu: page %lu lies beyond %lu bytes", (unsigned long)mapping->ino, i,
				(unsigned long)atomic_load(&mapping->i_size));
	if (mapping->ops && marked != test_flag(page, PG_dirty))
		return complain("mapping %lu: page %lu: dirty mark %d, flag %d", (unsigned long)mapping->ino, i,
				marked, !marked);
	if (atomic_load(&page->_refcount) != atomic_load(&page->_mapcount) + 1)
		return complain("mapping %lu: page %lu has %d references for %d entries and the cache",
				(unsigned long)mapping->ino, i, atomic_load(&page->_refcount),
				atomic_load(&page->_mapcount));
	return 0;
}

int check_mapping(struct address_space *mapping, char *why, size_t size)
{
	uint64_t pages = 0, dirty = 0;
	uint64_t index = 0;
	struct page *page;

	while ((page = xa_find(&mapping->i_pages, &index, UINT64_MAX, XA_ANY))) {
		int error = check_page(mapping, page, index, why, size);

		if (error)
			return error;
		pages++;
		dirty += mapping->ops && test_flag(page, PG_dirty);
		if (index++ == UINT64_MAX)
			break;
	}
	if (pages != mapping->nrpages || dirty != mapping->nrdirty)
		return complain("mapping %lu: %lu pages, %lu dirty; counted %lu, %lu", (unsigned long)mapping->ino,
				(unsigned long)pages, (unsigned long)dirty, (unsigned long)mapping->nrpages,
				(unsigned long)mapping->nrdirty);
	if (mapping->charge_pages && mapping->shmem_charge != pages)
		return complain("mapping %lu: %lu pages, %lu charged", (unsigned long)mapping->ino,
				(unsigned long)pages, (unsigned long)mapping->shmem_charge);
	return 0;
}
