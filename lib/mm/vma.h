/* SPDX-License-Identifier: MIT */
/*
 * Inside the areas wing: how the set of areas changes. Whatever a call does to it comes down to
 *
 *	insert	a range that nobody has gets an area of its own
 *	split	an area becomes two, alike
 *	merge	a range, new or cut from an area, joins one neighbour or both
 *	unmap	a run of areas goes
 *
 * Each decides first, then reserves memory, then changes state with nothing left to fail. All want
 * mmap_lock for writing.
 */
#ifndef MM_VMA_H
#define MM_VMA_H

#include "mm/internal.h"

#define VM_ACCESS_FLAGS	(VM_READ | VM_WRITE | VM_EXEC)
#define VM_LOCKED_MASK	(VM_LOCKED | VM_LOCKONFAULT)
#define VM_SPECIAL	(VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP)	/* never merged */
#define VM_STACK	VM_GROWSDOWN
#define VM_MAY_FLAGS	(VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)

/* The highest address that placement uses when it isn't asked for more: what 4 levels reach. */
#define DEFAULT_MAP_WINDOW	((1ull << 47) - PAGE_SIZE)
#define PMD_SIZE		(1ull << 21)

/* ---- locking ---------------------------------------------------------------------------------- */

static inline void mmap_write_lock(struct mm_struct *mm)
{
	down_write(&mm->mmap_lock);
}
/* Also frees the areas that went meanwhile: their files may write back, which no lock should see. */
void mmap_write_unlock(struct mm_struct *mm);
static inline void mmap_read_lock(struct mm_struct *mm)
{
	down_read(&mm->mmap_lock);
}
static inline void mmap_read_unlock(struct mm_struct *mm)
{
	up_read(&mm->mmap_lock);
}

/* ---- areas ------------------------------------------------------------------------------------ */

static inline unsigned long map_count(const struct mm_struct *mm)
{
	return mm->mm_mt.count;
}
static inline bool vma_is_sealed(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_SEALED;
}
static inline bool vma_is_accessible(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_ACCESS_FLAGS;
}
static inline unsigned vma_pkey(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_PKEY_MASK) >> VM_PKEY_SHIFT;
}
/* A driver's hooks, or NULL. */
static inline const struct aspace_vm_ops *vma_ops(const struct vm_area_struct *vma)
{
	return vma->vm_file ? vma->vm_file->vm_ops : NULL;
}
/* A shared area that may be written, now or after mprotect: what seals forbid. */
static inline bool is_shared_maywrite(uint64_t flags)
{
	return (flags & (VM_SHARED | VM_MAYWRITE)) == (VM_SHARED | VM_MAYWRITE);
}
/* Where the area starts for those who want to be its neighbour: a stack keeps a gap below. */
static inline uint64_t vm_start_gap(const struct vm_area_struct *vma)
{
	uint64_t gap = vma->vm_flags & VM_GROWSDOWN ? vma->vm_mm->machine->options.stack_guard_gap : 0;

	return vma->vm_start > gap ? vma->vm_start - gap : 0;
}

struct anon_vma_name *anon_vma_name_alloc(struct aspace_machine *m, const char *name);
struct anon_vma_name *anon_vma_name_get(struct anon_vma_name *name);	/* NULL: NULL */
void anon_vma_name_put(struct aspace_machine *m, struct anon_vma_name *name);

/* vma into the index and its file's tree; an insertion was reserved. */
void vma_link(struct mm_struct *mm, struct vm_area_struct *vma);

/*
 * vma keeps what is below addr, *above is the rest. 0; -ENOMEM, also for split_vma at
 * max_map_count; what the driver's may_split says.
 */
int split_vma(struct vm_area_struct *vma, uint64_t addr, struct vm_area_struct **above);
int split_vma_over_limit(struct vm_area_struct *vma, uint64_t addr, struct vm_area_struct **above);

/* A range and what it is going to be; the first block is the caller's to fill. */
struct vma_merge {
	struct mm_struct *mm;
	struct vm_area_struct *prev, *next;	/* the range's neighbours, or NULL */
	struct vm_area_struct *middle;		/* the area that the range is part of; NULL: a new range */
	struct vm_area_struct *copied_from;	/* mremap: whose pages will move into the new range */
	uint64_t start, end;
	uint64_t flags;
	pgoff_t pgoff;				/* of start */
	struct aspace_file *file;
	struct anon_vma_name *anon_name;
	struct anon_vma *anon_vma;
	bool just_expand;			/* only prev may grow */

