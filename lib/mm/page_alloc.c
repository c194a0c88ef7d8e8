/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: which frames are free, and who has the others.
 *
 *	alloc_page --> pcp (8 short lists, picked by thread) --> zones NORMAL, DMA32, DMA: buddy blocks
 *	put_page   -->  \_ refilled and drained in batches  _/   of 2^0 .. 2^10 frames
 *
 * A zone's free frames stand in blocks whose size is a power of two and whose place is a multiple of
 * it. A block that comes back is joined with its buddy (the other half of the block twice as large)
 * for as long as that one is free too. Only the first frame of a free block says so (PG_buddy, order).
 *
 * Descriptors start as zero bytes, and a zero descriptor is a free frame that was never used: so a
 * machine with much RAM costs what it touches, and a frame without PG_used needs no zeroing.
 *
 * Who is refused when memory is short: between `low` and `min` cold cache pages are dropped first;
 * below `min` only page tables and callers that hold locks (GFP_NORECLAIM) are served, since they
 * can't step back; at zero nobody.
 */
#include <string.h>

#include "base/ram.h"
#include "mm/internal.h"

#define DMA_END		(16ull << 20 >> PAGE_SHIFT)
#define DMA32_END	(4ull << 30 >> PAGE_SHIFT)
#define BLOCK_FRAMES	(RAM_BLOCK >> PAGE_SHIFT)

enum { WMARK_MIN, WMARK_LOW, WMARK_HIGH };

static unsigned ilog2(uint64_t n)
{
	return 63 - __builtin_clzll(n);
}

static struct zone *zone_of(struct aspace_machine *m, pfn_t pfn)
{
	return &m->zone[pfn < DMA_END ? ZONE_DMA : pfn < DMA32_END ? ZONE_DMA32 : ZONE_NORMAL];
}

static uint32_t page_flags(struct page *page)
{
	return atomic_load_explicit(&page->flags, memory_order_relaxed);
}

/* Only for a page that nobody else can reach: free, or just taken. */
static void set_page_flags(struct page *page, uint32_t flags)
{
	atomic_store_explicit(&page->flags, flags, memory_order_relaxed);
}

/* ---- buddy blocks: zone->lock is held --------------------------------------------------------- */

static void add_block(struct zone *zone, struct page *page, unsigned order)
{
	set_page_flags(page, page_flags(page) | PG_buddy);
	page->order = order;
	list_add(&page->lru, &zone->free_area[order].list);
	zone->free_area[order].nr++;
}

static void remove_block(struct zone *zone, struct page *page)
{
	list_del(&page->lru);
	zone->free_area[page->order].nr--;
	set_page_flags(page, page_flags(page) & ~PG_buddy);
}

static void free_block(struct aspace_machine *m, struct zone *zone, pfn_t pfn, unsigned order)
{
	zone->free += 1ull << order;
	while (order < MAX_ORDER) {
		pfn_t buddy = pfn ^ (1ull << order);
		struct page *page = pfn_to_page(m, buddy);

		if (buddy < zone->start || buddy + (1ull << order) > zone->end)
			break;
		if (!(page_flags(page) & PG_buddy) || page->order != order)
			break;
		remove_block(zone, page);
		pfn &= ~(1ull << order);
		order++;
	}
	add_block(zone, pfn_to_page(m, pfn), order);
}

/* The smallest block that is large enough; its upper halves go back. NULL: none. */
static struct page *take_block(struct zone *zone, unsigned order)
{
	unsigned have = order;
	struct page *page;

	while (have <= MAX_ORDER && list_empty(&zone->free_area[have].list))
		have++;
	if (have > MAX_ORDER)
		return NULL;
	page = list_first_entry(&zone->free_area[have].list, struct page, lru);
	remove_block(zone, page);
	zone->free -= 1ull << order;
	while (have > order) {
		have--;
		add_block(zone, page + (1ull << have), have);
	}
	return page;
}

/* ---- zones -------------------------------------------------------------------------------------- */

/* How far down a request may empty a zone: an index of watermark[], or below all of them. */
enum reserve { KEEP_LOW = WMARK_LOW, KEEP_MIN = WMARK_MIN, KEEP_NOTHING = -1 };

static bool zone_has(const struct zone *zone, uint64_t frames, enum reserve keep)
{
	return zone->free >= frames + (keep == KEEP_NOTHING ? 0 : zone->watermark[keep]);
}

