/* SPDX-License-Identifier: MIT */
/*
 * libaspace: the Linux process address space as a library.
 *
 *   machine   physical memory, its frames, caches and settings; everything hangs off one
 *     mapping   the contents of one file (an inode's pages), or of shared memory
 *       file      an open file: a mapping, the mode it was opened with, a name
 *     mm        an address space: areas, page tables, counters
 *
 * Addresses, lengths and offsets are bytes, guest physical addresses are offsets into the machine's
 * RAM. Functions that can fail return a negative errno (errno.h of this host); those that return an
 * address return it as a non-negative int64_t. Numbers of flags are Linux's (abi.h). Option and
 * result structures start with their size, so that they can grow: zero them (or use the
 * initialisers), set `size`, set what you need; zero always means the default.
 *
 * Threads: any function may be called from any thread at any time, on the same objects; a reference
 * that a call uses must be held by the caller across the call. Locks inside are taken in Linux's
 * order (docs/locking.md).
 */
#ifndef ASPACE_ASPACE_H
#define ASPACE_ASPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <aspace/abi.h>
#include <aspace/port.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ASPACE_API __attribute__((visibility("default")))
#else
#define ASPACE_API
#endif

struct aspace_machine;
struct aspace_mapping;
struct aspace_file;
struct aspace_mm;
struct aspace_vma;

ASPACE_API const char *aspace_version(void);

/* ---- the machine ------------------------------------------------------------------------- */

enum aspace_format {		/* page-table formats */
	ASPACE_X86_64_4LEVEL,
	ASPACE_X86_64_5LEVEL,
};

enum aspace_index {		/* structure of the index of areas; behaviour is the same */
	ASPACE_INDEX_RANGE_TREE,	/* wide nodes, what Linux does since 6.1 */
	ASPACE_INDEX_RBTREE,		/* list, red-black tree and mmap_cache, before 6.1 */
};

enum aspace_overcommit {	/* vm.overcommit_memory */
	ASPACE_OVERCOMMIT_GUESS,
	ASPACE_OVERCOMMIT_ALWAYS,
	ASPACE_OVERCOMMIT_NEVER,
};

struct aspace_machine_options {
	size_t size;
	uint64_t ram_bytes;		/* 0: no RAM, areas only (see aspace_area_ops) */
	enum aspace_format format;
	enum aspace_index index;
	const struct aspace_port *port;	/* copied */
	const struct aspace_area_ops *area_ops;	/* areas only: told what to do to pages; copied */
	uint64_t max_map_count;		/* default 65530 */
	uint64_t mmap_min_addr;		/* default 65536; UINT64_MAX: 0 */
	uint64_t stack_guard_gap;	/* bytes; default 1 MiB */
	enum aspace_overcommit overcommit;
	unsigned overcommit_ratio;	/* percent; default 50 */
	uint64_t overcommit_pages;	/* pages the commit limit is computed from; default: RAM */
	uint64_t fault_around_bytes;	/* default 65536; 4096 turns it off */
	uint64_t read_ahead_bytes;	/* default 131072 */
	uint64_t thp_align;		/* 1: place large mappings as a host with THP does */
};

ASPACE_API int aspace_machine_create(const struct aspace_machine_options *options,
				     struct aspace_machine **machine);
/* Every mm, file and mapping must be gone. Dirty pages were written when their mapping went. */
ASPACE_API void aspace_machine_destroy(struct aspace_machine *machine);

/* The host's view of guest RAM; frame 0 is at its start. memfd is -1 where the host has none. */
ASPACE_API void *aspace_machine_ram(struct aspace_machine *machine, uint64_t *bytes, int *memfd);

