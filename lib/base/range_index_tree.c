/* SPDX-License-Identifier: MIT */
/*
 * The modern index: a B+tree of wide nodes.
 *
 *	inner   end: 5000 9000        gap: 300 700       slot: -+ -+
 *	                                                        |  |
 *	leaf    end: 2000 4000 5000   gap: 100 300 0     slot: ranges
 *
 * Slot i of a node covers what lies above end[i - 1] up to end[i]; gap[i] is the largest gap in it. All
 * that a descent reads of a node lies in its arrays: ranges themselves are touched only at the end.
 * Splits take nodes that were set aside (range_tree_reserve); a node left with few slots joins its
 * right neighbour.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/range_index_impl.h"

#define FAN 20

struct range_leaf {		/* any node; the height from the tree's top tells which kind */
	struct range_leaf *parent;
	unsigned int count, is_leaf;
	unsigned long end[FAN], gap[FAN];
	void *slot[FAN];
};
const size_t range_tree_node_bytes = sizeof(struct range_leaf);

static struct range_leaf *root_of(struct range_index *index)
{
	return index->root;
}

/* ---- memory -------------------------------------------------------------------------------------- */

int range_tree_reserve(struct range_index *index, unsigned int n)
{
	unsigned int need = n + (n / 8 + 1) * (index->height + 2);

	while (index->nr_spare < need) {
		struct range_leaf *node = kmem_cache_alloc(index->cache);

		if (!node)
			return -ENOMEM;
		node->parent = index->spare;
		index->spare = node;
		index->nr_spare++;
	}
	return 0;
}

static struct range_leaf *node_take(struct range_index *index, bool is_leaf)
{
	struct range_leaf *node = index->spare;

	BUG_ON(!node);		/* an insertion without reservation */
	index->spare = node->parent;
	index->nr_spare--;
	node->parent = NULL;
	node->count = 0;
	node->is_leaf = is_leaf;
	return node;
}

static void node_give_back(struct range_index *index, struct range_leaf *node)
{
	if (index->nr_spare >= 16) {
		kmem_cache_free(index->cache, node);
		return;
	}
	node->parent = index->spare;
	index->spare = node;
	index->nr_spare++;
}

static void free_tree(struct range_index *index, struct range_leaf *node)
{
	for (unsigned int i = 0; !node->is_leaf && i < node->count; i++)
		free_tree(index, node->slot[i]);
	kmem_cache_free(index->cache, node);
}

void range_tree_destroy(struct range_index *index)
{
	if (index->root)
		free_tree(index, index->root);
	while (index->spare) {
		struct range_leaf *node = index->spare;

		index->spare = node->parent;
		kmem_cache_free(index->cache, node);
	}
}

/* ---- looking --------------------------------------------------------------------------------------- */

/* The first slot whose end is above addr. */
static unsigned int slot_above(const struct range_leaf *node, unsigned long addr)
{
	unsigned int i = 0;

	while (i + 4 <= node->count && node->end[i + 3] <= addr)
		i += 4;
	while (i < node->count && node->end[i] <= addr)
		i++;
	return i;
}

static unsigned int slot_with(const struct range_leaf *node, const void *what)
{
	unsigned int i = 0;

	while (node->slot[i] != what)
		i++;
	return i;
}

struct range_node *range_tree_find(struct range_index *index, unsigned long addr)
{
	struct range_leaf *node = root_of(index);
	unsigned int i;

	if (!node || node->end[node->count - 1] <= addr)
		return NULL;
	for (;;) {
		i = slot_above(node, addr);
		if (node->is_leaf)
			return node->slot[i];
		node = node->slot[i];
	}
}

static struct range_node *first_gap_in(struct range_leaf *node, unsigned int i, unsigned long size)
{
	for (;;) {
		while (node->gap[i] < size)
			i++;
		if (node->is_leaf)
			return node->slot[i];
		node = node->slot[i];
		i = 0;
	}
}

static struct range_node *last_gap_in(struct range_leaf *node, unsigned int i, unsigned long size)
{
	for (;;) {
		while (node->gap[i] < size)
			i--;
		if (node->is_leaf)
			return node->slot[i];
		node = node->slot[i];
		i = node->count - 1;
	}
}

