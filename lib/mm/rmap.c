/* SPDX-License-Identifier: MIT */
/*
 * Reverse mapping: from a page to the entries that map it.
 *
 * A page of a file is at one index of its file, and every area that maps that index stands in the
 * file's i_mmap. An anonymous page is at one index of the anon_vma that it was born in, and every
 * area that may hold an entry for it is linked there by a chain link (avc). Fork gives the child a
 * new anon_vma for what it writes itself, and links it to its parent's for what it inherits:
 *
 *	parent vma --avc--> A <--avc-- child vma --avc--> B        A.root = B.root = A
 *	                    |                             |        (one lock for the tree of them)
 *	                 pages before the fork         the child's copies
 *
 * An area's links all have one root. Index trees are only pure structure: they work on a machine
 * that has no pages too.
 */
#include "mm/pagetable.h"

#define avc_of(node)	container_of(node, struct anon_vma_chain, rb)
#define shared_of(node)	container_of(node, struct vm_area_struct, shared)

static void set_interval(struct interval_tree_node *node, const struct vm_area_struct *vma)
{
	node->start = vma->vm_pgoff;
	node->last = vma->vm_pgoff + vma_pages(vma) - 1;
}

/* ---- anon_vma: objects ------------------------------------------------------------------- */

/* A root is its own parent and child. */
static struct anon_vma *anon_vma_alloc(struct aspace_machine *m)
{
	struct anon_vma *anon_vma = kmem_cache_alloc(m->anon_vma_cachep);

	if (!anon_vma)
		return NULL;
	anon_vma->root = anon_vma;
	init_rwsem(&anon_vma->rwsem);
	atomic_init(&anon_vma->refcount, 1);
	anon_vma->num_children = 1;
	anon_vma->num_active_vmas = 0;
	anon_vma->parent = anon_vma;
	anon_vma->rb_root = RB_ROOT;
	return anon_vma;
}

/* Each one of a tree holds a reference on the root, for its lock. */
static void anon_vma_put(struct aspace_machine *m, struct anon_vma *anon_vma)
{
	struct anon_vma *root = anon_vma->root;

	if (atomic_fetch_sub_explicit(&anon_vma->refcount, 1, memory_order_acq_rel) != 1)
		return;
	kmem_cache_free(m->anon_vma_cachep, anon_vma);
	if (root != anon_vma)
		anon_vma_put(m, root);
}

static struct anon_vma_chain *avc_alloc(struct aspace_machine *m)
{
	return kmem_cache_alloc(m->anon_vma_chain_cachep);
}

static void avc_free(struct aspace_machine *m, struct anon_vma_chain *avc)
{
	kmem_cache_free(m->anon_vma_chain_cachep, avc);
}

/* root->rwsem for writing, and what guards vma->anon_vma_chain. */
static void avc_link(struct vm_area_struct *vma, struct anon_vma_chain *avc,
		     struct anon_vma *anon_vma)
{
	avc->vma = vma;
	avc->anon_vma = anon_vma;
	list_add(&avc->same_vma, &vma->anon_vma_chain);
	set_interval(&avc->rb, vma);
	interval_tree_insert(&avc->rb, &anon_vma->rb_root);
}

static struct anon_vma *vma_anon(const struct vm_area_struct *vma)
{
	return __atomic_load_n(&vma->anon_vma, __ATOMIC_ACQUIRE);
}

static void vma_set_anon(struct vm_area_struct *vma, struct anon_vma *anon_vma)
{
	__atomic_store_n(&vma->anon_vma, anon_vma, __ATOMIC_RELEASE);
}

/* ---- the first private page -------------------------------------------------------------- */

/* Flags that mprotect and faults change: areas that differ in these alone may merge again. */
#define VM_MAY_DIFFER (VM_READ | VM_WRITE | VM_EXEC | VM_STICKY)

/* Could the two become one area, were it not for their protection? a lies before b. */
static bool anon_vma_compatible(const struct vm_area_struct *a, const struct vm_area_struct *b)
{
	return a->vm_end == b->vm_start && a->vm_file == b->vm_file &&
	       !((a->vm_flags ^ b->vm_flags) & ~VM_MAY_DIFFER) &&
	       b->vm_pgoff == a->vm_pgoff + vma_pages(a);
}