static int highest_zone(unsigned gfp)
{
	return gfp & GFP_DMA ? ZONE_DMA : gfp & GFP_DMA32 ? ZONE_DMA32 : ZONE_NORMAL;
}

/* Asks the host for the memory of frames that nobody has touched yet, once for each RAM_BLOCK. */
static void ready_frames(struct aspace_machine *m, pfn_t pfn, uint64_t n)
{
	for (pfn_t block = pfn / BLOCK_FRAMES; block <= (pfn + n - 1) / BLOCK_FRAMES; block++) {
		pfn_t start = block * BLOCK_FRAMES;
		pfn_t end = start + BLOCK_FRAMES < m->nr_frames ? start + BLOCK_FRAMES : m->nr_frames;

		if (atomic_load_explicit(&m->block_ready[block], memory_order_relaxed))
			continue;
		if (!atomic_exchange_explicit(&m->block_ready[block], 1, memory_order_relaxed))
			ram_populate(m->ram + (start << PAGE_SHIFT), (end - start) << PAGE_SHIFT);
	}
}

static struct page *zones_take(struct aspace_machine *m, unsigned order, unsigned gfp, enum reserve keep)
{
	struct page *page = NULL;

	for (int z = highest_zone(gfp); z >= 0 && !page; z--) {
		struct zone *zone = &m->zone[z];

		if (!zone->managed)
			continue;
		spin_lock(&zone->lock);
		if (zone_has(zone, 1ull << order, keep))
			page = take_block(zone, order);
		spin_unlock(&zone->lock);
	}
	if (page)
		ready_frames(m, page_to_pfn(m, page), 1ull << order);
	return page;
}

/* ---- the short lists ------------------------------------------------------------------------------ */

static struct page_pcp *this_pcp(struct aspace_machine *m)
{
	uint64_t thread = (uint64_t)pthread_self();

	return &m->pcp[(thread * 0x9e3779b97f4a7c15ull) >> 61];
}
_Static_assert(NR_PCP == 8, "this_pcp takes three bits");

static struct page *pcp_pop(struct aspace_machine *m, struct page_pcp *pcp)
{
	struct page *page = pfn_to_page(m, pcp->head);

	pcp->head = page->private;
	pcp->count--;
	return page;
}

static void pcp_push(struct aspace_machine *m, struct page_pcp *pcp, struct page *page)
{
	page->private = pcp->head;
	pcp->head = page_to_pfn(m, page);
	pcp->count++;
}

/* Moves up to n frames back to their zones. pcp->lock is held. */
static void pcp_drain(struct aspace_machine *m, struct page_pcp *pcp, unsigned n)
{
	struct zone *locked = NULL;

	while (n-- && pcp->head) {
		struct page *page = pcp_pop(m, pcp);
		struct zone *zone = zone_of(m, page_to_pfn(m, page));

		if (zone != locked) {
			if (locked)
				spin_unlock(&locked->lock);
			spin_lock(&zone->lock);
			locked = zone;
		}
		free_block(m, zone, page_to_pfn(m, page), 0);
	}
	if (locked)
		spin_unlock(&locked->lock);
}

static void drain_all(struct aspace_machine *m)
{
	for (int i = 0; i < NR_PCP; i++) {
		spin_lock(&m->pcp[i].lock);
		pcp_drain(m, &m->pcp[i], UINT32_MAX);
		spin_unlock(&m->pcp[i].lock);
	}
}

/* Takes a whole block for the list, lowest frame on top: neighbours in time are neighbours in RAM. */
static bool pcp_refill(struct aspace_machine *m, struct page_pcp *pcp, enum reserve keep)
{
	unsigned order = ilog2(m->pcp_batch);
	struct page *page;

	while (!(page = zones_take(m, order, 0, keep)))
		if (order-- == 0)
			return false;
	spin_lock(&pcp->lock);
	for (unsigned i = 1u << order; i-- > 0;)
		pcp_push(m, pcp, page + i);
	spin_unlock(&pcp->lock);
	return true;
}

static struct page *pcp_take(struct aspace_machine *m, enum page_type type, enum reserve keep)
{
	struct page_pcp *pcp = this_pcp(m);

	do {
		struct page *page;

		spin_lock(&pcp->lock);
		if (pcp->head) {
			page = pcp_pop(m, pcp);
			pcp->nr_by_type[type]++;
			spin_unlock(&pcp->lock);
			return page;
		}
		spin_unlock(&pcp->lock);
	} while (pcp_refill(m, pcp, keep));
	return NULL;
}

