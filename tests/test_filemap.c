/* SPDX-License-Identifier: MIT */
/*
 * The page cache: reading, storing through mappings, write-back, truncation, holes, memory that runs
 * short, shared memory. The file behind it is an array that counts calls and can be told to fail. The
 * whole-state checker runs after every act.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mm/filemap.h"

#define SHARED	MAP_SHARED
#define RW	(PROT_READ | PROT_WRITE)
#define K	1024ull

/* ---- the file ----------------------------------------------------------------------------------- */

struct disk {
	pthread_mutex_t lock;		/* a read, a write is whole, as an inode's lock makes them */
	uint8_t *bytes;
	uint64_t size, room;
	int reads, writes, released;
	uint64_t last_write_offset, last_write_bytes;
	uint64_t bad_page;		/* reading it is EIO; UINT64_MAX: none */
	int write_error;
	void (*while_reading)(struct disk *disk);	/* once */
	struct aspace_mapping *mapping;
};

/*
 * Guest memory is read while guests store to it: their race, as on a real machine, and none of ours
 * that a race detector should tell of.
 */
__attribute__((no_sanitize("thread"))) static void transfer(uint8_t *to, const uint8_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)to)[i] = ((volatile const uint8_t *)from)[i];
}

static int64_t disk_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	struct disk *d = priv;
	void (*hook)(struct disk *disk) = d->while_reading;

	pthread_mutex_lock(&d->lock);
	d->reads++;
	pthread_mutex_unlock(&d->lock);
	if (d->bad_page != UINT64_MAX && offset <= d->bad_page * PAGE_SIZE && d->bad_page * PAGE_SIZE < offset + n)
		return -EIO;
	if (offset >= d->size)
		return 0;
	if (d->size - offset < n)
		n = d->size - offset;
	pthread_mutex_lock(&d->lock);
	transfer(buffer, d->bytes + offset, n);
	pthread_mutex_unlock(&d->lock);
	if (hook) {
		d->while_reading = NULL;
		hook(d);
	}
	return n;
}

static int64_t disk_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	struct disk *d = priv;

	if (d->write_error)
		return d->write_error;
	if (offset + n > d->room)
		return -ENOSPC;
	pthread_mutex_lock(&d->lock);
	d->writes++;
	d->last_write_offset = offset;
	d->last_write_bytes = n;
	transfer(d->bytes + offset, buffer, n);
	if (offset + n > d->size)
		d->size = offset + n;
	pthread_mutex_unlock(&d->lock);
	return n;
}

static void disk_release(void *priv)
{
	((struct disk *)priv)->released++;
}

static const struct aspace_mapping_ops disk_ops = {
	.size = sizeof(disk_ops), .read = disk_read, .write = disk_write, .release = disk_release,
};

/* What a byte of a new file holds: tells its page and its place. */
static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> PAGE_SHIFT) * 7 + 1);
}

/* ---- the stage ------------------------------------------------------------------------------------ */

struct stage {
	struct aspace_machine *m;
	struct aspace_mm *mm;
	struct disk disk;
	struct aspace_mapping *mapping;
	struct aspace_file *file;
};

static void check(struct stage *s)
{
	char why[256] = "";

	if (aspace_machine_check(s->m, why, sizeof(why)))
		fail_msg("%s", why);
}

static void open_disk(struct stage *s, uint64_t bytes)
{
	struct aspace_mapping_options contents = {
		.size = sizeof(contents), .ops = &disk_ops, .priv = &s->disk, .bytes = bytes, .ino = 7,
	};
	struct aspace_file_options opened = {
		.size = sizeof(opened), .readable = true, .writable = true, .path = "/disk",
	};

	s->disk = (struct disk){ .size = bytes, .room = 64 << 20, .bad_page = UINT64_MAX };
	pthread_mutex_init(&s->disk.lock, NULL);
	s->disk.bytes = calloc(1, s->disk.room);
	for (uint64_t i = 0; i < bytes; i++)
		s->disk.bytes[i] = pattern(i);
	assert_int_equal(aspace_mapping_create(s->m, &contents, &s->mapping), 0);
	assert_int_equal(aspace_file_open(s->mapping, &opened, &s->file), 0);
	s->disk.mapping = s->mapping;
}

static void stage(struct stage *s, uint64_t ram, uint64_t file_bytes)
{
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = ram };

	assert_int_equal(aspace_machine_create(&options, &s->m), 0);
	assert_int_equal(aspace_mm_create(s->m, &s->mm), 0);
	open_disk(s, file_bytes);
}

static void close_file(struct stage *s)
{
	aspace_file_put(s->file);
	aspace_mapping_put(s->mapping);
	s->file = NULL;
	s->mapping = NULL;
}

/* Everything goes, and nothing is left: frames free before is frames free after. */
static void strike(struct stage *s)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };

	aspace_mm_put(s->mm);
	if (s->file)
		close_file(s);
	assert_int_equal(s->disk.released, 1);
	check(s);
	aspace_machine_stats(s->m, &stats);
	assert_int_equal(stats.frames_file + stats.frames_shmem + stats.frames_anon, 0);
	assert_int_equal(stats.committed_as, 0);
	assert_int_equal(stats.mappings + stats.files, 0);
	aspace_machine_destroy(s->m);
	free(s->disk.bytes);
}

