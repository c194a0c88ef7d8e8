/* SPDX-License-Identifier: MIT */
#include "base/rbtree.h"

static bool is_red(const struct rb_node *node)
{
	return node && node->red;
}

static void set_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old, struct rb_node *new)
{
	if (!parent)
		root->node = new;
	else if (parent->left == old)
		parent->left = new;
	else
		parent->right = new;
}

/*
 *	  node                 up
 *	 /    \               /  \
 *	a      up    -->   node   c
 *	      /  \        /    \
 *	     b    c      a      b		(left; right is the mirror)
 */
static void rotate(struct rb_root *root, struct rb_node *node, bool left, rb_augment augment)
{
	struct rb_node *up = left ? node->right : node->left;
	struct rb_node *middle = left ? up->left : up->right;

	if (left) {
		node->right = middle;
		up->left = node;
	} else {
		node->left = middle;
		up->right = node;
	}
	if (middle)
		middle->parent = node;
	up->parent = node->parent;
	set_child(root, node->parent, node, up);
	node->parent = up;
	if (augment) {
		augment(node);
		augment(up);
	}
}

void rb_propagate(struct rb_node *node, rb_augment augment)
{
	while (node && augment(node))
		node = node->parent;
}

void rb_link(struct rb_node *node, struct rb_node *parent, struct rb_node **link)
{
	node->parent = parent;
	node->left = node->right = NULL;
	node->red = true;
	*link = node;
}

void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent, struct rb_node **link,
	       rb_augment augment)
{
	rb_link(node, parent, link);
	if (augment) {
		augment(node);
		rb_propagate(parent, augment);
	}
	rb_balance(root, node, augment);
}

void rb_balance(struct rb_root *root, struct rb_node *node, rb_augment augment)
{
	while (is_red(node->parent)) {
		struct rb_node *grand = node->parent->parent, *uncle;
		bool left = node->parent == grand->left;	/* the side that the parent is on */

		uncle = left ? grand->right : grand->left;
		if (is_red(uncle)) {
			node->parent->red = uncle->red = false;
			grand->red = true;
			node = grand;
			continue;
		}
		if (node == (left ? node->parent->right : node->parent->left)) {
			node = node->parent;
			rotate(root, node, left, augment);
		}
		node->parent->red = false;
		grand->red = true;
		rotate(root, grand, !left, augment);
	}
	root->node->red = false;
}

/* The subtree at node (may be NULL) under parent is one black short. */
static void rebalance_after_erase(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
				  rb_augment augment)
{
	while (node != root->node && !is_red(node)) {
		bool left = node == parent->left;
		struct rb_node *sibling = left ? parent->right : parent->left, *far;

		if (sibling->red) {
			sibling->red = false;
			parent->red = true;
			rotate(root, parent, left, augment);
			sibling = left ? parent->right : parent->left;
		}
		if (!is_red(sibling->left) && !is_red(sibling->right)) {
			sibling->red = true;
			node = parent;
			parent = node->parent;
			continue;
		}
		far = left ? sibling->right : sibling->left;
		if (!is_red(far)) {
			(left ? sibling->left : sibling->right)->red = false;
			sibling->red = true;
			rotate(root, sibling, !left, augment);
			sibling = left ? parent->right : parent->left;
			far = left ? sibling->right : sibling->left;
		}
		sibling->red = parent->red;
		parent->red = false;
		far->red = false;
		rotate(root, parent, left, augment);
		node = root->node;
		parent = NULL;
	}
	if (node)
		node->red = false;
}

void rb_erase(struct rb_root *root, struct rb_node *node, rb_augment augment)
{
	struct rb_node *child, *parent, *next = NULL;
	bool black;

	if (node->left && node->right) {
		next = node->right;	/* takes node's place */
		while (next->left)
			next = next->left;
		child = next->right;
		black = !next->red;
		if (next->parent == node) {
			parent = next;
		} else {
			parent = next->parent;
			parent->left = child;
			if (child)
				child->parent = parent;
			next->right = node->right;
			next->right->parent = next;
		}
		next->left = node->left;
		next->left->parent = next;
		next->red = node->red;
		next->parent = node->parent;
		set_child(root, node->parent, node, next);
	} else {
		child = node->left ? node->left : node->right;
		parent = node->parent;
		black = !node->red;
		set_child(root, parent, node, child);
		if (child)
			child->parent = parent;
	}
	if (augment)
		rb_propagate(parent, augment);
	if (augment && next) {		/* its own value was that of another place: no reason to stop at it */
		augment(next);
		rb_propagate(next->parent, augment);
	}
	if (black)
		rebalance_after_erase(root, child, parent, augment);
}

struct rb_node *rb_first(const struct rb_root *root)
{
	struct rb_node *node = root->node;

	while (node && node->left)
		node = node->left;
	return node;
}

struct rb_node *rb_last(const struct rb_root *root)
{
	struct rb_node *node = root->node;

	while (node && node->right)
		node = node->right;
	return node;
}

struct rb_node *rb_next(const struct rb_node *node)
{
	struct rb_node *up;

	if (node->right)
		return rb_first(&(struct rb_root){ node->right });
	for (up = node->parent; up && node == up->right; up = up->parent)
		node = up;
	return up;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	struct rb_node *up;

	if (node->left)
		return rb_last(&(struct rb_root){ node->left });
	for (up = node->parent; up && node == up->left; up = up->parent)
		node = up;
	return up;
}

/* The black height of a subtree, or -1 where a rule is broken. */
static int black_height(const struct rb_node *node)
{
	int left, right;

	if (!node)
		return 1;
	if ((node->left && node->left->parent != node) || (node->right && node->right->parent != node))
		return -1;
	if (node->red && (is_red(node->left) || is_red(node->right)))
		return -1;
	left = black_height(node->left);
	right = black_height(node->right);
	return left < 0 || left != right ? -1 : left + !node->red;
}

bool rb_check(const struct rb_root *root)
{
	return !is_red(root->node) && (!root->node || !root->node->parent) && black_height(root->node) > 0;
}
