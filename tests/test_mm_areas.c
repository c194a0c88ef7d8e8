/* SPDX-License-Identifier: MIT */
/*
 * The areas wing alone, on machines without RAM. Each test draws the address space, acts, and draws
 * it again. A drawing counts pages from BASE:
 *
 *	"0-4 rw-p | 6-8 r--s+3"		pages 0..3 private, 4 and 5 free, 6 and 7 of a file from its page 3
 *
 * The whole-state checker runs after every act. What is expected was asked of Linux 6.18.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mm/internal.h"

#define BASE	0x10000000ull
#define AT(page) (BASE + (uint64_t)(page) * PAGE_SIZE)
#define PAGES(n) ((uint64_t)(n) * PAGE_SIZE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define FIXED	(ANON | MAP_FIXED)
#define R	PROT_READ
#define RW	(PROT_READ | PROT_WRITE)

/* ---- the stage -------------------------------------------------------------------------------- */

struct space {
	struct aspace_machine *m;
	struct aspace_mm *mm;
	long bytes;	/* of the library's objects */
};

static void *counted_alloc(void *priv, size_t size, size_t align)
{
	struct space *s = priv;
	void *p = aligned_alloc(align < sizeof(void *) ? sizeof(void *) : align, (size + align - 1) / align * align);

	s->bytes += p ? (long)size : 0;
	return p;
}

static void counted_free(void *priv, void *p, size_t size)
{
	struct space *s = priv;

	s->bytes -= p ? (long)size : 0;
	free(p);
}

static enum aspace_index index_kind;

static void stage_with(struct space *s, struct aspace_machine_options options)
{
	struct aspace_port port = {
		.size = sizeof(port), .priv = s, .alloc = counted_alloc, .free = counted_free,
	};

	s->bytes = 0;
	options.size = sizeof(options);
	options.port = &port;
	options.index = index_kind;
	assert_int_equal(aspace_machine_create(&options, &s->m), 0);
	assert_int_equal(aspace_mm_create(s->m, &s->mm), 0);
}

static void stage(struct space *s)
{
	stage_with(s, (struct aspace_machine_options){ 0 });
}

static void check(struct space *s)
{
	char why[256];

	if (aspace_machine_check(s->m, why, sizeof(why)))
		fail_msg("%s", why);
}

static void leave(struct space *s)
{
	check(s);
	aspace_mm_put(s->mm);
	assert_int_equal(atomic_load(&s->m->vm_committed_as), 0);
	check(s);
	aspace_machine_destroy(s->m);
	assert_int_equal(s->bytes, 0);
}

static void draw_area(char *text, size_t size, const struct aspace_area *a)
{
	size_t n = strlen(text);

	n += (size_t)snprintf(text + n, size - n, "%s%lld-%lld %c%c%c%c", n ? " | " : "",
			      (long long)((int64_t)(a->start - BASE) >> PAGE_SHIFT),
			      (long long)((int64_t)(a->end - BASE) >> PAGE_SHIFT),
			      a->flags & VM_READ ? 'r' : '-', a->flags & VM_WRITE ? 'w' : '-',
			      a->flags & VM_EXEC ? 'x' : '-', a->flags & VM_MAYSHARE ? 's' : 'p');
	if (a->file && a->offset)
		n += (size_t)snprintf(text + n, size - n, "+%llu", (unsigned long long)a->offset >> PAGE_SHIFT);
	if (a->flags & VM_LOCKED)
		snprintf(text + n, size - n, "%s", a->flags & VM_LOCKONFAULT ? "lf" : "l");
}

/* The picture is good until the next but one is drawn. */
static const char *draw_mm(struct aspace_mm *mm)
{
	static char text[2][4096];
	static int turn;
	struct aspace_area a = { .size = sizeof(a) };
	uint64_t at = 0;

	turn ^= 1;
	text[turn][0] = '\0';
	for (; !aspace_find_area(mm, at, &a); at = a.end)
		draw_area(text[turn], sizeof(text[turn]), &a);
	return text[turn];
}

static const char *draw(struct space *s)
{
	check(s);
	return draw_mm(s->mm);
}

#define picture(s, expected) assert_string_equal(draw(s), expected)

static int64_t map(struct space *s, int page, int pages, unsigned prot, unsigned flags)
{
	return aspace_mmap(s->mm, page < 0 ? 0 : AT(page), PAGES(pages), prot, flags, NULL, 0);
}

static void must_map(struct space *s, int page, int pages, unsigned prot)
{
	assert_int_equal(map(s, page, pages, prot, FIXED), AT(page));
}

static int unmap(struct space *s, int page, int pages)
{
	return aspace_munmap(s->mm, AT(page), PAGES(pages));
}

static int protect(struct space *s, int page, int pages, unsigned prot)
{
	return aspace_mprotect(s->mm, AT(page), PAGES(pages), prot);
}

static int64_t remap(struct space *s, int page, int old, int new, unsigned flags, int to)
{
	return aspace_mremap(s->mm, AT(page), PAGES(old), PAGES(new), flags, AT(to));
}

static int advise(struct space *s, int page, int pages, int advice)
{
	return aspace_madvise(s->mm, AT(page), PAGES(pages), advice);
}

static void touch(struct space *s, int page)
{
	assert_int_equal(aspace_note_anon(s->mm, AT(page)), 0);
}

static uint64_t flags_at(struct space *s, int page)
{
	struct aspace_area a = { .size = sizeof(a) };

	assert_int_equal(aspace_find_area(s->mm, AT(page), &a), 0);
	return a.flags;
}

static struct aspace_mm_stats stats(struct space *s)
{
	struct aspace_mm_stats st = { .size = sizeof(st) };

	aspace_mm_stats(s->mm, &st);
	return st;
}

/* A file of shared memory, opened for reading and, if asked, writing. */
static struct aspace_file *open_file(struct space *s, bool writable, const char *path)
{
	struct aspace_mapping_options mo = { .size = sizeof(mo), .bytes = 1 << 20, .sealable = true,
					     .dev_major = 8, .dev_minor = 1, .ino = 77 };
	struct aspace_file_options fo = { .size = sizeof(fo), .readable = true, .writable = writable,
					  .path = path };
	struct aspace_mapping *mapping;
	struct aspace_file *file;

	assert_int_equal(aspace_mapping_create(s->m, &mo, &mapping), 0);
	assert_int_equal(aspace_file_open(mapping, &fo, &file), 0);
	aspace_mapping_put(mapping);
	return file;
}

/* ---- mmap, munmap, mprotect ----------------------------------------------------------------------- */

static void test_new_ranges_join(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 4, RW);
	must_map(&s, 6, 2, RW);
	picture(&s, "0-4 rw-p | 6-8 rw-p");
	must_map(&s, 4, 2, RW);		/* the gap between them */
	picture(&s, "0-8 rw-p");
	must_map(&s, 2, 2, R);		/* over the middle */
	picture(&s, "0-2 rw-p | 2-4 r--p | 4-8 rw-p");
	must_map(&s, 2, 2, RW);
	picture(&s, "0-8 rw-p");
	must_map(&s, 1, 6, PROT_NONE);
	must_map(&s, 3, 2, PROT_NONE);
	picture(&s, "0-1 rw-p | 1-7 ---p | 7-8 rw-p");
	leave(&s);
}

