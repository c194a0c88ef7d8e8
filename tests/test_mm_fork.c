/* SPDX-License-Identifier: MIT */
/*
 * Fork and what it shares: copy on write over generations, what isn't inherited, and the reverse maps,
 * which must name exactly the entries of a page after forks, splits, merges and moves (F3). Frames free
 * before are frames free after.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/pagetable.h"

#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define AT	0x7f0000000000ull
#define ELSEWHERE 0x7e0000000000ull
#define FILE_PAGES 16ull

static struct aspace_machine *m;
static struct aspace_mm *mm;
static struct aspace_mapping *mapping;
static struct aspace_file *file;
static uint8_t disk[FILE_PAGES * PAGE_SIZE];

/* ---- the stage ----------------------------------------------------------------------------------- */

static int64_t disk_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	n = offset >= sizeof(disk) ? 0 : min(n, sizeof(disk) - offset);
	memcpy(buffer, disk + offset, n);
	return (int64_t)n;
}

static int64_t disk_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	memcpy(disk + offset, buffer, n);
	return (int64_t)n;
}

static uint64_t frames_used(void)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };

	aspace_machine_stats(m, &stats);
	return stats.frames_total - stats.frames_free;
}

static uint64_t used_before;

static int set_up(void **state)
{
	static const struct aspace_mapping_ops ops = {
		.size = sizeof(ops), .read = disk_read, .write = disk_write,
	};
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 32 << 20 };
	struct aspace_mapping_options contents = { .size = sizeof(contents), .ops = &ops, .bytes = sizeof(disk) };
	struct aspace_file_options opened = {
		.size = sizeof(opened), .readable = true, .writable = true, .path = "/disk",
	};

	memset(disk, 0x11, sizeof(disk));
	if (aspace_machine_create(&options, &m))
		return -1;
	used_before = frames_used();
	return aspace_mm_create(m, &mm) || aspace_mapping_create(m, &contents, &mapping) ||
	       aspace_file_open(mapping, &opened, &file);
}

static void check(void)
{
	char why[256] = "";

	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("%s", why);
}

static int tear_down(void **state)
{
	check();
	aspace_mm_put(mm);
	aspace_file_put(file);
	aspace_mapping_put(mapping);
	check();
	assert_int_equal(frames_used(), used_before);
	assert_int_equal(atomic_load(&m->vm_committed_as), 0);
	aspace_machine_destroy(m);
	return 0;
}

static struct aspace_mm *fork_of(struct aspace_mm *parent)
{
	struct aspace_mm *child;

	assert_int_equal(aspace_mm_fork(parent, &child), 0);
	check();
	return child;
}

static void leave(struct aspace_mm *child)
{
	aspace_mm_put(child);
	check();
}

static void map(uint64_t addr, uint64_t pages, unsigned flags, struct aspace_file *of)
{
	assert_int_equal(aspace_mmap(mm, addr, pages * PAGE_SIZE, RW, flags | MAP_FIXED, of, 0), addr);
}

static uint64_t load(struct aspace_mm *from, uint64_t addr)
{
	uint64_t word = 0;

	assert_int_equal(aspace_copy_from_user(from, &word, addr, sizeof(word)), 0);
	return word;
}

static bool readable(struct aspace_mm *from, uint64_t addr)
{
	return !aspace_copy_from_user(from, &(uint64_t){ 0 }, addr, 8);
}

static void store(struct aspace_mm *to, uint64_t addr, uint64_t word)
{
	assert_int_equal(aspace_copy_to_user(to, addr, &word, sizeof(word)), 0);
}

static struct page *page_at(struct aspace_mm *of, uint64_t addr)
{
	struct page *table;
	void *slot = pte_offset(of, addr, &table);
	pte_t entry = slot ? pt_read(m->format, slot) : 0;

	return pt_leaf(m->format, 0, entry) ? vm_normal_page(m, entry) : NULL;
}

static int write_kind(struct aspace_mm *to, uint64_t addr, const char *kind)
{
	struct aspace_fault fault = { .size = sizeof(fault) };

	assert_int_equal(aspace_fault(to, addr, ASPACE_WRITE, 0, &fault), 0);
	assert_string_equal(fault.kind, kind);
	check();
	return 0;
}

/* ---- the reverse map, by hand ------------------------------------------------------------------------ */

