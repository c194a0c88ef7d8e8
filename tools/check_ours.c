/* SPDX-License-Identifier: MIT */
/*
 * The library's side of aspace check: each operation by its public functions. Its other files:
 * check_ours_file.c, check_ours_access.c (loads, copies, keys), check_ours_look.c (pictures).
 */
#include "check_ours.h"

/* ---- fork -------------------------------------------------------------------------------------- */

static int64_t op_fork(struct check_ours *o)
{
	struct task *child = &o->task[o->depth + 1];
	int ret;

	if (o->depth)
		return -ENOSYS;		/* one generation is enough */
	*child = *ours_now(o);
	ret = aspace_mm_fork(ours_now(o)->mm, &child->mm);
	if (ret)
		return ret;
	o->depth++;
	o->forked = true;
	return 0;
}

/* ---- operations -------------------------------------------------------------------------------- */

static int64_t op_rlimit(struct check_ours *o, uint64_t which, uint64_t bytes)
{
	uint64_t max = o->ring->rlim_max[which & 15];

	aspace_mm_set_rlimit(ours_now(o)->mm, (enum aspace_rlimit)which, bytes < max ? bytes : max);
	return 0;
}

static int64_t op_name(struct check_ours *o, const uint64_t *a)
{
	static const char *const names[] = { NULL, "one", "two", "", "a b", "bad[" };

	return aspace_set_anon_name(ours_now(o)->mm, a[0], a[1], names[a[2] % 6]);
}

static int64_t operate(struct check_ours *o, const struct check_op *op, struct check_result *r)
{
	struct aspace_mm *mm = ours_now(o)->mm;
	const uint64_t *a = op->a;
	bool covered;
	int64_t ret;

	switch (op->kind) {
	case OP_MMAP:
		if (a[5] % CHECK_PAGE)
			return -EINVAL;
		if (!(a[3] & ASPACE_MAP_ANONYMOUS) && !ours_file_of(o, a[4]))
			return -EBADF;
		ret = aspace_mmap(mm, a[0], a[1], a[2], a[3],
				  a[3] & ASPACE_MAP_ANONYMOUS ? NULL : ours_file_of(o, a[4]), a[5]);
		if (a[1] && a[1] <= -CHECK_PAGE)	/* else it doesn't come to that */
			ours_close_execute_only(o, ret, a[2]);
		return ret;
	case OP_MUNMAP: return aspace_munmap(mm, a[0], a[1]);
	case OP_BRK: return aspace_brk(mm, a[0]);
	case OP_MPROTECT:
		covered = ours_covers(mm, a[0]);
		ret = aspace_mprotect(mm, a[0], a[1], a[2]);
		if (covered && ret != -EINVAL)
			ours_close_execute_only(o, a[0], a[2]);
		return ret;
	case OP_PKEY_MPROTECT:
		covered = ours_covers(mm, a[0]);
		ret = aspace_pkey_mprotect(mm, a[0], a[1], a[2], (int)a[3]);
		if (covered && ret != -EINVAL && (int)a[3] == -1)
			ours_close_execute_only(o, a[0], a[2]);
		return ret;
	case OP_PKEY_ALLOC: return ours_pkey_alloc(o, a[0], a[1]);
	case OP_PKEY_FREE: return aspace_pkey_free(mm, (int)a[0]);
	case OP_MREMAP: return aspace_mremap(mm, a[0], a[1], a[2], a[3], a[4]);
	case OP_MADVISE: return aspace_madvise(mm, a[0], a[1], (int)a[2]);
	case OP_PROCESS_MADVISE:
		return aspace_process_madvise(mm, (struct aspace_piece[]){ { a[0], a[1] }, { a[3], a[4] } }, 2,
					      (int)a[2], false);
	case OP_MLOCK: return aspace_mlock(mm, a[0], a[1], 0);
	case OP_MLOCK2: return aspace_mlock(mm, a[0], a[1], a[2]);
	case OP_MUNLOCK: return aspace_munlock(mm, a[0], a[1]);
	case OP_MLOCKALL: return aspace_mlockall(mm, a[0]);
	case OP_MUNLOCKALL: return aspace_munlockall(mm);
	case OP_MSYNC: return aspace_msync(mm, a[0], a[1], a[2]);
	case OP_MINCORE: return ours_mincore(o, a[0], a[1]);
	case OP_REMAP_FILE_PAGES:
		ret = aspace_remap_file_pages(mm, a[0], a[1], a[2], a[3], a[4]);
		if (ret != -EINVAL)	/* from do_mmap, then */
			ours_close_execute_only(o, a[0], ours_prot_at(mm, a[0]));
		return ret;
	case OP_MSEAL: return aspace_mseal(mm, a[0], a[1], a[2]);
	case OP_NAME: return op_name(o, a);
	case OP_LOAD: return ours_load(o, op, r);
	case OP_STORE: ours_store(o, op, r); return 0;
	case OP_CALL: ours_access(o, a[0], ASPACE_EXEC, r); return 0;
	case OP_PKRU: ours_now(o)->pkru = (uint32_t)a[0]; return 0;
	case OP_FILE: return ours_file(o, a[0], a[1], a[2]);
	case OP_TRUNCATE: return ours_truncate(o, a[0], a[1]);
	case OP_PUNCH: return ours_punch(o, a[0], a[1], a[2]);
	case OP_PREAD: return ours_pread(o, a[0], a[1]);
	case OP_PWRITE: return ours_pwrite(o, a[0], a[1], a[2]);
	case OP_SEAL_FILE: return ours_seal(o, a[0], a[1]);
	case OP_READ_TO: case OP_WRITE_FROM: return ours_copy(o, op);
	case OP_VM_READ: case OP_VM_WRITE: case OP_MEM_READ: case OP_MEM_WRITE: return ours_remote(o, op);
	case OP_RLIMIT: return op_rlimit(o, a[0], a[1]);
	case OP_PERSONALITY: aspace_mm_set_personality(mm, (unsigned)a[0]); return 0;
	case OP_MDWE: return aspace_mm_set_mdwe(mm, (unsigned)a[0]);
	case OP_FORK: return op_fork(o);
	}
	return 0;
}

