/* SPDX-License-Identifier: MIT */
/*
 * mprotect and protection keys.
 *
 * A range is changed area by area, in order, up to the first that refuses or is missing: what was
 * changed before stays changed, as in Linux.
 */
#include "mm/vma.h"

/* ---- keys ---------------------------------------------------------------------------------------- */

#define NR_PKEYS 16

bool mm_pkey_is_allocated(const struct mm_struct *mm, int pkey)
{
	if (pkey < 0 || pkey >= NR_PKEYS || pkey == mm->execute_only_pkey)
		return false;	/* the execute-only key is nobody's to use */
	return mm->pkey_map & (1u << pkey);
}

static int pkey_alloc(struct mm_struct *mm)
{
	for (int pkey = 0; pkey < NR_PKEYS; pkey++) {
		if (mm->pkey_map & (1u << pkey))
			continue;
		mm->pkey_map |= (uint16_t)(1u << pkey);
		return pkey;
	}
	return -ENOSPC;
}

int execute_only_pkey(struct mm_struct *mm)
{
	int pkey = mm->execute_only_pkey;

	if (pkey >= 0)
		return pkey;
	pkey = pkey_alloc(mm);
	if (pkey < 0)
		return -1;
	mm->execute_only_pkey = pkey;
	return pkey;
}

int aspace_pkey_alloc(struct aspace_mm *mm)
{
	int pkey;

	mmap_write_lock(mm);
	pkey = pkey_alloc(mm);
	mmap_write_unlock(mm);
	return pkey;
}

/* Areas keep a key that is freed; using it before they are gone is the program's affair. */
int aspace_pkey_free(struct aspace_mm *mm, int pkey)
{
	int error = -EINVAL;

	mmap_write_lock(mm);
	if (mm_pkey_is_allocated(mm, pkey)) {
		mm->pkey_map &= (uint16_t)~(1u << pkey);
		error = 0;
	}
	mmap_write_unlock(mm);
	return error;
}

/* The key that an area gets: asked for, or made for what is only executable, or the one it has. */
static int override_pkey(struct vm_area_struct *vma, unsigned prot, int pkey)
{
	struct mm_struct *mm = vma->vm_mm;

	if (pkey != -1)
		return pkey;
	if (prot == PROT_EXEC) {
		pkey = execute_only_pkey(mm);
		if (pkey > 0)
			return pkey;
	} else if ((vma->vm_flags & VM_ACCESS_FLAGS) == VM_EXEC &&
		   (int)vma_pkey(vma) == mm->execute_only_pkey) {
		return 0;
	}
	return (int)vma_pkey(vma);
}

/* ---- one area --------------------------------------------------------------------------------------- */

/*
 * A private area that becomes writable is charged from now on. Where nothing was written yet, the
 * charge is given back when it becomes read-only. *charged is what the change costs, in pages.
 */
static int account_protection(struct vm_area_struct *vma, uint64_t pages, uint64_t *flags, int64_t *charged)
{
	struct mm_struct *mm = vma->vm_mm;
	uint64_t old = vma->vm_flags;

	*charged = 0;
	if (!(*flags & VM_WRITE)) {
		if ((old & VM_ACCOUNT) && vma_is_anonymous(vma) && !vma->anon_vma) {
			*flags &= ~VM_ACCOUNT;
			*charged = -(int64_t)pages;
		}
		return 0;
	}
	if (!may_expand_vm(mm, *flags, pages) && may_expand_vm(mm, old, pages))
		return -ENOMEM;
	if (old & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE))
		return 0;
	if (vm_enough_memory(mm->machine, pages))
		return -ENOMEM;
	*flags |= VM_ACCOUNT;
	*charged = (int64_t)pages;
	return 0;
}

/* The area that has the range now; NULL: *error. */
static struct vm_area_struct *mprotect_fixup(struct vm_area_struct *vma, uint64_t start, uint64_t end,
					     uint64_t flags, int *error)
{
	struct mm_struct *mm = vma->vm_mm;
	uint64_t old = vma->vm_flags;
	int64_t pages = (int64_t)((end - start) >> PAGE_SHIFT), charged;

	*error = vma_is_sealed(vma) ? -EPERM : 0;
	if (*error || flags == old)
		return vma;
	*error = account_protection(vma, (uint64_t)pages, &flags, &charged);
	if (*error)
		return NULL;
	vma = vma_modify_flags(vma, start, end, flags, error);
	if (!vma) {
		vm_unacct_memory(mm->machine, charged > 0 ? (uint64_t)charged : 0);
		return NULL;
	}
	vma->vm_flags = flags | (vma->vm_flags & VM_STICKY);
	mm->machine->tr->protect(vma, start, end);
	vm_unacct_memory(mm->machine, charged < 0 ? (uint64_t)-charged : 0);
	vm_stat_account(mm, old, -pages);
	vm_stat_account(mm, flags, pages);
	return vma;
}

