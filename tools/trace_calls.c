/* SPDX-License-Identifier: MIT */
/*
 * The calls that change an address space. Each is one row: its number, how it is written, and what it
 * asks of the shadow. A row's function returns what the call should return; call_leave holds that
 * against what the kernel returned.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tools/trace.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

/* What the shadow can't know: the kernel's answer is taken over. */
#define UNPREDICTED INT64_MIN

typedef int64_t (*predict)(struct trace_model *model, struct trace_call *call);

static int64_t predict_mmap(struct trace_model *model, struct trace_call *call)
{
	const uint64_t *a = call->arg;

	if (call->foreign_file)
		return UNPREDICTED;
	if (!(a[3] & MAP_ANONYMOUS) && !call->file)
		return (int)a[4] < 0 || call->result == -EBADF ? -EBADF : UNPREDICTED;
	if (a[3] & MAP_HUGETLB)
		return UNPREDICTED;
	return aspace_mmap(model->mm, a[0], a[1], a[2], a[3] & ~(unsigned)ASPACE_MAP_POPULATE, call->file, a[5]);
}

static int64_t predict_munmap(struct trace_model *model, struct trace_call *call)
{
	return aspace_munmap(model->mm, call->arg[0], call->arg[1]);
}

static int64_t predict_mprotect(struct trace_model *model, struct trace_call *call)
{
	return aspace_mprotect(model->mm, call->arg[0], call->arg[1], call->arg[2]);
}

static int64_t predict_pkey_mprotect(struct trace_model *model, struct trace_call *call)
{
	return aspace_pkey_mprotect(model->mm, call->arg[0], call->arg[1], call->arg[2], call->arg[3]);
}

/* Keys are the processor's: one without them refuses them all. */
static int64_t predict_pkey_alloc(struct trace_model *model, struct trace_call *call)
{
	if (call->result < 0)
		return UNPREDICTED;
	return aspace_pkey_alloc(model->mm);
}

static int64_t predict_pkey_free(struct trace_model *model, struct trace_call *call)
{
	return aspace_pkey_free(model->mm, call->arg[0]);
}

static int64_t predict_brk(struct trace_model *model, struct trace_call *call)
{
	return aspace_brk(model->mm, call->arg[0]);
}

static int64_t predict_mremap(struct trace_model *model, struct trace_call *call)
{
	const uint64_t *a = call->arg;

	return aspace_mremap(model->mm, a[0], a[1], a[2], a[3], a[4]);
}

static int64_t predict_madvise(struct trace_model *model, struct trace_call *call)
{
	int r = aspace_madvise(model->mm, call->arg[0], call->arg[1], call->arg[2]);

	/* What the pages themselves answer isn't ours to say. */
	return r < 0 && call->result < 0 ? UNPREDICTED : r < 0 && r != -ENOMEM ? UNPREDICTED : r;
}

static int64_t predict_mlock(struct trace_model *model, struct trace_call *call)
{
	return aspace_mlock(model->mm, call->arg[0], call->arg[1], 0);
}

static int64_t predict_mlock2(struct trace_model *model, struct trace_call *call)
{
	return aspace_mlock(model->mm, call->arg[0], call->arg[1], call->arg[2]);
}

static int64_t predict_munlock(struct trace_model *model, struct trace_call *call)
{
	return aspace_munlock(model->mm, call->arg[0], call->arg[1]);
}

static int64_t predict_mlockall(struct trace_model *model, struct trace_call *call)
{
	return aspace_mlockall(model->mm, call->arg[0]);
}

static int64_t predict_munlockall(struct trace_model *model, struct trace_call *call)
{
	return aspace_munlockall(model->mm);
}

static int64_t predict_remap_file_pages(struct trace_model *model, struct trace_call *call)
{
	const uint64_t *a = call->arg;

	return aspace_remap_file_pages(model->mm, a[0], a[1], a[2], a[3], a[4]);
}

static int64_t predict_mseal(struct trace_model *model, struct trace_call *call)
{
	return aspace_mseal(model->mm, call->arg[0], call->arg[1], call->arg[2]);
}

static int64_t predict_prctl(struct trace_model *model, struct trace_call *call)
{
	const uint64_t *a = call->arg;

	if (a[0] == PR_SET_VMA && a[1] == 0 && call->result == 0)
		return aspace_set_anon_name(model->mm, a[2], a[3], a[4] ? call->path : NULL);
	if (a[0] == PR_SET_MDWE && call->result == 0)
		return aspace_mm_set_mdwe(model->mm, a[1]);
	if (a[0] == PR_SET_THP_DISABLE && call->result == 0)
		aspace_mm_set_thp_disable(model->mm, a[1]);
	return UNPREDICTED;
}