static void test_unmap(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 10, RW);
	assert_int_equal(unmap(&s, 0, 1), 0);
	assert_int_equal(unmap(&s, 9, 1), 0);
	assert_int_equal(unmap(&s, 4, 2), 0);
	picture(&s, "1-4 rw-p | 6-9 rw-p");
	assert_int_equal(unmap(&s, 4, 2), 0);	/* a hole: nothing to do */
	assert_int_equal(unmap(&s, 2, 5), 0);
	picture(&s, "1-2 rw-p | 7-9 rw-p");
	assert_int_equal(aspace_munmap(s.mm, AT(1) + 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(aspace_munmap(s.mm, AT(1), 0), -EINVAL);
	assert_int_equal(aspace_munmap(s.mm, AT(1), UINT64_MAX), -EINVAL);
	assert_int_equal(aspace_munmap(s.mm, 0, s.mm->task_size + 1), -EINVAL);
	assert_int_equal(aspace_munmap(s.mm, 0, s.mm->task_size), 0);
	picture(&s, "");
	leave(&s);
}

static void test_mprotect(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 9, RW);
	assert_int_equal(protect(&s, 3, 3, R), 0);
	picture(&s, "0-3 rw-p | 3-6 r--p | 6-9 rw-p");
	assert_int_equal(protect(&s, 2, 3, R), 0);	/* its front joins, 2 shrinks */
	picture(&s, "0-2 rw-p | 2-6 r--p | 6-9 rw-p");
	assert_int_equal(protect(&s, 4, 3, RW), 0);
	picture(&s, "0-2 rw-p | 2-4 r--p | 4-9 rw-p");
	assert_int_equal(protect(&s, 2, 2, RW), 0);
	picture(&s, "0-9 rw-p");
	assert_int_equal(unmap(&s, 5, 1), 0);
	assert_int_equal(protect(&s, 4, 4, R), -ENOMEM);	/* up to the hole */
	picture(&s, "0-4 rw-p | 4-5 r--p | 6-9 rw-p");
	assert_int_equal(protect(&s, 5, 2, R), -ENOMEM);
	assert_int_equal(protect(&s, 0, 1, 0x10), -EINVAL);
	assert_int_equal(protect(&s, 0, 0, 0x10), 0);
	assert_int_equal(aspace_mprotect(s.mm, AT(0) + 1, 0, R), -EINVAL);
	assert_int_equal(aspace_mprotect(s.mm, AT(0), UINT64_MAX, R), -ENOMEM);
	assert_int_equal(protect(&s, 0, 1, R | PROT_GROWSDOWN), -EINVAL);
	leave(&s);
}

static void test_grows_down(void **state)
{
	struct space s;

	stage(&s);
	assert_int_equal(map(&s, 1000, 4, RW, FIXED | MAP_GROWSDOWN), AT(1000));
	assert_int_equal(protect(&s, 1003, 1, R | PROT_GROWSDOWN), 0);
	picture(&s, "1000-1004 r--p");
	must_map(&s, 700, 1, RW);
	down_write(&s.mm->mmap_lock);
	/* 256 pages of guard gap above what can be accessed */
	assert_int_equal(expand_stack(find_vma(s.mm, AT(1000)), AT(956)), -ENOMEM);
	assert_int_equal(expand_stack(find_vma(s.mm, AT(1000)), AT(957)), 0);
	up_write(&s.mm->mmap_lock);
	picture(&s, "700-701 rw-p | 957-1004 r--p");
	aspace_mm_set_rlimit(s.mm, ASPACE_RLIMIT_STACK, PAGES(50));
	assert_int_equal(unmap(&s, 700, 1), 0);
	down_write(&s.mm->mmap_lock);
	assert_int_equal(expand_stack(find_vma(s.mm, AT(1000)), AT(953)), -ENOMEM);
	assert_int_equal(expand_stack(find_vma(s.mm, AT(1000)), AT(954)), 0);
	up_write(&s.mm->mmap_lock);
	picture(&s, "954-1004 r--p");
	leave(&s);
}

static void test_mmap_errors(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 2, RW);
	assert_int_equal(map(&s, 1, 2, RW, ANON | MAP_FIXED_NOREPLACE), -EEXIST);
	assert_int_equal(map(&s, 2, 2, RW, ANON | MAP_FIXED_NOREPLACE), AT(2));
	assert_int_equal(map(&s, 0, 0, RW, ANON), -EINVAL);
	assert_int_equal(map(&s, 0, 1, RW, MAP_ANONYMOUS), -EINVAL);
	assert_int_equal(map(&s, 0, 1, RW, MAP_ANONYMOUS | MAP_SHARED_VALIDATE), -EINVAL);
	assert_int_equal(map(&s, 0, 1, RW, MAP_PRIVATE), -EBADF);
	assert_int_equal(aspace_mmap(s.mm, 0, PAGE_SIZE, RW, ANON, NULL, 1), -EINVAL);
	assert_int_equal(aspace_mmap(s.mm, 0, UINT64_MAX, RW, ANON, NULL, 0), -ENOMEM);
	assert_int_equal(aspace_mmap(s.mm, 0, 1ull << 47, RW, ANON, NULL, 0), -ENOMEM);
	assert_int_equal(aspace_mmap(s.mm, 4096, PAGE_SIZE, RW, FIXED, NULL, 0), -EPERM);
	assert_int_equal(aspace_mmap(s.mm, UINT64_MAX << 12, PAGE_SIZE, RW, FIXED, NULL, 0), -ENOMEM);
	assert_int_equal(aspace_mmap(s.mm, AT(9) + 1, PAGE_SIZE, RW, FIXED, NULL, 0), -EINVAL);
	assert_int_equal(map(&s, 9, 512, RW, ANON | MAP_HUGETLB), -ENOMEM);
	assert_int_equal(map(&s, 9, 1, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_GROWSDOWN), -EINVAL);
	assert_int_equal(map(&s, 9, 1, RW, MAP_ANONYMOUS | MAP_DROPPABLE | MAP_LOCKED), -EINVAL);
	picture(&s, "0-4 rw-p");
	leave(&s);
}

static void test_special_kinds(void **state)
{
	struct space s;

	stage(&s);
	assert_int_equal(map(&s, 0, 1, RW, MAP_ANONYMOUS | MAP_DROPPABLE | MAP_FIXED), AT(0));
	assert_int_equal(flags_at(&s, 0) & (VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP | VM_ACCOUNT),
			 VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP);
	assert_int_equal(map(&s, 2, 1, RW, FIXED | MAP_STACK), AT(2));
	assert_int_equal(flags_at(&s, 2) & VM_NOHUGEPAGE, VM_NOHUGEPAGE);
	assert_int_equal(map(&s, 4, 1, RW, FIXED | MAP_NORESERVE), AT(4));
	assert_int_equal(flags_at(&s, 4) & (VM_NORESERVE | VM_ACCOUNT), VM_NORESERVE);
	assert_int_equal(map(&s, 6, 1, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_FIXED), AT(6));
	assert_int_equal(map(&s, 7, 1, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_FIXED), AT(7));
	picture(&s, "0-1 rw-p | 2-3 rw-p | 4-5 rw-p | 6-7 rw-s | 7-8 rw-s");
	must_map(&s, 9, 1, PROT_EXEC);
	assert_int_equal((flags_at(&s, 9) & VM_PKEY_MASK) >> VM_PKEY_SHIFT, 1);
	assert_int_equal(protect(&s, 9, 1, R | PROT_EXEC), 0);
	assert_int_equal((flags_at(&s, 9) & VM_PKEY_MASK) >> VM_PKEY_SHIFT, 0);
	assert_int_equal(aspace_pkey_alloc(s.mm), 2);
	assert_int_equal(aspace_pkey_free(s.mm, 1), -EINVAL);
	assert_int_equal(aspace_pkey_mprotect(s.mm, AT(9), PAGE_SIZE, RW, 3), -EINVAL);
	assert_int_equal(aspace_pkey_mprotect(s.mm, AT(9), PAGE_SIZE, RW, 2), 0);
	assert_int_equal((flags_at(&s, 9) & VM_PKEY_MASK) >> VM_PKEY_SHIFT, 2);
	aspace_mm_set_personality(s.mm, READ_IMPLIES_EXEC);
	must_map(&s, 11, 1, R);
	assert_true(flags_at(&s, 11) & VM_EXEC);
	leave(&s);
}

/* ---- files ------------------------------------------------------------------------------------------- */

