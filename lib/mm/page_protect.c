/* SPDX-License-Identifier: MIT */
/* mprotect's share of the tables: entries follow their area's new flags. */
#include "mm/pagetable.h"

struct protect_walk {
	struct pt_walk walk;	/* first */
	struct vm_area_struct *vma;
	pte_t read_only;	/* what an entry of the area has now, without and with write */
	pte_t writable;
	bool keep_write;	/* an entry that is writable stays so: its writes are known */
	uint64_t start, end;	/* where something was taken away */
};

/* Spares the next write its fault, where that would find nothing to do but this. */
static bool may_write(struct protect_walk *protect, pte_t entry)
{
	const struct pt_format *f = pt_format(protect->walk.mm);
	struct page *page = vm_normal_page(protect->walk.mm->machine, entry);

	if (!(protect->vma->vm_flags & VM_WRITE))
		return false;
	if (protect->vma->vm_flags & VM_SHARED)
		return pt_writable(f, entry) || protect->keep_write;
	return page && page_exclusive(page);
}

/* Are there accesses that the old entry allowed, and that are to fault from now on? */
static bool takes_away(const struct pt_format *f, pte_t old, pte_t new)
{
	return (pt_access(f, old) & ~pt_access(f, new)) || pt_pkey(f, old) != pt_pkey(f, new);
}

static void protect_leaf(struct protect_walk *protect, void *slot, pte_t entry, uint64_t addr)
{
	struct aspace_machine *m = protect->walk.mm->machine;
	const struct pt_format *f = m->format;
	const pte_t kept = f->pfn_mask | f->accessed | f->dirty | f->special | f->soft_dirty;
	struct page *page = vm_normal_page(m, entry);
	pte_t new;

	do {
		new = may_write(protect, entry) ? protect->writable : protect->read_only;
		new = (new & ~kept) | (entry & kept);
		if (new == entry)
			return;
	} while (!pt_compare_exchange(f, slot, &entry, new));
	if (takes_away(f, entry, new)) {
		if (addr < protect->start)
			protect->start = addr;
		protect->end = addr + PAGE_SIZE;
	}
	if (page && (protect->vma->vm_flags & VM_EXEC))
		atomic_fetch_or_explicit(&page->flags, PG_exec, memory_order_relaxed);
}

/* The flush is before the lock goes: from then on others take the entries at their word. */
static int protect_entries(struct pt_walk *walk, struct page *table, void *slot, uint64_t addr,
			   uint64_t end)
{
	struct protect_walk *protect = container_of(walk, struct protect_walk, walk);
	const struct pt_format *f = pt_format(walk->mm);

	if (pt_table_empty(table))
		return 0;
	spin_lock(page_ptl(table));
	for (; addr < end; addr += PAGE_SIZE, slot = pt_slot_next(f, slot)) {
		pte_t entry = pt_read(f, slot);

		if (pt_leaf(f, 0, entry))
			protect_leaf(protect, slot, entry, addr);
	}
	if (protect->start < protect->end)
		flush_tlb_range(walk->mm, protect->start, protect->end);
	protect->start = UINT64_MAX;
	protect->end = 0;
	spin_unlock(page_ptl(table));
	return 0;
}

void change_protection(struct vm_area_struct *vma, uint64_t start, uint64_t end)
{
	struct protect_walk protect = {
		.walk = { .mm = vma->vm_mm, .entries = protect_entries },
		.vma = vma,
		.read_only = vma_leaf_bits(vma, false),
		.writable = vma_leaf_bits(vma, true),
		.keep_write = !vma_wants_writenotify(vma),
		.start = UINT64_MAX,
	};

	walk_page_range(&protect.walk, start, end);
}