static void count_frames(struct aspace_machine *m, enum page_type type, int64_t n)
{
	struct page_pcp *pcp = this_pcp(m);

	spin_lock(&pcp->lock);
	pcp->nr_by_type[type] += n;
	spin_unlock(&pcp->lock);
}

/* ---- taking frames -------------------------------------------------------------------------------- */

/* A frame leaves the free ones: from here on page->type and order hold until it is free again. */
static void prepare_page(struct aspace_machine *m, struct page *page, enum page_type type,
			 unsigned order, unsigned gfp)
{
	for (uint64_t i = 0; i < 1ull << order; i++) {
		struct page *frame = page + i;

		if ((gfp & GFP_ZERO) && (page_flags(frame) & PG_used))
			memset(page_address(m, frame), 0, PAGE_SIZE);
		set_page_flags(frame, PG_used);
		frame->type = type;
		frame->order = 0;
		frame->level = 0;
		atomic_store_explicit(&frame->_mapcount, 0, memory_order_relaxed);
		atomic_store_explicit(&frame->_refcount, i == 0, memory_order_relaxed);
		frame->mapping = NULL;
		frame->index = 0;
		frame->private = 0;
	}
	page->order = order;
}

static struct page *try_take(struct aspace_machine *m, enum page_type type, unsigned order,
			     unsigned gfp, enum reserve keep)
{
	struct page *page;

	if (order == 0 && !(gfp & (GFP_DMA | GFP_DMA32)))
		return pcp_take(m, type, keep);
	page = zones_take(m, order, gfp, keep);
	if (page)
		count_frames(m, type, 1ll << order);
	return page;
}

/* Nothing above the low watermark: get frames back from where they are least needed. */
static struct page *take_slowly(struct aspace_machine *m, enum page_type type, unsigned order, unsigned gfp)
{
	bool must = type == PAGE_TABLE || (gfp & GFP_NORECLAIM);
	struct page *page;

	if (!(gfp & GFP_NORECLAIM)) {
		while (shrink_page_cache(m, m->pcp_batch + (1u << order)) > 0) {
			page = try_take(m, type, order, gfp, KEEP_LOW);
			if (page)
				return page;
		}
	}
	page = try_take(m, type, order, gfp, must ? KEEP_NOTHING : KEEP_MIN);
	if (page)
		return page;
	drain_all(m);
	return try_take(m, type, order, gfp, must ? KEEP_NOTHING : KEEP_MIN);
}

/* Tests let the n-th allocation from now on fail, once. */
static bool fail_this_one(struct aspace_machine *m)
{
	return atomic_load_explicit(&m->fail_frame, memory_order_relaxed) > 0 &&
	       atomic_fetch_sub(&m->fail_frame, 1) == 1;
}

struct page *alloc_pages(struct aspace_machine *m, enum page_type type, unsigned order, unsigned gfp)
{
	struct page *page;

	if (order > MAX_ORDER || fail_this_one(m))
		return NULL;
	page = try_take(m, type, order, gfp, KEEP_LOW);
	if (!page)
		page = take_slowly(m, type, order, gfp);
	if (page)
		prepare_page(m, page, type, order, gfp);
	return page;
}

/* A block of 2^order frames becomes as many frames that live and die alone. */
static unsigned split_block(struct page *page, struct page **pages)
{
	unsigned n = 1u << page->order;

	page->order = 0;
	for (unsigned i = 0; i < n; i++) {
		atomic_store_explicit(&page[i]._refcount, 1, memory_order_relaxed);
		pages[i] = page + i;
	}
	return n;
}

unsigned alloc_pages_run(struct aspace_machine *m, enum page_type type, unsigned n, unsigned gfp,
			 struct page **pages)
{
	unsigned got = 0;

	while (got < n) {
		unsigned order = ilog2(n - got);
		struct page *page;

		if (order > MAX_ORDER)
			order = MAX_ORDER;
		if (fail_this_one(m))
			break;
		/* A large block is welcome, but nothing is dropped for it. */
		while (!(page = try_take(m, type, order, gfp, KEEP_LOW)) && order > 0)
			order--;
		if (!page)
			page = take_slowly(m, type, 0, gfp);
		if (!page)
			break;
		prepare_page(m, page, type, order, gfp);
		got += split_block(page, pages + got);
	}
	return got;
}

/* ---- giving frames back ---------------------------------------------------------------------------- */

