/* SPDX-License-Identifier: MIT */
/*
 * The objects of the address space, under the kernel's names. The public header knows some of them
 * as opaque structs; here they get the names that a kernel reader looks for.
 *
 * Three wings, and the way of the data through them:
 *
 *	areas        vma.c mmap.c mprotect.c mremap.c madvise.c mlock.c fork.c   what is mapped
 *	   | struct translation_ops: all that areas ask of pages
 *	translation  pagetable.c memory.c rmap.c uaccess.c                       where it is
 *	   | alloc_page, filemap_get_page
 *	frames       page_alloc.c filemap.c truncate.c shmem.c                   what holds it
 *
 * Locks, in the order in which they are taken (docs/locking.md):
 *
 *	mm->mmap_lock            areas: write to change the set or an area; read to fault or look
 *	  mapping->i_rwsem           write: who changes the file (write, truncate, punch, write-back)
 *	  mapping->invalidate_lock   read: a fault from looking the page up until it is mapped, and
 *	                             copying or moving a file area's tables; write: truncate, punch
 *	    mapping->i_mmap_rwsem    the areas that map the file
 *	      anon_vma->root->rwsem  the areas that may hold an anonymous page
 *	        mm->page_table_lock  upper levels of the tables, vma->anon_vma's first setting
 *	          page_ptl(table)    the entries of one lowest-level table
 *	            mapping->i_pages_lock   the cache's index and its dirty marks
 *	              machine->lru_lock     the order in which file pages are reclaimed
 *	                zone->lock, pcp->lock, kmem_cache locks, machine->mmlist_lock    leaves
 *
 *	Reads and writes of a mapping's file (ops->read, ops->write) are done with no lock that a fault
 *	needs exclusively: at most i_rwsem, and invalidate_lock for reading.
 */
#ifndef MM_TYPES_H
#define MM_TYPES_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <aspace/aspace.h>

#include "base/bug.h"
#include "base/interval_tree.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/range_index.h"
#include "base/slab.h"
#include "base/util.h"
#include "base/xarray.h"
#include "mm/uapi.h"

#define mm_struct	aspace_mm
#define vm_area_struct	aspace_vma
#define address_space	aspace_mapping

#define PAGE_SHIFT	12
#define PAGE_SIZE	4096ull
#define PAGE_MASK	(~(PAGE_SIZE - 1))
#define PAGE_ALIGN(x)	(((x) + PAGE_SIZE - 1) & PAGE_MASK)
#define offset_in_page(x) ((x) & ~PAGE_MASK)

typedef uint64_t pfn_t;		/* page frame number */
typedef uint64_t pgoff_t;	/* offset in pages */
typedef uint64_t pte_t;		/* an entry of any level, in the hardware's format */

/* ---- frames -------------------------------------------------------------------------------- */

enum page_type {		/* who has the frame; the frames' figures by use come from it */
	PAGE_FREE,		/* in the buddy lists */
	PAGE_RESERVED,		/* never handed out */
	PAGE_ANON,
	PAGE_FILE,		/* page cache of a file */
	PAGE_SHMEM,		/* page cache of shared memory */
	PAGE_TABLE,
	PAGE_ZERO,		/* the shared zero page */
	PAGE_DRIVER,		/* aspace_frames_alloc */
};

/* page->flags */
#define PG_uptodate	(1u << 0)
#define PG_referenced	(1u << 1)
#define PG_dirty	(1u << 2)	/* file: written to since it was last written back */
#define PG_lazyfree	(1u << 3)	/* MADV_FREE: may be dropped until it is written again */
#define PG_exec		(1u << 4)	/* was mapped executable: port.code_changed when it is freed or rewritten */
#define PG_used		(1u << 5)	/* was handed out before; without it a frame holds zeroes */
#define PG_buddy	(1u << 6)	/* heads a free block of 2^order */
#define PG_active	(1u << 7)