static void test_files(void **state)
{
	struct space s;
	struct aspace_file *rd, *rw;

	stage(&s);
	rd = open_file(&s, false, "/a");
	rw = open_file(&s, true, "/b");
	assert_int_equal(aspace_mmap(s.mm, AT(0), PAGES(4), R, MAP_SHARED | MAP_FIXED, rw, PAGES(2)), AT(0));
	assert_int_equal(aspace_mmap(s.mm, AT(4), PAGES(2), R, MAP_SHARED | MAP_FIXED, rw, PAGES(6)), AT(4));
	picture(&s, "0-6 r--s+2");	/* the file goes on where the area ended */
	assert_int_equal(aspace_mmap(s.mm, AT(6), PAGES(2), R, MAP_SHARED | MAP_FIXED, rw, PAGES(9)), AT(6));
	assert_int_equal(unmap(&s, 1, 1), 0);
	picture(&s, "0-1 r--s+2 | 2-6 r--s+4 | 6-8 r--s+9");
	assert_int_equal(aspace_mmap(s.mm, AT(9), PAGE_SIZE, RW, MAP_SHARED, rd, 0), -EACCES);
	assert_int_equal(aspace_mmap(s.mm, AT(9), PAGE_SIZE, R, MAP_SHARED_VALIDATE | MAP_SYNC, rw, 0), -EOPNOTSUPP);
	assert_int_equal(aspace_mmap(s.mm, AT(9), PAGE_SIZE, R, MAP_PRIVATE | MAP_GROWSDOWN, rw, 0), -EINVAL);
	assert_int_equal(aspace_mmap(s.mm, AT(9), PAGE_SIZE, R, MAP_SHARED | MAP_FIXED, rd, 0), AT(9));
	assert_int_equal(protect(&s, 9, 1, RW), -EACCES);	/* opened read-only: never */
	assert_int_equal(flags_at(&s, 9) & (VM_SHARED | VM_MAYSHARE | VM_MAYWRITE), VM_MAYSHARE);
	assert_int_equal(aspace_mmap(s.mm, 0, PAGE_SIZE, R, MAP_PRIVATE, rw, 1ull << 63), -EOVERFLOW);
	aspace_file_put(rd);
	aspace_file_put(rw);
	leave(&s);
}

static void test_write_seal(void **state)
{
	struct space s;
	struct aspace_file *f;

	stage(&s);
	f = open_file(&s, true, "/memfd:x (deleted)");
	assert_int_equal(aspace_mmap(s.mm, AT(0), PAGE_SIZE, R, MAP_SHARED | MAP_FIXED, f, 0), AT(0));
	assert_int_equal(aspace_mapping_add_seals(aspace_file_mapping(f), F_SEAL_WRITE), -EBUSY);
	assert_int_equal(unmap(&s, 0, 1), 0);
	assert_int_equal(aspace_mapping_add_seals(aspace_file_mapping(f), F_SEAL_WRITE), 0);
	assert_int_equal(aspace_mmap(s.mm, AT(0), PAGE_SIZE, RW, MAP_SHARED | MAP_FIXED, f, 0), -EPERM);
	assert_int_equal(aspace_mmap(s.mm, AT(0), PAGE_SIZE, R, MAP_SHARED | MAP_FIXED, f, 0), AT(0));
	assert_int_equal(protect(&s, 0, 1, RW), -EACCES);
	assert_int_equal(aspace_mmap(s.mm, AT(2), PAGE_SIZE, RW, MAP_PRIVATE | MAP_FIXED, f, 0), AT(2));
	aspace_file_put(f);
	leave(&s);
}

/* ---- merging and anonymous pages ---------------------------------------------------------------------- */

static void test_merge_with_pages(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 2, RW);
	touch(&s, 0);
	must_map(&s, 4, 2, RW);
	touch(&s, 4);
	must_map(&s, 2, 2, RW);	/* joins the lower; the upper has pages of its own */
	picture(&s, "0-4 rw-p | 4-6 rw-p");
	assert_int_equal(unmap(&s, 0, 6), 0);

	/* neighbours but for their protection share an anon_vma, so that they may join later */
	assert_int_equal(map(&s, 0, 2, RW, FIXED | MAP_NORESERVE), AT(0));
	assert_int_equal(map(&s, 2, 2, R, FIXED | MAP_NORESERVE), AT(2));
	touch(&s, 0);
	touch(&s, 2);
	assert_int_equal(protect(&s, 2, 2, RW), 0);
	picture(&s, "0-4 rw-p");
	assert_int_equal(unmap(&s, 0, 4), 0);

	/* one of them charged, the other not: they are no such neighbours */
	must_map(&s, 0, 2, RW);
	must_map(&s, 2, 2, R);
	touch(&s, 0);
	touch(&s, 2);
	assert_int_equal(protect(&s, 2, 2, RW), 0);
	picture(&s, "0-2 rw-p | 2-4 rw-p");
	assert_int_equal(unmap(&s, 0, 4), 0);

	must_map(&s, 0, 2, RW);
	must_map(&s, 2, 2, R);
	touch(&s, 2);
	assert_int_equal(protect(&s, 2, 2, RW), 0);	/* the lower, without pages, takes over the upper's */
	picture(&s, "0-4 rw-p");
	leave(&s);
}

static void test_fork_children_stay_apart(void **state)
{
	struct space s;
	struct aspace_mm *child, *parent;

	stage(&s);
	must_map(&s, 0, 4, RW);
	touch(&s, 0);
	must_map(&s, 6, 2, R);
	assert_int_equal(map(&s, 8, 1, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_FIXED), AT(8));
	assert_int_equal(advise(&s, 6, 2, MADV_DONTFORK), 0);
	assert_int_equal(aspace_mm_fork(s.mm, &child), 0);
	picture(&s, "0-4 rw-p | 6-8 r--p | 8-9 rw-s");
	assert_string_equal(draw_mm(child), "0-4 rw-p | 8-9 rw-s");
	parent = s.mm;
	s.mm = child;
	must_map(&s, 4, 1, RW);		/* tied to the parent's pages: not joined */
	picture(&s, "0-4 rw-p | 4-5 rw-p | 8-9 rw-s");
	assert_int_equal(remap(&s, 0, 4, 4, MREMAP_MAYMOVE | MREMAP_FIXED, 20), AT(20));
	picture(&s, "4-5 rw-p | 8-9 rw-s | 20-24 rw-p");
	aspace_mm_put(parent);
	leave(&s);
}

/* ---- placement ---------------------------------------------------------------------------------------- */

#define TOP	(0x7ffff7fff000ull)	/* mmap_base for a stack limit of 8 MiB without ASLR */

static void test_placement(void **state)
{
	struct space s;
	int64_t a, b;

	stage(&s);
	assert_int_equal(s.mm->mmap_base, TOP);
	a = map(&s, -1, 4, RW, ANON);
	b = map(&s, -1, 4, R, ANON);
	assert_int_equal(a, TOP - PAGES(4));
	assert_int_equal(b, TOP - PAGES(8));
	assert_int_equal(aspace_munmap(s.mm, (uint64_t)a, PAGES(2)), 0);
	assert_int_equal(map(&s, -1, 2, RW, ANON), a);		/* the highest gap that is large enough */
	assert_int_equal(map(&s, -1, 1, RW, ANON), b - (int64_t)PAGE_SIZE);
	must_map(&s, 0, 2, RW);
	assert_int_equal(map(&s, 1, 1, RW, ANON), b - (int64_t)PAGES(2));	/* the hint is taken */
	assert_int_equal(map(&s, 2, 1, RW, ANON), AT(2));
	assert_int_equal(aspace_mmap(s.mm, 1, PAGE_SIZE, RW, ANON, NULL, 0), b - (int64_t)PAGES(3));
	assert_int_equal(aspace_mmap(s.mm, 0x5000, PAGE_SIZE, RW, ANON, NULL, 0), 65536);
	assert_int_equal(map(&s, -1, 1, RW, ANON | MAP_32BIT), 0x40000000);
	assert_int_equal(map(&s, -1, 1, RW, ANON | MAP_32BIT), 0x40001000);
	leave(&s);
}

