/* SPDX-License-Identifier: MIT */
/*
 * Areas: their life, and how the set of them changes. See vma.h for the four moves.
 *
 * Merging. A range [s,e) that is about to have certain properties joins its neighbours if they have
 * the same and continue it. The range is new (mmap, brk, the target of mremap), or lies in an area
 * `middle` that keeps what sticks out on the other side:
 *
 *	new range:  |  prev  |s    e|  next  |		left, right, or both
 *
 *	existing:   |  prev  |s  middle  e|  next  |	all of middle: it goes; both: next goes too
 *	            |  prev  |s   e|middle |  next  |	its front: prev grows, middle shrinks
 *	            |  prev  |middle |s   e|  next  |	its back: next grows down, middle shrinks
 *
 * One area, the target, always grows; at most one shrinks; at most two go. The anonymous reverse map
 * of what joins must be the same, or one side must have none yet: then the target gets a copy of it,
 * the only memory that a merge may need. Areas that a fork has tied to a parent's are not joined
 * with others, so that the trees of anon_vmas stay small.
 *
 * While bounds change, the locks of the file's and the anon_vmas' trees are held
 * (vma_rmap_change_begin), and at every moment between, each page of the range is in at least one
 * area of the trees: a reverse map walk never misses an entry, it may see one twice.
 */
#include <string.h>

#include "mm/vma.h"

/* ---- names of anonymous areas -------------------------------------------------------------------- */

struct anon_vma_name *anon_vma_name_alloc(struct aspace_machine *m, const char *name)
{
	struct anon_vma_name *anon_name = kmem_cache_alloc(m->anon_name_cachep);

	if (!anon_name)
		return NULL;
	atomic_init(&anon_name->refs, 1);
	strncpy(anon_name->name, name, sizeof(anon_name->name) - 1);
	anon_name->name[sizeof(anon_name->name) - 1] = '\0';
	return anon_name;
}

struct anon_vma_name *anon_vma_name_get(struct anon_vma_name *name)
{
	if (name)
		atomic_fetch_add_explicit(&name->refs, 1, memory_order_relaxed);
	return name;
}

void anon_vma_name_put(struct aspace_machine *m, struct anon_vma_name *name)
{
	if (name && atomic_fetch_sub_explicit(&name->refs, 1, memory_order_acq_rel) == 1)
		kmem_cache_free(m->anon_name_cachep, name);
}

static bool anon_vma_name_eq(const struct anon_vma_name *a, const struct anon_vma_name *b)
{
	return a == b || (a && b && !strcmp(a->name, b->name));
}

/* ---- life ------------------------------------------------------------------------------------------- */

struct vm_area_struct *vm_area_alloc(struct mm_struct *mm)
{
	struct vm_area_struct *vma = kmem_cache_zalloc(mm->machine->vm_area_cachep);

	if (!vma)
		return NULL;
	vma->vm_mm = mm;
	INIT_LIST_HEAD(&vma->anon_vma_chain);
	atomic_fetch_add_explicit(&mm->machine->nr_areas, 1, memory_order_relaxed);
	return vma;
}

struct vm_area_struct *vm_area_dup(struct vm_area_struct *vma)
{
	struct vm_area_struct *new = vm_area_alloc(vma->vm_mm);

	if (!new)
		return NULL;
	new->vm_start = vma->vm_start;
	new->vm_end = vma->vm_end;
	new->vm_flags = vma->vm_flags;
	new->vm_pgoff = vma->vm_pgoff;
	new->vm_file = vma->vm_file ? aspace_file_get(vma->vm_file) : NULL;
	new->anon_name = anon_vma_name_get(vma->anon_name);
	new->special_name = vma->special_name;
	new->vm_private_data = vma->vm_private_data;
	return new;
}

void vm_area_free(struct vm_area_struct *vma)
{
	struct aspace_machine *m = vma->vm_mm->machine;

	if (vma->vm_file)
		aspace_file_put(vma->vm_file);
	anon_vma_name_put(m, vma->anon_name);
	kmem_cache_free(m->vm_area_cachep, vma);
	atomic_fetch_sub_explicit(&m->nr_areas, 1, memory_order_relaxed);
}

/* Frees an area that is in no index and no tree any more: now, or when mmap_lock is dropped. */
static void vm_area_retire(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;

	if (!vma->vm_file) {
		vm_area_free(vma);
		return;
	}
	vma->node.next = (struct range_node *)mm->retired;	/* may be NULL; node is the first member */
	mm->retired = vma;
}