struct aspace_machine_stats {
	size_t size;
	uint64_t frames_total;		/* all below in frames of 4 KiB */
	uint64_t frames_reserved;	/* never handed out: frame 0, ... */
	uint64_t frames_free;
	uint64_t frames_anon, frames_file, frames_shmem, frames_page_table, frames_other;
	uint64_t frames_dirty;		/* of frames_file */
	uint64_t committed_as;		/* pages charged */
	uint64_t commit_limit;
	uint64_t mms, areas, mappings, files;
	uint64_t object_bytes;		/* memory of the library's own objects */
	uint64_t faults_zero_page, faults_anon, faults_file, faults_cow_copy, faults_cow_reuse,
		faults_shared_dirty, faults_spurious, faults_stack, faults_major, faults_signal;
	uint64_t pages_read, pages_written;	/* of files */
	uint64_t flushes;
};
ASPACE_API void aspace_machine_stats(struct aspace_machine *machine,
				     struct aspace_machine_stats *stats);

/*
 * The whole-state checker: recomputes every counter, index, reverse map and reference count and
 * compares. 0, or -EUCLEAN with what is wrong in `why`. No other thread may be in the machine.
 */
ASPACE_API int aspace_machine_check(struct aspace_machine *machine, char *why, size_t size);

/* ---- files -------------------------------------------------------------------------------- */

/*
 * What a mapping of a file reads its pages from and writes them to. read fills up to n bytes at
 * offset and returns how many (0 at the end) or a negative errno; write returns n or a negative
 * errno. A mapping without these is shared memory: its pages are its only contents (memfd, shmem).
 */
struct aspace_mapping_ops {
	size_t size;
	int64_t (*read)(void *priv, uint64_t offset, void *buffer, size_t n);
	int64_t (*write)(void *priv, uint64_t offset, const void *buffer, size_t n);
	void (*release)(void *priv);	/* the mapping is gone; NULL: nothing to do */
};

struct aspace_mapping_options {
	size_t size;
	const struct aspace_mapping_ops *ops;	/* NULL: shared memory */
	void *priv;
	uint64_t bytes;			/* the file's length now */
	uint32_t dev_major, dev_minor;	/* shown in maps */
	uint64_t ino;
	bool noexec;			/* on a file system mounted noexec: PROT_EXEC is EPERM */
	bool sealable;			/* memfd_create(MFD_ALLOW_SEALING) */
	bool no_huge_align;		/* a file system that doesn't align large mappings for huge pages */
};
ASPACE_API int aspace_mapping_create(struct aspace_machine *machine,
				     const struct aspace_mapping_options *options,
				     struct aspace_mapping **mapping);
ASPACE_API struct aspace_mapping *aspace_mapping_get(struct aspace_mapping *mapping);
/* The last reference writes back what is dirty, frees the pages and calls release. */
ASPACE_API void aspace_mapping_put(struct aspace_mapping *mapping);
ASPACE_API uint64_t aspace_mapping_bytes(struct aspace_mapping *mapping);
ASPACE_API uint64_t aspace_mapping_pages(struct aspace_mapping *mapping);	/* cached */
ASPACE_API uint64_t aspace_mapping_dirty_pages(struct aspace_mapping *mapping);
ASPACE_API void *aspace_mapping_priv(struct aspace_mapping *mapping);
/* The file has this length now: what lies beyond is unmapped, dropped, and SIGBUS from here on. */
ASPACE_API int aspace_mapping_truncate(struct aspace_mapping *mapping, uint64_t bytes);
/* [offset, offset + n) reads as zeroes from now on; pages that lie wholly inside are dropped. */
ASPACE_API int aspace_mapping_punch_hole(struct aspace_mapping *mapping, uint64_t offset, uint64_t n);
/* Writes dirty pages of [offset, offset + n) back. The first error is returned; all are tried. */
ASPACE_API int aspace_mapping_sync(struct aspace_mapping *mapping, uint64_t offset, uint64_t n);
/* Drops clean pages that are not mapped (all: also mapped ones, unmapping them): the file changed
 * behind the cache. */
ASPACE_API int aspace_mapping_invalidate(struct aspace_mapping *mapping, bool all);
/*
 * read(2) and write(2) of a mapped file, coherent with the mappings. Bytes done or errno; reading
 * stops at the end, writing extends the file. Shared memory needs them, files with cached pages too.
 */
