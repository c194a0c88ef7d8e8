/* SPDX-License-Identifier: MIT */
/*
 * The kernel's side of aspace check: a process that owns almost nothing, so that its address space
 * is the sequence's alone.
 *
 * It starts as this program, run again without address space randomisation. It maps its own text
 * once more, far up (CHECK_HOME), beside the ring and a new stack, jumps there and unmaps
 * everything else: the C library, the heap, the old stack, the vdso.
 *
 *	0            CHECK_HEAP             CHECK_MMAP_BASE   CHECK_HOME                 TASK_SIZE
 *	|------------[heap ...]---- ... <- placement goes down |   [text][ring][state][stack] |
 *
 * From then on nothing of the C library may be called, no variable with static storage be written,
 * and no pointer in static storage be read (it would still point to the old place). Calls within
 * this file and constant tables of numbers are reached relative to the instruction, and work.
 *
 * For each sequence it forks: every sequence starts from the same state, whatever the one before
 * left behind (locks, limits, keys, seals, a growing heap). The child does the sequence and exits.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>
#include <linux/capability.h>

#include <aspace/abi.h>

#include "check.h"

#if defined(__clang__)
#define HOME __attribute__((no_sanitize("address", "undefined", "thread"), no_stack_protector))
#else
#define HOME __attribute__((no_sanitize("address", "undefined", "thread"), no_stack_protector, \
			    optimize("no-tree-loop-distribute-patterns")))
#endif

enum { FD_COMMAND = 3, FD_REPLY = 4, FD_RING = 5, FD_PIPE_R = 6, FD_PIPE_W = 7, FD_PROC = 10, FD_FILE = 20 };
enum { PROC_MAPS, PROC_SMAPS, PROC_PAGEMAP, PROC_STATUS, PROC_MEM };

/* The child's own variables, at CHECK_STATE. */
struct state {
	uint64_t tls[64];	/* where %fs points: nothing uses it but a stack protector */
	uint64_t fix_ip, fix_sp;	/* where to go on after a signal; 0: nowhere */
	int signal, code, child;
	uint64_t addr;
	struct check_slot *slot;
	struct { uint64_t dev, ino, kind; } file[CHECK_FILES];
	uint64_t words[512];
	char path[320];
	unsigned char vec[65536];
	char text[65536];
	uint64_t entries[CHECK_HEAD_PAGES];
};
#define ST ((struct state *)CHECK_STATE)
#define RING ((struct check_ring *)CHECK_RING)

/* ---- the system without a C library ----------------------------------------------------------- */

static inline HOME int64_t sys6(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
				uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	int64_t ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#define SYS(nr, ...) SYS_(nr, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYS_(nr, a, b, c, d, e, f, ...) \
	sys6(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))

static HOME void zero(void *p, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0) : "memory");
}

/* Something is wrong with ourselves: the status tells where. */
static HOME _Noreturn void die(int where)
{
	for (;;)
		SYS(SYS_exit_group, where);
}

/* ---- faults ------------------------------------------------------------------------------------- */

HOME __attribute__((naked)) static void restore_rt(void)
{
	__asm__ volatile("mov $15, %eax\n\tsyscall");
}

static HOME void on_signal(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (!ST->fix_ip)
		die(40);
	ST->signal = signal;
	ST->code = info->si_code;
	ST->addr = (uint64_t)info->si_addr;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)ST->fix_ip;
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)ST->fix_sp;
	ST->fix_ip = 0;
}

static HOME void set_handler(int signal)
{
	struct { void *handler; uint64_t flags; void *restorer; uint64_t mask; } act = {
		(void *)on_signal, 4 | 0x04000000 | 0x40000000, (void *)restore_rt, 0,
	};

	SYS(SYS_rt_sigaction, signal, &act, 0, 8);
}

/*
 * Does `what` (one instruction) with rax = address, rcx = value; a signal in it continues behind it.
 * A called page's `ret` comes back here as well.
 */