/* One for each frame; at most 64 bytes. */
struct page {
	_Atomic uint32_t flags;
	uint8_t type;		/* enum page_type; changes only between free and allocated */
	uint8_t order;		/* PG_buddy, PAGE_DRIVER */
	uint8_t level;		/* PAGE_TABLE: 0 holds leaves of 4 KiB */
	uint8_t zone;
	_Atomic int32_t _refcount;	/* 0: free; each mapping entry, the cache and each user hold one */
	_Atomic int32_t _mapcount;	/* entries of page tables that map it */
	union {
		struct {	/* PAGE_ANON, PAGE_FILE, PAGE_SHMEM; never changes while mapped */
			union {
				struct address_space *mapping;
				struct anon_vma *anon_vma;
			};
			pgoff_t index;	/* in the file; anonymous: linear_page_index in its areas */
		};
		struct {	/* PAGE_TABLE */
			spinlock_t ptl;		/* level 0: guards the entries */
			_Atomic uint32_t nr_entries;	/* entries that are not none */
			struct mm_struct *pt_mm;
		};
	};
	struct list_head lru;	/* PG_buddy: free list; file pages: the machine's LRU */
	uint64_t private;
};
_Static_assert(sizeof(struct page) <= 64, "a page descriptor is at most 64 bytes");

#define MAX_ORDER 10
enum zone_type { ZONE_DMA, ZONE_DMA32, ZONE_NORMAL, MAX_NR_ZONES };

struct zone {
	spinlock_t lock;
	pfn_t start, end;
	uint64_t managed, free;
	uint64_t watermark[3];	/* min, low, high */
	struct { struct list_head list; uint64_t nr; } free_area[MAX_ORDER + 1];
};

/*
 * Order-0 frames are handed out from and come back to one of these lists, picked by the thread, so
 * that threads rarely meet on a lock. The counts by type are sums over all of them: a frame may be
 * freed on another list than it came from.
 */
#define NR_PCP 8
struct page_pcp {
	_Alignas(64) spinlock_t lock;
	unsigned count;
	pfn_t head;			/* linked by page->private; 0: empty (frame 0 is reserved) */
	int64_t nr_by_type[PAGE_DRIVER + 1];
};

/* ---- files ---------------------------------------------------------------------------------- */

/* The contents of one file: its pages by index, and the areas that map it. */
struct address_space {
	struct aspace_machine *machine;
	struct list_head link;		/* machine->mappings */
	atomic_int refs;
	const struct aspace_mapping_ops *ops;	/* NULL: shared memory */
	void *priv;
	_Atomic uint64_t i_size;
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	bool noexec, sealable, no_huge_align;
	atomic_uint seals;
	atomic_int i_mmap_writable;	/* shared, may-write areas; < 0: sealed against them */
	struct rw_semaphore i_rwsem;	/* writing: who changes the file's bytes or length */
	struct rw_semaphore invalidate_lock;
	struct rw_semaphore i_mmap_rwsem;
	struct rb_root i_mmap;		/* interval tree of vma->shared, by pgoff */
	spinlock_t i_pages_lock;
	struct xarray i_pages;		/* index -> struct page; XA_MARK_0: dirty */
	uint64_t nrpages, nrdirty;	/* i_pages_lock */
	uint64_t write_seq;		/* i_pages_lock; the file was written to: what is being read may be old */
	uint64_t shmem_charge;		/* pages charged to Committed_AS; i_pages_lock */
	bool charge_pages;		/* shared memory that is charged page by page as it is made */
	atomic_int wb_err;		/* last write-back error, not yet reported */
};
#define PAGECACHE_TAG_DIRTY XA_MARK_0

struct aspace_file {
	atomic_int refs;
	struct address_space *f_mapping;
	bool f_read, f_write;
	char *f_path;
	const struct aspace_vm_ops *vm_ops;
	void *priv;
	int (*path_of)(void *priv, char *buffer, size_t n);
	void (*release)(void *priv);
	bool anonymous_shared;		/* behind MAP_SHARED | MAP_ANONYMOUS: "/dev/zero (deleted)" */
};

/* ---- areas ---------------------------------------------------------------------------------- */

struct anon_vma_name {		/* prctl(PR_SET_VMA_ANON_NAME) */
	atomic_int refs;
	char name[80];
};

