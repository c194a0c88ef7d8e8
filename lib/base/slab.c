/* SPDX-License-Identifier: MIT */
#include "base/slab.h"

#include <string.h>

struct slab {
	struct list_head link;		/* partial, full or empty */
	struct kmem_cache *cache;
	void *free;			/* list of free objects, linked through their first word */
	unsigned int in_use;
};

static void *default_alloc(void *priv, size_t size, size_t align)
{
	void *p;

	(void)priv;
	return posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size) ? NULL : p;
}

static void default_free(void *priv, void *ptr, size_t size)
{
	(void)priv;
	(void)size;
	free(ptr);
}

void alloc_domain_init(struct alloc_domain *domain, void *(*alloc)(void *, size_t, size_t),
		       void (*release)(void *, void *, size_t), void *priv)
{
	domain->alloc = alloc ? alloc : default_alloc;
	domain->free = alloc ? release : default_free;
	domain->priv = priv;
	atomic_init(&domain->fail_at, 0);
	atomic_init(&domain->allocations, 0);
	atomic_init(&domain->bytes, 0);
}

static void *domain_take(struct alloc_domain *domain, size_t size, size_t align)
{
	void *p = domain->alloc(domain->priv, size, align);

	if (p)
		atomic_fetch_add_explicit(&domain->bytes, size, memory_order_relaxed);
	return p;
}

void *domain_alloc(struct alloc_domain *domain, size_t size)
{
	void *p = domain_should_fail(domain) ? NULL : domain_take(domain, size, 64);

	if (p)
		memset(p, 0, size);
	return p;
}

void domain_free(struct alloc_domain *domain, void *ptr, size_t size)
{
	if (!ptr)
		return;
	atomic_fetch_sub_explicit(&domain->bytes, size, memory_order_relaxed);
	domain->free(domain->priv, ptr, size);
}

struct kmem_cache *kmem_cache_create(struct alloc_domain *domain, const char *name, size_t size,
				     size_t align)
{
	struct kmem_cache *cache = domain_alloc(domain, sizeof(*cache));

	if (!cache)
		return NULL;
	if (!align)
		align = size >= 64 ? 64 : 16;
	cache->name = name;
	cache->domain = domain;
	cache->size = ALIGN(max(size, sizeof(void *)), align);
	cache->first = ALIGN(sizeof(struct slab), align);
	cache->per_slab = (SLAB_BYTES - cache->first) / cache->size;
	BUG_ON(!cache->per_slab);
	spin_lock_init(&cache->lock);
	INIT_LIST_HEAD(&cache->partial);
	INIT_LIST_HEAD(&cache->full);
	INIT_LIST_HEAD(&cache->empty);
	return cache;
}

static struct slab *slab_of(void *object)
{
	return (struct slab *)((uintptr_t)object & ~(uintptr_t)(SLAB_BYTES - 1));
}

static struct slab *slab_new(struct kmem_cache *cache)
{
	struct slab *slab = domain_take(cache->domain, SLAB_BYTES, SLAB_BYTES);
	char *object;

	if (!slab)
		return NULL;
	slab->cache = cache;
	slab->in_use = 0;
	slab->free = NULL;
	object = (char *)slab + cache->first + (size_t)cache->size * cache->per_slab;
	for (unsigned int i = 0; i < cache->per_slab; i++) {
		object -= cache->size;
		*(void **)object = slab->free;
		slab->free = object;
	}
	return slab;
}

static void slab_destroy(struct kmem_cache *cache, struct slab *slab)
{
	domain_free(cache->domain, slab, SLAB_BYTES);
}

/* A slab with a free object, first in `partial`; the lock is held. */
static struct slab *partial_slab(struct kmem_cache *cache)
{
	struct slab *slab;

	if (likely(!list_empty(&cache->partial)))
		return list_first_entry(&cache->partial, struct slab, link);
	slab = list_first_entry_or_null(&cache->empty, struct slab, link);
	if (slab) {
		list_move(&slab->link, &cache->partial);
		cache->nr_empty--;
		return slab;
	}
	slab = slab_new(cache);
	if (slab) {
		list_add(&slab->link, &cache->partial);
		cache->slabs++;
	}
	return slab;
}

void *kmem_cache_alloc(struct kmem_cache *cache)
{
	struct slab *slab;
	void *object = NULL;

	if (domain_should_fail(cache->domain))
		return NULL;
	spin_lock(&cache->lock);
	slab = partial_slab(cache);
	if (slab) {
		object = slab->free;
		slab->free = *(void **)object;
		slab->in_use++;
		cache->in_use++;
		if (!slab->free)
			list_move(&slab->link, &cache->full);
	}
	spin_unlock(&cache->lock);
	return object;
}

void *kmem_cache_zalloc(struct kmem_cache *cache)
{
	void *object = kmem_cache_alloc(cache);

	if (object)
		memset(object, 0, cache->size);
	return object;
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	struct slab *slab, *unneeded = NULL;

	if (!object)
		return;
	slab = slab_of(object);
	DEBUG_ON(slab->cache != cache);
	spin_lock(&cache->lock);
	if (!slab->free)
		list_move(&slab->link, &cache->partial);
	*(void **)object = slab->free;
	slab->free = object;
	cache->in_use--;
	if (--slab->in_use == 0) {
		if (cache->nr_empty < SLABS_KEPT) {
			list_move(&slab->link, &cache->empty);
			cache->nr_empty++;
		} else {
			list_del(&slab->link);
			cache->slabs--;
			unneeded = slab;
		}
	}
	spin_unlock(&cache->lock);
	if (unneeded)
		slab_destroy(cache, unneeded);
}

unsigned long kmem_cache_destroy(struct kmem_cache *cache)
{
	struct alloc_domain *domain;
	struct slab *slab, *next;
	unsigned long leaked;

	if (!cache)
		return 0;
	domain = cache->domain;
	leaked = cache->in_use;
	list_splice_init(&cache->partial, &cache->empty);
	list_splice_init(&cache->full, &cache->empty);
	list_for_each_entry_safe(slab, next, &cache->empty, link)
		slab_destroy(cache, slab);
	domain_free(domain, cache, sizeof(*cache));
	return leaked;
}