/* True when that was the last reference. A reference can only be had from who holds one. */
static bool drop_ref(struct page *page)
{
	int32_t refs = atomic_load_explicit(&page->_refcount, memory_order_acquire);

	if (refs == 1) {
		atomic_store_explicit(&page->_refcount, 0, memory_order_relaxed);
		return true;
	}
	BUG_ON(refs <= 0);
	return atomic_fetch_sub_explicit(&page->_refcount, 1, memory_order_acq_rel) == 1;
}

/* The type that it had; the page is free then, but in no list. */
static enum page_type retire_page(struct aspace_machine *m, struct page *page)
{
	enum page_type type = page->type;

	DEBUG_ON(atomic_load(&page->_mapcount) != 0);
	if (page_flags(page) & PG_exec)
		port_code_changed(m, page);
	set_page_flags(page, PG_used);
	page->type = PAGE_FREE;
	return type;
}

static void free_large(struct aspace_machine *m, struct page *page)
{
	struct zone *zone = zone_of(m, page_to_pfn(m, page));
	unsigned order = page->order;
	enum page_type type = PAGE_FREE;

	for (uint64_t i = 0; i < 1ull << order; i++)
		type = retire_page(m, page + i);
	count_frames(m, type, -(1ll << order));
	spin_lock(&zone->lock);
	free_block(m, zone, page_to_pfn(m, page), order);
	spin_unlock(&zone->lock);
}

/* pcp->lock is held. */
static void push_free(struct aspace_machine *m, struct page_pcp *pcp, struct page *page)
{
	pcp_push(m, pcp, page);
	if (pcp->count > m->pcp_high)
		pcp_drain(m, pcp, m->pcp_batch);
}

void put_page(struct aspace_machine *m, struct page *page)
{
	struct page_pcp *pcp;
	enum page_type type;

	if (!drop_ref(page))
		return;
	if (page->order > 0) {
		free_large(m, page);
		return;
	}
	type = retire_page(m, page);
	pcp = this_pcp(m);
	spin_lock(&pcp->lock);
	pcp->nr_by_type[type]--;
	push_free(m, pcp, page);
	spin_unlock(&pcp->lock);
}

#define FREE_BATCH 64

static void free_some(struct aspace_machine *m, struct page **pages, unsigned n)
{
	struct page_pcp *pcp = this_pcp(m);
	struct page *gone[FREE_BATCH];
	int64_t by_type[PAGE_DRIVER + 1] = { 0 };
	unsigned nr = 0;

	for (unsigned i = 0; i < n; i++) {
		if (pages[i]->order > 0) {
			put_page(m, pages[i]);
		} else if (drop_ref(pages[i])) {
			by_type[retire_page(m, pages[i])]++;
			gone[nr++] = pages[i];
		}
	}
	spin_lock(&pcp->lock);
	for (int type = 0; type <= PAGE_DRIVER; type++)
		pcp->nr_by_type[type] -= by_type[type];
	for (unsigned i = 0; i < nr; i++)
		push_free(m, pcp, gone[i]);
	spin_unlock(&pcp->lock);
}

void free_pages_batch(struct aspace_machine *m, struct page **pages, unsigned n)
{
	for (unsigned i = 0; i < n; i += FREE_BATCH)
		free_some(m, pages + i, n - i < FREE_BATCH ? n - i : FREE_BATCH);
}

uint64_t nr_frames_of(struct aspace_machine *m, enum page_type type)
{
	int64_t n = 0;

	if (type == PAGE_RESERVED)
		return m->nr_frames ? 1 : 0;
	for (int i = 0; i < NR_PCP; i++) {
		spin_lock(&m->pcp[i].lock);
		n += type == PAGE_FREE ? (int64_t)m->pcp[i].count : m->pcp[i].nr_by_type[type];
		spin_unlock(&m->pcp[i].lock);
	}
	for (int z = 0; z < MAX_NR_ZONES && type == PAGE_FREE; z++) {
		spin_lock(&m->zone[z].lock);
		n += m->zone[z].free;
		spin_unlock(&m->zone[z].lock);
	}
	return n;
}

bool frames_are_at_hand(struct aspace_machine *m)
{
	bool enough = false;

	for (int z = 0; z < MAX_NR_ZONES && !enough; z++) {
		spin_lock(&m->zone[z].lock);
		enough = m->zone[z].managed && zone_has(&m->zone[z], m->pcp_batch, KEEP_LOW);
		spin_unlock(&m->zone[z].lock);
	}
	return enough;
}

/* ---- the beginning and the end ---------------------------------------------------------------------- */

