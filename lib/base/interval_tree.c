/* SPDX-License-Identifier: MIT */
#include "base/interval_tree.h"

static struct interval_tree_node *node_of(struct rb_node *rb)
{
	return rb ? rb_entry(rb, struct interval_tree_node, rb) : NULL;
}

static bool augment_last(struct rb_node *rb)
{
	struct interval_tree_node *node = node_of(rb), *left = node_of(rb->left), *right = node_of(rb->right);
	uint64_t last = node->last, old = node->subtree_last;

	if (left && left->subtree_last > last)
		last = left->subtree_last;
	if (right && right->subtree_last > last)
		last = right->subtree_last;
	node->subtree_last = last;
	return last != old;
}

void interval_tree_insert(struct interval_tree_node *node, struct rb_root *root)
{
	struct rb_node **link = &root->node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = node->start < node_of(parent)->start ? &parent->left : &parent->right;
	}
	node->subtree_last = node->last;
	rb_insert(root, &node->rb, parent, link, augment_last);
}

void interval_tree_remove(struct interval_tree_node *node, struct rb_root *root)
{
	rb_erase(root, &node->rb, augment_last);
}

/* The leftmost in the subtree that overlaps; the subtree reaches start: subtree_last >= start. */
static struct interval_tree_node *leftmost(struct interval_tree_node *node, uint64_t start, uint64_t last)
{
	for (;;) {
		struct interval_tree_node *left = node_of(node->rb.left), *right = node_of(node->rb.right);

		if (left && left->subtree_last >= start) {
			node = left;	/* one there reaches start; if it begins too late, so do all to its right */
			continue;
		}
		if (node->start > last)
			return NULL;
		if (node->last >= start)
			return node;
		if (!right || right->subtree_last < start)
			return NULL;
		node = right;
	}
}

struct interval_tree_node *interval_tree_iter_first(struct rb_root *root, uint64_t start, uint64_t last)
{
	struct interval_tree_node *node = node_of(root->node);

	return node && node->subtree_last >= start ? leftmost(node, start, last) : NULL;
}

struct interval_tree_node *interval_tree_iter_next(struct interval_tree_node *node, uint64_t start,
						   uint64_t last)
{
	struct rb_node *rb = &node->rb, *up;

	for (;;) {
		struct interval_tree_node *right = node_of(rb->right);

		if (right && right->subtree_last >= start)
			return leftmost(right, start, last);
		for (up = rb->parent; up && rb == up->right; up = up->parent)
			rb = up;
		if (!up || node_of(up)->start > last)
			return NULL;
		if (node_of(up)->last >= start)
			return node_of(up);
		rb = up;
	}
}
