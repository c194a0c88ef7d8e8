/* SPDX-License-Identifier: MIT */
/*
 * The machine: everything hangs off it. Made in the order port, caches, frames, init_mm; taken down
 * in reverse, also when it could not be finished.
 */
#include <stdio.h>
#include <string.h>

#include "arch/pgtable.h"
#include "mm/internal.h"

#define RAM_MIN	(1ull << 20)	/* less holds no page tables worth the name: -EINVAL */
#define RAM_MAX	(1ull << 46)

/* ---- the port ------------------------------------------------------------------------------------- */

static void no_flush(void *priv, struct aspace_mm *mm, uint64_t start, uint64_t end)
{
}

static void no_code_changed(void *priv, uint64_t phys, uint64_t size)
{
}

static void no_mm_gone(void *priv, struct aspace_mm *mm)
{
}

static void fill_port(struct aspace_port *port, const struct aspace_port *given)
{
	memset(port, 0, sizeof(*port));
	if (given)
		memcpy(port, given, min(sizeof(*port), given->size));
	if (!port->flush)
		port->flush = no_flush;
	if (!port->code_changed)
		port->code_changed = no_code_changed;
	if (!port->mm_gone)
		port->mm_gone = no_mm_gone;
}

void port_flush(struct mm_struct *mm, uint64_t start, uint64_t end)
{
	struct aspace_machine *m = mm->machine;

	atomic_fetch_add_explicit(&m->count.flushes, 1, memory_order_relaxed);
	m->port.flush(m->port.priv, mm, start, end);
}

void port_code_changed(struct aspace_machine *m, struct page *page)
{
	m->port.code_changed(m->port.priv, page_to_pfn(m, page) << PAGE_SHIFT, PAGE_SIZE);
}

/* ---- options -------------------------------------------------------------------------------------- */

static void default_to(uint64_t *option, uint64_t value)
{
	if (!*option)
		*option = value;
}

static void fill_options(struct aspace_machine_options *o, const struct aspace_machine_options *given)
{
	memset(o, 0, sizeof(*o));
	if (given)
		memcpy(o, given, min(sizeof(*o), given->size));
	o->size = sizeof(*o);
	o->ram_bytes &= PAGE_MASK;
	default_to(&o->max_map_count, 65530);
	default_to(&o->mmap_min_addr, 65536);
	if (o->mmap_min_addr == UINT64_MAX)
		o->mmap_min_addr = 0;
	default_to(&o->stack_guard_gap, 1 << 20);
	if (!o->overcommit_ratio)
		o->overcommit_ratio = 50;
	default_to(&o->overcommit_pages, o->ram_bytes ? o->ram_bytes >> PAGE_SHIFT : 1ull << 36);
	default_to(&o->fault_around_bytes, 65536);
	default_to(&o->read_ahead_bytes, 131072);
}

static int check_options(const struct aspace_machine_options *o)
{
	if (o->ram_bytes && (o->ram_bytes < RAM_MIN || o->ram_bytes > RAM_MAX))
		return -EINVAL;
	if (o->index != ASPACE_INDEX_RANGE_TREE && o->index != ASPACE_INDEX_RBTREE)
		return -EINVAL;
	if (o->overcommit > ASPACE_OVERCOMMIT_NEVER || !pt_format_of(o->format))
		return -EINVAL;
	return 0;
}

/* ---- life ----------------------------------------------------------------------------------------- */

/* One line a cache: where it hangs, its name, its objects' size. */
#define FOR_EACH_CACHE(do)                                                  \
	do(mm_cachep, "mm_struct", sizeof(struct mm_struct))                \
	do(vm_area_cachep, "vm_area_struct", sizeof(struct vm_area_struct)) \
	do(anon_vma_cachep, "anon_vma", sizeof(struct anon_vma))            \
	do(anon_vma_chain_cachep, "anon_vma_chain", sizeof(struct anon_vma_chain)) \
	do(file_cachep, "file", sizeof(struct aspace_file))                 \
	do(mapping_cachep, "address_space", sizeof(struct address_space))   \
	do(anon_name_cachep, "anon_vma_name", sizeof(struct anon_vma_name)) \
	do(xa_node_cachep, "xa_node", sizeof(struct xa_node))               \
	do(range_node_cachep, "range_node", range_tree_node_bytes)

static int create_caches(struct aspace_machine *m)
{
#define CREATE(cache, name, size)                                           \
	m->cache = kmem_cache_create(&m->domain, name, size, 0);            \
	if (!m->cache)                                                      \
		return -ENOMEM;
	FOR_EACH_CACHE(CREATE)
#undef CREATE
	return 0;
}

