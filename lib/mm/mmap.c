/* SPDX-License-Identifier: MIT */
/*
 * mmap, munmap, brk, and the limits that all changes of the address space keep.
 *
 * A mapping is made in this order, and whatever fails, fails before anything is unmapped:
 *
 *	do_mmap		what is asked for: flags, place (layout.c), permissions of the file
 *	map_prepare	what is in the way is cut out of its areas; limits; Committed_AS
 *	map_area	joins a neighbour, or has its own area allocated
 *	commit		what was in the way goes; the area appears
 *
 * Two traces of a failure stay, as in Linux: the areas that were in the way may have been split, and
 * they are gone if it was the file (or the charge for shared memory) that refused.
 */
#include "mm/vma.h"

/* ---- limits ------------------------------------------------------------------------------------- */

static bool is_exec_mapping(uint64_t flags)
{
	return (flags & (VM_EXEC | VM_WRITE | VM_STACK)) == VM_EXEC;
}

static bool is_data_mapping(uint64_t flags)
{
	return (flags & (VM_WRITE | VM_SHARED | VM_STACK)) == VM_WRITE;
}

void vm_stat_account(struct mm_struct *mm, uint64_t flags, int64_t pages)
{
	mm->total_vm += pages;
	if (is_exec_mapping(flags))
		mm->exec_vm += pages;
	else if (flags & VM_STACK)
		mm->stack_vm += pages;
	else if (is_data_mapping(flags))
		mm->data_vm += pages;
}

bool may_expand_vm(struct mm_struct *mm, uint64_t flags, uint64_t pages)
{
	if (mm->total_vm + pages > rlimit_pages(mm, ASPACE_RLIMIT_AS))
		return false;
	/* A soft limit of 0 is Valgrind's way to see every brk fail: mmap goes on. */
	if (is_data_mapping(flags) && mm->rlim[ASPACE_RLIMIT_DATA])
		return mm->data_vm + pages <= rlimit_pages(mm, ASPACE_RLIMIT_DATA);
	return true;
}

static uint64_t commit_limit(const struct aspace_machine *m)
{
	return m->options.overcommit_pages * m->options.overcommit_ratio / 100;
}

int vm_enough_memory(struct aspace_machine *m, uint64_t pages)
{
	long committed = atomic_fetch_add(&m->vm_committed_as, (long)pages) + (long)pages;
	bool enough = true;

	if (m->options.overcommit == ASPACE_OVERCOMMIT_GUESS)
		enough = pages <= m->options.overcommit_pages;
	else if (m->options.overcommit == ASPACE_OVERCOMMIT_NEVER)
		enough = committed < (long)commit_limit(m);
	if (enough)
		return 0;
	vm_unacct_memory(m, pages);
	return -ENOMEM;
}

void vm_unacct_memory(struct aspace_machine *m, uint64_t pages)
{
	if (pages)
		atomic_fetch_sub(&m->vm_committed_as, (long)pages);
}

bool can_do_mlock(const struct mm_struct *mm)
{
	return mm->rlim[ASPACE_RLIMIT_MEMLOCK] || mm->cap_ipc_lock;
}

bool mlock_future_ok(const struct mm_struct *mm, uint64_t flags, uint64_t bytes)
{
	if (!(flags & VM_LOCKED) || mm->cap_ipc_lock)
		return true;
	return mm->locked_vm + (bytes >> PAGE_SHIFT) <= rlimit_pages(mm, ASPACE_RLIMIT_MEMLOCK);
}

/* PR_SET_MDWE: nothing becomes executable that is writable, or wasn't executable. */
bool map_deny_write_exec(const struct mm_struct *mm, uint64_t old_flags, uint64_t new_flags)
{
	if (!(mm->mdwe & MDWE_REFUSE_EXEC_GAIN) || !(new_flags & VM_EXEC))
		return false;
	return (new_flags & VM_WRITE) || !(old_flags & VM_EXEC);
}

/*
 * What an area's pages may be used for. The processor has no page that can be written or run but
 * not read; keys may take reading away again.
 */
unsigned vm_access_of(uint64_t flags)
{
	return (flags & VM_ACCESS_FLAGS ? ASPACE_READ : 0) | (flags & VM_WRITE ? ASPACE_WRITE : 0) |
	       (flags & VM_EXEC ? ASPACE_EXEC : 0);
}