struct vm_area_struct {
	union {
		struct range_node node;		/* must be first; the index's */
		struct {
			unsigned long vm_start;	/* bytes, page aligned */
			unsigned long vm_end;	/* first byte after */
		};
	};
	struct mm_struct *vm_mm;	/* never changes */
	uint64_t vm_flags;		/* VM_*; mmap_lock for writing */
	pgoff_t vm_pgoff;		/* file: offset of vm_start; anonymous: see linear_page_index */
	struct aspace_file *vm_file;	/* a reference, or NULL */
	struct anon_vma *anon_vma;	/* set once, under page_table_lock, by the first private page */
	struct list_head anon_vma_chain;	/* of anon_vma_chain.same_vma; mmap_lock write, or page_table_lock */
	struct interval_tree_node shared;	/* in i_mmap; i_mmap_rwsem */
	struct anon_vma_name *anon_name;	/* a reference or NULL */
	const char *special_name;	/* "[vdso]"...: static, or NULL */
	void *vm_private_data;
};

/*
 * Reverse mapping of anonymous pages. A page points to the anon_vma of the area that it was first
 * faulted in through; every area that may hold a copy of its entry (after fork, split, mremap) is
 * linked to that anon_vma by an anon_vma_chain:
 *
 *	page -> anon_vma -- rb_root --> avc --> vma (this process)
 *	                            --> avc --> vma (child) ...
 *	vma.anon_vma_chain --> avc --> anon_vma (its own), anon_vma (its parent's), ...
 */
struct anon_vma {
	struct anon_vma *root;		/* whose lock is taken for the whole tree of them */
	struct rw_semaphore rwsem;	/* root's only */
	atomic_int refcount;
	unsigned num_children, num_active_vmas;
	struct anon_vma *parent;
	struct rb_root rb_root;		/* interval tree of avc by vma's page index */
};
struct anon_vma_chain {
	struct vm_area_struct *vma;
	struct anon_vma *anon_vma;
	struct list_head same_vma;
	struct interval_tree_node rb;
};

enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES, NR_MM_COUNTERS };

struct mm_struct {
	struct aspace_machine *machine;	/* never changes */
	struct list_head mmlist;	/* machine->mmlist, init_mm first; mmlist_lock */
	atomic_int mm_users;		/* who runs in it; 0: exit_mmap was called */
	atomic_int mm_count;		/* all users together one, lazy borrowers one each */

	struct rw_semaphore mmap_lock;	/* guards all from here to `locks end` */
	struct range_index mm_mt;	/* the areas */
	uint64_t task_size, mmap_base, mmap_legacy_base;
	bool mmap_legacy;
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t total_vm, locked_vm, data_vm, exec_vm, stack_vm;	/* pages; see vm_stat_account */
	_Atomic uint64_t pinned_vm;
	uint64_t def_flags;		/* VM_LOCKED, VM_LOCKONFAULT: mlockall(MCL_FUTURE) */
	uint64_t rlim[16];		/* bytes; UINT64_MAX: none */
	unsigned personality, mdwe;
	bool cap_ipc_lock, cap_sys_rawio, thp_disable;
	uint16_t pkey_map;		/* keys in use; bit 0 always */
	int execute_only_pkey;
	uint64_t hiwater_vm;
	/* What Linux counts as locked and isn't, after MREMAP_DONTUNMAP of a locked area; in locked_vm. */
	uint64_t locked_vm_drift;
	/* Areas with files, unmapped under this hold of mmap_lock; freed when it is dropped. */
	struct vm_area_struct *retired;
	uint8_t saved_auxv[512];
	size_t auxv_bytes;
	struct aspace_file *exe_file;
	/* locks end */

	spinlock_t page_table_lock;
	uint64_t pgd;			/* guest physical address of the root table */
	atomic_long rss_stat[NR_MM_COUNTERS];	/* pages */
	atomic_long pgtables[5];	/* table pages by level */
	_Atomic uint64_t hiwater_rss, min_flt, maj_flt;
};

/* ---- the machine ----------------------------------------------------------------------------- */