static void test_stack_gap_in_placement(void **state)
{
	struct space s;
	uint64_t stack = TOP - PAGES(400);

	stage(&s);
	assert_int_equal(aspace_mmap(s.mm, stack, PAGES(1), RW, FIXED | MAP_GROWSDOWN, NULL, 0), stack);
	assert_int_equal(map(&s, -1, 399, RW, ANON), stack + PAGES(1));
	assert_int_equal(map(&s, -1, 1, RW, ANON), stack - PAGES(257));
	/* a hint inside the gap is refused */
	assert_int_equal(aspace_mmap(s.mm, stack - PAGES(10), PAGES(1), RW, ANON, NULL, 0), stack - PAGES(258));
	leave(&s);
}

static void test_legacy_and_fallback(void **state)
{
	struct space s;
	struct aspace_layout l = { .size = sizeof(l) };

	stage(&s);
	aspace_mm_layout(s.mm, &l);
	aspace_layout_pick(&l, UINT64_MAX, ASPACE_ADDR_COMPAT_LAYOUT, 0);
	assert_int_equal(aspace_mm_set_layout(s.mm, &l), 0);
	assert_int_equal(map(&s, -1, 1, RW, ANON), 0x2aaaaaaab000);
	assert_int_equal(map(&s, -1, 1, RW, ANON), 0x2aaaaaaac000);
	l.legacy = false;
	l.mmap_base = 0x20000;	/* no room: bottom-up it is */
	assert_int_equal(aspace_mm_set_layout(s.mm, &l), 0);
	assert_int_equal(map(&s, -1, 17, RW, ANON), 0x2aaaaaaad000);
	assert_int_equal(map(&s, -1, 16, RW, ANON), 0x10000);
	leave(&s);
}

static void test_five_levels(void **state)
{
	struct space s;
	uint64_t high = 1ull << 50;

	stage_with(&s, (struct aspace_machine_options){ .format = ASPACE_X86_64_5LEVEL });
	assert_int_equal(map(&s, -1, 1, RW, ANON), TOP - PAGES(1));
	assert_int_equal(aspace_mmap(s.mm, high, PAGE_SIZE, RW, ANON, NULL, 0), high);
	/* taken, but it says that addresses may be high */
	assert_int_equal(aspace_mmap(s.mm, high, PAGE_SIZE, R, ANON, NULL, 0),
			 TOP + ((1ull << 56) - (1ull << 47)) - PAGE_SIZE);
	leave(&s);
}

static void test_huge_alignment(void **state)
{
	struct space s;
	int64_t a;

	stage_with(&s, (struct aspace_machine_options){ .thp_align = 1 });
	map(&s, -1, 1, RW, ANON);
	a = map(&s, -1, 512, RW, ANON);
	assert_int_equal(a & 0x1fffff, 0);
	assert_int_equal(map(&s, -1, 513, RW, ANON), a - (int64_t)PAGES(513));
	leave(&s);
}

/* ---- brk ------------------------------------------------------------------------------------------------ */

static void test_brk(void **state)
{
	struct space s;
	struct aspace_layout l = { .size = sizeof(l) };

	stage(&s);
	aspace_mm_layout(s.mm, &l);
	l.start_brk = l.brk = AT(0) + 100;
	assert_int_equal(aspace_mm_set_layout(s.mm, &l), 0);
	assert_int_equal(aspace_brk(s.mm, 0), AT(0) + 100);
	assert_int_equal(aspace_brk(s.mm, AT(0) + 200), AT(0) + 200);
	picture(&s, "");
	assert_int_equal(aspace_brk(s.mm, AT(3)), AT(3));
	picture(&s, "1-3 rw-p");
	assert_int_equal(aspace_brk(s.mm, AT(3) + 1), AT(3) + 1);
	picture(&s, "1-4 rw-p");
	assert_int_equal(aspace_brk(s.mm, AT(1) + 5), AT(1) + 5);
	picture(&s, "1-2 rw-p");
	must_map(&s, 6, 1, R);
	assert_int_equal(aspace_brk(s.mm, AT(6)), AT(1) + 5);	/* one free page must be left */
	assert_int_equal(aspace_brk(s.mm, AT(5)), AT(5));
	aspace_mm_set_rlimit(s.mm, ASPACE_RLIMIT_DATA, 3 * PAGE_SIZE);
	assert_int_equal(aspace_brk(s.mm, AT(4)), AT(5));	/* also when it shrinks */
	assert_int_equal(aspace_brk(s.mm, AT(3)), AT(3));
	leave(&s);
}

/* ---- mremap --------------------------------------------------------------------------------------------- */

static void test_mremap(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 4, RW);
	assert_int_equal(remap(&s, 0, 4, 6, 0, 0), AT(0));		/* in place */
	picture(&s, "0-6 rw-p");
	assert_int_equal(remap(&s, 0, 6, 2, 0, 0), AT(0));
	picture(&s, "0-2 rw-p");
	must_map(&s, 3, 1, R);
	assert_int_equal(remap(&s, 0, 2, 4, 0, 0), -ENOMEM);
	assert_int_equal(remap(&s, 0, 2, 4, MREMAP_MAYMOVE | MREMAP_FIXED, 10), AT(10));
	picture(&s, "3-4 r--p | 10-14 rw-p");
	assert_int_equal(remap(&s, 11, 1, 1, MREMAP_MAYMOVE | MREMAP_FIXED, 20), AT(20));
	picture(&s, "3-4 r--p | 10-11 rw-p | 12-14 rw-p | 20-21 rw-p");
	assert_int_equal(remap(&s, 12, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 21), AT(21));
	picture(&s, "3-4 r--p | 10-11 rw-p | 20-23 rw-p");		/* no pages yet: they join */
	assert_int_equal(remap(&s, 20, 3, 3, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, 30), AT(30));
	picture(&s, "3-4 r--p | 10-11 rw-p | 20-23 rw-p | 30-33 rw-p");
	assert_int_equal(remap(&s, 20, 3, 3, MREMAP_MAYMOVE, 0), AT(20));
	assert_int_equal(remap(&s, 40, 1, 1, MREMAP_MAYMOVE, 0), -EFAULT);
	assert_int_equal(remap(&s, 20, 4, 5, MREMAP_MAYMOVE, 0), -EFAULT);
	assert_int_equal(remap(&s, 20, 0, 5, MREMAP_MAYMOVE, 0), -EINVAL);
	assert_int_equal(remap(&s, 20, 3, 3, MREMAP_MAYMOVE | MREMAP_FIXED, 22), -EINVAL);
	assert_int_equal(remap(&s, 20, 3, 3, MREMAP_FIXED, 50), -EINVAL);
	assert_int_equal(remap(&s, 20, 3, 0, 0, 50), -EINVAL);
	assert_int_equal(remap(&s, 20, 3, 2, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0), -EINVAL);
	leave(&s);
}

static void test_mremap_keeps_page_order(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 4, RW);
	touch(&s, 0);
	assert_int_equal(remap(&s, 2, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 6), AT(6));
	must_map(&s, 8, 1, RW);
	picture(&s, "0-2 rw-p | 6-8 rw-p | 8-9 rw-p");	/* the pages' numbers went along: no neighbour fits */
	assert_int_equal(remap(&s, 6, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 2), AT(2));
	picture(&s, "0-4 rw-p | 8-9 rw-p");
	leave(&s);
}

