/* SPDX-License-Identifier: MIT */
/*
 * Shared memory: mappings without a file behind them, whose pages are made when they are first
 * touched and are the only copy. memfd files, System V segments, MAP_SHARED | MAP_ANONYMOUS.
 *
 * Committed_AS: a segment of fixed size is charged whole when it is made, the others page by page
 * (charge_pages); what was charged is given back with the page, or with the segment.
 */
#include "mm/filemap.h"

int shmem_make_page(struct address_space *mapping, pgoff_t index, struct page **result)
{
	struct aspace_machine *m = mapping->machine;
	bool charge = mapping->charge_pages;
	struct page *page;
	int error;

	if (charge && vm_enough_memory(m, 1))
		return -ENOSPC;
	page = alloc_page(m, PAGE_SHMEM, GFP_ZERO);
	if (!page) {
		if (charge)
			vm_unacct_memory(m, 1);
		return -ENOMEM;
	}
	spin_lock(&mapping->i_pages_lock);
	error = add_to_page_cache(mapping, page, index);
	*result = error == -EEXIST ? xa_load(&mapping->i_pages, index) : error ? NULL : page;
	if (*result)
		get_page(*result);
	if (!error && charge)
		mapping->shmem_charge++;
	spin_unlock(&mapping->i_pages_lock);
	if (error) {
		put_page(m, page);
		if (charge)
			vm_unacct_memory(m, 1);
	}
	return *result ? 0 : error;
}

void shmem_uncharge(struct address_space *mapping, uint64_t pages)
{
	mapping->shmem_charge -= pages;
	if (pages)
		vm_unacct_memory(mapping->machine, pages);
}

void shmem_uncharge_all(struct address_space *mapping)
{
	shmem_uncharge(mapping, mapping->shmem_charge);
}

int shmem_zero_setup(struct aspace_machine *m, uint64_t bytes, bool noreserve, struct aspace_file **file)
{
	struct aspace_mapping_options contents = {
		.size = sizeof(contents),
		.bytes = bytes,
		.dev_minor = 1,		/* the kernel's own tmpfs, as maps shows it: 00:01 */
	};
	struct aspace_file_options opened = {
		.size = sizeof(opened),
		.readable = true,
		.writable = true,
		.path = "/dev/zero (deleted)",
		.anonymous_shared = true,
	};
	uint64_t charge = noreserve ? 0 : size_in_pages(bytes);
	struct aspace_mapping *mapping;
	int error;

	if (charge && vm_enough_memory(m, charge))
		return -ENOMEM;
	error = aspace_mapping_create(m, &contents, &mapping);
	if (error) {
		if (charge)
			vm_unacct_memory(m, charge);
		return error;
	}
	mapping->charge_pages = noreserve;
	mapping->shmem_charge = charge;
	error = aspace_file_open(mapping, &opened, file);
	aspace_mapping_put(mapping);
	return error;
}

/* ---- seals ------------------------------------------------------------------------------------------ */

int shmem_may_write(struct address_space *mapping, uint64_t offset, uint64_t n)
{
	unsigned seals = atomic_load(&mapping->seals);

	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if ((seals & F_SEAL_GROW) && n && offset + n > atomic_load(&mapping->i_size))
		return -EPERM;
	return 0;
}

int shmem_may_resize(struct address_space *mapping, uint64_t bytes)
{
	unsigned seals = atomic_load(&mapping->seals);
	uint64_t size = atomic_load(&mapping->i_size);

	if ((bytes < size && (seals & F_SEAL_SHRINK)) || (bytes > size && (seals & F_SEAL_GROW)))
		return -EPERM;
	return 0;
}

/* No shared area may write, and none that could will come: the count goes below zero for good. */
static int deny_writable_areas(struct address_space *mapping)
{
	int none = 0;

	return atomic_compare_exchange_strong(&mapping->i_mmap_writable, &none, -1) ? 0 : -EBUSY;
}

static int add_seals(struct address_space *mapping, unsigned seals)
{
	unsigned now = atomic_load(&mapping->seals);
	int error = 0;

	if (now & F_SEAL_SEAL)
		return -EPERM;
	if ((seals & F_SEAL_WRITE) && !(now & F_SEAL_WRITE))
		error = deny_writable_areas(mapping);
	if (!error)
		atomic_store(&mapping->seals, now | seals);
	return error;
}

int aspace_mapping_add_seals(struct aspace_mapping *mapping, unsigned seals)
{
	const unsigned all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
			     F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;
	int error;

	if (mapping->ops || (seals & ~all))
		return -EINVAL;
	down_write(&mapping->i_rwsem);
	error = add_seals(mapping, seals);
	up_write(&mapping->i_rwsem);
	return error;
}

int aspace_mapping_get_seals(struct aspace_mapping *mapping)
{
	return mapping->ops ? -EINVAL : (int)atomic_load(&mapping->seals);
}
