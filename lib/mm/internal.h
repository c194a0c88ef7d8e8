/* SPDX-License-Identifier: MIT */
/*
 * What the files of lib/mm offer each other. Each function says what its caller holds. Public
 * functions (aspace.h) take the locks and call these.
 */
#ifndef MM_INTERNAL_H
#define MM_INTERNAL_H

#include "mm/mm_types.h"

/* ======== areas wing ========================================================================= */

/* Don't keep areas apart, and stay with what they merge into. */
#define VM_STICKY (VM_SOFTDIRTY | VM_MAYBE_GUARD)

static inline struct vm_area_struct *vma_of(struct range_node *node)
{
	return (struct vm_area_struct *)node;	/* node is the first member */
}
static inline struct vm_area_struct *vma_next(const struct vm_area_struct *vma)
{
	return vma_of(vma->node.next);
}
static inline struct vm_area_struct *vma_prev(const struct vm_area_struct *vma)
{
	return vma_of(vma->node.prev);
}
static inline uint64_t vma_pages(const struct vm_area_struct *vma)
{
	return (vma->vm_end - vma->vm_start) >> PAGE_SHIFT;
}
/* mmap_lock for writing, as for every flag. */
static inline void vma_set_maybe_guard(struct vm_area_struct *vma)
{
	vma->vm_flags |= VM_MAYBE_GUARD;
}
/* Neither a file nor a driver behind it: private anonymous memory. */
static inline bool vma_is_anonymous(const struct vm_area_struct *vma)
{
	return !vma->vm_file && !(vma->vm_flags & VM_PFNMAP);
}
/* Its key, that the kernel gave it, is closed for reading to whoever asked for it. */
static inline bool vma_is_execute_only(const struct vm_area_struct *vma)
{
	uint64_t key = (vma->vm_flags & VM_PKEY_MASK) >> VM_PKEY_SHIFT;

	return (vma->vm_flags & (VM_READ | VM_WRITE | VM_EXEC)) == VM_EXEC && key &&
	       (int)key == vma->vm_mm->execute_only_pkey;
}
/* The page index that rmap knows the address by: file offset, or for anonymous areas a number that moves with the pages. */
static inline pgoff_t linear_page_index(const struct vm_area_struct *vma, uint64_t addr)
{
	return ((addr - vma->vm_start) >> PAGE_SHIFT) + vma->vm_pgoff;
}

/* vma.c: objects. */
struct vm_area_struct *vm_area_alloc(struct mm_struct *mm);
struct vm_area_struct *vm_area_dup(struct vm_area_struct *vma);	/* own references to file and name; no anon_vma */
void vm_area_free(struct vm_area_struct *vma);			/* drops them */
/* find_vma: the first area with vm_end > addr. mmap_lock. */
static inline struct vm_area_struct *find_vma(struct mm_struct *mm, uint64_t addr)
{
	return vma_of(range_index_find(&mm->mm_mt, addr));
}
struct vm_area_struct *find_vma_prev(struct mm_struct *mm, uint64_t addr, struct vm_area_struct **prev);
struct vm_area_struct *find_vma_intersection(struct mm_struct *mm, uint64_t start, uint64_t end);
static inline struct vm_area_struct *vma_lookup(struct mm_struct *mm, uint64_t addr)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	return vma && vma->vm_start <= addr ? vma : NULL;
}
/* Insert a new area (overlap: -ENOMEM). mmap_lock for writing. */
int insert_vm_struct(struct mm_struct *mm, struct vm_area_struct *vma);

/* mmap.c. mmap_lock for writing. */
int64_t do_mmap(struct mm_struct *mm, uint64_t addr, uint64_t len, unsigned prot, unsigned flags,
		struct aspace_file *file, pgoff_t pgoff, uint64_t *populate);
int do_munmap(struct mm_struct *mm, uint64_t start, uint64_t len);
int64_t get_unmapped_area(struct mm_struct *mm, struct aspace_file *file, uint64_t addr, uint64_t len,
			  pgoff_t pgoff, unsigned flags);