static uint64_t map(struct stage *s, uint64_t bytes, unsigned flags)
{
	int64_t at = aspace_mmap(s->mm, 0, bytes, RW, flags, s->file, 0);

	assert_true(at > 0);
	return at;
}

static uint8_t load(struct stage *s, uint64_t addr)
{
	uint8_t byte = 0;

	assert_int_equal(aspace_copy_from_user(s->mm, &byte, addr, 1), 0);
	return byte;
}

static void store(struct stage *s, uint64_t addr, uint8_t byte)
{
	assert_int_equal(aspace_copy_to_user(s->mm, addr, &byte, 1), 0);
}

static void expect_sigbus(struct stage *s, uint64_t addr)
{
	struct aspace_fault fault = { .size = sizeof(fault) };

	assert_int_equal(aspace_fault(s->mm, addr, ASPACE_READ, 0, &fault), -EFAULT);
	assert_int_equal(fault.signal, ASPACE_SIGBUS);
	assert_int_equal(fault.code, ASPACE_BUS_ADRERR);
}

/* ---- reading --------------------------------------------------------------------------------------- */

static void neighbours_are_read_by_one_call(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 1 << 20);
	at = map(&s, 1 << 20, SHARED);
	for (uint64_t i = 0; i < 1 << 20; i += 512)
		assert_int_equal(load(&s, at + i), pattern(i));
	assert_int_equal(s.disk.reads, 8);		/* of 128 KiB */
	assert_int_equal(aspace_mapping_pages(s.mapping), 256);
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 0);
	check(&s);
	strike(&s);
}

static void read_frames_lie_side_by_side(void **state)
{
	struct page *first, *next;
	struct stage s;

	stage(&s, 16 << 20, 128 * K);
	assert_int_equal(filemap_get_page(s.mapping, 0, true, &first, NULL), 0);
	for (int i = 1; i < 32; i++) {
		assert_int_equal(filemap_get_page(s.mapping, i, false, &next, NULL), 0);
		assert_ptr_equal(next, first + i);
		put_page(s.m, next);
	}
	put_page(s.m, first);
	strike(&s);
}

static void the_last_page_ends_in_zeroes(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 5000);
	memset(s.disk.bytes + 5000, 0xee, 4096);	/* the host's file is longer than we were told */
	s.disk.size = 9000;
	at = map(&s, 16 * K, SHARED);
	assert_int_equal(load(&s, at + 4999), pattern(4999));
	assert_int_equal(load(&s, at + 5000), 0);
	assert_int_equal(load(&s, at + 8191), 0);
	expect_sigbus(&s, at + 8192);
	s.disk.size = 5000;
	strike(&s);
}

static void a_bad_neighbour_hurts_nobody(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 256 * K);
	s.disk.bad_page = 3;
	at = map(&s, 256 * K, SHARED);
	assert_int_equal(load(&s, at), pattern(0));
	expect_sigbus(&s, at + 3 * PAGE_SIZE);
	assert_int_equal(load(&s, at + 4 * PAGE_SIZE), pattern(4 * PAGE_SIZE));
	check(&s);
	s.disk.bad_page = UINT64_MAX;
	assert_int_equal(load(&s, at + 3 * PAGE_SIZE), pattern(3 * PAGE_SIZE));
	strike(&s);
}

static void rewrite_page_zero(struct disk *d)
{
	uint8_t byte = 0x42;

	assert_int_equal(aspace_mapping_write(d->mapping, 10, &byte, 1), 1);
}

/* The bytes were read before somebody wrote, and arrive after: they're old, and read again. */
static void a_write_while_a_page_is_read_is_seen(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 64 * K);
	at = map(&s, 64 * K, SHARED);
	s.disk.while_reading = rewrite_page_zero;
	assert_int_equal(load(&s, at + 10), 0x42);
	assert_int_equal(s.disk.reads, 2);
	check(&s);
	strike(&s);
}

/* ---- dirty pages, write-back ------------------------------------------------------------------------- */

static void a_store_reaches_the_file(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 64 * K);
	at = map(&s, 64 * K, SHARED);
	store(&s, at + 100, 1);
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 1);
	check(&s);
	assert_int_equal(s.disk.bytes[100], pattern(100));
	assert_int_equal(aspace_msync(s.mm, at, 64 * K, MS_SYNC), 0);
	assert_int_equal(s.disk.bytes[100], 1);
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 0);
	check(&s);
	/* Clean again means protected again: the next store is noticed. */
	store(&s, at + 100, 2);
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 1);
	check(&s);
	assert_int_equal(aspace_mapping_sync(s.mapping, 0, UINT64_MAX), 0);
	assert_int_equal(s.disk.bytes[100], 2);
	strike(&s);
}

