/* SPDX-License-Identifier: MIT */
/*
 * Random operations on the areas of an address space, against a model that is too simple to be
 * wrong: an array with what each page is. After each step the two are compared, the areas must be as
 * few as the pages allow, and the whole-state checker runs. What differs is shrunk: operations are
 * left out while the difference stays, and the rest is printed.
 *
 * ASPACE_SEED=N repeats a run, ASPACE_STEPS=N makes it longer.
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
#define NPAGES	64
#define NFILES	2

/* ---- operations ----------------------------------------------------------------------------------- */

enum kind { MMAP, MMAP_FILE, MUNMAP, MPROTECT, MREMAP, MLOCK, MUNLOCK, MADVISE, FORK, NR_KINDS };
static const char *const kind_names[] = { "mmap", "mmap_file", "munmap", "mprotect", "mremap", "mlock",
					  "munlock", "madvise", "fork" };

struct op {
	enum kind kind;
	int page, n, to;	/* pages */
	unsigned prot;
	int arg;		/* file, advice, mremap flags */
};

static uint64_t seed;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 20) % n;
}

static struct op random_op(void)
{
	static const unsigned prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC };
	static const int advices[] = { MADV_RANDOM, MADV_SEQUENTIAL, MADV_NORMAL, MADV_DONTFORK, MADV_DOFORK,
				       MADV_DONTDUMP, MADV_DODUMP };
	struct op op = { .kind = (enum kind)below(NR_KINDS), .page = (int)below(NPAGES) };

	op.n = 1 + (int)below(below(4) ? 4 : 24);
	if (op.page + op.n > NPAGES)
		op.n = NPAGES - op.page;
	op.to = (int)below((unsigned)(NPAGES - op.n + 1));
	op.prot = prots[below(ARRAY_SIZE(prots))];
	op.arg = op.kind == MADVISE ? advices[below(ARRAY_SIZE(advices))] :
		 op.kind == MREMAP ? (below(4) ? 0 : MREMAP_DONTUNMAP) : (int)below(NFILES);
	return op;
}

static void print_op(const struct op *op)
{
	print_message("  { %s, .page = %d, .n = %d, .to = %d, .prot = %u, .arg = %d },\n", kind_names[op->kind],
		      op->page, op->n, op->to, op->prot, op->arg);
}

/* ---- the model ------------------------------------------------------------------------------------- */

struct page_model {
	bool mapped;
	int file;		/* -1: anonymous */
	uint64_t pgoff, flags;
};

struct model {
	struct page_model page[NPAGES];
};

static const struct page_model hole = { .file = -1 };

static uint64_t charge_flag(int file, uint64_t flags)
{
	return file < 0 && (flags & VM_WRITE) ? VM_ACCOUNT : 0;
}

static int model_mmap(struct model *m, const struct op *op)
{
	for (int i = 0; i < op->n; i++) {
		struct page_model *p = &m->page[op->page + i];
		bool file = op->kind == MMAP_FILE;

		p->mapped = true;
		p->file = file ? op->arg : -1;
		p->pgoff = file ? (uint64_t)(op->to + i) : (BASE >> PAGE_SHIFT) + (uint64_t)(op->page + i);
		p->flags = op->prot | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC |
			   (file ? VM_SHARED | VM_MAYSHARE : 0);
		p->flags |= charge_flag(p->file, p->flags);
	}
	return 0;
}

static int model_munmap(struct model *m, const struct op *op)
{
	for (int i = 0; i < op->n; i++)
		m->page[op->page + i] = hole;
	return 0;
}

/* Sets and clears flags up to the first hole, or over holes; -ENOMEM if there was one. */
static int model_flags(struct model *m, const struct op *op, uint64_t clear, uint64_t set, bool over_holes)
{
	int result = 0;

	for (int i = 0; i < op->n; i++) {
		struct page_model *p = &m->page[op->page + i];

		if (p->mapped) {
			p->flags = (p->flags & ~clear) | set;
			continue;
		}
		result = -ENOMEM;
		if (!over_holes)
			break;
	}
	return result;
}

