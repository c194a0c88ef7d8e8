/* SPDX-License-Identifier: MIT */
/*
 * Slab caches: objects of one size, cut from larger blocks.
 *
 *	kmem_cache -- partial --> slab: header | object | object | free -> free -> NULL
 *	           -- full    --> slab ...
 *
 * A slab is SLAB_BYTES, aligned to its size, so an object's address tells its header. All memory comes
 * from an alloc_domain, which counts, and can be told to fail: the Nth allocation from now, once.
 * Thread-safe; an allocation and a free take one uncontended spinlock each.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/lock.h"

/* Where a machine's own memory comes from. */
struct alloc_domain {
	void *(*alloc)(void *priv, size_t size, size_t align);	/* NULL when there is none */
	void (*free)(void *priv, void *ptr, size_t size);
	void *priv;
	atomic_long fail_at;		/* N: the Nth allocation from now fails, then none; 0: none */
	atomic_ulong allocations;	/* asked for since the start, objects included */
	atomic_ulong bytes;		/* taken from alloc now */
};

/* The C library's aligned_alloc and free where alloc is NULL. */
void alloc_domain_init(struct alloc_domain *domain, void *(*alloc)(void *, size_t, size_t),
		       void (*free)(void *, void *, size_t), void *priv);
/* To be asked before anything is allocated: true means "fail now". */
static inline bool domain_should_fail(struct alloc_domain *domain)
{
	atomic_fetch_add_explicit(&domain->allocations, 1, memory_order_relaxed);
	if (likely(!atomic_load_explicit(&domain->fail_at, memory_order_relaxed)))
		return false;
	return atomic_fetch_sub_explicit(&domain->fail_at, 1, memory_order_relaxed) == 1;
}
/* Zeroed memory of any size; NULL: none. */
void *domain_alloc(struct alloc_domain *domain, size_t size);
void domain_free(struct alloc_domain *domain, void *ptr, size_t size);

#define SLAB_BYTES 32768u
#define SLABS_KEPT 64u

struct kmem_cache {
	const char *name;
	struct alloc_domain *domain;
	unsigned int size, first, per_slab;	/* bytes of an object; of the header; objects a slab */
	spinlock_t lock;
	struct list_head partial, full, empty;	/* of struct slab */
	unsigned int nr_empty;			/* at most SLABS_KEPT: a fork's worth, for the next one */
	unsigned long slabs, in_use;
};

/* The cache itself is allocated too. align: a power of two, 0: 64 for sizes from 64 on, else 16. */
struct kmem_cache *kmem_cache_create(struct alloc_domain *domain, const char *name, size_t size,
				     size_t align);
/* Objects that are still in use: how many; their memory goes all the same. NULL: 0. */
unsigned long kmem_cache_destroy(struct kmem_cache *cache);
void *kmem_cache_alloc(struct kmem_cache *cache);	/* contents undefined; NULL: no memory */
void *kmem_cache_zalloc(struct kmem_cache *cache);	/* zeroes */
void kmem_cache_free(struct kmem_cache *cache, void *object);	/* NULL: nothing */

#endif
