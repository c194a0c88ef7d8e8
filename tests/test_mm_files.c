/* SPDX-License-Identifier: MIT */
/*
 * Files behind memory: the page cache, shared and private mappings, write-back, truncation, holes,
 * errors of the file, shared memory and seals (F2, E1, C1). The file is an array whose reads and
 * writes are counted, and can be told to fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "mm/internal.h"

#define PAGES 64
#define RW    (PROT_READ | PROT_WRITE)

static struct {
	uint8_t bytes[PAGES * PAGE_SIZE];
	int reads, writes, fail_reads, fail_writes, released;
} disk;

static struct aspace_machine *m;
static struct aspace_mapping *mapping;
static struct aspace_file *file;
static struct aspace_mm *mm;

static int64_t disk_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	disk.reads++;
	if (disk.fail_reads)
		return -EIO;
	memcpy(buffer, disk.bytes + offset, n);
	return (int64_t)n;
}

static int64_t disk_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	disk.writes++;
	if (disk.fail_writes)
		return -ENOSPC;
	memcpy(disk.bytes + offset, buffer, n);
	return (int64_t)n;
}

static void disk_release(void *priv)
{
	disk.released++;
}

static int setup(void **state)
{
	static const struct aspace_mapping_ops ops = {
		.size = sizeof(ops), .read = disk_read, .write = disk_write, .release = disk_release,
	};
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 8 << 20 };
	struct aspace_mapping_options mo = { .size = sizeof(mo), .ops = &ops, .bytes = sizeof(disk.bytes), .ino = 1 };
	struct aspace_file_options fo = { .size = sizeof(fo), .readable = true, .writable = true, .path = "/f" };

	memset(&disk, 0, sizeof(disk));
	for (int i = 0; i < PAGES; i++)
		memset(disk.bytes + i * PAGE_SIZE, 'A' + i % 26, PAGE_SIZE);
	assert_int_equal(aspace_machine_create(&options, &m), 0);
	assert_int_equal(aspace_mapping_create(m, &mo, &mapping), 0);
	assert_int_equal(aspace_file_open(mapping, &fo, &file), 0);
	assert_int_equal(aspace_mm_create(m, &mm), 0);
	return 0;
}

static int teardown(void **state)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };
	char why[300];

	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("%s", why);
	aspace_mm_put(mm);
	aspace_file_put(file);
	aspace_mapping_put(mapping);
	assert_int_equal(disk.released, 1);
	aspace_machine_stats(m, &stats);
	assert_int_equal(stats.frames_anon + stats.frames_file + stats.frames_shmem, 0);
	aspace_machine_destroy(m);
	return 0;
}

static uint64_t map(unsigned prot, unsigned flags, int pages, int from)
{
	int64_t at = aspace_mmap(mm, 0, pages * PAGE_SIZE, prot, flags, file, from * PAGE_SIZE);

	assert_true(at > 0);
	return (uint64_t)at;
}

static int byte_at(uint64_t addr)
{
	uint8_t byte;

	return aspace_copy_from_user(mm, &byte, addr, 1) ? -1 : byte;
}

static void put(uint64_t addr, char byte)
{
	assert_int_equal(aspace_copy_to_user(mm, addr, &byte, 1), 0);
}

static int fault_signal_at(uint64_t addr, unsigned access)
{
	struct aspace_fault fault = { .size = sizeof(fault) };
	int r = aspace_fault(mm, addr, access, 0, &fault);

	assert_true(r == 0 || r == -EFAULT);
	if (r)
		assert_int_equal(fault.addr, addr);
	return r ? fault.signal * 100 + fault.code : 0;
}

static void pages_are_read_once(void **state)
{
	uint64_t a = map(PROT_READ, MAP_SHARED, PAGES, 0), b = map(PROT_READ, MAP_PRIVATE, PAGES, 0);

	for (int i = 0; i < PAGES; i++) {
		assert_int_equal(byte_at(a + i * PAGE_SIZE), 'A' + i % 26);
		assert_int_equal(byte_at(b + i * PAGE_SIZE + 7), 'A' + i % 26);
	}
	assert_int_equal(aspace_mapping_pages(mapping), PAGES);
	assert_true(disk.reads <= PAGES / 8);	/* read-ahead: many pages a read */
	assert_int_equal(disk.writes, 0);
}