/* How many objects were still in use. */
static unsigned long destroy_caches(struct aspace_machine *m)
{
	unsigned long leaked = 0;

#define DESTROY(cache, name, size) leaked += kmem_cache_destroy(m->cache);
	FOR_EACH_CACHE(DESTROY)
#undef DESTROY
	return leaked;
}

static void init_lists(struct aspace_machine *m)
{
	spin_lock_init(&m->mmlist_lock);
	INIT_LIST_HEAD(&m->mmlist);
	spin_lock_init(&m->mappings_lock);
	INIT_LIST_HEAD(&m->mappings);
	spin_lock_init(&m->lru_lock);
	INIT_LIST_HEAD(&m->lru);
	mutex_init(&m->reclaim_lock);
	atomic_init(&m->next_shmem_ino, 1);
}

static int build(struct aspace_machine *m)
{
	int error = create_caches(m);

	if (!error && m->ram_bytes)
		error = frames_init(m);
	if (error)
		return error;
	m->init_mm = mm_alloc(m);
	return m->init_mm ? 0 : -ENOMEM;
}

/* Takes down as much as there is; the number of objects that somebody forgot. */
static unsigned long take_down(struct aspace_machine *m)
{
	struct alloc_domain domain;
	unsigned long leaked;

	if (m->init_mm)
		aspace_mm_put(m->init_mm);
	frames_exit(m);
	leaked = destroy_caches(m);
	domain.alloc = m->domain.alloc;
	domain.free = m->domain.free;
	domain.priv = m->domain.priv;
	domain.free(domain.priv, m, sizeof(*m));
	return leaked;
}

int aspace_machine_create(const struct aspace_machine_options *given, struct aspace_machine **result)
{
	struct aspace_machine_options options;
	struct aspace_port port;
	struct alloc_domain domain;
	struct aspace_machine *m;
	int error;

	fill_options(&options, given);
	error = check_options(&options);
	if (error)
		return error;
	fill_port(&port, options.port);
	if (!port.alloc != !port.free)
		return -EINVAL;
	alloc_domain_init(&domain, port.alloc, port.free, port.priv);
	m = domain_alloc(&domain, sizeof(*m));
	if (!m)
		return -ENOMEM;
	alloc_domain_init(&m->domain, port.alloc, port.free, port.priv);
	m->options = options;
	m->port = port;
	if (options.area_ops)
		memcpy(&m->area_ops, options.area_ops, min(sizeof(m->area_ops), options.area_ops->size));
	m->format = pt_format_of(options.format);
	m->ram_bytes = options.ram_bytes;
	m->memfd = -1;
	m->tr = m->ram_bytes ? &page_translation_ops : &callback_translation_ops;
	init_lists(m);
	error = build(m);
	if (error) {
		take_down(m);
		return error;
	}
	*result = m;
	return 0;
}

void aspace_machine_destroy(struct aspace_machine *m)
{
	unsigned long leaked;

	if (!m)
		return;
	/* What is left now would point into memory that goes: its owner's bug, told in debug builds. */
	DEBUG_ON(atomic_load(&m->nr_mms) > 1);
	DEBUG_ON(atomic_load(&m->nr_files) != 0);
	DEBUG_ON(atomic_load(&m->nr_mappings) != 0);
	leaked = take_down(m);
	DEBUG_ON(leaked != 0);
}

/* ---- looking ------------------------------------------------------------------------------------- */

void *aspace_machine_ram(struct aspace_machine *m, uint64_t *bytes, int *memfd)
{
	if (bytes)
		*bytes = m->ram_bytes;
	if (memfd)
		*memfd = m->memfd;
	return m->ram;
}

static void frame_stats(struct aspace_machine *m, struct aspace_machine_stats *s)
{
	s->frames_total = m->nr_frames;
	s->frames_reserved = nr_frames_of(m, PAGE_RESERVED);
	s->frames_free = nr_frames_of(m, PAGE_FREE);
	s->frames_anon = nr_frames_of(m, PAGE_ANON);
	s->frames_file = nr_frames_of(m, PAGE_FILE);
	s->frames_shmem = nr_frames_of(m, PAGE_SHMEM);
	s->frames_page_table = nr_frames_of(m, PAGE_TABLE);
	s->frames_other = nr_frames_of(m, PAGE_ZERO) + nr_frames_of(m, PAGE_DRIVER);
}

static uint64_t count_dirty(struct aspace_machine *m)
{
	struct address_space *mapping;
	uint64_t dirty = 0;

	/* nrdirty without its lock: a figure of a moment anyway. */
	spin_lock(&m->mappings_lock);
	list_for_each_entry(mapping, &m->mappings, link)
		dirty += __atomic_load_n(&mapping->nrdirty, __ATOMIC_RELAXED);
	spin_unlock(&m->mappings_lock);
	return dirty;
}

