/* SPDX-License-Identifier: MIT */
#include "base/xarray.h"

#include <errno.h>
#include <string.h>

#define SLOT_BITS 6
#define SLOTS	  64u

void xa_init(struct xarray *xa, struct kmem_cache *node_cache)
{
	xa->root = NULL;
	xa->cache = node_cache;
}

static unsigned int slot_of(const struct xa_node *node, uint64_t index)
{
	return (index >> node->shift) % SLOTS;
}

/* Does the tree under node reach index? */
static bool reaches(const struct xa_node *node, uint64_t index)
{
	return node->shift + SLOT_BITS >= 64 || !(index >> (node->shift + SLOT_BITS));
}

/* The lowest-level node for index, or NULL. */
static struct xa_node *leaf_of(const struct xarray *xa, uint64_t index)
{
	struct xa_node *node = xa->root;

	if (!node || !reaches(node, index))
		return NULL;
	while (node && node->shift)
		node = node->slots[slot_of(node, index)];
	return node;
}

void *xa_load(const struct xarray *xa, uint64_t index)
{
	struct xa_node *leaf = leaf_of(xa, index);

	return leaf ? leaf->slots[index % SLOTS] : NULL;
}

static struct xa_node *node_new(struct xarray *xa, unsigned int shift)
{
	struct xa_node *node = kmem_cache_zalloc(xa->cache);

	if (node)
		node->shift = shift;
	return node;
}

static void attach(struct xa_node *parent, unsigned int offset, struct xa_node *child)
{
	child->parent = parent;
	child->offset = offset;
	parent->slots[offset] = child;
	parent->count++;
	for (int m = 0; m < XA_MARKS; m++)
		if (child->marks[m])
			parent->marks[m] |= BIT(offset);
}

/* Nodes that hold nothing are freed, from node upwards. */
static void prune(struct xarray *xa, struct xa_node *node)
{
	while (node && !node->count) {
		struct xa_node *parent = node->parent;

		if (parent) {
			parent->slots[node->offset] = NULL;
			parent->count--;
		} else {
			xa->root = NULL;
		}
		kmem_cache_free(xa->cache, node);
		node = parent;
	}
}

/* The tree reaches index: it grows at the root. */
static int grow(struct xarray *xa, uint64_t index)
{
	if (!xa->root) {
		xa->root = node_new(xa, 0);
		if (!xa->root)
			return -ENOMEM;
	}
	while (!reaches(xa->root, index)) {
		struct xa_node *root;

		if (!xa->root->count) {		/* nothing to keep below */
			xa->root->shift += SLOT_BITS;
			continue;
		}
		root = node_new(xa, xa->root->shift + SLOT_BITS);
		if (!root)
			return -ENOMEM;
		attach(root, 0, xa->root);
		xa->root = root;
	}
	return 0;
}

/* The lowest-level node for index, made if need be; NULL: no memory, and every entry is as it was. */
static struct xa_node *leaf_make(struct xarray *xa, uint64_t index)
{
	struct xa_node *node;

	if (grow(xa, index)) {
		prune(xa, xa->root);
		return NULL;
	}
	node = xa->root;
	while (node->shift) {
		unsigned int offset = slot_of(node, index);
		struct xa_node *child = node->slots[offset];

		if (!child) {
			child = node_new(xa, node->shift - SLOT_BITS);
			if (!child) {
				prune(xa, node);
				return NULL;
			}
			attach(node, offset, child);
		}
		node = child;
	}
	return node;
}

int xa_reserve(struct xarray *xa, uint64_t index)
{
	return leaf_make(xa, index) ? 0 : -ENOMEM;
}

void xa_unreserve(struct xarray *xa, uint64_t index)
{
	prune(xa, leaf_of(xa, index));
}

int xa_store(struct xarray *xa, uint64_t index, void *entry)
{
	struct xa_node *leaf = leaf_make(xa, index);

	if (!leaf)
		return -ENOMEM;
	if (!leaf->slots[index % SLOTS])
		leaf->count++;
	leaf->slots[index % SLOTS] = entry;
	return 0;
}

