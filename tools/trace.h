/* SPDX-License-Identifier: MIT */
/*
 * aspace trace: a native process under ptrace, shadowed by the areas wing alone.
 *
 *	trace.c          options; the loop over ptrace's stops; who runs and who is held
 *	trace_model.c    one address space's shadow: seeded from /proc, moved on by each call, compared
 *	trace_calls.c    the mm calls: what each asks of the shadow, and how it is written
 *	trace_stack.c    which function made a call (--stack)
 *	trace_explain.c  who made each area, why neighbours don't merge, what makes areas
 *
 * Calls of one address space are taken one at a time: while a thread is inside one, the others are
 * held at the entry of theirs. So the shadow sees them in the kernel's order.
 */
#ifndef TOOLS_TRACE_H
#define TOOLS_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <aspace/aspace.h>

struct trace_options {
	bool strict, keep_going, json, verbose, stack;
	FILE *out;			/* the report */
};

/* One mm call, from its entry to its exit. */
struct trace_call {
	uint64_t number;		/* counted over the whole run, from 1 */
	pid_t tid;
	long nr;			/* system call number */
	uint64_t arg[6];
	int64_t result;			/* the kernel's: a value or -errno */
	char text[480];			/* as strace would write it, without the result; with --stack, by whom */
	char path[256];			/* mmap: the file's name; prctl: the area's */
	uint64_t clone_flags;
	struct aspace_file *file;	/* mmap of a file: as the shadow knows it; a reference */
	bool foreign_file;		/* a device or the like, whose areas the kernel's driver shapes */
};

/* What a run of pages came from; kept sorted, never overlapping. */
struct trace_origin {
	uint64_t start, end;
	uint32_t maker;			/* index into trace_history.calls */
};
/* A boundary between areas that a call cut. */
struct trace_cut {
	uint64_t addr;
	uint32_t call;
};
struct trace_history {
	char **calls;			/* texts, deduplicated by the run of equal neighbours */
	size_t nr_calls, cap_calls;
	struct trace_origin *origins;
	size_t nr_origins, cap_origins;
	struct trace_cut *cuts;
	size_t nr_cuts, cap_cuts;
};

/*
 * A file that was mapped through a descriptor. Mappings merge only if they come from one open of the
 * file; the same file behind the same number is taken for the same open.
 */
struct trace_file {
	int fd;
	dev_t dev;
	ino_t ino;
	bool readable, writable;
	struct aspace_file *file;	/* a reference */
};
#define TRACE_FILES 16

/* The shadow of one address space. */
struct trace_model {
	int refs;			/* tracees in it */
	struct aspace_machine *machine;
	struct aspace_mm *mm;
	pid_t pid;			/* a tracee whose /proc shows it */
	char name[64];
	uint64_t calls, next_check, checks;
	uint64_t peak_areas;
	int busy_tid;			/* who is inside a call; 0: nobody */
	struct trace_history history;
	struct trace_file files[TRACE_FILES];	/* the latest ones, in a ring */
	unsigned next_file;
	int pagemap_fd;
	bool stack;			/* calls are told with the function that made them */
	void *dwfl;			/* libdw's view of the process, or NULL */
	bool lost;			/* a difference was found, or /proc went away: no more predictions */
};

/* trace_model.c; 0 or -errno. */
struct trace_model *model_new(pid_t pid);
struct trace_model *model_fork(struct trace_model *model, pid_t child);
struct trace_model *model_get(struct trace_model *model);
void model_put(struct trace_model *model);
int model_seed(struct trace_model *model);	/* the shadow becomes what /proc shows now */
void model_learn_pages(struct trace_model *model, uint64_t start, uint64_t end);
void model_refresh_limits(struct trace_model *model);
/* Shadow against /proc/PID/maps. 0: equal; 1: different, said on stderr; -errno: it can't be read. */
int model_compare(struct trace_model *model, const struct trace_call *call, FILE *err);
struct aspace_file *model_open(struct trace_model *model, const struct trace_file *file, const char *path,
			       bool noexec);	/* a reference, NULL: no memory */
struct aspace_file *model_file(struct trace_model *model, dev_t dev, ino_t ino, const char *path,
			       bool readable, bool writable, bool noexec);
int model_adopt(struct trace_model *model);	/* areas that the kernel shows and the shadow has not */

/* trace_calls.c */
bool call_is_traced(long nr);
size_t call_filter_numbers(const int **numbers);
void call_enter(struct trace_model *model, struct trace_call *call);	/* what must be known before */
/* Applies it; 0: as predicted; 1: different, said on err. */
int call_leave(struct trace_model *model, struct trace_call *call, FILE *err);

/* trace_stack.c: "FUNCTION in FILE" of the stopped thread, or "". */
bool trace_stack_possible(void);	/* built with libdw */
void trace_stack(struct trace_model *model, pid_t tid, char *buffer, size_t size);
void trace_stack_forget(struct trace_model *model);

/* trace_explain.c */
void history_made(struct trace_history *history, const char *text, uint64_t start, uint64_t end);
void history_gone(struct trace_history *history, uint64_t start, uint64_t end);
void history_moved(struct trace_history *history, uint64_t from, uint64_t to, uint64_t length);
void history_cut(struct trace_history *history, const char *text, uint64_t start, uint64_t end);
int history_copy(struct trace_history *to, const struct trace_history *from);
void history_free(struct trace_history *history);
void explain(struct trace_model *model, const struct trace_options *options);

#endif
