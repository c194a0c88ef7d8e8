/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: made, copied, let go.
 *
 *	mm_users	who runs in it. The last one unmaps everything (exit_mmap)
 *	mm_count	who knows the descriptor: all users together count as one. The last one frees it
 */
#include <string.h>

#include "mm/vma.h"

/* ---- made ------------------------------------------------------------------------------------------ */

static uint64_t format_task_size(enum aspace_format format)
{
	return (1ull << (format == ASPACE_X86_64_5LEVEL ? 56 : 47)) - PAGE_SIZE;
}

static void init_layout(struct mm_struct *mm)
{
	struct aspace_layout layout = { .size = sizeof(layout) };

	aspace_layout_pick(&layout, 8ull << 20, 0, 0);
	mm->task_size = format_task_size(mm->machine->options.format);
	mm->mmap_base = layout.mmap_base;
	mm->mmap_legacy_base = layout.mmap_legacy_base;
}

static void mm_link(struct mm_struct *mm)
{
	struct aspace_machine *m = mm->machine;

	spin_lock(&m->mmlist_lock);
	list_add_tail(&mm->mmlist, &m->mmlist);
	spin_unlock(&m->mmlist_lock);
	atomic_fetch_add(&m->nr_mms, 1);
}

static void mm_unlink(struct mm_struct *mm)
{
	struct aspace_machine *m = mm->machine;

	spin_lock(&m->mmlist_lock);
	list_del(&mm->mmlist);
	spin_unlock(&m->mmlist_lock);
	atomic_fetch_sub(&m->nr_mms, 1);
}

struct mm_struct *mm_alloc(struct aspace_machine *m)
{
	enum range_index_kind kind = m->options.index == ASPACE_INDEX_RBTREE ? RANGE_INDEX_RBTREE :
									       RANGE_INDEX_TREE;
	struct mm_struct *mm = kmem_cache_zalloc(m->mm_cachep);

	if (!mm)
		return NULL;
	mm->machine = m;
	atomic_init(&mm->mm_users, 1);
	atomic_init(&mm->mm_count, 1);
	init_rwsem(&mm->mmap_lock);
	spin_lock_init(&mm->page_table_lock);
	range_index_init(&mm->mm_mt, kind, m->range_node_cachep);
	for (size_t i = 0; i < ARRAY_SIZE(mm->rlim); i++)
		mm->rlim[i] = UINT64_MAX;
	mm->pkey_map = 1;
	mm->execute_only_pkey = -1;
	init_layout(mm);
	if (m->tr->mm_init(mm)) {
		destroy_rwsem(&mm->mmap_lock);
		kmem_cache_free(m->mm_cachep, mm);
		return NULL;
	}
	mm_link(mm);
	return mm;
}

int aspace_mm_create(struct aspace_machine *machine, struct aspace_mm **mm)
{
	*mm = mm_alloc(machine);
	return *mm ? 0 : -ENOMEM;
}

/* ---- let go ----------------------------------------------------------------------------------------- */

void exit_mmap(struct mm_struct *mm)
{
	struct unmap_run all = { .first = vma_of(mm->mm_mt.first), .last = vma_of(mm->mm_mt.last) };
	uint64_t accounted = 0;

	mmap_write_lock(mm);
	for (struct vm_area_struct *vma = all.first; vma; vma = vma_next(vma))
		if (vma->vm_flags & VM_ACCOUNT)
			accounted += vma_pages(vma);
	unmap_commit(mm, &all);
	vm_unacct_memory(mm->machine, accounted);
	mmap_write_unlock(mm);
}

struct aspace_mm *aspace_mm_get(struct aspace_mm *mm)
{
	atomic_fetch_add_explicit(&mm->mm_users, 1, memory_order_relaxed);
	return mm;
}

bool aspace_mm_get_not_zero(struct aspace_mm *mm)
{
	int users = atomic_load(&mm->mm_users);

	do {
		if (!users)
			return false;
	} while (!atomic_compare_exchange_weak(&mm->mm_users, &users, users + 1));
	return true;
}

void aspace_mm_put(struct aspace_mm *mm)
{
	if (!mm || atomic_fetch_sub(&mm->mm_users, 1) != 1)
		return;
	exit_mmap(mm);
	if (mm->exe_file)
		aspace_file_put(mm->exe_file);
	mm->exe_file = NULL;
	aspace_mm_drop(mm);
}

void aspace_mm_grab(struct aspace_mm *mm)
{
	atomic_fetch_add_explicit(&mm->mm_count, 1, memory_order_relaxed);
}