/* A neighbour's, if it has no other: an area with a history of forks brings too much with it. */
static struct anon_vma *reusable_anon_vma(struct vm_area_struct *neighbour,
					  const struct vm_area_struct *a,
					  const struct vm_area_struct *b)
{
	if (!neighbour || !anon_vma_compatible(a, b))
		return NULL;
	if (!vma_anon(neighbour) || !list_is_singular(&neighbour->anon_vma_chain))
		return NULL;
	return vma_anon(neighbour);
}

/* Sharing a neighbour's lets the two areas merge later, as Linux's would. */
static struct anon_vma *find_mergeable_anon_vma(struct vm_area_struct *vma)
{
	struct vm_area_struct *next = vma_next(vma), *prev = vma_prev(vma);
	struct anon_vma *anon_vma;

	spin_lock(&vma->vm_mm->page_table_lock);
	anon_vma = reusable_anon_vma(next, vma, next);
	if (!anon_vma)
		anon_vma = reusable_anon_vma(prev, prev, vma);
	spin_unlock(&vma->vm_mm->page_table_lock);
	return anon_vma;
}

/* Several faults may come here at once for one area, or for two that would share. */
int anon_vma_prepare(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;
	struct anon_vma *anon_vma, *new = NULL;
	struct anon_vma_chain *avc;

	if (vma_anon(vma))
		return 0;
	avc = avc_alloc(mm->machine);
	if (!avc)
		return -ENOMEM;
	anon_vma = find_mergeable_anon_vma(vma);
	if (!anon_vma)
		anon_vma = new = anon_vma_alloc(mm->machine);
	if (!anon_vma) {
		avc_free(mm->machine, avc);
		return -ENOMEM;
	}
	down_write(&anon_vma->root->rwsem);
	spin_lock(&mm->page_table_lock);
	if (!vma_anon(vma)) {
		avc_link(vma, avc, anon_vma);
		anon_vma->num_active_vmas++;
		vma_set_anon(vma, anon_vma);
		avc = NULL;
		new = NULL;
	}
	spin_unlock(&mm->page_table_lock);
	up_write(&anon_vma->root->rwsem);
	if (avc)
		avc_free(mm->machine, avc);
	if (new)
		anon_vma_put(mm->machine, new);
	return 0;
}

/* ---- split, merge, mremap, fork ---------------------------------------------------------- */

static void free_links(struct aspace_machine *m, struct list_head *list)
{
	while (!list_empty(list)) {
		struct anon_vma_chain *avc = list_first_entry(list, struct anon_vma_chain, same_vma);

		list_del(&avc->same_vma);
		avc_free(m, avc);
	}
}

/* As many unlinked links as src has. */
static int alloc_links(struct vm_area_struct *src, struct list_head *list)
{
	struct aspace_machine *m = src->vm_mm->machine;
	struct anon_vma_chain *avc;

	list_for_each_entry(avc, &src->anon_vma_chain, same_vma) {
		struct anon_vma_chain *new = avc_alloc(m);

		if (!new) {
			free_links(m, list);
			return -ENOMEM;
		}
		list_add(&new->same_vma, list);
	}
	return 0;
}

/* Links dst to all that src is linked to, in the same order. root->rwsem for writing. */
static void copy_links(struct vm_area_struct *dst, struct vm_area_struct *src,
		       struct list_head *list)
{
	struct anon_vma_chain *avc;

	list_for_each_entry_reverse(avc, &src->anon_vma_chain, same_vma) {
		struct anon_vma_chain *new = list_first_entry(list, struct anon_vma_chain, same_vma);

		list_del(&new->same_vma);
		avc_link(dst, new, avc->anon_vma);
	}
}

/* dst is to hold entries of src: a part of it, or its pages at another address. */
int anon_vma_clone(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	LIST_HEAD(list);
	struct rw_semaphore *rwsem;

	if (!src->anon_vma || dst->anon_vma)
		return 0;
	if (alloc_links(src, &list))
		return -ENOMEM;
	rwsem = &src->anon_vma->root->rwsem;
	down_write(rwsem);
	copy_links(dst, src, &list);
	src->anon_vma->num_active_vmas++;
	vma_set_anon(dst, src->anon_vma);
	up_write(rwsem);
	return 0;
}

/*
 * An ancestor's anon_vma that no area creates pages in any more, and that has one child at most,
 * can be the child's own: so a line of forks doesn't grow the chains without end.
 */
static struct anon_vma *idle_ancestor(struct vm_area_struct *child, struct vm_area_struct *parent)
{
	struct anon_vma_chain *avc;

