/* SPDX-License-Identifier: MIT */
/*
 * The modern index: a B+tree of wide nodes.
 *
 *	inner   end: 5000 9000        gap: 300 700       slot: -+ -+
 *	                                                        |  |
 *	leaf    end: 2000 4000 5000   gap: 100 300 0     slot: ranges
 *
 * Slot i of a node covers what lies above end[i - 1] up to end[i]; gap[i] is the largest gap in it. Both
 * are exact at all times. What makes it fast:
 *
 *	- A slot is chosen by counting ends, without a branch that could be mispredicted; unused slots
 *	  hold the largest end and no gap, so that a node's count isn't needed for it.
 *	- A descent carries `before`, the end of the range before the subtree it is in. In a leaf,
 *	  before + gap[i] is where range i starts: no search touches a range.
 *	- A change goes up only while what the parent says changes: mostly not at all.
 *
 * Splits take nodes that were set aside (range_tree_reserve); a node left with few slots joins a
 * neighbour.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/range_index_impl.h"

#ifndef FAN		/* a test makes it small, so that the tree is high */
#define FAN 16		/* measured against 8, 24 and 32 */
#endif
_Static_assert(FAN % 2 == 0 && FAN >= 8 && FAN < 32, "slots are two halves, and bits of a word");
#define FEW (FAN / 4)	/* a node left with no more than these looks for a neighbour to join */
#ifndef SPARE_KEPT
#define SPARE_KEPT 16	/* nodes that an index holds back when nothing is reserved */
#endif

/* The loops over a node's slots have no exit but their end, and are worth writing out. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

struct range_leaf {		/* any node, its height above the leaves tells which kind */
	unsigned long end[FAN];	/* ULONG_MAX from count on */
	unsigned long gap[FAN];	/* 0 from count on */
	void *slot[FAN];	/* struct range_node in a leaf, struct range_leaf above */
	struct range_leaf *parent;
	uint8_t count, place;	/* place: its slot in parent */
	bool is_leaf;
};
const size_t range_tree_node_bytes = sizeof(struct range_leaf);

static struct range_leaf *root_of(struct range_index *index)
{
	return index->root;
}

/* ---- memory -------------------------------------------------------------------------------------- */

/*
 * How many nodes n insertions can take. On each level an insertion from below splits one node at most;
 * and beyond the nodes that are there now (any may be full), a node has to fill up first: after a split
 * in the middle it has FAN / 2 slots to fill, and one that was split at the edge of the tree leaves an
 * edge of FAN - 2. Together never more than one split for FAN / 4 insertions. Above today's root a level
 * starts with one node.
 */
static unsigned long nodes_needed(const struct range_index *index, unsigned long n)
{
	unsigned long need = 0, splits = n;

	for (unsigned int level = 0; level < index->height; level++) {
		splits = min(splits, index->nr_nodes + splits / (FAN / 4) + 2);
		need += splits;
	}
	for (; splits; splits /= FAN / 4)
		need += 1 + splits / (FAN / 4);
	return need;
}

int range_tree_reserve(struct range_index *index, unsigned int n)
{
	unsigned long need = n == 1 ? index->height + 1 : nodes_needed(index, n);

	if (need > index->spare_kept)
		index->spare_kept = need;
	while (unlikely(index->nr_spare < need)) {
		struct range_leaf *node = kmem_cache_alloc(index->cache);

		if (!node)
			return -ENOMEM;
		node->parent = index->spare;
		index->spare = node;
		index->nr_spare++;
	}
	return 0;
}

static struct range_leaf *spare_pop(struct range_index *index)
{
	struct range_leaf *node = index->spare;

	BUG_ON(!node);		/* an insertion without reservation */
	index->spare = node->parent;
	index->nr_spare--;
	return node;
}

void range_tree_unreserve(struct range_index *index)
{
	index->spare_kept = SPARE_KEPT;
	while (index->nr_spare > SPARE_KEPT)
		kmem_cache_free(index->cache, spare_pop(index));
}

static struct range_leaf *node_take(struct range_index *index, bool is_leaf)
{
	struct range_leaf *node = spare_pop(index);

	memset(node->end, 0xff, sizeof(node->end));
	memset(node->gap, 0, sizeof(node->gap));
	node->parent = NULL;
	node->count = node->place = 0;
	node->is_leaf = is_leaf;
	index->nr_nodes++;
	return node;
}