static void test_mremap_many(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 2, RW);
	must_map(&s, 2, 1, R);
	must_map(&s, 5, 2, RW);
	assert_int_equal(remap(&s, 1, 5, 5, MREMAP_MAYMOVE | MREMAP_FIXED, 21), AT(21));
	picture(&s, "0-1 rw-p | 6-7 rw-p | 21-22 rw-p | 22-23 r--p | 25-26 rw-p");
	assert_int_equal(remap(&s, 20, 3, 3, MREMAP_MAYMOVE | MREMAP_FIXED, 40), -EFAULT);	/* starts in a hole */
	assert_int_equal(remap(&s, 21, 4, 3, MREMAP_MAYMOVE | MREMAP_FIXED, 40), -EFAULT);	/* not of one length */
	assert_int_equal(remap(&s, 21, 3, 3, MREMAP_MAYMOVE | MREMAP_FIXED, 40), AT(40));
	picture(&s, "0-1 rw-p | 6-7 rw-p | 25-26 rw-p | 40-41 rw-p | 41-42 r--p");
	leave(&s);
}

static void test_mremap_shared_copy(void **state)
{
	struct space s;

	stage(&s);
	assert_int_equal(map(&s, 0, 4, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_FIXED), AT(0));
	assert_int_equal(remap(&s, 1, 0, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 10), AT(10));
	picture(&s, "0-4 rw-s | 10-12 rw-s+1");
	leave(&s);
}

/* ---- madvise, mlock, mseal, msync, names ------------------------------------------------------------------ */

static void test_madvise(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 6, RW);
	assert_int_equal(advise(&s, 2, 2, MADV_RANDOM), 0);
	picture(&s, "0-2 rw-p | 2-4 rw-p | 4-6 rw-p");
	assert_int_equal(advise(&s, 0, 6, MADV_NORMAL), 0);
	picture(&s, "0-6 rw-p");
	assert_int_equal(unmap(&s, 3, 1), 0);
	assert_int_equal(advise(&s, 2, 3, MADV_DONTFORK), -ENOMEM);	/* over the hole, and says so */
	assert_int_equal(flags_at(&s, 4) & VM_DONTCOPY, VM_DONTCOPY);
	assert_int_equal(advise(&s, 2, 3, MADV_DOFORK), -ENOMEM);
	picture(&s, "0-3 rw-p | 4-6 rw-p");
	assert_int_equal(advise(&s, 0, 1, 5), -EINVAL);
	assert_int_equal(advise(&s, 0, 0, MADV_DONTNEED), 0);
	assert_int_equal(aspace_madvise(s.mm, AT(0) + 1, 0, MADV_DONTNEED), -EINVAL);
	assert_int_equal(aspace_madvise(s.mm, AT(0), UINT64_MAX, MADV_DONTNEED), -EINVAL);
	assert_int_equal(advise(&s, 0, 1, MADV_REMOVE), -EINVAL);
	assert_int_equal(map(&s, 8, 1, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_FIXED), AT(8));
	assert_int_equal(advise(&s, 8, 1, MADV_WIPEONFORK), -EINVAL);
	assert_int_equal(advise(&s, 8, 1, MADV_FREE), -EINVAL);
	assert_int_equal(aspace_mlock(s.mm, AT(0), PAGE_SIZE, 0), 0);
	assert_int_equal(advise(&s, 0, 1, MADV_DONTNEED), -EINVAL);
	assert_int_equal(advise(&s, 0, 1, MADV_DONTNEED_LOCKED), 0);
	assert_int_equal(advise(&s, 0, 1, MADV_POPULATE_WRITE), 0);
	assert_int_equal(protect(&s, 0, 1, R), 0);
	assert_int_equal(advise(&s, 0, 1, MADV_POPULATE_WRITE), -EINVAL);
	leave(&s);
}

static void test_mlock(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 6, RW);
	aspace_mm_set_rlimit(s.mm, ASPACE_RLIMIT_MEMLOCK, PAGES(3));
	assert_int_equal(aspace_mlock(s.mm, AT(1) + 7, PAGES(1), 0), 0);	/* two pages */
	picture(&s, "0-1 rw-p | 1-3 rw-pl | 3-6 rw-p");
	assert_int_equal(aspace_mlock(s.mm, AT(1), PAGES(3), MLOCK_ONFAULT), 0);	/* two count already */
	picture(&s, "0-1 rw-p | 1-4 rw-plf | 4-6 rw-p");
	assert_int_equal(aspace_mlock(s.mm, AT(4), PAGES(1), 0), -ENOMEM);
	assert_int_equal(stats(&s).locked_vm, 3);
	assert_int_equal(map(&s, 8, 1, RW, FIXED | MAP_LOCKED), -EAGAIN);
	assert_int_equal(aspace_munlock(s.mm, AT(0), PAGES(9)), -ENOMEM);
	picture(&s, "0-6 rw-p");
	assert_int_equal(aspace_mlock(s.mm, AT(0), PAGES(1), 2), -EINVAL);
	assert_int_equal(aspace_mlockall(s.mm, MCL_CURRENT), -ENOMEM);
	assert_int_equal(aspace_mlockall(s.mm, MCL_FUTURE | MCL_ONFAULT), 0);
	assert_int_equal(map(&s, 8, 3, RW, FIXED), AT(8));
	picture(&s, "0-6 rw-p | 8-11 rw-plf");
	assert_int_equal(map(&s, 12, 1, RW, FIXED), -EAGAIN);
	assert_int_equal(aspace_munlockall(s.mm), 0);
	picture(&s, "0-6 rw-p | 8-11 rw-p");
	aspace_mm_set_rlimit(s.mm, ASPACE_RLIMIT_MEMLOCK, 0);
	assert_int_equal(aspace_mlock(s.mm, AT(0), PAGES(1), 0), -EPERM);
	aspace_mm_set_privileged(s.mm, true, false);
	assert_int_equal(aspace_mlockall(s.mm, MCL_CURRENT), 0);
	picture(&s, "0-6 rw-pl | 8-11 rw-pl");
	leave(&s);
}

/* Linux counts what MREMAP_DONTUNMAP leaves unlocked as locked on. */
static void test_locked_dontunmap(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 4, RW);
	assert_int_equal(aspace_mlock(s.mm, AT(0), PAGES(4), 0), 0);
	assert_int_equal(remap(&s, 0, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, 10), AT(10));
	picture(&s, "0-4 rw-p | 10-12 rw-pl");
	assert_int_equal(stats(&s).locked_vm, 6);
	leave(&s);
}

static void test_mseal(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 6, RW);
	assert_int_equal(aspace_mseal(s.mm, AT(2), PAGES(5), 0), -ENOMEM);
	assert_int_equal(aspace_mseal(s.mm, AT(2), PAGES(2), 1), -EINVAL);
	assert_int_equal(aspace_mseal(s.mm, AT(2), PAGES(2), 0), 0);
	picture(&s, "0-2 rw-p | 2-4 rw-p | 4-6 rw-p");
	assert_int_equal(unmap(&s, 3, 2), -EPERM);
	assert_int_equal(unmap(&s, 0, 6), -EPERM);
	assert_int_equal(protect(&s, 1, 2, R), -EPERM);	/* up to the seal */
	picture(&s, "0-1 rw-p | 1-2 r--p | 2-4 rw-p | 4-6 rw-p");
	assert_int_equal(map(&s, 2, 1, RW, FIXED), -EPERM);
	assert_int_equal(remap(&s, 2, 1, 2, MREMAP_MAYMOVE, 0), -EPERM);
	assert_int_equal(remap(&s, 4, 1, 1, MREMAP_MAYMOVE | MREMAP_FIXED, 3), -EPERM);
	assert_int_equal(advise(&s, 2, 1, MADV_DONTNEED), 0);	/* writable: it could be overwritten as well */
	assert_int_equal(aspace_mlock(s.mm, AT(2), PAGES(1), 0), 0);
	leave(&s);
}