/* Nothing here has private pages, so that the charge goes when writing may not be done any more. */
static int model_mprotect(struct model *m, const struct op *op)
{
	int result = model_flags(m, op, VM_READ | VM_WRITE | VM_EXEC, op->prot, false);

	for (int i = 0; i < op->n && m->page[op->page + i].mapped; i++) {
		struct page_model *p = &m->page[op->page + i];

		p->flags = (p->flags & ~VM_ACCOUNT) | charge_flag(p->file, p->flags);
	}
	return result;
}

static int model_madvise(struct model *m, const struct op *op)
{
	switch (op->arg) {
	case MADV_RANDOM:
		return model_flags(m, op, VM_SEQ_READ, VM_RAND_READ, true);
	case MADV_SEQUENTIAL:
		return model_flags(m, op, VM_RAND_READ, VM_SEQ_READ, true);
	case MADV_NORMAL:
		return model_flags(m, op, VM_RAND_READ | VM_SEQ_READ, 0, true);
	case MADV_DONTFORK:
		return model_flags(m, op, 0, VM_DONTCOPY, true);
	case MADV_DOFORK:
		return model_flags(m, op, VM_DONTCOPY, 0, true);
	case MADV_DONTDUMP:
		return model_flags(m, op, 0, VM_DONTDUMP, true);
	default:
		return model_flags(m, op, VM_DONTDUMP, 0, true);
	}
}

static bool overlap(const struct op *op)
{
	return op->page < op->to + op->n && op->to < op->page + op->n;
}

/* A move without a change of length: areas and the holes between them, over what was there. */
static int model_mremap(struct model *m, const struct op *op)
{
	struct model old = *m;

	if (overlap(op))
		return -EINVAL;
	if (!old.page[op->page].mapped)
		return -EFAULT;
	for (int i = 0; i < op->n; i++) {
		struct page_model *from = &m->page[op->page + i], *to = &m->page[op->to + i];

		if (!from->mapped)
			continue;	/* and what lies at the target stays */
		*to = *from;
		if (to->file < 0)
			to->pgoff = (BASE >> PAGE_SHIFT) + (uint64_t)(op->to + i);
		if (op->arg != MREMAP_DONTUNMAP)
			*from = hole;
	}
	return 0;
}

static int model_apply(struct model *m, const struct op *op)
{
	switch (op->kind) {
	case MMAP:
	case MMAP_FILE:
		return model_mmap(m, op);
	case MUNMAP:
		return model_munmap(m, op);
	case MPROTECT:
		return model_mprotect(m, op);
	case MREMAP:
		return model_mremap(m, op);
	case MLOCK:
		return model_flags(m, op, 0, VM_LOCKED | VM_LOCKONFAULT, false);
	case MUNLOCK:
		return model_flags(m, op, VM_LOCKED | VM_LOCKONFAULT, 0, false);
	case MADVISE:
		return model_madvise(m, op);
	default:
		return 0;
	}
}

/* ---- ours ---------------------------------------------------------------------------------------------- */

struct space {
	struct aspace_machine *m;
	struct aspace_mm *mm;
	struct aspace_file *file[NFILES];
};

static void open_space(struct space *s, enum aspace_index index)
{
	struct aspace_machine_options options = { .size = sizeof(options), .index = index };
	struct aspace_mapping_options mo = { .size = sizeof(mo), .bytes = 1 << 20 };
	struct aspace_file_options fo = { .size = sizeof(fo), .readable = true, .writable = true, .path = "/f" };

	assert_int_equal(aspace_machine_create(&options, &s->m), 0);
	assert_int_equal(aspace_mm_create(s->m, &s->mm), 0);
	for (int i = 0; i < NFILES; i++) {
		struct aspace_mapping *mapping;

		assert_int_equal(aspace_mapping_create(s->m, &mo, &mapping), 0);
		assert_int_equal(aspace_file_open(mapping, &fo, &s->file[i]), 0);
		aspace_mapping_put(mapping);
	}
}