ASPACE_API int64_t aspace_mapping_read(struct aspace_mapping *mapping, uint64_t offset, void *buffer,
				       size_t n);
ASPACE_API int64_t aspace_mapping_write(struct aspace_mapping *mapping, uint64_t offset,
					const void *buffer, size_t n);
ASPACE_API int aspace_mapping_add_seals(struct aspace_mapping *mapping, unsigned seals);
ASPACE_API int aspace_mapping_get_seals(struct aspace_mapping *mapping);	/* -EINVAL: not sealable */

/* What a driver does for the areas that map its file: a file opened with these is a device. */
struct aspace_vm_ops {
	size_t size;
	/* The area is about to be mapped. May change *flags (VM_IO, VM_PFNMAP, VM_DONTEXPAND, ...). */
	int (*mmap)(void *file_priv, struct aspace_vma *vma, uint64_t *flags);
	void (*open)(void *file_priv, struct aspace_vma *vma);	/* a copy of the area exists now */
	void (*close)(void *file_priv, struct aspace_vma *vma);	/* the area is gone */
	/* The frame (guest physical address) behind offset; or errno: SIGBUS. VM_PFNMAP areas. */
	int (*fault)(void *file_priv, struct aspace_vma *vma, uint64_t offset, uint64_t *phys);
	int (*page_mkwrite)(void *file_priv, struct aspace_vma *vma, uint64_t offset);
	int (*may_split)(void *file_priv, struct aspace_vma *vma, uint64_t address);
	int (*mremap)(void *file_priv, struct aspace_vma *vma);
	/* ptrace and /proc/PID/mem access to frames that are not RAM: bytes done or errno. */
	int64_t (*access)(void *file_priv, struct aspace_vma *vma, uint64_t offset, void *buffer,
			  size_t n, bool write);
};

struct aspace_file_options {
	size_t size;
	bool readable, writable;	/* how it was opened */
	const char *path;		/* as maps shows it; copied */
	const struct aspace_vm_ops *vm_ops;	/* NULL: an ordinary file */
	void *priv;			/* for vm_ops, path_of and release */
	/* The name now, if it may change: writes it to buffer; 0 or errno (path is used then). */
	int (*path_of)(void *priv, char *buffer, size_t n);
	void (*release)(void *priv);	/* the last reference is gone */
	bool anonymous_shared;		/* the file behind MAP_SHARED|MAP_ANONYMOUS: internal */
};
/* Takes a reference of its own on mapping. */
ASPACE_API int aspace_file_open(struct aspace_mapping *mapping,
				const struct aspace_file_options *options,
				struct aspace_file **file);
ASPACE_API struct aspace_file *aspace_file_get(struct aspace_file *file);
ASPACE_API void aspace_file_put(struct aspace_file *file);
ASPACE_API struct aspace_mapping *aspace_file_mapping(struct aspace_file *file);
ASPACE_API void *aspace_file_priv(struct aspace_file *file);

/* Frames for a driver's own use: 2^order contiguous, zeroed. */
ASPACE_API int aspace_frames_alloc(struct aspace_machine *machine, unsigned order, uint64_t *phys);
ASPACE_API void aspace_frames_free(struct aspace_machine *machine, uint64_t phys, unsigned order);

/* ---- address spaces ------------------------------------------------------------------------ */

/* Segment boundaries and placement; what execve(2) and prctl(PR_SET_MM) set. Bytes. */
struct aspace_layout {
	size_t size;
	uint64_t task_size;		/* user addresses are below; default 0x7ffffffff000 */
	uint64_t mmap_base;		/* top-down placement starts here */
	uint64_t mmap_legacy_base;	/* bottom-up placement starts here */
	bool legacy;			/* bottom-up */
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
};

/*
 * mmap_base and mmap_legacy_base as the kernel picks them for a stack limit (bytes, UINT64_MAX:
 * unlimited), personality bits and random offset in pages (0: none).
 */
ASPACE_API void aspace_layout_pick(struct aspace_layout *layout, uint64_t rlimit_stack,
				   unsigned personality, uint64_t random_pages);