static void test_names(void **state)
{
	struct space s;
	struct aspace_area a = { .size = sizeof(a) };
	char long_name[81];

	stage(&s);
	must_map(&s, 0, 6, RW);
	assert_int_equal(aspace_set_anon_name(s.mm, AT(2), PAGES(2), "arena"), 0);
	picture(&s, "0-2 rw-p | 2-4 rw-p | 4-6 rw-p");
	assert_int_equal(aspace_find_area(s.mm, AT(2), &a), 0);
	assert_string_equal(a.name, "[anon:arena]");
	assert_int_equal(aspace_set_anon_name(s.mm, AT(4), PAGES(1), "arena"), 0);
	picture(&s, "0-2 rw-p | 2-5 rw-p | 5-6 rw-p");
	assert_int_equal(aspace_set_anon_name(s.mm, AT(0), PAGES(6), NULL), 0);
	picture(&s, "0-6 rw-p");
	assert_int_equal(aspace_set_anon_name(s.mm, AT(0), PAGES(1), "a[b"), -EINVAL);
	memset(long_name, 'x', 80);
	long_name[80] = '\0';
	assert_int_equal(aspace_set_anon_name(s.mm, AT(0), PAGES(1), long_name), -EINVAL);
	leave(&s);
}

static void test_msync_and_mincore(void **state)
{
	struct space s;
	unsigned char vector[8] = { 0xff, 0xff, 0xff };

	stage(&s);
	must_map(&s, 0, 2, RW);
	must_map(&s, 3, 2, RW);
	assert_int_equal(aspace_msync(s.mm, AT(0), PAGES(2), MS_SYNC), 0);
	assert_int_equal(aspace_msync(s.mm, AT(0), PAGES(4), MS_ASYNC), -ENOMEM);
	assert_int_equal(aspace_msync(s.mm, AT(0), PAGES(4), MS_SYNC), -ENOMEM);
	assert_int_equal(aspace_msync(s.mm, AT(0), PAGES(1), MS_SYNC | MS_ASYNC), -EINVAL);
	assert_int_equal(aspace_mlock(s.mm, AT(0), PAGES(1), 0), 0);
	assert_int_equal(aspace_msync(s.mm, AT(0), PAGES(1), MS_INVALIDATE), -EBUSY);
	assert_int_equal(aspace_mincore(s.mm, AT(0), PAGES(2), vector), 0);
	assert_int_equal(vector[0] | vector[1], 0);
	assert_int_equal(aspace_mincore(s.mm, AT(0), PAGES(4), vector), -ENOMEM);
	assert_int_equal(aspace_mincore(s.mm, AT(0) + 1, PAGES(4), vector), -EINVAL);
	leave(&s);
}

static void test_remap_file_pages(void **state)
{
	struct space s;
	struct aspace_file *f;

	stage(&s);
	f = open_file(&s, true, "/f");
	assert_int_equal(aspace_mmap(s.mm, AT(0), PAGES(6), RW, MAP_SHARED | MAP_FIXED, f, 0), AT(0));
	assert_int_equal(aspace_remap_file_pages(s.mm, AT(2), PAGES(2), 0, 5, 0), 0);
	picture(&s, "0-2 rw-s | 2-4 rw-s+5 | 4-6 rw-s+4");
	assert_int_equal(aspace_remap_file_pages(s.mm, AT(2), PAGES(2), R, 5, 0), -EINVAL);
	assert_int_equal(aspace_remap_file_pages(s.mm, AT(5), PAGES(2), 0, 5, 0), -EINVAL);
	aspace_file_put(f);
	leave(&s);
}

/* ---- limits ---------------------------------------------------------------------------------------------- */

static void test_map_count(void **state)
{
	struct space s;

	stage_with(&s, (struct aspace_machine_options){ .max_map_count = 4 });
	must_map(&s, 0, 9, RW);
	assert_int_equal(protect(&s, 1, 1, R), 0);
	assert_int_equal(protect(&s, 3, 1, R), -ENOMEM);	/* one split is left, two are needed */
	picture(&s, "0-1 rw-p | 1-2 r--p | 2-3 rw-p | 3-9 rw-p");
	assert_int_equal(unmap(&s, 5, 1), -ENOMEM);
	assert_int_equal(unmap(&s, 2, 2), 0);
	picture(&s, "0-1 rw-p | 1-2 r--p | 4-9 rw-p");
	must_map(&s, 20, 1, RW);
	must_map(&s, 22, 1, RW);	/* one more than the limit is let through */
	assert_int_equal(map(&s, 24, 1, RW, FIXED), -ENOMEM);
	assert_int_equal(advise(&s, 5, 1, MADV_RANDOM), -EAGAIN);
	leave(&s);
}

static void test_limits(void **state)
{
	struct space s;

	stage(&s);
	aspace_mm_set_rlimit(s.mm, ASPACE_RLIMIT_DATA, PAGES(2));
	assert_int_equal(map(&s, 0, 3, RW, FIXED), -ENOMEM);
	must_map(&s, 0, 3, R);
	assert_int_equal(protect(&s, 0, 3, RW), -ENOMEM);
	assert_int_equal(protect(&s, 0, 2, RW), 0);
	aspace_mm_set_rlimit(s.mm, ASPACE_RLIMIT_AS, PAGES(4));
	assert_int_equal(map(&s, 8, 2, R, FIXED), -ENOMEM);
	assert_int_equal(map(&s, 1, 3, R, FIXED), AT(1));	/* what it replaces is given back first */
	picture(&s, "0-1 rw-p | 1-4 r--p");
	assert_int_equal(map(&s, 2, 3, R, FIXED), -ENOMEM);
	picture(&s, "0-1 rw-p | 1-2 r--p | 2-4 r--p");		/* split on the way, as in Linux */
	leave(&s);
}

static void test_commit_charge(void **state)
{
	struct space s;
	atomic_long *committed;

	stage_with(&s, (struct aspace_machine_options){ .overcommit = ASPACE_OVERCOMMIT_NEVER,
							.overcommit_pages = 20 });
	committed = &s.m->vm_committed_as;
	must_map(&s, 0, 4, RW);
	assert_int_equal(*committed, 4);
	must_map(&s, 4, 20, R);
	assert_int_equal(*committed, 4);
	assert_int_equal(protect(&s, 4, 6, RW), -ENOMEM);
	assert_int_equal(protect(&s, 4, 2, RW), 0);
	assert_int_equal(*committed, 6);
	assert_int_equal(protect(&s, 0, 2, R), 0);	/* nothing was written there: given back */
	assert_int_equal(*committed, 4);
	touch(&s, 2);
	assert_int_equal(protect(&s, 2, 2, R), 0);
	assert_int_equal(*committed, 4);
	assert_int_equal(map(&s, 30, 6, RW, FIXED | MAP_NORESERVE), -ENOMEM);	/* not heard in this mode */
	assert_int_equal(remap(&s, 4, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 40), AT(40));
	assert_int_equal(*committed, 4);
	assert_int_equal(unmap(&s, 40, 2), 0);
	assert_int_equal(*committed, 2);
	leave(&s);
}

static void test_counters(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 2, RW);
	must_map(&s, 2, 3, R | PROT_EXEC);
	must_map(&s, 5, 4, R);
	assert_int_equal(aspace_setup_stack(s.mm, AT(1000), PAGES(5), false), 0);
	assert_int_equal(stats(&s).total_vm, 14);
	assert_int_equal(stats(&s).data_vm, 2);
	assert_int_equal(stats(&s).exec_vm, 3);
	assert_int_equal(stats(&s).stack_vm, 5);
	assert_int_equal(unmap(&s, 0, 4), 0);
	assert_int_equal(stats(&s).total_vm, 10);
	assert_int_equal(stats(&s).hiwater_vm, 14);
	assert_int_equal(stats(&s).exec_vm, 1);
	leave(&s);
}