/* Kept while a reservation may count on it. */
static void node_give_back(struct range_index *index, struct range_leaf *node)
{
	index->nr_nodes--;
	if (index->nr_spare >= index->spare_kept) {
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

void range_tree_init(struct range_index *index)
{
	index->spare_kept = SPARE_KEPT;
}

void range_tree_destroy(struct range_index *index)
{
	if (index->root)
		free_tree(index, index->root);
	while (index->spare)
		kmem_cache_free(index->cache, spare_pop(index));
}

/* ---- looking --------------------------------------------------------------------------------------- */

/* The first slot whose end is above addr. There is one in the node, or the answer is FAN. */
static inline unsigned int slot_above(const struct range_leaf *node, unsigned long addr)
{
	unsigned int a = 0, b = 0;

	UNROLLED
	for (unsigned int i = 0; i < FAN; i += 2) {
		a += node->end[i] <= addr;
		b += node->end[i + 1] <= addr;
	}
	return a + b;
}

/*
 * Bit i: gap[i] >= size. Like the count above, it is worth looking at all: where the answer lies can't be
 * predicted.
 */
static inline unsigned int fits(const struct range_leaf *node, unsigned long size)
{
	unsigned int a = 0, b = 0;	/* gaps that are too small */

	UNROLLED
	for (unsigned int i = FAN / 2; i--;) {
		a = a + a + (node->gap[i] < size);
		b = b + b + (node->gap[i + FAN / 2] < size);
	}
	return ~(a | b << FAN / 2) & ((1u << FAN) - 1);
}
/* The last slot below `limit`, or the first from `from` on, with a gap >= size; -1: none. */
static inline int last_fit(const struct range_leaf *node, unsigned int limit, unsigned long size)
{
	unsigned int fit = fits(node, size) & ((1u << limit) - 1);

	return fit ? 31 - __builtin_clz(fit) : -1;
}
static inline int first_fit(const struct range_leaf *node, unsigned int from, unsigned long size)
{
	return __builtin_ffs((int)(fits(node, size) >> from << from)) - 1;
}

static unsigned long end_of(const struct range_leaf *node)
{
	return node->end[node->count - 1];
}

static unsigned long largest_gap(const struct range_leaf *node)
{
	unsigned long a = 0, b = 0;

	UNROLLED
	for (unsigned int i = 0; i < FAN; i += 2) {
		a = max(a, node->gap[i]);
		b = max(b, node->gap[i + 1]);
	}
	return max(a, b);
}

struct range_node *range_tree_find(struct range_index *index, unsigned long addr)
{
	struct range_leaf *node = root_of(index);

	if (!node || index->last->end <= addr)
		return NULL;
	for (unsigned int height = index->height; height > 1; height--)
		node = node->slot[slot_above(node, addr)];
	return node->slot[slot_above(node, addr)];
}

/* Somewhere in the tree: a slot, and the end of the range before all that the node covers. */
struct place {
	struct range_leaf *node;
	int slot;
	unsigned long before;
};

static inline void place_down(struct place *p)
{
	if (p->slot)
		p->before = p->node->end[p->slot - 1];
}

/* Does [from, to), as far as it lies within [lo, hi), hold size bytes? That part. */
static inline bool part_fits(unsigned long *from, unsigned long *to, unsigned long lo, unsigned long hi,
			     unsigned long size)
{
	*from = max(*from, lo);
	*to = min(*to, hi);
	return *from <= *to && *to - *from >= size;
}

/*
 * Both searches go down to the gap at the edge that they start from, as long as that may do. On the way, each node is asked for
 * the nearest slot beyond the path with a gap that is large enough: the deepest such is the nearest of
 * all. If the gap at the edge, of which a part may be outside, doesn't do, that one does; and if a part of
 * it is outside at the far edge, so is all that follows.
 */
bool range_tree_gap_highest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			    unsigned long *at)
{
	struct place p = { root_of(index), 0, 0 }, next = { NULL, -1, 0 };
	unsigned long from = index->last ? index->last->end : 0, to = hi;

	if (part_fits(&from, &to, lo, hi, size))	/* behind the last range */
		goto found;
	if (!p.node)
		return false;
	if (hi > index->last->end) {
		next = (struct place){ p.node, last_fit(p.node, p.node->count, size), 0 };
	} else {
		for (;; p.node = p.node->slot[p.slot]) {
			int fit;

			p.slot = (int)slot_above(p.node, hi - 1);
			fit = last_fit(p.node, (unsigned int)p.slot, size);
			if (fit >= 0)
				next = (struct place){ p.node, fit, p.before };
			place_down(&p);
			if (p.node->gap[p.slot] < size)	/* nor is there anything further down */
				break;
			if (!p.node->is_leaf)
				continue;
			from = p.before;
			to = from + p.node->gap[p.slot];
			if (part_fits(&from, &to, lo, hi, size))
				goto found;
			break;
		}
	}
	if (next.slot < 0)
		return false;
	for (place_down(&next); !next.node->is_leaf; place_down(&next)) {
		next.node = next.node->slot[next.slot];
		next.slot = last_fit(next.node, next.node->count, size);
	}
	from = next.before;
	to = from + next.node->gap[next.slot];
	if (!part_fits(&from, &to, lo, hi, size))
		return false;
found:
	*at = to - size;
	return true;
}

bool range_tree_gap_lowest(struct range_index *index, unsigned long lo, unsigned long hi, unsigned long size,
			   unsigned long *at)
{
	struct place p = { root_of(index), 0, 0 }, next = { NULL, -1, 0 };
	unsigned long from, to;

	if (!p.node || index->last->end <= lo)
		goto behind_last;
	for (;; p.node = p.node->slot[p.slot]) {
		int fit;

		p.slot = (int)slot_above(p.node, lo);
		fit = first_fit(p.node, (unsigned int)p.slot + 1, size);
		if (fit >= 0)
			next = (struct place){ p.node, fit, 0 };	/* fit > 0: before isn't used */
		place_down(&p);
		if (p.node->gap[p.slot] < size)		/* nor is there anything further down */
			break;
		if (!p.node->is_leaf)
			continue;
		from = p.before;
		to = from + p.node->gap[p.slot];
		if (part_fits(&from, &to, lo, hi, size))
			goto found;
		break;
	}
	if (next.slot < 0)
		goto behind_last;
	for (place_down(&next); !next.node->is_leaf; place_down(&next)) {
		next.node = next.node->slot[next.slot];
		next.slot = first_fit(next.node, 0, size);
	}
	from = next.before;
	to = from + next.node->gap[next.slot];
	if (!part_fits(&from, &to, lo, hi, size))
		return false;
	goto found;
behind_last:
	from = index->last ? index->last->end : 0;
	to = hi;
	if (!part_fits(&from, &to, lo, hi, size))
		return false;
found:
	*at = from;
	return true;
}

/* ---- what parents say ------------------------------------------------------------------------------ */

/* node's end or largest gap may have changed: its parent's copy, and so on until nothing changes. */
static void update_above(struct range_leaf *node)
{
	for (; node->parent; node = node->parent) {
		struct range_leaf *parent = node->parent;
		unsigned long end = end_of(node), gap = largest_gap(node);

		if (parent->end[node->place] == end && parent->gap[node->place] == gap)
			return;
		parent->end[node->place] = end;
		parent->gap[node->place] = gap;
	}
}

static inline unsigned long gap_above(const struct range_leaf *node)
{
	return node->parent ? node->parent->gap[node->place] : 0;
}

static void set_gap(struct range_leaf *node, unsigned int i, unsigned long gap)
{
	unsigned long old = node->gap[i], largest = gap_above(node);

	node->gap[i] = gap;
	if (gap > largest || (old == largest && gap < old))
		update_above(node);
}

/* ---- slots ----------------------------------------------------------------------------------------- */

/* The n slots from `from` of one node go to `to` of another, or the same; memory only. */
static void copy_slots(struct range_leaf *dst, unsigned int to, struct range_leaf *src, unsigned int from,
		       unsigned int n)
{
	memmove(&dst->end[to], &src->end[from], n * sizeof(src->end[0]));
	memmove(&dst->gap[to], &src->gap[from], n * sizeof(src->gap[0]));
	memmove(&dst->slot[to], &src->slot[from], n * sizeof(src->slot[0]));
}

/* The children in [from, to) learn where they are now. */
static void own_slots(struct range_leaf *node, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		if (node->is_leaf) {
			((struct range_node *)node->slot[i])->leaf = node;
		} else {
			((struct range_leaf *)node->slot[i])->parent = node;
			((struct range_leaf *)node->slot[i])->place = (uint8_t)i;
		}
	}
}

