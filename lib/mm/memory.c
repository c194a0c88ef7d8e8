/* SPDX-License-Identifier: MIT */
/*
 * Faults: what happens when an access finds no entry that allows it.
 *
 *	aspace_fault ----> fault_in            is there an area, may it be accessed so?
 *	uaccess.c ----^       |                no: SIGSEGV; below a stack: grow it, look again
 *	                      v
 *	                 handle_mm_fault       what does the entry say?
 *	    +-----------------+---------------------------+--------------------+
 *	  none, anonymous   none, of a file             present, read-only   marker
 *	    |                 |                           and a write          |
 *	  read: zero page   driver: its frame             |                 guard: SIGSEGV
 *	  write: new page   read: page cache, around    shared: dirty it
 *	                    private write: copy         private: reuse or copy
 *	                    shared write: dirty it
 *
 * Memory is allocated, and files are read, with no page_ptl held; then the lock is taken, the entry
 * is compared with what was decided on, and set. Whoever finds it changed gives back what it made
 * and lets the access try again: somebody else has settled it, or the next fault will.
 *
 * A page of a file is mapped under the file's invalidate_lock, held for reading since it was looked
 * up: so truncation, which holds it for writing, never leaves an entry behind.
 *
 * Fork write-protects, so that a private page that is writable has one owner. The converse doesn't
 * hold: the last owner finds its page write-protected and takes it back (page_exclusive).
 */
#include <string.h>

#include "base/ram.h"
#include "mm/pagetable.h"

/* One fault on its way. */
struct vm_fault {
	struct mm_struct *mm;
	struct vm_area_struct *vma;
	uint64_t addr;		/* of the page */
	unsigned access;
	struct page *table;	/* where the entry stands */
	void *slot;
	struct fault_outcome *outcome;
};

static const struct pt_format *fault_format(const struct vm_fault *vmf)
{
	return vmf->mm->machine->format;
}

static bool is_write(const struct vm_fault *vmf)
{
	return vmf->access & ASPACE_WRITE;
}

/* ---- outcomes ---------------------------------------------------------------------------- */

#define COUNT(mm, what)							\
	atomic_fetch_add_explicit(&(mm)->machine->count.what, 1, memory_order_relaxed)

static int fault_signal(struct vm_fault *vmf, int signal, int code)
{
	vmf->outcome->signal = signal;
	vmf->outcome->code = code;
	vmf->outcome->kind = signal == ASPACE_SIGBUS ? "bus" : "segv";
	return -EFAULT;
}

