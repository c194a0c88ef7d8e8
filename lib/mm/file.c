/* SPDX-License-Identifier: MIT */
/*
 * Mappings (the contents of a file) and files (an open file): their lives, their public face, and
 * frames for drivers.
 *
 *	area --vm_file--> file --f_mapping--> mapping --i_pages--> page
 *
 * Each arrow holds a reference. The last reference to a mapping writes its dirty pages back before
 * the pages go.
 */
#include <string.h>

#include "mm/filemap.h"

/* ---- mappings ------------------------------------------------------------------------------------ */

/* Copies what the caller's (maybe older, shorter) struct has; the rest stays zero. */
static void copy_sized(void *to, size_t to_size, const void *from, size_t from_size)
{
	memcpy(to, from, from_size < to_size ? from_size : to_size);
}

static struct address_space *mapping_alloc(struct aspace_machine *m)
{
	struct address_space *mapping = kmem_cache_zalloc(m->mapping_cachep);

	if (!mapping)
		return NULL;
	mapping->machine = m;
	atomic_init(&mapping->refs, 1);
	init_rwsem(&mapping->i_rwsem);
	init_rwsem(&mapping->invalidate_lock);
	init_rwsem(&mapping->i_mmap_rwsem);
	spin_lock_init(&mapping->i_pages_lock);
	xa_init(&mapping->i_pages, m->xa_node_cachep);
	mapping->i_mmap = RB_ROOT;
	return mapping;
}

static void mapping_link(struct address_space *mapping)
{
	struct aspace_machine *m = mapping->machine;

	atomic_fetch_add(&m->nr_mappings, 1);
	spin_lock(&m->mappings_lock);
	list_add_tail(&mapping->link, &m->mappings);
	spin_unlock(&m->mappings_lock);
}

int aspace_mapping_create(struct aspace_machine *m, const struct aspace_mapping_options *options,
			  struct aspace_mapping **result)
{
	struct aspace_mapping_options o = { 0 };
	struct address_space *mapping;

	copy_sized(&o, sizeof(o), options, options->size);
	if (o.ops && !o.ops->read)
		return -EINVAL;
	if (o.bytes > INT64_MAX)
		return -EFBIG;
	mapping = mapping_alloc(m);
	if (!mapping)
		return -ENOMEM;
	mapping->ops = o.ops;
	mapping->priv = o.priv;
	atomic_init(&mapping->i_size, o.bytes);
	mapping->dev_major = o.dev_major;
	mapping->dev_minor = o.dev_minor;
	mapping->ino = o.ino;
	mapping->noexec = o.noexec;
	mapping->no_huge_align = o.no_huge_align;
	mapping->sealable = o.sealable;
	if (!o.ops) {
		mapping->charge_pages = true;
		atomic_init(&mapping->seals, o.sealable ? 0 : F_SEAL_SEAL);
		if (!o.ino)
			mapping->ino = atomic_fetch_add(&m->next_shmem_ino, 1);
	}
	mapping_link(mapping);
	*result = mapping;
	return 0;
}

struct aspace_mapping *aspace_mapping_get(struct aspace_mapping *mapping)
{
	atomic_fetch_add_explicit(&mapping->refs, 1, memory_order_relaxed);
	return mapping;
}

static void mapping_free(struct address_space *mapping)
{
	struct aspace_machine *m = mapping->machine;
	const struct aspace_mapping_ops *ops = mapping->ops;
	void *priv = mapping->priv;

	filemap_writeback(mapping, 0, UINT64_MAX);
	filemap_remove_pages(mapping, 0, UINT64_MAX);
	shmem_uncharge_all(mapping);
	xa_destroy(&mapping->i_pages);
	spin_lock(&m->mappings_lock);
	list_del(&mapping->link);
	spin_unlock(&m->mappings_lock);
	/* A thread in shrink_page_cache may be about to let go of i_pages_lock, inside lru_lock. */
	spin_lock(&m->lru_lock);
	spin_unlock(&m->lru_lock);
	atomic_fetch_sub(&m->nr_mappings, 1);
	kmem_cache_free(m->mapping_cachep, mapping);
	if (ops && ops->release)
		ops->release(priv);
}