/* ---- a sequence -------------------------------------------------------------------------------- */

int check_ours_create(const struct check_ours_options *options, const struct check_ring *ring,
		      struct check_ours **out)
{
	struct aspace_machine_options m = {
		.size = sizeof(m), .ram_bytes = options->areas_only ? 0 : options->ram_bytes,
		.index = options->rbtree ? ASPACE_INDEX_RBTREE : ASPACE_INDEX_RANGE_TREE,
		.overcommit_pages = options->host_pages, .thp_align = options->thp_align,
		.mmap_min_addr = ring->mmap_min_addr ?: UINT64_MAX,
	};
	struct aspace_mapping_options ring_mapping = {
		.size = sizeof(ring_mapping), .bytes = sizeof(struct check_ring), .ino = 999,
	};
	struct aspace_file_options ring_file = {
		.size = sizeof(ring_file), .readable = true, .writable = true, .path = "/memfd:check-ring",
	};
	struct check_ours *o = calloc(1, sizeof(*o));
	int ret;

	if (!o)
		return -ENOMEM;
	o->areas_only = options->areas_only;
	o->ring = ring;
	o->lie = options->lie;
	ret = aspace_machine_create(&m, &o->machine);
	if (ret) {
		free(o);
		return ret;
	}
	ret = aspace_mapping_create(o->machine, &ring_mapping, &o->ring_mapping);
	if (!ret)
		ret = aspace_file_open(o->ring_mapping, &ring_file, &o->ring_file);
	*out = o;
	return ret;
}

void check_ours_destroy(struct check_ours *o)
{
	aspace_file_put(o->ring_file);
	aspace_mapping_put(o->ring_mapping);
	aspace_machine_destroy(o->machine);
	free(o);
}

/* The few areas that the kernel's side has besides: counters and mlockall see them. */
static int add_home(struct check_ours *o, struct aspace_mm *mm)
{
	for (unsigned i = 0; i < o->ring->nr_home; i++) {
		uint64_t f = o->ring->home[i].flags, flags = f & 7;
		bool shared = f & 8;
		int ret;

		flags |= ASPACE_VM_MAYREAD | ASPACE_VM_MAYWRITE | ASPACE_VM_MAYEXEC;
		flags |= shared ? ASPACE_VM_SHARED | ASPACE_VM_MAYSHARE : 0;
		ret = aspace_insert_area(mm, o->ring->home[i].start, o->ring->home[i].end, flags,
					 shared ? o->ring_file : NULL, shared ? 0 : o->ring->home[i].start,
					 shared ? NULL : "[home]");
		if (ret)
			return ret;
	}
	return 0;
}