/* Keeps the first `count` slots. */
static void set_count(struct range_leaf *node, unsigned int count)
{
	for (unsigned int i = count; i < node->count; i++) {
		node->end[i] = ULONG_MAX;
		node->gap[i] = 0;
	}
	node->count = (uint8_t)count;
}

/* What goes into a slot. keep: how many slots a node that must be split keeps, see keep_for. */
struct entry {
	void *what;
	unsigned long end, gap;
	unsigned int keep;
};

/* There is room. What the node's parent says of it is the caller's. */
static void put_slot(struct range_leaf *node, unsigned int at, const struct entry *entry)
{
	copy_slots(node, at + 1, node, at, node->count - at);
	node->count++;
	node->end[at] = entry->end;
	node->gap[at] = entry->gap;
	node->slot[at] = entry->what;
	own_slots(node, at, node->is_leaf ? at + 1 : node->count);
}

static void grow_root(struct range_index *index)
{
	struct range_leaf *old = root_of(index), *root = node_take(index, false);
	struct entry entry = { .what = old, .end = end_of(old), .gap = largest_gap(old) };

	put_slot(root, 0, &entry);
	index->root = root;
	index->height++;
}

static void insert_slot(struct range_index *index, struct range_leaf *node, unsigned int at,
			const struct entry *entry);