void aspace_mapping_put(struct aspace_mapping *mapping)
{
	if (atomic_fetch_sub_explicit(&mapping->refs, 1, memory_order_acq_rel) == 1)
		mapping_free(mapping);
}

uint64_t aspace_mapping_bytes(struct aspace_mapping *mapping)
{
	return atomic_load(&mapping->i_size);
}

uint64_t aspace_mapping_pages(struct aspace_mapping *mapping)
{
	uint64_t n;

	spin_lock(&mapping->i_pages_lock);
	n = mapping->nrpages;
	spin_unlock(&mapping->i_pages_lock);
	return n;
}

uint64_t aspace_mapping_dirty_pages(struct aspace_mapping *mapping)
{
	uint64_t n;

	spin_lock(&mapping->i_pages_lock);
	n = mapping->nrdirty;
	spin_unlock(&mapping->i_pages_lock);
	return n;
}

void *aspace_mapping_priv(struct aspace_mapping *mapping)
{
	return mapping->priv;
}

/* ---- files --------------------------------------------------------------------------------------- */

static int copy_path(struct aspace_machine *m, const char *path, char **copy)
{
	size_t n = path ? strlen(path) + 1 : 0;

	*copy = NULL;
	if (!n)
		return 0;
	*copy = domain_alloc(&m->domain, n);
	if (!*copy)
		return -ENOMEM;
	memcpy(*copy, path, n);
	return 0;
}

int aspace_file_open(struct aspace_mapping *mapping, const struct aspace_file_options *options,
		     struct aspace_file **result)
{
	struct aspace_machine *m = mapping->machine;
	struct aspace_file_options o = { 0 };
	struct aspace_file *file;
	int error;

	copy_sized(&o, sizeof(o), options, options->size);
	file = kmem_cache_zalloc(m->file_cachep);
	if (!file)
		return -ENOMEM;
	error = copy_path(m, o.path, &file->f_path);
	if (error) {
		kmem_cache_free(m->file_cachep, file);
		return error;
	}
	atomic_init(&file->refs, 1);
	file->f_mapping = aspace_mapping_get(mapping);
	file->f_read = o.readable;
	file->f_write = o.writable;
	file->vm_ops = o.vm_ops;
	file->priv = o.priv;
	file->path_of = o.path_of;
	file->release = o.release;
	file->anonymous_shared = o.anonymous_shared;
	atomic_fetch_add(&m->nr_files, 1);
	*result = file;
	return 0;
}

struct aspace_file *aspace_file_get(struct aspace_file *file)
{
	atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
	return file;
}

static void file_free(struct aspace_file *file)
{
	struct address_space *mapping = file->f_mapping;
	struct aspace_machine *m = mapping->machine;
	void (*release)(void *priv) = file->release;
	void *priv = file->priv;

	if (file->f_path)
		domain_free(&m->domain, file->f_path, strlen(file->f_path) + 1);
	atomic_fetch_sub(&m->nr_files, 1);
	kmem_cache_free(m->file_cachep, file);
	aspace_mapping_put(mapping);
	if (release)
		release(priv);
}

void aspace_file_put(struct aspace_file *file)
{
	if (atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) == 1)
		file_free(file);
}

struct aspace_mapping *aspace_file_mapping(struct aspace_file *file)
{
	return file->f_mapping;
}

void *aspace_file_priv(struct aspace_file *file)
{
	return file->priv;
}

/* ---- frames for drivers --------------------------------------------------------------------------- */

int aspace_frames_alloc(struct aspace_machine *m, unsigned order, uint64_t *phys)
{
	struct page *page;

	if (order > MAX_ORDER || !m->nr_frames)
		return -EINVAL;
	page = alloc_pages(m, PAGE_DRIVER, order, GFP_ZERO);
	if (!page)
		return -ENOMEM;
	*phys = page_to_pfn(m, page) << PAGE_SHIFT;
	return 0;
}

void aspace_frames_free(struct aspace_machine *m, uint64_t phys, unsigned order)
{
	struct page *page;

	BUG_ON(!pfn_valid(m, phys >> PAGE_SHIFT));
	page = pfn_to_page(m, phys >> PAGE_SHIFT);
	BUG_ON(page->type != PAGE_DRIVER || page->order != order);
	put_page(m, page);
}