static void close_space(struct space *s)
{
	aspace_mm_put(s->mm);
	for (int i = 0; i < NFILES; i++)
		aspace_file_put(s->file[i]);
	assert_int_equal(atomic_load(&s->m->nr_areas), 0);
	assert_int_equal(atomic_load(&s->m->vm_committed_as), 0);
	aspace_machine_destroy(s->m);
}

static int64_t ours_apply(struct space *s, const struct op *op)
{
	uint64_t addr = BASE + (uint64_t)op->page * PAGE_SIZE, len = (uint64_t)op->n * PAGE_SIZE;
	uint64_t to = BASE + (uint64_t)op->to * PAGE_SIZE;
	int64_t result;

	switch (op->kind) {
	case MMAP:
		result = aspace_mmap(s->mm, addr, len, op->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0);
		return min(result, 0);
	case MMAP_FILE:
		result = aspace_mmap(s->mm, addr, len, op->prot, MAP_SHARED | MAP_FIXED, s->file[op->arg],
				     (uint64_t)op->to * PAGE_SIZE);
		return min(result, 0);
	case MUNMAP:
		return aspace_munmap(s->mm, addr, len);
	case MPROTECT:
		return aspace_mprotect(s->mm, addr, len, op->prot);
	case MREMAP:
		result = aspace_mremap(s->mm, addr, len, len,
				       MREMAP_MAYMOVE | MREMAP_FIXED | (unsigned)op->arg, to);
		return min(result, 0);
	case MLOCK:	/* on fault: no page comes, so that the areas stay without private ones */
		return aspace_mlock(s->mm, addr, len, MLOCK_ONFAULT);
	case MUNLOCK:
		return aspace_munlock(s->mm, addr, len);
	case MADVISE:
		return aspace_madvise(s->mm, addr, len, op->arg);
	default:
		return 0;
	}
}

/* ---- comparing ------------------------------------------------------------------------------------------- */

static char difference[512];

#define differ(...) (snprintf(difference, sizeof(difference), __VA_ARGS__), false)

static bool same_kind(const struct page_model *a, const struct page_model *b)
{
	return a->mapped == b->mapped && a->file == b->file && a->flags == b->flags && a->pgoff + 1 == b->pgoff;
}

/* Pages of one kind in a row are one area. */
static int areas_of(const struct model *m)
{
	int n = 0;

	for (int i = 0; i < NPAGES; i++)
		n += m->page[i].mapped && (!i || !m->page[i - 1].mapped || !same_kind(&m->page[i - 1], &m->page[i]));
	return n;
}

static bool compare_page(struct space *s, struct aspace_mm *mm, const struct model *m, int i)
{
	uint64_t addr = BASE + (uint64_t)i * PAGE_SIZE;
	const struct page_model *p = &m->page[i];
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	if (!vma != !p->mapped)
		return differ("page %d: %s", i, vma ? "is mapped" : "is not mapped");
	if (!vma)
		return true;
	if (vma->vm_flags != p->flags)
		return differ("page %d: flags %lx, expected %lx", i, (long)vma->vm_flags, (long)p->flags);
	if (vma->vm_file != (p->file < 0 ? NULL : s->file[p->file]))
		return differ("page %d: another file", i);
	if (linear_page_index(vma, addr) != p->pgoff)
		return differ("page %d: offset %lx, expected %lx", i, (long)linear_page_index(vma, addr), (long)p->pgoff);
	return true;
}

static bool compare(struct space *s, const struct model *m)
{
	char why[256];

	for (int i = 0; i < NPAGES; i++)
		if (!compare_page(s, s->mm, m, i))
			return false;
	if ((int)s->mm->mm_mt.count != areas_of(m))
		return differ("%lu areas, %d would do", s->mm->mm_mt.count, areas_of(m));
	if (aspace_machine_check(s->m, why, sizeof(why)))
		return differ("%s", why);
	return true;
}

