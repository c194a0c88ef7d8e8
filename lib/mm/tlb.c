/* SPDX-License-Identifier: MIT */
#include "mm/pagetable.h"

void flush_tlb_range(struct mm_struct *mm, uint64_t start, uint64_t end)
{
	port_flush(mm, start, end);
}

static void nothing_to_flush(struct mmu_gather *tlb)
{
	tlb->start = UINT64_MAX;
	tlb->end = 0;
}

/*
 * In an address space that nobody runs in any more no new translation comes up: one flush for all
 * of it, before anything is freed, is enough.
 */
void tlb_gather(struct mmu_gather *tlb, struct mm_struct *mm)
{
	tlb->mm = mm;
	tlb->nr = 0;
	tlb->dead = !atomic_load_explicit(&mm->mm_users, memory_order_acquire);
	for (int kind = 0; kind < NR_MM_COUNTERS; kind++)
		tlb->rss[kind] = 0;
	nothing_to_flush(tlb);
	if (tlb->dead)
		port_flush(mm, 0, UINT64_MAX);
}

void tlb_flush(struct mmu_gather *tlb)
{
	if (tlb->start < tlb->end && !tlb->dead)
		port_flush(tlb->mm, tlb->start, tlb->end);
	nothing_to_flush(tlb);
}

void tlb_flush_free(struct mmu_gather *tlb)
{
	tlb_flush(tlb);
	if (tlb->nr)
		free_pages_batch(tlb->mm->machine, tlb->pages, tlb->nr);
	tlb->nr = 0;
}

void tlb_finish(struct mmu_gather *tlb)
{
	tlb_flush_free(tlb);
	for (int kind = 0; kind < NR_MM_COUNTERS; kind++)
		rss_add(tlb->mm, kind, -tlb->rss[kind]);
}
