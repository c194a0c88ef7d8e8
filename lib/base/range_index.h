/* SPDX-License-Identifier: MIT */
/*
 * An index of address ranges: half open, never overlapping, in address order. One interface, two
 * structures behind it, chosen when the index is made:
 *
 *	RANGE_INDEX_TREE	a B+tree of wide nodes; each inner entry knows the largest gap below it
 *	RANGE_INDEX_RBTREE	a red-black tree whose nodes know the largest gap in their subtree, and a
 *				cache of the last range found
 *
 * In both the ranges are also a list in address order (node.prev, node.next), so that neighbours cost
 * nothing. The gap of a range is the free space between it and its predecessor (or address 0).
 *
 * Callers lock: changes exclude everything, lookups may run side by side.
 */
#ifndef BASE_RANGE_INDEX_H
#define BASE_RANGE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rbtree.h"
#include "base/slab.h"

enum range_index_kind { RANGE_INDEX_TREE, RANGE_INDEX_RBTREE };

/* Embedded in what is indexed. start and end are changed through range_index_set_bounds only. */
struct range_node {
	unsigned long start, end;	/* [start, end) */
	struct range_node *prev, *next;	/* in address order; NULL at the ends */
	union {
		struct {		/* RANGE_INDEX_RBTREE */
			struct rb_node rb;
			unsigned long subtree_gap;
		};
		struct range_leaf *leaf;	/* RANGE_INDEX_TREE: the leaf that holds it */
	};
};

struct range_index {
	enum range_index_kind kind;
	struct kmem_cache *cache;	/* RANGE_INDEX_TREE: of its nodes, range_tree_node_bytes each */
	struct range_node *first, *last;
	unsigned long count;
	union {
		struct {
			struct rb_root rb_root;
			struct range_node *_Atomic mmap_cache;
		};
		struct {
			void *root;
			unsigned int height;		/* of the tree: 0 is empty, 1 a single leaf */
			void *spare;			/* nodes set aside by range_index_reserve */
			unsigned int nr_nodes;		/* in the tree */
			unsigned int nr_spare;
			unsigned int spare_kept;	/* so many aren't given back to the cache */
		};
	};
};

extern const size_t range_tree_node_bytes;	/* the size of the objects that `cache` must give */

void range_index_init(struct range_index *index, enum range_index_kind kind, struct kmem_cache *node_cache);
void range_index_destroy(struct range_index *index);	/* the ranges are the caller's */

/* find_vma: the first range that ends above addr; NULL: none. */
struct range_node *range_index_find(struct range_index *index, unsigned long addr);

/* Likewise, and the range before it; the last one of all if the answer is NULL. */
struct range_node *range_index_find_prev(struct range_index *index, unsigned long addr,
					 struct range_node **prev);
static inline struct range_node *range_index_first(const struct range_index *index)
{
	return index->first;
}
static inline struct range_node *range_index_last(const struct range_index *index)
{
	return index->last;
}

/*
 * After this, n insertions can't fail, whatever is erased between them. Calls don't add up: the largest
 * n counts. What is left over stays for later. 0 or -ENOMEM.
 */
int range_index_reserve(struct range_index *index, unsigned int n);
/* After a large reservation: what is left over goes back, but for a few nodes. Reserve anew. */
void range_index_unreserve(struct range_index *index);
/* node overlaps nothing; start < end; memory was reserved. */
void range_index_insert(struct range_index *index, struct range_node *node);
void range_index_erase(struct range_index *index, struct range_node *node);
/* first .. last and all between; they stay linked to each other by next. */
void range_index_erase_run(struct range_index *index, struct range_node *first, struct range_node *last);
/* The range moves or resizes in place, without passing or touching a neighbour's inside. */
void range_index_set_bounds(struct range_index *index, struct range_node *node, unsigned long start,
			    unsigned long end);

/*
 * range becomes two without a gap: it keeps what is below above->start, and `above`, which ends where it
 * ended, is inserted. Memory was reserved.
 */
void range_index_split(struct range_index *index, struct range_node *range, struct range_node *above);
/*
 * range takes over what the ranges behind it cover, up to and with `last`; no gap is between them. They
 * are out, and stay linked to each other by next.
 */
void range_index_join(struct range_index *index, struct range_node *range, struct range_node *last);

/*
 * The lowest, or highest, address `at` such that [at, at + size) is free and within [lo, hi). false:
 * there is none. size > 0.
 */
bool range_index_gap_lowest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			    unsigned long *at);
bool range_index_gap_highest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			     unsigned long *at);

/* Everything recomputed and compared: true, or false and why. */
bool range_index_check(struct range_index *index, char *why, size_t size);

#endif