/* ---- munmap --------------------------------------------------------------------------------------- */

static int unmap_range(struct mm_struct *mm, uint64_t start, uint64_t end)
{
	struct unmap_run run;
	int error = unmap_gather(mm, start, end, &run);

	if (error)
		return error;
	unmap_commit(mm, &run);
	vm_unacct_memory(mm->machine, run.accounted);
	return 0;
}

int do_munmap(struct mm_struct *mm, uint64_t start, uint64_t len)
{
	uint64_t end;

	if (offset_in_page(start) || start > mm->task_size || len > mm->task_size - start)
		return -EINVAL;
	end = start + PAGE_ALIGN(len);
	if (end == start)
		return -EINVAL;
	return unmap_range(mm, start, end);
}

int aspace_munmap(struct aspace_mm *mm, uint64_t addr, uint64_t length)
{
	int error;

	mmap_write_lock(mm);
	error = do_munmap(mm, addr, length);
	mmap_write_unlock(mm);
	return error;
}

/* ---- mmap: the area --------------------------------------------------------------------------------- */

struct map_request {
	struct mm_struct *mm;
	struct aspace_file *file;
	uint64_t start, end, flags;
	pgoff_t pgoff;
	struct place place;		/* as it was found */
	struct unmap_run old;		/* what is in the way */
	uint64_t charged;		/* pages, to Committed_AS */
};

static uint64_t map_pages(const struct map_request *map)
{
	return (map->end - map->start) >> PAGE_SHIFT;
}

static int map_prepare(struct map_request *map)
{
	struct mm_struct *mm = map->mm;
	int error = 0;

	if (map->place.free)
		unmap_nothing(mm, map->place.next, &map->old);
	else
		error = unmap_gather(mm, map->start, map->end, &map->old);
	if (error)
		return error;
	if (!may_expand_vm(mm, map->flags, map_pages(map) - map->old.pages))
		return -ENOMEM;
	if (!accountable_mapping(map->flags))
		return 0;
	/* Only the difference to what goes is asked for; what goes passes its charge on. */
	map->charged = map_pages(map) - map->old.accounted;
	if (map->charged && vm_enough_memory(mm->machine, map->charged))
		return -ENOMEM;
	map->old.accounted = 0;
	map->flags |= VM_ACCOUNT;
	return 0;
}

static void unmap_old(struct map_request *map)
{
	uint64_t accounted = map->old.accounted;

	unmap_commit(map->mm, &map->old);
	vm_unacct_memory(map->mm->machine, accounted);
}

/* The driver has its say about the area, and its flags. */
static int call_driver(struct vm_area_struct *vma)
{
	const struct aspace_vm_ops *ops = vma_ops(vma);
	uint64_t flags = vma->vm_flags;
	int error;

	if (!ops || !ops->mmap)
		return 0;
	error = ops->mmap(vma->vm_file->priv, vma, &flags);
	if (!error)
		vma->vm_flags = flags;
	return error;
}

static int give_file(struct vm_area_struct *vma, struct aspace_file *file)
{
	struct aspace_machine *m = vma->vm_mm->machine;

	if (!file && (vma->vm_flags & VM_SHARED))
		return shmem_zero_setup(m, vma->vm_end - vma->vm_start, vma->vm_flags & VM_NORESERVE,
					&vma->vm_file);
	vma->vm_file = file ? aspace_file_get(file) : NULL;
	return call_driver(vma);
}

/* An area of its own, in no index yet, room there reserved. NULL: *error. */
static struct vm_area_struct *new_area(struct map_request *map, int *error)
{
	struct vm_area_struct *vma;

	*error = -ENOMEM;
	if (range_index_reserve(&map->mm->mm_mt, 1))
		return NULL;
	vma = vm_area_alloc(map->mm);
	if (!vma)
		return NULL;
	vma->vm_start = map->start;
	vma->vm_end = map->end;
	vma->vm_flags = map->flags;
	vma->vm_pgoff = map->pgoff;
	*error = give_file(vma, map->file);
	if (!*error)
		return vma;
	/* Linux has given up what was there before it asks the file: there is a hole now. */
	if (map->flags & VM_ACCOUNT)
		map->charged = map_pages(map);	/* with what the old areas had passed on */
	unmap_old(map);
	vm_area_free(vma);
	return NULL;
}