/* A new, empty address space with the default layout and no limits. */
ASPACE_API int aspace_mm_create(struct aspace_machine *machine, struct aspace_mm **mm);
/* fork(2): dup_mmap. The child has the same areas (but for DONTCOPY ones), pages copied on write. */
ASPACE_API int aspace_mm_fork(struct aspace_mm *mm, struct aspace_mm **child);
/* mm_users: who runs in it. The last put unmaps everything (exit_mmap). */
ASPACE_API struct aspace_mm *aspace_mm_get(struct aspace_mm *mm);
ASPACE_API bool aspace_mm_get_not_zero(struct aspace_mm *mm);
ASPACE_API void aspace_mm_put(struct aspace_mm *mm);
/* mm_count: who only needs the descriptor (a lazy borrower of its tables). */
ASPACE_API void aspace_mm_grab(struct aspace_mm *mm);
ASPACE_API void aspace_mm_drop(struct aspace_mm *mm);
ASPACE_API struct aspace_machine *aspace_mm_machine(struct aspace_mm *mm);
ASPACE_API uint64_t aspace_mm_root(struct aspace_mm *mm);	/* guest physical; for CR3 */

ASPACE_API void aspace_mm_layout(struct aspace_mm *mm, struct aspace_layout *layout);
ASPACE_API int aspace_mm_set_layout(struct aspace_mm *mm, const struct aspace_layout *layout);
ASPACE_API void aspace_mm_set_rlimit(struct aspace_mm *mm, enum aspace_rlimit which, uint64_t bytes);
ASPACE_API void aspace_mm_set_personality(struct aspace_mm *mm, unsigned personality);
ASPACE_API void aspace_mm_set_privileged(struct aspace_mm *mm, bool cap_ipc_lock, bool cap_sys_rawio);
ASPACE_API int aspace_mm_set_mdwe(struct aspace_mm *mm, unsigned bits);
ASPACE_API void aspace_mm_set_thp_disable(struct aspace_mm *mm, bool disable);
/* exe_file, kept for /proc/PID/exe and PR_SET_MM_EXE_FILE; takes a reference. */
ASPACE_API void aspace_mm_set_exe_file(struct aspace_mm *mm, struct aspace_file *file);
ASPACE_API struct aspace_file *aspace_mm_exe_file(struct aspace_mm *mm);	/* a reference or NULL */
ASPACE_API int aspace_mm_set_auxv(struct aspace_mm *mm, const void *auxv, size_t bytes);
ASPACE_API size_t aspace_mm_auxv(struct aspace_mm *mm, void *auxv, size_t bytes);

/* The mm system calls; see the manual page of the same name. mm is the caller's. */
ASPACE_API int64_t aspace_mmap(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned prot,
			       unsigned flags, struct aspace_file *file, uint64_t offset);
ASPACE_API int aspace_munmap(struct aspace_mm *mm, uint64_t addr, uint64_t length);
ASPACE_API int64_t aspace_brk(struct aspace_mm *mm, uint64_t brk);	/* the break afterwards */
ASPACE_API int aspace_mprotect(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned prot);
ASPACE_API int aspace_pkey_mprotect(struct aspace_mm *mm, uint64_t addr, uint64_t length,
				    unsigned prot, int pkey);
ASPACE_API int aspace_pkey_alloc(struct aspace_mm *mm);	/* a key; the caller sets PKRU */
ASPACE_API int aspace_pkey_free(struct aspace_mm *mm, int pkey);
ASPACE_API int64_t aspace_mremap(struct aspace_mm *mm, uint64_t addr, uint64_t old_length,
				 uint64_t new_length, unsigned flags, uint64_t new_addr);
ASPACE_API int aspace_madvise(struct aspace_mm *mm, uint64_t addr, uint64_t length, int advice);
/*
 * process_madvise(2): piece by piece, the bytes of those that were done, or why the first wasn't. foreign:
 * somebody else's mm, which only advice that changes nothing readable is for.
 */