/* node is full: its upper part goes to a new node on its right, then there is room. */
static void split_and_insert(struct range_index *index, struct range_leaf *node, unsigned int at,
			     const struct entry *entry)
{
	struct range_leaf *right = node_take(index, node->is_leaf);
	struct entry up = { .what = right, .keep = entry->keep };
	unsigned int keep = entry->keep;

	if (!node->parent)
		grow_root(index);
	copy_slots(right, 0, node, keep, FAN - keep);
	right->count = (uint8_t)(FAN - keep);
	own_slots(right, 0, right->count);
	set_count(node, keep);
	if (at > keep)
		put_slot(right, at - keep, entry);
	else
		put_slot(node, at, entry);
	up.end = end_of(right);
	up.gap = largest_gap(right);
	insert_slot(index, node->parent, node->place + 1u, &up);
	update_above(node);
}

static void insert_slot(struct range_index *index, struct range_leaf *node, unsigned int at,
			const struct entry *entry)
{
	if (unlikely(node->count == FAN)) {
		split_and_insert(index, node, at, entry);
		return;
	}
	put_slot(node, at, entry);
	if (!node->is_leaf)
		update_above(node);
}

/* Memory only: what the parent says, and whether the node can stay, is the caller's. */
static void remove_slots(struct range_leaf *node, unsigned int at, unsigned int n)
{
	copy_slots(node, at, node, at + n, node->count - at - n);
	set_count(node, node->count - n);
	if (!node->is_leaf)
		own_slots(node, at, node->count);
}

static void settle(struct range_index *index, struct range_leaf *node);

/* Slots [at, at + n) go, the parents follow. node may be gone after this. */
static void erase_slots(struct range_index *index, struct range_leaf *node, unsigned int at, unsigned int n)
{
	remove_slots(node, at, n);
	if (node->count)
		update_above(node);
	settle(index, node);
}

static void shrink_root(struct range_index *index)
{
	struct range_leaf *root = root_of(index);

	if (root->is_leaf || root->count > 1)
		return;
	index->root = root->slot[0];
	root_of(index)->parent = NULL;
	index->height--;
	node_give_back(index, root);
	shrink_root(index);
}

/* node's few slots go to a neighbour, if that has room to spare. */
static void join(struct range_index *index, struct range_leaf *node)
{
	struct range_leaf *parent = node->parent, *to;
	bool right;

	if (parent->count == 1)
		return;
	right = node->place + 1 < parent->count;
	to = parent->slot[right ? node->place + 1 : node->place - 1];
	if (node->count + to->count > FAN * 3 / 4)
		return;
	if (right)
		copy_slots(to, node->count, to, 0, to->count);
	copy_slots(to, right ? 0 : to->count, node, 0, node->count);
	to->count += node->count;
	if (right)
		own_slots(to, 0, to->is_leaf ? node->count : to->count);
	else
		own_slots(to, to->count - node->count, to->count);
	update_above(to);
	erase_slots(index, parent, node->place, 1);
	node_give_back(index, node);
}