/* Memory first, then the old areas go, then the new range appears. */
static struct vm_area_struct *map_area(struct map_request *map, int *error)
{
	const struct aspace_vm_ops *ops = map->file ? map->file->vm_ops : NULL;
	struct vma_merge merge = {
		.mm = map->mm, .prev = map->old.prev, .next = map->old.next, .start = map->start,
		.end = map->end, .flags = map->flags, .pgoff = map->pgoff, .file = map->file,
	};
	struct vm_area_struct *vma;

	if (!(ops && ops->mmap) && vma_merge_prepare(&merge)) {
		unmap_old(map);
		return vma_merge_commit(&merge);
	}
	vma = new_area(map, error);
	if (!vma)
		return NULL;
	unmap_old(map);
	vma_link(map->mm, vma);
	return vma;
}

static void account_new(struct map_request *map, struct vm_area_struct *vma)
{
	struct mm_struct *mm = map->mm;

	vm_stat_account(mm, vma->vm_flags, (int64_t)map_pages(map));
	if (!(vma->vm_flags & VM_LOCKED))
		return;
	if (vma->vm_flags & (VM_SPECIAL | VM_DROPPABLE))
		vma->vm_flags &= ~VM_LOCKED_MASK;	/* never merged, or not with unlocked ones: safe */
	else
		mm->locked_vm += map_pages(map);
}

/* A seal against writing may not be set between the check and the area's own count. */
static int map_writable_begin(struct address_space *mapping)
{
	int users = atomic_load(&mapping->i_mmap_writable);

	do {
		if (users < 0)
			return -EPERM;
	} while (!atomic_compare_exchange_weak(&mapping->i_mmap_writable, &users, users + 1));
	return 0;
}

static int64_t mmap_region(struct map_request *map)
{
	struct address_space *mapping = map->file ? map->file->f_mapping : NULL;
	bool writable = mapping && is_shared_maywrite(map->flags);
	struct vm_area_struct *vma = NULL;
	int error;

	if (map_deny_write_exec(map->mm, map->flags, map->flags))
		return -EACCES;
	if (writable && map_writable_begin(mapping))
		return -EPERM;
	error = map_prepare(map);
	if (!error) {
		vma = map_area(map, &error);
		if (!vma)
			vm_unacct_memory(map->mm->machine, map->charged);
	}
	if (writable)
		atomic_fetch_sub(&mapping->i_mmap_writable, 1);
	if (!vma)
		return error;
	account_new(map, vma);
	return (int64_t)map->start;
}

/* ---- mmap: what is asked for --------------------------------------------------------------------------- */

uint64_t calc_vm_prot_bits(unsigned prot, int pkey)
{
	return (prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) | (uint64_t)pkey << VM_PKEY_SHIFT;
}

static uint64_t calc_vm_flag_bits(unsigned flags)
{
	return (flags & MAP_GROWSDOWN ? VM_GROWSDOWN : 0) | (flags & MAP_LOCKED ? VM_LOCKED : 0) |
	       (flags & MAP_SYNC ? VM_SYNC : 0) | (flags & MAP_STACK ? VM_NOHUGEPAGE : 0);
}

/* Without a key to spare, what is only executable is readable too. */
static int mmap_pkey(struct mm_struct *mm, unsigned prot)
{
	int pkey = prot == PROT_EXEC ? execute_only_pkey(mm) : 0;

	return pkey < 0 ? 0 : pkey;
}

/* The flags that MAP_SHARED_VALIDATE lets pass. */
#define LEGACY_MAP_MASK (MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE |      \
			 MAP_EXECUTABLE | MAP_UNINITIALIZED | MAP_GROWSDOWN | MAP_LOCKED |            \
			 MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB |      \
			 MAP_32BIT | MAP_ABOVE4G | 0x3fu << 26 /* the size of huge pages */)

