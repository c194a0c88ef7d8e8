/* SPDX-License-Identifier: MIT */
/*
 * Interval trees: closed intervals [start, last] that may overlap, in a red-black tree ordered by start
 * whose nodes know the largest last below them. The tree is a struct rb_root.
 */
#ifndef BASE_INTERVAL_TREE_H
#define BASE_INTERVAL_TREE_H

#include <stdint.h>

#include "base/rbtree.h"

struct interval_tree_node {
	struct rb_node rb;
	uint64_t start, last;		/* don't change while it is in a tree */
	uint64_t subtree_last;
};

void interval_tree_insert(struct interval_tree_node *node, struct rb_root *root);
void interval_tree_remove(struct interval_tree_node *node, struct rb_root *root);
/* The first, by start, that overlaps [start, last]; then the next. NULL: no more. */
struct interval_tree_node *interval_tree_iter_first(struct rb_root *root, uint64_t start, uint64_t last);
struct interval_tree_node *interval_tree_iter_next(struct interval_tree_node *node, uint64_t start,
						   uint64_t last);

#define interval_tree_for_each(node, root, start, last)                     \
	for (node = interval_tree_iter_first(root, start, last); node; \
	     node = interval_tree_iter_next(node, start, last))

#endif
