/* SPDX-License-Identifier: MIT */
/* The classic index: a red-black tree with the largest gap of each subtree, and a cache of the last hit. */
#include <stdio.h>

#include "base/range_index_impl.h"

static struct range_node *range_of(struct rb_node *rb)
{
	return rb ? rb_entry(rb, struct range_node, rb) : NULL;
}

static unsigned long subtree_gap(struct rb_node *rb)
{
	return rb ? range_of(rb)->subtree_gap : 0;
}

static bool augment_gap(struct rb_node *rb)
{
	struct range_node *node = range_of(rb);
	unsigned long old = node->subtree_gap;

	node->subtree_gap = max(range_gap(node), max(subtree_gap(rb->left), subtree_gap(rb->right)));
	return node->subtree_gap != old;
}

struct range_node *range_rb_find(struct range_index *index, unsigned long addr)
{
	struct range_node *found = atomic_load_explicit(&index->mmap_cache, memory_order_relaxed);
	struct rb_node *rb;

	if (found && found->start <= addr && addr < found->end)
		return found;
	found = NULL;
	for (rb = index->rb_root.node; rb;) {
		struct range_node *node = range_of(rb);

		if (node->end > addr) {
			found = node;
			if (node->start <= addr)
				break;
			rb = rb->left;
		} else {
			rb = rb->right;
		}
	}
	if (found)
		atomic_store_explicit(&index->mmap_cache, found, memory_order_relaxed);
	return found;
}

void range_rb_insert(struct range_index *index, struct range_node *node)
{
	struct rb_node **link = &index->rb_root.node, *parent = NULL;
	struct range_node *prev = NULL, *next = NULL;

	while (*link) {
		parent = *link;
		if (node->start < range_of(parent)->start) {
			next = range_of(parent);
			link = &parent->left;
		} else {
			prev = range_of(parent);
			link = &parent->right;
		}
	}
	range_list_link(index, node, prev, next);
	rb_link(&node->rb, parent, link);
	augment_gap(&node->rb);
	rb_propagate(parent, augment_gap);
	if (next)			/* its gap is smaller now */
		rb_propagate(&next->rb, augment_gap);
	rb_balance(&index->rb_root, &node->rb, augment_gap);
}

void range_rb_erase_run(struct range_index *index, struct range_node *first, struct range_node *last)
{
	struct range_node *node, *next = last->next;

	atomic_store_explicit(&index->mmap_cache, NULL, memory_order_relaxed);
	for (node = first; node != next; node = node->next)	/* the list, and so every gap, stays meanwhile */
		rb_erase(&index->rb_root, &node->rb, augment_gap);
	range_list_unlink(index, first, last);
	if (next)
		rb_propagate(&next->rb, augment_gap);
}

void range_rb_set_bounds(struct range_index *index, struct range_node *node, unsigned long start,
			 unsigned long end)
{
	bool end_moved = end != node->end;

	node->start = start;
	node->end = end;
	rb_propagate(&node->rb, augment_gap);
	if (end_moved && node->next)
		rb_propagate(&node->next->rb, augment_gap);
}

/* ---- gaps ------------------------------------------------------------------------------------------ */

/* The first in order of the subtree with a gap >= size; there is one. */
static struct range_node *first_gap_below(struct rb_node *rb, unsigned long size)
{
	for (;;) {
		if (subtree_gap(rb->left) >= size)
			rb = rb->left;
		else if (range_gap(range_of(rb)) >= size)
			return range_of(rb);
		else
			rb = rb->right;
	}
}

static struct range_node *last_gap_below(struct rb_node *rb, unsigned long size)
{
	for (;;) {
		if (subtree_gap(rb->right) >= size)
			rb = rb->right;
		else if (range_gap(range_of(rb)) >= size)
			return range_of(rb);
		else
			rb = rb->left;
	}
}

/* The nearest range behind node with a gap >= size before it. */
static struct range_node *next_gap(struct range_node *node, unsigned long size)
{
	struct rb_node *rb = &node->rb, *from;

	if (subtree_gap(rb->right) >= size)
		return first_gap_below(rb->right, size);
	for (from = rb, rb = rb->parent; rb; from = rb, rb = rb->parent) {
		if (from == rb->right)
			continue;
		if (range_gap(range_of(rb)) >= size)
			return range_of(rb);
		if (subtree_gap(rb->right) >= size)
			return first_gap_below(rb->right, size);
	}
	return NULL;
}

/* The nearest range before node, NULL: from the end. */
static struct range_node *prev_gap(struct range_index *index, struct range_node *node, unsigned long size)
{
	struct rb_node *rb = node ? &node->rb : NULL, *from;

	if (!rb)
		return subtree_gap(index->rb_root.node) >= size ? last_gap_below(index->rb_root.node, size) : NULL;
	if (subtree_gap(rb->left) >= size)
		return last_gap_below(rb->left, size);
	for (from = rb, rb = rb->parent; rb; from = rb, rb = rb->parent) {
		if (from == rb->left)
			continue;
		if (range_gap(range_of(rb)) >= size)
			return range_of(rb);
		if (subtree_gap(rb->left) >= size)
			return last_gap_below(rb->left, size);
	}
	return NULL;
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

bool range_rb_gap_lowest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			 unsigned long *at)
{
	struct range_node *node = range_rb_find(index, lo);
	unsigned long end;

	while (!gap_fits(index, node, lo, hi, size, at, &end)) {
		if (!node || node->start >= hi)
			return false;
		node = next_gap(node, size);
	}
	return true;
}

bool range_rb_gap_highest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			  unsigned long *at)
{
	struct range_node *node = range_rb_find(index, hi - 1);
	unsigned long start, end;

	while (!gap_fits(index, node, lo, hi, size, &start, &end)) {
		node = prev_gap(index, node, size);
		if (!node || node->start <= lo)
			return false;
	}
	*at = end - size;
	return true;
}

bool range_rb_check(struct range_index *index, char *why, size_t size)
{
	struct range_node *node = index->first;
	struct rb_node *rb;

	if (!rb_check(&index->rb_root)) {
		snprintf(why, size, "the red-black tree breaks a rule");
		return false;
	}
	for (rb = rb_first(&index->rb_root); rb; rb = rb_next(rb), node = node->next) {
		struct range_node *in_tree = range_of(rb);
		unsigned long gap = max(range_gap(in_tree), max(subtree_gap(rb->left), subtree_gap(rb->right)));

		if (in_tree != node) {
			snprintf(why, size, "tree and list differ at %#lx", in_tree->start);
			return false;
		}
		if (in_tree->subtree_gap != gap) {
			snprintf(why, size, "largest gap below %#lx is %#lx, kept is %#lx", in_tree->start, gap,
				 in_tree->subtree_gap);
			return false;
		}
	}
	if (node) {
		snprintf(why, size, "range %#lx is not in the tree", node->start);
		return false;
	}
	return true;
}
