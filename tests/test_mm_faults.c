/* SPDX-License-Identifier: MIT */
/*
 * What an access finds: each kind of fault and each signal with its code (E1, E2), accessed and dirty
 * bits (D2), huge leaves, drivers, stacks. All with four levels and with five; after every act the
 * whole state is checked, and the processor's own view of the tables (hw/mmu.c) is held against the
 * library's (D1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hw/mmu.h"
#include "mm/pagetable.h"

#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define AT	0x7f0000000000ull
#define FILE_PAGES 64ull

static struct aspace_machine *m;
static struct aspace_mm *mm;
static struct aspace_mapping *mapping;
static struct aspace_file *file;
static struct mmu mmu;
static uint8_t disk[FILE_PAGES * PAGE_SIZE];
static int read_error;

/* ---- the stage ----------------------------------------------------------------------------------- */

static int64_t disk_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	if (read_error)
		return read_error;
	n = offset >= sizeof(disk) ? 0 : min(n, sizeof(disk) - offset);
	memcpy(buffer, disk + offset, n);
	return (int64_t)n;
}

static int64_t disk_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	memcpy(disk + offset, buffer, n);
	return (int64_t)n;
}

static int set_up(void **state)
{
	static const struct aspace_mapping_ops ops = {
		.size = sizeof(ops), .read = disk_read, .write = disk_write,
	};
	enum aspace_format format = *(enum aspace_format *)*state;
	struct aspace_machine_options options = {
		.size = sizeof(options), .ram_bytes = 64 << 20, .format = format,
	};
	struct aspace_mapping_options contents = { .size = sizeof(contents), .ops = &ops, .bytes = sizeof(disk) };
	struct aspace_file_options opened = {
		.size = sizeof(opened), .readable = true, .writable = true, .path = "/disk",
	};

	for (uint64_t i = 0; i < sizeof(disk); i++)
		disk[i] = (uint8_t)(i * 31 + (i >> PAGE_SHIFT) + 1);
	read_error = 0;
	if (aspace_machine_create(&options, &m) || aspace_mm_create(m, &mm) ||
	    aspace_mapping_create(m, &contents, &mapping) || aspace_file_open(mapping, &opened, &file))
		return -1;
	mmu = (struct mmu){ .la57 = format == ASPACE_X86_64_5LEVEL };
	mmu.ram = aspace_machine_ram(m, &mmu.ram_bytes, NULL);
	return 0;
}

static int compare_leaf(void *priv, const struct aspace_pte *pte)
{
	uint64_t phys = 0;

	for (unsigned access = ASPACE_READ; access <= ASPACE_EXEC; access <<= 1) {
		uint32_t error = mmu_translate(&mmu, aspace_mm_root(mm), pte->addr, access, &phys);

		if (!error != !!(pte->access & access) || (!error && phys != pte->phys))
			fail_msg("%#lx, access %u: the MMU says %#x and %#lx", pte->addr, access, error, phys);
	}
	++*(uint64_t *)priv;
	return 0;
}

static int count_hardware_leaf(void *priv, const struct mmu_leaf *leaf)
{
	++*(uint64_t *)priv;
	return 0;
}

/* How many leaves there are. */
static uint64_t check(void)
{
	uint64_t ours = 0, hardware = 0;
	char why[256] = "";

	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(aspace_walk(mm, 0, UINT64_MAX, compare_leaf, &ours), 0);
	assert_int_equal(mmu_for_each_leaf(&mmu, aspace_mm_root(mm), count_hardware_leaf, &hardware), 0);
	assert_int_equal(ours, hardware);
	return ours;
}

static int tear_down(void **state)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };
	char why[256] = "";

	check();
	aspace_mm_put(mm);
	aspace_file_put(file);
	aspace_mapping_put(mapping);
	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("at the end: %s", why);
	aspace_machine_stats(m, &stats);
	assert_int_equal(stats.frames_anon + stats.frames_file + stats.frames_shmem, 0);
	assert_int_equal(stats.frames_total - stats.frames_free - stats.frames_reserved - stats.frames_page_table -
			 stats.frames_other, 0);
	assert_int_equal(stats.committed_as, 0);
	aspace_machine_destroy(m);
	return 0;
}

static void map(uint64_t addr, uint64_t pages, unsigned prot, unsigned flags, struct aspace_file *of)
{
	assert_int_equal(aspace_mmap(mm, addr, pages * PAGE_SIZE, prot, flags | MAP_FIXED, of, 0), addr);
}

static void expect_fault(uint64_t addr, unsigned access, const char *kind)
{
	struct aspace_fault fault = { .size = sizeof(fault) };

	assert_int_equal(aspace_fault(mm, addr, access, 0, &fault), 0);
	assert_int_equal(fault.signal, 0);
	assert_string_equal(fault.kind, kind);
	check();
}

