/* SPDX-License-Identifier: MIT */
/*
 * The machine: made and unmade, with what is refused, with every allocation of its making failing once,
 * and a whole life in which everything is used: frames and memory before equal those after.
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

#include <aspace/aspace.h>

#define PAGE	4096ull
#define RW	(ASPACE_PROT_READ | ASPACE_PROT_WRITE)
#define ANON	(ASPACE_MAP_PRIVATE | ASPACE_MAP_ANONYMOUS)

/* ---- memory that is counted, and ends when it's told to ------------------------------------------------- */

struct memory {
	long bytes, blocks, fail_at;	/* the n-th allocation from now; 0: none */
};

static void *counted_alloc(void *priv, size_t size, size_t align)
{
	struct memory *memory = priv;
	void *p;

	if (memory->fail_at && --memory->fail_at == 0)
		return NULL;
	if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size))
		return NULL;
	memory->bytes += size;
	memory->blocks++;
	return p;
}

static void counted_free(void *priv, void *ptr, size_t size)
{
	struct memory *memory = priv;

	memory->bytes -= size;
	memory->blocks--;
	free(ptr);
}

static struct aspace_port port_of(struct memory *memory)
{
	return (struct aspace_port){
		.size = sizeof(struct aspace_port), .priv = memory, .alloc = counted_alloc, .free = counted_free,
	};
}

static int make(const struct aspace_port *port, uint64_t ram, struct aspace_machine **m)
{
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = ram, .port = port };

	return aspace_machine_create(&options, m);
}

static void check(struct aspace_machine *m)
{
	char why[256] = "";

	if (aspace_machine_check(m, why, sizeof(why)))
		fail_msg("%s", why);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += dup2(fd, fd) == fd;
	return n;
}

static void every_allocation_of_making_fails_once(void **state)
{
	unsigned descriptors = open_descriptors();

	for (int with_ram = 0; with_ram < 2; with_ram++) {
		struct memory memory = { 0 };
		struct aspace_port port = port_of(&memory);
		int n = 0, error;

		do {
			struct aspace_machine *m = NULL;

			memory.fail_at = ++n;
			error = make(&port, with_ram ? 8 << 20 : 0, &m);
			memory.fail_at = 0;
			assert_true(error == 0 || error == -ENOMEM);
			if (!error) {
				check(m);
				aspace_machine_destroy(m);
			}
			assert_int_equal(memory.bytes, 0);
			assert_int_equal(memory.blocks, 0);
			assert_int_equal(open_descriptors(), descriptors);
		} while (error);
		print_message("%s RAM: %d allocations\n", with_ram ? "with" : "without", n - 1);
		assert_true(n > 8);
	}
}

static void bad_options_are_refused(void **state)
{
	struct aspace_machine_options options = { .size = sizeof(options) };
	struct aspace_port half = { .size = sizeof(half), .alloc = counted_alloc };
	struct aspace_machine *m;

	options.ram_bytes = (1 << 20) - 1;
	assert_int_equal(aspace_machine_create(&options, &m), -EINVAL);
	options.ram_bytes = UINT64_MAX;
	assert_int_equal(aspace_machine_create(&options, &m), -EINVAL);
	options.ram_bytes = 1 << 20;
	options.format = 77;
	assert_int_equal(aspace_machine_create(&options, &m), -EINVAL);
	options.format = ASPACE_X86_64_4LEVEL;
	options.index = 77;
	assert_int_equal(aspace_machine_create(&options, &m), -EINVAL);
	options.index = ASPACE_INDEX_RBTREE;
	options.overcommit = 3;
	assert_int_equal(aspace_machine_create(&options, &m), -EINVAL);
	options.overcommit = ASPACE_OVERCOMMIT_NEVER;
	options.port = &half;
	assert_int_equal(aspace_machine_create(&options, &m), -EINVAL);
	options.port = NULL;
	assert_int_equal(aspace_machine_create(&options, &m), 0);
	aspace_machine_destroy(m);
	aspace_machine_destroy(NULL);
}

/* ---- a whole life ------------------------------------------------------------------------------------------ */

static uint8_t disk[64 * 4096];

static int64_t disk_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	memcpy(buffer, disk + offset, n);
	return n;
}

static int64_t disk_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	memcpy(disk + offset, buffer, n);
	return n;
}

static const struct aspace_mapping_ops disk_ops = {
	.size = sizeof(disk_ops), .read = disk_read, .write = disk_write,
};

static struct aspace_file *open_disk(struct aspace_machine *m)
{
	struct aspace_mapping_options contents = {
		.size = sizeof(contents), .ops = &disk_ops, .bytes = sizeof(disk), .ino = 1,
	};
	struct aspace_file_options opened = { .size = sizeof(opened), .readable = true, .writable = true, .path = "/f" };
	struct aspace_mapping *mapping;
	struct aspace_file *file;