void mmap_write_unlock(struct mm_struct *mm)
{
	struct vm_area_struct *vma = mm->retired;

	mm->retired = NULL;
	up_write(&mm->mmap_lock);
	while (vma) {
		struct vm_area_struct *next = vma_next(vma);

		vm_area_free(vma);
		vma = next;
	}
}

/* ---- finding ------------------------------------------------------------------------------------------ */

struct vm_area_struct *find_vma_prev(struct mm_struct *mm, uint64_t addr, struct vm_area_struct **prev)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	*prev = vma ? vma_prev(vma) : vma_of(mm->mm_mt.last);
	return vma;
}

struct vm_area_struct *find_vma_intersection(struct mm_struct *mm, uint64_t start, uint64_t end)
{
	struct vm_area_struct *vma = find_vma(mm, start);

	return vma && vma->vm_start < end ? vma : NULL;
}

/* ---- insert ------------------------------------------------------------------------------------------- */

void vma_link(struct mm_struct *mm, struct vm_area_struct *vma)
{
	range_index_insert(&mm->mm_mt, &vma->node);
	vma_link_file(vma);
}

int insert_vm_struct(struct mm_struct *mm, struct vm_area_struct *vma)
{
	uint64_t charge = vma->vm_flags & VM_ACCOUNT ? vma_pages(vma) : 0;

	if (find_vma_intersection(mm, vma->vm_start, vma->vm_end) || range_index_reserve(&mm->mm_mt, 1))
		return -ENOMEM;
	if (charge && vm_enough_memory(mm->machine, charge))
		return -ENOMEM;
	vma_link(mm, vma);
	vm_stat_account(mm, vma->vm_flags, (int64_t)vma_pages(vma));
	if (vma->vm_flags & VM_LOCKED)
		mm->locked_vm += vma_pages(vma);
	return 0;
}

/* ---- split --------------------------------------------------------------------------------------------- */

int split_vma_over_limit(struct vm_area_struct *vma, uint64_t addr, struct vm_area_struct **above)
{
	struct mm_struct *mm = vma->vm_mm;
	const struct aspace_vm_ops *ops = vma_ops(vma);
	struct vma_rmap_change change = { .vma = { vma } };
	struct vm_area_struct *new;
	int error;

	if (ops && ops->may_split) {
		error = ops->may_split(vma->vm_file->priv, vma, addr);
		if (error)
			return error;
	}
	if (range_index_reserve(&mm->mm_mt, 1))
		return -ENOMEM;
	new = vm_area_dup(vma);
	if (!new)
		return -ENOMEM;
	new->vm_start = addr;
	new->vm_pgoff = linear_page_index(vma, addr);
	error = anon_vma_clone(new, vma);
	if (error) {
		vm_area_free(new);
		return error;
	}
	if (ops && ops->open)
		ops->open(vma->vm_file->priv, new);

	vma_link_file(new);
	vma_rmap_change_begin(&change);
	range_index_split(&mm->mm_mt, &vma->node, &new->node);
	vma_rmap_change_end(&change);
	*above = new;
	return 0;
}

int split_vma(struct vm_area_struct *vma, uint64_t addr, struct vm_area_struct **above)
{
	struct mm_struct *mm = vma->vm_mm;

	if (map_count(mm) >= mm->machine->options.max_map_count)
		return -ENOMEM;
	return split_vma_over_limit(vma, addr, above);
}

/* ---- merge: decide --------------------------------------------------------------------------------------- */

/* A fork tied it to its parent's anonymous pages. */
static bool vma_is_fork_child(const struct vm_area_struct *vma)
{
	return vma && vma->anon_vma && !list_is_singular(&vma->anon_vma_chain);
}

static bool is_mergeable_anon_vma(const struct vma_merge *m, const struct vm_area_struct *neighbour)
{
	if (neighbour->anon_vma && !m->anon_vma)
		return !vma_is_fork_child(neighbour);
	if (!neighbour->anon_vma && m->anon_vma)
		return !vma_is_fork_child(m->middle) && !vma_is_fork_child(m->copied_from);
	return neighbour->anon_vma == m->anon_vma;
}

static bool is_mergeable_vma(const struct vma_merge *m, const struct vm_area_struct *neighbour)
{
	return !((neighbour->vm_flags ^ m->flags) & ~VM_STICKY) && neighbour->vm_file == m->file &&
	       !neighbour->special_name && anon_vma_name_eq(neighbour->anon_name, m->anon_name) &&
	       is_mergeable_anon_vma(m, neighbour);
}