static void neighbours_are_written_by_one_call(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 150 * K + 100);
	at = map(&s, 152 * K, SHARED);
	/* Page by page from the end, so that read-ahead brings them in two windows. */
	for (int i = 37; i >= 0; i--)
		store(&s, at + i * PAGE_SIZE, i);
	store(&s, at + 151 * K, 0xee);			/* beyond the end: never part of the file */
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 38);
	assert_int_equal(aspace_mapping_sync(s.mapping, 0, UINT64_MAX), 0);
	assert_int_equal(s.disk.writes, 1);
	assert_int_equal(s.disk.last_write_bytes, 150 * K + 100);
	assert_int_equal(s.disk.size, 150 * K + 100);
	for (int i = 0; i < 38; i++)
		assert_int_equal(s.disk.bytes[i * PAGE_SIZE], i);
	/* A range is a range. */
	store(&s, at, 0x77);
	store(&s, at + 4 * PAGE_SIZE, 0x77);
	assert_int_equal(aspace_mapping_sync(s.mapping, 4 * PAGE_SIZE + 5, 1), 0);
	assert_int_equal(s.disk.bytes[4 * PAGE_SIZE], 0x77);
	assert_int_equal(s.disk.bytes[0], 0);
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 1);
	check(&s);
	strike(&s);
}

static void what_cant_be_written_stays_dirty(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 64 * K);
	at = map(&s, 64 * K, SHARED);
	store(&s, at, 9);
	s.disk.write_error = -ENOSPC;
	assert_int_equal(aspace_msync(s.mm, at, 64 * K, MS_SYNC), -ENOSPC);
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 1);
	check(&s);
	s.disk.write_error = 0;
	assert_int_equal(aspace_msync(s.mm, at, 64 * K, MS_SYNC), 0);
	assert_int_equal(s.disk.bytes[0], 9);
	check(&s);
	strike(&s);
}

static void the_last_reference_writes_back(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 64 * K);
	at = map(&s, 64 * K, SHARED);
	store(&s, at + 5, 0x55);
	close_file(&s);					/* the area holds it still */
	assert_int_equal(s.disk.released, 0);
	store(&s, at + 6, 0x66);
	aspace_mm_put(s.mm);
	assert_int_equal(s.disk.released, 1);
	assert_int_equal(s.disk.bytes[5], 0x55);
	assert_int_equal(s.disk.bytes[6], 0x66);
	assert_int_equal(aspace_mm_create(s.m, &s.mm), 0);
	strike(&s);
}

static void private_stores_stay_private(void **state)
{
	struct stage s;
	uint64_t shared, private;

	stage(&s, 16 << 20, 64 * K);
	shared = map(&s, 64 * K, SHARED);
	private = map(&s, 64 * K, MAP_PRIVATE);
	store(&s, private, 3);
	assert_int_equal(load(&s, shared), pattern(0));
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 0);
	store(&s, shared + PAGE_SIZE, 4);
	assert_int_equal(load(&s, private + PAGE_SIZE), 4);	/* not copied yet: the same page */
	check(&s);
	strike(&s);
}

/* ---- truncation, holes ---------------------------------------------------------------------------------- */

/*
 *	before  |####|####|####|####|	after truncation to 1.5 pages  |####|##00|SIGBUS
 */
static void shorter_files_have_shorter_mappings(void **state)
{
	struct stage s;
	uint64_t shared, private;

	stage(&s, 16 << 20, 4 * PAGE_SIZE);
	shared = map(&s, 4 * PAGE_SIZE, SHARED);
	private = map(&s, 4 * PAGE_SIZE, MAP_PRIVATE);
	for (int i = 0; i < 4; i++) {
		store(&s, shared + i * PAGE_SIZE, i);
		store(&s, private + i * PAGE_SIZE, 0x80 + i);
	}
	s.disk.size = 6000;
	assert_int_equal(aspace_mapping_truncate(s.mapping, 6000), 0);
	check(&s);
	assert_int_equal(aspace_mapping_pages(s.mapping), 2);
	assert_int_equal(load(&s, shared + 5999), pattern(5999));
	assert_int_equal(load(&s, shared + 6000), 0);
	expect_sigbus(&s, shared + 2 * PAGE_SIZE);
	expect_sigbus(&s, private + 2 * PAGE_SIZE);		/* the private copy went, too */
	assert_int_equal(load(&s, private + PAGE_SIZE), 0x81);	/* this one not */
	/* Longer again: what was stored beyond the end doesn't come back. */
	store(&s, shared + 7000, 0xee);
	s.disk.size = 4 * PAGE_SIZE;
	memset(s.disk.bytes + 6000, 0, 4 * PAGE_SIZE - 6000);
	assert_int_equal(aspace_mapping_truncate(s.mapping, 4 * PAGE_SIZE), 0);
	assert_int_equal(load(&s, shared + 7000), 0);
	assert_int_equal(load(&s, shared + 2 * PAGE_SIZE), 0);
	check(&s);
	strike(&s);
}