struct found {
	unsigned n, wrong;
	struct page *page;
};

/* rmap names candidates; those that hold an entry of the page are counted. */
static bool count_entry(struct page *page, struct vm_area_struct *vma, uint64_t addr, void *arg)
{
	struct found *found = arg;

	found->wrong += addr < vma->vm_start || addr >= vma->vm_end;
	found->n += page_at(vma->vm_mm, addr) == page;
	return true;
}

/* Every entry that maps the page is found by the reverse map, in its area. */
static void expect_mapped(struct page *page, unsigned entries)
{
	struct found found = { .page = page };
	struct rmap_walk_control control = { .one = count_entry, .arg = &found };

	assert_non_null(page);
	rmap_walk(page, &control);
	assert_int_equal(found.wrong, 0);
	assert_int_equal(found.n, entries);
	assert_int_equal(atomic_load(&page->_mapcount), entries);
}

/* ---- copy on write --------------------------------------------------------------------------------------- */

static void three_generations_write_the_same_pages(void **state)
{
	struct aspace_mm *line[4] = { mm };
	struct page *first;

	map(AT, 4, ANON, NULL);
	for (uint64_t i = 0; i < 4; i++)
		store(mm, AT + i * PAGE_SIZE, 100 + i);
	for (int i = 1; i < 4; i++)
		line[i] = fork_of(line[i - 1]);
	first = page_at(mm, AT);
	for (int i = 0; i < 4; i++)
		assert_ptr_equal(page_at(line[i], AT), first);
	expect_mapped(first, 4);
	/* From the middle outwards; who writes leaves the others what they had. */
	static const int order[] = { 1, 3, 0 };
	for (unsigned i = 0; i < 3; i++) {
		write_kind(line[order[i]], AT, "cow");
		store(line[order[i]], AT, (uint64_t)order[i]);
		expect_mapped(first, 3 - i);
	}
	assert_int_equal(load(line[2], AT), 100);
	write_kind(line[2], AT, "reuse");
	assert_ptr_equal(page_at(line[2], AT), first);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(load(line[i], AT), i == 2 ? 100 : i);
		assert_int_equal(load(line[i], AT + 3 * PAGE_SIZE), 103);
	}
	/* The middle one goes first: what the others share stays theirs. */
	leave(line[1]);
	expect_mapped(page_at(mm, AT + PAGE_SIZE), 3);
	leave(line[2]);
	expect_mapped(page_at(mm, AT + PAGE_SIZE), 2);
	leave(line[3]);
	write_kind(mm, AT + PAGE_SIZE, "reuse");
}

static void the_parent_may_go_first(void **state)
{
	struct aspace_mm *child, *grandchild;

	map(AT, 2, ANON, NULL);
	store(mm, AT, 1);
	child = fork_of(mm);
	grandchild = fork_of(child);
	leave(mm);
	leave(child);
	assert_int_equal(load(grandchild, AT), 1);
	expect_mapped(page_at(grandchild, AT), 1);
	write_kind(grandchild, AT, "reuse");
	store(grandchild, AT + PAGE_SIZE, 2);
	mm = grandchild;	/* the stage's last act puts it */
}

/* A line of forks, each of whose links writes and lives on without its parent: chains don't grow. */
static void a_long_line_of_forks_stays_small(void **state)
{
	struct aspace_machine_stats early = { .size = sizeof(early) }, late = { .size = sizeof(late) };

	map(AT, 4, ANON, NULL);
	for (uint64_t i = 0; i < 200; i++) {
		struct aspace_mm *child;

		store(mm, AT + i % 4 * PAGE_SIZE, i);
		assert_int_equal(aspace_mm_fork(mm, &child), 0);
		store(child, AT, i);
		aspace_mm_put(mm);
		mm = child;
		if (i == 20)
			aspace_machine_stats(m, &early);
	}
	aspace_machine_stats(m, &late);
	assert_true(late.object_bytes <= early.object_bytes);
	check();
}

static void private_file_pages_are_shared_until_written(void **state)
{
	struct aspace_mm *child;
	struct page *cached, *copy;

	map(AT, 4, MAP_PRIVATE, file);
	load(mm, AT);
	store(mm, AT + PAGE_SIZE, 1);
	child = fork_of(mm);
	load(child, AT);
	cached = page_at(mm, AT);
	copy = page_at(mm, AT + PAGE_SIZE);
	assert_ptr_equal(page_at(child, AT), cached);
	expect_mapped(cached, 2);
	expect_mapped(copy, 2);
	write_kind(child, AT, "cow");
	write_kind(child, AT + PAGE_SIZE, "cow");
	expect_mapped(cached, 1);
	write_kind(mm, AT + PAGE_SIZE, "reuse");
	leave(child);
}