	list_for_each_entry(avc, &child->anon_vma_chain, same_vma) {
		struct anon_vma *anon_vma = avc->anon_vma;

		if (anon_vma != parent->anon_vma && anon_vma->num_children < 2 &&
		    !anon_vma->num_active_vmas)
			return anon_vma;
	}
	return NULL;
}

int anon_vma_fork(struct vm_area_struct *child, struct vm_area_struct *parent)
{
	struct aspace_machine *m = parent->vm_mm->machine;
	struct anon_vma *own, *reused;
	struct anon_vma_chain *avc;
	struct rw_semaphore *rwsem;
	LIST_HEAD(list);

	if (!parent->anon_vma)
		return 0;
	own = anon_vma_alloc(m);
	avc = avc_alloc(m);
	if (!own || !avc || alloc_links(parent, &list)) {
		if (own)
			anon_vma_put(m, own);
		if (avc)
			avc_free(m, avc);
		return -ENOMEM;
	}
	rwsem = &parent->anon_vma->root->rwsem;
	down_write(rwsem);
	copy_links(child, parent, &list);
	reused = idle_ancestor(child, parent);
	if (!reused) {
		own->root = parent->anon_vma->root;
		own->parent = parent->anon_vma;
		own->num_children = 0;
		own->parent->num_children++;
		atomic_fetch_add_explicit(&own->root->refcount, 1, memory_order_relaxed);
		avc_link(child, avc, own);
	}
	vma_set_anon(child, reused ? reused : own);
	child->anon_vma->num_active_vmas++;
	up_write(rwsem);
	if (reused) {
		anon_vma_put(m, own);
		avc_free(m, avc);
	}
	return 0;
}

/* The area holds no entries any more. An anon_vma that nobody is linked to goes. */
void unlink_anon_vmas(struct vm_area_struct *vma)
{
	struct aspace_machine *m = vma->vm_mm->machine;
	struct rw_semaphore *rwsem;
	struct anon_vma_chain *avc, *next;
	struct anon_vma *root;
	LIST_HEAD(empty);

	if (!vma->anon_vma)
		return;
	root = vma->anon_vma->root;
	atomic_fetch_add_explicit(&root->refcount, 1, memory_order_relaxed);
	rwsem = &root->rwsem;
	down_write(rwsem);
	vma->anon_vma->num_active_vmas--;
	vma_set_anon(vma, NULL);
	list_for_each_entry_safe(avc, next, &vma->anon_vma_chain, same_vma) {
		interval_tree_remove(&avc->rb, &avc->anon_vma->rb_root);
		if (RB_EMPTY_ROOT(&avc->anon_vma->rb_root)) {
			avc->anon_vma->parent->num_children--;
			list_move(&avc->same_vma, &empty);
		} else {
			list_del(&avc->same_vma);
			avc_free(m, avc);
		}
	}
	up_write(rwsem);
	list_for_each_entry_safe(avc, next, &empty, same_vma) {
		list_del(&avc->same_vma);
		anon_vma_put(m, avc->anon_vma);
		avc_free(m, avc);
	}
	anon_vma_put(m, root);
}

/* ---- an area changes its bounds ---------------------------------------------------------- */

static struct address_space *vma_mapping(const struct vm_area_struct *vma)
{
	return vma->vm_file ? vma->vm_file->f_mapping : NULL;
}

static void leave_trees(struct vm_area_struct *vma)
{
	struct anon_vma_chain *avc;

	if (vma_mapping(vma))
		interval_tree_remove(&vma->shared, &vma_mapping(vma)->i_mmap);
	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma)
		interval_tree_remove(&avc->rb, &avc->anon_vma->rb_root);
}

static void enter_trees(struct vm_area_struct *vma)
{
	struct anon_vma_chain *avc;

	if (vma_mapping(vma)) {
		set_interval(&vma->shared, vma);
		interval_tree_insert(&vma->shared, &vma_mapping(vma)->i_mmap);
	}
	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma) {
		set_interval(&avc->rb, vma);
		interval_tree_insert(&avc->rb, &avc->anon_vma->rb_root);
	}
}

void vma_rmap_change_begin(struct vma_rmap_change *change)
{
	change->mapping = NULL;
	change->root = NULL;
	for (int i = 0; i < 3; i++) {
		struct vm_area_struct *vma = change->vma[i];

		if (!vma)
			continue;
		if (vma_mapping(vma))
			change->mapping = vma_mapping(vma);
		if (vma->anon_vma)
			change->root = vma->anon_vma->root;
	}
	if (change->mapping)
		down_write(&change->mapping->i_mmap_rwsem);
	if (change->root)
		down_write(&change->root->rwsem);
	for (int i = 0; i < 3; i++)
		if (change->vma[i])
			leave_trees(change->vma[i]);
}