/* node lost slots, its parents know: an empty one goes, one with few slots joins another. */
static void settle(struct range_index *index, struct range_leaf *node)
{
	if (likely(node->count > FEW))
		return;
	if (!node->parent && node->count) {
		shrink_root(index);
	} else if (node->count) {
		join(index, node);
	} else {
		if (node->parent) {
			erase_slots(index, node->parent, node->place, 1);
		} else {
			index->root = NULL;
			index->height = 0;
		}
		node_give_back(index, node);
	}
}

/* ---- changing ---------------------------------------------------------------------------------------- */

/*
 * Half and half, but at the edges of the tree: a sequence that grows there, upwards or downwards, leaves
 * nodes behind that are nearly full.
 */
static unsigned int keep_for(const struct range_node *range)
{
	return !range->next ? FAN - 2 : !range->prev ? 2 : FAN / 2;
}

static void insert_first(struct range_index *index, struct range_node *range)
{
	struct entry entry = { .what = range, .end = range->end, .gap = range->start };

	range_list_link(index, range, NULL, NULL);
	index->root = node_take(index, true);
	index->height = 1;
	put_slot(index->root, 0, &entry);
}

static void insert_last(struct range_index *index, struct range_node *range)
{
	struct range_leaf *leaf = index->last->leaf;
	struct entry entry = { .what = range, .end = range->end, .gap = range->start - index->last->end,
			       .keep = FAN - 2 };

	range_list_link(index, range, index->last, NULL);
	insert_slot(index, leaf, leaf->count, &entry);
	update_above(range->leaf);
}

/* The gap that range goes into becomes two, of which the upper one stays where it is, before `next`. */
void range_tree_insert(struct range_index *index, struct range_node *range)
{
	struct place p = { root_of(index), 0, 0 };
	struct entry entry = { .what = range, .end = range->end };
	struct range_node *next;
	unsigned long old;

	if (!p.node) {
		insert_first(index, range);
		return;
	}
	if (range->start >= index->last->end) {
		insert_last(index, range);
		return;
	}
	for (unsigned int height = index->height;; height--) {
		p.slot = (int)slot_above(p.node, range->start);
		place_down(&p);
		if (height == 1)
			break;
		p.node = p.node->slot[p.slot];
	}
	next = p.node->slot[p.slot];
	range_list_link(index, range, next->prev, next);
	old = p.node->gap[p.slot];
	entry.gap = range->start - p.before;
	entry.keep = keep_for(range);
	p.node->gap[p.slot] = old - (range->end - p.before);
	insert_slot(index, p.node, (unsigned int)p.slot, &entry);
	if (old >= gap_above(next->leaf))
		update_above(next->leaf);
	if (unlikely(range->leaf != next->leaf))
		update_above(range->leaf);
}

/*
 * What the ranges first .. last covered, and the gaps before them, go to the gap of the range behind
 * them. If that is in the same leaf, nothing but that leaf changes, mostly.
 */
static bool erase_in_leaf(struct range_index *index, struct range_node *first, struct range_node *last)
{
	struct range_leaf *leaf = first->leaf;
	unsigned int at, end;
	unsigned long from, gap;

	if (leaf != last->leaf)
		return false;
	at = slot_above(leaf, first->start);
	end = first == last ? at + 1 : slot_above(leaf, last->start) + 1;
	if (end == leaf->count)
		return false;
	from = first->start - leaf->gap[at];
	gap = leaf->gap[end] + (leaf->end[end - 1] - from);
	leaf->gap[end] = gap;
	range_list_unlink(index, first, last);
	for (struct range_leaf *node = leaf; node->parent; node = node->parent) {
		if (node->parent->gap[node->place] >= gap)
			break;
		node->parent->gap[node->place] = gap;
	}
	remove_slots(leaf, at, end - at);
	settle(index, leaf);
	return true;
}

void range_tree_erase_run(struct range_index *index, struct range_node *first, struct range_node *last)
{
	struct range_node *next = last->next, *node = first;

	if (likely(erase_in_leaf(index, first, last)))
		return;
	while (node != next) {		/* a leaf at a time */
		struct range_leaf *leaf = node->leaf;
		unsigned int at = slot_above(leaf, node->start), n = 0;

		for (; node != next && at + n < leaf->count && leaf->slot[at + n] == node; n++)
			node = node->next;
		erase_slots(index, leaf, at, n);
	}
	range_list_unlink(index, first, last);
	if (next)
		set_gap(next->leaf, slot_above(next->leaf, next->start), range_gap(next));
}