static int64_t predict_limits(struct trace_model *model, struct trace_call *call)
{
	model_refresh_limits(model);
	return UNPREDICTED;
}

static int64_t predict_shmdt(struct trace_model *model, struct trace_call *call)
{
	struct aspace_area area = { .size = sizeof(area) };

	if (call->result == 0 && !aspace_find_area(model->mm, call->arg[0], &area) &&
	    area.start == call->arg[0])
		aspace_munmap(model->mm, area.start, area.end - area.start);
	return UNPREDICTED;
}

static int64_t predict_nothing(struct trace_model *model, struct trace_call *call)
{
	return UNPREDICTED;
}

static const struct call_row {
	int nr;
	const char *name;
	const char *args;	/* a letter each: a address, l length, p prot, m map flags, f fd, d number, x hex */
	predict predict;
	bool adopts;		/* areas may appear whose shape is the kernel's to say */
} rows[] = {
	{ SYS_mmap, "mmap", "alpmfx", predict_mmap, false },
	{ SYS_munmap, "munmap", "al", predict_munmap, false },
	{ SYS_mprotect, "mprotect", "alp", predict_mprotect, false },
	{ SYS_pkey_mprotect, "pkey_mprotect", "alpd", predict_pkey_mprotect, false },
	{ SYS_pkey_alloc, "pkey_alloc", "xx", predict_pkey_alloc, false },
	{ SYS_pkey_free, "pkey_free", "d", predict_pkey_free, false },
	{ SYS_brk, "brk", "a", predict_brk, false },
	{ SYS_mremap, "mremap", "allxa", predict_mremap, false },
	{ SYS_madvise, "madvise", "ald", predict_madvise, false },
	{ SYS_mlock, "mlock", "al", predict_mlock, false },
	{ SYS_mlock2, "mlock2", "alx", predict_mlock2, false },
	{ SYS_munlock, "munlock", "al", predict_munlock, false },
	{ SYS_mlockall, "mlockall", "x", predict_mlockall, false },
	{ SYS_munlockall, "munlockall", "", predict_munlockall, false },
	{ SYS_remap_file_pages, "remap_file_pages", "alpdx", predict_remap_file_pages, false },
	{ SYS_mseal, "mseal", "alx", predict_mseal, false },
	{ SYS_prctl, "prctl", "xxalx", predict_prctl, false },
	{ SYS_setrlimit, "setrlimit", "da", predict_limits, false },
	{ SYS_prlimit64, "prlimit64", "ddaa", predict_limits, false },
	{ SYS_personality, "personality", "x", predict_limits, false },
	{ SYS_shmat, "shmat", "dax", predict_nothing, true },
	{ SYS_shmdt, "shmdt", "a", predict_shmdt, false },
	{ SYS_fork, "fork", "", predict_nothing, false },
	{ SYS_vfork, "vfork", "", predict_nothing, false },
	{ SYS_clone, "clone", "xaaax", predict_nothing, false },
	{ SYS_clone3, "clone3", "al", predict_nothing, false },
};
#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct call_row *row_of(long nr)
{
	for (size_t i = 0; i < NR_ROWS; i++)
		if (rows[i].nr == nr)
			return &rows[i];
	return NULL;
}

bool call_is_traced(long nr)
{
	return row_of(nr) != NULL;
}

size_t call_filter_numbers(const int **numbers)
{
	static int list[NR_ROWS];

	for (size_t i = 0; i < NR_ROWS; i++)
		list[i] = rows[i].nr;
	*numbers = list;
	return NR_ROWS;
}

/* ---- writing a call ------------------------------------------------------------------------------ */

static const struct {
	uint64_t bit;
	const char *name;
} map_names[] = {
	{ MAP_FIXED, "FIXED" },	      { MAP_ANONYMOUS, "ANONYMOUS" },	{ MAP_32BIT, "32BIT" },
	{ MAP_GROWSDOWN, "GROWSDOWN" }, { MAP_DENYWRITE, "DENYWRITE" }, { MAP_LOCKED, "LOCKED" },
	{ MAP_NORESERVE, "NORESERVE" }, { MAP_POPULATE, "POPULATE" },	{ MAP_NONBLOCK, "NONBLOCK" },
	{ MAP_STACK, "STACK" },	      { MAP_HUGETLB, "HUGETLB" },	{ MAP_SYNC, "SYNC" },
	{ MAP_FIXED_NOREPLACE, "FIXED_NOREPLACE" },
};