static struct aspace_fault expect_signal(uint64_t addr, unsigned access, uint32_t pkru, int signal, int code)
{
	struct aspace_fault fault = { .size = sizeof(fault) };

	assert_int_equal(aspace_fault(mm, addr, access, pkru, &fault), -EFAULT);
	assert_int_equal(fault.signal, signal);
	assert_int_equal(fault.code, code);
	assert_int_equal(fault.addr, addr);
	check();
	return fault;
}

static int take_leaf(void *priv, const struct aspace_pte *pte)
{
	*(struct aspace_pte *)priv = *pte;
	return 1;
}

/* The leaf behind addr; size 0: there is none. */
static struct aspace_pte leaf_at(uint64_t addr)
{
	struct aspace_pte pte = { 0 };

	aspace_walk(mm, addr & PAGE_MASK, (addr & PAGE_MASK) + PAGE_SIZE, take_leaf, &pte);
	return pte;
}

static uint64_t load(uint64_t addr)
{
	uint64_t word = 0;

	assert_int_equal(aspace_copy_from_user(mm, &word, addr, sizeof(word)), 0);
	return word;
}

static void store(uint64_t addr, uint64_t word)
{
	assert_int_equal(aspace_copy_to_user(mm, addr, &word, sizeof(word)), 0);
}

static struct aspace_mm_stats mm_stats(void)
{
	struct aspace_mm_stats stats = { .size = sizeof(stats) };

	aspace_mm_stats(mm, &stats);
	return stats;
}

/* ---- signals --------------------------------------------------------------------------------------- */