struct aspace_piece {
	uint64_t addr, length;	/* as struct iovec */
};
ASPACE_API int64_t aspace_process_madvise(struct aspace_mm *mm, const struct aspace_piece *pieces, size_t n,
					  int advice, bool foreign);
ASPACE_API int aspace_mlock(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned flags);
ASPACE_API int aspace_munlock(struct aspace_mm *mm, uint64_t addr, uint64_t length);
ASPACE_API int aspace_mlockall(struct aspace_mm *mm, unsigned flags);
ASPACE_API int aspace_munlockall(struct aspace_mm *mm);
ASPACE_API int aspace_msync(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned flags);
/* vector: one byte a page, bit 0: resident. */
ASPACE_API int aspace_mincore(struct aspace_mm *mm, uint64_t addr, uint64_t length,
			      unsigned char *vector);
ASPACE_API int aspace_remap_file_pages(struct aspace_mm *mm, uint64_t addr, uint64_t length,
				       unsigned prot, uint64_t pgoff, unsigned flags);
ASPACE_API int aspace_mseal(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned flags);
/* prctl(PR_SET_VMA_ANON_NAME); name NULL takes it away. -EINVAL: a character that may not stand in it */
ASPACE_API int aspace_set_anon_name(struct aspace_mm *mm, uint64_t addr, uint64_t length,
				    const char *name);

/*
 * execve(2)'s stack: an area of one page that ends at top and grows down, with these additional
 * VM flags; the caller grows and fills it by aspace_copy_to_user. -errno.
 */
ASPACE_API int aspace_setup_stack(struct aspace_mm *mm, uint64_t top, uint64_t bytes, bool exec);

/* ---- faults, translation, copying ----------------------------------------------------------- */

enum aspace_access {
	ASPACE_READ = 1,
	ASPACE_WRITE = 2,
	ASPACE_EXEC = 4,
	ASPACE_REMOTE = 8,	/* on behalf of another process: no protection keys */
	ASPACE_FORCE = 16,	/* ptrace: readable and (privately) writable whatever prot says */
};

struct aspace_fault {		/* how a fault ended */
	size_t size;
	int signal;		/* 0: resolved; else ASPACE_SIGSEGV, ASPACE_SIGBUS */
	int code;		/* si_code */
	uint64_t addr;		/* si_addr */
	int pkey;		/* of SEGV_PKUERR */
	bool major;		/* a file was read */
	const char *kind;	/* "anon", "zero", "file", "cow", "reuse", "dirty", "stack", ... */
};
/*
 * handle_mm_fault: makes `access` (one of READ, WRITE, EXEC) at addr possible. 0; -EFAULT: the
 * signal in *fault (may be NULL); -ENOMEM: no frame is left.
 * pkru: the thread's protection key register, 0 allows everything.
 * Areas only: the decision alone, and the stack grows; pages are the embedder's.
 */
ASPACE_API int aspace_fault(struct aspace_mm *mm, uint64_t addr, unsigned access, uint32_t pkru,
			    struct aspace_fault *fault);

struct aspace_translation {
	size_t size;
	uint64_t phys;		/* of addr itself */
	void *host;		/* the same byte in aspace_machine_ram */
	unsigned page_shift;	/* 12, 21, 30: the leaf that maps it */
	unsigned access;	/* what the leaf allows, READ|WRITE|EXEC: no WRITE until it is dirty */
};
/*
 * What the hardware would do: walks the page tables, checks `access`, sets accessed and dirty bits.
 * 0, or -EFAULT where the hardware would fault (then call aspace_fault and translate again).
 */
ASPACE_API int aspace_translate(struct aspace_mm *mm, uint64_t addr, unsigned access,
				struct aspace_translation *translation);