/* A child has what is not kept from it, unlocked; areas that were split for that stay split. */
static bool compare_child(struct space *s, const struct model *m)
{
	struct model expected = *m;
	struct aspace_mm *child;
	bool same = true;

	if (aspace_mm_fork(s->mm, &child))
		return differ("fork fails");
	for (int i = 0; i < NPAGES && same; i++) {
		if (expected.page[i].flags & VM_DONTCOPY)
			expected.page[i] = hole;
		expected.page[i].flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
		same = compare_page(s, child, &expected, i);
	}
	aspace_mm_put(child);
	return same;
}

/* DONTUNMAP unlocks an area whole, for a part of it: test_mm_areas.c looks at that. */
static bool is_left_out(const struct model *m, const struct op *op)
{
	if (op->kind != MREMAP || op->arg != MREMAP_DONTUNMAP)
		return false;
	for (int i = 0; i < NPAGES; i++)
		if (m->page[i].flags & VM_LOCKED)
			return true;
	return false;
}

static bool step(struct space *s, struct model *m, const struct op *op)
{
	int64_t ours;
	int expected;

	if (is_left_out(m, op))
		return true;
	ours = ours_apply(s, op);
	expected = model_apply(m, op);

	if (ours != expected)
		return differ("%s returns %ld, expected %d", kind_names[op->kind], (long)ours, expected);
	return (op->kind != FORK || compare_child(s, m)) && compare(s, m);
}

/* ---- running, shrinking ---------------------------------------------------------------------------------- */

/* The step that differs, or n. */
static int run(const struct op *ops, int n, enum aspace_index index)
{
	struct model model;
	struct space s;
	int i;

	for (int p = 0; p < NPAGES; p++)
		model.page[p] = hole;
	open_space(&s, index);
	for (i = 0; i < n; i++)
		if (!step(&s, &model, &ops[i]))
			break;
	close_space(&s);
	return i;
}

/* ops[0..n) differs in its last step: leaves out what isn't needed for a difference. */
static int shrink(struct op *ops, int n, enum aspace_index index)
{
	struct op *fewer = malloc(sizeof(*ops) * (size_t)n);

	for (int i = n - 1; i >= 0; i--) {
		int at;

		memcpy(fewer, ops, sizeof(*ops) * (size_t)i);
		memcpy(fewer + i, ops + i + 1, sizeof(*ops) * (size_t)(n - 1 - i));
		at = run(fewer, n - 1, index);
		if (at == n - 1)
			continue;
		n = at + 1;
		memcpy(ops, fewer, sizeof(*ops) * (size_t)n);
		i = min(i, n);
	}
	free(fewer);
	return n;
}

static void random_run(enum aspace_index index)
{
	const char *given = getenv("ASPACE_SEED"), *steps = getenv("ASPACE_STEPS");
	int n = steps ? atoi(steps) : 50000;
	struct op *ops = malloc(sizeof(*ops) * (size_t)n);
	int at;

	seed = given ? strtoull(given, NULL, 0) : 88172645463325252ull;
	print_message("seed %llu, %d steps\n", (unsigned long long)seed, n);
	for (int i = 0; i < n; i++)
		ops[i] = random_op();
	at = run(ops, n, index);
	if (at < n) {
		at = shrink(ops, at + 1, index);
		run(ops, at, index);
		for (int i = 0; i < at; i++)
			print_op(&ops[i]);
		fail_msg("%s", difference);
	}
	free(ops);
}

static void test_range_tree(void **state)
{
	random_run(ASPACE_INDEX_RANGE_TREE);
}

static void test_rbtree(void **state)
{
	random_run(ASPACE_INDEX_RBTREE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range_tree),
		cmocka_unit_test(test_rbtree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
