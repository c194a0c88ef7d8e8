/* SPDX-License-Identifier: MIT */
/*
 * Red-black trees, embedded, optionally augmented. The user searches and links a node as a leaf, then
 * calls rb_insert; an augmented tree keeps in each node something computed from the node and its two
 * children (the largest gap, the last end), which `augment` recomputes.
 *
 * A rotation recomputes the two nodes it turns and relies on the one on top coming out as before: when
 * the tree is balanced, every node's value must be right for what the nodes hold.
 */
#ifndef BASE_RBTREE_H
#define BASE_RBTREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

struct rb_node {
	struct rb_node *parent, *left, *right;
	bool red;
};
struct rb_root {
	struct rb_node *node;
};
#define RB_ROOT ((struct rb_root){ NULL })
#define RB_EMPTY_ROOT(root) (!(root)->node)
#define rb_entry(ptr, type, member) container_of(ptr, type, member)

/* Recomputes node's value; did it change? */
typedef bool (*rb_augment)(struct rb_node *node);

/* node becomes *link, a NULL child of parent (NULL: the root), and the tree is balanced. */
void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent, struct rb_node **link,
	       rb_augment augment);
void rb_erase(struct rb_root *root, struct rb_node *node, rb_augment augment);
/* Its two halves, for users whose insertion changes what another node holds, too. */
void rb_link(struct rb_node *node, struct rb_node *parent, struct rb_node **link);
void rb_balance(struct rb_root *root, struct rb_node *node, rb_augment augment);
/* What node holds changed: its value and those above are recomputed, as far as they change. */
void rb_propagate(struct rb_node *node, rb_augment augment);
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);
/* Colours, black heights and parents are right. */
bool rb_check(const struct rb_root *root);

#endif
