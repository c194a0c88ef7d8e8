/* SPDX-License-Identifier: MIT */
#include "base/ram.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Maps the file at an address where huge pages fit: reserve more, then place it inside. */
static uint8_t *map_aligned(uint64_t bytes, int memfd)
{
	uint8_t *room, *base, *end;

	room = mmap(NULL, bytes + RAM_BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return NULL;
	base = (uint8_t *)(((uintptr_t)room + RAM_BLOCK - 1) & ~(uintptr_t)(RAM_BLOCK - 1));
	end = room + bytes + RAM_BLOCK;
	if (mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, memfd, 0) ==
	    MAP_FAILED) {
		munmap(room, bytes + RAM_BLOCK);
		return NULL;
	}
	if (base > room)
		munmap(room, base - room);
	if (end > base + bytes)
		munmap(base + bytes, end - (base + bytes));
	return base;
}

static uint64_t whole_host_pages(uint64_t bytes)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) & ~(page - 1);
}

int ram_create(uint64_t bytes, uint8_t **base, int *memfd)
{
	int fd, error;

	bytes = whole_host_pages(bytes);
	fd = memfd_create("aspace-ram", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, bytes) < 0)
		goto fail;
	*base = map_aligned(bytes, fd);
	if (!*base)
		goto fail;
	/* A wish: many hosts allow no huge pages for shared memory. */
	madvise(*base, bytes, MADV_HUGEPAGE);
	/* Guest memory in the host's core files helps nobody. */
	madvise(*base, bytes, MADV_DONTDUMP);
	*memfd = fd;
	return 0;
fail:
	error = -errno;
	close(fd);
	return error;
}

void ram_destroy(uint8_t *base, uint64_t bytes, int memfd)
{
	munmap(base, whole_host_pages(bytes));
	close(memfd);
}

/*
 * MADV_COLLAPSE makes a huge page at once, also where the host's settings give none to shared memory
 * by themselves. It wants at least one page to be there.
 */
static int make_huge(void *start, size_t page)
{
	madvise(start, page, MADV_POPULATE_WRITE);
	return madvise(start, RAM_BLOCK, MADV_COLLAPSE);
}

void ram_populate(void *start, size_t bytes)
{
	uintptr_t page = sysconf(_SC_PAGESIZE);
	uintptr_t first = (uintptr_t)start & ~(page - 1);
	uintptr_t end = ((uintptr_t)start + bytes + page - 1) & ~(page - 1);

	if (bytes == RAM_BLOCK && !((uintptr_t)start & (RAM_BLOCK - 1)) && make_huge(start, page) == 0)
		return;
	madvise((void *)first, end - first, MADV_POPULATE_WRITE);
}