static void holes_read_as_zeroes(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 8 * PAGE_SIZE);
	at = map(&s, 8 * PAGE_SIZE, SHARED);
	for (int i = 0; i < 8; i++)
		store(&s, at + i * PAGE_SIZE + 50, 1);
	assert_int_equal(aspace_mapping_punch_hole(s.mapping, PAGE_SIZE + 100, 4 * PAGE_SIZE), 0);
	check(&s);
	assert_int_equal(aspace_mapping_pages(s.mapping), 5);
	assert_int_equal(load(&s, at + PAGE_SIZE + 50), 1);
	assert_int_equal(load(&s, at + PAGE_SIZE + 100), 0);
	for (int i = 2; i < 5; i++)
		assert_int_equal(load(&s, at + i * PAGE_SIZE + 50), 0);
	assert_int_equal(load(&s, at + 5 * PAGE_SIZE + 50), 0);
	assert_int_equal(load(&s, at + 5 * PAGE_SIZE + 100), pattern(5 * PAGE_SIZE + 100));
	assert_int_equal(aspace_mapping_sync(s.mapping, 0, UINT64_MAX), 0);
	assert_int_equal(s.disk.bytes[3 * PAGE_SIZE + 9], 0);
	assert_int_equal(aspace_mapping_punch_hole(s.mapping, 0, 0), -EINVAL);
	/* Within one page; and beyond the end the file doesn't grow. */
	assert_int_equal(aspace_mapping_punch_hole(s.mapping, 7 * PAGE_SIZE + 10, 10), 0);
	assert_int_equal(load(&s, at + 7 * PAGE_SIZE + 9), pattern(7 * PAGE_SIZE + 9));
	assert_int_equal(load(&s, at + 7 * PAGE_SIZE + 19), 0);
	assert_int_equal(load(&s, at + 7 * PAGE_SIZE + 20), pattern(7 * PAGE_SIZE + 20));
	assert_int_equal(aspace_mapping_punch_hole(s.mapping, 7 * PAGE_SIZE + 4000, 1 << 20), 0);
	assert_int_equal(s.disk.size, 8 * PAGE_SIZE);
	assert_int_equal(load(&s, at + 7 * PAGE_SIZE + 4095), 0);
	check(&s);
	strike(&s);
}

/* ---- read(2), write(2) ------------------------------------------------------------------------------------ */

static void reads_and_writes_agree_with_mappings(void **state)
{
	uint8_t buffer[3 * PAGE_SIZE];
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 4 * PAGE_SIZE);
	at = map(&s, 8 * PAGE_SIZE, SHARED);
	/* Nothing cached: the file itself. */
	assert_int_equal(aspace_mapping_read(s.mapping, 100, buffer, 200), 200);
	assert_int_equal(buffer[0], pattern(100));
	assert_int_equal(aspace_mapping_pages(s.mapping), 0);
	/* A store is seen by a read before it is written. */
	store(&s, at + PAGE_SIZE, 0x11);
	assert_int_equal(aspace_mapping_read(s.mapping, 100, buffer, sizeof(buffer)), sizeof(buffer));
	assert_int_equal(buffer[PAGE_SIZE - 100], 0x11);
	assert_int_equal(buffer[PAGE_SIZE - 99], pattern(PAGE_SIZE + 1));
	/* A write is seen by a load, reaches the file at once, and doesn't undo the store beside it. */
	memset(buffer, 0x22, sizeof(buffer));
	assert_int_equal(aspace_mapping_write(s.mapping, PAGE_SIZE + 1, buffer, PAGE_SIZE), PAGE_SIZE);
	assert_int_equal(load(&s, at + PAGE_SIZE + 1), 0x22);
	assert_int_equal(load(&s, at + PAGE_SIZE), 0x11);
	assert_int_equal(s.disk.bytes[PAGE_SIZE + 1], 0x22);
	assert_int_equal(s.disk.bytes[PAGE_SIZE], pattern(PAGE_SIZE));
	check(&s);
	/* Reading stops at the end, writing extends it. */
	assert_int_equal(aspace_mapping_read(s.mapping, 4 * PAGE_SIZE - 5, buffer, 100), 5);
	assert_int_equal(aspace_mapping_read(s.mapping, 4 * PAGE_SIZE, buffer, 100), 0);
	expect_sigbus(&s, at + 4 * PAGE_SIZE);
	assert_int_equal(aspace_mapping_write(s.mapping, 5 * PAGE_SIZE, "x", 1), 1);
	assert_int_equal(aspace_mapping_bytes(s.mapping), 5 * PAGE_SIZE + 1);
	assert_int_equal(load(&s, at + 4 * PAGE_SIZE), 0);
	assert_int_equal(load(&s, at + 5 * PAGE_SIZE), 'x');
	check(&s);
	/* A failed write changes nothing. */
	s.disk.write_error = -EIO;
	assert_int_equal(aspace_mapping_write(s.mapping, 0, buffer, 10), -EIO);
	assert_int_equal(aspace_mapping_write(s.mapping, 1 << 20, buffer, 10), -EIO);
	s.disk.write_error = 0;
	assert_int_equal(load(&s, at), pattern(0));
	assert_int_equal(aspace_mapping_bytes(s.mapping), 5 * PAGE_SIZE + 1);
	strike(&s);
}