struct range_node *range_tree_next_gap(struct range_index *index, struct range_node *range, unsigned long size)
{
	struct range_leaf *node = range ? range->leaf : root_of(index);
	const void *from = range;

	while (node) {
		unsigned int i = from ? slot_with(node, from) + 1 : 0;

		for (; i < node->count; i++)
			if (node->gap[i] >= size)
				return first_gap_in(node, i, size);
		from = node;
		node = node->parent;
	}
	return NULL;
}

struct range_node *range_tree_prev_gap(struct range_index *index, struct range_node *range, unsigned long size)
{
	struct range_leaf *node = range ? range->leaf : root_of(index);
	const void *from = range;

	while (node) {
		unsigned int i = from ? slot_with(node, from) : node->count;

		while (i--)
			if (node->gap[i] >= size)
				return last_gap_in(node, i, size);
		from = node;
		node = node->parent;
	}
	return NULL;
}

/* ---- changing ---------------------------------------------------------------------------------------- */

static unsigned long largest_gap(const struct range_leaf *node)
{
	unsigned long gap = 0;

	for (unsigned int i = 0; i < node->count; i++)
		gap = max(gap, node->gap[i]);
	return gap;
}

/* What node's parent says of it, and so on upwards, until nothing changes. */
static void update_above(struct range_leaf *node)
{
	for (; node->parent; node = node->parent) {
		struct range_leaf *parent = node->parent;
		unsigned int i = slot_with(parent, node);
		unsigned long end = node->end[node->count - 1], gap = largest_gap(node);

		if (parent->end[i] == end && parent->gap[i] == gap)
			return;
		parent->end[i] = end;
		parent->gap[i] = gap;
	}
}

void range_tree_update(struct range_index *index, struct range_node *range)
{
	struct range_leaf *leaf = range->leaf;
	unsigned int i = slot_with(leaf, range);

	leaf->end[i] = range->end;
	leaf->gap[i] = range_gap(range);
	update_above(leaf);
}

/* The n slots from `from` of one node go to `to` of another (or the same); memory only. */
static void copy_slots(struct range_leaf *dst, unsigned int to, struct range_leaf *src, unsigned int from,
		       unsigned int n)
{
	memmove(&dst->end[to], &src->end[from], n * sizeof(src->end[0]));
	memmove(&dst->gap[to], &src->gap[from], n * sizeof(src->gap[0]));
	memmove(&dst->slot[to], &src->slot[from], n * sizeof(src->slot[0]));
}

static void own_slots(struct range_leaf *node, unsigned int from, unsigned int n)
{
	for (unsigned int i = from; i < from + n; i++) {
		if (node->is_leaf)
			((struct range_node *)node->slot[i])->leaf = node;
		else
			((struct range_leaf *)node->slot[i])->parent = node;
	}
}

static void insert_slot(struct range_index *index, struct range_leaf *node, unsigned int at, void *what,
			unsigned long end, unsigned long gap);

/*
 * A full node gives its upper part to a new one on its right. When a slot is about to be added at the
 * very end (a growing sequence), almost everything stays, so that nodes fill up.
 */
static struct range_leaf *split(struct range_index *index, struct range_leaf *node, unsigned int at)
{
	struct range_leaf *right = node_take(index, node->is_leaf), *parent;
	unsigned int keep = at == node->count ? FAN - 2 : FAN / 2;

	right->count = node->count - keep;
	copy_slots(right, 0, node, keep, right->count);
	own_slots(right, 0, right->count);
	node->count = keep;
	if (!node->parent) {
		parent = node_take(index, false);
		index->root = parent;
		index->height++;
		insert_slot(index, parent, 0, node, node->end[keep - 1], largest_gap(node));
	}
	parent = node->parent;
	parent->end[slot_with(parent, node)] = node->end[keep - 1];
	parent->gap[slot_with(parent, node)] = largest_gap(node);
	insert_slot(index, parent, slot_with(parent, node) + 1, right, right->end[right->count - 1],
		    largest_gap(right));
	return right;
}

static void insert_slot(struct range_index *index, struct range_leaf *node, unsigned int at, void *what,
			unsigned long end, unsigned long gap)
{
	if (node->count == FAN) {
		struct range_leaf *right = split(index, node, at);

		if (at > node->count || (at == node->count && right->count < node->count)) {
			at -= node->count;
			node = right;
		}
	}
	copy_slots(node, at + 1, node, at, node->count - at);
	node->count++;
	node->end[at] = end;
	node->gap[at] = gap;
	node->slot[at] = what;
	own_slots(node, at, 1);
	update_above(node);
}

