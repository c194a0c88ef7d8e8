/* SPDX-License-Identifier: MIT */
/*
 * What each of the two structures does for range_index.c, and the list that they share. Each function
 * leaves structure and list agreeing; the count of ranges is range_index.c's.
 */
#ifndef BASE_RANGE_INDEX_IMPL_H
#define BASE_RANGE_INDEX_IMPL_H

#include "base/range_index.h"

/* The free space before a range. */
static inline unsigned long range_gap(const struct range_node *node)
{
	return node->start - (node->prev ? node->prev->end : 0);
}

static inline void range_list_link(struct range_index *index, struct range_node *node,
				   struct range_node *prev, struct range_node *next)
{
	DEBUG_ON((prev && prev->end > node->start) || (next && next->start < node->end));
	node->prev = prev;
	node->next = next;
	*(prev ? &prev->next : &index->first) = node;
	*(next ? &next->prev : &index->last) = node;
}

/* first .. last stay linked to each other. */
static inline void range_list_unlink(struct range_index *index, struct range_node *first,
				     struct range_node *last)
{
	struct range_node *prev = first->prev, *next = last->next;

	*(prev ? &prev->next : &index->first) = next;
	*(next ? &next->prev : &index->last) = prev;
	first->prev = NULL;
	last->next = NULL;
}

#define RANGE_INDEX_STRUCTURE(prefix)                                                                  \
	struct range_node *prefix##_find(struct range_index *index, unsigned long addr);               \
	void prefix##_insert(struct range_index *index, struct range_node *node);                      \
	void prefix##_erase_run(struct range_index *index, struct range_node *first,                   \
				struct range_node *last);                                              \
	void prefix##_set_bounds(struct range_index *index, struct range_node *node,                   \
				 unsigned long start, unsigned long end);                              \
	/* lo < hi, size > 0 */                                                                        \
	bool prefix##_gap_lowest(struct range_index *index, unsigned long lo, unsigned long hi,        \
				 unsigned long size, unsigned long *at);                               \
	bool prefix##_gap_highest(struct range_index *index, unsigned long lo, unsigned long hi,       \
				  unsigned long size, unsigned long *at);                              \
	bool prefix##_check(struct range_index *index, char *why, size_t size);

RANGE_INDEX_STRUCTURE(range_rb)
RANGE_INDEX_STRUCTURE(range_tree)

void range_tree_init(struct range_index *index);
int range_tree_reserve(struct range_index *index, unsigned int n);
void range_tree_unreserve(struct range_index *index);
void range_tree_destroy(struct range_index *index);
void range_tree_split(struct range_index *index, struct range_node *range, struct range_node *above);
bool range_tree_join(struct range_index *index, struct range_node *range, struct range_node *last);

#endif