/* Bytes that could NOT be copied (0: all), as in Linux. Pages are faulted in. */
ASPACE_API size_t aspace_copy_from_user(struct aspace_mm *mm, void *to, uint64_t from, size_t n);
ASPACE_API size_t aspace_copy_to_user(struct aspace_mm *mm, uint64_t to, const void *from, size_t n);
ASPACE_API size_t aspace_clear_user(struct aspace_mm *mm, uint64_t to, size_t n);
/* The length without the NUL; n if there is none within n bytes; -EFAULT. */
ASPACE_API int64_t aspace_strncpy_from_user(struct aspace_mm *mm, char *to, uint64_t from, size_t n);
/* access_process_vm, /proc/PID/mem: bytes copied, flags: ASPACE_WRITE, ASPACE_FORCE. */
ASPACE_API int64_t aspace_access_remote(struct aspace_mm *mm, uint64_t addr, void *buffer, size_t n,
					unsigned flags);
/* Atomic on a 32-bit word (aligned, else -EINVAL): futexes. 0 or -EFAULT; *old is what was there. */
ASPACE_API int aspace_user_load32(struct aspace_mm *mm, uint64_t addr, uint32_t *value);
ASPACE_API int aspace_user_cmpxchg32(struct aspace_mm *mm, uint64_t addr, uint32_t expected,
				     uint32_t desired, uint32_t *old);
/* What identifies a futex: shared words by mapping and offset, others by mm and address. */
struct aspace_futex_key {
	const void *object;
	uint64_t offset;
};
ASPACE_API int aspace_futex_key(struct aspace_mm *mm, uint64_t addr, bool process_private,
				struct aspace_futex_key *key);

/* ---- looking ---------------------------------------------------------------------------------- */

struct aspace_area {
	size_t size;
	uint64_t start, end;
	uint64_t flags;		/* ASPACE_VM_* */
	uint64_t offset;	/* of start in the file, bytes; what maps shows */
	struct aspace_file *file;	/* NULL: anonymous; valid while mapped */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	char name[256];		/* as maps shows it, shortened to fit: path, [heap], [anon:..] */
	bool has_anon;		/* it has or had private pages: anon_vma exists */
};
/* find_vma: the first area that ends above addr. 0 or -ENOENT. Continue at area->end. */
ASPACE_API int aspace_find_area(struct aspace_mm *mm, uint64_t addr, struct aspace_area *area);

struct aspace_pte {		/* one leaf of the page tables */
	size_t size;
	uint64_t addr;
	uint64_t phys;
	unsigned page_shift;
	unsigned access;	/* READ|WRITE|EXEC */
	bool accessed, dirty, zero_page, anon;
};
/* Calls back for each present leaf in [start, end), in order; stops when it returns non-zero, and returns that. */
ASPACE_API int aspace_walk(struct aspace_mm *mm, uint64_t start, uint64_t end,
			   int (*leaf)(void *priv, const struct aspace_pte *pte), void *priv);

struct aspace_mm_stats {
	size_t size;
	uint64_t map_count;	/* areas */
	uint64_t total_vm, locked_vm, pinned_vm, data_vm, exec_vm, stack_vm;	/* pages */
	uint64_t hiwater_vm, hiwater_rss;
	uint64_t rss_file, rss_anon, rss_shmem, swap_entries;	/* pages */
	uint64_t page_tables[5];	/* table pages by level: 0 holds leaves of 4 KiB */
	uint64_t largest_gap, largest_gap_start;	/* bytes */
	uint64_t mm_users, mm_count;
	uint64_t minor_faults, major_faults;
};
ASPACE_API void aspace_mm_stats(struct aspace_mm *mm, struct aspace_mm_stats *stats);

/*
 * The files of /proc/PID, to the byte as the kernel writes them. emit is called with pieces of
 * text; a negative return ends the listing and is returned.
 */
typedef int (*aspace_emit)(void *priv, const char *text, size_t n);
ASPACE_API int aspace_print_maps(struct aspace_mm *mm, aspace_emit emit, void *priv);
ASPACE_API int aspace_print_smaps(struct aspace_mm *mm, aspace_emit emit, void *priv);
ASPACE_API int aspace_print_smaps_rollup(struct aspace_mm *mm, aspace_emit emit, void *priv);
ASPACE_API int aspace_print_numa_maps(struct aspace_mm *mm, aspace_emit emit, void *priv);
/*
 * The record of one area in such a listing: of the first that ends above *addr, which becomes its end.
 * 1, or 0: there is none. As read(2) of the file goes from record to record: what changes in between is
 * seen. -EINVAL: no such listing; or what emit said.
 */