/* Stack growth: vma grows down to hold addr. mmap_lock for writing. 0, -ENOMEM, -EFAULT ... */
int expand_stack(struct vm_area_struct *vma, uint64_t addr);
void exit_mmap(struct mm_struct *mm);
/* Where exact VMA accounting is kept: total_vm and the per-kind counts; pages may be negative. */
void vm_stat_account(struct mm_struct *mm, uint64_t flags, int64_t pages);
bool may_expand_vm(struct mm_struct *mm, uint64_t flags, uint64_t pages);
/* Committed_AS: -ENOMEM when the policy refuses. */
int vm_enough_memory(struct aspace_machine *machine, uint64_t pages);
void vm_unacct_memory(struct aspace_machine *machine, uint64_t pages);
/* What an area's pages may be used for by its flags: bits of enum aspace_access. */
unsigned vm_access_of(uint64_t vm_flags);

/*
 * fork.c: a new, empty mm with the default layout, on the machine's mmlist; NULL: no memory. The
 * machine's first one is its init_mm, which machine.c makes and drops (aspace_mm_put).
 */
struct mm_struct *mm_alloc(struct aspace_machine *machine);

/* task_mmu.c: what maps shows in its last column; "" for none. */
const char *vma_name(struct vm_area_struct *vma, char *buffer, size_t n);

/* ======== translation wing ===================================================================== */

/* rmap.c. The caller holds mmap_lock for writing, unless it says otherwise. */
int anon_vma_prepare(struct vm_area_struct *vma);	/* mmap_lock for reading; 0 or -ENOMEM */
int anon_vma_clone(struct vm_area_struct *dst, struct vm_area_struct *src);	/* split, mremap */
int anon_vma_fork(struct vm_area_struct *child, struct vm_area_struct *parent);
void unlink_anon_vmas(struct vm_area_struct *vma);
/*
 * An area's bounds or pgoff change: takes it out of every interval tree it is in (i_mmap, its
 * anon_vmas) and puts it back after. Between the two the locks of those trees are held; the areas
 * given (NULL allowed) may be in the same trees.
 */
struct vma_rmap_change { struct vm_area_struct *vma[3]; struct address_space *mapping; struct anon_vma *root; };
void vma_rmap_change_begin(struct vma_rmap_change *change);
void vma_rmap_change_end(struct vma_rmap_change *change);
/* A new area with a file enters, or leaves, its file's i_mmap tree; counts i_mmap_writable. */
void vma_link_file(struct vm_area_struct *vma);
void vma_unlink_file(struct vm_area_struct *vma);
/* Calls `one` for each area and address that may map the page. Stops when it returns false. */
struct rmap_walk_control {
	bool (*one)(struct page *page, struct vm_area_struct *vma, uint64_t addr, void *arg);
	void *arg;
};
void rmap_walk(struct page *page, struct rmap_walk_control *control);
int try_to_unmap(struct page *page);		/* everywhere; 0, or -EBUSY: still mapped (locked) */
bool page_mkclean(struct page *page);		/* write-protects everywhere, flushes; was it writable anywhere? */
/* All areas of the file lose their pages of [first, last]; even_cows: private copies too. */
void unmap_mapping_range(struct address_space *mapping, pgoff_t first, pgoff_t last, bool even_cows);

/* memory.c */
/* The fault proper; mmap_lock for reading, addr inside vma, access allowed by it. */
struct fault_outcome { int signal, code; const char *kind; bool major; };
int handle_mm_fault(struct vm_area_struct *vma, uint64_t addr, unsigned access,
		    struct fault_outcome *outcome);	/* 0, -ENOMEM, -EFAULT (signal in outcome) */
void flush_tlb_range(struct mm_struct *mm, uint64_t start, uint64_t end);
/* Recompute from the tables: rss, table pages, mapcounts (checker). */
int check_translation(struct aspace_machine *machine, char *why, size_t size);
int check_areas(struct mm_struct *mm, char *why, size_t size);		/* vma.c */
int check_frames(struct aspace_machine *machine, char *why, size_t size);	/* page_alloc.c */
int check_mapping(struct address_space *mapping, char *why, size_t size);	/* filemap.c */
/* smaps' figures of one area, and pagemap's entry of one page: pagewalk. mmap_lock. */
struct mem_size_stats {		/* bytes; pss in 1/4096 bytes */
	uint64_t resident, shared_clean, shared_dirty, private_clean, private_dirty, referenced,
		anonymous, lazyfree, swap;
	uint64_t pss, pss_dirty, pss_anon, pss_file, pss_shmem, pss_locked, swap_pss;
	uint64_t anonymous_thp, shmem_thp, file_thp, ksm;
	int32_t mapcount_max;	/* of the page that most entries map; a number */
};
void smaps_gather(struct vm_area_struct *vma, struct mem_size_stats *mss);	/* adds */
uint64_t pagemap_entry(struct vm_area_struct *vma, uint64_t addr);

