/* SPDX-License-Identifier: MIT */
/* A sparse reservation of 1 TiB, 60,000 areas, and mremap in its forms. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void sparse(void)
{
	size_t size = 1ul << 40;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long sum = 0;

	if (p == MAP_FAILED) {
		perror("1 TiB");
		return;
	}
	for (size_t at = 0; at < size; at += size / 256)
		p[at + 12345] = 1;
	for (size_t at = 0; at < size; at += size / 512)
		sum += p[at + 12345];
	printf("sparse %ld\n", sum);
	munmap(p, size);
}

static void areas(void)
{
	int n = 60000;
	char *p = mmap(NULL, (size_t)n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int made = 0;

	for (int i = 0; i < n; i += 2)
		made += mprotect(p + (size_t)i * 4096, 4096, PROT_READ) == 0;
	for (int i = 1; i < n; i += 2)
		p[(size_t)i * 4096] = 1;
	printf("areas %d\n", made);
	munmap(p, (size_t)n * 4096);
}

static void moved(void)
{
	char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q, *r;

	memset(p, 'a', 4 * 4096);
	q = mremap(p, 4 * 4096, 2 * 4096, 0);
	printf("shrunk in place %d\n", p == q);
	q = mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r = mremap(p, 2 * 4096, 8 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, q + 8 * 4096);
	printf("moved %d, content %c %d\n", r == q + 8 * 4096, r[4097], r[3 * 4096]);
	r = mremap(r, 8 * 4096, 16 * 4096, 0);
	printf("no room %d %s\n", r == MAP_FAILED, strerrorname_np(errno));
	r = q + 8 * 4096;
	p = mremap(r, 8 * 4096, 8 * 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (p == MAP_FAILED) {
		printf("not left behind: %s\n", strerrorname_np(errno));
		return;
	}
	printf("left behind %d, here %c\n", r[4097], p[4097]);
	p = mremap(p, 0, 4096, MREMAP_MAYMOVE);
	printf("old size 0 of a private area: %d %s\n", p == MAP_FAILED, p == MAP_FAILED ? strerrorname_np(errno) : "-");
}

int main(void)
{
	sparse();
	areas();
	moved();
	return 0;
}