enum aspace_listing { ASPACE_MAPS, ASPACE_SMAPS, ASPACE_NUMA_MAPS };
ASPACE_API int aspace_print_area(struct aspace_mm *mm, enum aspace_listing listing, uint64_t *addr,
				 aspace_emit emit, void *priv);
ASPACE_API int aspace_print_statm(struct aspace_mm *mm, aspace_emit emit, void *priv);
ASPACE_API int aspace_print_status(struct aspace_mm *mm, aspace_emit emit, void *priv);	/* Vm* lines */
/* Entries of pagemap, one for each page from addr on. Entries written or errno. */
ASPACE_API int64_t aspace_pagemap_read(struct aspace_mm *mm, uint64_t addr, uint64_t *entries,
				       size_t n);
/* What PAGEMAP_SCAN says of a page: linux/fs.h's numbers. */
#define ASPACE_PAGE_IS_WRITTEN	(1ull << 1)	/* every page that is not write-protected by userfaultfd */
#define ASPACE_PAGE_IS_FILE	(1ull << 2)
#define ASPACE_PAGE_IS_PRESENT	(1ull << 3)
#define ASPACE_PAGE_IS_SWAPPED	(1ull << 4)
#define ASPACE_PAGE_IS_PFNZERO	(1ull << 5)
#define ASPACE_PAGE_IS_HUGE	(1ull << 6)
#define ASPACE_PAGE_IS_SOFT_DIRTY (1ull << 7)
#define ASPACE_PAGE_IS_GUARD	(1ull << 8)

struct aspace_page_region {
	uint64_t start, end, categories;
};
struct aspace_pagemap_scan {
	size_t size;
	uint64_t start, end;		/* page aligned */
	uint64_t max_pages;		/* 0: no limit */
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
	struct aspace_page_region *regions;	/* NULL: only walk */
	size_t nr_regions;		/* room; neighbours with the same categories are one region */
	uint64_t walk_end;		/* result: up to here everything was looked at */
};
/* The pages of areas in [start, end) whose categories match. Regions written, or a negative errno. */
ASPACE_API int64_t aspace_pagemap_scan(struct aspace_mm *mm, struct aspace_pagemap_scan *scan);
ASPACE_API int aspace_clear_refs(struct aspace_mm *mm, int what);	/* the number written to it */

/* ---- areas only ---------------------------------------------------------------------------- */

/*
 * A machine without RAM keeps Linux's bookkeeping and leaves pages to its embedder, who is told
 * here (after the areas changed, before the call returns). NULL members: nothing to do.
 */
struct aspace_area_ops {
	size_t size;
	void (*unmap)(void *priv, struct aspace_mm *mm, uint64_t start, uint64_t end);
	void (*map)(void *priv, struct aspace_mm *mm, const struct aspace_area *area);
	void (*protect)(void *priv, struct aspace_mm *mm, uint64_t start, uint64_t end, unsigned prot);
	int (*move)(void *priv, struct aspace_mm *mm, uint64_t from, uint64_t to, uint64_t length);
	void (*discard)(void *priv, struct aspace_mm *mm, uint64_t start, uint64_t end);
	void *priv;
};
/* Areas-only: the area at addr has private pages (a write was seen); merging depends on it. */
ASPACE_API int aspace_note_anon(struct aspace_mm *mm, uint64_t addr);
/* Adds an area as it is (attaching to a process that exists). Name as maps shows it or NULL. */
ASPACE_API int aspace_insert_area(struct aspace_mm *mm, uint64_t start, uint64_t end, uint64_t flags,
				  struct aspace_file *file, uint64_t offset, const char *special_name);

#ifdef __cplusplus
}
#endif
#endif
