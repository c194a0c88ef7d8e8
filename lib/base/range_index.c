/* SPDX-License-Identifier: MIT */
#include "base/range_index.h"

#include <stdio.h>
#include <string.h>

#include "base/range_index_impl.h"

/* Calls the structure's own: two-way, so that the compiler can see through it. */
#define STRUCTURE(index, function, ...)                                                   \
	((index)->kind == RANGE_INDEX_TREE ? range_tree_##function(index, __VA_ARGS__) : \
					     range_rb_##function(index, __VA_ARGS__))

void range_index_init(struct range_index *index, enum range_index_kind kind, struct kmem_cache *node_cache)
{
	memset(index, 0, sizeof(*index));
	index->kind = kind;
	index->cache = node_cache;
	if (kind == RANGE_INDEX_TREE)
		range_tree_init(index);
}

void range_index_destroy(struct range_index *index)
{
	if (index->kind == RANGE_INDEX_TREE)
		range_tree_destroy(index);
	range_index_init(index, index->kind, index->cache);
}

struct range_node *range_index_find(struct range_index *index, unsigned long addr)
{
	return STRUCTURE(index, find, addr);
}

struct range_node *range_index_find_prev(struct range_index *index, unsigned long addr,
					 struct range_node **prev)
{
	struct range_node *found = range_index_find(index, addr);

	*prev = found ? found->prev : index->last;
	return found;
}

int range_index_reserve(struct range_index *index, unsigned int n)
{
	return index->kind == RANGE_INDEX_TREE ? range_tree_reserve(index, n) : 0;
}

void range_index_unreserve(struct range_index *index)
{
	if (index->kind == RANGE_INDEX_TREE)
		range_tree_unreserve(index);
}

void range_index_insert(struct range_index *index, struct range_node *node)
{
	DEBUG_ON(node->start >= node->end);
	index->count++;
	STRUCTURE(index, insert, node);
}

void range_index_erase(struct range_index *index, struct range_node *node)
{
	index->count--;
	STRUCTURE(index, erase_run, node, node);
}

void range_index_erase_run(struct range_index *index, struct range_node *first, struct range_node *last)
{
	struct range_node *node;

	STRUCTURE(index, erase_run, first, last);
	for (node = first; node; node = node->next)
		index->count--;
}

void range_index_set_bounds(struct range_index *index, struct range_node *node, unsigned long start,
			    unsigned long end)
{
	DEBUG_ON(start >= end || (node->prev && node->prev->end > start) ||
		 (node->next && node->next->start < end));
	STRUCTURE(index, set_bounds, node, start, end);
}

void range_index_split(struct range_index *index, struct range_node *range, struct range_node *above)
{
	DEBUG_ON(above->start <= range->start || above->start >= above->end || above->end != range->end);
	if (index->kind == RANGE_INDEX_TREE) {
		index->count++;
		range_tree_split(index, range, above);
		return;
	}
	range_index_set_bounds(index, range, range->start, above->start);
	range_index_insert(index, above);
}

void range_index_join(struct range_index *index, struct range_node *range, struct range_node *last)
{
	struct range_node *first = range->next, *node;
	unsigned long end = last->end;

	if (index->kind == RANGE_INDEX_TREE && range_tree_join(index, range, last)) {
		for (node = first; node; node = node->next)
			index->count--;
		return;
	}
	range_index_erase_run(index, first, last);
	range_index_set_bounds(index, range, range->start, end);
}

bool range_index_gap_lowest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			    unsigned long *at)
{
	DEBUG_ON(!size);
	return lo < hi && STRUCTURE(index, gap_lowest, lo, hi, size, at);
}

bool range_index_gap_highest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			     unsigned long *at)
{
	DEBUG_ON(!size);
	return lo < hi && STRUCTURE(index, gap_highest, lo, hi, size, at);
}

bool range_index_check(struct range_index *index, char *why, size_t size)
{
	struct range_node *node, *prev = NULL;
	unsigned long count = 0;

	for (node = index->first; node; prev = node, node = node->next, count++) {
		if (node->prev != prev || node->start >= node->end || (prev && prev->end > node->start)) {
			snprintf(why, size, "range %#lx-%#lx is out of place in the list", node->start, node->end);
			return false;
		}
	}
	if (index->last != prev || count != index->count) {
		snprintf(why, size, "the list holds %lu ranges, the count is %lu", count, index->count);
		return false;
	}
	return STRUCTURE(index, check, why, size);
}