	struct vm_area_struct *target;		/* who will hold the range */
	bool left, right;			/* it joins prev, next */
	bool no_memory;				/* it would have, but for want of memory */
};
/* Can the range join a neighbour? Then all memory for it is there, and commit must follow. */
bool vma_merge_prepare(struct vma_merge *merge);
struct vm_area_struct *vma_merge_commit(struct vma_merge *merge);	/* target */
/*
 * Makes [start, end) of vma an area that may be given these flags and this name: itself, a piece
 * split off, or the neighbour that has them already. The caller sets them. NULL: *error.
 */
struct vm_area_struct *vma_modify(struct vm_area_struct *vma, uint64_t start, uint64_t end,
				  uint64_t flags, struct anon_vma_name *name, int *error);
static inline struct vm_area_struct *vma_modify_flags(struct vm_area_struct *vma, uint64_t start,
						      uint64_t end, uint64_t flags, int *error)
{
	return vma_modify(vma, start, end, flags, vma->anon_name, error);
}

/* ---- unmapping ---------------------------------------------------------------------------------- */

/* Areas that are going to go: first..last, whole. first is NULL if there is nothing. */
struct unmap_run {
	struct vm_area_struct *first, *last, *prev, *next;	/* prev and next stay */
	uint64_t pages, accounted;
};
/* Splits at the ends what sticks out. 0, -EPERM (sealed), -ENOMEM; splits done stay done. */
int unmap_gather(struct mm_struct *mm, uint64_t start, uint64_t end, struct unmap_run *run);
/* Takes them out, off every counter but Committed_AS, and away. */
void unmap_commit(struct mm_struct *mm, struct unmap_run *run);

/* Nothing has to go: next is the first area above the range. */
void unmap_nothing(struct mm_struct *mm, struct vm_area_struct *next, struct unmap_run *run);

/* ---- placement (layout.c) ----------------------------------------------------------------------- */

/* Where a mapping goes. If free is set, nothing is there, and next is the first area above it. */
struct place {
	uint64_t start;
	bool free;
	struct vm_area_struct *next;
};
/* get_unmapped_area, which tells what it saw. 0 or -errno. */
int find_place(struct mm_struct *mm, struct aspace_file *file, uint64_t addr, uint64_t len, pgoff_t pgoff,
	       unsigned flags, struct place *found);

/* ---- limits ------------------------------------------------------------------------------------- */

static inline uint64_t rlimit_pages(const struct mm_struct *mm, enum aspace_rlimit which)
{
	return mm->rlim[which] >> PAGE_SHIFT;
}
bool can_do_mlock(const struct mm_struct *mm);
/* Would `bytes` more with these flags still be within RLIMIT_MEMLOCK? */
bool mlock_future_ok(const struct mm_struct *mm, uint64_t flags, uint64_t bytes);
bool map_deny_write_exec(const struct mm_struct *mm, uint64_t old_flags, uint64_t new_flags);
/* Private and writable: its pages are charged to Committed_AS. */
static inline bool accountable_mapping(uint64_t flags)
{
	return (flags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) == VM_WRITE;
}
uint64_t calc_vm_prot_bits(unsigned prot, int pkey);
int execute_only_pkey(struct mm_struct *mm);	/* the key, allocated at need; -1: none is left */
bool mm_pkey_is_allocated(const struct mm_struct *mm, int pkey);

/* mm.c: what the public header tells of an area; size is set. mmap_lock. */
void area_describe(struct vm_area_struct *vma, struct aspace_area *area);
uint64_t mm_rss(struct mm_struct *mm);		/* pages */
uint64_t mm_hiwater_rss(struct mm_struct *mm);

/* areas_only.c: tells an embedder without RAM what is mapped now. Nothing to do with RAM. */
void note_mapped(struct mm_struct *mm, uint64_t start, uint64_t len);

/* After a successful mmap, mlock, brk ...: pages in, as they are wanted now. No lock held. */
static inline int populate_range(struct mm_struct *mm, uint64_t start, uint64_t len, bool ignore_errors)
{
	return mm->machine->tr->populate(mm, start, len, ignore_errors);
}

#endif