void aspace_mm_drop(struct aspace_mm *mm)
{
	struct aspace_machine *m = mm->machine;

	if (atomic_fetch_sub(&mm->mm_count, 1) != 1)
		return;
	m->tr->mm_exit(mm);
	mm_unlink(mm);
	range_index_destroy(&mm->mm_mt);
	destroy_rwsem(&mm->mmap_lock);
	kmem_cache_free(m->mm_cachep, mm);
}

/* ---- copied ------------------------------------------------------------------------------------------ */

/* What a child has from its parent besides areas. Locks on memory are not inherited. */
static void inherit(struct mm_struct *mm, const struct mm_struct *old)
{
	mm->task_size = old->task_size;
	mm->mmap_base = old->mmap_base;
	mm->mmap_legacy_base = old->mmap_legacy_base;
	mm->mmap_legacy = old->mmap_legacy;
	mm->start_code = old->start_code;
	mm->end_code = old->end_code;
	mm->start_data = old->start_data;
	mm->end_data = old->end_data;
	mm->start_brk = old->start_brk;
	mm->brk = old->brk;
	mm->start_stack = old->start_stack;
	mm->arg_start = old->arg_start;
	mm->arg_end = old->arg_end;
	mm->env_start = old->env_start;
	mm->env_end = old->env_end;
	memcpy(mm->rlim, old->rlim, sizeof(mm->rlim));
	mm->personality = old->personality;
	mm->mdwe = old->mdwe & MDWE_NO_INHERIT ? 0 : old->mdwe;
	mm->cap_ipc_lock = old->cap_ipc_lock;
	mm->cap_sys_rawio = old->cap_sys_rawio;
	mm->thp_disable = old->thp_disable;
	mm->pkey_map = old->pkey_map;
	mm->execute_only_pkey = old->execute_only_pkey;
	memcpy(mm->saved_auxv, old->saved_auxv, sizeof(mm->saved_auxv));
	mm->auxv_bytes = old->auxv_bytes;
	mm->exe_file = old->exe_file ? aspace_file_get(old->exe_file) : NULL;
}

/* The child's area, in no index yet. NULL: no memory. */
static struct vm_area_struct *dup_area(struct mm_struct *mm, struct vm_area_struct *old)
{
	struct vm_area_struct *vma = vm_area_dup(old);

	if (!vma)
		return NULL;
	vma->vm_mm = mm;
	vma->vm_flags &= ~VM_LOCKED_MASK;
	if (!(vma->vm_flags & VM_WIPEONFORK) && anon_vma_fork(vma, old)) {
		vm_area_free(vma);
		return NULL;
	}
	return vma;
}

/* Room in the child's index is reserved. What fails leaves the area out, or in with some pages. */
static int copy_area(struct mm_struct *mm, struct vm_area_struct *old)
{
	struct aspace_machine *m = mm->machine;
	uint64_t charge = old->vm_flags & VM_ACCOUNT ? vma_pages(old) : 0;
	struct vm_area_struct *vma;
	const struct aspace_vm_ops *ops = vma_ops(old);

	if (charge && vm_enough_memory(m, charge))
		return -ENOMEM;
	vma = dup_area(mm, old);
	if (!vma) {
		vm_unacct_memory(m, charge);
		return -ENOMEM;
	}
	vma_link(mm, vma);
	vm_stat_account(mm, vma->vm_flags, (int64_t)vma_pages(vma));
	if (ops && ops->open)
		ops->open(vma->vm_file->priv, vma);
	return vma->vm_flags & VM_WIPEONFORK ? 0 : m->tr->copy(vma, old);
}

static int dup_mmap(struct mm_struct *mm, struct mm_struct *old)
{
	struct vm_area_struct *vma;
	int error = range_index_reserve(&mm->mm_mt, (unsigned)map_count(old));

	for (vma = find_vma(old, 0); vma && !error; vma = vma_next(vma))
		if (!(vma->vm_flags & VM_DONTCOPY))
			error = copy_area(mm, vma);
	range_index_unreserve(&mm->mm_mt);
	mm->hiwater_vm = mm->total_vm;
	return error;
}

int aspace_mm_fork(struct aspace_mm *old, struct aspace_mm **child)
{
	struct mm_struct *mm = mm_alloc(old->machine);
	int error;

	if (!mm)
		return -ENOMEM;
	mmap_write_lock(old);
	mmap_write_lock(mm);
	inherit(mm, old);
	error = dup_mmap(mm, old);
	mmap_write_unlock(mm);
	mmap_write_unlock(old);
	if (error) {
		aspace_mm_put(mm);
		return error;
	}
	*child = mm;
	return 0;
}