static uint64_t square_root(uint64_t x)
{
	uint64_t root = 0;

	for (uint64_t bit = 1ull << 31; bit; bit >>= 1)
		if ((root + bit) * (root + bit) <= x)
			root += bit;
	return root;
}

/* All of the zone's frames are free: in the largest blocks that their places allow. */
static void fill_zone(struct aspace_machine *m, struct zone *zone)
{
	pfn_t pfn = zone->start ? zone->start : 1;	/* frame 0 is reserved */

	zone->managed = zone->end - pfn;
	zone->free = zone->managed;
	while (pfn < zone->end) {
		unsigned order = 0;

		while (order < MAX_ORDER && !(pfn & (1ull << order)) && pfn + (2ull << order) <= zone->end)
			order++;
		/* At the tail, so that low frames are handed out first. */
		set_page_flags(pfn_to_page(m, pfn), PG_buddy);
		pfn_to_page(m, pfn)->order = order;
		list_add_tail(&pfn_to_page(m, pfn)->lru, &zone->free_area[order].list);
		zone->free_area[order].nr++;
		pfn += 1ull << order;
	}
}

/* As vm.min_free_kbytes: 4 * sqrt(KiB of memory), shared out by size. */
static void set_watermarks(struct aspace_machine *m, struct zone *zone)
{
	uint64_t min_kib = 4 * square_root(m->nr_frames * 4);
	uint64_t min = min_kib / 4 * zone->managed / m->nr_frames;

	zone->watermark[WMARK_MIN] = min;
	zone->watermark[WMARK_LOW] = min + min / 4;
	zone->watermark[WMARK_HIGH] = min + min / 2;
}

static void zones_init(struct aspace_machine *m)
{
	const pfn_t bounds[MAX_NR_ZONES + 1] = { 0, DMA_END, DMA32_END, UINT64_MAX };

	for (int z = 0; z < MAX_NR_ZONES; z++) {
		struct zone *zone = &m->zone[z];

		spin_lock_init(&zone->lock);
		for (int order = 0; order <= MAX_ORDER; order++)
			INIT_LIST_HEAD(&zone->free_area[order].list);
		zone->start = bounds[z] < m->nr_frames ? bounds[z] : m->nr_frames;
		zone->end = bounds[z + 1] < m->nr_frames ? bounds[z + 1] : m->nr_frames;
		if (zone->start == zone->end)
			continue;
		fill_zone(m, zone);
		set_watermarks(m, zone);
	}
}

/* The lists are short where RAM is: what stands in them is no use to other threads. */
static void pcp_init(struct aspace_machine *m)
{
	uint64_t high = m->nr_frames / 128;

	m->pcp_high = high < 16 ? 16 : high > 1024 ? 1024 : high;
	m->pcp_batch = m->pcp_high / 4 < 64 ? m->pcp_high / 4 : 64;
	for (int i = 0; i < NR_PCP; i++)
		spin_lock_init(&m->pcp[i].lock);
}

/* Behind RAM, in the same memfd: the descriptors of its frames, and a byte for each block. */
static uint64_t mem_map_bytes(uint64_t nr_frames)
{
	return nr_frames * sizeof(struct page);
}

static uint64_t memory_bytes(uint64_t nr_frames)
{
	uint64_t bytes = (nr_frames << PAGE_SHIFT) + mem_map_bytes(nr_frames) + nr_frames / BLOCK_FRAMES + 1;

	return PAGE_ALIGN(bytes);
}

int frames_init(struct aspace_machine *m)
{
	int error;

	m->nr_frames = m->ram_bytes >> PAGE_SHIFT;
	error = ram_create(memory_bytes(m->nr_frames), &m->ram, &m->memfd);
	if (error)
		return error;
	m->mem_map = (struct page *)(m->ram + (m->nr_frames << PAGE_SHIFT));
	m->block_ready = (_Atomic uint8_t *)m->mem_map + mem_map_bytes(m->nr_frames);
	m->mem_map[0].type = PAGE_RESERVED;
	atomic_store(&m->mem_map[0]._refcount, 1);
	zones_init(m);
	pcp_init(m);
	m->zero_page = alloc_page(m, PAGE_ZERO, GFP_ZERO | GFP_NORECLAIM);
	if (!m->zero_page) {
		frames_exit(m);
		return -ENOMEM;
	}
	return 0;
}

void frames_exit(struct aspace_machine *m)
{
	if (!m->ram)
		return;
	ram_destroy(m->ram, memory_bytes(m->nr_frames), m->memfd);
	m->ram = NULL;
	m->memfd = -1;
}