/* ---- the call ------------------------------------------------------------------------------------------- */

struct protect_request {
	struct mm_struct *mm;
	uint64_t start, end;	/* start moves up with what is done */
	unsigned prot, grows;
	int pkey;
	bool read_implies_exec;
	/* Locked private memory became writable: its copies are to be made before it goes on. */
	uint64_t populate_start, populate_end;
};

static int new_flags(struct protect_request *p, struct vm_area_struct *vma, uint64_t *flags)
{
	unsigned prot = p->prot;

	if (p->read_implies_exec && (vma->vm_flags & VM_MAYEXEC))
		prot |= PROT_EXEC;
	*flags = calc_vm_prot_bits(prot, override_pkey(vma, prot, p->pkey)) |
		 (vma->vm_flags & ~(VM_ACCESS_FLAGS | VM_PKEY_MASK));
	/* The MAY flags stand four bits above what they allow. */
	if (*flags & ~(*flags >> 4) & VM_ACCESS_FLAGS)
		return -EACCES;
	return map_deny_write_exec(p->mm, vma->vm_flags, *flags) ? -EACCES : 0;
}

/* PROT_GROWSDOWN: from the area's start. Then the range must begin inside an area. */
static int first_area(struct protect_request *p, struct vm_area_struct **result)
{
	struct vm_area_struct *vma = find_vma_intersection(p->mm, p->start, p->end);

	*result = vma;
	if (!vma)
		return -ENOMEM;
	if (p->grows & PROT_GROWSDOWN) {
		p->start = vma->vm_start;
		return vma->vm_flags & VM_GROWSDOWN ? 0 : -EINVAL;
	}
	if (vma->vm_start > p->start)
		return -ENOMEM;
	return p->grows & PROT_GROWSUP ? -EINVAL : 0;	/* no area grows up here */
}

static void note_populate(struct protect_request *p, uint64_t old, uint64_t new, uint64_t start, uint64_t end)
{
	if ((old & (VM_WRITE | VM_SHARED | VM_LOCKED)) != VM_LOCKED || !(new & VM_WRITE))
		return;
	p->populate_start = start;
	p->populate_end = end;
}

/* Until the end, an error, or something to populate. */
static int protect_areas(struct protect_request *p, struct vm_area_struct *vma)
{
	p->populate_start = p->populate_end = 0;
	for (; p->start < p->end && !p->populate_end; vma = vma_next(vma)) {
		uint64_t old, flags, start = p->start, end;
		int error;

		if (!vma || vma->vm_start > start)
			return -ENOMEM;
		error = new_flags(p, vma, &flags);
		if (error)
			return error;
		old = vma->vm_flags;
		end = min(p->end, (uint64_t)vma->vm_end);
		vma = mprotect_fixup(vma, start, end, flags, &error);
		if (error)
			return error;
		note_populate(p, old, flags, start, end);
		p->start = vma->vm_end;
	}
	return 0;
}

static int protect_range(struct protect_request *p)
{
	struct vm_area_struct *vma;
	int error;

	mmap_write_lock(p->mm);
	error = p->pkey == -1 || mm_pkey_is_allocated(p->mm, p->pkey) ? first_area(p, &vma) : -EINVAL;
	if (!error)
		error = protect_areas(p, vma);
	mmap_write_unlock(p->mm);
	while (p->populate_end) {
		populate_range(p->mm, p->populate_start, p->populate_end - p->populate_start, true);
		if (error)
			break;
		mmap_write_lock(p->mm);
		error = protect_areas(p, find_vma(p->mm, p->start));
		mmap_write_unlock(p->mm);
	}
	return error;
}

static int do_mprotect_pkey(struct mm_struct *mm, uint64_t start, uint64_t len, unsigned prot, int pkey)
{
	struct protect_request p = {
		.mm = mm, .start = start, .end = start + PAGE_ALIGN(len), .pkey = pkey,
		.prot = prot & ~(PROT_GROWSDOWN | PROT_GROWSUP),
		.grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP),
		.read_implies_exec = (mm->personality & READ_IMPLIES_EXEC) && (prot & PROT_READ),
	};

	if (p.grows == (PROT_GROWSDOWN | PROT_GROWSUP) || offset_in_page(start))
		return -EINVAL;
	if (!len)
		return 0;
	if (p.end <= start)
		return -ENOMEM;
	if (p.prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
		return -EINVAL;
	return protect_range(&p);
}

int aspace_mprotect(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned prot)
{
	return do_mprotect_pkey(mm, addr, length, prot, -1);
}

int aspace_pkey_mprotect(struct aspace_mm *mm, uint64_t addr, uint64_t length, unsigned prot, int pkey)
{
	return do_mprotect_pkey(mm, addr, length, prot, pkey);
}