static void the_file_changed_behind_the_cache(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 16 << 20, 4 * PAGE_SIZE);
	at = map(&s, 4 * PAGE_SIZE, SHARED);
	assert_int_equal(load(&s, at), pattern(0));
	store(&s, at + PAGE_SIZE, 0x33);
	memset(s.disk.bytes, 0x99, 100);
	assert_int_equal(aspace_mapping_invalidate(s.mapping, false), 0);	/* mapped: they stay */
	assert_int_equal(load(&s, at), pattern(0));
	assert_int_equal(aspace_mapping_invalidate(s.mapping, true), 0);
	assert_int_equal(aspace_mapping_pages(s.mapping), 0);
	check(&s);
	assert_int_equal(load(&s, at), 0x99);
	assert_int_equal(load(&s, at + PAGE_SIZE), 0x33);	/* the store was not lost */
	strike(&s);
}

/* ---- memory runs short ---------------------------------------------------------------------------------- */

/* A file of 8 MiB passes through 2 MiB of RAM. */
static void cold_pages_make_room(void **state)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };
	struct stage s;
	struct page *page;

	stage(&s, 2 << 20, 8 << 20);
	for (int round = 0; round < 2; round++) {
		for (pgoff_t i = 0; i < 2048; i++) {
			assert_int_equal(filemap_get_page(s.mapping, i, true, &page, NULL), 0);
			assert_int_equal(*((uint8_t *)page_address(s.m, page) + 9), pattern(i * PAGE_SIZE + 9));
			put_page(s.m, page);
		}
		check(&s);
	}
	assert_true(aspace_mapping_pages(s.mapping) < 512);
	aspace_machine_stats(s.m, &stats);
	assert_true(stats.pages_read >= 4096);
	strike(&s);
}

static void dirty_and_mapped_pages_are_not_dropped(void **state)
{
	struct stage s;
	uint64_t at;

	stage(&s, 2 << 20, 1 << 20);
	at = map(&s, 1 << 20, SHARED);
	assert_int_equal(filemap_read_ahead(s.mapping, 0, 255), 0);
	for (int i = 0; i < 20; i++)
		store(&s, at + i * PAGE_SIZE, i);
	while (shrink_page_cache(s.m, 64))
		check(&s);
	assert_in_range(aspace_mapping_pages(s.mapping), 20, 60);	/* what fault-around mapped stays */
	assert_int_equal(aspace_mapping_dirty_pages(s.mapping), 20);
	assert_int_equal(s.disk.writes, 0);
	strike(&s);
}

/* Anonymous memory pushes the cache out, to the last page; what was stored is in the file then. */
static void anonymous_memory_comes_first(void **state)
{
	struct stage s;
	uint64_t at, anon, n = 0;

	stage(&s, 2 << 20, 1 << 20);
	at = map(&s, 1 << 20, SHARED);
	for (int i = 0; i < 256; i++)
		store(&s, at + i * PAGE_SIZE, i);
	anon = aspace_mmap(s.mm, 0, 2 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
	assert_true((int64_t)anon > 0);
	while (n < 512 && aspace_copy_to_user(s.mm, anon + n * PAGE_SIZE, "y", 1) == 0)
		n++;
	check(&s);
	assert_true(n > 400);
	assert_true(aspace_mapping_pages(s.mapping) < 30);
	assert_int_equal(aspace_munmap(s.mm, anon, 2 << 20), 0);
	for (int i = 0; i < 256; i++)
		assert_int_equal(load(&s, at + i * PAGE_SIZE), (uint8_t)i);
	check(&s);
	strike(&s);
}

/* Four times the RAM, stored to and mapped all the time: pages are written, unmapped, and come back. */
static void a_mapping_larger_than_memory(void **state)
{
	enum { PAGES = 2048 };
	struct stage s;
	uint64_t at;

	stage(&s, 2 << 20, PAGES * PAGE_SIZE);
	at = map(&s, PAGES * PAGE_SIZE, SHARED);
	for (int round = 1; round <= 2; round++) {
		for (int i = 0; i < PAGES; i++)
			store(&s, at + i * PAGE_SIZE, i * 3 + round);
		check(&s);
		for (int i = 0; i < PAGES; i++) {
			assert_int_equal(load(&s, at + i * PAGE_SIZE), (uint8_t)(i * 3 + round));
			assert_int_equal(load(&s, at + i * PAGE_SIZE + 77), pattern(i * PAGE_SIZE + 77));
		}
		check(&s);
	}
	assert_true(s.disk.writes > 20);
	assert_int_equal(aspace_mapping_sync(s.mapping, 0, UINT64_MAX), 0);
	for (int i = 0; i < PAGES; i++)
		assert_int_equal(s.disk.bytes[i * PAGE_SIZE], (uint8_t)(i * 3 + 2));
	strike(&s);
}

/* ---- shared memory ----------------------------------------------------------------------------------------- */

static uint64_t committed(struct stage *s)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };

	aspace_machine_stats(s->m, &stats);
	return stats.committed_as;
}

