/* SPDX-License-Identifier: MIT */
/*
 * x86-64's long mode tables (Intel SDM volume 3, "4-level paging and 5-level paging").
 *
 *	63  62..59   58..52    51 ..... 12   11 10 9   8   7    6   5   4   3   2   1   0
 *	NX  key      software  frame         software  G   PS   D   A   PCD PWT U   W   P
 *
 * An entry with P clear is ours but for the rule that it is zero when it is none. Bit 8 keeps the
 * meaning that it has for other kernels' tools too: not present, but a frame is behind it.
 */
#include "arch/pgtable.h"

#define P	(1ull << 0)
#define W	(1ull << 1)
#define U	(1ull << 2)
#define A	(1ull << 5)
#define D	(1ull << 6)
#define PS	(1ull << 7)
#define G	(1ull << 8)
#define SOFT(n)	(1ull << (9 + (n)))
#define NX	(1ull << 63)

/*
 * A table's own accessed bit is set from the start, so that a walk needn't write to it. Rights are
 * given by the leaf alone.
 */
#define TABLE	(P | W | U | A)

#define LONG_MODE							\
	.entry_shift = 3,						\
	.pfn_shift = 12, .pfn_mask = 0x000ffffffffff000ull,		\
	.present = P, .write = W, .noexec = NX, .user = U, .global = G,	\
	.accessed = A, .dirty = D, .huge = PS, .leaf_any = PS,		\
	.pkey_shift = 59, .pkey_mask = 0xfull << 59,			\
	.special = SOFT(0), .soft_dirty = SOFT(2),			\
	.protnone = G, .marker_shift = 1, .marker_mask = 0x1full << 1

const struct pt_format pt_x86_64_4level = {
	.name = "x86-64 4-level",
	.levels = 4,
	.user_bits = 47,
	.level = {
		{ .shift = 12, .bits = 9, .leaf = true },
		{ .shift = 21, .bits = 9, .leaf = true, .table = TABLE },
		{ .shift = 30, .bits = 9, .leaf = true, .table = TABLE },
		{ .shift = 39, .bits = 9, .table = TABLE },
	},
	LONG_MODE,
};

const struct pt_format pt_x86_64_5level = {
	.name = "x86-64 5-level",
	.levels = 5,
	.user_bits = 56,
	.level = {
		{ .shift = 12, .bits = 9, .leaf = true },
		{ .shift = 21, .bits = 9, .leaf = true, .table = TABLE },
		{ .shift = 30, .bits = 9, .leaf = true, .table = TABLE },
		{ .shift = 39, .bits = 9, .table = TABLE },
		{ .shift = 48, .bits = 9, .table = TABLE },
	},
	LONG_MODE,
};
