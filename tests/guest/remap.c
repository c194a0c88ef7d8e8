/* SPDX-License-Identifier: MIT */
/* mremap of every kind: what moves, what stays, what is refused, and with which errno. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul

static char *room(unsigned long pages, int prot, int flags, int fd)
{
	return mmap(NULL, pages * PAGE, prot, flags, fd, 0);
}

static char *anon(unsigned long pages)
{
	return room(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* Every page says its number: what arrives elsewhere can be told apart. */
static void number(char *p, int pages)
{
	for (int i = 0; i < pages; i++)
		memset(p + i * PAGE, 'A' + i, PAGE);
}

static void show(const char *what, const char *p, int pages)
{
	printf("%s:", what);
	for (int i = 0; i < pages; i++)
		printf(" %c%c", p[i * PAGE] ? p[i * PAGE] : '-', p[i * PAGE + PAGE - 1] ? p[i * PAGE + PAGE - 1] : '-');
	printf("\n");
}

static void result(const char *what, void *p)
{
	printf("%s: %s\n", what, p == MAP_FAILED ? strerrorname_np(errno) : "ok");
}

static void private_pages(void)
{
	char *p = anon(64), *q;

	munmap(p + 8 * PAGE, 56 * PAGE);
	number(p, 8);
	q = mremap(p, 8 * PAGE, 16 * PAGE, 0);
	printf("grown in place %d\n", q == p);
	show("grown", p, 16);
	q = mremap(p, 16 * PAGE, 4 * PAGE, 0);
	printf("shrunk in place %d\n", q == p);
	number(p, 4);
	mmap(p + 4 * PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	result("no room", mremap(p, 4 * PAGE, 8 * PAGE, 0));
	q = mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	printf("moved %d\n", q != p);
	show("moved and grown", q, 8);
	p = mremap(q + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + 6 * PAGE);
	show("a middle moved over its own end", q, 2);
	show("its new place", p, 2);
	result("where it was", mremap(q + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
}

static void refused(void)
{
	char *p = anon(8);

	result("not aligned", mremap(p + 1, PAGE, PAGE, MREMAP_MAYMOVE));
	result("new size 0", mremap(p, PAGE, 0, MREMAP_MAYMOVE));
	result("old size 0, private", mremap(p, 0, PAGE, MREMAP_MAYMOVE));
	result("fixed without maymove", mremap(p, PAGE, PAGE, MREMAP_FIXED, p + 4 * PAGE));
	result("target not aligned", mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 1));
	result("overlap", mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE));
	result("target above the address space", mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ~0ul << 12));
	result("unknown flag", mremap(p, PAGE, PAGE, 64));
	result("dontunmap without maymove", mremap(p, PAGE, PAGE, MREMAP_DONTUNMAP));
	result("dontunmap of another size", mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
	result("too large", mremap(p, PAGE, 1ul << 50, MREMAP_MAYMOVE));
	munmap(p + 2 * PAGE, PAGE);
	result("a hole", mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE));
	result("unmapped", mremap(p + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	mprotect(p, PAGE, PROT_READ);
	result("two areas, growing", mremap(p, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
}

static void left_behind(void)
{
	char *p = anon(4), *q;

	number(p, 4);
	q = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (q == MAP_FAILED) {
		result("dontunmap", q);
		return;
	}
	show("dontunmap, old", p, 4);
	show("dontunmap, new", q, 4);
	p[0] = 'z';
	show("dontunmap, old written", p, 1);
	show("dontunmap, new kept", q, 1);
}

static void shared_pages(void)
{
	char *p = room(4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1), *q, *r;

	number(p, 4);
	q = mremap(p, 0, 4 * PAGE, MREMAP_MAYMOVE);
	result("a second view of shared memory", q);
	q[PAGE] = 'x';
	show("written there, seen here", p, 4);
	r = mremap(q, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	result("shared, dontunmap", r);
	show("old view", q, 4);
	show("new view", r, 4);
}

static void file_pages(void)
{
	int fd = memfd_create("pages", 0);
	char *p, *q;
	char c;

	if (ftruncate(fd, 8 * PAGE))
		return;
	p = room(2, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	number(p, 2);
	q = mremap(p, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	q[7 * PAGE] = 'H';
	show("a file, grown", q, 8);
	printf("in the file %zd %c\n", pread(fd, &c, 1, 7 * PAGE), c);
	p = room(8, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	p[PAGE] = 'p';
	q[0] = 's';
	p = mremap(p, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, anon(8));
	show("a private view of it, moved", p, 8);
	q = mremap(p + PAGE, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
	show("a part of it moved and grown", q, 4);
	munmap(p + 2 * PAGE, 6 * PAGE);
	show("what stayed", p, 1);
}

/* A child's COW pages move with it, and not its parent's. */
static void large_moves(void)
{
	unsigned long pages = 5000, wrong = 0;
	char *p = anon(pages), *q = anon(pages + 513);

	for (unsigned long i = 0; i < pages; i++)
		*(unsigned long *)(p + i * PAGE) = i;
	for (int round = 0; round < 4; round++) {
		p = mremap(p, pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + (round % 2 ? 512 : 3) * PAGE);
		if (p == MAP_FAILED)
			break;
		for (unsigned long i = 0; i < pages; i++)
			wrong += *(unsigned long *)(p + i * PAGE) != i;
		p = mremap(p, pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	}
	result("20 MB moved", p);
	printf("wrong %lu\n", wrong);
}

int main(void)
{
	private_pages();
	refused();
	left_behind();
	shared_pages();
	file_pages();
	large_moves();
	return 0;
}
