/* SPDX-License-Identifier: MIT */
/*
 * The machine's physical memory on this host: one memfd, mapped once, shared. lib/hw provides it
 * (ram.c); lib/mm takes frames from it and knows no more of the machine than this.
 */
#ifndef BASE_RAM_H
#define BASE_RAM_H

#include <stddef.h>
#include <stdint.h>

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

#endif
