/* SPDX-License-Identifier: MIT */
/*
 * read(2) and write(2) of mapped files and of shared memory, coherent with the mappings: what is cached
 * is read there and written there, too; what isn't goes past the cache to the file.
 */
#include <string.h>

#include "base/ram.h"
#include "mm/filemap.h"

/* Bytes of [offset, offset + n) that lie in the first page. */
static uint64_t within_page(uint64_t offset, uint64_t n)
{
	uint64_t room = PAGE_SIZE - offset_in_page(offset);

	return n < room ? n : room;
}

/* The bytes from offset on up to the next cached page, at most n. */
static uint64_t uncached_bytes(struct address_space *mapping, uint64_t offset, uint64_t n)
{
	uint64_t index = offset >> PAGE_SHIFT;
	struct page *next;

	spin_lock(&mapping->i_pages_lock);
	next = xa_find(&mapping->i_pages, &index, (offset + n - 1) >> PAGE_SHIFT, XA_ANY);
	spin_unlock(&mapping->i_pages_lock);
	return next && index << PAGE_SHIFT > offset ? (index << PAGE_SHIFT) - offset : next ? 0 : n;
}

/* Some bytes, at least one, of a range that lies within the file; 0: the file is shorter. */
static int64_t read_some(struct address_space *mapping, uint64_t offset, uint8_t *buffer, uint64_t n)
{
	struct aspace_machine *m = mapping->machine;
	struct page *page = find_get_page(mapping, offset >> PAGE_SHIFT);

	if (page) {
		n = within_page(offset, n);
		ram_copy(buffer, (uint8_t *)page_address(m, page) + offset_in_page(offset), n);
		set_flag(page, PG_referenced);
		put_page(m, page);
		return n;
	}
	n = uncached_bytes(mapping, offset, n);
	if (n == 0)
		return -EAGAIN;
	if (mapping->ops)
		return mapping->ops->read(mapping->priv, offset, buffer, n);
	memset(buffer, 0, n);
	return n;
}

int64_t aspace_mapping_read(struct aspace_mapping *mapping, uint64_t offset, void *buffer, size_t n)
{
	uint64_t size, done = 0;
	int64_t got = 0;

	down_read(&mapping->invalidate_lock);
	size = atomic_load(&mapping->i_size);
	if (offset >= size)
		n = 0;
	else if (size - offset < n)
		n = size - offset;
	while (done < n) {
		got = read_some(mapping, offset + done, (uint8_t *)buffer + done, n - done);
		if (got == -EAGAIN)
			continue;
		if (got <= 0)
			break;
		done += got;
	}
	up_read(&mapping->invalidate_lock);
	return done ? (int64_t)done : got < 0 ? got : 0;
}

/* Copies into one page that is in the cache, or made for it (shared memory). */
static int write_page(struct address_space *mapping, uint64_t offset, const uint8_t *buffer, uint64_t n)
{
	struct aspace_machine *m = mapping->machine;
	struct page *page = find_get_page(mapping, offset >> PAGE_SHIFT);
	int error = 0;

	if (!page && !mapping->ops)
		error = shmem_make_page(mapping, offset >> PAGE_SHIFT, &page);
	if (error || !page)
		return error;
	ram_copy((uint8_t *)page_address(m, page) + offset_in_page(offset), buffer, n);
	page_was_rewritten(m, page);
	if (!mapping->ops)
		filemap_dirty_page(page);
	put_page(m, page);
	return 0;
}

static int64_t write_pages(struct address_space *mapping, uint64_t offset, const uint8_t *buffer, uint64_t n)
{
	uint64_t done = 0;

	while (done < n) {
		uint64_t piece = within_page(offset + done, n - done);
		int error = write_page(mapping, offset + done, buffer + done, piece);

		if (error)
			return done ? (int64_t)done : error;
		done += piece;
	}
	return done;
}

/* Never shorter: i_rwsem keeps other writers and truncation away. */
static void extend_to(struct address_space *mapping, uint64_t bytes)
{
	uint64_t size = atomic_load(&mapping->i_size);

	if (bytes > size)
		atomic_store(&mapping->i_size, bytes);
}

/*
 * A file is written first and the cached pages follow: whoever looks at the file from outside sees
 * the write at once, and a failed one changes nothing here. i_rwsem keeps write-back, which would
 * bring old bytes, away; write_seq tells who is reading an absent page.
 */
static int64_t write_file(struct address_space *mapping, uint64_t offset, const void *buffer, uint64_t n)
{
	int error = filemap_write_bytes(mapping, offset, buffer, n);

	if (error)
		return error;
	spin_lock(&mapping->i_pages_lock);
	mapping->write_seq++;
	spin_unlock(&mapping->i_pages_lock);
	extend_to(mapping, offset + n);
	return write_pages(mapping, offset, buffer, n);
}

static int64_t write_shmem(struct address_space *mapping, uint64_t offset, const void *buffer, uint64_t n)
{
	int64_t done = shmem_may_write(mapping, offset, n);

	if (!done)
		done = write_pages(mapping, offset, buffer, n);
	if (done > 0)
		extend_to(mapping, offset + done);
	return done;
}

int64_t aspace_mapping_write(struct aspace_mapping *mapping, uint64_t offset, const void *buffer, size_t n)
{
	uint64_t size;
	int64_t done;

	if (n == 0)
		return 0;
	if (offset > INT64_MAX - n)
		return -EFBIG;
	down_write(&mapping->i_rwsem);
	size = atomic_load(&mapping->i_size);
	if (mapping->ops && offset + n > size && offset_in_page(size))
		filemap_zero_partial(mapping, size, size + within_page(size, UINT64_MAX));
	done = mapping->ops ? write_file(mapping, offset, buffer, n) :
			      write_shmem(mapping, offset, buffer, n);
	up_write(&mapping->i_rwsem);
	return done;
}