static bool can_merge_left(const struct vma_merge *m)
{
	const struct vm_area_struct *prev = m->prev;

	if (!prev || (m->middle && m->start != m->middle->vm_start))
		return false;
	return prev->vm_end == m->start && prev->vm_pgoff + vma_pages(prev) == m->pgoff &&
	       is_mergeable_vma(m, prev);
}

static bool can_merge_right(const struct vma_merge *m)
{
	const struct vm_area_struct *next = m->next;

	if (!next || m->just_expand || (m->middle && m->end != m->middle->vm_end))
		return false;
	return next->vm_start == m->end &&
	       m->pgoff + ((m->end - m->start) >> PAGE_SHIFT) == next->vm_pgoff &&
	       is_mergeable_vma(m, next);
}

/* Each fits the range; do they fit each other? */
static bool are_anon_vmas_compatible(const struct vm_area_struct *a, const struct vm_area_struct *b)
{
	return !a->anon_vma || !b->anon_vma || a->anon_vma == b->anon_vma;
}

/* A driver that is told when an area closes would be told of one that nobody unmapped. */
static bool can_merge_remove_vma(const struct vm_area_struct *vma)
{
	const struct aspace_vm_ops *ops = vma_ops(vma);

	return !ops || !ops->close;
}

/* The range is all of middle, which then goes. */
static bool removes_middle(const struct vma_merge *m)
{
	return m->middle && m->start == m->middle->vm_start && m->end == m->middle->vm_end;
}

static bool merge_decide(struct vma_merge *m)
{
	if (m->flags & VM_SPECIAL)
		return false;
	m->left = can_merge_left(m);
	m->right = can_merge_right(m);
	if (m->left && m->right && !are_anon_vmas_compatible(m->prev, m->next))
		m->right = false;
	if (m->left && m->right && !can_merge_remove_vma(m->next))
		m->right = false;
	if (removes_middle(m) && !can_merge_remove_vma(m->middle))
		return false;
	m->target = m->left ? m->prev : m->next;
	return m->left || m->right;
}

/* ---- merge: reserve ------------------------------------------------------------------------------------ */

/* target takes over pages of src: from now on it is found through their anon_vma. */
static int dup_anon_vma(struct vm_area_struct *target, struct vm_area_struct *src)
{
	if (!src || !src->anon_vma || target->anon_vma)
		return 0;
	return anon_vma_clone(target, src);
}

bool vma_merge_prepare(struct vma_merge *m)
{
	int error = 0;

	if (!merge_decide(m))
		return false;
	if (m->left && m->right)
		error = dup_anon_vma(m->target, m->next);
	if (!error)
		error = dup_anon_vma(m->target, m->middle);
	if (!error)
		error = dup_anon_vma(m->target, m->copied_from);
	m->no_memory = error;
	return !error;
}

/* ---- merge: commit ------------------------------------------------------------------------------------ */

/* It is out of the index, and another area covers all that it did. */
static void forget_merged(struct vm_area_struct *vma)
{
	unlink_anon_vmas(vma);
	vma_unlink_file(vma);
	vm_area_free(vma);	/* not the last reference to the file: target has one */
}

static void shrink_middle(struct vma_merge *m)
{
	struct vm_area_struct *middle = m->middle;
	struct range_index *areas = &m->mm->mm_mt;

	if (m->left) {
		middle->vm_pgoff = linear_page_index(middle, m->end);
		range_index_set_bounds(areas, &middle->node, m->end, middle->vm_end);
	} else {
		range_index_set_bounds(areas, &middle->node, middle->vm_start, m->start);
	}
}

/* The target's bounds, and those who go. */
static void merge_bounds(struct vma_merge *m, struct vm_area_struct *gone, struct vm_area_struct *next_gone)
{
	struct range_index *areas = &m->mm->mm_mt;

	if (m->left && gone) {
		range_index_join(areas, &m->prev->node, next_gone ? &next_gone->node : &gone->node);
		return;
	}
	if (gone)
		range_index_erase(areas, &gone->node);
	else if (m->middle)
		shrink_middle(m);
	if (m->left)
		range_index_set_bounds(areas, &m->prev->node, m->prev->vm_start, m->end);
	else
		range_index_set_bounds(areas, &m->next->node, m->start, m->next->vm_end);
	if (next_gone)	/* prev reaches up to it now */
		range_index_join(areas, &m->prev->node, &next_gone->node);
}