/* ---- what is shared, and what isn't inherited ----------------------------------------------------------- */

static void shared_mappings_stay_shared(void **state)
{
	struct aspace_mm *child, *grandchild;

	map(AT, 4, MAP_SHARED | MAP_ANONYMOUS, NULL);
	map(AT + (1 << 20), 4, MAP_SHARED, file);
	store(mm, AT, 1);
	child = fork_of(mm);
	grandchild = fork_of(child);
	store(grandchild, AT, 2);
	store(grandchild, AT + PAGE_SIZE, 3);
	store(child, AT + (1 << 20), 4);
	assert_int_equal(load(mm, AT), 2);
	assert_int_equal(load(child, AT + PAGE_SIZE), 3);
	assert_int_equal(load(mm, AT + (1 << 20)), 4);
	expect_mapped(page_at(mm, AT), 3);		/* the child's load mapped its neighbour too */
	assert_int_equal(load(child, AT), 2);
	expect_mapped(page_at(mm, AT + (1 << 20)), 2);
	leave(child);
	leave(grandchild);
	assert_int_equal(aspace_msync(mm, AT + (1 << 20), PAGE_SIZE, MS_SYNC), 0);
	assert_memory_equal(disk, &(uint64_t){ 4 }, 8);
}

static void dontcopy_and_wipeonfork(void **state)
{
	struct aspace_mm *child, *grandchild;

	map(AT, 6, ANON, NULL);
	for (uint64_t i = 0; i < 6; i++)
		store(mm, AT + i * PAGE_SIZE, 1 + i);
	assert_int_equal(aspace_madvise(mm, AT, 2 * PAGE_SIZE, MADV_DONTFORK), 0);
	assert_int_equal(aspace_madvise(mm, AT + 2 * PAGE_SIZE, 2 * PAGE_SIZE, MADV_WIPEONFORK), 0);
	child = fork_of(mm);
	assert_false(readable(child, AT));
	assert_int_equal(load(child, AT + 2 * PAGE_SIZE), 0);
	assert_int_equal(load(child, AT + 4 * PAGE_SIZE), 5);
	expect_mapped(page_at(mm, AT), 1);
	expect_mapped(page_at(mm, AT + 2 * PAGE_SIZE), 1);
	expect_mapped(page_at(mm, AT + 4 * PAGE_SIZE), 2);
	store(child, AT + 3 * PAGE_SIZE, 77);
	grandchild = fork_of(child);		/* the advice is inherited */
	assert_int_equal(load(grandchild, AT + 3 * PAGE_SIZE), 0);
	assert_int_equal(load(mm, AT + 3 * PAGE_SIZE), 4);
	assert_int_equal(aspace_madvise(child, AT + 2 * PAGE_SIZE, 2 * PAGE_SIZE, MADV_KEEPONFORK), 0);
	leave(grandchild);
	grandchild = fork_of(child);
	assert_int_equal(load(grandchild, AT + 3 * PAGE_SIZE), 77);
	leave(grandchild);
	leave(child);
	assert_int_equal(load(mm, AT), 1);
}