void range_tree_set_bounds(struct range_index *index, struct range_node *range, unsigned long start,
			   unsigned long end)
{
	struct range_leaf *leaf = range->leaf;
	unsigned int i = slot_above(leaf, range->start);
	unsigned long old_end = range->end;

	if (start != range->start)
		set_gap(leaf, i, leaf->gap[i] + (start - range->start));
	range->start = start;
	if (end == old_end)
		return;
	range->end = end;
	leaf->end[i] = end;
	if (i + 1u < leaf->count) {
		set_gap(leaf, i + 1, leaf->gap[i + 1] + (old_end - end));
		return;
	}
	update_above(leaf);
	if (range->next)
		set_gap(range->next->leaf, 0, range->next->start - end);
}

/* No gap changes, and no end that a parent knows. */
void range_tree_split(struct range_index *index, struct range_node *range, struct range_node *above)
{
	struct range_leaf *leaf = range->leaf;
	unsigned int i = slot_above(leaf, range->start);
	struct entry entry = { .what = above, .end = above->end };

	range->end = leaf->end[i] = above->start;
	range_list_link(index, above, range, range->next);
	entry.keep = keep_for(above);
	insert_slot(index, leaf, i + 1, &entry);
}

/* The same backwards, if all is in one leaf; else false. */
bool range_tree_join(struct range_index *index, struct range_node *range, struct range_node *last)
{
	struct range_leaf *leaf = range->leaf;
	unsigned int i, n;

	if (last->leaf != leaf)
		return false;
	i = slot_above(leaf, range->start);
	n = slot_above(leaf, last->start) - i;
	range->end = leaf->end[i] = last->end;
	range_list_unlink(index, range->next, last);
	remove_slots(leaf, i + 1, n);
	settle(index, leaf);
	return true;
}

/* ---- checking --------------------------------------------------------------------------------------- */

struct tree_check {
	struct range_node *expected;	/* the next range by the list */
	unsigned long nodes;
	char *why;
	size_t size;
};

static bool check_padding(const struct range_leaf *node)
{
	for (unsigned int i = node->count; i < FAN; i++)
		if (node->end[i] != ULONG_MAX || node->gap[i])
			return false;
	return true;
}

static bool check_node(struct tree_check *c, struct range_leaf *node, unsigned int height)
{
	c->nodes++;
	if (!node->count || node->count > FAN || node->is_leaf != (height == 1) || !check_padding(node)) {
		snprintf(c->why, c->size, "a node of %u slots at height %u", node->count, height);
		return false;
	}
	for (unsigned int i = 0; i < node->count; i++) {
		unsigned long end, gap;

		if (node->is_leaf) {
			struct range_node *range = node->slot[i];

			if (range != c->expected || range->leaf != node) {
				snprintf(c->why, c->size, "tree and list differ at %#lx", range->start);
				return false;
			}
			c->expected = range->next;
			end = range->end;
			gap = range_gap(range);
		} else {
			struct range_leaf *child = node->slot[i];

			if (child->parent != node || child->place != i) {
				snprintf(c->why, c->size, "slot %u at height %u: its child says %u", i, height,
					 child->place);
				return false;
			}
			if (!check_node(c, child, height - 1))
				return false;
			end = end_of(child);
			gap = largest_gap(child);
		}
		if (node->end[i] != end || node->gap[i] != gap) {
			snprintf(c->why, c->size, "slot %u at height %u: end %#lx gap %#lx, kept %#lx %#lx", i,
				 height, end, gap, node->end[i], node->gap[i]);
			return false;
		}
	}
	return true;
}

bool range_tree_check(struct range_index *index, char *why, size_t size)
{
	struct tree_check c = { .expected = index->first, .why = why, .size = size };

	if (index->root && root_of(index)->parent) {
		snprintf(why, size, "the root has a parent");
		return false;
	}
	if (index->root && !check_node(&c, index->root, index->height))
		return false;
	if (c.expected || c.nodes != index->nr_nodes) {
		snprintf(why, size, "%lu nodes, counted %u; or range %#lx isn't in the tree", c.nodes,
			 index->nr_nodes, c.expected ? c.expected->start : 0);
		return false;
	}
	return true;
}