void range_tree_insert(struct range_index *index, struct range_node *range)
{
	struct range_node *next = range->next, *prev = range->prev;

	if (!index->root) {
		index->root = node_take(index, true);
		index->height = 1;
		insert_slot(index, index->root, 0, range, range->end, range_gap(range));
		return;
	}
	if (next)
		insert_slot(index, next->leaf, slot_with(next->leaf, next), range, range->end, range_gap(range));
	else
		insert_slot(index, prev->leaf, prev->leaf->count, range, range->end, range_gap(range));
	if (next)
		range_tree_update(index, next);
}

/* Slots [at, at + n) of node go; nodes that end up empty, or with few slots, are dissolved. */
static void erase_slots(struct range_index *index, struct range_leaf *node, unsigned int at, unsigned int n)
{
	struct range_leaf *parent = node->parent, *right;
	unsigned int i;

	copy_slots(node, at, node, at + n, node->count - at - n);
	node->count -= n;
	if (!node->count) {
		if (parent) {
			erase_slots(index, parent, slot_with(parent, node), 1);
		} else {
			index->root = NULL;
			index->height = 0;
		}
		node_give_back(index, node);
		return;
	}
	update_above(node);
	if (!parent) {
		if (!node->is_leaf && node->count == 1) {	/* a root with one child isn't needed */
			index->root = node->slot[0];
			root_of(index)->parent = NULL;
			index->height--;
			node_give_back(index, node);
		}
		return;
	}
	i = slot_with(parent, node);
	if (node->count > FAN / 4 || i + 1 == parent->count)
		return;
	right = parent->slot[i + 1];
	if (node->count + right->count > FAN * 3 / 4)
		return;
	copy_slots(right, node->count, right, 0, right->count);
	copy_slots(right, 0, node, 0, node->count);
	own_slots(right, 0, node->count);
	right->count += node->count;
	update_above(right);
	erase_slots(index, parent, i, 1);
	node_give_back(index, node);
}

void range_tree_erase_run(struct range_index *index, struct range_node *first, struct range_node *last)
{
	struct range_node *end = last->next;

	while (first != end) {		/* a leaf at a time */
		struct range_leaf *leaf = first->leaf;
		unsigned int at = slot_with(leaf, first), n = 0;

		while (first != end && at + n < leaf->count && leaf->slot[at + n] == first) {
			first = first->next;
			n++;
		}
		erase_slots(index, leaf, at, n);
	}
}

/* ---- checking --------------------------------------------------------------------------------------- */

static bool check_node(struct range_leaf *node, unsigned int height, struct range_node **expected, char *why,
		       size_t size)
{
	if (!node->count || node->count > FAN || node->is_leaf != (height == 1)) {
		snprintf(why, size, "a node of %u slots at height %u", node->count, height);
		return false;
	}
	for (unsigned int i = 0; i < node->count; i++) {
		unsigned long end, gap;

		if (node->is_leaf) {
			struct range_node *range = node->slot[i];

			if (range != *expected || range->leaf != node) {
				snprintf(why, size, "tree and list differ at %#lx", range->start);
				return false;
			}
			*expected = range->next;
			end = range->end;
			gap = range_gap(range);
		} else {
			struct range_leaf *child = node->slot[i];

			if (child->parent != node || !check_node(child, height - 1, expected, why, size))
				return false;
			end = child->end[child->count - 1];
			gap = largest_gap(child);
		}
		if (node->end[i] != end || node->gap[i] != gap) {
			snprintf(why, size, "slot %u at height %u: end %#lx gap %#lx, kept %#lx %#lx", i, height,
				 end, gap, node->end[i], node->gap[i]);
			return false;
		}
	}
	return true;
}

bool range_tree_check(struct range_index *index, char *why, size_t size)
{
	struct range_node *expected = index->first;

	snprintf(why, size, "a parent is wrong, or a range isn't in the tree");
	if (index->root && (root_of(index)->parent || !check_node(index->root, index->height, &expected, why, size)))
		return false;
	return !expected;
}
