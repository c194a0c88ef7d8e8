/* SPDX-License-Identifier: MIT */
/*
 * aspace check: one random sequence of memory operations, done twice - by the library and by the
 * kernel of this host - and compared after every step.
 *
 *	check_gen.c      what to do next, seen the areas as they are
 *	     |
 *	check_ours*.c    does it in the library ----------.
 *	     |                                             > struct check_trace, twice
 *	check_host.c     hands it to a child process       |
 *	  check_exec*.c  does it there, in the kernel ----'
 *	     |
 *	check_compare.c  the first step at which the two traces differ
 *	check_shrink.c   a shorter sequence that still differs
 *	check_print.c    the sequence as text (corpus, --replay) and as a C program
 *	check_ops.c      the operations' names and the meaning of their arguments
 *	check_coverage.c which operations, flags and outcomes were seen
 *
 * The library goes first: what to do next is chosen by looking at its areas. The kernel's side runs
 * one sequence behind, on the other processor. Both start from the same picture: an empty address
 * space but for the few areas that the child itself lives in (its "home"), above everything else.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Done on the kernel's side as well, where no sanitizer's shadow is mapped. */
#define CHECK_BARE __attribute__((no_sanitize("address", "undefined", "thread")))

/* ---- where things are --------------------------------------------------------------------- */

#define CHECK_PAGE	4096ull
#define CHECK_TASK_SIZE	0x7ffffffff000ull
#define CHECK_MMAP_BASE	0x7ffff7fff000ull	/* without randomisation, stack limit 8 MiB */
#define CHECK_MMAP_LEGACY_BASE 0x2aaaaaaab000ull
#define CHECK_HEAP	0x555600000000ull
#define CHECK_DATA	0x5555ffff0000ull
/* The child's home: a read-only copy of this program, the shared ring, its stack and state. */
#define CHECK_HOME	0x7ffff9000000ull
#define CHECK_RING	0x7ffffb000000ull
#define CHECK_STATE	0x7ffffd000000ull
#define CHECK_STACK	0x7ffffe000000ull
#define CHECK_STACK_BYTES 0x40000ull
#define CHECK_MEMLOCK	(8ull << 20)	/* the limit to start with */

/* ---- operations ---------------------------------------------------------------------------- */

enum check_kind {
	OP_NOP,
	OP_MMAP, OP_MUNMAP, OP_BRK, OP_MPROTECT, OP_PKEY_MPROTECT, OP_PKEY_ALLOC, OP_PKEY_FREE,
	OP_MREMAP, OP_MADVISE, OP_PROCESS_MADVISE, OP_MLOCK, OP_MLOCK2, OP_MUNLOCK, OP_MLOCKALL, OP_MUNLOCKALL, OP_MSYNC,
	OP_MINCORE, OP_REMAP_FILE_PAGES, OP_MSEAL, OP_NAME,
	OP_LOAD, OP_STORE, OP_CALL, OP_PKRU,
	OP_FILE, OP_TRUNCATE, OP_PUNCH, OP_PREAD, OP_PWRITE, OP_SEAL_FILE,
	OP_READ_TO, OP_WRITE_FROM, OP_VM_READ, OP_VM_WRITE, OP_MEM_READ, OP_MEM_WRITE,
	OP_RLIMIT, OP_PERSONALITY, OP_MDWE, OP_FORK, OP_EXIT,
	OP_KINDS
};

struct check_op {
	uint32_t kind;
	uint32_t pad;
	uint64_t a[6];		/* as the system call has them; see check_ops.c */
};

enum check_file_kind { FILE_MEMFD, FILE_SEALABLE, FILE_TMP_RW, FILE_TMP_RO, FILE_TMP_WO, FILE_KINDS };

#define CHECK_MAX_OPS	512
#define CHECK_FILES	8
#define CHECK_NO_FILE	((uint64_t)-1)

struct check_sequence {
	uint32_t n;
	struct check_op op[CHECK_MAX_OPS];
};

/* What follows a fork up to the next exit is done by the child; the parent goes on behind. */
static inline CHECK_BARE unsigned check_fork_end(const struct check_sequence *seq, unsigned fork)
{
	unsigned i = fork + 1;

	while (i < seq->n && seq->op[i].kind != OP_EXIT)
		i++;
	return i;
}

/* What the argument of an operation means: how it is printed, parsed and counted. */
enum check_arg {
	ARG_NONE, ARG_ADDR, ARG_LEN, ARG_OFF, ARG_INT, ARG_HEX, ARG_FILE, ARG_PROT, ARG_MAP, ARG_MREMAP,
	ARG_ADVICE, ARG_MSYNC, ARG_MLOCK2, ARG_MLOCKALL, ARG_SEALS, ARG_FILE_KIND, ARG_RLIMIT,
	ARG_KINDS
};
struct check_op_info {
	const char *name;
	enum check_arg arg[6];
};
struct check_word {		/* a name of a flag or value */
	const char *name;
	uint64_t value;
};
extern const struct check_op_info check_op_info[OP_KINDS];
const struct check_word *check_words(enum check_arg arg);	/* ended by name NULL; or NULL */
uint32_t check_kind(const char *name);	/* OP_KINDS: no operation has this name */
bool check_arg_is_bits(enum check_arg arg);	/* the words are OR-ed; else one of them */