/* What the page cache could not give: no memory, or the bytes that aren't there. */
static int fault_failed(struct vm_fault *vmf, int err)
{
	return err == -ENOMEM ? err : fault_signal(vmf, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
}

static int fault_done(struct vm_fault *vmf, const char *kind)
{
	vmf->outcome->kind = kind;
	return 0;
}

static int fault_spurious(struct vm_fault *vmf)
{
	COUNT(vmf->mm, spurious);
	return fault_done(vmf, "spurious");
}

/* ---- entries ----------------------------------------------------------------------------- */

bool vma_wants_writenotify(const struct vm_area_struct *vma)
{
	const uint64_t shared_write = VM_SHARED | VM_WRITE;

	if ((vma->vm_flags & shared_write) != shared_write || !vma->vm_file)
		return false;
	if (vma->vm_file->vm_ops && vma->vm_file->vm_ops->page_mkwrite)
		return true;
	return vma->vm_file->f_mapping->ops && !(vma->vm_flags & VM_PFNMAP);
}

pte_t vma_leaf_bits(const struct vm_area_struct *vma, bool write)
{
	unsigned access = vm_access_of(vma->vm_flags);

	if (!write && (access & ASPACE_WRITE))
		access = (access & ~ASPACE_WRITE) | ASPACE_READ;
	return pt_leaf_bits(vma->vm_mm->machine->format, access,
			    (vma->vm_flags & VM_PKEY_MASK) >> VM_PKEY_SHIFT);
}

/* A leaf of the area as the fault leaves it; writable where the area is, if `write`. */
static pte_t make_leaf(struct vm_fault *vmf, pfn_t pfn, bool write, bool dirty)
{
	const struct pt_format *f = fault_format(vmf);
	pte_t entry = pt_from_pfn(f, pfn) | vma_leaf_bits(vmf->vma, write);

	return dirty ? entry | f->dirty | f->soft_dirty : entry;
}

static pfn_t page_pfn(struct vm_fault *vmf, struct page *page)
{
	return page_to_pfn(vmf->mm->machine, page);
}

/* A page's code may be in translators' caches from now on. */
static void page_note_exec(struct vm_area_struct *vma, struct page *page)
{
	if ((vma->vm_flags & VM_EXEC) &&
	    !(atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_exec))
		atomic_fetch_or_explicit(&page->flags, PG_exec, memory_order_relaxed);
}

/* The entry was none; the page's reference goes into it. page_ptl is held. */
static void set_new_entry(struct vm_fault *vmf, void *slot, struct page *page, pte_t entry)
{
	page_note_exec(vmf->vma, page);
	atomic_fetch_add_explicit(&page->_mapcount, 1, memory_order_relaxed);
	pt_store(fault_format(vmf), slot, entry);
	pt_count_entries(vmf->table, 1);
}

/* A new page of the area, that no one else has seen yet. */
static void page_add_new_anon_rmap(struct page *page, struct vm_area_struct *vma, uint64_t addr)
{
	page->anon_vma = vma->anon_vma;
	page->index = linear_page_index(vma, addr);
}

/*
 * Sets the entry if there still is none. The page's reference goes into it, or is put: when page_ptl
 * is dropped, the page may be another's already.
 */
static bool install_page(struct vm_fault *vmf, struct page *page, pte_t entry)
{
	int kind = page_rss_kind(page);
	bool none;

	spin_lock(page_ptl(vmf->table));
	none = pt_none(pt_read(fault_format(vmf), vmf->slot));
	if (none)
		set_new_entry(vmf, vmf->slot, page, entry);
	spin_unlock(page_ptl(vmf->table));
	if (none)
		rss_add(vmf->mm, kind, 1);
	else
		put_page(vmf->mm->machine, page);
	return none;
}

/* ---- anonymous memory -------------------------------------------------------------------- */

static int map_zero_page(struct vm_fault *vmf)
{
	struct aspace_machine *m = vmf->mm->machine;
	const struct pt_format *f = m->format;
	bool none;

	spin_lock(page_ptl(vmf->table));
	none = pt_none(pt_read(f, vmf->slot));
	if (none) {
		pt_store(f, vmf->slot,
			 make_leaf(vmf, page_to_pfn(m, m->zero_page), false, false) | f->special);
		pt_count_entries(vmf->table, 1);
	}
	spin_unlock(page_ptl(vmf->table));
	if (!none)
		return fault_spurious(vmf);
	COUNT(vmf->mm, zero_page);
	return fault_done(vmf, "zero");
}

static int do_anonymous_page(struct vm_fault *vmf)
{
	struct page *page;

	if (!is_write(vmf))
		return map_zero_page(vmf);
	if (anon_vma_prepare(vmf->vma))
		return -ENOMEM;
	page = alloc_page(vmf->mm->machine, PAGE_ANON, GFP_ZERO);
	if (!page)
		return -ENOMEM;
	page_add_new_anon_rmap(page, vmf->vma, vmf->addr);
	if (!install_page(vmf, page, make_leaf(vmf, page_pfn(vmf, page), true, true)))
		return fault_spurious(vmf);
	COUNT(vmf->mm, anon);
	return fault_done(vmf, "anon");
}

/* ---- files ------------------------------------------------------------------------------- */

/*
 * The pages that a read fault maps beside its own: those of a window of fault_around_bytes that lie
 * in the area and in the table, and are in the cache by chance. The window begins where it is
 * aligned, or where the area does; so it may end out of step, as Linux's.
 */
static void fault_around_window(struct vm_fault *vmf, uint64_t *start, uint64_t *end)
{
	uint64_t window = vmf->mm->machine->options.fault_around_bytes;
	uint64_t table = pt_span(fault_format(vmf), 1);

	if (window > table)
		window = table;
	*start = vmf->addr & ~(window - 1);
	if (*start < vmf->vma->vm_start)
		*start = vmf->vma->vm_start;
	*end = *start + window;
	if (*end > (vmf->addr | (table - 1)) + 1)
		*end = (vmf->addr | (table - 1)) + 1;
	if (*end > vmf->vma->vm_end)
		*end = vmf->vma->vm_end;
}

#define FAULT_AROUND_MAX 64

/* Sets those entries that are none. Takes the pages' references. Was one of them at vmf->addr? */
static bool map_pages(struct vm_fault *vmf, struct page **pages, unsigned n, bool write)
{
	const struct pt_format *f = fault_format(vmf);
	struct page *left[FAULT_AROUND_MAX];
	struct page *table = vmf->table;
	int kind = n ? page_rss_kind(pages[0]) : MM_FILEPAGES;
	unsigned nr_left = 0;
	int64_t rss = 0;
	bool hit = false;

	spin_lock(page_ptl(table));
	for (unsigned i = 0; i < n; i++) {
		struct page *page = pages[i];
		int64_t delta = (int64_t)(page->index - linear_page_index(vmf->vma, vmf->addr));
		void *slot = (uint8_t *)vmf->slot + delta * (1 << f->entry_shift);

		hit |= !delta;
		if (!pt_none(pt_read(f, slot))) {
			left[nr_left++] = page;
			continue;
		}
		set_new_entry(vmf, slot, page, make_leaf(vmf, page_pfn(vmf, page), write, false));
		rss++;
	}
	spin_unlock(page_ptl(table));
	rss_add(vmf->mm, kind, rss);
	if (nr_left)
		free_pages_batch(vmf->mm->machine, left, nr_left);
	return hit;
}

/* Nothing is read for this, so it may map nothing at all. */
static bool do_fault_around(struct vm_fault *vmf, struct address_space *mapping, bool write)
{
	struct page *pages[FAULT_AROUND_MAX];
	uint64_t start, end;
	unsigned n;

	if (vmf->mm->machine->options.fault_around_bytes <= PAGE_SIZE)
		return false;
	fault_around_window(vmf, &start, &end);
	if (end - start > FAULT_AROUND_MAX * PAGE_SIZE) {
		start = vmf->addr;
		if (end - start > FAULT_AROUND_MAX * PAGE_SIZE)
			end = start + FAULT_AROUND_MAX * PAGE_SIZE;
	}
	n = filemap_get_pages(mapping, linear_page_index(vmf->vma, start),
			      linear_page_index(vmf->vma, end - PAGE_SIZE), pages, FAULT_AROUND_MAX);
	return map_pages(vmf, pages, n, write);
}

static int get_file_page(struct vm_fault *vmf, struct address_space *mapping, struct page **page)
{
	int err = filemap_get_page(mapping, linear_page_index(vmf->vma, vmf->addr), true, page,
				   &vmf->outcome->major);

	return err ? fault_failed(vmf, err) : 0;
}

static int do_read_fault(struct vm_fault *vmf, struct address_space *mapping)
{
	bool write = (vmf->vma->vm_flags & VM_SHARED) && !vma_wants_writenotify(vmf->vma);
	struct page *page;
	int err;

	if (!do_fault_around(vmf, mapping, write)) {
		err = get_file_page(vmf, mapping, &page);
		if (err)
			return err;
		if (!install_page(vmf, page, make_leaf(vmf, page_pfn(vmf, page), write, false)))
			return fault_spurious(vmf);
	}
	COUNT(vmf->mm, file);
	return fault_done(vmf, "file");
}

/* A private write to what was never mapped: straight to the copy. */
static int do_cow_fault(struct vm_fault *vmf, struct address_space *mapping)
{
	struct aspace_machine *m = vmf->mm->machine;
	struct page *page, *copy;
	int err;

	if (anon_vma_prepare(vmf->vma))
		return -ENOMEM;
	copy = alloc_page(m, PAGE_ANON, 0);
	if (!copy)
		return -ENOMEM;
	err = get_file_page(vmf, mapping, &page);
	if (err) {
		put_page(m, copy);
		return err;
	}
	ram_copy(page_address(m, copy), page_address(m, page), PAGE_SIZE);
	put_page(m, page);
	page_add_new_anon_rmap(copy, vmf->vma, vmf->addr);
	if (!install_page(vmf, copy, make_leaf(vmf, page_pfn(vmf, copy), true, true)))
		return fault_spurious(vmf);
	COUNT(vmf->mm, cow_copy);
	return fault_done(vmf, "cow");
}

/* A driver may refuse that the page is written to. */
static int do_page_mkwrite(struct vm_fault *vmf)
{
	const struct aspace_vm_ops *ops = vmf->vma->vm_file ? vmf->vma->vm_file->vm_ops : NULL;
	int err;

	if (!ops || !ops->page_mkwrite)
		return 0;
	err = ops->page_mkwrite(vmf->vma->vm_file->priv, vmf->vma,
				linear_page_index(vmf->vma, vmf->addr) << PAGE_SHIFT);
	return err ? fault_failed(vmf, err) : 0;
}

/*
 * Write-back clears the page's dirty mark, then write-protects all its entries, then writes. Mark
 * and entry are set under the same page_ptl, so that either it protects this entry too, or it finds
 * the mark and comes again.
 */
static void mark_page_written(struct vm_fault *vmf, struct page *page)
{
	if (page)
		note_dirty(page, true);
}

static int do_shared_fault(struct vm_fault *vmf, struct address_space *mapping)
{
	const struct pt_format *f = fault_format(vmf);
	struct page *page;
	bool none;
	int kind, err = get_file_page(vmf, mapping, &page);

	if (err)
		return err;
	kind = page_rss_kind(page);
	err = do_page_mkwrite(vmf);
	if (err) {
		put_page(vmf->mm->machine, page);
		return err;
	}
	spin_lock(page_ptl(vmf->table));
	none = pt_none(pt_read(f, vmf->slot));
	if (none) {
		mark_page_written(vmf, page);
		set_new_entry(vmf, vmf->slot, page, make_leaf(vmf, page_pfn(vmf, page), true, true));
	}
	spin_unlock(page_ptl(vmf->table));
	if (!none) {
		put_page(vmf->mm->machine, page);
		return fault_spurious(vmf);
	}
	rss_add(vmf->mm, kind, 1);
	COUNT(vmf->mm, file);
	return fault_done(vmf, "file");
}

static int do_file_fault(struct vm_fault *vmf)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	int err;

	down_read(&mapping->invalidate_lock);
	if (!is_write(vmf))
		err = do_read_fault(vmf, mapping);
	else if (!(vmf->vma->vm_flags & VM_SHARED))
		err = do_cow_fault(vmf, mapping);
	else
		err = do_shared_fault(vmf, mapping);
	up_read(&mapping->invalidate_lock);
	return err;
}

