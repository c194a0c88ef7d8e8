/* SPDX-License-Identifier: MIT */
/*
 * What to do next. Addresses are taken from the areas as they are: their ends, one page beside,
 * inside, and the free pages around them; lengths reach the next end, or one page more or less.
 * So most operations meet a neighbour, split an area or join two.
 */
#include <string.h>

#include <aspace/abi.h>

#include "check.h"

struct check_profile {
	const char *name;
	bool areas_only;
	uint8_t weight[OP_KINDS];
};

static const struct check_profile profiles[] = {
	{ "areas", true, {
		[OP_MMAP] = 60, [OP_MUNMAP] = 25, [OP_BRK] = 8, [OP_MPROTECT] = 40, [OP_MREMAP] = 40,
		[OP_PKEY_MPROTECT] = 6, [OP_PKEY_ALLOC] = 3, [OP_PKEY_FREE] = 2, [OP_MADVISE] = 30,
		[OP_PROCESS_MADVISE] = 4,
		[OP_MLOCK2] = 8, [OP_MUNLOCK] = 6, [OP_MLOCKALL] = 2, [OP_MUNLOCKALL] = 1,
		[OP_MSYNC] = 2, [OP_REMAP_FILE_PAGES] = 2, [OP_MSEAL] = 1, [OP_RLIMIT] = 2,
		[OP_SEAL_FILE] = 1, [OP_FORK] = 2, [OP_MDWE] = 1, [OP_PERSONALITY] = 1, } },
	{ "basic", true, {
		[OP_MMAP] = 60, [OP_MUNMAP] = 30, [OP_BRK] = 10, [OP_MPROTECT] = 40, [OP_RLIMIT] = 3,
		[OP_FORK] = 2, } },
	{ "full", false, {
		[OP_MMAP] = 60, [OP_MUNMAP] = 20, [OP_BRK] = 8, [OP_MPROTECT] = 35, [OP_MREMAP] = 35,
		[OP_PKEY_MPROTECT] = 5, [OP_PKEY_ALLOC] = 3, [OP_PKEY_FREE] = 2, [OP_PKRU] = 3,
		[OP_MADVISE] = 35, [OP_PROCESS_MADVISE] = 5, [OP_MLOCK] = 4, [OP_MLOCK2] = 6, [OP_MUNLOCK] = 6,
		[OP_MLOCKALL] = 1, [OP_MUNLOCKALL] = 1, [OP_MSYNC] = 4, [OP_MINCORE] = 6,
		[OP_REMAP_FILE_PAGES] = 2, [OP_MSEAL] = 1, [OP_LOAD] = 50, [OP_STORE] = 60,
		[OP_CALL] = 6, [OP_TRUNCATE] = 6, [OP_PUNCH] = 3, [OP_PREAD] = 4, [OP_PWRITE] = 4,
		[OP_SEAL_FILE] = 1, [OP_READ_TO] = 5, [OP_WRITE_FROM] = 5, [OP_VM_READ] = 2,
		[OP_VM_WRITE] = 3, [OP_MEM_READ] = 2, [OP_MEM_WRITE] = 4, [OP_RLIMIT] = 2,
		[OP_FORK] = 5, [OP_MDWE] = 1, [OP_PERSONALITY] = 1, } },
	{ "anon", false, {
		[OP_MMAP] = 40, [OP_MUNMAP] = 15, [OP_BRK] = 8, [OP_MPROTECT] = 30, [OP_MREMAP] = 40,
		[OP_MADVISE] = 40, [OP_PROCESS_MADVISE] = 5, [OP_MLOCK] = 3, [OP_MLOCK2] = 3, [OP_MUNLOCK] = 3, [OP_MINCORE] = 4,
		[OP_LOAD] = 50, [OP_STORE] = 80, [OP_MEM_WRITE] = 4, [OP_FORK] = 12, } },
	{ "files", false, {
		[OP_MMAP] = 50, [OP_MUNMAP] = 10, [OP_MPROTECT] = 20, [OP_MREMAP] = 20,
		[OP_MADVISE] = 20, [OP_PROCESS_MADVISE] = 3, [OP_MSYNC] = 8, [OP_MINCORE] = 10, [OP_REMAP_FILE_PAGES] = 4,
		[OP_LOAD] = 60, [OP_STORE] = 60, [OP_CALL] = 4, [OP_TRUNCATE] = 15, [OP_PUNCH] = 8,
		[OP_PREAD] = 15, [OP_PWRITE] = 15, [OP_SEAL_FILE] = 3, [OP_READ_TO] = 8,
		[OP_WRITE_FROM] = 8, [OP_FORK] = 4, } },
};
#define NR_PROFILES (sizeof(profiles) / sizeof(profiles[0]))