#define GUARDED(what) do { \
	__asm__ volatile("lea 9f(%%rip), %%rdx\n\t" \
			 "mov %%rdx, (%[ip])\n\t" \
			 "mov %%rsp, (%[sp])\n\t" \
			 what "\n" \
			 "9:" \
			 : "+c"(value) \
			 : "a"(addr), [ip] "r"(&ST->fix_ip), [sp] "r"(&ST->fix_sp) \
			 : "rdx", "memory", "cc"); \
	ST->fix_ip = 0; \
} while (0)

static HOME uint64_t guarded_load(uint64_t addr, uint64_t size)
{
	uint64_t value = 0;

	ST->signal = 0;
	switch (size) {
	case 1: GUARDED("movzbl (%%rax), %%ecx"); break;
	case 2: GUARDED("movzwl (%%rax), %%ecx"); break;
	case 4: GUARDED("movl (%%rax), %%ecx"); break;
	default: GUARDED("movq (%%rax), %%rcx"); break;
	}
	return value;
}

static HOME void guarded_store(uint64_t addr, uint64_t size, uint64_t value)
{
	ST->signal = 0;
	switch (size) {
	case 1: GUARDED("movb %%cl, (%%rax)"); break;
	case 2: GUARDED("movw %%cx, (%%rax)"); break;
	case 4: GUARDED("movl %%ecx, (%%rax)"); break;
	default: GUARDED("movq %%rcx, (%%rax)"); break;
	}
}

static HOME void guarded_call(uint64_t addr)
{
	uint64_t value = 0;

	ST->signal = 0;
	/* below the red zone, where a `call` would overwrite it */
	__asm__ volatile("lea -256(%%rsp), %%rsp" ::: "memory");
	GUARDED("call *%%rax");
	__asm__ volatile("lea 256(%%rsp), %%rsp" ::: "memory");
	(void)value;
}

/* ---- looking at ourselves -------------------------------------------------------------------------- */