static int write_map_flags(char *p, size_t n, uint64_t flags)
{
	static const char *const type[] = { "0", "SHARED", "PRIVATE", "SHARED_VALIDATE" };
	int at = snprintf(p, n, "%s", (flags & 0xf) < 4 ? type[flags & 0xf] : "DROPPABLE");

	for (size_t i = 0; i < sizeof(map_names) / sizeof(map_names[0]) && at < (int)n; i++)
		if (flags & map_names[i].bit)
			at += snprintf(p + at, n - at, "|%s", map_names[i].name);
	return at;
}

static int write_arg(char *p, size_t n, char kind, uint64_t value, const struct trace_call *call)
{
	switch (kind) {
	case 'l':
		return snprintf(p, n, "%" PRIu64, value);
	case 'p':
		return snprintf(p, n, "%c%c%c", value & 1 ? 'r' : '-', value & 2 ? 'w' : '-',
				value & 4 ? 'x' : '-');
	case 'm':
		return write_map_flags(p, n, value);
	case 'f':
		return call->path[0] ? snprintf(p, n, "%d<%.100s>", (int)value, call->path) :
				       snprintf(p, n, "%d", (int)value);
	case 'd':
		return snprintf(p, n, "%" PRId64, (int64_t)value);
	default:
		return snprintf(p, n, "%#" PRIx64, value);
	}
}

static void write_call(struct trace_call *call, const struct call_row *row)
{
	size_t size = sizeof(call->text), at = 0;

	at += snprintf(call->text, size, "%s(", row->name);
	for (int i = 0; row->args[i] && at < size; i++) {
		if (i)
			at += snprintf(call->text + at, size - at, ", ");
		if (at < size)
			at += write_arg(call->text + at, size - at, row->args[i], call->arg[i], call);
	}
	if (at < size)
		snprintf(call->text + at, size - at, ")");
}

static void write_caller(struct trace_model *model, struct trace_call *call)
{
	size_t at = strlen(call->text);
	char caller[200];

	trace_stack(model, call->tid, caller, sizeof(caller));
	if (caller[0] && at < sizeof(call->text))
		snprintf(call->text + at, sizeof(call->text) - at, " by %s", caller);
}

/* ---- what must be known at the entry ---------------------------------------------------------------- */

static void read_string(pid_t tid, uint64_t addr, char *to, size_t n)
{
	struct iovec here = { to, n - 1 }, there = { (void *)(uintptr_t)addr, n - 1 };
	size_t to_page_end = 4096 - (addr & 4095);
	ssize_t got;

	if (to_page_end < there.iov_len)
		here.iov_len = there.iov_len = to_page_end;
	got = process_vm_readv(tid, &here, 1, &there, 1, 0);
	to[got > 0 ? got : 0] = '\0';
}

static bool fd_mode(pid_t tid, int fd, bool *readable, bool *writable)
{
	char path[64], line[128];
	unsigned flags = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", tid, fd);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	fclose(f);
	*readable = (flags & O_ACCMODE) != O_WRONLY;
	*writable = (flags & O_ACCMODE) != O_RDONLY;
	return true;
}

/* The file behind mmap's descriptor. */
static void find_file(struct trace_model *model, struct trace_call *call)
{
	struct trace_file file = { .fd = call->arg[4] };
	struct statvfs vfs;
	struct stat st;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", call->tid, (int)call->arg[4]);
	n = readlink(path, call->path, sizeof(call->path) - 1);
	if (n < 0 || stat(path, &st) || !fd_mode(call->tid, file.fd, &file.readable, &file.writable)) {
		call->path[0] = '\0';
		return;
	}
	call->path[n] = '\0';
	if (!S_ISREG(st.st_mode)) {
		call->foreign_file = true;
		return;
	}
	file.dev = st.st_dev;
	file.ino = st.st_ino;
	call->file = model_open(model, &file, call->path, !statvfs(path, &vfs) && (vfs.f_flag & ST_NOEXEC));
}

