/* SPDX-License-Identifier: MIT */
/*
 * Every allocation fails once. Each operation below is done again and again in a fresh address space,
 * the first allocation that it makes failing in the first turn, the second in the second, until it
 * makes no more: once for the library's own objects (alloc_domain.fail_at), once for frames
 * (machine->fail_frame). Whatever it answers, the whole-state checker must find nothing wrong, the
 * operation must go well when it is repeated with memory, and at the end nothing may be left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "mm/internal.h"

struct world {
	struct aspace_machine *m;
	struct aspace_mapping *mapping;
	struct aspace_file *file;
	struct aspace_mm *mm, *child;
	uint64_t p;			/* 16 pages of private memory, the first 8 written */
	uint64_t f;			/* 8 pages of the file, shared, two of them written */
	uint64_t q;			/* 8 pages of the file, private, one of them written */
};

static uint8_t contents[16 * PAGE_SIZE];

static int64_t file_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	memcpy(buffer, contents + offset, n);
	return (int64_t)n;
}

static int64_t file_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	memcpy(contents + offset, buffer, n);
	return (int64_t)n;
}

static void must_be_sound(struct world *w, const char *what, int turn)
{
	char why[300] = "";

	if (aspace_machine_check(w->m, why, sizeof(why)))
		fail_msg("%s, allocation %d failing: %s", what, turn, why);
}

static void open_world(struct world *w)
{
	static const struct aspace_mapping_ops ops = { .size = sizeof(ops), .read = file_read, .write = file_write };
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 8 << 20 };
	struct aspace_mapping_options mo = { .size = sizeof(mo), .ops = &ops, .bytes = sizeof(contents), .ino = 1 };
	struct aspace_file_options fo = { .size = sizeof(fo), .readable = true, .writable = true, .path = "/f" };
	const unsigned rw = PROT_READ | PROT_WRITE;
	struct aspace_layout layout = { .size = sizeof(layout) };
	char bytes[8 * PAGE_SIZE] = "x";

	memset(w, 0, sizeof(*w));
	assert_int_equal(aspace_machine_create(&options, &w->m), 0);
	assert_int_equal(aspace_mapping_create(w->m, &mo, &w->mapping), 0);
	assert_int_equal(aspace_file_open(w->mapping, &fo, &w->file), 0);
	assert_int_equal(aspace_mm_create(w->m, &w->mm), 0);
	aspace_mm_layout(w->mm, &layout);
	layout.start_brk = layout.brk = 0x10000000;
	assert_int_equal(aspace_mm_set_layout(w->mm, &layout), 0);
	w->p = (uint64_t)aspace_mmap(w->mm, 0, 16 * PAGE_SIZE, rw, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
	w->f = (uint64_t)aspace_mmap(w->mm, 0, 8 * PAGE_SIZE, rw, MAP_SHARED, w->file, 0);
	w->q = (uint64_t)aspace_mmap(w->mm, 0, 8 * PAGE_SIZE, rw, MAP_PRIVATE, w->file, 0);
	assert_int_equal(aspace_copy_to_user(w->mm, w->p, bytes, sizeof(bytes)), 0);
	assert_int_equal(aspace_copy_to_user(w->mm, w->f, bytes, PAGE_SIZE + 1), 0);
	assert_int_equal(aspace_copy_to_user(w->mm, w->q, bytes, 1), 0);
}

static void close_world(struct world *w, const char *what, int turn)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };

	if (w->child)
		aspace_mm_put(w->child);
	aspace_mm_put(w->mm);
	aspace_file_put(w->file);
	aspace_mapping_put(w->mapping);
	must_be_sound(w, what, turn);
	aspace_machine_stats(w->m, &stats);
	if (stats.frames_anon || stats.frames_file || stats.frames_shmem || stats.areas || stats.mappings ||
	    stats.files || stats.committed_as || w->m->vm_area_cachep->in_use || w->m->anon_vma_cachep->in_use ||
	    w->m->anon_vma_chain_cachep->in_use || w->m->xa_node_cachep->in_use || w->m->anon_name_cachep->in_use)
		fail_msg("%s, allocation %d failing: something is left", what, turn);
	aspace_machine_destroy(w->m);
}

/* ---- the operations: negative is an errno, other answers are success ------------------------------------ */

#define OPERATION(name) static int64_t op_##name(struct world *w)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW   (PROT_READ | PROT_WRITE)