struct procmap_query_ {		/* <linux/fs.h> since 6.11 */
	uint64_t size, query_flags, query_addr, vma_start, vma_end, vma_flags, vma_page_size,
		vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_ 0xc0686611u
#define COVERING_OR_NEXT 0x10

static HOME void open_proc_one(int which, const char *path)
{
	int64_t fd = SYS(SYS_open, path, which == PROC_MEM ? O_RDWR : O_RDONLY);

	if (fd < 0)
		die(41);
	if (fd != FD_PROC + which) {
		SYS(SYS_dup2, fd, FD_PROC + which);
		SYS(SYS_close, fd);
	}
}

/* /proc/self is who opens it: each process anew. */
static HOME void open_proc(void)
{
	open_proc_one(PROC_MAPS, "/proc/self/maps");
	open_proc_one(PROC_SMAPS, "/proc/self/smaps");
	open_proc_one(PROC_PAGEMAP, "/proc/self/pagemap");
	open_proc_one(PROC_STATUS, "/proc/self/status");
	open_proc_one(PROC_MEM, "/proc/self/mem");
}

static HOME int file_number(uint64_t dev, uint64_t ino)
{
	if (!ino)
		return -1;
	for (int i = 0; i < CHECK_FILES; i++)
		if (ST->file[i].ino == ino && ST->file[i].dev == dev)
			return i;
	return -2;
}

static HOME uint64_t make_dev(uint64_t major, uint64_t minor)	/* as st_dev holds it */
{
	return (major & 0xfff) << 8 | (minor & 0xff) | (minor & ~0xffull) << 12;
}

static HOME void *pool_take(struct check_trace *t, size_t n)
{
	uint32_t at = t->used;

	if (at + n > CHECK_POOL)
		return NULL;
	t->used = at + n;
	return t->pool + at;
}

static HOME void picture_areas(struct check_trace *t, struct check_picture *p)
{
	struct procmap_query_ q;

	for (uint64_t at = 0; ; at = q.vma_end) {
		struct check_area *a;

		zero(&q, sizeof(q));
		q.size = sizeof(q);
		q.query_flags = COVERING_OR_NEXT;
		q.query_addr = at;
		if (SYS(SYS_ioctl, FD_PROC + PROC_MAPS, PROCMAP_QUERY_, &q) < 0 ||
		    q.vma_start >= CHECK_HOME)
			return;
		a = pool_take(t, sizeof(*a));
		if (!a) {
			p->truncated = 1;
			return;
		}
		zero(a, sizeof(*a));
		a->start = q.vma_start;
		a->end = q.vma_end;
		a->offset = q.vma_offset;
		a->perm = q.vma_flags & 15;
		a->file = file_number(make_dev(q.dev_major, q.dev_minor), q.inode);
		p->areas++;
	}
}

/* ---- full pictures: smaps, pagemap, contents, counters --------------------------------------------- */

static HOME bool starts(const char *s, const char *with)
{
	for (; *with; s++, with++)
		if (*s != *with)
			return false;
	return true;
}

static HOME uint64_t number(const char *s)
{
	uint64_t n = 0;

	while (*s == ' ' || *s == '\t')
		s++;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	return n;
}

static HOME uint64_t vmflags_of(const char *s)
{
	static const char letters[] = CHECK_VMFLAGS;
	uint64_t flags = 0;

	for (; *s && *s != '\n'; s++) {
		if (*s == ' ')
			continue;
		for (unsigned i = 0; i < CHECK_NR_VMFLAGS; i++)
			if (letters[3 * i] == s[0] && letters[3 * i + 1] == s[1])
				flags |= 1ull << i;
		s++;
	}
	return flags;
}

/* One line of smaps; `a` is the area whose lines these are. Returns the area from here on. */
static HOME struct check_area *smaps_line(struct check_picture *p, struct check_area *a, const char *s,
					  unsigned n)
{
	struct check_area *first = (struct check_area *)(p + 1);
	const char *value;
	int key;

	if ((s[0] >= '0' && s[0] <= '9') || (s[0] >= 'a' && s[0] <= 'f')) {
		a = a ? a + 1 : first;
		if (a - first >= (long)p->areas)
			return NULL;
		a->heap = n > 6 && starts(s + n - 6, "[heap]");
	} else if (starts(s, "VmFlags:")) {
		a->vmflags = vmflags_of(s + 8);
	} else if (starts(s, "ProtectionKey:")) {
		a->pkey = (int)number(s + 14);
	} else if (p->smaps && check_smaps_tell(a, a->file >= 0 && ST->file[a->file].kind >= FILE_TMP_RW) &&
		   (key = check_smaps_key(s, &value)) >= 0) {
		a->smaps[key] = (uint32_t)number(value);
	}
	return a;
}

static HOME void picture_smaps(struct check_picture *p)
{
	struct check_area *a = NULL;
	unsigned have = 0;
	int64_t got;

	SYS(SYS_lseek, FD_PROC + PROC_SMAPS, 0, SEEK_SET);
	while ((got = SYS(SYS_read, FD_PROC + PROC_SMAPS, ST->text + have,
			  sizeof(ST->text) - 1 - have)) > 0) {
		unsigned from = 0;

		have += got;
		for (unsigned i = 0; i < have; i++) {
			if (ST->text[i] != '\n')
				continue;
			ST->text[i] = 0;
			a = smaps_line(p, a, ST->text + from, i - from);
			if (!a)
				return;
			from = i + 1;
		}
		for (unsigned i = from; i < have; i++)
			ST->text[i - from] = ST->text[i];
		have -= from;
	}
}

static HOME void picture_status(struct check_picture *p)
{
	int64_t n = SYS(SYS_pread64, FD_PROC + PROC_STATUS, ST->text, sizeof(ST->text) - 1, 0);

	if (n < 0)
		return;
	ST->text[n] = 0;
	for (const char *s = ST->text; *s; ) {
		if (starts(s, "VmSize:"))
			p->vm_size = number(s + 7);
		else if (starts(s, "VmLck:"))
			p->vm_lck = number(s + 6);
		else if (starts(s, "VmData:"))
			p->vm_data = number(s + 7);
		else if (starts(s, "VmStk:"))
			p->vm_stk = number(s + 6);
		while (*s && *s++ != '\n')
			;
	}
}

/* The contents of a present page, by a load if it may be read: that changes nothing. */
static HOME uint64_t page_hash(const struct check_area *a, uint64_t addr)
{
	uint64_t h;

	if (!(a->perm & 1) || a->pkey)
		return 0;
	for (unsigned i = 0; i < 512; i += 64) {
		ST->words[i] = guarded_load(addr + i * 8, 8);
		if (ST->signal)
			return 0;
		for (unsigned j = 1; j < 64; j++)
			ST->words[i + j] = ((volatile uint64_t *)addr)[i + j];
	}
	h = check_hash(ST->words, 512);
	return h ? h : 1;
}

static HOME void picture_pages(struct check_trace *t, struct check_picture *p,
			       const struct check_area *a, uint64_t from, uint64_t n)
{
	if (SYS(SYS_pread64, FD_PROC + PROC_PAGEMAP, ST->entries, n * 8, from / CHECK_PAGE * 8) !=
	    (int64_t)(n * 8))
		die(42);
	for (unsigned i = 0; i < n; i++) {
		uint64_t bits = ST->entries[i] & CHECK_PM_BITS;
		struct check_page *page;

		/* which pages of a file are mapped beside those touched is its file system's business */
		if (!bits || (bits >> 61 & 1 && a->file >= 0 && ST->file[a->file].kind >= FILE_TMP_RW))
			continue;
		page = pool_take(t, sizeof(*page));
		if (!page) {
			p->truncated = 1;
			return;
		}
		page->addr = from + i * CHECK_PAGE;
		page->bits = bits;
		page->hash = bits >> 63 ? page_hash(a, page->addr) : 0;
		p->pages++;
	}
}

static HOME void picture_contents(struct check_trace *t, struct check_picture *p)
{
	const struct check_area *a = (const struct check_area *)(p + 1);

	for (unsigned i = 0; i < p->areas; i++, a++) {
		uint64_t n = (a->end - a->start) / CHECK_PAGE;

		if (n <= CHECK_HEAD_PAGES) {
			picture_pages(t, p, a, a->start, n);
			continue;
		}
		picture_pages(t, p, a, a->start, CHECK_HEAD_PAGES);
		n -= CHECK_HEAD_PAGES;
		n = n < CHECK_TAIL_PAGES ? n : CHECK_TAIL_PAGES;
		picture_pages(t, p, a, a->end - n * CHECK_PAGE, n);
	}
}

static HOME void take_picture(struct check_slot *slot, unsigned i, unsigned look)
{
	struct check_trace *t = &slot->trace;
	struct check_picture *p = pool_take(t, sizeof(*p));

	if (!p)
		return;
	zero(p, sizeof(*p));
	t->result[i].picture = (uint8_t *)p - t->pool + 1;
	picture_areas(t, p);
	if (look < 2 || p->truncated)
		return;
	p->full = 1;
	p->smaps = slot->look.smaps;
	picture_smaps(p);
	picture_status(p);
	if (slot->look.pages)
		picture_contents(t, p);
}

/* ---- files ------------------------------------------------------------------------------------------- */

static HOME void append(char *to, const char *what)
{
	while (*to)
		to++;
	while ((*to++ = *what++))
		;
}

static HOME int64_t fill(int64_t fd, unsigned f, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += CHECK_PAGE) {
		uint64_t n = bytes - at < CHECK_PAGE ? bytes - at : CHECK_PAGE;

		for (unsigned i = 0; i < 512; i++)
			ST->words[i] = check_pattern(f, at + i * 8);
		if (SYS(SYS_pwrite64, fd, ST->words, n, at) != (int64_t)n)
			return -EIO;
	}
	return 0;
}