static struct aspace_mapping *memfd(struct stage *s, uint64_t bytes, bool sealable)
{
	struct aspace_mapping_options o = { .size = sizeof(o), .bytes = bytes, .sealable = sealable };
	struct aspace_mapping *mapping;

	assert_int_equal(aspace_mapping_create(s->m, &o, &mapping), 0);
	return mapping;
}

static void shared_memory_is_charged_as_it_is_made(void **state)
{
	struct aspace_mapping *mapping;
	uint8_t buffer[100];
	struct stage s;

	stage(&s, 16 << 20, 100);
	mapping = memfd(&s, 1 << 20, true);
	assert_int_equal(committed(&s), 0);
	assert_int_equal(aspace_mapping_read(mapping, 5000, buffer, 100), 100);
	assert_int_equal(buffer[50], 0);
	assert_int_equal(aspace_mapping_pages(mapping), 0);
	assert_int_equal(aspace_mapping_write(mapping, 4090, "0123456789", 10), 10);
	assert_int_equal(committed(&s), 2);
	check(&s);
	assert_int_equal(aspace_mapping_write(mapping, 2 << 20, "x", 1), 1);
	assert_int_equal(aspace_mapping_bytes(mapping), (2 << 20) + 1);
	assert_int_equal(aspace_mapping_read(mapping, 4094, buffer, 100), 100);
	assert_memory_equal(buffer, "456789\0\0", 8);
	assert_int_equal(aspace_mapping_punch_hole(mapping, 0, PAGE_SIZE), 0);
	assert_int_equal(committed(&s), 2);
	assert_int_equal(aspace_mapping_truncate(mapping, 4098), 0);
	assert_int_equal(committed(&s), 1);
	assert_int_equal(aspace_mapping_truncate(mapping, 8192), 0);
	assert_int_equal(aspace_mapping_read(mapping, 4090, buffer, 20), 20);
	assert_memory_equal(buffer, "\0\0\0\0\0\0" "67\0\0\0", 11);
	check(&s);
	aspace_mapping_put(mapping);
	strike(&s);
}

static void anonymous_shared_memory_is_charged_whole(void **state)
{
	struct stage s;
	int64_t at;

	stage(&s, 16 << 20, 100);
	at = aspace_mmap(s.mm, 0, 1 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, NULL, 0);
	assert_true(at > 0);
	assert_int_equal(committed(&s), 256);
	store(&s, at + 5, 5);
	assert_int_equal(committed(&s), 256);
	check(&s);
	assert_int_equal(aspace_munmap(s.mm, at, 1 << 20), 0);
	assert_int_equal(committed(&s), 0);
	check(&s);
	strike(&s);
}

static void seals_hold(void **state)
{
	struct aspace_file_options opened = { .size = sizeof(opened), .readable = true, .writable = true };
	struct aspace_mapping *mapping;
	struct aspace_file *file;
	struct stage s;
	int64_t at;

	stage(&s, 16 << 20, 100);
	mapping = memfd(&s, 8192, false);
	assert_int_equal(aspace_mapping_get_seals(mapping), F_SEAL_SEAL);
	assert_int_equal(aspace_mapping_add_seals(mapping, F_SEAL_GROW), -EPERM);
	aspace_mapping_put(mapping);
	assert_int_equal(aspace_mapping_get_seals(s.mapping), -EINVAL);
	mapping = memfd(&s, 8192, true);
	assert_int_equal(aspace_mapping_get_seals(mapping), 0);
	assert_int_equal(aspace_mapping_add_seals(mapping, 0x4000), -EINVAL);
	assert_int_equal(aspace_mapping_add_seals(mapping, F_SEAL_GROW), 0);
	assert_int_equal(aspace_mapping_truncate(mapping, 9000), -EPERM);
	assert_int_equal(aspace_mapping_write(mapping, 8190, "abc", 3), -EPERM);
	assert_int_equal(aspace_mapping_truncate(mapping, 8000), 0);
	assert_int_equal(aspace_mapping_add_seals(mapping, F_SEAL_SHRINK), 0);
	assert_int_equal(aspace_mapping_truncate(mapping, 7000), -EPERM);
	assert_int_equal(aspace_file_open(mapping, &opened, &file), 0);
	at = aspace_mmap(s.mm, 0, 8192, RW, MAP_SHARED, file, 0);
	assert_true(at > 0);
	assert_int_equal(aspace_mapping_add_seals(mapping, F_SEAL_WRITE), -EBUSY);
	assert_int_equal(aspace_munmap(s.mm, at, 8192), 0);
	assert_int_equal(aspace_mapping_add_seals(mapping, F_SEAL_WRITE), 0);
	assert_int_equal(aspace_mmap(s.mm, 0, 8192, RW, MAP_SHARED, file, 0), -EPERM);
	assert_int_equal(aspace_mapping_write(mapping, 0, "a", 1), -EPERM);
	assert_int_equal(aspace_mapping_punch_hole(mapping, 0, 10), -EPERM);
	assert_int_equal(aspace_mapping_add_seals(mapping, F_SEAL_SEAL), 0);
	assert_int_equal(aspace_mapping_add_seals(mapping, F_SEAL_EXEC), -EPERM);
	check(&s);
	aspace_file_put(file);
	aspace_mapping_put(mapping);
	strike(&s);
}

