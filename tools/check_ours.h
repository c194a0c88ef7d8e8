/* SPDX-License-Identifier: MIT */
/* What the files of the library's side of aspace check share. */
#ifndef CHECK_OURS_H
#define CHECK_OURS_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <aspace/aspace.h>

#include "check.h"

#define PKRU_START 0x55555554u	/* what Linux gives a new program: every key but 0 is closed */

struct task {
	struct aspace_mm *mm;
	uint32_t pkru;
	int execute_only;	/* the key for it, once it was seen */
};

struct check_ours {
	struct aspace_machine *machine;
	const struct check_ring *ring;
	bool areas_only;
	uint32_t lie;
	struct task task[2];		/* the child is the second */
	unsigned depth;
	bool forked;			/* in this sequence */
	struct aspace_file *file[CHECK_FILES];
	struct aspace_mapping *mapping[CHECK_FILES];
	uint64_t kind[CHECK_FILES];
	struct aspace_mapping *ring_mapping;
	struct aspace_file *ring_file;
	struct check_trace *trace;
	uint64_t sequences;
};

static inline struct task *ours_now(struct check_ours *o)
{
	return &o->task[o->depth];
}

void ours_close_file(struct check_ours *o, unsigned f);
int64_t ours_file(struct check_ours *o, uint64_t f, uint64_t kind, uint64_t bytes);
struct aspace_file *ours_file_of(struct check_ours *o, uint64_t f);
int64_t ours_truncate(struct check_ours *o, uint64_t f, uint64_t bytes);
int64_t ours_punch(struct check_ours *o, uint64_t f, uint64_t offset, uint64_t n);
int64_t ours_pread(struct check_ours *o, uint64_t f, uint64_t offset);
int64_t ours_pwrite(struct check_ours *o, uint64_t f, uint64_t offset, uint64_t value);
int64_t ours_seal(struct check_ours *o, uint64_t f, uint64_t seals);
int ours_file_number(const struct check_ours *o, const struct aspace_area *a);
unsigned ours_prot_at(struct aspace_mm *mm, uint64_t addr);
bool ours_covers(struct aspace_mm *mm, uint64_t addr);
void *ours_access(struct check_ours *o, uint64_t addr, unsigned access, struct check_result *r);
int64_t ours_load(struct check_ours *o, const struct check_op *op, struct check_result *r);
void ours_store(struct check_ours *o, const struct check_op *op, struct check_result *r);
int64_t ours_mincore(struct check_ours *o, uint64_t addr, uint64_t len);
int64_t ours_remote(struct check_ours *o, const struct check_op *op);
int64_t ours_copy(struct check_ours *o, const struct check_op *op);
void ours_close_execute_only(struct check_ours *o, uint64_t addr, unsigned prot);
int64_t ours_pkey_alloc(struct check_ours *o, uint64_t flags, uint64_t rights);
bool ours_untellable(struct check_ours *o, const struct check_op *op);
void ours_picture(struct check_ours *o, unsigned i, unsigned n, const struct check_look *look);

#endif
