/* SPDX-License-Identifier: MIT */
/*
 * The machine's physical memory on this host: one memfd, mapped once, shared. lib/hw provides it
 * (ram.c); lib/mm takes frames from it and knows no more of the machine than this.
 */
#ifndef BASE_RAM_H
#define BASE_RAM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * `bytes` of memory that reads as zeroes, which the host provides where it is touched. *base is its
 * address, aligned to 2 MiB; *memfd the file behind it. 0 or -errno.
 */
int ram_create(uint64_t bytes, uint8_t **base, int *memfd);
void ram_destroy(uint8_t *base, uint64_t bytes, int memfd);

/*
 * A hint: [start, start + bytes) is about to be written for the first time. One call for many pages
 * costs the host less than a fault for each of them, least of all for RAM_BLOCK bytes at a multiple
 * of that, which become one huge page where the host has one free.
 */
#define RAM_BLOCK (2ull << 20)
void ram_populate(void *start, size_t bytes);

/*
 * Copies and clears bytes that programs may store to at this very moment. What they make of that is
 * their affair, so the thread sanitizer doesn't look; it looks at everything else.
 */
#if !defined(__SANITIZE_THREAD__) && defined(__has_feature)	/* clang says it so */
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define RAM_UNWATCHED __attribute__((no_sanitize("thread"), noinline, unused))

RAM_UNWATCHED static void ram_copy(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)to)[i] = ((const volatile uint8_t *)from)[i];
}
RAM_UNWATCHED static void ram_clear(void *start, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)start)[i] = 0;
}
#else
static inline void ram_copy(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
}
static inline void ram_clear(void *start, size_t n)
{
	memset(start, 0, n);
}
#endif

#endif