struct vm_area_struct *vma_merge_commit(struct vma_merge *m)
{
	struct vm_area_struct *gone = removes_middle(m) ? m->middle : NULL;
	struct vm_area_struct *shrinks = gone ? NULL : m->middle;
	struct vm_area_struct *next_gone = m->left && m->right ? m->next : NULL;
	struct vma_rmap_change change = { .vma = { m->target, shrinks } };

	m->target->vm_flags |= (m->flags | (next_gone ? next_gone->vm_flags : 0)) & VM_STICKY;
	vma_rmap_change_begin(&change);
	merge_bounds(m, gone, next_gone);
	if (!m->left)
		m->target->vm_pgoff = m->pgoff;
	vma_rmap_change_end(&change);
	if (gone)
		forget_merged(gone);
	if (next_gone)
		forget_merged(next_gone);
	return m->target;
}

struct vm_area_struct *vma_modify(struct vm_area_struct *vma, uint64_t start, uint64_t end,
				  uint64_t flags, struct anon_vma_name *name, int *error)
{
	struct vma_merge merge = {
		.mm = vma->vm_mm, .prev = vma_prev(vma), .next = vma_next(vma), .middle = vma,
		.start = start, .end = end, .pgoff = linear_page_index(vma, start), .flags = flags,
		.file = vma->vm_file, .anon_name = name, .anon_vma = vma->anon_vma,
	};
	struct vm_area_struct *above;

	*error = 0;
	if (vma_merge_prepare(&merge))
		return vma_merge_commit(&merge);
	if (merge.no_memory)
		*error = -ENOMEM;
	if (!*error && vma->vm_start < start) {
		*error = split_vma(vma, start, &above);
		if (!*error)
			vma = above;
	}
	if (!*error && vma->vm_end > end)
		*error = split_vma(vma, end, &above);
	return *error ? NULL : vma;
}

/* ---- unmap ------------------------------------------------------------------------------------------------ */

/* The area that start is inside of becomes two. Over the limit for a moment is fine, unless it stays. */
static int split_front(struct mm_struct *mm, uint64_t start, uint64_t end, struct unmap_run *run)
{
	struct vm_area_struct *vma = run->first;

	if (end < vma->vm_end && map_count(mm) >= mm->machine->options.max_map_count)
		return -ENOMEM;
	if (vma_is_sealed(vma))
		return -EPERM;
	return split_vma_over_limit(vma, start, &run->first);
}

static int gather_area(struct vm_area_struct *vma, uint64_t end, struct unmap_run *run)
{
	struct vm_area_struct *above;
	int error;

	if (vma_is_sealed(vma))
		return -EPERM;
	if (vma->vm_end > end) {
		error = split_vma_over_limit(vma, end, &above);
		if (error)
			return error;
	}
	run->last = vma;
	run->pages += vma_pages(vma);
	if (vma->vm_flags & VM_ACCOUNT)
		run->accounted += vma_pages(vma);
	return 0;
}

void unmap_nothing(struct mm_struct *mm, struct vm_area_struct *next, struct unmap_run *run)
{
	*run = (struct unmap_run){
		.prev = next ? vma_prev(next) : vma_of(mm->mm_mt.last), .next = next,
	};
}

int unmap_gather(struct mm_struct *mm, uint64_t start, uint64_t end, struct unmap_run *run)
{
	struct vm_area_struct *vma = find_vma(mm, start);
	int error;

	unmap_nothing(mm, vma, run);
	if (!vma || vma->vm_start >= end)
		return 0;
	run->first = vma;
	if (vma->vm_start < start) {
		error = split_front(mm, start, end, run);
		if (error)
			return error;
		run->prev = vma;
	}
	for (vma = run->first; vma && vma->vm_start < end; vma = vma_next(vma)) {
		error = gather_area(vma, end, run);
		if (error)
			return error;
	}
	run->next = vma;
	return 0;
}

static void unaccount_area(struct mm_struct *mm, const struct vm_area_struct *vma)
{
	vm_stat_account(mm, vma->vm_flags, -(int64_t)vma_pages(vma));
	if (vma->vm_flags & VM_LOCKED)
		mm->locked_vm -= vma_pages(vma);
}

