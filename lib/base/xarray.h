/* SPDX-License-Identifier: MIT */
/*
 * A sparse array of pointers indexed by uint64_t: a radix tree of nodes of 64 slots, as tall as its
 * largest index needs. Each entry can carry marks, and a node knows which of its slots lead to marked
 * entries, so that the next marked one is found without looking at the others. Callers lock: changes
 * exclude everything else. Entries are not NULL.
 */
#ifndef BASE_XARRAY_H
#define BASE_XARRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slab.h"

enum xa_mark { XA_MARK_0, XA_MARK_1, XA_MARKS, XA_ANY = XA_MARKS };

struct xa_node {
	struct xa_node *parent;
	uint8_t shift;			/* its slots are 1 << shift indexes wide */
	uint8_t offset;			/* its slot in parent */
	uint8_t count;			/* slots that are not NULL */
	uint64_t marks[XA_MARKS];
	void *slots[64];
};
struct xarray {
	struct xa_node *root;		/* NULL: empty */
	struct kmem_cache *cache;	/* of struct xa_node */
};

void xa_init(struct xarray *xa, struct kmem_cache *node_cache);
void xa_destroy(struct xarray *xa);	/* frees the nodes; entries are the caller's */
static inline bool xa_empty(const struct xarray *xa)
{
	return !xa->root;
}
void *xa_load(const struct xarray *xa, uint64_t index);
/*
 * After this, xa_store to index can't fail, as long as nothing else is changed before. 0 or -ENOMEM.
 * Whoever then stores nothing calls xa_unreserve, also where an entry was all along.
 */
int xa_reserve(struct xarray *xa, uint64_t index);
void xa_unreserve(struct xarray *xa, uint64_t index);
/* What was there is replaced and keeps its marks. 0 or -ENOMEM. */
int xa_store(struct xarray *xa, uint64_t index, void *entry);
void *xa_erase(struct xarray *xa, uint64_t index);	/* what was there */
/* The first entry in [*index, last] with the mark (XA_ANY: any); *index becomes its own. */
void *xa_find(const struct xarray *xa, uint64_t *index, uint64_t last, enum xa_mark mark);
bool xa_get_mark(const struct xarray *xa, uint64_t index, enum xa_mark mark);
void xa_set_mark(struct xarray *xa, uint64_t index, enum xa_mark mark);	/* of an entry that is there */
void xa_clear_mark(struct xarray *xa, uint64_t index, enum xa_mark mark);

#define xa_for_each_range(xa, index, entry, first, last)                              \
	for (index = (first), entry = xa_find(xa, &(index), last, XA_ANY); entry; \
	     entry = (index) == UINT64_MAX || (index) >= (last) ?                        \
			     NULL : ((index)++, xa_find(xa, &(index), last, XA_ANY)))

#endif