static void nothing_there_is_maperr(void **state)
{
	map(AT, 2, RW, ANON, NULL);
	expect_signal(AT - 1, ASPACE_READ, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	expect_signal(AT + 2 * PAGE_SIZE, ASPACE_WRITE, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	expect_signal(0, ASPACE_READ, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	expect_signal(UINT64_MAX, ASPACE_EXEC, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	expect_signal(1ull << 63, ASPACE_WRITE, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	assert_int_equal(aspace_madvise(mm, AT, PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	expect_signal(AT + 5, ASPACE_READ, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	expect_signal(AT + 5, ASPACE_WRITE, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	assert_int_equal(aspace_madvise(mm, AT, PAGE_SIZE, MADV_GUARD_REMOVE), 0);
	expect_fault(AT + 5, ASPACE_WRITE, "anon");
}

static void not_allowed_is_accerr(void **state)
{
	map(AT, 1, PROT_NONE, ANON, NULL);
	map(AT + PAGE_SIZE, 1, PROT_READ, ANON, NULL);
	map(AT + 2 * PAGE_SIZE, 1, RW, ANON, NULL);
	for (unsigned access = ASPACE_READ; access <= ASPACE_EXEC; access <<= 1)
		expect_signal(AT + 77, access, 0, ASPACE_SIGSEGV, ASPACE_SEGV_ACCERR);
	expect_fault(AT + PAGE_SIZE, ASPACE_READ, "zero");
	expect_signal(AT + PAGE_SIZE, ASPACE_WRITE, 0, ASPACE_SIGSEGV, ASPACE_SEGV_ACCERR);
	expect_signal(AT + 2 * PAGE_SIZE, ASPACE_EXEC, 0, ASPACE_SIGSEGV, ASPACE_SEGV_ACCERR);
	expect_fault(AT + 2 * PAGE_SIZE, ASPACE_WRITE, "anon");
	expect_signal(AT + 2 * PAGE_SIZE, ASPACE_EXEC, 0, ASPACE_SIGSEGV, ASPACE_SEGV_ACCERR);
	/* And back: what is allowed again finds its page. */
	store(AT + 2 * PAGE_SIZE, 42);
	assert_int_equal(aspace_mprotect(mm, AT + 2 * PAGE_SIZE, PAGE_SIZE, PROT_NONE), 0);
	expect_signal(AT + 2 * PAGE_SIZE, ASPACE_READ, 0, ASPACE_SIGSEGV, ASPACE_SEGV_ACCERR);
	assert_int_equal(aspace_mprotect(mm, AT + 2 * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(load(AT + 2 * PAGE_SIZE), 42);
	assert_int_equal(leaf_at(AT + 2 * PAGE_SIZE).access, ASPACE_READ | ASPACE_EXEC);
}

static void beyond_the_file_is_sigbus(void **state)
{
	map(AT, FILE_PAGES + 2, RW, MAP_SHARED, file);
	map(AT + (1 << 20), FILE_PAGES + 2, RW, MAP_PRIVATE, file);
	for (int i = 0; i < 2; i++) {
		uint64_t end = AT + ((uint64_t)i << 20) + FILE_PAGES * PAGE_SIZE;

		expect_signal(end + 9, ASPACE_READ, 0, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
		expect_signal(end + 9, ASPACE_WRITE, 0, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
		expect_fault(end - 1, ASPACE_WRITE, i ? "cow" : "file");
	}
	assert_int_equal(aspace_mapping_truncate(mapping, PAGE_SIZE), 0);
	expect_signal(AT + (1 << 20) + FILE_PAGES * PAGE_SIZE - 1, ASPACE_READ, 0, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
	assert_int_equal(check(), 0);
}

static void unreadable_is_sigbus(void **state)
{
	map(AT, 4, RW, MAP_PRIVATE, file);
	read_error = -EIO;
	expect_signal(AT, ASPACE_READ, 0, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
	expect_signal(AT, ASPACE_WRITE, 0, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
	read_error = 0;
	expect_fault(AT, ASPACE_READ, "file");
}

static void closed_keys_are_pkuerr(void **state)
{
	int key = aspace_pkey_alloc(mm);
	uint32_t no_access = 1u << (2 * key), no_write = 2u << (2 * key);

	assert_in_range(key, 1, 15);
	map(AT, 1, RW, ANON, NULL);
	assert_int_equal(aspace_pkey_mprotect(mm, AT, PAGE_SIZE, RW, key), 0);
	assert_int_equal(expect_signal(AT, ASPACE_READ, no_access, ASPACE_SIGSEGV, ASPACE_SEGV_PKUERR).pkey, key);
	assert_int_equal(expect_signal(AT, ASPACE_WRITE, no_write, ASPACE_SIGSEGV, ASPACE_SEGV_PKUERR).pkey, key);
	assert_int_equal(aspace_fault(mm, AT, ASPACE_READ, no_write, NULL), 0);
	/* The leaf carries the key: the processor refuses by itself. */
	expect_fault(AT, ASPACE_WRITE, "anon");
	mmu.pkru = no_write;
	assert_int_equal(mmu_translate(&mmu, aspace_mm_root(mm), AT, MMU_WRITE, &(uint64_t){ 0 }),
			 MMU_PRESENT | MMU_USER | MMU_WAS_WRITE | MMU_KEY);
	mmu.pkru = 0;
	expect_signal(AT, ASPACE_EXEC, no_access, ASPACE_SIGSEGV, ASPACE_SEGV_ACCERR);
}

/* ---- private memory ----------------------------------------------------------------------------------- */

static void reading_shows_the_zero_page(void **state)
{
	map(AT, 3, RW, ANON, NULL);
	expect_fault(AT, ASPACE_READ, "zero");
	expect_fault(AT + PAGE_SIZE, ASPACE_READ, "zero");
	assert_true(leaf_at(AT).zero_page && leaf_at(AT).phys == leaf_at(AT + PAGE_SIZE).phys);
	assert_int_equal(leaf_at(AT).access, ASPACE_READ);
	assert_int_equal(mm_stats().rss_anon, 0);
	expect_fault(AT, ASPACE_READ, "spurious");
	expect_fault(AT, ASPACE_WRITE, "anon");
	expect_fault(AT + 2 * PAGE_SIZE, ASPACE_WRITE, "anon");
	expect_fault(AT, ASPACE_WRITE, "spurious");
	assert_int_equal(mm_stats().rss_anon, 2);
	assert_int_equal(load(AT), 0);
	store(AT, 7);
	assert_int_equal(load(AT + PAGE_SIZE), 0);
	assert_true(leaf_at(AT).anon && !leaf_at(AT).zero_page);
}

static void private_file_pages_are_copied_by_writes(void **state)
{
	uint64_t first, cached;

	memcpy(&first, disk, 8);
	map(AT, 4, RW, MAP_PRIVATE, file);
	expect_fault(AT, ASPACE_READ, "file");
	cached = leaf_at(AT).phys;
	assert_int_equal(leaf_at(AT).access, ASPACE_READ);
	expect_fault(AT, ASPACE_WRITE, "cow");
	assert_true(leaf_at(AT).phys != cached && leaf_at(AT).anon);
	assert_int_equal(load(AT), first);
	assert_int_equal(aspace_madvise(mm, AT, PAGE_SIZE, MADV_DONTNEED), 0);
	expect_fault(AT, ASPACE_WRITE, "cow");
	store(AT, ~first);
	map(AT + (1 << 20), 4, PROT_READ, MAP_PRIVATE, file);
	assert_int_equal(load(AT + (1 << 20)), first);
	assert_int_equal(mm_stats().rss_anon, 1);
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 0);
}

static void the_last_owner_takes_its_page_back(void **state)
{
	struct aspace_mm *child;
	uint64_t phys;

	map(AT, 1, RW, ANON, NULL);
	store(AT, 1);
	phys = leaf_at(AT).phys;
	assert_int_equal(aspace_mm_fork(mm, &child), 0);
	assert_int_equal(leaf_at(AT).access, ASPACE_READ);
	aspace_mm_put(child);
	expect_fault(AT, ASPACE_WRITE, "reuse");
	assert_int_equal(leaf_at(AT).phys, phys);
	assert_int_equal(aspace_mm_fork(mm, &child), 0);
	expect_fault(AT, ASPACE_WRITE, "cow");
	assert_true(leaf_at(AT).phys != phys);
	aspace_mm_put(child);
}

/* ---- shared files --------------------------------------------------------------------------------------- */

static void the_first_write_of_a_shared_page_is_seen(void **state)
{
	map(AT, 4, RW, MAP_SHARED, file);
	expect_fault(AT, ASPACE_READ, "file");
	assert_int_equal(leaf_at(AT).access, ASPACE_READ);
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 0);
	expect_fault(AT, ASPACE_WRITE, "dirty");
	assert_int_equal(leaf_at(AT).access, ASPACE_READ | ASPACE_WRITE);
	store(AT, 4711);
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 1);
	assert_int_equal(aspace_msync(mm, AT, PAGE_SIZE, MS_SYNC), 0);
	assert_memory_equal(disk, &(uint64_t){ 4711 }, 8);
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 0);
	assert_int_equal(leaf_at(AT).access, ASPACE_READ);
	assert_false(leaf_at(AT).dirty);
	expect_fault(AT, ASPACE_WRITE, "dirty");
	/* mprotect there and back gives no way around it. */
	assert_int_equal(aspace_msync(mm, AT, PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(aspace_mprotect(mm, AT, PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(aspace_mprotect(mm, AT, PAGE_SIZE, RW), 0);
	assert_int_equal(leaf_at(AT).access, ASPACE_READ);
	store(AT, 4712);
	assert_int_equal(aspace_munmap(mm, AT, 4 * PAGE_SIZE), 0);
	assert_int_equal(aspace_mapping_dirty_pages(mapping), 1);
	assert_int_equal(aspace_mapping_sync(mapping, 0, UINT64_MAX), 0);
	assert_memory_equal(disk, &(uint64_t){ 4712 }, 8);
}

static void shared_memory_needs_no_second_fault(void **state)
{
	map(AT, 2, RW, MAP_SHARED | MAP_ANONYMOUS, NULL);
	expect_fault(AT, ASPACE_READ, "file");
	assert_int_equal(leaf_at(AT).access, ASPACE_READ | ASPACE_WRITE);
	assert_int_equal(mm_stats().rss_shmem, 1);
}

static void neighbours_in_the_cache_are_mapped_too(void **state)
{
	map(AT, FILE_PAGES, PROT_READ, MAP_SHARED, file);
	for (uint64_t i = 0; i < FILE_PAGES; i++)
		load(AT + i * PAGE_SIZE);
	map(AT, FILE_PAGES, PROT_READ, MAP_SHARED, file);
	assert_int_equal(check(), 0);
	expect_fault(AT + 20 * PAGE_SIZE, ASPACE_READ, "file");
	assert_int_equal(check(), 16);		/* 64 KiB */
	assert_true(leaf_at(AT + 16 * PAGE_SIZE).size && leaf_at(AT + 31 * PAGE_SIZE).size);
	assert_int_equal(mm_stats().rss_file, 16);
}

/* ---- accessed and dirty ------------------------------------------------------------------------------------ */

static void the_processor_marks_what_it_uses(void **state)
{
	struct aspace_translation t = { .size = sizeof(t) };

	map(AT, 1, RW, ANON, NULL);
	store(AT, 1);
	assert_int_equal(aspace_clear_refs(mm, 1), 0);
	assert_false(leaf_at(AT).accessed);
	assert_true(leaf_at(AT).dirty);
	assert_int_equal(aspace_madvise(mm, AT, PAGE_SIZE, MADV_FREE), 0);
	assert_false(leaf_at(AT).dirty);
	assert_int_equal(aspace_translate(mm, AT, ASPACE_READ, &t), 0);
	assert_true(leaf_at(AT).accessed && !leaf_at(AT).dirty);
	assert_false(t.access & ASPACE_WRITE);	/* a software TLB must come again to write */
	assert_int_equal(aspace_translate(mm, AT, ASPACE_WRITE, &t), 0);
	assert_true(leaf_at(AT).dirty && (t.access & ASPACE_WRITE));
	assert_int_equal(t.phys, leaf_at(AT).phys);
	assert_ptr_equal(t.host, mmu.ram + t.phys);
	/* The other processor sets the same bits. */
	assert_int_equal(aspace_madvise(mm, AT, PAGE_SIZE, MADV_FREE), 0);
	assert_int_equal(mmu_translate(&mmu, aspace_mm_root(mm), AT, MMU_WRITE | MMU_SET_AD, &(uint64_t){ 0 }), 0);
	assert_true(leaf_at(AT).accessed && leaf_at(AT).dirty);
}

/* ---- ptrace ------------------------------------------------------------------------------------------------ */

static void a_debugger_writes_to_its_own_copy(void **state)
{
	uint64_t word = 0xcc, first;

	memcpy(&first, disk, 8);
	map(AT, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, file);
	map(AT + PAGE_SIZE, 1, PROT_READ, MAP_SHARED, file);
	map(AT + 2 * PAGE_SIZE, 1, PROT_NONE, ANON, NULL);
	assert_int_equal(aspace_access_remote(mm, AT, &word, 8, ASPACE_WRITE), 0);
	assert_int_equal(aspace_access_remote(mm, AT, &word, 8, ASPACE_WRITE | ASPACE_FORCE), 8);
	assert_int_equal(leaf_at(AT).access, ASPACE_READ | ASPACE_EXEC);
	assert_int_equal(load(AT), 0xcc);
	assert_int_equal(load(AT + PAGE_SIZE), first);
	assert_int_equal(aspace_access_remote(mm, AT + PAGE_SIZE, &word, 8, ASPACE_WRITE | ASPACE_FORCE), 0);
	assert_int_equal(aspace_access_remote(mm, AT + 2 * PAGE_SIZE, &word, 8, ASPACE_WRITE | ASPACE_FORCE), 8);
	word = 0;
	assert_int_equal(aspace_access_remote(mm, AT + 2 * PAGE_SIZE, &word, 8, ASPACE_FORCE), 8);
	assert_int_equal(word, 0xcc);
	expect_signal(AT + 2 * PAGE_SIZE, ASPACE_READ, 0, ASPACE_SIGSEGV, ASPACE_SEGV_ACCERR);
}

/* ---- stacks ------------------------------------------------------------------------------------------------- */

static uint64_t stack_start(uint64_t top)
{
	struct aspace_area area = { .size = sizeof(area) };

	assert_int_equal(aspace_find_area(mm, top - 1, &area), 0);
	return area.start;
}

static void stacks_grow_down_to_their_gap(void **state)
{
	const uint64_t gap = 1 << 20, top = AT + (8 << 20);

	assert_int_equal(aspace_setup_stack(mm, top, PAGE_SIZE, false), 0);
	map(AT, 1, RW, ANON, NULL);
	expect_fault(top - 5 * PAGE_SIZE, ASPACE_WRITE, "anon");
	assert_int_equal(stack_start(top), top - 5 * PAGE_SIZE);
	expect_fault(AT + PAGE_SIZE + gap, ASPACE_READ, "zero");
	assert_int_equal(stack_start(top), AT + PAGE_SIZE + gap);
	expect_signal(AT + gap, ASPACE_WRITE, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	/* What can't be accessed needs no gap. */
	assert_int_equal(aspace_mprotect(mm, AT, PAGE_SIZE, PROT_NONE), 0);
	expect_fault(AT + PAGE_SIZE, ASPACE_WRITE, "anon");
	assert_int_equal(stack_start(top), AT + PAGE_SIZE);
}

static void stacks_have_limits(void **state)
{
	const uint64_t top = AT + (8 << 20);

	assert_int_equal(aspace_setup_stack(mm, top, PAGE_SIZE, false), 0);
	aspace_mm_set_rlimit(mm, ASPACE_RLIMIT_STACK, 8 * PAGE_SIZE);
	expect_fault(top - 8 * PAGE_SIZE, ASPACE_WRITE, "anon");
	expect_signal(top - 8 * PAGE_SIZE - 1, ASPACE_WRITE, 0, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);
	assert_int_equal(mm_stats().total_vm, 8);
}

/* ---- drivers -------------------------------------------------------------------------------------------------- */

static struct {
	uint64_t phys;		/* of four frames */
	int areas, faults, mkwrites, refuse;
} driver;

static int driver_mmap(void *priv, struct aspace_vma *vma, uint64_t *flags)
{
	*flags |= ASPACE_VM_PFNMAP | ASPACE_VM_IO | ASPACE_VM_DONTEXPAND;
	driver.areas++;
	return 0;
}

static void driver_open(void *priv, struct aspace_vma *vma)
{
	driver.areas++;
}

static void driver_close(void *priv, struct aspace_vma *vma)
{
	driver.areas--;
}

static int driver_fault(void *priv, struct aspace_vma *vma, uint64_t offset, uint64_t *phys)
{
	driver.faults++;
	if (driver.refuse)
		return driver.refuse;
	*phys = driver.phys + offset % (4 * PAGE_SIZE);
	return 0;
}

static int driver_mkwrite(void *priv, struct aspace_vma *vma, uint64_t offset)
{
	driver.mkwrites++;
	return driver.refuse;
}

static struct aspace_file *open_device(bool mkwrite)
{
	static const struct aspace_vm_ops ops[2] = {
		{ .size = sizeof(ops[0]), .mmap = driver_mmap, .open = driver_open, .close = driver_close,
		  .fault = driver_fault },
		{ .size = sizeof(ops[0]), .mmap = driver_mmap, .open = driver_open, .close = driver_close,
		  .fault = driver_fault, .page_mkwrite = driver_mkwrite },
	};
	struct aspace_file_options opened = {
		.size = sizeof(opened), .readable = true, .writable = true, .path = "/dev/test",
		.vm_ops = &ops[mkwrite],
	};
	struct aspace_file *device;

	memset(&driver, 0, sizeof(driver));
	assert_int_equal(aspace_frames_alloc(m, 2, &driver.phys), 0);
	assert_int_equal(aspace_file_open(mapping, &opened, &device), 0);
	return device;
}

static void close_device(struct aspace_file *device)
{
	aspace_munmap(mm, AT, 1 << 20);
	assert_int_equal(driver.areas, 0);
	aspace_file_put(device);
	check();
	aspace_frames_free(m, driver.phys, 2);
}

static void a_driver_maps_its_frames(void **state)
{
	struct aspace_file *device = open_device(false);
	struct aspace_mm *child;

	map(AT, 4, RW, MAP_SHARED, device);
	expect_fault(AT + PAGE_SIZE, ASPACE_READ, "driver");
	assert_int_equal(leaf_at(AT + PAGE_SIZE).phys, driver.phys + PAGE_SIZE);
	store(AT + PAGE_SIZE, 99);
	assert_memory_equal(mmu.ram + driver.phys + PAGE_SIZE, &(uint64_t){ 99 }, 8);
	assert_int_equal(driver.faults, 1);
	assert_int_equal(mm_stats().rss_anon + mm_stats().rss_file + mm_stats().rss_shmem, 0);
	driver.refuse = -ENXIO;
	expect_signal(AT, ASPACE_READ, 0, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
	/* A child has the frames at once; a split and its parts are told of. */
	assert_int_equal(aspace_mm_fork(mm, &child), 0);
	assert_int_equal(driver.areas, 2);
	assert_int_equal(aspace_copy_from_user(child, &(uint64_t){ 0 }, AT + PAGE_SIZE, 8), 0);
	aspace_mm_put(child);
	assert_int_equal(aspace_munmap(mm, AT + 2 * PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(driver.areas, 2);
	close_device(device);
}

static void a_private_write_copies_a_drivers_frame(void **state)
{
	struct aspace_file *device = open_device(false);

	memset(mmu.ram + driver.phys, 0x5a, 4 * PAGE_SIZE);
	map(AT, 4, RW, MAP_PRIVATE, device);
	expect_fault(AT, ASPACE_READ, "driver");
	assert_int_equal(leaf_at(AT).access, ASPACE_READ);
	expect_fault(AT, ASPACE_WRITE, "cow");
	store(AT, 1);
	assert_int_equal(load(AT + 8), 0x5a5a5a5a5a5a5a5a);
	assert_int_equal(mmu.ram[driver.phys], 0x5a);
	assert_int_equal(mm_stats().rss_anon, 1);
	close_device(device);
}

static void a_driver_is_asked_before_a_write(void **state)
{
	struct aspace_file *device = open_device(true);

	map(AT, 4, RW, MAP_SHARED, device);
	expect_fault(AT, ASPACE_READ, "driver");
	assert_int_equal(driver.mkwrites, 0);
	assert_int_equal(leaf_at(AT).access, ASPACE_READ);
	driver.refuse = -EROFS;
	expect_signal(AT, ASPACE_WRITE, 0, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
	driver.refuse = 0;
	expect_fault(AT, ASPACE_WRITE, "dirty");
	expect_fault(AT + PAGE_SIZE, ASPACE_WRITE, "driver");
	assert_int_equal(driver.mkwrites, 3);
	close_device(device);
}

/* ---- huge leaves ----------------------------------------------------------------------------------------------- */

/* A leaf of 2 MiB of the area's own anonymous pages, each with its number in it. */
static void set_huge_anon(uint64_t addr)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	const struct pt_format *f = m->format;
	struct page *pages;

	assert_int_equal(anon_vma_prepare(vma), 0);
	pages = alloc_pages(m, PAGE_ANON, 9, GFP_ZERO);
	assert_non_null(pages);
	for (uint64_t i = 0; i < 512; i++) {
		pages[i].order = 0;
		pages[i].anon_vma = vma->anon_vma;
		pages[i].index = linear_page_index(vma, addr + i * PAGE_SIZE);
		atomic_store(&pages[i]._refcount, 1);
		atomic_store(&pages[i]._mapcount, 1);
		*(uint64_t *)page_address(m, &pages[i]) = i;
	}
	assert_int_equal(pt_set_huge(mm, addr, 1, pt_from_pfn(f, page_to_pfn(m, pages)) | vma_leaf_bits(vma, true)), 0);
	rss_add(mm, MM_ANONPAGES, 512);
}

#define HUGE (2ull << 20)

static void huge_leaves_give_way(void **state)
{
	struct aspace_translation t = { .size = sizeof(t) };
	struct aspace_mm *child;
	uint64_t word;

	map(AT, 1024, RW, ANON, NULL);
	set_huge_anon(AT);
	set_huge_anon(AT + HUGE);
	assert_int_equal(check(), 2);
	assert_int_equal(leaf_at(AT).page_shift, 21);
	assert_int_equal(load(AT + 300 * PAGE_SIZE), 300);
	store(AT + 300 * PAGE_SIZE + 8, 1);
	expect_fault(AT + 17 * PAGE_SIZE, ASPACE_WRITE, "spurious");
	assert_int_equal(aspace_translate(mm, AT + 17 * PAGE_SIZE + 3, ASPACE_READ, &t), 0);
	assert_int_equal(t.page_shift, 21);
	assert_int_equal(t.phys, leaf_at(AT).phys + 17 * PAGE_SIZE + 3);
	assert_int_equal(check(), 2);
	/* A part is protected: the leaf falls apart, and nothing else changes. */
	assert_int_equal(aspace_mprotect(mm, AT + 5 * PAGE_SIZE, PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(check(), 513);
	assert_int_equal(leaf_at(AT + 5 * PAGE_SIZE).access, ASPACE_READ);
	assert_int_equal(load(AT + 511 * PAGE_SIZE), 511);
	assert_int_equal(load(AT + 300 * PAGE_SIZE + 8), 1);
	/* Fork, with one leaf whole: both sides copy what they write. */
	assert_int_equal(aspace_mm_fork(mm, &child), 0);
	check();
	store(AT + HUGE + 9 * PAGE_SIZE, 1000);
	assert_int_equal(aspace_copy_from_user(child, &word, AT + HUGE + 9 * PAGE_SIZE, 8), 0);
	assert_int_equal(word, 9);
	check();
	aspace_mm_put(child);
	/* A part goes. */
	assert_int_equal(aspace_munmap(mm, AT + HUGE, PAGE_SIZE), 0);
	assert_int_equal(load(AT + HUGE + PAGE_SIZE), 1);
	check();
}

static void a_part_of_a_huge_leaf_goes(void **state)
{
	map(AT, 1536, RW, ANON, NULL);
	for (int i = 0; i < 3; i++)
		set_huge_anon(AT + i * HUGE);
	assert_int_equal(aspace_madvise(mm, AT + PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED), 0);
	assert_int_equal(check(), 511 + 2);
	assert_int_equal(load(AT + PAGE_SIZE), 0);
	assert_int_equal(load(AT + 2 * PAGE_SIZE), 2);
	assert_int_equal(aspace_munmap(mm, AT + HUGE + 256 * PAGE_SIZE, HUGE), 0);
	assert_int_equal(load(AT + HUGE + 255 * PAGE_SIZE), 255);
	assert_int_equal(load(AT + 2 * HUGE + 256 * PAGE_SIZE), 256);
	check();
	assert_int_equal(aspace_mremap(mm, AT, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT + (64 << 20)),
			 AT + (64 << 20));
	assert_int_equal(load(AT + (64 << 20) + 511 * PAGE_SIZE), 511);
	check();
	assert_int_equal(aspace_madvise(mm, AT + 2 * HUGE + 256 * PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	check();
}

/* A whole one moves, goes, and is copied by fork. */
static void whole_huge_leaves_move_and_go(void **state)
{
	map(AT, 1024, RW, ANON, NULL);
	set_huge_anon(AT);
	set_huge_anon(AT + HUGE);
	assert_int_equal(aspace_mremap(mm, AT, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT + (64 << 20)),
			 AT + (64 << 20));
	assert_int_equal(load(AT + (64 << 20) + 511 * PAGE_SIZE), 511);
	check();
	assert_int_equal(aspace_munmap(mm, AT + HUGE, HUGE), 0);
	check();
	assert_int_equal(aspace_munmap(mm, AT + (64 << 20), HUGE), 0);
	assert_int_equal(check(), 0);
}

/* 1 GiB of a device, outside RAM. */
static void a_leaf_of_a_gigabyte(void **state)
{
	const uint64_t giga = 1ull << 30, phys = 4 * giga;
	struct aspace_file *device = open_device(false);
	struct vm_area_struct *vma;
	struct aspace_pte pte;

	map(AT, giga / PAGE_SIZE, RW, MAP_SHARED, device);
	vma = vma_lookup(mm, AT);
	assert_int_equal(pt_set_huge(mm, AT, 2, pt_from_pfn(m->format, phys >> PAGE_SHIFT) | m->format->special |
				     vma_leaf_bits(vma, true)), 0);
	assert_int_equal(check(), 1);
	pte = leaf_at(AT + 12345 * PAGE_SIZE);
	assert_true(pte.page_shift == 30 && pte.phys == phys && pte.addr == AT);
	assert_int_equal(pt_set_huge(mm, AT, 2, pt_from_pfn(m->format, 0)), -EEXIST);
	assert_int_equal(aspace_munmap(mm, AT + HUGE + PAGE_SIZE, PAGE_SIZE), 0);
	check();
	pte = leaf_at(AT + HUGE + 2 * PAGE_SIZE);
	assert_int_equal(pte.phys, phys + HUGE + 2 * PAGE_SIZE);
	assert_int_equal(aspace_munmap(mm, AT, giga), 0);
	assert_int_equal(check(), 0);
	close_device(device);
}

/* ---- five levels ------------------------------------------------------------------------------------------------ */

static void addresses_above_47_bits(void **state)
{
	const uint64_t high = 1ull << 52;
	struct aspace_layout layout = { .size = sizeof(layout) };

	if (!mmu.la57)
		return;
	aspace_mm_layout(mm, &layout);
	layout.task_size = (1ull << 56) - PAGE_SIZE;
	assert_int_equal(aspace_mm_set_layout(mm, &layout), 0);
	map(high, 4, RW, ANON, NULL);
	map(AT, 4, RW, ANON, NULL);
	store(high + PAGE_SIZE, 5);
	store(AT + PAGE_SIZE, 6);
	assert_int_equal(load(high + PAGE_SIZE), 5);
	assert_int_equal(check(), 2);
	assert_int_equal(aspace_mremap(mm, high, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, 2 * high),
			 2 * high);
	assert_int_equal(load(2 * high + PAGE_SIZE), 5);
	check();
}

#define EACH(test) \
	{ #test ", 4 levels", test, set_up, tear_down, &formats[0] }, \
	{ #test ", 5 levels", test, set_up, tear_down, &formats[1] }

int main(void)
{
	static enum aspace_format formats[] = { ASPACE_X86_64_4LEVEL, ASPACE_X86_64_5LEVEL };
	const struct CMUnitTest tests[] = {
		EACH(nothing_there_is_maperr),
		EACH(not_allowed_is_accerr),
		EACH(beyond_the_file_is_sigbus),
		EACH(unreadable_is_sigbus),
		EACH(closed_keys_are_pkuerr),
		EACH(reading_shows_the_zero_page),
		EACH(private_file_pages_are_copied_by_writes),
		EACH(the_last_owner_takes_its_page_back),
		EACH(the_first_write_of_a_shared_page_is_seen),
		EACH(shared_memory_needs_no_second_fault),
		EACH(neighbours_in_the_cache_are_mapped_too),
		EACH(the_processor_marks_what_it_uses),
		EACH(a_debugger_writes_to_its_own_copy),
		EACH(stacks_grow_down_to_their_gap),
		EACH(stacks_have_limits),
		EACH(a_driver_maps_its_frames),
		EACH(a_private_write_copies_a_drivers_frame),
		EACH(a_driver_is_asked_before_a_write),
		EACH(huge_leaves_give_way),
		EACH(a_part_of_a_huge_leaf_goes),
		EACH(whole_huge_leaves_move_and_go),
		EACH(a_leaf_of_a_gigabyte),
		EACH(addresses_above_47_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
