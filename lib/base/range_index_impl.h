/* SPDX-License-Identifier: MIT */
/* What each of the two structures does for range_index.c, which does what they share. */
#ifndef BASE_RANGE_INDEX_IMPL_H
#define BASE_RANGE_INDEX_IMPL_H

#include "base/range_index.h"

/* The free space before a range. */
static inline unsigned long range_gap(const struct range_node *node)
{
	return node->start - (node->prev ? node->prev->end : 0);
}

#define RANGE_INDEX_STRUCTURE(prefix)                                                                   \
	struct range_node *prefix##_find(struct range_index *index, unsigned long addr);                \
	/* node is in the list already */                                                               \
	void prefix##_insert(struct range_index *index, struct range_node *node);                       \
	/* they are in the list still */                                                                \
	void prefix##_erase_run(struct range_index *index, struct range_node *first,                    \
				struct range_node *last);                                               \
	/* node's end, or the gap before it, changed */                                                 \
	void prefix##_update(struct range_index *index, struct range_node *node);                       \
	/* The nearest range behind (before) node, NULL: from the start (end), with a gap >= size */    \
	struct range_node *prefix##_next_gap(struct range_index *index, struct range_node *node,        \
					     unsigned long size);                                       \
	struct range_node *prefix##_prev_gap(struct range_index *index, struct range_node *node,        \
					     unsigned long size);                                       \
	bool prefix##_check(struct range_index *index, char *why, size_t size);

RANGE_INDEX_STRUCTURE(range_rb)
RANGE_INDEX_STRUCTURE(range_tree)

int range_tree_reserve(struct range_index *index, unsigned int n);
void range_tree_destroy(struct range_index *index);

#endif