/* ---- drivers ----------------------------------------------------------------------------- */

/* The frame is the driver's: no reference, no reverse map. A private write to it is copied later. */
static int do_driver_fault(struct vm_fault *vmf)
{
	const struct aspace_vm_ops *ops = vmf->vma->vm_file->vm_ops;
	const struct pt_format *f = fault_format(vmf);
	bool shared = vmf->vma->vm_flags & VM_SHARED;
	uint64_t phys = 0;
	bool none;
	int err;

	err = ops->fault(vmf->vma->vm_file->priv, vmf->vma,
			 linear_page_index(vmf->vma, vmf->addr) << PAGE_SHIFT, &phys);
	if (!err && is_write(vmf) && shared)
		err = do_page_mkwrite(vmf);
	if (err)
		return fault_failed(vmf, err);
	spin_lock(page_ptl(vmf->table));
	none = pt_none(pt_read(f, vmf->slot));
	if (none) {
		bool write = shared && (is_write(vmf) || !ops->page_mkwrite);

		pt_store(f, vmf->slot, f->special | make_leaf(vmf, phys >> PAGE_SHIFT, write,
							      write && is_write(vmf)));
		pt_count_entries(vmf->table, 1);
	}
	spin_unlock(page_ptl(vmf->table));
	return none ? fault_done(vmf, "driver") : fault_spurious(vmf);
}