static int shared_file_flags(struct aspace_file *file, unsigned prot, unsigned flags, uint64_t *vm_flags)
{
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~(LEGACY_MAP_MASK | MAP_TYPE)))
		return -EOPNOTSUPP;
	if ((prot & PROT_WRITE) && !file->f_write)
		return -EACCES;
	*vm_flags |= VM_SHARED | VM_MAYSHARE;
	if (!file->f_write)
		*vm_flags &= ~(VM_MAYWRITE | VM_SHARED);
	return 0;
}

/* F_SEAL_WRITE, F_SEAL_FUTURE_WRITE: no new way to write, now or later. */
static int check_write_seal(const struct address_space *mapping, uint64_t *vm_flags)
{
	if (!(atomic_load(&mapping->seals) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return 0;
	if (!(*vm_flags & VM_SHARED))
		return 0;
	if (*vm_flags & VM_WRITE)
		return -EPERM;
	*vm_flags &= ~VM_MAYWRITE;
	return 0;
}

static bool file_mmap_ok(uint64_t len, pgoff_t pgoff)
{
	return len <= INT64_MAX && pgoff <= ((uint64_t)INT64_MAX - len) >> PAGE_SHIFT;
}

static int file_flags(struct aspace_file *file, uint64_t len, unsigned prot, unsigned flags, pgoff_t pgoff,
		      uint64_t *vm_flags)
{
	unsigned type = flags & MAP_TYPE;
	int error = 0;

	if (!file_mmap_ok(len, pgoff))
		return -EOVERFLOW;
	if (type == MAP_SHARED || type == MAP_SHARED_VALIDATE)
		error = shared_file_flags(file, prot, flags, vm_flags);
	else if (type != MAP_PRIVATE)
		error = -EINVAL;
	if (error)
		return error;
	if (!file->f_read)
		return -EACCES;
	if (file->f_mapping->noexec) {
		if (*vm_flags & VM_EXEC)
			return -EPERM;
		*vm_flags &= ~VM_MAYEXEC;
	}
	if (*vm_flags & VM_GROWSDOWN)
		return -EINVAL;
	return check_write_seal(file->f_mapping, vm_flags);
}

static int anonymous_flags(uint64_t addr, unsigned flags, pgoff_t *pgoff, uint64_t *vm_flags)
{
	*pgoff = addr >> PAGE_SHIFT;	/* so that pages of neighbours are in one order: merging */
	switch (flags & MAP_TYPE) {
	case MAP_SHARED:
		if (*vm_flags & VM_GROWSDOWN)
			return -EINVAL;
		*pgoff = 0;
		*vm_flags |= VM_SHARED | VM_MAYSHARE;
		return 0;
	case MAP_DROPPABLE:
		if ((flags & (MAP_LOCKED | MAP_HUGETLB)) || (*vm_flags & VM_GROWSDOWN))
			return -EINVAL;
		*vm_flags |= VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP;
		return 0;
	case MAP_PRIVATE:
		return 0;
	default:
		return -EINVAL;
	}
}

/* A hint below what may be mapped means the lowest that may. */
static uint64_t round_hint_to_min(const struct mm_struct *mm, uint64_t hint)
{
	uint64_t lowest = PAGE_ALIGN(mm->machine->options.mmap_min_addr);

	hint &= PAGE_MASK;
	return hint && hint < lowest ? lowest : hint;
}

static bool wants_populate(uint64_t vm_flags, unsigned flags)
{
	return (vm_flags & VM_LOCKED) || (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE;
}

/* A place of its own, or the one that is insisted on. */
static int place_map(struct map_request *map, uint64_t addr, uint64_t len, pgoff_t pgoff, unsigned flags)
{
	int error;

	if (flags & MAP_FIXED_NOREPLACE)
		flags |= MAP_FIXED;
	if (!(flags & MAP_FIXED))
		addr = round_hint_to_min(map->mm, addr);
	error = find_place(map->mm, map->file, addr, len, pgoff, flags, &map->place);
	if (error)
		return error;
	map->start = map->place.start;
	map->end = map->start + len;
	if ((flags & MAP_FIXED_NOREPLACE) && find_vma_intersection(map->mm, map->start, map->end))
		return -EEXIST;
	return 0;
}

static int check_lock(const struct map_request *map, unsigned flags)
{
	if ((flags & MAP_LOCKED) && !can_do_mlock(map->mm))
		return -EPERM;
	return mlock_future_ok(map->mm, map->flags, map->end - map->start) ? 0 : -EAGAIN;
}

/* What kind of mapping the file and the flags make it. */
static int add_kind(struct map_request *map, unsigned prot, unsigned flags, pgoff_t pgoff)
{
	enum aspace_overcommit overcommit = map->mm->machine->options.overcommit;
	int error;

	map->pgoff = pgoff;
	if (map->file)
		error = file_flags(map->file, map->end - map->start, prot, flags, pgoff, &map->flags);
	else
		error = anonymous_flags(map->start, flags, &map->pgoff, &map->flags);
	if ((flags & MAP_NORESERVE) && overcommit != ASPACE_OVERCOMMIT_NEVER)
		map->flags |= VM_NORESERVE;
	return error;
}

static bool read_implies_exec(const struct mm_struct *mm, const struct aspace_file *file)
{
	return (mm->personality & READ_IMPLIES_EXEC) && !(file && file->f_mapping->noexec);
}

/* The size alone: 0 or why it can't be. */
static int check_size(const struct mm_struct *mm, uint64_t len, pgoff_t pgoff)
{
	if (!len)
		return -EINVAL;
	if (!PAGE_ALIGN(len))
		return -ENOMEM;
	if (pgoff + (PAGE_ALIGN(len) >> PAGE_SHIFT) < pgoff)
		return -EOVERFLOW;
	return map_count(mm) > mm->machine->options.max_map_count ? -ENOMEM : 0;
}

int64_t do_mmap(struct mm_struct *mm, uint64_t addr, uint64_t len, unsigned prot, unsigned flags,
		struct aspace_file *file, pgoff_t pgoff, uint64_t *populate)
{
	struct map_request map = { .mm = mm, .file = file };
	int64_t place;
	int error = check_size(mm, len, pgoff);

	*populate = 0;
	if (error)
		return error;
	len = PAGE_ALIGN(len);
	if ((prot & PROT_READ) && read_implies_exec(mm, file))
		prot |= PROT_EXEC;
	map.flags = calc_vm_prot_bits(prot, mmap_pkey(mm, prot)) | calc_vm_flag_bits(flags) | mm->def_flags |
		    VM_MAY_FLAGS;
	error = place_map(&map, addr, len, pgoff, flags);
	if (!error)
		error = check_lock(&map, flags);
	if (!error)
		error = add_kind(&map, prot, flags, pgoff);
	if (error)
		return error;
	place = mmap_region(&map);
	if (place >= 0 && wants_populate(map.flags, flags))
		*populate = len;
	return place;
}

/* There are no huge pages set aside: what asks for them fails as on a host that has none. */
static int refuse_hugetlb(struct aspace_file *file, uint64_t length, unsigned flags)
{
	unsigned log = flags >> 26 & 0x3f;

	if (!(flags & MAP_HUGETLB))
		return 0;
	if (file || (log && log != 21 && log != 30) || !length)
		return -EINVAL;
	return -ENOMEM;
}

int64_t aspace_mmap(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned prot, unsigned flags,
		    struct aspace_file *file, uint64_t offset)
{
	uint64_t populate;
	int64_t place;
	int error;

	if (offset_in_page(offset))
		return -EINVAL;
	if (flags & MAP_ANONYMOUS)
		file = NULL;
	else if (!file)
		return -EBADF;
	error = refuse_hugetlb(file, length, flags);
	if (error)
		return error;
	mmap_write_lock(mm);
	place = do_mmap(mm, addr, length, prot, flags, file, offset >> PAGE_SHIFT, &populate);
	if (place >= 0)
		note_mapped(mm, (uint64_t)place, PAGE_ALIGN(length));
	mmap_write_unlock(mm);
	if (place >= 0 && populate)
		populate_range(mm, (uint64_t)place, populate, true);
	return place;
}

/* ---- brk ------------------------------------------------------------------------------------------------- */

static bool within_data_limit(const struct mm_struct *mm, uint64_t brk)
{
	uint64_t limit = mm->rlim[ASPACE_RLIMIT_DATA];

	return limit == UINT64_MAX || brk - mm->start_brk + (mm->end_data - mm->start_data) <= limit;
}

static int64_t shrink_brk(struct mm_struct *mm, uint64_t brk)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, PAGE_ALIGN(brk), PAGE_ALIGN(mm->brk));
	uint64_t old = mm->brk;

	if (!vma)
		return -EINVAL;
	mm->brk = brk;
	if (!unmap_range(mm, PAGE_ALIGN(brk), PAGE_ALIGN(old)))
		return 0;
	mm->brk = old;
	return -ENOMEM;
}

/* One more page than asked for must be free, and a stack's gap above it. */
static bool brk_has_room(struct mm_struct *mm, uint64_t end)
{
	uint64_t gap = mm->machine->options.stack_guard_gap;
	struct vm_area_struct *next = find_vma_intersection(mm, PAGE_ALIGN(mm->brk), end + PAGE_SIZE + gap);

	return !next || end + PAGE_SIZE <= vm_start_gap(next);
}

static int map_brk(struct mm_struct *mm, uint64_t start, uint64_t end, uint64_t flags)
{
	struct vma_merge merge = {
		.mm = mm, .start = start, .end = end, .flags = flags, .pgoff = start >> PAGE_SHIFT,
		.just_expand = true,
	};
	struct map_request map = { .mm = mm, .start = start, .end = end, .flags = flags,
				   .pgoff = start >> PAGE_SHIFT };
	struct vm_area_struct *vma;
	int error;

	merge.next = find_vma_prev(mm, start, &merge.prev);
	/* Only the heap grows: what ends where it begins (the program's bss) is another area. */
	if (merge.prev && merge.prev->vm_end <= mm->start_brk)
		merge.prev = NULL;
	if (vma_merge_prepare(&merge)) {
		vma = vma_merge_commit(&merge);
	} else {
		vma = merge.no_memory ? NULL : new_area(&map, &error);
		if (!vma)
			return -ENOMEM;
		vma_link(mm, vma);
	}
	account_new(&map, vma);
	return 0;
}

static int grow_brk(struct mm_struct *mm, uint64_t start, uint64_t end)
{
	uint64_t pages = (end - start) >> PAGE_SHIFT;
	uint64_t flags = VM_READ | VM_WRITE | VM_MAY_FLAGS | VM_ACCOUNT | mm->def_flags;

	if (mm->personality & READ_IMPLIES_EXEC)
		flags |= VM_EXEC;
	if (get_unmapped_area(mm, NULL, start, end - start, 0, MAP_FIXED) < 0)
		return -ENOMEM;
	if (!mlock_future_ok(mm, mm->def_flags, end - start))
		return -EAGAIN;
	if (!brk_has_room(mm, end) || !may_expand_vm(mm, flags, pages) ||
	    map_count(mm) > mm->machine->options.max_map_count)
		return -ENOMEM;
	if (vm_enough_memory(mm->machine, pages))
		return -ENOMEM;
	if (!map_brk(mm, start, end, flags))
		return 0;
	vm_unacct_memory(mm->machine, pages);
	return -ENOMEM;
}

/* 0: mm->brk is as asked for, [*start, *end) is new. */
static int do_brk(struct mm_struct *mm, uint64_t brk, uint64_t *start, uint64_t *end)
{
	int error;

	*start = PAGE_ALIGN(mm->brk);
	*end = PAGE_ALIGN(brk);
	if (brk < mm->start_brk || !within_data_limit(mm, brk))
		return -ENOMEM;
	if (*start != *end && brk <= mm->brk)
		return shrink_brk(mm, brk);
	error = *start == *end ? 0 : grow_brk(mm, *start, *end);
	if (!error)
		mm->brk = brk;
	return error;
}

int64_t aspace_brk(struct aspace_mm *mm, uint64_t brk)
{
	uint64_t start, end, now;
	bool grown, populate;

	mmap_write_lock(mm);
	grown = !do_brk(mm, brk, &start, &end) && end > start;
	populate = grown && (mm->def_flags & VM_LOCKED);
	if (grown)
		note_mapped(mm, start, end - start);
	now = mm->brk;
	mmap_write_unlock(mm);
	if (populate)
		populate_range(mm, start, end - start, true);
	return (int64_t)now;
}