static void test_mdwe(void **state)
{
	struct space s;
	struct aspace_mm *child;

	stage(&s);
	must_map(&s, 0, 2, R);
	assert_int_equal(aspace_mm_set_mdwe(s.mm, MDWE_NO_INHERIT), -EINVAL);
	assert_int_equal(aspace_mm_set_mdwe(s.mm, MDWE_REFUSE_EXEC_GAIN | MDWE_NO_INHERIT), 0);
	assert_int_equal(aspace_mm_set_mdwe(s.mm, MDWE_REFUSE_EXEC_GAIN), -EPERM);
	assert_int_equal(protect(&s, 0, 1, R | PROT_EXEC), -EACCES);
	assert_int_equal(map(&s, 4, 1, RW | PROT_EXEC, FIXED), -EACCES);
	must_map(&s, 4, 1, R | PROT_EXEC);
	assert_int_equal(protect(&s, 4, 1, RW | PROT_EXEC), -EACCES);
	assert_int_equal(aspace_mm_fork(s.mm, &child), 0);
	assert_int_equal(aspace_mprotect(child, AT(0), PAGE_SIZE, R | PROT_EXEC), 0);
	aspace_mm_put(child);
	leave(&s);
}

/* ---- text -------------------------------------------------------------------------------------------------- */

struct text { char bytes[16384]; size_t n; };

static int collect(void *priv, const char *text, size_t n)
{
	struct text *t = priv;

	memcpy(t->bytes + t->n, text, n);
	t->n += n;
	t->bytes[t->n] = '\0';
	return 0;
}

static void test_maps_text(void **state)
{
	struct space s;
	struct aspace_file *f;
	struct aspace_layout l = { .size = sizeof(l) };
	struct text t = { .n = 0 };

	stage(&s);
	f = open_file(&s, true, "/tmp/a\nb");
	aspace_mmap(s.mm, AT(0), PAGES(2), R | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, f, PAGES(3));
	must_map(&s, 2, 1, PROT_NONE);
	must_map(&s, 4, 1, RW);
	aspace_mm_layout(s.mm, &l);
	l.start_brk = AT(10);
	l.brk = AT(10);
	l.start_stack = AT(1000) - 64;
	aspace_mm_set_layout(s.mm, &l);
	aspace_brk(s.mm, AT(11));
	aspace_setup_stack(s.mm, AT(1000), PAGES(1), false);
	assert_int_equal(aspace_print_maps(s.mm, collect, &t), 0);
	assert_string_equal(t.bytes,
		"10000000-10002000 r-xp 00003000 08:01 77                                 /tmp/a\\012b\n"
		"10002000-10003000 ---p 00000000 00:00 0 \n"
		"10004000-10005000 rw-p 00000000 00:00 0 \n"
		"1000a000-1000b000 rw-p 00000000 00:00 0                                  [heap]\n"
		"103e7000-103e8000 rw-p 00000000 00:00 0                                  [stack]\n");
	t.n = 0;
	assert_int_equal(unmap(&s, 0, 2), 0);
	assert_int_equal(unmap(&s, 4, 996), 0);
	assert_int_equal(aspace_print_smaps(s.mm, collect, &t), 0);
	assert_string_equal(t.bytes,
		"10002000-10003000 ---p 00000000 00:00 0 \n"
		"Size:                  4 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
		"Rss:                   0 kB\nPss:                   0 kB\nPss_Dirty:             0 kB\n"
		"Shared_Clean:          0 kB\nShared_Dirty:          0 kB\nPrivate_Clean:         0 kB\n"
		"Private_Dirty:         0 kB\nReferenced:            0 kB\nAnonymous:             0 kB\n"
		"KSM:                   0 kB\nLazyFree:              0 kB\nAnonHugePages:         0 kB\n"
		"ShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\nShared_Hugetlb:        0 kB\n"
		"Private_Hugetlb:       0 kB\nSwap:                  0 kB\nSwapPss:               0 kB\n"
		"Locked:                0 kB\nTHPeligible:           0\nProtectionKey:         0\n"
		"VmFlags: mr mw me \n");
	aspace_file_put(f);
	leave(&s);
}

static int refuse(void *priv, const char *text, size_t n)
{
	return -EIO;
}

static void test_text_stops(void **state)
{
	struct space s;

	stage(&s);
	must_map(&s, 0, 1, R);
	assert_int_equal(aspace_print_maps(s.mm, refuse, NULL), -EIO);
	leave(&s);
}

/* Area by area: what has gone in between isn't shown, what has come is. */
static void test_text_by_area(void **state)
{
	struct space s;
	struct text t = { .n = 0 };
	uint64_t at = 0;

	stage(&s);
	must_map(&s, 0, 1, R);
	must_map(&s, 4, 2, RW);
	must_map(&s, 8, 1, R);
	assert_int_equal(aspace_print_area(s.mm, ASPACE_MAPS, &at, collect, &t), 1);
	assert_int_equal(at, AT(1));
	assert_int_equal(unmap(&s, 4, 1), 0);
	must_map(&s, 2, 1, PROT_NONE);
	while (aspace_print_area(s.mm, ASPACE_MAPS, &at, collect, &t) == 1)
		;
	assert_string_equal(t.bytes,
		"10000000-10001000 r--p 00000000 00:00 0 \n"
		"10002000-10003000 ---p 00000000 00:00 0 \n"
		"10005000-10006000 rw-p 00000000 00:00 0 \n"
		"10008000-10009000 r--p 00000000 00:00 0 \n");
	assert_int_equal(at, AT(9));
	at = AT(2) + 1;
	assert_int_equal(aspace_print_area(s.mm, ASPACE_NUMA_MAPS, &at, refuse, NULL), -EIO);
	assert_int_equal(aspace_print_area(s.mm, (enum aspace_listing)9, &at, collect, &t), -EINVAL);
	leave(&s);
}

/* ---- every allocation fails once ------------------------------------------------------------------------------ */

/* Two areas with pages, one without, a file, a stack: what each call below is done to. */
static void furnish(struct space *s)
{
	struct aspace_layout l = { .size = sizeof(l) };
	struct aspace_file *f = open_file(s, true, "/f");

	aspace_mm_layout(s->mm, &l);
	l.start_brk = l.brk = AT(50);
	aspace_mm_set_layout(s->mm, &l);
	must_map(s, 0, 8, RW);
	touch(s, 0);
	must_map(s, 8, 4, R);
	aspace_mmap(s->mm, AT(20), PAGES(8), RW, MAP_SHARED | MAP_FIXED, f, 0);
	must_map(s, 30, 4, RW);
	must_map(s, 110, 2, RW);
	must_map(s, 112, 2, R);
	touch(s, 112);
	assert_int_equal(map(s, 1000, 2, RW, FIXED | MAP_GROWSDOWN), AT(1000));
	aspace_file_put(f);
}