static int do_fault(struct vm_fault *vmf)
{
	struct aspace_file *file = vmf->vma->vm_file;

	if (file && file->vm_ops && file->vm_ops->fault)
		return do_driver_fault(vmf);
	if (!file || (vmf->vma->vm_flags & VM_PFNMAP))
		return fault_signal(vmf, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
	return do_file_fault(vmf);
}

/* ---- writes to what is present and read-only --------------------------------------------- */

/* The entry allows more from now on; no translation need be flushed. page_ptl is held. */
static void allow_write(struct vm_fault *vmf)
{
	const struct pt_format *f = fault_format(vmf);
	pte_t write = vmf->vma->vm_flags & VM_WRITE ? f->write : 0;	/* FORCE: stays read-only */

	pt_change(f, vmf->slot, 0, write | f->accessed | f->dirty | f->soft_dirty);
}

/* Does the entry still map what was decided on? Bits that the hardware sets don't matter. */
static bool same_frame(const struct pt_format *f, pte_t a, pte_t b)
{
	return !((a ^ b) & ~(f->accessed | f->dirty));
}

static int wp_page_shared(struct vm_fault *vmf, pte_t entry)
{
	const struct pt_format *f = fault_format(vmf);
	bool same;
	int err = do_page_mkwrite(vmf);

	if (err)
		return err;
	spin_lock(page_ptl(vmf->table));
	same = same_frame(f, pt_read(f, vmf->slot), entry);
	if (same) {
		mark_page_written(vmf, vm_normal_page(vmf->mm->machine, entry));
		allow_write(vmf);
	}
	spin_unlock(page_ptl(vmf->table));
	if (!same)
		return fault_spurious(vmf);
	COUNT(vmf->mm, shared_dirty);
	return fault_done(vmf, "dirty");
}

/*
 * The copy takes the old page's place. Other threads may hold translations to the old page, which
 * must be gone before the first of them can see the new one.
 */
static bool replace_page(struct vm_fault *vmf, pte_t entry, struct page *old, struct page *copy)
{
	const struct pt_format *f = fault_format(vmf);
	struct mm_struct *mm = vmf->mm;

	spin_lock(page_ptl(vmf->table));
	if (!same_frame(f, pt_read(f, vmf->slot), entry)) {
		spin_unlock(page_ptl(vmf->table));
		return false;
	}
	page_note_exec(vmf->vma, copy);
	atomic_fetch_add_explicit(&copy->_mapcount, 1, memory_order_relaxed);
	pt_exchange(f, vmf->slot, 0);
	flush_tlb_range(mm, vmf->addr, vmf->addr + PAGE_SIZE);
	pt_store(f, vmf->slot, make_leaf(vmf, page_pfn(vmf, copy), true, true));
	if (old)
		atomic_fetch_sub_explicit(&old->_mapcount, 1, memory_order_relaxed);
	spin_unlock(page_ptl(vmf->table));
	if (!old || !page_is_anon(old)) {
		rss_add(mm, MM_ANONPAGES, 1);
		if (old)
			rss_add(mm, page_rss_kind(old), -1);
	}
	return true;
}

/* old: the page with a reference for us, or NULL where the frame has no owner. */
static int wp_page_copy(struct vm_fault *vmf, pte_t entry, struct page *old)
{
	struct aspace_machine *m = vmf->mm->machine;
	bool zero = pt_is_zero_page(m, entry);
	struct page *copy = NULL;
	bool done;

	if (!old && !zero && !pfn_valid(m, pt_pfn(m->format, entry)))
		return fault_signal(vmf, ASPACE_SIGBUS, ASPACE_BUS_ADRERR);
	if (!anon_vma_prepare(vmf->vma))
		copy = alloc_page(m, PAGE_ANON, zero ? GFP_ZERO : 0);
	if (!copy)
		return -ENOMEM;
	if (!zero)
		ram_copy(page_address(m, copy), m->ram + (pt_pfn(m->format, entry) << PAGE_SHIFT),
			 PAGE_SIZE);
	page_add_new_anon_rmap(copy, vmf->vma, vmf->addr);
	done = replace_page(vmf, entry, old, copy);
	if (!done) {
		put_page(m, copy);
		return fault_spurious(vmf);
	}
	if (old)
		put_page(m, old);	/* the entry's reference; ours is the caller's */
	if (zero)
		COUNT(vmf->mm, anon);
	else
		COUNT(vmf->mm, cow_copy);
	return fault_done(vmf, zero ? "anon" : "cow");
}

/* Decides under the lock; what takes memory is done without it, on the strength of `entry`. */
static int do_wp_page(struct vm_fault *vmf)
{
	struct aspace_machine *m = vmf->mm->machine;
	const struct pt_format *f = m->format;
	struct page *page = NULL;
	pte_t entry;
	int err;

	spin_lock(page_ptl(vmf->table));
	entry = pt_read(f, vmf->slot);
	if (!pt_leaf(f, 0, entry) || pt_writable(f, entry)) {
		spin_unlock(page_ptl(vmf->table));
		return fault_spurious(vmf);
	}
	page = vm_normal_page(m, entry);
	if (vmf->vma->vm_flags & VM_SHARED) {
		spin_unlock(page_ptl(vmf->table));
		return wp_page_shared(vmf, entry);
	}
	if (page && page_exclusive(page)) {
		allow_write(vmf);
		spin_unlock(page_ptl(vmf->table));
		COUNT(vmf->mm, cow_reuse);
		return fault_done(vmf, "reuse");
	}
	if (page)
		get_page(page);
	spin_unlock(page_ptl(vmf->table));
	err = wp_page_copy(vmf, entry, page);
	if (page)
		put_page(m, page);
	return err;
}

/* ---- the decision ------------------------------------------------------------------------ */

/*
 * A leaf is there, and the area allows the access. Either the entry gives less than the area on
 * purpose (a write must be seen), or the fault is late: another thread was first, or the
 * translation that refused was stale.
 */
static int fault_on_leaf(struct vm_fault *vmf, pte_t entry)
{
	const struct pt_format *f = fault_format(vmf);

	if (is_write(vmf) && !pt_writable(f, entry))
		return do_wp_page(vmf);
	return fault_spurious(vmf);
}

/* A huge leaf: gives way to single pages where it gives less than the access needs. */
static bool huge_leaf_suffices(struct vm_fault *vmf, struct pt_pos pos)
{
	const struct pt_format *f = fault_format(vmf);
	pte_t entry = pt_read(f, pos.slot);

	return pos.level && pt_leaf(f, pos.level, entry) && pt_present(f, entry) &&
	       (!is_write(vmf) || pt_writable(f, entry));
}

int handle_mm_fault(struct vm_area_struct *vma, uint64_t addr, unsigned access,
		    struct fault_outcome *outcome)
{
	struct mm_struct *mm = vma->vm_mm;
	struct vm_fault vmf = {
		.mm = mm, .vma = vma, .addr = addr & PAGE_MASK, .access = access, .outcome = outcome,
	};
	struct pt_pos pos = pt_find(mm, vmf.addr);
	pte_t entry;

	if (huge_leaf_suffices(&vmf, pos))
		return fault_spurious(&vmf);
	vmf.table = pos.table;
	vmf.slot = pos.level ? pte_alloc(mm, vmf.addr, &vmf.table) : pos.slot;
	if (!vmf.slot)
		return -ENOMEM;
	entry = pt_read(mm->machine->format, vmf.slot);
	if (pt_none(entry))
		return vma_is_anonymous(vma) ? do_anonymous_page(&vmf) : do_fault(&vmf);
	if (pt_leaf(mm->machine->format, 0, entry))
		return fault_on_leaf(&vmf, entry);
	return fault_signal(&vmf, ASPACE_SIGSEGV, ASPACE_SEGV_MAPERR);	/* a guard marker */
}

/* ---- which area -------------------------------------------------------------------------- */

static int no_such_memory(struct mm_struct *mm, uint64_t addr, int code, struct aspace_fault *fault)
{
	COUNT(mm, signal);
	fault->signal = ASPACE_SIGSEGV;
	fault->code = code;
	fault->addr = addr;
	fault->kind = "segv";
	return -EFAULT;
}

/*
 * Takes mmap_lock for writing to let the area above addr grow, and for reading again. 0: look
 * again; -EFAULT: there is no stack, or it may not grow so far.
 */
int grow_stack(struct mm_struct *mm, uint64_t addr)
{
	struct vm_area_struct *vma;
	int err = -EFAULT;

	up_read(&mm->mmap_lock);
	down_write(&mm->mmap_lock);
	vma = find_vma(mm, addr);
	if (vma && vma->vm_start <= addr)
		err = 0;	/* another thread grew it */
	else if (vma && (vma->vm_flags & VM_GROWSDOWN) && !expand_stack(vma, addr & PAGE_MASK))
		err = 0;
	up_write(&mm->mmap_lock);
	down_read(&mm->mmap_lock);
	if (!err)
		COUNT(mm, stack);
	return err;
}

static bool pkey_denies(const struct vm_area_struct *vma, unsigned access, uint32_t pkru)
{
	unsigned pkey = (vma->vm_flags & VM_PKEY_MASK) >> VM_PKEY_SHIFT;
	unsigned rights = (pkru >> (2 * pkey)) & 3;	/* bit 0: no access, bit 1: no write */

	if (!pkru || (access & (ASPACE_EXEC | ASPACE_REMOTE)))
		return false;
	return (rights & 1) || ((rights & 2) && (access & ASPACE_WRITE));
}

/* ptrace writes to its own copy of a private page, and reads what may be read some day. */
static bool force_allows(const struct vm_area_struct *vma, unsigned access)
{
	if (!(access & ASPACE_FORCE))
		return false;
	if (access & ASPACE_WRITE)
		return (vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE;
	return vma->vm_flags & VM_MAYREAD;
}

static bool area_allows(const struct vm_area_struct *vma, unsigned access)
{
	unsigned wanted = access & (ASPACE_READ | ASPACE_WRITE | ASPACE_EXEC);

	if (!(wanted & ~vm_access_of(vma->vm_flags)))
		return true;
	return force_allows(vma, access);
}

/* The area that holds addr and allows the access; else the fault is decided. */
static struct vm_area_struct *fault_area(struct mm_struct *mm, uint64_t addr, unsigned access,
					 uint32_t pkru, struct aspace_fault *fault)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	if (!vma || vma->vm_start > addr) {
		if (!vma || !(vma->vm_flags & VM_GROWSDOWN) || grow_stack(mm, addr)) {
			no_such_memory(mm, addr, ASPACE_SEGV_MAPERR, fault);
			return NULL;
		}
		return fault_area(mm, addr, access, pkru, fault);
	}
	if (pkey_denies(vma, access, pkru)) {
		no_such_memory(mm, addr, ASPACE_SEGV_PKUERR, fault);
		fault->pkey = (int)((vma->vm_flags & VM_PKEY_MASK) >> VM_PKEY_SHIFT);
		return NULL;
	}
	if (!area_allows(vma, access) && !(access == ASPACE_EXEC && vm_access_of(vma->vm_flags))) {
		no_such_memory(mm, addr, ASPACE_SEGV_ACCERR, fault);
		return NULL;
	}
	return vma;
}

/*
 * An instruction is fetched where nothing may be executed. Linux takes the first fault for a read
 * that finds no page, and brings it in; the second, that finds one, is an error. Both at once here.
 */
static int fetch_from_data(struct vm_area_struct *vma, uint64_t addr, struct fault_outcome *outcome)
{
	const struct pt_format *f = pt_format(vma->vm_mm);
	struct pt_pos pos = pt_find(vma->vm_mm, addr);
	int err = 0;

	if (!pt_leaf(f, pos.level, pt_read(f, pos.slot)))
		err = handle_mm_fault(vma, addr, ASPACE_READ, outcome);
	if (err)
		return err;
	outcome->signal = ASPACE_SIGSEGV;
	outcome->code = ASPACE_SEGV_ACCERR;
	return -EFAULT;
}

static void count_fault(struct mm_struct *mm, bool major)
{
	if (major) {
		atomic_fetch_add_explicit(&mm->maj_flt, 1, memory_order_relaxed);
		COUNT(mm, major);
	} else {
		atomic_fetch_add_explicit(&mm->min_flt, 1, memory_order_relaxed);
	}
}

int fault_in(struct mm_struct *mm, uint64_t addr, unsigned access, uint32_t pkru,
	     struct aspace_fault *fault)
{
	struct fault_outcome outcome = { 0 };
	struct vm_area_struct *vma = fault_area(mm, addr, access, pkru, fault);
	int err, tries = 0;

	if (!vma)
		return -EFAULT;
	if (!mm->machine->mem_map) {	/* areas only: the pages are the embedder's */
		if (area_allows(vma, access))
			return 0;
		no_such_memory(mm, addr, ASPACE_SEGV_ACCERR, fault);
		return -EFAULT;
	}
	do {
		if (access == ASPACE_EXEC && !area_allows(vma, access))
			err = fetch_from_data(vma, addr, &outcome);
		else
			err = handle_mm_fault(vma, addr, access, &outcome);
	} while (err == -ENOMEM && tries++ < 16 && reclaim_pages(mm->machine));
	fault->kind = outcome.kind;
	fault->major = outcome.major;
	if (!err) {
		count_fault(mm, outcome.major);
	} else if (err == -EFAULT) {
		COUNT(mm, signal);
		fault->signal = outcome.signal;
		fault->code = outcome.code;
		fault->addr = addr;
	}
	return err;
}

/* The caller's struct may be shorter than ours, or absent. */
int aspace_fault(struct mm_struct *mm, uint64_t addr, unsigned access, uint32_t pkru,
		 struct aspace_fault *result)
{
	struct aspace_fault fault = { .size = sizeof(fault) };
	int err;

	down_read(&mm->mmap_lock);
	err = fault_in(mm, addr, access, pkru, &fault);
	up_read(&mm->mmap_lock);
	if (result) {
		size_t size = result->size && result->size < sizeof(fault) ? result->size : sizeof(fault);

		fault.size = size;
		memcpy(result, &fault, size);
	}
	return err;
}
