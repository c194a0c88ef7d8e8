/* SPDX-License-Identifier: MIT */
/*
 * All that the library takes from outside. An embedder fills in what it wants to do itself; NULL
 * (or a missing tail, see `size`) takes the default that stands at each member. Callbacks are
 * called with `priv`, possibly from several threads at once, and must not call back into the
 * address space that they are called for.
 */
#ifndef ASPACE_PORT_H
#define ASPACE_PORT_H

#include <stddef.h>
#include <stdint.h>

struct aspace_mm;

struct aspace_port {
	size_t size;	/* sizeof(struct aspace_port), so that it can grow */
	void *priv;

	/*
	 * Memory for the library's own objects, never for guest pages. alloc returns NULL when there
	 * is none; align is a power of two. Default: aligned_alloc and free.
	 */
	void *(*alloc)(void *priv, size_t size, size_t align);
	void (*free)(void *priv, void *ptr, size_t size);

	/*
	 * An order: when it returns, no translation of mm for [start, end) that was taken before is
	 * used any more, on any CPU and by any software TLB. end = UINT64_MAX: the whole space.
	 * Given before frames are freed and before a page is known to be clean or write-protected.
	 * Default: nothing (no TLB).
	 */
	void (*flush)(void *priv, struct aspace_mm *mm, uint64_t start, uint64_t end);

	/*
	 * The bytes of these frames changed under, or are about to change hands from, an executable
	 * mapping: code translated from them is stale. Default: nothing.
	 */
	void (*code_changed)(void *priv, uint64_t phys, uint64_t size);

	/* mm goes away: its root table will be reused. Default: nothing. */
	void (*mm_gone)(void *priv, struct aspace_mm *mm);
};

#endif