static void guards_are_inherited(void **state)
{
	struct aspace_mm *child;

	map(AT, 4, ANON, NULL);
	map(AT + (1 << 20), 4, MAP_PRIVATE, file);
	assert_int_equal(aspace_madvise(mm, AT + PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	assert_int_equal(aspace_madvise(mm, AT + (1 << 20), PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	child = fork_of(mm);
	assert_false(readable(child, AT + PAGE_SIZE));
	assert_false(readable(child, AT + (1 << 20)));
	assert_true(readable(child, AT + (1 << 20) + PAGE_SIZE));
	assert_int_equal(aspace_madvise(child, AT, 4 * PAGE_SIZE, MADV_GUARD_REMOVE), 0);
	assert_true(readable(child, AT + PAGE_SIZE));
	assert_false(readable(mm, AT + PAGE_SIZE));
	leave(child);
}

static void locks_are_not_inherited(void **state)
{
	struct aspace_mm_stats stats = { .size = sizeof(stats) };
	struct aspace_mm *child;

	map(AT, 4, ANON, NULL);
	assert_int_equal(aspace_mlock(mm, AT, 4 * PAGE_SIZE, 0), 0);
	child = fork_of(mm);
	aspace_mm_stats(child, &stats);
	assert_int_equal(stats.locked_vm, 0);
	assert_int_equal(stats.rss_anon, 4);
	leave(child);
}

/* ---- reverse maps ------------------------------------------------------------------------------------------- */

static void split_and_merge_keep_the_reverse_map(void **state)
{
	struct aspace_mm *child;
	struct page *page[8];

	map(AT, 8, ANON, NULL);
	for (uint64_t i = 0; i < 8; i++)
		store(mm, AT + i * PAGE_SIZE, i);
	child = fork_of(mm);
	for (uint64_t i = 0; i < 8; i++)
		page[i] = page_at(mm, AT + i * PAGE_SIZE);
	for (int turn = 0; turn < 2; turn++) {
		struct aspace_mm *who = turn ? child : mm;

		assert_int_equal(aspace_mprotect(who, AT + 2 * PAGE_SIZE, 3 * PAGE_SIZE, PROT_READ), 0);
		for (int i = 0; i < 8; i++)
			expect_mapped(page[i], 2);
		assert_int_equal(aspace_mprotect(who, AT + 3 * PAGE_SIZE, PAGE_SIZE, PROT_NONE), 0);
		check();
		assert_int_equal(aspace_mprotect(who, AT, 8 * PAGE_SIZE, RW), 0);
		for (int i = 0; i < 8; i++)
			expect_mapped(page[i], 2);
		check();
	}
	assert_int_equal(aspace_munmap(mm, AT + 4 * PAGE_SIZE, PAGE_SIZE), 0);
	expect_mapped(page[4], 1);
	expect_mapped(page[5], 2);
	leave(child);
}

static void moves_keep_the_reverse_map(void **state)
{
	struct aspace_mm *child;
	struct page *page, *cached;

	map(AT, 8, ANON, NULL);
	map(AT + (1 << 20), 8, MAP_SHARED, file);
	store(mm, AT + 3 * PAGE_SIZE, 3);
	store(mm, AT + (1 << 20) + PAGE_SIZE, 4);
	child = fork_of(mm);
	load(child, AT + (1 << 20) + PAGE_SIZE);
	page = page_at(mm, AT + 3 * PAGE_SIZE);
	cached = page_at(mm, AT + (1 << 20) + PAGE_SIZE);
	/* The child moves a part of it; then the part moves again, and grows. */
	assert_int_equal(aspace_mremap(child, AT + 2 * PAGE_SIZE, 2 * PAGE_SIZE, 2 * PAGE_SIZE,
				       MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE), ELSEWHERE);
	check();
	expect_mapped(page, 2);
	assert_ptr_equal(page_at(child, ELSEWHERE + PAGE_SIZE), page);
	assert_int_equal(aspace_mremap(child, ELSEWHERE, 2 * PAGE_SIZE, 16 * PAGE_SIZE,
				       MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE + (1 << 20)), ELSEWHERE + (1 << 20));
	check();
	expect_mapped(page, 2);
	assert_int_equal(aspace_mremap(mm, AT, 8 * PAGE_SIZE, 8 * PAGE_SIZE,
				       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, ELSEWHERE), ELSEWHERE);
	check();
	expect_mapped(page, 2);
	assert_int_equal(load(mm, AT + 3 * PAGE_SIZE), 0);
	assert_int_equal(aspace_mremap(mm, AT + (1 << 20), 8 * PAGE_SIZE, 8 * PAGE_SIZE,
				       MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE + (2 << 20)), ELSEWHERE + (2 << 20));
	check();
	expect_mapped(cached, 2);
	store(child, ELSEWHERE + (1 << 20) + PAGE_SIZE, 33);
	expect_mapped(page, 1);
	assert_int_equal(load(mm, ELSEWHERE + 3 * PAGE_SIZE), 3);
	leave(child);
}

/* The same page of a file twice in one address space, by old_length 0. */
static void a_shared_page_mapped_twice(void **state)
{
	map(AT, 4, MAP_SHARED, file);
	store(mm, AT + PAGE_SIZE, 9);
	assert_int_equal(aspace_mremap(mm, AT, 0, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE), ELSEWHERE);
	assert_int_equal(load(mm, ELSEWHERE + PAGE_SIZE), 9);
	expect_mapped(page_at(mm, AT + PAGE_SIZE), 2);
	check();
}

static void unmapping_by_the_page(void **state)
{
	struct aspace_mm *child;
	struct page *page;

	map(AT, 4, MAP_SHARED, file);
	store(mm, AT, 5);
	child = fork_of(mm);
	load(child, AT);
	page = page_at(mm, AT);
	get_page(page);
	expect_mapped(page, 2);
	assert_int_equal(try_to_unmap(page), 0);
	expect_mapped(page, 0);
	assert_null(page_at(mm, AT));
	assert_null(page_at(child, AT));
	assert_true(atomic_load(&page->flags) & PG_dirty);	/* what the entries knew, the page knows */
	put_page(m, page);
	check();
	assert_int_equal(load(child, AT), 5);
	/* Locked memory stays; anonymous memory too, for there is no place for it. */
	assert_int_equal(aspace_mlock(child, AT, PAGE_SIZE, 0), 0);
	page = page_at(child, AT);
	get_page(page);
	assert_int_equal(try_to_unmap(page), -EBUSY);
	put_page(m, page);
	map(AT + (1 << 20), 1, ANON, NULL);
	store(mm, AT + (1 << 20), 6);
	page = page_at(mm, AT + (1 << 20));
	get_page(page);
	assert_int_equal(try_to_unmap(page), -EBUSY);
	put_page(m, page);
	assert_int_equal(load(mm, AT + (1 << 20)), 6);
	leave(child);
}

/* After a random life of five address spaces each page has as many entries as its count says. */
static void a_random_family(void **state)
{
	uint64_t seed = 0x2545f4914f6cdd1d;
	struct aspace_mm *family[5] = { mm };

	for (int i = 1; i < 5; i++)
		family[i] = fork_of(mm);
	for (int step = 0; step < 4000; step++) {
		uint64_t r = (seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17);
		struct aspace_mm **who = &family[r % 5];
		uint64_t at = AT + (r >> 8) % 24 * PAGE_SIZE, n = (1 + (r >> 16) % 8) * PAGE_SIZE;
		uint64_t to = AT + (r >> 24) % 24 * PAGE_SIZE;

		switch ((r >> 32) % 12) {
		case 0:
			aspace_mmap(*who, at, n, RW, ANON | MAP_FIXED, NULL, 0);
			break;
		case 1:
			aspace_mmap(*who, at, n, RW, (r >> 40 & 1 ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, file,
				    (r >> 41) % 8 * PAGE_SIZE);
			break;
		case 2:
			aspace_munmap(*who, at, n);
			break;
		case 3:
			aspace_mprotect(*who, at, n, r >> 40 & 1 ? RW : PROT_READ);
			break;
		case 4:
			aspace_mremap(*who, at, n, (1 + (r >> 40) % 8) * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
			break;
		case 5:
			if (*who == mm)
				break;
			aspace_mm_put(*who);
			assert_int_equal(aspace_mm_fork(family[(r % 5 + 1 + (r >> 40) % 4) % 5], who), 0);
			break;
		default:
			aspace_copy_to_user(*who, at, &r, 8);
		}
		if (step % 8 == 0)
			check();
		for (uint64_t i = 0; step % 50 == 0 && i < 24; i++) {
			struct page *page = page_at(*who, AT + i * PAGE_SIZE);

			if (page)
				expect_mapped(page, (unsigned)atomic_load(&page->_mapcount));
		}
	}
	for (int i = 1; i < 5; i++)
		leave(family[i]);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(three_generations_write_the_same_pages),
		TEST(the_parent_may_go_first),
		TEST(a_long_line_of_forks_stays_small),
		TEST(private_file_pages_are_shared_until_written),
		TEST(shared_mappings_stay_shared),
		TEST(dontcopy_and_wipeonfork),
		TEST(guards_are_inherited),
		TEST(locks_are_not_inherited),
		TEST(split_and_merge_keep_the_reverse_map),
		TEST(moves_keep_the_reverse_map),
		TEST(a_shared_page_mapped_twice),
		TEST(unmapping_by_the_page),
		TEST(a_random_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