void vma_rmap_change_end(struct vma_rmap_change *change)
{
	for (int i = 0; i < 3; i++)
		if (change->vma[i])
			enter_trees(change->vma[i]);
	if (change->root)
		up_write(&change->root->rwsem);
	if (change->mapping)
		up_write(&change->mapping->i_mmap_rwsem);
}

static bool is_shared_maywrite(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == (VM_SHARED | VM_MAYWRITE);
}

void vma_link_file(struct vm_area_struct *vma)
{
	struct address_space *mapping = vma_mapping(vma);

	if (!mapping)
		return;
	if (is_shared_maywrite(vma))
		atomic_fetch_add_explicit(&mapping->i_mmap_writable, 1, memory_order_relaxed);
	down_write(&mapping->i_mmap_rwsem);
	set_interval(&vma->shared, vma);
	interval_tree_insert(&vma->shared, &mapping->i_mmap);
	up_write(&mapping->i_mmap_rwsem);
}

void vma_unlink_file(struct vm_area_struct *vma)
{
	struct address_space *mapping = vma_mapping(vma);

	if (!mapping)
		return;
	down_write(&mapping->i_mmap_rwsem);
	interval_tree_remove(&vma->shared, &mapping->i_mmap);
	up_write(&mapping->i_mmap_rwsem);
	if (is_shared_maywrite(vma))
		atomic_fetch_sub_explicit(&mapping->i_mmap_writable, 1, memory_order_relaxed);
}

/* ---- walking ----------------------------------------------------------------------------- */

static bool walk_one(struct page *page, struct vm_area_struct *vma,
		     struct rmap_walk_control *control)
{
	uint64_t addr = vma->vm_start + ((page->index - vma->vm_pgoff) << PAGE_SHIFT);

	return control->one(page, vma, addr, control->arg);
}

static void rmap_walk_anon(struct page *page, struct rmap_walk_control *control)
{
	struct anon_vma *anon_vma = page->anon_vma;
	struct interval_tree_node *node;

	down_read(&anon_vma->root->rwsem);
	for (node = interval_tree_iter_first(&anon_vma->rb_root, page->index, page->index); node;
	     node = interval_tree_iter_next(node, page->index, page->index))
		if (!walk_one(page, avc_of(node)->vma, control))
			break;
	up_read(&anon_vma->root->rwsem);
}

static void rmap_walk_file(struct page *page, struct rmap_walk_control *control)
{
	struct address_space *mapping = page->mapping;
	struct interval_tree_node *node;

	if (!mapping)
		return;
	down_read(&mapping->i_mmap_rwsem);
	for (node = interval_tree_iter_first(&mapping->i_mmap, page->index, page->index); node;
	     node = interval_tree_iter_next(node, page->index, page->index))
		if (!walk_one(page, shared_of(node), control))
			break;
	up_read(&mapping->i_mmap_rwsem);
}

void rmap_walk(struct page *page, struct rmap_walk_control *control)
{
	if (page_is_anon(page))
		rmap_walk_anon(page, control);
	else
		rmap_walk_file(page, control);
}

/*
 * The entry that maps the page at addr, with its ptl held; NULL: it isn't mapped there. A huge leaf
 * gives way to single entries first.
 */
static void *lock_entry_of(struct page *page, struct vm_area_struct *vma, uint64_t addr,
			   struct page **table)
{
	struct mm_struct *mm = vma->vm_mm;
	struct aspace_machine *m = mm->machine;
	struct pt_pos pos = pt_find(mm, addr);
	pte_t entry;

	while (pos.level && pt_leaf(m->format, pos.level, pt_read(m->format, pos.slot))) {
		pt_split_huge(mm, pos.table, pos.slot, pos.level);
		pos = pt_find(mm, addr);
	}
	if (pos.level)
		return NULL;
	spin_lock(page_ptl(pos.table));
	entry = pt_read(m->format, pos.slot);
	if (pt_leaf(m->format, 0, entry) && vm_normal_page(m, entry) == page) {
		*table = pos.table;
		return pos.slot;
	}
	spin_unlock(page_ptl(pos.table));
	return NULL;
}