const struct check_profile *check_profile_find(const char *name)
{
	for (size_t i = 0; i < NR_PROFILES; i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}

const char *check_profile_name(unsigned i)
{
	return i < NR_PROFILES ? profiles[i].name : NULL;
}

bool check_profile_areas_only(const struct check_profile *profile)
{
	return profile->areas_only;
}

uint64_t check_random(struct check_rng *rng)	/* splitmix64 */
{
	uint64_t z = rng->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

#define MAX_AREAS 512
struct gen {
	struct check_rng *rng;
	const struct check_profile *profile;
	struct check_ours *ours;
	struct check_area area[MAX_AREAS];
	unsigned nr_areas;
	uint64_t last;			/* an address that was used before */
	unsigned files;
	uint64_t kind[CHECK_FILES];
};

static uint64_t below(struct gen *g, uint64_t n)
{
	return check_random(g->rng) % n;
}
static bool chance(struct gen *g, unsigned percent)
{
	return below(g, 100) < percent;
}
#define PICK(g, ...) ((const uint64_t[]){ __VA_ARGS__ })[below(g, sizeof((uint64_t[]){ __VA_ARGS__ }) / 8)]

/* ---- addresses and lengths --------------------------------------------------------------------- */

/*
 * Where sequences play: below the place where unhinted mappings go, and around ends of page
 * tables of the first (2 MiB) and second (1 GiB) level.
 */
static uint64_t somewhere(struct gen *g)
{
	switch (below(g, 8)) {
	case 0: return 0x7ffff0000000ull - 32 * CHECK_PAGE + below(g, 64) * CHECK_PAGE;
	case 1: return 0x7fffc0000000ull - 32 * CHECK_PAGE + below(g, 64) * CHECK_PAGE;
	case 2: return CHECK_HEAP - 8 * CHECK_PAGE + below(g, 32) * CHECK_PAGE;
	default: return CHECK_MMAP_BASE - (1 + below(g, 192)) * CHECK_PAGE;
	}
}

static uint64_t strange(struct gen *g)
{
	return PICK(g, 0, 1, CHECK_PAGE, 15 * CHECK_PAGE, 16 * CHECK_PAGE, 0x40000000, 0x7ffff000,
		    CHECK_TASK_SIZE, CHECK_TASK_SIZE + CHECK_PAGE, 0xffff800000000000ull, -CHECK_PAGE,
		    CHECK_MMAP_BASE - 0x10000001000ull);
}

static uint64_t address(struct gen *g)
{
	const struct check_area *a;
	uint64_t at;

	if (chance(g, 1))
		return strange(g);
	if (chance(g, 12) && g->last)
		return g->last;
	if (!g->nr_areas || chance(g, 15))
		return somewhere(g);
	a = &g->area[below(g, g->nr_areas)];
	switch (below(g, 8)) {
	case 0: case 1: case 2: at = a->start; break;
	case 3: at = a->end; break;
	case 4: at = a->end - CHECK_PAGE; break;
	case 5: at = a->start - (1 + below(g, 4)) * CHECK_PAGE; break;
	default:
		at = a->start + below(g, (a->end - a->start) / CHECK_PAGE) * CHECK_PAGE;
	}
	if (chance(g, 1))
		at += 1 + below(g, CHECK_PAGE - 1);
	return at;
}

static const struct check_area *area_at(struct gen *g, uint64_t addr)
{
	for (unsigned i = 0; i < g->nr_areas; i++)
		if (g->area[i].end > addr)
			return &g->area[i];
	return NULL;
}

/* From addr to an end nearby, or some pages. */
static uint64_t length(struct gen *g, uint64_t addr)
{
	const struct check_area *a = area_at(g, addr);
	uint64_t n;

	if (chance(g, 1))
		return PICK(g, 0, 1, -1ull, -CHECK_PAGE, 1ull << 46, 1ull << 40, 0x40000000, CHECK_PAGE - 1,
			    CHECK_PAGE + 1);
	if (!a || chance(g, 40)) {
		n = (1 + below(g, chance(g, 80) ? 6 : 40)) * CHECK_PAGE;
		return chance(g, 2) ? PICK(g, 0x200000, 0x400000, 0x201000) : n;
	}
	n = a->start > addr && chance(g, 50) ? a->start - addr : a->end - addr;
	switch (below(g, 8)) {
	case 0: n -= CHECK_PAGE; break;
	case 1: n += CHECK_PAGE; break;
	case 2: n += (1 + below(g, 8)) * CHECK_PAGE; break;
	case 3: n = n > 2 * CHECK_PAGE ? n / 2 & ~(CHECK_PAGE - 1) : n; break;
	}
	if (chance(g, 1))
		n -= below(g, CHECK_PAGE);
	return n ? n : CHECK_PAGE;
}

/* An operation over a range must not reach the child's home, or it would end there. */
static bool harmless(uint64_t addr, uint64_t len)
{
	return addr + len >= addr && (addr + len <= CHECK_HOME - CHECK_PAGE || addr >= CHECK_TASK_SIZE) &&
	       len < 1ull << 47;
}

static void range(struct gen *g, struct check_op *op)
{
	do {
		op->a[0] = address(g);
		op->a[1] = length(g, op->a[0]);
	} while (!harmless(op->a[0], op->a[1]));
}

/* ---- arguments --------------------------------------------------------------------------------- */

static uint64_t prot(struct gen *g)
{
	if (chance(g, 2))
		return PICK(g, ASPACE_PROT_SEM | 1, ASPACE_PROT_GROWSDOWN | 3, ASPACE_PROT_GROWSUP | 1,
			    ASPACE_PROT_GROWSDOWN | ASPACE_PROT_GROWSUP, 0x10, 0x41);
	return PICK(g, 3, 3, 3, 3, 1, 1, 1, 0, 0, 5, 7, 4, 2);
}

static uint64_t a_file(struct gen *g)
{
	return g->files && !chance(g, 1) ? below(g, g->files) : 7;
}

static uint64_t map_type(struct gen *g)
{
	unsigned n = below(g, 100);

	return n < 64 ? ASPACE_MAP_PRIVATE : n < 92 ? ASPACE_MAP_SHARED :
	       n < 96 ? ASPACE_MAP_SHARED_VALIDATE : n < 98 ? ASPACE_MAP_DROPPABLE : below(g, 16);
}

static uint64_t map_flags(struct gen *g)
{
	static const struct { uint32_t flag; uint8_t percent; } odd[] = {
		{ ASPACE_MAP_NORESERVE, 8 }, { ASPACE_MAP_GROWSDOWN, 5 }, { ASPACE_MAP_LOCKED, 3 },
		{ ASPACE_MAP_POPULATE, 8 }, { ASPACE_MAP_NONBLOCK, 3 }, { ASPACE_MAP_STACK, 4 },
		{ ASPACE_MAP_32BIT, 3 }, { ASPACE_MAP_SYNC, 1 }, { ASPACE_MAP_DENYWRITE, 1 },
		{ ASPACE_MAP_EXECUTABLE, 1 }, { ASPACE_MAP_UNINITIALIZED, 1 },
		{ ASPACE_MAP_ABOVE4G, 1 },
	};
	uint64_t flags = map_type(g);

	if (!g->files || chance(g, 62))
		flags |= ASPACE_MAP_ANONYMOUS;
	flags |= PICK(g, 0, 0, 0, ASPACE_MAP_FIXED, ASPACE_MAP_FIXED, ASPACE_MAP_FIXED, ASPACE_MAP_FIXED,
		      ASPACE_MAP_FIXED, ASPACE_MAP_FIXED_NOREPLACE);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (chance(g, odd[i].percent))
			flags |= odd[i].flag;
	return flags;
}

static uint64_t offset(struct gen *g, uint64_t addr)
{
	const struct check_area *a = area_at(g, addr);

	if (chance(g, 1))
		return PICK(g, 1, -CHECK_PAGE, 1ull << 62, 0x7ffffffffffff000ull, 1ull << 43);
	/* what joins with the area around or before */
	if (a && a->file >= 0 && chance(g, 40))
		return a->offset + addr - a->start;
	return below(g, 12) * CHECK_PAGE;
}

static void gen_mmap(struct gen *g, struct check_op *op)
{
	uint64_t *a = op->a;

	do {
		a[3] = map_flags(g);
		a[0] = a[3] & (ASPACE_MAP_FIXED | ASPACE_MAP_FIXED_NOREPLACE) || chance(g, 35) ? address(g) : 0;
		a[1] = length(g, a[0] ? a[0] : CHECK_MMAP_BASE - (1ull << 28));
	} while (a[0] + a[1] > CHECK_HOME - CHECK_PAGE && a[0] < CHECK_TASK_SIZE &&
		 a[0] + a[1] <= CHECK_TASK_SIZE);
	a[2] = prot(g);
	a[4] = a[3] & ASPACE_MAP_ANONYMOUS ? CHECK_NO_FILE : a_file(g);
	a[5] = a[3] & ASPACE_MAP_ANONYMOUS && !chance(g, 3) ? 0 : offset(g, a[0]);
	/* without a security module's say, what is below may be mapped by name: other than placement's */
	if (a[0] >= CHECK_PAGE && a[0] < check_ours_min_addr(g->ours))
		a[3] &= ~(uint64_t)(ASPACE_MAP_FIXED | ASPACE_MAP_FIXED_NOREPLACE);
	/* only ext4 and xfs refuse what isn't direct access memory: a matter of the file system */
	if (a[4] < CHECK_FILES && g->kind[a[4]] >= FILE_TMP_RW)
		a[3] &= ~(uint64_t)ASPACE_MAP_SYNC;
	/* nor may ext4's files be larger than 16 TiB */
	if (a[4] < CHECK_FILES && g->kind[a[4]] >= FILE_TMP_RW && a[1] + a[5] >= 1ull << 43) {
		a[1] = CHECK_PAGE;
		a[5] = 0;
	}
	/* the rest of the pages of a large mapping would be faulted in one by one */
	if (a[1] > 1 << 20)
		a[3] &= ~(uint64_t)(ASPACE_MAP_POPULATE | ASPACE_MAP_LOCKED);
}

static void gen_mremap(struct gen *g, struct check_op *op)
{
	uint64_t *a = op->a;

	do {
		a[0] = address(g);
		a[1] = chance(g, 3) ? 0 : length(g, a[0]);
		a[2] = chance(g, 30) ? a[1] : chance(g, 2) ? 0 : length(g, a[0]);
		a[3] = PICK(g, 0, 0, 1, 1, 1, 1, 3, 3, 3, 3, 5, 5, 7, 7, 2, 4, 6, 8);
		a[4] = chance(g, 90) || (a[3] & 2) ? address(g) : 0;
		/* the kernel (6.17) charges what a move to a fixed place cuts off: may exceed all memory */
		if ((a[3] & 2) && a[1] > a[2] && a[1] - a[2] > 1 << 30)
			a[1] = a[2] + CHECK_PAGE;
		if (chance(g, 8))	/* over and beside itself */
			a[4] = a[0] + PICK(g, CHECK_PAGE, -CHECK_PAGE, 0) + (chance(g, 50) ? a[1] : 0);
	} while (!harmless(a[0], a[1]) || !harmless(a[0], a[2]) || ((a[3] & 2) && !harmless(a[4], a[2])) ||
		 (a[4] >= CHECK_PAGE && a[4] < check_ours_min_addr(g->ours)));
}

#define MUCH (4ull << 20)	/* bytes that may be brought in at once */

/*
 * Takes memory for all of the range: pages, or tables for guards. Or time: the kernel looks at every page of
 * what was mergeable and no longer is, and mremap makes it so.
 */
static bool takes_all_of_it(uint64_t advice)
{
	return advice == ASPACE_MADV_POPULATE_READ || advice == ASPACE_MADV_POPULATE_WRITE ||
	       advice == ASPACE_MADV_GUARD_INSTALL || advice == ASPACE_MADV_MERGEABLE;
}

static void gen_madvise(struct gen *g, struct check_op *op)
{
	const struct check_word *w = check_words(ARG_ADVICE);
	unsigned n = 0;

	while (w[n].name)
		n++;
	range(g, op);
	do {
		op->a[2] = chance(g, 2) ? PICK(g, 5, 7, 26, 99, 104, -1ull) : w[below(g, n)].value;
	} while (op->a[2] == ASPACE_MADV_PAGEOUT && !g->profile->areas_only);
	/* without pages it isn't known what lies beyond a file's end, or guarded */
	if (g->profile->areas_only && op->a[2] != -1ull && op->a[2] >= ASPACE_MADV_GUARD_INSTALL)
		op->a[2] = ASPACE_MADV_DONTNEED;
	if (g->profile->areas_only && (op->a[2] == ASPACE_MADV_POPULATE_READ ||
				       op->a[2] == ASPACE_MADV_POPULATE_WRITE))
		op->a[2] = ASPACE_MADV_DODUMP;
	if (op->a[1] > MUCH && takes_all_of_it(op->a[2]))
		op->a[1] = CHECK_PAGE;
}

static void gen_process_madvise(struct gen *g, struct check_op *op)
{
	struct check_op second = { 0 };

	gen_madvise(g, op);
	range(g, &second);
	op->a[3] = second.a[0];
	op->a[4] = op->a[1] <= MUCH && second.a[1] > MUCH ? CHECK_PAGE : second.a[1];
	if (chance(g, 5))
		op->a[1] = 0;
}

static void gen_mlock(struct gen *g, struct check_op *op)
{
	range(g, op);
	if (op->kind == OP_MLOCK2)
		op->a[2] = g->profile->areas_only ? 1 : PICK(g, 0, 1, 1, 2);
}

static void gen_rlimit(struct gen *g, struct check_op *op)
{
	uint64_t k = below(g, 40) * CHECK_PAGE;

	op->a[0] = PICK(g, ASPACE_RLIMIT_DATA, ASPACE_RLIMIT_STACK, ASPACE_RLIMIT_MEMLOCK, ASPACE_RLIMIT_AS);
	if (chance(g, 30)) {
		op->a[1] = -1ull;
		return;
	}
	switch (op->a[0]) {
	case ASPACE_RLIMIT_AS: op->a[1] = check_ours_total_vm(g->ours) + k; break;
	case ASPACE_RLIMIT_MEMLOCK: op->a[1] = PICK(g, 0, k, k, CHECK_MEMLOCK, 256ull << 20); break;
	case ASPACE_RLIMIT_STACK: op->a[1] = PICK(g, k, 64 * CHECK_PAGE, 8 << 20); break;
	default: op->a[1] = PICK(g, k, k + CHECK_STACK_BYTES, 1 << 20, 4 << 20); break;
	}
}

static void gen_brk(struct gen *g, struct check_op *op)
{
	uint64_t brk = check_ours_brk(g->ours);

	op->a[0] = brk + below(g, 16) * CHECK_PAGE - 6 * CHECK_PAGE;
	if (chance(g, 10))
		op->a[0] = PICK(g, 0, CHECK_HEAP, CHECK_HEAP - 1, CHECK_HEAP + 1, brk + 100, brk + 0x200000);
}

/* An address that a load or store may hit, aligned to its size: mostly where it may (perm: 1 r, 2 w). */
static uint64_t byte_address(struct gen *g, uint64_t size, uint32_t perm)
{
	const struct check_area *a;
	unsigned tries = 0;
	uint64_t at;

	do {
		at = address(g) & ~(CHECK_PAGE - 1);
		a = area_at(g, at);
	} while (tries++ < 6 && chance(g, 85) && (!a || a->start > at || !(a->perm & perm)));
	while (at >= CHECK_HOME - CHECK_PAGE && at < CHECK_TASK_SIZE)
		at = address(g) & ~(CHECK_PAGE - 1);
	return at + PICK(g, 0, 0, 8, 2040, 4088) / size * size;
}

static uint64_t file_offset(struct gen *g)
{
	return below(g, 12) * CHECK_PAGE + PICK(g, 0, 0, 8, 2040, 4088);
}

static void gen_args(struct gen *g, struct check_op *op)
{
	uint64_t *a = op->a;

	switch (op->kind) {
	case OP_MMAP: gen_mmap(g, op); break;
	case OP_BRK: gen_brk(g, op); break;
	case OP_MPROTECT: range(g, op); a[2] = prot(g); break;
	case OP_PKEY_MPROTECT:
		range(g, op);
		a[2] = prot(g);
		a[3] = PICK(g, 0, 1, 1, 1, 2, 2, 3, 15, 16, -1ull);
		break;
	case OP_PKEY_ALLOC: a[0] = chance(g, 3); a[1] = PICK(g, 0, 0, 1, 2, 3, 4); break;
	case OP_PKEY_FREE: a[0] = PICK(g, 1, 1, 2, 3, 16, -1ull); break;	/* not 0: the child's own */
	case OP_MREMAP: gen_mremap(g, op); break;
	case OP_MADVISE: gen_madvise(g, op); break;
	case OP_PROCESS_MADVISE: gen_process_madvise(g, op); break;
	case OP_MLOCK: case OP_MLOCK2: gen_mlock(g, op); break;
	case OP_MLOCKALL:
		a[0] = PICK(g, 1, 2, 3, 5, 6, 7, 6, 0, 4, 8);
		break;
	case OP_MSYNC: range(g, op); a[2] = PICK(g, 1, 2, 3, 4, 5, 6, 0, 8); break;
	case OP_MINCORE:
		do
			range(g, op);
		while (a[1] > 256 << 20);
		break;
	case OP_REMAP_FILE_PAGES:
		do
			range(g, op);
		while (a[1] > MUCH);
		a[2] = chance(g, 95) ? 0 : 1;
		a[3] = chance(g, 98) ? below(g, 8) : PICK(g, 1ull << 52, -1ull);
		a[4] = chance(g, 90) ? 0 : ASPACE_MAP_NONBLOCK;
		break;
	case OP_MSEAL: range(g, op); a[2] = chance(g, 3); break;
	case OP_LOAD: a[1] = PICK(g, 1, 4, 8, 8); a[0] = byte_address(g, a[1], 1); break;
	case OP_STORE:
		a[1] = PICK(g, 1, 4, 8, 8);
		a[0] = byte_address(g, a[1], 2);
		a[2] = chance(g, 30) ? 0xc3 : check_random(g->rng) & 0xffffff;
		break;
	case OP_CALL: a[0] = byte_address(g, 8, 4); break;
	case OP_PKRU: a[0] = PICK(g, 0x55555554, 0x55555550, 0x55555558, 0x55555540, 0, 0xfffffffc); break;
	case OP_TRUNCATE: a[0] = a_file(g); a[1] = chance(g, 70) ? below(g, 12) * CHECK_PAGE : below(g, 49152); break;
	case OP_PUNCH: a[0] = a_file(g); a[1] = file_offset(g); a[2] = length(g, 0) & 0xffffff;
		/* Linux unmaps all of a tmpfs file behind a hole inside its first page */
		if (a[1] + a[2] < CHECK_PAGE)
			a[2] = CHECK_PAGE;
		break;
	case OP_PREAD: a[0] = a_file(g); a[1] = file_offset(g); break;
	case OP_PWRITE: a[0] = a_file(g); a[1] = file_offset(g); a[2] = check_random(g->rng) & 0xffffff; break;
	case OP_SEAL_FILE: a[0] = a_file(g); a[1] = PICK(g, 1, 2, 4, 8, 16, 32, 6, 0, 64); break;
	case OP_READ_TO: case OP_WRITE_FROM:
	case OP_VM_READ: case OP_VM_WRITE: case OP_MEM_READ: case OP_MEM_WRITE:
		do
			a[0] = address(g);
		while (a[0] + 5 * CHECK_PAGE >= CHECK_HOME && a[0] < CHECK_TASK_SIZE);
		a[1] = PICK(g, 0, 1, 100, CHECK_PAGE, CHECK_PAGE + 1, 3 * CHECK_PAGE);
		break;
	case OP_RLIMIT: gen_rlimit(g, op); break;
	case OP_MDWE: a[0] = PICK(g, 0, 0, 0, 1, 2, 3, 4); break;
	case OP_PERSONALITY: a[0] = PICK(g, ASPACE_ADDR_NO_RANDOMIZE, ASPACE_ADDR_NO_RANDOMIZE |
				    ASPACE_READ_IMPLIES_EXEC); break;
	case OP_FORK: break;
	default: range(g, op); break;
	}
}

static void gen_op(struct gen *g, struct check_op *op)
{
	unsigned total = 0, n;

	for (unsigned k = 0; k < OP_KINDS; k++)
		total += g->profile->weight[k];
	n = below(g, total);
	memset(op, 0, sizeof(*op));
	for (op->kind = 0; n >= g->profile->weight[op->kind]; op->kind++)
		n -= g->profile->weight[op->kind];
	gen_args(g, op);
	if (check_op_info[op->kind].arg[0] == ARG_ADDR && op->a[0] && op->a[0] < CHECK_HOME)
		g->last = op->a[0];
}

/* The sequence's files, made before anything else. */
static void gen_file(struct gen *g, struct check_op *op)
{
	memset(op, 0, sizeof(*op));
	op->kind = OP_FILE;
	op->a[0] = g->files++;
	op->a[1] = PICK(g, FILE_MEMFD, FILE_MEMFD, FILE_MEMFD, FILE_SEALABLE, FILE_TMP_RW, FILE_TMP_RO,
			FILE_TMP_WO);
	op->a[2] = chance(g, 70) ? below(g, 12) * CHECK_PAGE : below(g, 49152);
	g->kind[op->a[0]] = op->a[1];
}

void check_generate(struct check_rng *rng, const struct check_profile *profile, unsigned n,
		    struct check_ours *ours, struct check_sequence *seq, const struct check_look *look,
		    struct check_trace *trace)
{
	static struct gen generator;	/* large; one sequence is generated at a time */
	struct gen *g = &generator;
	unsigned files, child = 0, forked = 0;

	*g = (struct gen){ .rng = rng, .profile = profile, .ours = ours };
	files = below(g, 4);
	seq->n = n;
	for (unsigned i = 0; i < n; i++) {
		struct check_op *op = &seq->op[i];

		if (i < files) {
			gen_file(g, op);
		} else if (child && (i == child || i + 1 == n)) {
			*op = (struct check_op){ .kind = OP_EXIT };
			check_ours_fork_end(ours, forked, n, look);
			child = 0;
		} else {
			g->nr_areas = check_ours_areas(ours, g->area, MAX_AREAS);
			gen_op(g, op);
			if (op->kind == OP_FORK && (child || i + 2 >= n))
				op->kind = OP_NOP;
		}
		check_ours_step(ours, op, i, n, look);
		if (trace->result[i].skipped) {
			*op = (struct check_op){ .kind = OP_NOP };
			trace->result[i].skipped = 0;
		}
		if (op->kind == OP_FORK && !trace->result[i].ret) {
			forked = i;
			child = i + 2 + below(g, 12);
		}
	}
}