void unmap_commit(struct mm_struct *mm, struct unmap_run *run)
{
	uint64_t floor = run->prev ? run->prev->vm_end : 0;
	uint64_t ceiling = run->next ? run->next->vm_start : UINT64_MAX;
	struct vm_area_struct *vma = run->first, *next;

	if (!vma)
		return;
	mm->hiwater_vm = max(mm->hiwater_vm, mm->total_vm);
	if (run->first == run->last)
		range_index_erase(&mm->mm_mt, &vma->node);
	else
		range_index_erase_run(&mm->mm_mt, &run->first->node, &run->last->node);
	mm->machine->tr->unmap(mm, run->first, run->last, floor, ceiling);
	for (;; vma = next) {
		bool last = vma == run->last;
		const struct aspace_vm_ops *ops = vma_ops(vma);

		next = vma_next(vma);
		unaccount_area(mm, vma);
		if (ops && ops->close)
			ops->close(vma->vm_file->priv, vma);
		vm_area_retire(vma);
		if (last)
			break;
	}
	run->first = run->last = NULL;
}

/* ---- check --------------------------------------------------------------------------------------------------- */

#define complain(...) (snprintf(why, size, __VA_ARGS__), -EUCLEAN)

/* What the counters of an address space should be. */
struct area_sums {
	uint64_t total, data, exec, stack, locked;
};

static void add_sums(struct area_sums *sums, const struct vm_area_struct *vma)
{
	uint64_t pages = vma_pages(vma);
	uint64_t flags = vma->vm_flags;

	sums->total += pages;
	if ((flags & (VM_EXEC | VM_WRITE | VM_STACK)) == VM_EXEC)
		sums->exec += pages;
	else if (flags & VM_STACK)
		sums->stack += pages;
	else if ((flags & (VM_WRITE | VM_SHARED)) == VM_WRITE)
		sums->data += pages;
	if (flags & VM_LOCKED)
		sums->locked += pages;
}

static int check_area(struct mm_struct *mm, struct vm_area_struct *vma, char *why, size_t size)
{
	struct vm_area_struct *prev = vma_prev(vma);
	unsigned long start = vma->vm_start, end = vma->vm_end;
	uint64_t flags = vma->vm_flags;

	if (vma->vm_mm != mm || start >= end || offset_in_page(start | end))
		return complain("area %lx-%lx: bad bounds or not of this mm", start, end);
	if (end > mm->task_size && !vma->special_name)
		return complain("area %lx-%lx: beyond the user's addresses", start, end);
	if (prev && prev->vm_end > start)
		return complain("area %lx-%lx: overlaps %lx-%lx", start, end, prev->vm_start, prev->vm_end);
	if ((flags & VM_SHARED) && !(flags & VM_MAYSHARE))
		return complain("area %lx-%lx: flags %lx: shared, may not share", start, end, (long)flags);
	if ((flags & VM_SHARED) && !vma->vm_file && !vma->special_name && !(flags & VM_PFNMAP))
		return complain("area %lx-%lx: shared with no file", start, end);
	if ((flags & VM_LOCKONFAULT) && !(flags & VM_LOCKED))
		return complain("area %lx-%lx: flags %lx: lock on fault alone", start, end, (long)flags);
	if (!vma->anon_vma != list_empty(&vma->anon_vma_chain))
		return complain("area %lx-%lx: anon_vma %p, chain %s", start, end, (void *)vma->anon_vma,
				list_empty(&vma->anon_vma_chain) ? "empty" : "not empty");
	return 0;
}

static int check_sums(struct mm_struct *mm, const struct area_sums *sums, char *why, size_t size)
{
	const struct { const char *name; uint64_t counted, is; } figures[] = {
		{ "total_vm", mm->total_vm, sums->total },
		{ "data_vm", mm->data_vm, sums->data },
		{ "exec_vm", mm->exec_vm, sums->exec },
		{ "stack_vm", mm->stack_vm, sums->stack },
		{ "locked_vm", mm->locked_vm - mm->locked_vm_drift, sums->locked },
	};

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (figures[i].counted != figures[i].is)
			return complain("%s is %lu pages, the areas make %lu", figures[i].name,
					(long)figures[i].counted, (long)figures[i].is);
	return 0;
}

int check_areas(struct mm_struct *mm, char *why, size_t size)
{
	struct area_sums sums = { 0 };
	struct vm_area_struct *vma;
	unsigned long n = 0;
	int error;

	if (!range_index_check(&mm->mm_mt, why, size))
		return -EUCLEAN;
	if (mm->retired)
		return complain("areas are retired and not freed");
	for (vma = find_vma(mm, 0); vma; vma = vma_next(vma), n++) {
		error = check_area(mm, vma, why, size);
		if (error)
			return error;
		add_sums(&sums, vma);
	}
	if (n != map_count(mm))
		return complain("%lu areas, counted %lu", n, map_count(mm));
	return check_sums(mm, &sums, why, size);
}