/* ---- write-back: no entry is writable any more ------------------------------------------- */

static bool mkclean_one(struct page *page, struct vm_area_struct *vma, uint64_t addr, void *arg)
{
	const struct pt_format *f = pt_format(vma->vm_mm);
	bool *was_writable = arg;
	struct page *table;
	void *slot;

	if (!(vma->vm_flags & VM_SHARED))
		return true;	/* a private entry of the file's own page is read-only */
	slot = lock_entry_of(page, vma, addr, &table);
	if (!slot)
		return true;
	if (pt_read(f, slot) & (f->write | f->dirty)) {
		pt_change(f, slot, f->write | f->dirty, 0);
		flush_tlb_range(vma->vm_mm, addr, addr + PAGE_SIZE);
		*was_writable = true;
	}
	spin_unlock(page_ptl(table));
	return true;
}

bool page_mkclean(struct page *page)
{
	bool was_writable = false;
	struct rmap_walk_control control = { .one = mkclean_one, .arg = &was_writable };

	if (atomic_load_explicit(&page->_mapcount, memory_order_acquire) > 0)
		rmap_walk(page, &control);
	return was_writable;
}

/* ---- reclaim: no entry maps it any more -------------------------------------------------- */

/* An anonymous page may go only if nobody wrote to it since MADV_FREE: there is no swap yet. */
static bool may_lose(struct page *page, pte_t entry, const struct pt_format *f)
{
	if (!page_is_anon(page))
		return true;
	return (atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_lazyfree) &&
	       !(entry & f->dirty);
}

static bool unmap_one(struct page *page, struct vm_area_struct *vma, uint64_t addr, void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	const struct pt_format *f = pt_format(mm);
	int *err = arg;
	struct page *table;
	pte_t entry;
	void *slot = lock_entry_of(page, vma, addr, &table);

	if (!slot)
		return true;
	entry = pt_read(f, slot);
	if ((vma->vm_flags & VM_LOCKED) || !may_lose(page, entry, f)) {
		spin_unlock(page_ptl(table));
		*err = -EBUSY;
		return false;
	}
	entry = pt_exchange(f, slot, 0);
	flush_tlb_range(mm, addr, addr + PAGE_SIZE);
	if (page_is_anon(page) && (entry & f->dirty)) {
		pt_store(f, slot, entry);	/* written to in the last moment */
		spin_unlock(page_ptl(table));
		*err = -EBUSY;
		return false;
	}
	note_dirty(page, entry & f->dirty);
	pt_count_entries(table, -1);
	atomic_fetch_sub_explicit(&page->_mapcount, 1, memory_order_relaxed);
	spin_unlock(page_ptl(table));
	update_hiwater_rss(mm);
	rss_add(mm, page_rss_kind(page), -1);
	put_page(mm->machine, page);
	return true;
}

/* The caller holds a reference, so the entries' ones are not the last. */
int try_to_unmap(struct page *page)
{
	int err = 0;
	struct rmap_walk_control control = { .one = unmap_one, .arg = &err };

	rmap_walk(page, &control);
	return err;
}

/* ---- truncation -------------------------------------------------------------------------- */

void unmap_mapping_range(struct address_space *mapping, pgoff_t first, pgoff_t last, bool even_cows)
{
	const struct zap_details details = { .keep_cows = !even_cows };
	struct interval_tree_node *node;

	down_read(&mapping->i_mmap_rwsem);
	for (node = interval_tree_iter_first(&mapping->i_mmap, first, last); node;
	     node = interval_tree_iter_next(node, first, last)) {
		struct vm_area_struct *vma = shared_of(node);
		pgoff_t from = first > node->start ? first : node->start;
		pgoff_t to = last < node->last ? last : node->last;
		uint64_t start = vma->vm_start + ((from - vma->vm_pgoff) << PAGE_SHIFT);
		uint64_t end = vma->vm_start + ((to + 1 - vma->vm_pgoff) << PAGE_SHIFT);
		struct mmu_gather tlb;

		if (!vma->vm_mm->pgd) {		/* areas only: the embedder has the pages */
			vma->vm_mm->machine->tr->zap(vma, start, end);
			continue;
		}
		update_hiwater_rss(vma->vm_mm);
		tlb_gather(&tlb, vma->vm_mm);
		zap_page_range(&tlb, vma, start, end, details);
		tlb_finish(&tlb);
	}
	up_read(&mapping->i_mmap_rwsem);
}