static void shared_stores_reach_the_file(void **state)
{
	uint64_t a = map(RW, MAP_SHARED, 8, 0), b = map(PROT_READ, MAP_SHARED, 8, 0);

	put(a + 5, 'x');
	put(a + 3 * PAGE_SIZE, 'y');
	assert_int_equal(byte_at(b + 5), 'x');
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 2);
	assert_int_equal(aspace_msync(mm, a, 8 * PAGE_SIZE, MS_ASYNC), 0);
	assert_int_equal(aspace_msync(mm, a, 8 * PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 0);
	assert_int_equal(disk.bytes[5], 'x');
	assert_int_equal(disk.bytes[3 * PAGE_SIZE], 'y');

	/* Clean now: the next store is noticed again. */
	put(a + 6, 'z');
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 1);
	assert_int_equal(aspace_munmap(mm, a, 8 * PAGE_SIZE), 0);
	assert_int_equal(aspace_mapping_sync(mapping, 0, UINT64_MAX), 0);
	assert_int_equal(disk.bytes[6], 'z');
}

static void the_last_reference_writes_back(void **state)
{
	uint64_t a = map(RW, MAP_SHARED, 1, 9);

	put(a, '!');
	aspace_mm_put(mm);			/* the process is gone, and nobody called msync */
	aspace_file_put(file);
	aspace_mapping_put(mapping);
	assert_int_equal(disk.released, 1);
	assert_int_equal(disk.bytes[9 * PAGE_SIZE], '!');
	aspace_machine_destroy(m);
	setup(state);
}

static void private_stores_stay_private(void **state)
{
	uint64_t a = map(RW, MAP_PRIVATE, 4, 0), b = map(RW, MAP_SHARED, 4, 0);

	assert_int_equal(byte_at(a), 'A');
	put(a, 'p');
	put(b + 1, 's');
	assert_int_equal(byte_at(a), 'p');
	assert_int_equal(byte_at(a + 1), 'A');	/* a copy was made before */
	assert_int_equal(byte_at(b), 'A');
	put(b + PAGE_SIZE, 's');
	assert_int_equal(byte_at(a + PAGE_SIZE), 's');	/* not copied yet: the file's */
	assert_int_equal(aspace_mapping_sync(mapping, 0, UINT64_MAX), 0);
	assert_int_equal(disk.bytes[0], 'A');
}

static void beyond_the_end_is_sigbus(void **state)
{
	const int bus = ASPACE_SIGBUS * 100 + ASPACE_BUS_ADRERR;
	uint64_t s = map(RW, MAP_SHARED, PAGES, 0), p = map(RW, MAP_PRIVATE, PAGES, 0);

	put(s + 10 * PAGE_SIZE, 's');
	put(p + 10 * PAGE_SIZE, 'p');
	put(p + 2 * PAGE_SIZE + 200, 'p');
	assert_int_equal(byte_at(s + 2 * PAGE_SIZE + 200), 'C');
	assert_int_equal(aspace_mapping_truncate(mapping, 2 * PAGE_SIZE + 100), 0);
	assert_int_equal(fault_signal_at(s + 10 * PAGE_SIZE, ASPACE_READ), bus);
	assert_int_equal(fault_signal_at(p + 10 * PAGE_SIZE, ASPACE_WRITE), bus);	/* the private copy too is gone */
	assert_int_equal(fault_signal_at(s + 3 * PAGE_SIZE, ASPACE_WRITE), bus);
	assert_int_equal(byte_at(s + 2 * PAGE_SIZE + 99), 'C');
	assert_int_equal(byte_at(s + 2 * PAGE_SIZE + 100), 0);		/* the rest of the last page */
	assert_int_equal(byte_at(p + 2 * PAGE_SIZE + 200), 'p');		/* whose private copy stays */
	/* It grows again: what comes is zero, not what was there. */
	memset(disk.bytes + 2 * PAGE_SIZE + 100, 0, sizeof(disk.bytes) - 2 * PAGE_SIZE - 100);
	assert_int_equal(aspace_mapping_truncate(mapping, 20 * PAGE_SIZE), 0);
	assert_int_equal(byte_at(s + 10 * PAGE_SIZE), 0);
	assert_int_equal(byte_at(p + 10 * PAGE_SIZE), 0);
}

static void a_hole_reads_as_zeroes(void **state)
{
	uint64_t s = map(RW, MAP_SHARED, 8, 0);

	put(s + PAGE_SIZE, 'd');
	assert_int_equal(aspace_mapping_punch_hole(mapping, PAGE_SIZE / 2, 2 * PAGE_SIZE), 0);
	memset(disk.bytes + PAGE_SIZE / 2, 0, 2 * PAGE_SIZE);	/* what the file system does below */
	assert_int_equal(byte_at(s), 'A');
	assert_int_equal(byte_at(s + PAGE_SIZE / 2), 0);
	assert_int_equal(byte_at(s + PAGE_SIZE), 0);
	assert_int_equal(byte_at(s + 2 * PAGE_SIZE + PAGE_SIZE / 2 - 1), 0);
	assert_int_equal(byte_at(s + 2 * PAGE_SIZE + PAGE_SIZE / 2), 'C');
	assert_int_equal(aspace_mapping_sync(mapping, 0, UINT64_MAX), 0);
	assert_int_equal(disk.bytes[0], 'A');
	assert_int_equal(disk.bytes[PAGE_SIZE], 0);
}