/* ---- what is seen ---------------------------------------------------------------------------- */

struct check_result {
	int64_t ret;		/* the system call's; a load's value; 0 with a signal */
	int32_t signal, code;
	uint64_t addr;		/* si_addr */
	uint32_t picture;	/* offset in the pool + 1, or 0: none was taken */
	uint32_t skipped;	/* not done: it would be wild (a call into unknown bytes) */
};

/*
 * The figures of smaps that are compared. Not Referenced, which idle page tracking may clear, nor
 * LazyFree, which Linux counts when a batch is full.
 */
#define CHECK_SMAPS "Rss:Pss:Pss_Dirty:Shared_Clean:Shared_Dirty:Private_Clean:Private_Dirty:Anonymous:" \
		    "Swap:Locked:"
#define CHECK_NR_SMAPS 10

/* Areas of the picture. Home is not in it. */
struct check_area {
	uint64_t start, end, offset;
	int32_t file;		/* number of the file, -1 none, -2 shared anonymous memory */
	uint32_t perm;		/* 1 r, 2 w, 4 x, 8 shared */
	uint64_t vmflags;	/* bit n: check_vmflags[n]; full pictures only */
	int32_t pkey;
	uint32_t heap;		/* named [heap] */
	uint32_t smaps[CHECK_NR_SMAPS];	/* in the order of CHECK_SMAPS, kB; look.smaps only */
};
#define CHECK_PM_BITS	(1ull << 63 | 1ull << 62 | 1ull << 61 | 1ull << 58 | 1ull << 56)
struct check_page {
	uint64_t addr;
	uint64_t bits;		/* of pagemap, CHECK_PM_BITS */
	uint64_t hash;		/* of the contents; 0: could not be read */
};
struct check_picture {
	uint32_t areas, pages;
	uint16_t full;		/* flags, pages and counters are there too */
	uint16_t smaps;		/* and the figures of smaps */
	uint32_t truncated;	/* the pool was full */
	uint64_t vm_size, vm_lck, vm_data, vm_stk;	/* KiB; from /proc/PID/status */
	/* struct check_area[areas], struct check_page[pages] follow */
};

#define CHECK_POOL	(3u << 20)
struct check_trace {
	uint32_t done;		/* results that are there */
	uint32_t used;		/* of the pool */
	struct check_result result[CHECK_MAX_OPS];
	uint8_t pool[CHECK_POOL] __attribute__((aligned(8)));
};

static inline const struct check_picture *check_picture(const struct check_trace *t, unsigned i)
{
	uint32_t at = t->result[i].picture;

	return at ? (const struct check_picture *)(t->pool + at - 1) : NULL;
}
static inline const struct check_area *check_areas(const struct check_picture *p)
{
	return (const struct check_area *)(p + 1);
}
static inline const struct check_page *check_pages(const struct check_picture *p)
{
	return (const struct check_page *)(check_areas(p) + p->areas);
}

/* The place in CHECK_SMAPS of the key that s begins with (`value` is what stands behind it), or -1. */
static inline CHECK_BARE int check_smaps_key(const char *s, const char **value)
{
	static const char keys[] = CHECK_SMAPS;
	int n = 0;

	for (const char *k = keys; *k; n++) {
		const char *t = s;

		while (*k != ':' && *k == *t)
			k++, t++;
		if (*k == ':' && *t == ':') {
			*value = t + 1;
			return n;
		}
		while (*k++ != ':')
			;
	}
	return -1;
}

/* What a file system holds in memory, and what of it is dirty, is its own business. */
static inline CHECK_BARE bool check_smaps_tell(const struct check_area *a, bool tmp_file)
{
	return a->file < 0 || !tmp_file;
}

/* How closely to look. */
struct check_look {
	uint32_t areas_every;	/* areas after each n-th operation, 0 never */
	uint32_t full_every;	/* also flags, pages, contents */
	uint32_t pages;		/* full pictures hold pages and contents (not in areas only) */
	uint32_t smaps;
};

/* The letters of VmFlags, both sides' bit numbers are places in this string. */
#define CHECK_VMFLAGS \
	"rd wr ex sh mr mw me ms gd pf lo io sr rr dc de lf ac nr ht sf wf dd mm hg nh mg dp sl gu "
#define CHECK_NR_VMFLAGS ((sizeof(CHECK_VMFLAGS) - 1) / 3)

/* Contents of file number f at byte offset o (8-byte words); never 0. */
static inline CHECK_BARE uint64_t check_pattern(unsigned f, uint64_t o)
{
	return (o / 8 + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)(f + 1) << 56;
}
static inline CHECK_BARE uint64_t check_hash(const uint64_t *w, unsigned n)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (unsigned i = 0; i < n; i++)
		h = (h ^ w[i]) * 0x100000001b3ull, h ^= h >> 29;
	return h;
}
/* A picture shows at most these of an area's pages: all sides leave out the middle of large ones. */
#define CHECK_HEAD_PAGES 512u
#define CHECK_TAIL_PAGES 64u

