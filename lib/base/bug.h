/* SPDX-License-Identifier: MIT */
/*
 * Assertions. One that fails is our bug, never the guest's doing: what a guest or a host can cause is
 * an errno. BUG_ON is always compiled in and cheap; DEBUG_ON only with -DASPACE_DEBUG.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"

#define BUG_ON(condition)                                                                    \
	do {                                                                                 \
		if (unlikely(condition)) {                                                   \
			fprintf(stderr, "aspace: BUG at %s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                             \
		}                                                                            \
	} while (0)

#ifdef ASPACE_DEBUG
#define DEBUG_ON(condition) BUG_ON(condition)
#else
#define DEBUG_ON(condition) ((void)sizeof(!!(condition)))
#endif

#endif