static HOME int64_t op_file(uint64_t f, uint64_t kind, uint64_t bytes)
{
	struct stat st;
	int64_t fd, second = -1;

	if (f >= CHECK_FILES)
		return -EINVAL;
	if (kind <= FILE_SEALABLE) {
		fd = SYS(SYS_memfd_create, "check", kind == FILE_SEALABLE ? 2 : 0);
	} else {
		char name[] = "/a";

		name[1] = 'a' + f;
		ST->path[0] = 0;
		append(ST->path, RING->tmp_dir);
		append(ST->path, name);
		SYS(SYS_unlink, ST->path);
		fd = SYS(SYS_open, ST->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	}
	if (fd < 0)
		die(43);
	if (fill(fd, f, bytes))
		die(44);
	if (kind == FILE_TMP_RO || kind == FILE_TMP_WO) {
		second = SYS(SYS_open, ST->path, kind == FILE_TMP_RO ? O_RDONLY : O_WRONLY);
		SYS(SYS_close, fd);
		fd = second;
	}
	if (SYS(SYS_fstat, fd, &st) < 0)
		die(45);
	ST->file[f].dev = st.st_dev;
	ST->file[f].ino = st.st_ino;
	ST->file[f].kind = kind;
	SYS(SYS_dup2, fd, FD_FILE + f);
	SYS(SYS_close, fd);
	return 0;
}

/* ---- operations ---------------------------------------------------------------------------------------- */

static HOME uint64_t file_fd(uint64_t f)
{
	return f < CHECK_FILES ? FD_FILE + f : (uint64_t)-1;
}

static inline HOME void write_pkru(uint32_t pkru)
{
	__asm__ volatile("wrpkru" :: "a"(pkru), "c"(0), "d"(0) : "memory");
}

static HOME int64_t op_mincore(uint64_t addr, uint64_t len)
{
	int64_t ret;
	uint64_t h = 0, n = (len + CHECK_PAGE - 1) / CHECK_PAGE;

	if (n > sizeof(ST->vec))
		return SYS(SYS_mincore, addr, len, 0x10);	/* for its error; 0x10 is never there */
	ret = SYS(SYS_mincore, addr, len, ST->vec);
	if (ret)
		return ret;
	for (uint64_t i = 0; i < n; i++)
		h = h * 31 + (ST->vec[i] & 1) + 1;
	return h & 0x7fffffffffffffffull;
}

static HOME int64_t op_rlimit(uint64_t which, uint64_t bytes)
{
	struct rlimit r;

	SYS(SYS_getrlimit, which, &r);
	r.rlim_cur = bytes < r.rlim_max ? bytes : r.rlim_max;
	return SYS(SYS_setrlimit, which, &r);
}

/* The number of bytes, and in a read a hash of them. */
static HOME int64_t counted(int64_t ret, bool read)
{
	uint64_t h = 0;

	if (ret <= 0 || !read)
		return ret;
	for (int64_t i = 0; i < ret; i++)
		h = h * 31 + (unsigned char)ST->text[i];
	return ret | (int64_t)(h & 0xffffffff) << 20;
}

/* A pipe carries bytes from and to the sequence's memory: user copies by the kernel. */
static HOME int64_t op_copy(const struct check_op *op)
{
	uint64_t n = op->a[1] < CHECK_PAGE * 4 ? op->a[1] : CHECK_PAGE * 4;
	int64_t ret, have;

	if (op->kind == OP_WRITE_FROM) {
		ret = SYS(SYS_write, FD_PIPE_W, op->a[0], n);
		if (ret <= 0)
			return ret;
		SYS(SYS_read, FD_PIPE_R, ST->text, ret);
		return counted(ret, true);
	}
	for (uint64_t i = 0; i < n; i++)
		ST->text[i] = (char)(i + n);
	have = SYS(SYS_write, FD_PIPE_W, ST->text, n);
	ret = SYS(SYS_read, FD_PIPE_R, op->a[0], n);
	if (ret < have)		/* what could not be copied is still in the pipe */
		SYS(SYS_read, FD_PIPE_R, ST->text, have);
	return ret;
}

/* process_vm_readv and process_vm_writev, /proc/PID/mem: as another process would. */
static HOME int64_t op_remote(const struct check_op *op)
{
	uint64_t n = op->a[1] < CHECK_PAGE * 4 ? op->a[1] : CHECK_PAGE * 4;
	struct iovec local = { ST->text, n }, remote = { (void *)op->a[0], n };
	bool read = op->kind == OP_VM_READ || op->kind == OP_MEM_READ;
	int64_t pid = SYS(SYS_getpid);

	for (uint64_t i = 0; i < n; i++)
		ST->text[i] = (char)(i + n);
	switch (op->kind) {
	case OP_VM_READ: return counted(SYS(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0), true);
	case OP_VM_WRITE: return SYS(SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0);
	}
	return counted(SYS(read ? SYS_pread64 : SYS_pwrite64, FD_PROC + PROC_MEM, ST->text, n, op->a[0]), read);
}

static HOME void run(struct check_slot *slot, unsigned from, unsigned to);

static HOME int64_t op_fork(struct check_slot *slot, unsigned i)
{
	int status = 0;
	int64_t pid;

	if (ST->child)
		return -ENOSYS;		/* one generation is enough */
	pid = SYS(SYS_fork);
	if (pid < 0)
		return pid;
	if (!pid) {
		open_proc();
		ST->child = 1;
		run(slot, i + 1, check_fork_end(&slot->seq, i));
		die(0);
	}
	SYS(SYS_wait4, pid, &status, 0, 0);
	return status;
}

static HOME int64_t operate(struct check_slot *slot, unsigned i, const struct check_op *op)
{
	const uint64_t *a = op->a;
	uint64_t value;

	switch (op->kind) {
	case OP_MMAP: return SYS(SYS_mmap, a[0], a[1], a[2], a[3], file_fd(a[4]), a[5]);
	case OP_MUNMAP: return SYS(SYS_munmap, a[0], a[1]);
	case OP_BRK: return SYS(SYS_brk, a[0]);
	case OP_MPROTECT: return SYS(SYS_mprotect, a[0], a[1], a[2]);
	case OP_PKEY_MPROTECT: return SYS(SYS_pkey_mprotect, a[0], a[1], a[2], a[3]);
	case OP_PKEY_ALLOC: return SYS(SYS_pkey_alloc, a[0], a[1]);
	case OP_PKEY_FREE: return SYS(SYS_pkey_free, a[0]);
	case OP_MREMAP: return SYS(SYS_mremap, a[0], a[1], a[2], a[3], a[4]);
	case OP_MADVISE: return SYS(SYS_madvise, a[0], a[1], a[2]);
	case OP_MLOCK: return SYS(SYS_mlock, a[0], a[1]);
	case OP_MLOCK2: return SYS(SYS_mlock2, a[0], a[1], a[2]);
	case OP_MUNLOCK: return SYS(SYS_munlock, a[0], a[1]);
	case OP_MLOCKALL: return SYS(SYS_mlockall, a[0]);
	case OP_MUNLOCKALL: return SYS(SYS_munlockall);
	case OP_MSYNC: return SYS(SYS_msync, a[0], a[1], a[2]);
	case OP_MINCORE: return op_mincore(a[0], a[1]);
	case OP_REMAP_FILE_PAGES: return SYS(SYS_remap_file_pages, a[0], a[1], a[2], a[3], a[4]);
	case OP_MSEAL: return SYS(462, a[0], a[1], a[2]);
	case OP_LOAD: return guarded_load(a[0], a[1]);
	case OP_STORE: guarded_store(a[0], a[1], a[2]); return 0;
	case OP_CALL: guarded_call(a[0]); return 0;
	case OP_PKRU: write_pkru(a[0]); return 0;
	case OP_FILE: return op_file(a[0], a[1], a[2]);
	case OP_TRUNCATE: return SYS(SYS_ftruncate, file_fd(a[0]), a[1]);
	case OP_PUNCH: return SYS(SYS_fallocate, file_fd(a[0]), 3, a[1], a[2]);
	case OP_PREAD:
		value = 0;
		ST->words[0] = (uint64_t)SYS(SYS_pread64, file_fd(a[0]), &value, 8, a[1]);
		return (int64_t)ST->words[0] < 0 ? (int64_t)ST->words[0] :
						   (int64_t)(value & 0xffffffffffffff);
	case OP_PWRITE:
		value = a[2];
		return SYS(SYS_pwrite64, file_fd(a[0]), &value, 8, a[1]);
	case OP_SEAL_FILE: return SYS(SYS_fcntl, file_fd(a[0]), 1033, a[1]);
	case OP_READ_TO: case OP_WRITE_FROM: return op_copy(op);
	case OP_VM_READ: case OP_VM_WRITE: case OP_MEM_READ: case OP_MEM_WRITE: return op_remote(op);
	case OP_RLIMIT: return op_rlimit(a[0], a[1]);
	case OP_PERSONALITY: SYS(SYS_personality, a[0]); return 0;
	case OP_MDWE: return SYS(SYS_prctl, 65, a[0], 0, 0, 0);
	case OP_FORK: return op_fork(slot, i);
	}
	return 0;
}

static HOME void run(struct check_slot *slot, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		const struct check_op *op = &slot->seq.op[i];
		struct check_result *r = &slot->trace.result[i];
		unsigned look = check_look_at(&slot->look, i, slot->seq.n);
		int64_t ret;

		ST->signal = 0;
		ret = operate(slot, i, op);
		if (op->kind == OP_LOAD || op->kind == OP_STORE || op->kind == OP_CALL) {
			r->signal = ST->signal;
			r->code = ST->signal ? ST->code : 0;
			r->addr = ST->signal ? ST->addr : 0;
			ret = ST->signal ? 0 : ret;
		}
		r->ret = ret;
		if (op->kind == OP_FORK && ret >= 0)	/* the child's are done */
			i = check_fork_end(&slot->seq, i) - 1;
		if (look)
			take_picture(slot, r - slot->trace.result, look);
		slot->trace.done = i + 1;
	}
}