OPERATION(mmap)
{
	return aspace_mmap(w->mm, 0, 5 * PAGE_SIZE, PROT_READ, ANON, NULL, 0);
}
OPERATION(mmap_over)
{
	return aspace_mmap(w->mm, w->p + 2 * PAGE_SIZE, 3 * PAGE_SIZE, PROT_READ, ANON | MAP_FIXED, NULL, 0);
}
OPERATION(mmap_file)
{
	return aspace_mmap(w->mm, 0, 5 * PAGE_SIZE, PROT_READ, MAP_PRIVATE, w->file, 0);
}
OPERATION(mmap_shared)
{
	return aspace_mmap(w->mm, 0, 5 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS, NULL, 0);
}
OPERATION(mmap_populate)
{
	return aspace_mmap(w->mm, 0, 5 * PAGE_SIZE, RW, ANON | MAP_POPULATE, NULL, 0);
}
OPERATION(munmap_middle)
{
	return aspace_munmap(w->mm, w->p + 3 * PAGE_SIZE, 2 * PAGE_SIZE);
}
OPERATION(munmap_file_middle)
{
	return aspace_munmap(w->mm, w->f + PAGE_SIZE, PAGE_SIZE);
}
OPERATION(munmap_all)
{
	return aspace_munmap(w->mm, 0, w->mm->task_size);
}
OPERATION(mprotect_middle)
{
	return aspace_mprotect(w->mm, w->p + 3 * PAGE_SIZE, 2 * PAGE_SIZE, PROT_READ);
}
OPERATION(mprotect_all)
{
	return aspace_mprotect(w->mm, w->p, 16 * PAGE_SIZE, PROT_NONE);
}
OPERATION(mremap_grow)
{
	return aspace_mremap(w->mm, w->p, 16 * PAGE_SIZE, 40 * PAGE_SIZE, MREMAP_MAYMOVE, 0);
}
OPERATION(mremap_move)
{
	return aspace_mremap(w->mm, w->p + 2 * PAGE_SIZE, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, w->p - (1ull << 32));
}
OPERATION(mremap_file)
{
	return aspace_mremap(w->mm, w->f, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, w->p - (1ull << 32));
}
OPERATION(mremap_dontunmap)
{
	return aspace_mremap(w->mm, w->p, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
}
OPERATION(brk)
{
	int64_t now = aspace_brk(w->mm, 0), then = aspace_brk(w->mm, (uint64_t)now + 5 * PAGE_SIZE);

	return then > now ? 0 : -ENOMEM;
}
OPERATION(mlock)
{
	return aspace_mlock(w->mm, w->p + 4 * PAGE_SIZE, 8 * PAGE_SIZE, 0);
}
OPERATION(mlockall)
{
	return aspace_mlockall(w->mm, MCL_CURRENT | MCL_FUTURE);
}
OPERATION(madvise_flag)
{
	return aspace_madvise(w->mm, w->p + PAGE_SIZE, PAGE_SIZE, MADV_DONTFORK);
}
OPERATION(madvise_dontneed)
{
	return aspace_madvise(w->mm, w->p, 16 * PAGE_SIZE, MADV_DONTNEED);
}
OPERATION(madvise_populate)
{
	return aspace_madvise(w->mm, w->p, 16 * PAGE_SIZE, MADV_POPULATE_WRITE);
}
OPERATION(madvise_guard)
{
	return aspace_madvise(w->mm, w->p + 4 * PAGE_SIZE, 8 * PAGE_SIZE, MADV_GUARD_INSTALL);
}
OPERATION(madvise_remove)
{
	return aspace_madvise(w->mm, w->f, 2 * PAGE_SIZE, MADV_REMOVE);
}
OPERATION(msync)
{
	return aspace_msync(w->mm, w->f, 8 * PAGE_SIZE, MS_SYNC);
}
OPERATION(mseal)
{
	return aspace_mseal(w->mm, w->p + PAGE_SIZE, PAGE_SIZE, 0);
}
OPERATION(anon_name)
{
	return aspace_set_anon_name(w->mm, w->p + PAGE_SIZE, PAGE_SIZE, "name");
}
OPERATION(remap_file_pages)
{
	return aspace_remap_file_pages(w->mm, w->f, 2 * PAGE_SIZE, 0, 4, 0);
}
OPERATION(anon_fault)
{
	return aspace_fault(w->mm, w->p + 12 * PAGE_SIZE, ASPACE_WRITE, 0, NULL);
}
OPERATION(zero_page_fault)
{
	return aspace_fault(w->mm, w->p + 12 * PAGE_SIZE, ASPACE_READ, 0, NULL);
}
OPERATION(file_fault)
{
	return aspace_fault(w->mm, w->f + 6 * PAGE_SIZE, ASPACE_READ, 0, NULL);
}
OPERATION(file_cow_fault)
{
	return aspace_fault(w->mm, w->q + 6 * PAGE_SIZE, ASPACE_WRITE, 0, NULL);
}
OPERATION(copy_to_user)
{
	char x[3 * PAGE_SIZE] = "";

	return aspace_copy_to_user(w->mm, w->p + 12 * PAGE_SIZE, x, sizeof(x)) ? -EFAULT : 0;
}
OPERATION(fork)
{
	return w->child ? 0 : aspace_mm_fork(w->mm, &w->child);
}
OPERATION(fork_then_cow)
{
	int64_t r = op_fork(w);

	return r ? r : aspace_fault(w->child, w->p, ASPACE_WRITE, 0, NULL);
}
OPERATION(open)
{
	struct aspace_mapping_options mo = { .size = sizeof(mo), .bytes = PAGE_SIZE };
	struct aspace_file_options fo = { .size = sizeof(fo), .readable = true, .path = "/g" };
	struct aspace_mapping *mapping;
	struct aspace_file *file;
	int r = aspace_mapping_create(w->m, &mo, &mapping);

	if (r)
		return r;
	r = aspace_file_open(mapping, &fo, &file);
	aspace_mapping_put(mapping);
	if (!r)
		aspace_file_put(file);
	return r;
}
OPERATION(mapping_write)
{
	char x[100] = "x";

	return aspace_mapping_write(w->mapping, 5 * PAGE_SIZE, x, sizeof(x));
}
OPERATION(truncate)
{
	return aspace_mapping_truncate(w->mapping, PAGE_SIZE / 2);
}
OPERATION(stack)
{
	int64_t r = aspace_setup_stack(w->mm, w->mm->task_size, 2 * PAGE_SIZE, false);

	return r == -ENOMEM && vma_lookup(w->mm, w->mm->task_size - 1) ? 0 : r;
}

static const struct {
	const char *name;
	int64_t (*run)(struct world *w);
} operations[] = {
#define ROW(name) { #name, op_##name }
	ROW(mmap), ROW(mmap_over), ROW(mmap_file), ROW(mmap_shared), ROW(mmap_populate), ROW(munmap_middle),
	ROW(munmap_file_middle), ROW(munmap_all), ROW(mprotect_middle), ROW(mprotect_all), ROW(mremap_grow),
	ROW(mremap_move), ROW(mremap_file), ROW(mremap_dontunmap), ROW(brk), ROW(mlock), ROW(mlockall),
	ROW(madvise_flag), ROW(madvise_dontneed), ROW(madvise_populate), ROW(madvise_guard), ROW(madvise_remove),
	ROW(msync), ROW(mseal), ROW(anon_name), ROW(remap_file_pages), ROW(anon_fault), ROW(zero_page_fault),
	ROW(file_fault), ROW(file_cow_fault), ROW(copy_to_user), ROW(fork), ROW(fork_then_cow), ROW(open),
	ROW(mapping_write), ROW(truncate), ROW(stack),
};

/* One turn: did the operation come as far as the allocation that was to fail? */
static bool fail_once(size_t op, int turn, bool frames, unsigned *refusals)
{
	struct world w;
	int64_t r;
	bool reached;

	open_world(&w);
	if (frames)
		atomic_store(&w.m->fail_frame, turn);
	else
		atomic_store(&w.m->domain.fail_at, turn);
	r = operations[op].run(&w);
	reached = frames ? atomic_load(&w.m->fail_frame) <= 0 : atomic_load(&w.m->domain.fail_at) <= 0;
	atomic_store(&w.m->fail_frame, 0);
	atomic_store(&w.m->domain.fail_at, 0);
	must_be_sound(&w, operations[op].name, turn);
	if (r < 0 && reached) {
		(*refusals)++;
		r = operations[op].run(&w);	/* with memory it goes on where it stopped */
		must_be_sound(&w, operations[op].name, turn);
	}
	if (r < 0)
		fail_msg("%s: %lld with memory, after allocation %d had failed", operations[op].name, (long long)r, turn);
	close_world(&w, operations[op].name, turn);
	return reached;
}

static void fail_each(bool frames)
{
	unsigned refusals = 0, turns = 0;

	for (size_t op = 0; op < ARRAY_SIZE(operations); op++) {
		int turn = 1;

		while (fail_once(op, turn, frames, &refusals)) {
			assert_true(turn < 500);
			turn++;
			turns++;
		}
	}
	print_message("%u allocations failed, %u operations refused for it\n", turns, refusals);
	assert_true(turns > 20 && refusals > 10);
}

static void every_object_fails_once(void **state)
{
	fail_each(false);
}

static void every_frame_fails_once(void **state)
{
	fail_each(true);
}

/* The port's own allocator says no, to each allocation of a machine's creation in turn. */
static long left_until_no;
static long blocks_out;

static void *counting_alloc(void *priv, size_t size, size_t align)
{
	void *p = NULL;

	if (!left_until_no-- || posix_memalign(&p, align < 16 ? 16 : align, size))
		return NULL;
	blocks_out++;
	return p;
}

static void counting_free(void *priv, void *ptr, size_t size)
{
	blocks_out--;
	free(ptr);
}

static void a_machine_is_made_or_leaves_nothing(void **state)
{
	struct aspace_port port = { .size = sizeof(port), .alloc = counting_alloc, .free = counting_free };
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 4 << 20, .port = &port };
	struct aspace_machine *m;
	int refused = 0, r;

	for (long n = 0;; n++) {
		left_until_no = n;
		r = aspace_machine_create(&options, &m);
		if (!r)
			break;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(blocks_out, 0);
		refused++;
	}
	assert_true(refused > 5);
	left_until_no = -1;
	aspace_machine_destroy(m);
	assert_int_equal(blocks_out, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_object_fails_once),
		cmocka_unit_test(every_frame_fails_once),
		cmocka_unit_test(a_machine_is_made_or_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