void call_enter(struct trace_model *model, struct trace_call *call)
{
	const struct call_row *row = row_of(call->nr);
	const uint64_t *a = call->arg;

	call->path[0] = '\0';
	if (call->nr == SYS_mmap && !(a[3] & MAP_ANONYMOUS) && (int)a[4] >= 0)
		find_file(model, call);
	if (call->nr == SYS_prctl && a[0] == PR_SET_VMA && a[4])
		read_string(call->tid, a[4], call->path, 80);
	if (call->nr == SYS_clone)
		call->clone_flags = a[0];
	if (call->nr == SYS_clone3) {
		struct iovec here = { &call->clone_flags, 8 }, there = { (void *)(uintptr_t)a[0], 8 };

		if (process_vm_readv(call->tid, &here, 1, &there, 1, 0) != 8)
			call->clone_flags = 0;
	}
	write_call(call, row);
	if (model->stack && row->args[0])
		write_caller(model, call);
	/* Whether neighbours merge depends on who has private pages. */
	switch (call->nr) {
	case SYS_mmap:
	case SYS_munmap:
	case SYS_mprotect:
	case SYS_pkey_mprotect:
	case SYS_madvise:
	case SYS_mremap:
	case SYS_mlock:
	case SYS_mlock2:
	case SYS_munlock:
	case SYS_mseal:
		model_learn_pages(model, a[0], a[0] + a[1]);
		break;
	case SYS_prctl:
		if (a[0] == PR_SET_VMA)
			model_learn_pages(model, a[2], a[2] + a[3]);
		break;
	case SYS_mlockall:
	case SYS_munlockall:
		model_learn_pages(model, 0, UINT64_MAX);
		break;
	}
}

/* ---- after the exit ------------------------------------------------------------------------------------ */

static void note_history(struct trace_model *model, const struct trace_call *call)
{
	struct trace_history *h = &model->history;
	const uint64_t *a = call->arg;
	uint64_t end = a[0] + ((a[1] + 4095) & ~4095ull);

	if (call->result < 0 && call->result > -4096)
		return;
	switch (call->nr) {
	case SYS_mmap:
		history_made(h, call->text, call->result, call->result + end - a[0]);
		break;
	case SYS_munmap:
		history_gone(h, a[0], end);
		history_cut(h, call->text, a[0], end);
		break;
	case SYS_mremap:
		if ((uint64_t)call->result != a[0])
			history_moved(h, a[0], call->result, a[1]);
		if (a[2] > a[1])
			history_made(h, call->text, call->result + a[1], call->result + ((a[2] + 4095) & ~4095ull));
		else
			history_gone(h, call->result + a[2], call->result + a[1]);
		break;
	case SYS_brk: {
		struct aspace_layout layout = { .size = sizeof(layout) };

		aspace_mm_layout(model->mm, &layout);
		history_made(h, "brk (the heap)", layout.start_brk & ~4095ull, (layout.brk + 4095) & ~4095ull);
		break;
	}
	case SYS_mprotect:
	case SYS_pkey_mprotect:
	case SYS_madvise:
	case SYS_mlock:
	case SYS_mlock2:
	case SYS_munlock:
	case SYS_mseal:
		history_cut(h, call->text, a[0], end);
		break;
	case SYS_shmat:
		break;
	}
}

/* Where the kernel put it is known now: so are the neighbours that it may have merged with. */
static void learn_neighbours(struct trace_model *model, const struct trace_call *call)
{
	uint64_t at = call->result;

	if (call->result < 0 && call->result > -4096)
		return;
	if (call->nr == SYS_mmap)
		model_learn_pages(model, at, at + call->arg[1] + 4096);
	if (call->nr == SYS_mremap)
		model_learn_pages(model, at, at + call->arg[2] + 4096);
	if (call->nr == SYS_brk)
		model_learn_pages(model, at - 4096, at + 4096);
}

int call_leave(struct trace_model *model, struct trace_call *call, FILE *err)
{
	const struct call_row *row = row_of(call->nr);
	int64_t predicted;
	int r = 0;

	model->calls++;
	if (!model->lost) {
		learn_neighbours(model, call);
		predicted = row->predict(model, call);
		if (predicted != UNPREDICTED && predicted != call->result) {
			fprintf(err, "aspace: trace: call %" PRIu64 " of process %d (%s): %s\n"
				"  aspace: %#" PRIx64 " (%" PRId64 ")\n  kernel: %#" PRIx64 " (%" PRId64 ")\n",
				call->number, model->pid, model->name, call->text, predicted, predicted,
				call->result, call->result);
			r = 1;
		}
		if (row->adopts || call->foreign_file)
			model_adopt(model);
		note_history(model, call);
	}
	if (call->file)
		aspace_file_put(call->file);
	call->file = NULL;
	return r;
}