/* ---- a life ----------------------------------------------------------------------------------------------- */

/* The address space is privileged in nothing: limits and mmap_min_addr count. */
static HOME void drop_privileges(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct cap[2];
	static const unsigned drop = 1u << CAP_IPC_LOCK | 1u << CAP_SYS_RAWIO | 1u << CAP_SYS_ADMIN;

	if (SYS(SYS_capget, &head, cap))
		return;
	cap[0].effective &= ~drop;
	cap[0].permitted &= ~drop;
	SYS(SYS_capset, &head, cap);
}

/* The break and the data segment lie where the library puts them. Needs no privilege. */
static HOME bool set_layout(void)
{
	struct prctl_mm_map map;

	zero(&map, sizeof(map));
	map.start_code = map.end_code = CHECK_HOME;
	map.end_code += CHECK_PAGE;
	map.start_data = map.end_data = CHECK_DATA;
	map.start_brk = map.brk = CHECK_HEAP;
	map.start_stack = map.arg_start = map.arg_end = map.env_start = map.env_end = CHECK_STACK;
	map.exe_fd = (uint32_t)-1;
	return !SYS(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
}

static HOME void unmap_all_but_home(void)
{
	SYS(SYS_munmap, 0, CHECK_HOME);
	SYS(SYS_munmap, CHECK_STACK + CHECK_STACK_BYTES,
	    CHECK_TASK_SIZE - CHECK_STACK - CHECK_STACK_BYTES);
}

/* What is mapped now and how far limits go, for the library to have the same. */
static HOME void describe_home(void)
{
	struct procmap_query_ q;
	struct rlimit r;
	unsigned n = 0;

	RING->mmap_min_addr = SYS(SYS_mmap, CHECK_PAGE, CHECK_PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SYS(SYS_munmap, RING->mmap_min_addr, CHECK_PAGE);
	for (unsigned i = 0; i < 16; i++) {
		SYS(SYS_getrlimit, i, &r);
		RING->rlim_cur[i] = r.rlim_cur;
		RING->rlim_max[i] = r.rlim_max;
	}

	for (uint64_t at = 0; n < 16; at = q.vma_end, n++) {
		zero(&q, sizeof(q));
		q.size = sizeof(q);
		q.query_flags = COVERING_OR_NEXT;
		q.query_addr = at;
		if (SYS(SYS_ioctl, FD_PROC + PROC_MAPS, PROCMAP_QUERY_, &q) < 0)
			break;
		RING->home[n].start = q.vma_start;
		RING->home[n].end = q.vma_end;
		RING->home[n].flags = q.vma_flags & 15;
	}
	RING->nr_home = n;
}

static HOME void life(struct check_slot *slot)
{
	open_proc();
	ST->slot = slot;
	run(slot, 0, slot->seq.n);
	die(0);
}

static HOME _Noreturn void at_home(void)
{
	int64_t fd;

	SYS(SYS_arch_prctl, 0x1002 /* ARCH_SET_FS */, CHECK_STATE);
	unmap_all_but_home();
	if (!set_layout())
		die(46);
	drop_privileges();
	SYS(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	for (int s = 4; s <= 11; s++)
		if (s == SIGILL || s == SIGTRAP || s == SIGBUS || s == SIGFPE || s == SIGSEGV)
			set_handler(s);
	/* Should a sequence take all memory, let it be ours that goes. */
	fd = SYS(SYS_open, "/proc/self/oom_score_adj", O_WRONLY);
	SYS(SYS_write, fd, "1000", 4);
	SYS(SYS_close, fd);
	open_proc();
	describe_home();
	SYS(SYS_write, FD_REPLY, "here", 4);
	for (;;) {
		unsigned char which;
		int status = 0;
		int64_t pid;

		if (SYS(SYS_read, FD_COMMAND, &which, 1) != 1 || which >= CHECK_SLOTS)
			die(0);
		pid = SYS(SYS_fork);
		if (!pid)
			life(&RING->slot[which]);
		if (pid < 0)
			die(47);
		SYS(SYS_wait4, pid, &status, 0, 0);
		SYS(SYS_write, FD_REPLY, &status, 4);
	}
}

/* ---- moving in: still with the C library -------------------------------------------------------------------- */

static int map_segments(struct dl_phdr_info *info, size_t size, void *base_out)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t at = ph->p_vaddr & ~(CHECK_PAGE - 1);
		int prot = (ph->p_flags & PF_R ? PROT_READ : 0) | (ph->p_flags & PF_X ? PROT_EXEC : 0);

		if (ph->p_type != PT_LOAD || ph->p_flags & PF_W)
			continue;
		if (at >= CHECK_RING - CHECK_HOME ||
		    mmap((void *)(CHECK_HOME + at), ph->p_vaddr + ph->p_filesz - at, prot,
			 MAP_PRIVATE | MAP_FIXED, fd, (off_t)(ph->p_offset & ~(CHECK_PAGE - 1))) ==
			    MAP_FAILED)
			return -1;
	}
	close(fd);
	*(uint64_t *)base_out = info->dlpi_addr;
	return 1;	/* the first is the program itself */
}

int check_executor_main(int argc, char **argv)
{
	uint64_t base = 0, entry;
	int fds[2];

	if (dl_iterate_phdr(map_segments, &base) != 1)
		return 50;
	if (mmap((void *)CHECK_RING, sizeof(struct check_ring), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, FD_RING, 0) == MAP_FAILED ||
	    mmap((void *)CHECK_STATE, sizeof(struct state), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mmap((void *)CHECK_STACK, CHECK_STACK_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return 51;
	if (pipe(fds))
		return 52;
	dup2(fds[0], FD_PIPE_R);
	dup2(fds[1], FD_PIPE_W);
	if (fcntl(FD_PIPE_R, F_SETFL, O_NONBLOCK) || fcntl(FD_PIPE_W, F_SETFL, O_NONBLOCK))
		return 53;
	entry = (uint64_t)at_home - base + CHECK_HOME;
	__asm__ volatile("mov %0, %%rsp\n\txor %%ebp, %%ebp\n\tcall *%1\n\thlt"
			 :: "r"(CHECK_STACK + CHECK_STACK_BYTES - 64), "r"(entry) : "memory");
	__builtin_unreachable();
}