static inline CHECK_BARE unsigned check_look_at(const struct check_look *look, unsigned i, unsigned n)
{
	bool last = i + 1 == n;

	if (look->full_every && ((i + 1) % look->full_every == 0 || last))
		return 2;
	return look->areas_every && ((i + 1) % look->areas_every == 0 || last);
}

/* ---- the ring: memory shared with the child --------------------------------------------------- */

struct check_slot {
	struct check_look look;
	struct check_sequence seq;
	struct check_trace trace;
};
#define CHECK_SLOTS 2
struct check_ring {
	uint32_t nr_home;
	struct { uint64_t start, end, flags; } home[16];	/* flags: ASPACE_VM_* of rwx, shared */
	uint64_t rlim_cur[16], rlim_max[16];	/* to start with, and the most it can be set to */
	uint64_t mmap_min_addr;		/* the lowest address that the kernel picks */
	char tmp_dir[256];		/* for its files */
	struct check_slot slot[CHECK_SLOTS];
};

/* ---- the parts -------------------------------------------------------------------------------- */

/* check_host.c: the kernel's side. */
struct check_host;
int check_host_start(struct check_host **host);		/* 0 or -errno */
void check_host_stop(struct check_host *host);
struct check_ring *check_host_ring(struct check_host *host);
int check_host_post(struct check_host *host, unsigned slot);	/* the slot's sequence is complete */
int check_host_wait(struct check_host *host, int *status);	/* the oldest posted; wait status */
int check_executor_main(int argc, char **argv);		/* the child, after exec */

/* check_ours.c: the library's side. */
struct check_ours;
struct check_ours_options {
	bool areas_only;
	uint64_t ram_bytes, host_pages;
	unsigned thp_align;
	bool rbtree;		/* the other index of areas */
	uint32_t lie;		/* operations of this kind are said to fail: does check see it? */
};
int check_ours_create(const struct check_ours_options *options, const struct check_ring *ring,
		      struct check_ours **ours);
void check_ours_destroy(struct check_ours *ours);
/* A sequence: begin, step by step (fork's children included), end. */
int check_ours_begin(struct check_ours *ours, struct check_trace *trace);
void check_ours_step(struct check_ours *ours, const struct check_op *op, unsigned i, unsigned n,
		     const struct check_look *look);
/* The child of the fork at index `forked` is over: its picture is the parent's from here on. */
void check_ours_fork_end(struct check_ours *ours, unsigned forked, unsigned n,
			 const struct check_look *look);
int check_ours_end(struct check_ours *ours, char *why, size_t size);	/* -EUCLEAN: the self check */
void check_ours_run(struct check_ours *ours, const struct check_sequence *seq,
		    const struct check_look *look, struct check_trace *trace);
/* For the generator: the areas now. */
unsigned check_ours_areas(struct check_ours *ours, struct check_area *area, unsigned max);
uint64_t check_ours_total_vm(struct check_ours *ours);	/* bytes */
uint64_t check_ours_brk(struct check_ours *ours);
uint64_t check_ours_min_addr(struct check_ours *ours);

/* check_gen.c */
struct check_rng { uint64_t s; };
uint64_t check_random(struct check_rng *rng);
struct check_profile;
const struct check_profile *check_profile_find(const char *name);
const char *check_profile_name(unsigned i);		/* NULL after the last */
bool check_profile_areas_only(const struct check_profile *profile);
/* Generates n operations into seq while the library does them. */
void check_generate(struct check_rng *rng, const struct check_profile *profile, unsigned n,
		    struct check_ours *ours, struct check_sequence *seq, const struct check_look *look,
		    struct check_trace *trace);

/* check_compare.c */
struct check_difference {
	unsigned step;		/* index of the operation; n: not at a step */
	char what[512];		/* one line or a few */
};
bool check_compare(const struct check_sequence *seq, const struct check_trace *host,
		   const struct check_trace *ours, struct check_difference *difference);

/* check_shrink.c: test(seq) says whether it still differs. seq becomes smaller. */
typedef bool (*check_test)(void *priv, const struct check_sequence *seq);
void check_shrink(struct check_sequence *seq, check_test test, void *priv);

/* check_print.c */
void check_format_op(const struct check_op *op, char *buffer, size_t size);
void check_format_result(const struct check_op *op, const struct check_result *r, char *buffer,
			 size_t size);
int check_parse(FILE *in, struct check_sequence *seq, char *why, size_t size);
void check_print_text(FILE *out, const struct check_sequence *seq);
void check_print_areas(FILE *out, const struct check_picture *picture, const char *prefix);
void check_print_c(FILE *out, const struct check_sequence *seq, const struct check_trace *host,
		   const struct check_trace *ours, const struct check_difference *difference);

/* check_coverage.c */
struct check_coverage;
struct check_coverage *check_coverage_new(void);
void check_coverage_add(struct check_coverage *c, const struct check_sequence *seq,
			const struct check_trace *trace);
unsigned check_coverage_count(const struct check_coverage *c);
void check_coverage_json(const struct check_coverage *c, FILE *out);
void check_coverage_free(struct check_coverage *c);

#endif