static int64_t do_mmap_over(struct space *s) { return map(s, 6, 4, PROT_NONE, FIXED); }
static int64_t do_mmap_shared(struct space *s) { return map(s, 40, 4, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED); }
static int64_t do_mmap_fresh(struct space *s) { return map(s, 60, 4, RW, FIXED); }
static int64_t do_mmap_join(struct space *s) { return map(s, 34, 4, RW, FIXED); }
static int64_t do_unmap_middle(struct space *s) { return unmap(s, 2, 2); }
static int64_t do_unmap_file(struct space *s) { return unmap(s, 22, 2); }
static int64_t do_protect_middle(struct space *s) { return protect(s, 2, 2, R); }
static int64_t do_protect_join(struct space *s) { return protect(s, 6, 6, R); }
static int64_t do_protect_take_over(struct space *s) { return protect(s, 112, 2, RW); }
static int64_t do_brk_up(struct space *s) { return aspace_brk(s->mm, AT(52)) == (int64_t)AT(52) ? 0 : -ENOMEM; }
static int64_t do_remap_move(struct space *s) { return remap(s, 2, 2, 4, MREMAP_MAYMOVE | MREMAP_FIXED, 70); }
static int64_t do_remap_many(struct space *s) { return remap(s, 6, 4, 4, MREMAP_MAYMOVE | MREMAP_FIXED, 70); }
static int64_t do_remap_leave(struct space *s)
{
	return remap(s, 0, 8, 8, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, 70);
}
static int64_t do_remap_file(struct space *s) { return remap(s, 21, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 70); }
static int64_t do_madvise(struct space *s) { return advise(s, 2, 2, MADV_RANDOM); }
static int64_t do_mlock(struct space *s) { return aspace_mlock(s->mm, AT(2), PAGES(2), 0); }
static int64_t do_mlockall(struct space *s) { return aspace_mlockall(s->mm, MCL_CURRENT); }
static int64_t do_mseal(struct space *s) { return aspace_mseal(s->mm, AT(2), PAGES(2), 0); }
static int64_t do_name(struct space *s) { return aspace_set_anon_name(s->mm, AT(2), PAGES(2), "n"); }
static int64_t do_remap_pages(struct space *s) { return aspace_remap_file_pages(s->mm, AT(22), PAGES(2), 0, 1, 0); }
static int64_t do_expand(struct space *s)
{
	int error;

	down_write(&s->mm->mmap_lock);
	error = expand_stack(find_vma(s->mm, AT(1000)), AT(990));
	up_write(&s->mm->mmap_lock);
	return error;
}
static int64_t do_stack(struct space *s) { return aspace_setup_stack(s->mm, AT(2000), PAGES(4), false); }
static int64_t do_insert(struct space *s)
{
	return aspace_insert_area(s->mm, AT(90), AT(91), VM_READ | VM_MAYREAD, NULL, 0, "[vdso]");
}
static int64_t do_fork(struct space *s)
{
	struct aspace_mm *child;
	int error = aspace_mm_fork(s->mm, &child);

	if (!error)
		aspace_mm_put(child);
	return error;
}

/* `half`: a failure may leave the areas split or changed in part, as Linux does. */
static const struct { const char *name; int64_t (*act)(struct space *); bool half; } acts[] = {
	{ "mmap over others", do_mmap_over, true },
	{ "mmap shared", do_mmap_shared, false },
	{ "mmap alone", do_mmap_fresh, false },
	{ "mmap beside", do_mmap_join, false },
	{ "munmap", do_unmap_middle, true },
	{ "munmap of a file", do_unmap_file, true },
	{ "mprotect", do_protect_middle, true },
	{ "mprotect beside", do_protect_join, true },
	{ "mprotect takes pages over", do_protect_take_over, false },
	{ "brk", do_brk_up, false },
	{ "mremap", do_remap_move, false },
	{ "mremap of many", do_remap_many, true },
	{ "mremap DONTUNMAP", do_remap_leave, false },
	{ "mremap of a file", do_remap_file, true },
	{ "madvise", do_madvise, true },
	{ "mlock", do_mlock, true },
	{ "mlockall", do_mlockall, true },
	{ "mseal", do_mseal, true },
	{ "name", do_name, true },
	{ "remap_file_pages", do_remap_pages, true },
	{ "stack growth", do_expand, false },
	{ "setup_stack", do_stack, false },
	{ "insert_area", do_insert, false },
	{ "fork", do_fork, false },
};

/* The pages' own story, whatever areas they are in: so that splits don't show. */
static void story(struct space *s, char *text, size_t size)
{
	struct aspace_area a = { .size = sizeof(a) };
	uint64_t at = 0, end = 0, flags = 0;
	size_t n = 0;

	text[0] = '\0';
	for (; !aspace_find_area(s->mm, at, &a); at = a.end) {
		if (a.start != end || a.flags != flags)
			n += (size_t)snprintf(text + n, size - n, "%llx:%llx ", (unsigned long long)a.start,
					      (unsigned long long)a.flags);
		end = a.end;
		flags = a.flags;
	}
	snprintf(text + n, size - n, "%llx", (unsigned long long)end);
}

/* Where there are no pages, nothing is copied, and nobody falls over it. */
static void test_no_pages_no_copies(void **state)
{
	struct space s;
	char buffer[16];
	uint32_t word;
	int64_t at;

	stage(&s);
	at = aspace_mmap(s.mm, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
	assert_true(at > 0);
	assert_int_equal(aspace_copy_from_user(s.mm, buffer, (uint64_t)at, sizeof(buffer)), sizeof(buffer));
	assert_int_equal(aspace_copy_to_user(s.mm, (uint64_t)at, buffer, sizeof(buffer)), sizeof(buffer));
	assert_int_equal(aspace_clear_user(s.mm, (uint64_t)at, 1), 1);
	assert_int_equal(aspace_strncpy_from_user(s.mm, buffer, (uint64_t)at, sizeof(buffer)), -EFAULT);
	assert_int_equal(aspace_access_remote(s.mm, (uint64_t)at, buffer, sizeof(buffer), 0), 0);
	assert_int_equal(aspace_user_load32(s.mm, (uint64_t)at, &word), -EFAULT);
	leave(&s);
}

static void test_allocation_failures(void **state)
{
	char before[2048], after[2048];
	struct space s;

	for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
		long failures = 0;

		for (long n = 1;; n++) {
			int64_t result;
			bool reached;

			stage(&s);
			furnish(&s);
			story(&s, before, sizeof(before));
			atomic_store(&s.m->domain.fail_at, n);
			result = acts[i].act(&s);
			reached = atomic_load(&s.m->domain.fail_at) <= 0;
			atomic_store(&s.m->domain.fail_at, 0);
			check(&s);
			if (result < 0) {
				failures++;
				story(&s, after, sizeof(after));
				if (!acts[i].half && strcmp(before, after))
					fail_msg("%s, allocation %ld: %s -> %s", acts[i].name, n, before, after);
				if (!acts[i].half && acts[i].act(&s) < 0)
					fail_msg("%s, allocation %ld: fails again", acts[i].name, n);
			}
			leave(&s);
			if (!reached) {
				assert_true(result >= 0);
				break;
			}
		}
		print_message("%s: %ld failures\n", acts[i].name, failures);
	}
}

/* ------------------------------------------------------------------------------------------------------------- */

static int use_range_tree(void **state)
{
	index_kind = ASPACE_INDEX_RANGE_TREE;
	return 0;
}

static int use_rbtree(void **state)
{
	index_kind = ASPACE_INDEX_RBTREE;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_ranges_join),
		cmocka_unit_test(test_unmap),
		cmocka_unit_test(test_mprotect),
		cmocka_unit_test(test_grows_down),
		cmocka_unit_test(test_mmap_errors),
		cmocka_unit_test(test_special_kinds),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_write_seal),
		cmocka_unit_test(test_merge_with_pages),
		cmocka_unit_test(test_fork_children_stay_apart),
		cmocka_unit_test(test_placement),
		cmocka_unit_test(test_stack_gap_in_placement),
		cmocka_unit_test(test_legacy_and_fallback),
		cmocka_unit_test(test_five_levels),
		cmocka_unit_test(test_huge_alignment),
		cmocka_unit_test(test_brk),
		cmocka_unit_test(test_mremap),
		cmocka_unit_test(test_mremap_keeps_page_order),
		cmocka_unit_test(test_mremap_many),
		cmocka_unit_test(test_mremap_shared_copy),
		cmocka_unit_test(test_madvise),
		cmocka_unit_test(test_mlock),
		cmocka_unit_test(test_locked_dontunmap),
		cmocka_unit_test(test_mseal),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_msync_and_mincore),
		cmocka_unit_test(test_remap_file_pages),
		cmocka_unit_test(test_map_count),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_commit_charge),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_mdwe),
		cmocka_unit_test(test_maps_text),
		cmocka_unit_test(test_text_stops),
		cmocka_unit_test(test_text_by_area),
		cmocka_unit_test(test_no_pages_no_copies),
		cmocka_unit_test(test_allocation_failures),
	};
	int failed = cmocka_run_group_tests_name("range tree", tests, use_range_tree, NULL);

	return failed + cmocka_run_group_tests_name("rbtree", tests, use_rbtree, NULL);
}