/* ---- the checker ------------------------------------------------------------------------------------ */

struct census {
	uint64_t by_type[PAGE_DRIVER + 1];
	uint64_t in_blocks[MAX_NR_ZONES];
};

#define complain(...) (snprintf(why, size, __VA_ARGS__), -EUCLEAN)

/* The free lists of one zone: places, sizes, counts. */
static int check_zone(struct aspace_machine *m, int z, struct census *census, char *why, size_t size)
{
	struct zone *zone = &m->zone[z];

	for (unsigned order = 0; order <= MAX_ORDER; order++) {
		uint64_t nr = 0;
		struct page *page;

		if (!zone->managed)
			break;
		list_for_each_entry(page, &zone->free_area[order].list, lru) {
			pfn_t pfn = page_to_pfn(m, page);

			if (pfn < zone->start || pfn + (1ull << order) > zone->end ||
			    (pfn & ((1ull << order) - 1)))
				return complain("zone %d: free block %#lx of order %u is out of place", z,
						(unsigned long)pfn, order);
			if (!(page_flags(page) & PG_buddy) || page->order != order)
				return complain("frame %#lx: listed in order %u, says %u", (unsigned long)pfn,
						order, page->order);
			nr++;
		}
		if (nr != zone->free_area[order].nr)
			return complain("zone %d order %u: %lu blocks listed, counted %lu", z, order,
					(unsigned long)nr, (unsigned long)zone->free_area[order].nr);
		census->in_blocks[z] += nr << order;
	}
	if (census->in_blocks[z] != zone->free)
		return complain("zone %d: %lu frames in blocks, counted %lu", z,
				(unsigned long)census->in_blocks[z], (unsigned long)zone->free);
	return 0;
}

static int check_frame(struct aspace_machine *m, pfn_t pfn, char *why, size_t size)
{
	struct page *page = pfn_to_page(m, pfn);
	int refs = atomic_load(&page->_refcount), maps = atomic_load(&page->_mapcount);

	if (page->type > PAGE_DRIVER)
		return complain("frame %#lx: type %u", (unsigned long)pfn, page->type);
	if (page->type == PAGE_FREE && (refs || maps))
		return complain("frame %#lx: free with %d references, %d mappings", (unsigned long)pfn, refs,
				maps);
	if (page->type != PAGE_FREE && refs < 1)
		return complain("frame %#lx: type %u with %d references", (unsigned long)pfn, page->type, refs);
	if (maps < 0 || maps > refs)
		return complain("frame %#lx: %d mappings, %d references", (unsigned long)pfn, maps, refs);
	return 0;
}

/* Every frame once, free blocks and large ones in one step. */
static int count_all(struct aspace_machine *m, struct census *census, char *why, size_t size)
{
	for (pfn_t pfn = 0; pfn < m->nr_frames;) {
		struct page *page = pfn_to_page(m, pfn);
		bool whole = page->type != PAGE_FREE || (page_flags(page) & PG_buddy);
		uint64_t n = whole ? 1ull << page->order : 1;
		int error = check_frame(m, pfn, why, size);

		if (error)
			return error;
		census->by_type[page->type] += n;
		pfn += n;
	}
	return 0;
}

int check_frames(struct aspace_machine *m, char *why, size_t size)
{
	struct census census = { 0 };
	uint64_t free = 0;
	int error = 0;

	for (int z = 0; z < MAX_NR_ZONES && !error; z++) {
		error = check_zone(m, z, &census, why, size);
		free += census.in_blocks[z];
	}
	if (!error)
		error = count_all(m, &census, why, size);
	if (error)
		return error;
	for (int i = 0; i < NR_PCP; i++) {
		unsigned n = 0;

		for (pfn_t pfn = m->pcp[i].head; pfn; pfn = pfn_to_page(m, pfn)->private)
			n++;
		if (n != m->pcp[i].count)
			return complain("list %d: %u frames, counted %u", i, n, m->pcp[i].count);
		free += n;
	}
	if (census.by_type[PAGE_FREE] != free)
		return complain("%lu frames are free, %lu in lists", (unsigned long)census.by_type[PAGE_FREE],
				(unsigned long)free);
	for (int type = PAGE_RESERVED; type <= PAGE_DRIVER; type++)
		if (census.by_type[type] != nr_frames_of(m, type))
			return complain("%lu frames of type %d, counted %lu",
					(unsigned long)census.by_type[type], type,
					(unsigned long)nr_frames_of(m, type));
	return 0;
}