static void read_and_write_see_the_mapping(void **state)
{
	uint64_t s = map(RW, MAP_SHARED, 8, 0);
	char text[20] = "";

	put(s + 100, 'm');
	assert_int_equal(aspace_mapping_read(mapping, 98, text, 5), 5);
	assert_string_equal(text, "AAmAA");
	assert_int_equal(aspace_mapping_write(mapping, PAGE_SIZE - 2, "1234", 4), 4);
	assert_int_equal(byte_at(s + PAGE_SIZE - 1), '2');
	assert_int_equal(byte_at(s + PAGE_SIZE), '3');
	/* Beyond the end: reading stops, writing extends. */
	assert_int_equal(aspace_mapping_truncate(mapping, 2 * PAGE_SIZE), 0);
	assert_int_equal(aspace_mapping_read(mapping, 2 * PAGE_SIZE - 3, text, 20), 3);
	assert_int_equal(aspace_mapping_read(mapping, 5 * PAGE_SIZE, text, 20), 0);
	assert_int_equal(aspace_mapping_write(mapping, 2 * PAGE_SIZE + 10, "end", 3), 3);
	assert_int_equal(aspace_mapping_bytes(mapping), 2 * PAGE_SIZE + 13);
	assert_int_equal(byte_at(s + 2 * PAGE_SIZE + 10), 'e');
	assert_int_equal(aspace_mapping_sync(mapping, 0, UINT64_MAX), 0);
	assert_memory_equal(disk.bytes + 2 * PAGE_SIZE + 10, "end", 3);
	assert_memory_equal(disk.bytes + PAGE_SIZE - 2, "1234", 4);
}

