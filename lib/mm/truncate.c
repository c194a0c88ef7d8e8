/* SPDX-License-Identifier: MIT */
/*
 * A file gets shorter, longer, or a hole.
 *
 *	        i_size (new)
 *	  |#######|........:........|.......|
 *	          ^zeroed  ^ unmapped everywhere, then dropped
 *
 * The order under invalidate_lock: set the new length, unmap, drop. A fault holds that lock for
 * reading from its look at i_size until its entry is set; so once the lock is had for writing, every
 * entry is there to be unmapped, and no new one comes.
 */
#include "mm/filemap.h"

static uint64_t page_end(uint64_t offset)
{
	return (offset | ~PAGE_MASK) + 1;
}

static void shorten(struct address_space *mapping, uint64_t bytes)
{
	pgoff_t first = size_in_pages(bytes);

	/* Private copies of pages beyond the end go as well: touching them is SIGBUS, too. */
	unmap_mapping_range(mapping, first, UINT64_MAX, true);
	filemap_remove_pages(mapping, first, UINT64_MAX);
	if (offset_in_page(bytes))
		filemap_zero_partial(mapping, bytes, page_end(bytes));
}

int aspace_mapping_truncate(struct aspace_mapping *mapping, uint64_t bytes)
{
	uint64_t size;
	int error;

	if (bytes > INT64_MAX)
		return -EFBIG;
	down_write(&mapping->i_rwsem);
	error = shmem_may_resize(mapping, bytes);
	if (!error) {
		down_write(&mapping->invalidate_lock);
		size = atomic_exchange(&mapping->i_size, bytes);
		if (bytes < size)
			shorten(mapping, bytes);
		else if (mapping->ops && offset_in_page(size))
			/*
			 * What a program stored there was beyond the end; it doesn't become contents.
			 * Shared memory's does: so does Linux (6.18).
			 */
			filemap_zero_partial(mapping, size, page_end(size));
		up_write(&mapping->invalidate_lock);
	}
	up_write(&mapping->i_rwsem);
	return error;
}

/* The file itself reads as zeroes there; it's never made longer. i_rwsem is held. */
static int write_zeroes(struct address_space *mapping, uint64_t offset, uint64_t end)
{
	const uint64_t piece = 256 << 10;
	uint8_t *zeroes;
	int64_t done = 0;

	if (offset >= end)
		return 0;
	zeroes = domain_alloc(&mapping->machine->domain, piece);
	if (!zeroes)
		return -ENOMEM;
	for (; offset < end; offset += done) {
		done = mapping->ops->write(mapping->priv, offset, zeroes, min(end - offset, piece));
		if (done <= 0)
			break;
	}
	domain_free(&mapping->machine->domain, zeroes, piece);
	return done > 0 ? 0 : done < 0 ? (int)done : -EIO;
}

/* The cached bytes of [offset, end) are zeroes or gone. */
static void punch_cache(struct address_space *mapping, uint64_t offset, uint64_t end)
{
	pgoff_t first = size_in_pages(offset), last = end >> PAGE_SHIFT;	/* last: not itself */

	if (first < last) {
		unmap_mapping_range(mapping, first, last - 1, false);
		filemap_remove_pages(mapping, first, last - 1);
	}
	if (offset >> PAGE_SHIFT == end >> PAGE_SHIFT) {
		filemap_zero_partial(mapping, offset, end);
		return;
	}
	if (offset_in_page(offset))
		filemap_zero_partial(mapping, offset, page_end(offset));
	if (offset_in_page(end))
		filemap_zero_partial(mapping, end & PAGE_MASK, end);
}

int aspace_mapping_punch_hole(struct aspace_mapping *mapping, uint64_t offset, uint64_t n)
{
	uint64_t size, end;
	int error = 0;

	if (n == 0 || offset > INT64_MAX || n > INT64_MAX - offset)
		return -EINVAL;
	if (mapping->ops && !mapping->ops->write)
		return -EROFS;
	down_write(&mapping->i_rwsem);
	end = offset + n;
	size = atomic_load(&mapping->i_size);
	if (!mapping->ops)
		error = shmem_may_write(mapping, offset, 0);
	else
		error = write_zeroes(mapping, offset, end < size ? end : size);
	if (!error) {
		down_write(&mapping->invalidate_lock);
		punch_cache(mapping, offset, end);
		up_write(&mapping->invalidate_lock);
	}
	up_write(&mapping->i_rwsem);
	return error;
}