/* ---- allocations that fail ------------------------------------------------------------------------------------ */

/* The story of a file, with the n-th allocation failing: errors are told, nothing is left behind. */
static bool story(struct stage *s)
{
	uint8_t buffer[64] = { 1 };
	struct aspace_file *file;
	struct page *page;
	bool ok = true;

	ok &= filemap_get_page(s->mapping, 40, true, &page, NULL) == 0;
	if (ok)
		put_page(s->m, page);
	ok &= aspace_mapping_write(s->mapping, 300 * K, buffer, 64) == 64;
	ok &= aspace_mapping_punch_hole(s->mapping, 0, 8192) == 0;
	if (shmem_zero_setup(s->m, 1 << 20, false, &file))
		return false;
	ok &= aspace_mapping_write(file->f_mapping, 70 * PAGE_SIZE, buffer, 64) == 64;
	aspace_file_put(file);
	return ok;
}

static void every_allocation_fails_once(void **state)
{
	int n = 0, failures[2] = { 0, 0 };

	for (int kind = 0; kind < 2; kind++) {
		for (n = 1;; n++) {
			struct stage s;
			bool ok;

			stage(&s, 4 << 20, 400 * K);
			atomic_store(kind ? &s.m->fail_frame : &s.m->domain.fail_at, n);
			ok = story(&s);
			atomic_store(&s.m->fail_frame, 0);
			atomic_store(&s.m->domain.fail_at, 0);
			check(&s);
			assert_true(story(&s));
			strike(&s);
			failures[kind] += !ok;
			if (ok && n > 12)
				break;
		}
	}
	print_message("objects: %d ends in an error, frames: %d\n", failures[0], failures[1]);
	assert_true(failures[0] >= 3 && failures[1] >= 1);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

#define STORE_PAGES 64

struct race {
	struct stage s;
	uint64_t at;
	atomic_bool stop;
	atomic_ulong syncs, stores, drops;
};

/* Each thread counts up in words of its own, one to a page. */
static void *storer(void *arg)
{
	static atomic_uint numbers;
	unsigned me = atomic_fetch_add(&numbers, 1) % 2;
	struct race *r = arg;
	uint64_t count = 0;

	while (!atomic_load(&r->stop)) {
		count++;
		for (int i = 0; i < STORE_PAGES; i++) {
			uint64_t addr = r->at + i * PAGE_SIZE + 8 * me;

			BUG_ON(aspace_copy_to_user(r->s.mm, addr, &count, 8));
			atomic_fetch_add(&r->stores, 1);
		}
	}
	return (void *)count;
}

static void *syncer(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		BUG_ON(aspace_mapping_sync(r->s.mapping, 0, UINT64_MAX));
		atomic_fetch_add(&r->syncs, 1);
		atomic_fetch_add(&r->drops, shrink_page_cache(r->s.m, 16));
		if (atomic_load(&r->syncs) % 4 == 0)
			BUG_ON(aspace_mapping_invalidate(r->s.mapping, true));
		usleep(20);	/* writers come first: let the others in */
	}
	return NULL;
}

static void nothing_stored_is_lost(void **state)
{
	pthread_t thread[3];
	struct race r = { .at = 0 };
	void *count[2];

	stage(&r.s, 16 << 20, STORE_PAGES * PAGE_SIZE);
	r.at = map(&r.s, STORE_PAGES * PAGE_SIZE, SHARED);
	pthread_create(&thread[0], NULL, storer, &r);
	pthread_create(&thread[1], NULL, storer, &r);
	pthread_create(&thread[2], NULL, syncer, &r);
	for (int i = 0; i < 100 && (i < 4 || atomic_load(&r.syncs) < 30); i++)
		usleep(100000);
	atomic_store(&r.stop, true);
	pthread_join(thread[0], &count[0]);
	pthread_join(thread[1], &count[1]);
	pthread_join(thread[2], NULL);
	check(&r.s);
	assert_int_equal(aspace_mapping_sync(r.s.mapping, 0, UINT64_MAX), 0);
	for (int i = 0; i < STORE_PAGES; i++) {
		uint64_t words[2];

		memcpy(words, r.s.disk.bytes + i * PAGE_SIZE, 16);
		assert_true(words[0] + words[1] == (uint64_t)count[0] + (uint64_t)count[1]);
	}
	print_message("%lu stores, %lu write-backs of all, %d writes, %lu pages dropped\n", atomic_load(&r.stores),
		      atomic_load(&r.syncs), r.s.disk.writes, atomic_load(&r.drops));
	assert_true(atomic_load(&r.syncs) > 2 && r.s.disk.writes > 20);
	strike(&r.s);
}

