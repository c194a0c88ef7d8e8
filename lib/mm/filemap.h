/* SPDX-License-Identifier: MIT */
/* What the files about cached pages share: filemap*.c, page-writeback.c, vmscan.c, truncate.c, shmem.c, file.c. */
#ifndef MM_FILEMAP_H
#define MM_FILEMAP_H

#include "mm/internal.h"

/* A page's flags; other flags of it may be changed meanwhile. */
static inline bool test_flag(struct page *page, uint32_t flag)
{
	return atomic_load_explicit(&page->flags, memory_order_relaxed) & flag;
}

static inline void set_flag(struct page *page, uint32_t flag)
{
	atomic_fetch_or_explicit(&page->flags, flag, memory_order_relaxed);
}

static inline void clear_flag(struct page *page, uint32_t flag)
{
	atomic_fetch_and_explicit(&page->flags, ~flag, memory_order_relaxed);
}

/* i_pages_lock and lru_lock are held. Nobody uses the page, and the file has what it holds. */
static inline bool is_droppable(struct page *page)
{
	return atomic_load_explicit(&page->_refcount, memory_order_acquire) == 1 &&
	       !test_flag(page, PG_dirty);
}

/* How many of the pages from i on lie side by side in RAM. */
static inline unsigned contiguous(struct page **pages, unsigned i, unsigned n)
{
	unsigned run = 1;

	while (i + run < n && pages[i + run] == pages[i] + run)
		run++;
	return run;
}

/* The page at index if it is cached, with a reference; else NULL. */
struct page *find_get_page(struct address_space *mapping, pgoff_t index);
/*
 * Puts a page that only the caller knows into the cache, which takes over the caller's reference.
 * i_pages_lock is held. 0, -EEXIST, -ENOMEM. File pages enter the LRU by lru_add_run, before i_pages_lock is let go.
 */
int add_to_page_cache(struct address_space *mapping, struct page *page, pgoff_t index);
/* i_pages_lock is held; the cache's reference is the caller's now. */
void remove_from_page_cache(struct address_space *mapping, struct page *page);
/* Drops the pages of [first, last], dirty or not. No area maps them; invalidate_lock for writing or mapping dying. */
void filemap_remove_pages(struct address_space *mapping, pgoff_t first, pgoff_t last);
/* Zeroes bytes [from, to) of the file in the cache, if the page is there; within one page. */
void filemap_zero_partial(struct address_space *mapping, uint64_t from, uint64_t to);
/* Write-back of dirty pages in [first, last]; i_rwsem for writing is held. All are tried; the first error. */
int filemap_writeback_locked(struct address_space *mapping, pgoff_t first, pgoff_t last);
int filemap_writeback(struct address_space *mapping, pgoff_t first, pgoff_t last);
/* write(2) of the file itself: all n bytes, or an error. i_rwsem for writing. */
int filemap_write_bytes(struct address_space *mapping, uint64_t offset, const void *buffer, uint64_t n);
/* vmscan.c: pages that were just read are the last to be reclaimed. i_pages_lock. */
void lru_add_run(struct aspace_machine *m, struct page **pages, unsigned n);
/* The machine's code cache must not run what stood in this page. */
static inline void page_was_rewritten(struct aspace_machine *m, struct page *page)
{
	if (test_flag(page, PG_exec))
		port_code_changed(m, page);
}
/* The file's length in pages, the last one maybe partly. */
static inline pgoff_t size_in_pages(uint64_t bytes)
{
	return (bytes >> PAGE_SHIFT) + (offset_in_page(bytes) != 0);
}

/* shmem.c: a page of shared memory that is not there yet, with a reference. 0, -ENOMEM, -ENOSPC. */
int shmem_make_page(struct address_space *mapping, pgoff_t index, struct page **page);
void shmem_uncharge(struct address_space *mapping, uint64_t pages);	/* i_pages_lock */
void shmem_uncharge_all(struct address_space *mapping);		/* it dies */
/* What the seals say to a write of [offset, offset + n), to a new length; 0 or -EPERM. i_rwsem. */
int shmem_may_write(struct address_space *mapping, uint64_t offset, uint64_t n);
int shmem_may_resize(struct address_space *mapping, uint64_t bytes);

#endif