static void clear_mark_up(struct xa_node *node, unsigned int offset, enum xa_mark mark)
{
	while (node) {
		node->marks[mark] &= ~BIT(offset);
		if (node->marks[mark])
			return;
		offset = node->offset;
		node = node->parent;
	}
}

void *xa_erase(struct xarray *xa, uint64_t index)
{
	struct xa_node *leaf = leaf_of(xa, index);
	void *old = leaf ? leaf->slots[index % SLOTS] : NULL;

	if (!old)
		return NULL;
	for (int m = 0; m < XA_MARKS; m++)
		if (leaf->marks[m] & BIT(index % SLOTS))
			clear_mark_up(leaf, index % SLOTS, m);
	leaf->slots[index % SLOTS] = NULL;
	leaf->count--;
	prune(xa, leaf);
	return old;
}

/* The first slot from `from` on that leads to something wanted; SLOTS: none. */
static unsigned int next_slot(const struct xa_node *node, unsigned int from, enum xa_mark mark)
{
	uint64_t marked;

	if (mark != XA_ANY) {
		marked = from < SLOTS ? node->marks[mark] >> from << from : 0;
		return marked ? (unsigned int)__builtin_ctzll(marked) : SLOTS;
	}
	while (from < SLOTS && !node->slots[from])
		from++;
	return from;
}

/*
 * Goes down from the root to the first wanted slot at or after *index. Where a node has none, the search
 * starts again at the first index after that node.
 */
void *xa_find(const struct xarray *xa, uint64_t *index, uint64_t last, enum xa_mark mark)
{
	const struct xa_node *node = xa->root;
	uint64_t at = *index;

	while (node && at <= last && (node->parent || reaches(node, at))) {
		unsigned int from = slot_of(node, at), slot = next_slot(node, from, mark);
		unsigned int width = node->shift + SLOT_BITS;

		if (slot == SLOTS) {
			at = width >= 64 ? 0 : ((at >> width) + 1) << width;
			if (!at)		/* past the last index there is */
				return NULL;
			node = xa->root;
			continue;
		}
		if (slot != from)
			at = (width >= 64 ? 0 : at >> width << width) | (uint64_t)slot << node->shift;
		if (at > last)
			return NULL;
		if (!node->shift) {
			*index = at;
			return node->slots[slot];
		}
		node = node->slots[slot];
	}
	return NULL;
}

bool xa_get_mark(const struct xarray *xa, uint64_t index, enum xa_mark mark)
{
	struct xa_node *leaf = leaf_of(xa, index);

	return leaf && leaf->marks[mark] & BIT(index % SLOTS);
}

void xa_set_mark(struct xarray *xa, uint64_t index, enum xa_mark mark)
{
	struct xa_node *node = leaf_of(xa, index);
	unsigned int offset = index % SLOTS;

	if (!node || !node->slots[offset])
		return;
	for (; node && !(node->marks[mark] & BIT(offset)); node = node->parent) {
		node->marks[mark] |= BIT(offset);
		offset = node->offset;
	}
}

void xa_clear_mark(struct xarray *xa, uint64_t index, enum xa_mark mark)
{
	struct xa_node *leaf = leaf_of(xa, index);

	if (leaf && leaf->marks[mark] & BIT(index % SLOTS))
		clear_mark_up(leaf, index % SLOTS, mark);
}

static void free_nodes(struct xarray *xa, struct xa_node *node)
{
	for (unsigned int i = 0; node->shift && i < SLOTS; i++)
		if (node->slots[i])
			free_nodes(xa, node->slots[i]);
	kmem_cache_free(xa->cache, node);
}

void xa_destroy(struct xarray *xa)
{
	if (xa->root)
		free_nodes(xa, xa->root);
	xa->root = NULL;
}