/* Each thread owns a word of every page of a file of 4 MiB; there are 2 MiB of RAM. */
static void *thrasher(void *arg)
{
	static atomic_uint numbers;
	uint64_t me = atomic_fetch_add(&numbers, 1) % 3, seed = me + 1, count = 0;
	static uint64_t last[3][1024];
	struct race *r = arg;

	while (!atomic_load(&r->stop) || count < 3000) {
		uint64_t i = (seed = seed * 6364136223846793005ull + 1) >> 33 & 1023, word;
		uint64_t addr = r->at + i * PAGE_SIZE + 8 * me;

		BUG_ON(aspace_copy_from_user(r->s.mm, &word, addr, 8));
		BUG_ON(last[me][i] && word != last[me][i]);
		last[me][i] = ++count;
		BUG_ON(aspace_copy_to_user(r->s.mm, addr, &count, 8));
	}
	return (void *)count;
}

static void threads_in_too_little_memory(void **state)
{
	struct race r = { .at = 0 };
	pthread_t thread[3];
	void *count[3];

	stage(&r.s, 2 << 20, 1024 * PAGE_SIZE);
	r.at = map(&r.s, 1024 * PAGE_SIZE, SHARED);
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, thrasher, &r);
	usleep(300000);
	atomic_store(&r.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], &count[i]);
	check(&r.s);
	print_message("%lu stores, %d reads, %d writes of the file\n",
		      (unsigned long)count[0] + (unsigned long)count[1] + (unsigned long)count[2], r.s.disk.reads,
		      r.s.disk.writes);
	assert_true(r.s.disk.reads > 100 && r.s.disk.writes > 100);
	strike(&r.s);
}

static void *truncater(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		BUG_ON(aspace_mapping_truncate(r->s.mapping, 10 * PAGE_SIZE + 100));
		BUG_ON(aspace_mapping_truncate(r->s.mapping, STORE_PAGES * PAGE_SIZE));
		atomic_fetch_add(&r->syncs, 1);
		usleep(20);
	}
	return NULL;
}

static void *toucher(void *arg)
{
	struct race *r = arg;
	uint64_t refused = 0, n = 0;

	while (!atomic_load(&r->stop)) {
		uint64_t word = n;

		refused += aspace_copy_to_user(r->s.mm, r->at + n++ * 7 % STORE_PAGES * PAGE_SIZE, &word, 8) > 0;
		atomic_fetch_add(&r->stores, 1);
	}
	return (void *)refused;
}

static void truncation_races_with_faults(void **state)
{
	struct race r = { .at = 0 };
	pthread_t thread[3];
	void *refused[2];

	stage(&r.s, 16 << 20, STORE_PAGES * PAGE_SIZE);
	r.at = map(&r.s, STORE_PAGES * PAGE_SIZE, SHARED);
	pthread_create(&thread[0], NULL, toucher, &r);
	pthread_create(&thread[1], NULL, toucher, &r);
	pthread_create(&thread[2], NULL, truncater, &r);
	usleep(300000);
	atomic_store(&r.stop, true);
	pthread_join(thread[0], &refused[0]);
	pthread_join(thread[1], &refused[1]);
	pthread_join(thread[2], NULL);
	check(&r.s);
	print_message("%lu stores, %lu of them beyond the end; %lu truncations\n", atomic_load(&r.stores),
		      (unsigned long)refused[0] + (unsigned long)refused[1], atomic_load(&r.syncs));
	assert_true(atomic_load(&r.syncs) > 10);
	strike(&r.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_are_read_by_one_call),
		cmocka_unit_test(read_frames_lie_side_by_side),
		cmocka_unit_test(the_last_page_ends_in_zeroes),
		cmocka_unit_test(a_bad_neighbour_hurts_nobody),
		cmocka_unit_test(a_write_while_a_page_is_read_is_seen),
		cmocka_unit_test(a_store_reaches_the_file),
		cmocka_unit_test(neighbours_are_written_by_one_call),
		cmocka_unit_test(what_cant_be_written_stays_dirty),
		cmocka_unit_test(the_last_reference_writes_back),
		cmocka_unit_test(private_stores_stay_private),
		cmocka_unit_test(shorter_files_have_shorter_mappings),
		cmocka_unit_test(holes_read_as_zeroes),
		cmocka_unit_test(reads_and_writes_agree_with_mappings),
		cmocka_unit_test(the_file_changed_behind_the_cache),
		cmocka_unit_test(cold_pages_make_room),
		cmocka_unit_test(dirty_and_mapped_pages_are_not_dropped),
		cmocka_unit_test(anonymous_memory_comes_first),
		cmocka_unit_test(a_mapping_larger_than_memory),
		cmocka_unit_test(shared_memory_is_charged_as_it_is_made),
		cmocka_unit_test(anonymous_shared_memory_is_charged_whole),
		cmocka_unit_test(seals_hold),
		cmocka_unit_test(every_allocation_fails_once),
		cmocka_unit_test(nothing_stored_is_lost),
		cmocka_unit_test(truncation_races_with_faults),
		cmocka_unit_test(threads_in_too_little_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
