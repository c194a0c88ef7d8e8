/* SPDX-License-Identifier: MIT */
/* PROCMAP_QUERY and PAGEMAP_SCAN, corner cases first; addresses are printed relative to the program's own areas. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul

struct query {
	uint64_t size, query_flags, query_addr, vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
	uint64_t more;
};
struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof, ret;
};
struct region {
	uint64_t start, end, categories;
};
#define PROCMAP_QUERY _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, 104)
#define PAGEMAP_SCAN  _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96)

static char *base;
static int maps, pagemap;

static void query(const char *what, uint64_t size, uint64_t flags, uint64_t addr, uint32_t name_size)
{
	char name[300] = "";
	struct query q = { .size = size, .query_flags = flags, .query_addr = addr, .vma_name_size = name_size,
			   .vma_name_addr = name_size ? (uintptr_t)name : 0 };

	errno = 0;
	if (ioctl(maps, PROCMAP_QUERY, &q)) {
		printf("%s: errno %d\n", what, errno);
		return;
	}
	printf("%s: %ld..%ld flags %llx page %llu offset %llu file %d name %u %s\n", what,
	       (long)(q.vma_start - (uintptr_t)base) / 4096, (long)(q.vma_end - (uintptr_t)base) / 4096,
	       (unsigned long long)q.vma_flags, (unsigned long long)q.vma_page_size, (unsigned long long)q.vma_offset,
	       q.inode != 0, q.vma_name_size, name);
}

static void scan(const char *what, struct scan s)
{
	struct region r[8];
	int n;

	s.size = s.size ? s.size : sizeof(s);
	if (s.vec_len)
		s.vec = (uintptr_t)r;
	n = ioctl(pagemap, PAGEMAP_SCAN, &s);
	printf("%s: %d errno %d", what, n, n < 0 ? errno : 0);
	for (int i = 0; i < n; i++)
		printf(" [%ld..%ld %llx]", (long)(r[i].start - (uintptr_t)base) / 4096,
		       (long)(r[i].end - (uintptr_t)base) / 4096, (unsigned long long)r[i].categories);
	if (n >= 0)
		printf(" walked to %ld", (long)(s.walk_end - (uintptr_t)base) / 4096);
	puts("");
}

int main(void)
{
	const uint64_t all = 0x3e;	/* WRITTEN FILE PRESENT SWAPPED PFNZERO */
	const char name[] = "file";
	char *big;
	uint64_t b, e;
	int fd;

	maps = open("/proc/self/maps", O_RDONLY);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	base = mmap(NULL, 32 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (ftruncate(fd, 4 * PAGE))
		return 1;
	b = (uintptr_t)base;
	e = b + 32 * PAGE;
	mmap(base + 2 * PAGE, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(base + 12 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	mmap(base + 18 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
	madvise(base + 2 * PAGE, 8 * PAGE, MADV_NOHUGEPAGE);
	base[2 * PAGE] = base[3 * PAGE] = base[6 * PAGE] = 1;
	(void)*(volatile char *)(base + 4 * PAGE);
	base[12 * PAGE] = 1;
	base[13 * PAGE] = 1;
	base[18 * PAGE] = 1;
	madvise(base + 9 * PAGE, PAGE, 102);	/* a guard */

	query("covering", 104, 0, b + 3 * PAGE, 0);
	query("a gap", 104, 0, e + (1ul << 40), 0);
	query("below", 104, 0, 4096, 0);
	query("writable", 104, 2, b + 3 * PAGE, 0);
	query("executable", 104, 4, b + 3 * PAGE, 0);
	query("shared or next", 104, 8 | 0x10, b, 0);
	query("file or next", 104, 0x20 | 0x10, b, 0);
	query("file", 104, 0x20, b, 0);
	query("private file", 104, 0x10 | 0x20, b + 17 * PAGE, 0);
	query("no name", 104, 0, b + 3 * PAGE, 300);
	query("name too long", 104, 0, b + 12 * PAGE, 3);
	query("unknown flag", 104, 0x40, b, 0);
	query("too small", 8, 0, b, 0);
	query("16 bytes", 16, 0, b, 0);
	query("short", 32, 0, b + 3 * PAGE, 0);
	query("longer, zero", 112, 0, b + 3 * PAGE, 0);
	query("too large", 5000, 0, b, 0);

	scan("present", (struct scan){ .start = b, .end = e, .vec_len = 8, .anyof = 8, .ret = all });
	scan("everything", (struct scan){ .start = b, .end = e, .vec_len = 8, .ret = all });
	scan("not present", (struct scan){ .start = b, .end = e, .vec_len = 8, .inverted = 8, .mask = 8, .ret = all });
	scan("private", (struct scan){ .start = b, .end = e, .vec_len = 8, .inverted = 0x24, .mask = 0x24, .anyof = 0x18, .ret = 8 });
	scan("two regions", (struct scan){ .start = b, .end = e, .vec_len = 2, .mask = 8, .ret = all });
	scan("three pages", (struct scan){ .start = b, .end = e, .vec_len = 8, .max_pages = 3, .mask = 8, .ret = 8 });
	scan("one page of a run", (struct scan){ .start = b, .end = e, .vec_len = 8, .max_pages = 1, .mask = 8, .ret = 8 });
	scan("guards", (struct scan){ .start = b, .end = e, .vec_len = 8, .mask = 0x100, .ret = 0x1fe });
	scan("no vector", (struct scan){ .start = b, .end = e, .mask = 8 });
	scan("unaligned", (struct scan){ .start = b + 1, .end = e, .vec_len = 8, .mask = 8 });
	scan("unaligned end", (struct scan){ .start = b, .end = b + 3 * PAGE + 1, .vec_len = 8, .mask = 8, .ret = 8 });
	scan("unknown category", (struct scan){ .start = b, .end = e, .vec_len = 8, .mask = 1ul << 40 });
	scan("unknown flag", (struct scan){ .flags = 8, .start = b, .end = e, .vec_len = 8 });
	scan("wrong size", (struct scan){ .size = 80, .start = b, .end = e, .vec_len = 8 });
	scan("empty", (struct scan){ .start = b, .end = b, .vec_len = 8, .ret = 8 });
	scan("backwards", (struct scan){ .start = e, .end = b, .vec_len = 8, .ret = 8 });
	scan("kernel", (struct scan){ .start = b, .end = -4096ul, .vec_len = 8, .ret = 8 });
	big = mmap(NULL, 16 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);	/* nothing is there, tables neither */
	base = big;
	scan("untouched", (struct scan){ .start = (uintptr_t)big, .end = (uintptr_t)big + (16 << 20), .vec_len = 8, .inverted = 8, .mask = 8, .ret = all });
	scan("untouched, limited", (struct scan){ .start = (uintptr_t)big, .end = (uintptr_t)big + (16 << 20), .vec_len = 8, .max_pages = 1000, .inverted = 8, .mask = 8, .ret = all });
	return 0;
}