int check_ours_begin(struct check_ours *o, struct check_trace *trace)
{
	struct aspace_layout layout = { .size = sizeof(layout) };
	struct aspace_mm *mm;
	int ret;

	trace->done = trace->used = 0;
	memset(trace->result, 0, sizeof(trace->result));
	o->trace = trace;
	o->depth = 0;
	o->forked = false;
	ret = aspace_mm_create(o->machine, &mm);
	if (ret)
		return ret;
	aspace_mm_layout(mm, &layout);
	layout.mmap_base = CHECK_MMAP_BASE;
	layout.mmap_legacy_base = CHECK_MMAP_LEGACY_BASE;
	layout.start_data = layout.end_data = CHECK_DATA;
	layout.start_brk = layout.brk = CHECK_HEAP;
	ret = aspace_mm_set_layout(mm, &layout);
	aspace_mm_set_rlimit(mm, ASPACE_RLIMIT_STACK, o->ring->rlim_cur[ASPACE_RLIMIT_STACK]);
	aspace_mm_set_rlimit(mm, ASPACE_RLIMIT_MEMLOCK, o->ring->rlim_cur[ASPACE_RLIMIT_MEMLOCK]);
	aspace_mm_set_personality(mm, ASPACE_ADDR_NO_RANDOMIZE);
	aspace_mm_set_privileged(mm, false, false);
	aspace_mm_set_thp_disable(mm, true);
	o->task[0] = (struct task){ .mm = mm, .pkru = PKRU_START };
	return ret ? ret : add_home(o, mm);
}

void check_ours_step(struct check_ours *o, const struct check_op *op, unsigned i, unsigned n,
		     const struct check_look *look)
{
	struct check_result *r = &o->trace->result[i];

	r->skipped = ours_untellable(o, op);
	if (!r->skipped)
		r->ret = operate(o, op, r);
	if (r->signal)
		r->ret = 0;
	if (op->kind == o->lie && op->kind && r->ret >= 0)
		r->ret = -EIO;
	/* a fork's picture is taken when its child is over */
	if (op->kind != OP_FORK || r->ret)
		ours_picture(o, i, n, look);
	if (o->trace->done < i + 1)
		o->trace->done = i + 1;
}

int check_ours_end(struct check_ours *o, char *why, size_t size)
{
	static const struct check_look nothing;

	if (o->depth)
		check_ours_fork_end(o, 0, 1, &nothing);
	if (o->sequences++ % 64 == 0) {
		int ret = aspace_machine_check(o->machine, why, size);

		if (ret)
			return ret;
	}
	aspace_mm_put(o->task[0].mm);
	for (unsigned f = 0; f < CHECK_FILES; f++)
		ours_close_file(o, f);
	return 0;
}

void check_ours_fork_end(struct check_ours *o, unsigned forked, unsigned n,
			 const struct check_look *look)
{
	aspace_mm_put(ours_now(o)->mm);
	o->depth--;
	ours_picture(o, forked, n, look);
}

/* A sequence that is known: the same walk as the generator's, see check_gen.c. */
void check_ours_run(struct check_ours *o, const struct check_sequence *seq, const struct check_look *look,
		    struct check_trace *trace)
{
	unsigned end = 0, forked = 0;

	for (unsigned i = 0; i <= seq->n; i++) {
		if (o->depth && i == end)
			check_ours_fork_end(o, forked, seq->n, look);
		if (i == seq->n)
			break;
		check_ours_step(o, &seq->op[i], i, seq->n, look);
		if (seq->op[i].kind == OP_FORK && !trace->result[i].ret) {
			forked = i;
			end = check_fork_end(seq, i);
		}
	}
}

uint64_t check_ours_total_vm(struct check_ours *o)
{
	struct aspace_mm_stats s = { .size = sizeof(s) };

	aspace_mm_stats(ours_now(o)->mm, &s);
	return s.total_vm * CHECK_PAGE;
}

uint64_t check_ours_brk(struct check_ours *o)
{
	struct aspace_layout layout = { .size = sizeof(layout) };

	aspace_mm_layout(ours_now(o)->mm, &layout);
	return layout.brk;
}

uint64_t check_ours_min_addr(struct check_ours *o)
{
	return o->ring->mmap_min_addr;
}