struct pt_format;		/* arch/pgtable.h */

struct translation_ops {
	int (*mm_init)(struct mm_struct *mm);		/* the root table; 0 or -ENOMEM */
	void (*mm_exit)(struct mm_struct *mm);		/* after everything is unmapped */
	/*
	 * The areas first..last (a run linked by node.next, already out of the index) lose their
	 * pages, their places in the reverse maps, and the tables between floor and ceiling (ends of
	 * the neighbours that stay, 0 and UINT64_MAX if none) that nothing else needs.
	 */
	void (*unmap)(struct mm_struct *mm, struct vm_area_struct *first,
		      struct vm_area_struct *last, uint64_t floor, uint64_t ceiling);
	void (*zap)(struct vm_area_struct *vma, uint64_t start, uint64_t end);
	/* vma's flags are the new ones; entries of [start, end) follow. */
	void (*protect)(struct vm_area_struct *vma, uint64_t start, uint64_t end);
	/* Entries move from one area to another; returns bytes moved, less than length: no memory. */
	uint64_t (*move)(struct vm_area_struct *from_vma, uint64_t from,
			 struct vm_area_struct *to_vma, uint64_t to, uint64_t length);
	int (*copy)(struct vm_area_struct *dst, struct vm_area_struct *src);	/* fork; 0 or -ENOMEM */
	/* The advices that touch pages; 0 or -errno. mmap_lock: reading; for guards, writing. */
	int (*advise)(struct vm_area_struct *vma, uint64_t start, uint64_t end, int advice);
	/* Faults pages in, as get_user_pages does for mlock and MAP_POPULATE. Called without mmap_lock. */
	int (*populate)(struct mm_struct *mm, uint64_t start, uint64_t length, bool ignore_errors);
	/* One byte a page for [start, end) of vma. */
	void (*mincore)(struct vm_area_struct *vma, uint64_t start, uint64_t end, unsigned char *vec);
};
extern const struct translation_ops page_translation_ops;	/* memory.c */
extern const struct translation_ops callback_translation_ops;	/* areas_only.c */

struct aspace_machine {
	struct aspace_machine_options options;	/* defaults filled in */
	struct aspace_port port;		/* NULL callbacks: see machine.c's helpers */
	struct aspace_area_ops area_ops;
	const struct translation_ops *tr;
	const struct pt_format *format;
	struct alloc_domain domain;

	/* RAM */
	uint8_t *ram;			/* host address of frame 0 */
	uint64_t ram_bytes;
	int memfd;
	struct page *mem_map;
	pfn_t nr_frames;
	struct zone zone[MAX_NR_ZONES];
	struct page *zero_page;
	struct page_pcp pcp[NR_PCP];
	unsigned pcp_batch, pcp_high;
	_Atomic uint8_t *block_ready;	/* a byte for each RAM_BLOCK: the host was asked to provide it */
	atomic_long fail_frame;		/* tests: the n-th alloc_pages from now on fails; 0: none */

	struct kmem_cache *mm_cachep, *vm_area_cachep, *anon_vma_cachep, *anon_vma_chain_cachep,
		*file_cachep, *mapping_cachep, *anon_name_cachep, *xa_node_cachep, *range_node_cachep;

	spinlock_t mmlist_lock;
	struct list_head mmlist;	/* of mm_struct.mmlist; the first is init_mm */
	struct mm_struct *init_mm;	/* the reference; has no user areas */
	spinlock_t mappings_lock;
	struct list_head mappings;
	atomic_long nr_mms, nr_areas, nr_mappings, nr_files;
	atomic_long vm_committed_as;	/* pages */
	_Atomic uint64_t next_shmem_ino;
	spinlock_t lru_lock;
	struct list_head lru;		/* clean and dirty file pages, coldest first */
	struct mutex reclaim_lock;	/* one thread at a time reclaims the slow way; inside mmap_lock */

	struct {
		atomic_ulong zero_page, anon, file, cow_copy, cow_reuse, shared_dirty, spurious, stack,
			major, signal, pages_read, pages_written, flushes;
	} count;
};

#endif