static void errors_are_told_and_nothing_is_lost(void **state)
{
	uint64_t s = map(RW, MAP_SHARED, 8, 30);

	disk.fail_reads = 1;
	assert_int_equal(fault_signal_at(s, ASPACE_READ), ASPACE_SIGBUS * 100 + ASPACE_BUS_ADRERR);
	disk.fail_reads = 0;
	assert_int_equal(byte_at(s), 'A' + 30 % 26);
	put(s, 'n');
	disk.fail_writes = 1;
	assert_int_equal(aspace_msync(mm, s, PAGE_SIZE, MS_SYNC), -ENOSPC);
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 1);	/* kept, to be written when there is room */
	disk.fail_writes = 0;
	assert_int_equal(aspace_msync(mm, s, PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(disk.bytes[30 * PAGE_SIZE], 'n');
}

static void a_file_that_changed_behind_is_read_anew(void **state)
{
	uint64_t s = map(PROT_READ, MAP_SHARED, 4, 0);

	assert_int_equal(byte_at(s), 'A');
	disk.bytes[0] = 'N';
	assert_int_equal(byte_at(s), 'A');
	assert_int_equal(aspace_mapping_invalidate(mapping, true), 0);
	assert_int_equal(byte_at(s), 'N');
}

/* Twice the RAM is read through a mapping: clean pages make room. */
static void clean_pages_make_room(void **state)
{
	uint64_t anon = (uint64_t)aspace_mmap(mm, 0, 6 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
	uint64_t s;

	for (int turn = 0; turn < 4; turn++) {
		s = map(PROT_READ, MAP_SHARED, PAGES, 0);
		for (int i = 0; i < PAGES; i++)
			assert_int_equal(byte_at(s + i * PAGE_SIZE), 'A' + i % 26);
		assert_int_equal(aspace_munmap(mm, s, PAGES * PAGE_SIZE), 0);
		for (uint64_t at = 0; at < 6 << 20; at += PAGE_SIZE)
			put(anon + at, 1);
	}
}

/* MADV_PAGEOUT: what is clean, and mapped nowhere else, leaves the cache; the rest stays. */
static void pageout_drops_what_it_may(void **state)
{
	uint64_t a = map(RW, MAP_SHARED, 8, 0), b = map(PROT_READ, MAP_PRIVATE, 1, 1);
	uint64_t cached;
	int reads;

	for (int i = 0; i < 8; i++)
		assert_int_equal(byte_at(a + i * PAGE_SIZE), 'A' + i);
	assert_int_equal(byte_at(b), 'B');
	put(a, 'd');
	cached = aspace_mapping_pages(mapping);
	reads = disk.reads;
	assert_int_equal(aspace_madvise(mm, a, 8 * PAGE_SIZE, MADV_PAGEOUT), 0);
	assert_int_equal(aspace_mapping_pages(mapping), cached - 6);
	assert_int_equal(byte_at(a), 'd');
	assert_int_equal(byte_at(a + PAGE_SIZE), 'B');
	assert_int_equal(disk.reads, reads);
	assert_int_equal(byte_at(a + 2 * PAGE_SIZE), 'C');
	assert_true(disk.reads > reads);
}

static void shared_memory_outlives_its_mappings(void **state)
{
	struct aspace_mapping_options mo = { .size = sizeof(mo), .bytes = 4 * PAGE_SIZE, .sealable = true };
	struct aspace_file_options fo = { .size = sizeof(fo), .readable = true, .writable = true, .path = "/memfd:x" };
	struct aspace_mapping *shm;
	struct aspace_file *f;
	int64_t a, b;

	assert_int_equal(aspace_mapping_create(m, &mo, &shm), 0);
	assert_int_equal(aspace_file_open(shm, &fo, &f), 0);
	a = aspace_mmap(mm, 0, 4 * PAGE_SIZE, RW, MAP_SHARED, f, 0);
	put((uint64_t)a + 5, 'k');
	assert_int_equal(aspace_munmap(mm, (uint64_t)a, 4 * PAGE_SIZE), 0);
	b = aspace_mmap(mm, 0, 4 * PAGE_SIZE, PROT_READ, MAP_SHARED, f, 0);
	assert_int_equal(byte_at((uint64_t)b + 5), 'k');

	/* Sealed against writing: no shared writable mapping any more, and none while there is one. */
	assert_int_equal(aspace_mapping_get_seals(shm), 0);
	a = aspace_mmap(mm, 0, PAGE_SIZE, RW, MAP_SHARED, f, 0);
	assert_int_equal(aspace_mapping_add_seals(shm, F_SEAL_WRITE), -EBUSY);
	assert_int_equal(aspace_munmap(mm, (uint64_t)a, PAGE_SIZE), 0);
	assert_int_equal(aspace_munmap(mm, (uint64_t)b, 4 * PAGE_SIZE), 0);
	assert_int_equal(aspace_mapping_add_seals(shm, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
	assert_int_equal(aspace_mmap(mm, 0, PAGE_SIZE, RW, MAP_SHARED, f, 0), -EPERM);
	assert_true(aspace_mmap(mm, 0, PAGE_SIZE, RW, MAP_PRIVATE, f, 0) > 0);
	assert_int_equal(aspace_mapping_truncate(shm, PAGE_SIZE), -EPERM);
	assert_int_equal(aspace_mapping_write(shm, 0, "x", 1), -EPERM);
	assert_int_equal(aspace_mapping_add_seals(shm, F_SEAL_SEAL), 0);
	assert_int_equal(aspace_mapping_add_seals(shm, F_SEAL_GROW), -EPERM);
	assert_int_equal(aspace_mapping_get_seals(mapping), -EINVAL);
	assert_int_equal(aspace_munmap(mm, 0, 0x7ffffffff000), 0);
	aspace_file_put(f);
	aspace_mapping_put(shm);
}

static void anonymous_shared_memory_is_shared_with_the_child(void **state)
{
	uint64_t a = (uint64_t)aspace_mmap(mm, 0, 2 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS, NULL, 0);
	struct aspace_mm *child;
	char c = 'c';

	assert_int_equal(aspace_mm_fork(mm, &child), 0);
	assert_int_equal(aspace_copy_to_user(child, a + PAGE_SIZE, &c, 1), 0);
	assert_int_equal(byte_at(a + PAGE_SIZE), 'c');
	aspace_mm_put(child);
	assert_int_equal(byte_at(a + PAGE_SIZE), 'c');
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(pages_are_read_once),
		TEST(shared_stores_reach_the_file),
		TEST(the_last_reference_writes_back),
		TEST(private_stores_stay_private),
		TEST(beyond_the_end_is_sigbus),
		TEST(a_hole_reads_as_zeroes),
		TEST(read_and_write_see_the_mapping),
		TEST(errors_are_told_and_nothing_is_lost),
		TEST(a_file_that_changed_behind_is_read_anew),
		TEST(clean_pages_make_room),
		TEST(pageout_drops_what_it_may),
		TEST(shared_memory_outlives_its_mappings),
		TEST(anonymous_shared_memory_is_shared_with_the_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