	if (aspace_mapping_create(m, &contents, &mapping))
		return NULL;
	if (aspace_file_open(mapping, &opened, &file))
		file = NULL;
	aspace_mapping_put(mapping);
	return file;
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* One call of an address space, whatever it answers. */
static void live_a_little(struct aspace_mm *mm, struct aspace_file *file, uint64_t *seed)
{
	uint64_t page = next_random(seed) % 128, addr = 0x10000000 + page * PAGE, n = (1 + next_random(seed) % 20) * PAGE;
	unsigned flags = ASPACE_MAP_FIXED | (next_random(seed) % 2 ? ASPACE_MAP_SHARED : ASPACE_MAP_PRIVATE);
	uint64_t word = *seed;

	switch (next_random(seed) % 12) {
	case 0:
		aspace_mmap(mm, addr, n, RW, flags | ASPACE_MAP_ANONYMOUS, NULL, 0);
		break;
	case 1:
		aspace_mmap(mm, addr, n, RW, flags, file, page % 60 * PAGE);
		break;
	case 2:
		aspace_munmap(mm, addr, n);
		break;
	case 3:
		aspace_mprotect(mm, addr, n, next_random(seed) % 8);
		break;
	case 4:
		aspace_mremap(mm, addr, n, (1 + next_random(seed) % 20) * PAGE, ASPACE_MREMAP_MAYMOVE, 0);
		break;
	case 5:
		aspace_madvise(mm, addr, n, ASPACE_MADV_DONTNEED);
		break;
	case 6:
		aspace_msync(mm, addr, n, ASPACE_MS_SYNC);
		break;
	default:
		if (aspace_copy_to_user(mm, addr, &word, 8))
			aspace_copy_from_user(mm, &word, addr, 8);
	}
}

static void a_whole_life_leaves_nothing(void **state)
{
	struct aspace_machine_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct memory memory = { 0 };
	struct aspace_port port = port_of(&memory);
	struct aspace_mm *mm[4];
	struct aspace_machine *m;
	struct aspace_file *file;
	uint64_t seed = 42;

	assert_int_equal(make(&port, 16 << 20, &m), 0);
	aspace_machine_stats(m, &before);
	assert_int_equal(before.frames_total, 4096);
	assert_int_equal(before.frames_reserved, 1);
	assert_int_equal(before.frames_total - before.frames_reserved - before.frames_free,
			 before.frames_other + before.frames_page_table);
	file = open_disk(m);
	assert_non_null(file);
	for (int i = 0; i < 4; i++)
		assert_int_equal(aspace_mm_create(m, &mm[i]), 0);
	for (int step = 0; step < 8000; step++) {
		int i = next_random(&seed) % 4;

		live_a_little(mm[i], file, &seed);
		if (step % 97 == 0) {
			aspace_mm_put(mm[i]);
			assert_int_equal(aspace_mm_fork(mm[(i + 1) % 4], &mm[i]), 0);
		}
		if (step % 200 == 0)
			check(m);
	}
	for (int i = 0; i < 4; i++)
		aspace_mm_put(mm[i]);
	aspace_file_put(file);
	check(m);
	aspace_machine_stats(m, &after);
	assert_int_equal(after.frames_free, before.frames_free);
	assert_int_equal(after.frames_page_table, before.frames_page_table);
	assert_int_equal(after.committed_as, 0);
	assert_int_equal(after.areas, 0);
	assert_int_equal(after.mms, before.mms);
	assert_true(after.faults_anon && after.faults_cow_copy && after.faults_file && after.pages_written);
	aspace_machine_destroy(m);
	assert_int_equal(memory.bytes, 0);
	assert_int_equal(memory.blocks, 0);
}

/* The same life with memory that fails now and then, for objects and (the RAM is small) for frames. */
static void a_life_short_of_memory(void **state)
{
	struct memory memory = { 0 };
	struct aspace_port port = port_of(&memory);
	struct aspace_mm *mm, *child;
	struct aspace_machine *m;
	struct aspace_file *file;
	uint64_t seed = 4711;
	int failed = 0;

	assert_int_equal(make(&port, 1 << 20, &m), 0);
	file = open_disk(m);
	assert_int_equal(aspace_mm_create(m, &mm), 0);
	for (int step = 0; step < 20000; step++) {
		memory.fail_at = next_random(&seed) % 4;
		live_a_little(mm, file, &seed);
		if (step % 50 == 0 && aspace_mm_fork(mm, &child) == 0) {
			aspace_mm_put(mm);
			mm = child;
		} else if (step % 50 == 0) {
			failed++;
		}
		memory.fail_at = 0;
		if (step % 100 == 0)
			check(m);
	}
	print_message("%d of 400 forks failed\n", failed);
	aspace_mm_put(mm);
	aspace_file_put(file);
	check(m);
	aspace_machine_destroy(m);
	assert_int_equal(memory.bytes, 0);
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

struct worker {
	struct aspace_mm *mm;
	struct aspace_file *file;
	uint64_t seed;
};

static void *live(void *arg)
{
	struct worker *w = arg;

	for (int step = 0; step < 3000; step++) {
		live_a_little(w->mm, w->file, &w->seed);
		if (step % 100 == 0) {
			struct aspace_mm *child;

			if (aspace_mm_fork(w->mm, &child) == 0) {
				live_a_little(child, w->file, &w->seed);
				aspace_mm_put(child);
			}
		}
	}
	return NULL;
}

/* Several threads in one address space, and one in another, over one file. */
static void threads_live_together(void **state)
{
	enum { THREADS = 4 };
	struct worker w[THREADS];
	pthread_t thread[THREADS];
	struct aspace_mm *shared, *other;
	struct aspace_machine *m;
	struct aspace_file *file;

	assert_int_equal(make(NULL, 16 << 20, &m), 0);
	file = open_disk(m);
	assert_int_equal(aspace_mm_create(m, &shared), 0);
	assert_int_equal(aspace_mm_create(m, &other), 0);
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ i ? shared : other, file, i + 1 };
		assert_int_equal(pthread_create(&thread[i], NULL, live, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	check(m);
	aspace_mm_put(shared);
	aspace_mm_put(other);
	aspace_file_put(file);
	check(m);
	aspace_machine_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_of_making_fails_once),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(a_whole_life_leaves_nothing),
		cmocka_unit_test(a_life_short_of_memory),
		cmocka_unit_test(threads_live_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
