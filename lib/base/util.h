/* SPDX-License-Identifier: MIT */
/* Small things that every floor uses. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#ifndef min
#define min(a, b)			\
	({				\
		__typeof__(a) a_ = (a);	\
		__typeof__(b) b_ = (b);	\
		a_ < b_ ? a_ : b_;	\
	})
#define max(a, b)			\
	({				\
		__typeof__(a) a_ = (a);	\
		__typeof__(b) b_ = (b);	\
		a_ > b_ ? a_ : b_;	\
	})
#endif

/* a: a power of two. */
#define ALIGN(x, a)	 (((x) + ((__typeof__(x))(a) - 1)) & ~((__typeof__(x))(a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a) - 1))
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a) - 1)) == 0)
#define BIT(n)		 (1ull << (n))

#endif
