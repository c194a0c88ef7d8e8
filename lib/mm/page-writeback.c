/* SPDX-License-Identifier: MIT */
/*
 * Dirty pages and their way back to the file:
 *
 *	clear the marks of a run --> write-protect its entries --> write it, by one call
 *	    (i_pages_lock)              (page_mkclean)                  (no lock but i_rwsem)
 *
 * A store that came before the protection is in the bytes that are written; one that comes after
 * faults, and marks its page again. i_rwsem keeps a second write-back from overtaking with older bytes.
 */
#include <string.h>

#include "base/ram.h"
#include "mm/filemap.h"

#define WRITE_WINDOW	64u	/* pages written at once, at most */

/* i_pages_lock is held. */
static void mark_dirty(struct address_space *mapping, struct page *page)
{
	if (test_flag(page, PG_dirty))
		return;
	set_flag(page, PG_dirty);
	if (!mapping->ops)
		return;
	xa_set_mark(&mapping->i_pages, page->index, PAGECACHE_TAG_DIRTY);
	mapping->nrdirty++;
}

void filemap_dirty_page(struct page *page)
{
	struct address_space *mapping = page->mapping;

	/* page_ptl makes this enough: who clears the mark comes for the entry afterwards. */
	if (test_flag(page, PG_dirty))
		return;
	spin_lock(&mapping->i_pages_lock);
	mark_dirty(mapping, page);
	spin_unlock(&mapping->i_pages_lock);
}

/* Dirty pages next to each other that are being written, each with a reference. */
struct write_run {
	pgoff_t first;
	unsigned n;
	struct page *pages[WRITE_WINDOW];
};

/* The next run from *index on; its pages are not marked dirty any more. */
static bool collect_dirty(struct address_space *mapping, pgoff_t *index, pgoff_t last, struct write_run *run)
{
	uint64_t at = *index;
	struct page *page;

	run->n = 0;
	spin_lock(&mapping->i_pages_lock);
	while (run->n < WRITE_WINDOW &&
	       (page = xa_find(&mapping->i_pages, &at, last, PAGECACHE_TAG_DIRTY))) {
		if (run->n && at != run->first + run->n)
			break;
		if (!run->n)
			run->first = at;
		get_page(page);
		run->pages[run->n++] = page;
		clear_flag(page, PG_dirty);
		xa_clear_mark(&mapping->i_pages, at, PAGECACHE_TAG_DIRTY);
		mapping->nrdirty--;
		if (at++ == last)
			break;
	}
	if (run->n) {
		mapping->write_seq++;
		*index = run->first + run->n;
	}
	spin_unlock(&mapping->i_pages_lock);
	return run->n > 0;
}

/* It could not be written: it stays dirty, unless it was truncated away. */
static void mark_run_dirty(struct address_space *mapping, struct write_run *run)
{
	spin_lock(&mapping->i_pages_lock);
	for (unsigned i = 0; i < run->n; i++)
		if (run->pages[i]->mapping == mapping)
			mark_dirty(mapping, run->pages[i]);
	spin_unlock(&mapping->i_pages_lock);
}

int filemap_write_bytes(struct address_space *mapping, uint64_t offset, const void *buffer, uint64_t n)
{
	int64_t done;

	if (!mapping->ops->write)
		return -EROFS;
	done = mapping->ops->write(mapping->priv, offset, buffer, n);
	return done < 0 ? done : (uint64_t)done == n ? 0 : -EIO;
}

static int write_by_frames(struct address_space *mapping, struct write_run *run, uint64_t bytes)
{
	struct aspace_machine *m = mapping->machine;
	unsigned side_by_side;
	int error = 0;

	for (unsigned i = 0; i < run->n && !error; i += side_by_side) {
		uint64_t start = (uint64_t)i << PAGE_SHIFT, n;

		side_by_side = contiguous(run->pages, i, run->n);
		n = (uint64_t)side_by_side << PAGE_SHIFT;
		if (start >= bytes)
			break;
		if (bytes - start < n)
			n = bytes - start;
		error = filemap_write_bytes(mapping, (run->first << PAGE_SHIFT) + start,
				    page_address(m, run->pages[i]), n);
	}
	return error;
}

/* One write, whether or not the frames lie side by side. */
static int write_gathered(struct address_space *mapping, struct write_run *run, uint64_t bytes)
{
	struct aspace_machine *m = mapping->machine;
	uint64_t room = (uint64_t)run->n << PAGE_SHIFT;
	uint8_t *buffer;
	int error;

	if (contiguous(run->pages, 0, run->n) == run->n)
		return write_by_frames(mapping, run, bytes);
	buffer = domain_alloc(&m->domain, room);
	if (!buffer)
		return write_by_frames(mapping, run, bytes);
	for (unsigned i = 0; i < run->n; i++)
		ram_copy(buffer + ((uint64_t)i << PAGE_SHIFT), page_address(m, run->pages[i]), PAGE_SIZE);
	error = filemap_write_bytes(mapping, run->first << PAGE_SHIFT, buffer, bytes);
	domain_free(&m->domain, buffer, room);
	return error;
}

static int write_run(struct address_space *mapping, struct write_run *run)
{
	uint64_t offset = run->first << PAGE_SHIFT, bytes = (uint64_t)run->n << PAGE_SHIFT;
	uint64_t size = atomic_load(&mapping->i_size);
	int error;

	/* From here on every store faults first, and so marks the page dirty again. */
	for (unsigned i = 0; i < run->n; i++)
		page_mkclean(run->pages[i]);
	if (offset >= size)
		return 0;
	if (size - offset < bytes)
		bytes = size - offset;
	error = write_gathered(mapping, run, bytes);
	if (error)
		mark_run_dirty(mapping, run);
	else
		atomic_fetch_add_explicit(&mapping->machine->count.pages_written, run->n,
					  memory_order_relaxed);
	return error;
}

int filemap_writeback_locked(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	struct write_run run;
	int error = 0;

	if (!mapping->ops)
		return 0;
	while (first <= last && collect_dirty(mapping, &first, last, &run)) {
		int this_error = write_run(mapping, &run);

		free_pages_batch(mapping->machine, run.pages, run.n);
		if (!error)
			error = this_error;
	}
	if (error)
		atomic_store(&mapping->wb_err, error);
	return error;
}

int filemap_writeback(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	int error;

	down_write(&mapping->i_rwsem);
	error = filemap_writeback_locked(mapping, first, last);
	up_write(&mapping->i_rwsem);
	return error;
}

int aspace_mapping_sync(struct aspace_mapping *mapping, uint64_t offset, uint64_t n)
{
	uint64_t last = n && offset + (n - 1) >= offset ? offset + (n - 1) : UINT64_MAX;
	int error;

	if (n == 0)
		return 0;
	error = filemap_writeback(mapping, offset >> PAGE_SHIFT, last >> PAGE_SHIFT);
	/* An error that nobody was told of, from a write-back that nobody waited for. */
	if (!error)
		return atomic_exchange(&mapping->wb_err, 0);
	atomic_store(&mapping->wb_err, 0);
	return error;
}
