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

int range_index_reserve(struct range_index *index, unsigned int n)
{
	return index->kind == RANGE_INDEX_TREE ? range_tree_reserve(index, n) : 0;
}

static void list_insert(struct range_index *index, struct range_node *node)
{
	struct range_node *next = range_index_find(index, node->start);
	struct range_node *prev = next ? next->prev : index->last;

	DEBUG_ON(node->start >= node->end || (next && next->start < node->end));
	node->prev = prev;
	node->next = next;
	*(prev ? &prev->next : &index->first) = node;
	*(next ? &next->prev : &index->last) = node;
}

void range_index_insert(struct range_index *index, struct range_node *node)
{
	list_insert(index, node);
	index->count++;
	STRUCTURE(index, insert, node);
}

void range_index_erase_run(struct range_index *index, struct range_node *first, struct range_node *last)
{
	struct range_node *prev = first->prev, *next = last->next, *node;

	STRUCTURE(index, erase_run, first, last);
	for (node = first; node != next; node = node->next)
		index->count--;
	*(prev ? &prev->next : &index->first) = next;
	*(next ? &next->prev : &index->last) = prev;
	first->prev = NULL;
	last->next = NULL;
	if (next)
		STRUCTURE(index, update, next);
}

void range_index_erase(struct range_index *index, struct range_node *node)
{
	range_index_erase_run(index, node, node);
}

void range_index_set_bounds(struct range_index *index, struct range_node *node, unsigned long start,
			    unsigned long end)
{
	bool end_moved = end != node->end;

	DEBUG_ON(start >= end || (node->prev && node->prev->end > start) ||
		 (node->next && node->next->start < end));
	node->start = start;
	node->end = end;
	STRUCTURE(index, update, node);
	if (end_moved && node->next)
		STRUCTURE(index, update, node->next);
}

/* Does the gap before node (NULL: after the last) hold size bytes within [lo, hi)? Its part there. */
static bool gap_fits(struct range_index *index, struct range_node *node, unsigned long lo, unsigned long hi,
		     unsigned long size, unsigned long *start, unsigned long *end)
{
	struct range_node *prev = node ? node->prev : index->last;

	*start = prev && prev->end > lo ? prev->end : lo;
	*end = node && node->start < hi ? node->start : hi;
	return *start <= *end && *end - *start >= size;
}

bool range_index_gap_lowest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			    unsigned long *at)
{
	struct range_node *node;
	unsigned long end;

	if (lo >= hi)
		return false;
	node = range_index_find(index, lo);
	while (!gap_fits(index, node, lo, hi, size, at, &end)) {
		if (!node || node->start >= hi)
			return false;
		node = STRUCTURE(index, next_gap, node, size);
	}
	return true;
}

bool range_index_gap_highest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			     unsigned long *at)
{
	struct range_node *node;
	unsigned long start, end;

	if (lo >= hi)
		return false;
	node = range_index_find(index, hi - 1);
	while (!gap_fits(index, node, lo, hi, size, &start, &end)) {
		node = STRUCTURE(index, prev_gap, node, size);
		if (!node || node->start <= lo)
			return false;
	}
	*at = end - size;
	return true;
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