/* ======== frames wing ========================================================================= */

static inline pfn_t page_to_pfn(struct aspace_machine *m, const struct page *page)
{
	return (pfn_t)(page - m->mem_map);
}
static inline struct page *pfn_to_page(struct aspace_machine *m, pfn_t pfn)
{
	return &m->mem_map[pfn];
}
static inline bool pfn_valid(struct aspace_machine *m, pfn_t pfn)
{
	return pfn < m->nr_frames;
}
static inline void *page_address(struct aspace_machine *m, const struct page *page)
{
	return m->ram + ((uint64_t)(page - m->mem_map) << PAGE_SHIFT);
}

/* page_alloc.c */
#define GFP_ZERO	1u	/* filled with zeroes */
#define GFP_DMA		2u
#define GFP_DMA32	4u
#define GFP_NORECLAIM	8u	/* the caller holds locks that reclaim takes */
/* 2^order frames, refcount 1 on the first; NULL: none left, even after dropping clean cache pages, or fault injection. */
struct page *alloc_pages(struct aspace_machine *m, enum page_type type, unsigned order, unsigned gfp);
static inline struct page *alloc_page(struct aspace_machine *m, enum page_type type, unsigned gfp)
{
	return alloc_pages(m, type, 0, gfp);
}
static inline void get_page(struct page *page)
{
	atomic_fetch_add_explicit(&page->_refcount, 1, memory_order_relaxed);
}
void put_page(struct aspace_machine *m, struct page *page);	/* the last one frees it */
void free_pages_batch(struct aspace_machine *m, struct page **pages, unsigned n);	/* put_page of many; one lock */
int frames_init(struct aspace_machine *m);	/* RAM, mem_map, zones, zero page; 0 or -errno */
void frames_exit(struct aspace_machine *m);
/*
 * n frames of order 0, contiguous where a free run is at hand; how many were got. The host sees
 * contiguous frames as one buffer, so that a run of pages can be read by one call.
 */
unsigned alloc_pages_run(struct aspace_machine *m, enum page_type type, unsigned n, unsigned gfp,
			 struct page **pages);
bool frames_are_at_hand(struct aspace_machine *m);	/* more than the low watermark asks for */
uint64_t nr_frames_of(struct aspace_machine *m, enum page_type type);	/* a glance, not locked */
/* hw/ram.h is the host side of RAM. */

/*
 * filemap.c. filemap_get_page: the page of the file at index with a reference for the caller,
 * up to date; read from the file (with read-ahead) or, for shared memory, made. invalidate_lock for
 * reading is held. -EFAULT: beyond the end (SIGBUS); -EIO...: could not be read; -ENOMEM.
 * create: false looks only (NULL if absent).
 */
int filemap_get_page(struct address_space *mapping, pgoff_t index, bool create, struct page **page,
		     bool *major);
/* The cached pages of [first, last], each with a reference, ascending: how many (<= n). fault-around. */
unsigned filemap_get_pages(struct address_space *mapping, pgoff_t first, pgoff_t last,
			   struct page **pages, unsigned n);
/*
 * Before an entry of a shared area becomes writable. page_ptl is held from here until the entry is
 * set: write-back clears the mark first and then, under page_ptl, the entry's write permission.
 */
void filemap_dirty_page(struct page *page);
/* Read-ahead for MADV_WILLNEED. */
int filemap_read_ahead(struct address_space *mapping, pgoff_t first, pgoff_t last);
/* MADV_PAGEOUT, reclaim: drops the page if it is clean and nobody maps it. */
bool filemap_try_drop(struct page *page);
/* Drop up to n cold clean unmapped cache pages; how many. Takes only leaf locks. */
unsigned shrink_page_cache(struct aspace_machine *m, unsigned n);
/*
 * A fault found no frame: file pages are written back, unmapped and dropped, coldest first. True: try
 * again. Nothing below mmap_lock is held (and that at most for reading).
 */
bool reclaim_pages(struct aspace_machine *m);
/* shmem.c: the file behind MAP_SHARED | MAP_ANONYMOUS; charges Committed_AS unless noreserve. */
int shmem_zero_setup(struct aspace_machine *m, uint64_t bytes, bool noreserve, struct aspace_file **file);

/* machine.c: the port, with its defaults. */
void port_flush(struct mm_struct *mm, uint64_t start, uint64_t end);
void port_code_changed(struct aspace_machine *m, struct page *page);

#endif
