/* SPDX-License-Identifier: MIT */
/*
 * The checker's share for page tables: every table of every address space is read, and what is found in
 * them is held against every counter that says the same: entries a table, tables a level, pages an
 * address space, entries and references a frame. Nobody else may be in the machine meanwhile.
 */
#include <stdio.h>

#include "mm/pagetable.h"

#define complain(c, ...) (snprintf((c)->why, (c)->size, __VA_ARGS__), -EUCLEAN)

struct check {
	struct aspace_machine *machine;
	struct mm_struct *mm;
	struct vm_area_struct *vma;	/* the area at, or above, the address at hand */
	uint32_t *entries;		/* by frame: entries that map it */
	long rss[NR_MM_COUNTERS], tables[5];
	char *why;
	size_t size;
};

/* The reverse map must lead from the page to this entry. */
static int check_rmap(struct check *c, struct page *page, uint64_t addr)
{
	struct vm_area_struct *vma = c->vma;
	struct anon_vma_chain *avc;

	if (page->index != linear_page_index(vma, addr))
		return complain(c, "page at %#lx has index %#lx, its area says %#lx", (unsigned long)addr,
				(unsigned long)page->index, (unsigned long)linear_page_index(vma, addr));
	if (!page_is_anon(page))
		return vma->vm_file && vma->vm_file->f_mapping == page->mapping ?
			       0 : complain(c, "page at %#lx is of another file than its area", (unsigned long)addr);
	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma)
		if (avc->anon_vma == page->anon_vma)
			return 0;
	return complain(c, "anonymous page at %#lx can't be found from its anon_vma", (unsigned long)addr);
}

static int check_frame(struct check *c, pte_t entry, uint64_t addr)
{
	struct page *page = vm_normal_page(c->machine, entry);

	if (!page)
		return 0;
	if (page->type != PAGE_ANON && page->type != PAGE_FILE && page->type != PAGE_SHMEM)
		return complain(c, "%#lx maps frame %#lx of type %u", (unsigned long)addr,
				(unsigned long)page_to_pfn(c->machine, page), page->type);
	c->entries[page_to_pfn(c->machine, page)]++;
	c->rss[page_rss_kind(page)]++;
	return check_rmap(c, page, addr);
}

static int check_leaf(struct check *c, pte_t entry, unsigned level, uint64_t addr)
{
	const struct pt_format *f = c->machine->format;
	uint64_t span = pt_span(f, level);
	int error = 0;

	while (c->vma && c->vma->vm_end <= addr)
		c->vma = vma_next(c->vma);
	if (!c->vma || c->vma->vm_start > addr || c->vma->vm_end < addr + span)
		return complain(c, "an entry at %#lx, where there is no area", (unsigned long)addr);
	if (!pt_leaf(f, level, entry))
		return 0;
	if (pt_access(f, entry) & ~vm_access_of(c->vma->vm_flags))
		return complain(c, "the entry at %#lx allows more than its area", (unsigned long)addr);
	for (uint64_t off = 0; off < span && !error; off += PAGE_SIZE)
		error = check_frame(c, entry + pt_from_pfn(f, off >> PAGE_SHIFT), addr + off);
	return error;
}

static int check_table(struct check *c, struct page *table, unsigned level, uint64_t base)
{
	const struct pt_format *f = c->machine->format;
	uint8_t *slot = page_address(c->machine, table);
	struct list_head *deposit;
	uint32_t found = 0;
	int error = 0;

	if (table->type != PAGE_TABLE || table->level != level || table->pt_mm != c->mm)
		return complain(c, "the table at %#lx, level %u, is none", (unsigned long)base, level);
	c->tables[level]++;
	list_for_each(deposit, &table->lru)
		c->tables[list_entry(deposit, struct page, lru)->level]++;
	for (unsigned i = 0; i < pt_entries(f, level) && !error; i++, slot = pt_slot_next(f, slot)) {
		pte_t entry = pt_read(f, slot);
		uint64_t addr = base + i * pt_span(f, level);

		if (pt_none(entry))
			continue;
		found++;
		error = pt_table(f, level, entry) ?
				check_table(c, pfn_to_page(c->machine, pt_pfn(f, entry)), level - 1, addr) :
				check_leaf(c, entry, level, addr);
	}
	if (!error && found != atomic_load(&table->nr_entries))
		return complain(c, "the table at %#lx, level %u, holds %u entries, counted %u", (unsigned long)base,
				level, found, atomic_load(&table->nr_entries));
	return error;
}

static int check_space(struct check *c, struct mm_struct *mm)
{
	unsigned top = c->machine->format->levels - 1;
	int error;

	c->mm = mm;
	c->vma = find_vma(mm, 0);
	for (int i = 0; i < NR_MM_COUNTERS; i++)
		c->rss[i] = 0;
	for (int i = 0; i < 5; i++)
		c->tables[i] = 0;
	error = check_table(c, phys_to_page(c->machine, mm->pgd), top, 0);
	for (int i = 0; i < NR_MM_COUNTERS && !error; i++)
		if (c->rss[i] != atomic_load(&mm->rss_stat[i]))
			error = complain(c, "rss_stat[%d] is %ld, mapped are %ld", i, atomic_load(&mm->rss_stat[i]),
					 c->rss[i]);
	for (int i = 0; i < 5 && !error; i++)
		if (c->tables[i] != atomic_load(&mm->pgtables[i]))
			error = complain(c, "%ld tables of level %d, counted %ld", c->tables[i], i,
					 atomic_load(&mm->pgtables[i]));
	return error;
}

/* A frame's references are its entries, and the cache's one. */
static int check_counts(struct check *c)
{
	for (pfn_t pfn = 0; pfn < c->machine->nr_frames; pfn++) {
		struct page *page = pfn_to_page(c->machine, pfn);
		int32_t mapped = (int32_t)c->entries[pfn], refs = atomic_load(&page->_refcount);
		bool anon = page->type == PAGE_ANON, cached = page->type == PAGE_FILE || page->type == PAGE_SHMEM;

		if (!anon && !cached)
			continue;
		if (mapped != atomic_load(&page->_mapcount))
			return complain(c, "frame %#lx: %d entries map it, counted %d", (unsigned long)pfn, mapped,
					atomic_load(&page->_mapcount));
		if (refs != mapped + cached)
			return complain(c, "frame %#lx: %d references, %d entries%s", (unsigned long)pfn, refs, mapped,
					cached ? " and the cache" : "");
	}
	return 0;
}

int check_translation(struct aspace_machine *machine, char *why, size_t size)
{
	struct check c = { .machine = machine, .why = why, .size = size };
	size_t bytes = machine->nr_frames * sizeof(*c.entries);
	struct mm_struct *mm;
	int error = 0;

	c.entries = domain_alloc(&machine->domain, bytes);
	if (!c.entries)
		return -ENOMEM;
	list_for_each_entry(mm, &machine->mmlist, mmlist) {
		if (!error && mm->pgd)
			error = check_space(&c, mm);
	}
	if (!error)
		error = check_counts(&c);
	domain_free(&machine->domain, c.entries, bytes);
	return error;
}