static void count_stats(struct aspace_machine *m, struct aspace_machine_stats *s)
{
	s->faults_zero_page = atomic_load(&m->count.zero_page);
	s->faults_anon = atomic_load(&m->count.anon);
	s->faults_file = atomic_load(&m->count.file);
	s->faults_cow_copy = atomic_load(&m->count.cow_copy);
	s->faults_cow_reuse = atomic_load(&m->count.cow_reuse);
	s->faults_shared_dirty = atomic_load(&m->count.shared_dirty);
	s->faults_spurious = atomic_load(&m->count.spurious);
	s->faults_stack = atomic_load(&m->count.stack);
	s->faults_major = atomic_load(&m->count.major);
	s->faults_signal = atomic_load(&m->count.signal);
	s->pages_read = atomic_load(&m->count.pages_read);
	s->pages_written = atomic_load(&m->count.pages_written);
	s->flushes = atomic_load(&m->count.flushes);
}

void aspace_machine_stats(struct aspace_machine *m, struct aspace_machine_stats *stats)
{
	struct aspace_machine_stats s = { .size = min(sizeof(s), stats->size) };

	frame_stats(m, &s);
	count_stats(m, &s);
	s.frames_dirty = count_dirty(m);
	s.committed_as = atomic_load(&m->vm_committed_as);
	s.commit_limit = m->options.overcommit_pages * m->options.overcommit_ratio / 100;
	s.mms = atomic_load(&m->nr_mms);
	s.areas = atomic_load(&m->nr_areas);
	s.mappings = atomic_load(&m->nr_mappings);
	s.files = atomic_load(&m->nr_files);
	s.object_bytes = atomic_load(&m->domain.bytes) + sizeof(*m);
	memcpy(stats, &s, s.size);
}

#define complain(...) (snprintf(why, size, __VA_ARGS__), -EUCLEAN)

static int check_mms(struct aspace_machine *m, char *why, size_t size)
{
	struct mm_struct *mm;
	long mms = 0, areas = 0;

	list_for_each_entry(mm, &m->mmlist, mmlist) {
		int error = check_areas(mm, why, size);

		if (error)
			return error;
		mms++;
		for (struct vm_area_struct *vma = find_vma(mm, 0); vma; vma = vma_next(vma))
			areas++;
	}
	if (mms && list_first_entry(&m->mmlist, struct mm_struct, mmlist) != m->init_mm)
		return complain("init_mm is not the first of %ld address spaces", mms);
	if (mms != atomic_load(&m->nr_mms) || areas != atomic_load(&m->nr_areas))
		return complain("%ld address spaces with %ld areas; counted %ld, %ld", mms, areas,
				atomic_load(&m->nr_mms), atomic_load(&m->nr_areas));
	return 0;
}

static int check_mappings(struct aspace_machine *m, char *why, size_t size)
{
	struct address_space *mapping;
	uint64_t pages[2] = { 0 };	/* shared memory, files */
	long n = 0;

	list_for_each_entry(mapping, &m->mappings, link) {
		int error = check_mapping(mapping, why, size);

		if (error)
			return error;
		pages[mapping->ops != NULL] += mapping->nrpages;
		n++;
	}
	if (n != atomic_load(&m->nr_mappings))
		return complain("%ld mappings, counted %ld", n, atomic_load(&m->nr_mappings));
	if (pages[0] != nr_frames_of(m, PAGE_SHMEM) || pages[1] != nr_frames_of(m, PAGE_FILE))
		return complain("%lu pages of shared memory and %lu of files are cached; frames: %lu, %lu",
				(unsigned long)pages[0], (unsigned long)pages[1],
				(unsigned long)nr_frames_of(m, PAGE_SHMEM),
				(unsigned long)nr_frames_of(m, PAGE_FILE));
	return 0;
}

static int check_lru(struct aspace_machine *m, char *why, size_t size)
{
	struct page *page;
	uint64_t n = 0;

	list_for_each_entry(page, &m->lru, lru) {
		if (page->type != PAGE_FILE || !page->mapping)
			return complain("frame %#lx of type %u is in the LRU",
					(unsigned long)page_to_pfn(m, page), page->type);
		n++;
	}
	if (n != nr_frames_of(m, PAGE_FILE))
		return complain("%lu pages in the LRU, %lu of files", (unsigned long)n,
				(unsigned long)nr_frames_of(m, PAGE_FILE));
	return 0;
}

int aspace_machine_check(struct aspace_machine *m, char *why, size_t size)
{
	int error = check_mms(m, why, size);

	if (!error && m->nr_frames)
		error = check_frames(m, why, size);
	if (!error)
		error = check_mappings(m, why, size);
	if (!error)
		error = check_lru(m, why, size);
	if (!error && m->nr_frames)
		error = check_translation(m, why, size);
	return error;
}

const char *aspace_version(void)
{
	return ASPACE_VERSION;
}
