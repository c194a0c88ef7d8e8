/* SPDX-License-Identifier: MIT */
/* The library's side of aspace check: each operation by its public functions, and the picture after. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <aspace/aspace.h>

#include "check.h"

#define PKRU_START 0x55555554u	/* what Linux gives a new program: every key but 0 is closed */

struct backing {		/* what a file of the temporary directory holds */
	uint8_t *bytes;
	uint64_t size, capacity;
};

struct task {
	struct aspace_mm *mm;
	uint32_t pkru;
	int execute_only;	/* the key for it, once it was seen */
};

struct check_ours {
	struct aspace_machine *machine;
	const struct check_ring *ring;
	bool areas_only;
	uint32_t lie;
	struct task task[2];		/* the child is the second */
	unsigned depth;
	struct aspace_file *file[CHECK_FILES];
	struct aspace_mapping *mapping[CHECK_FILES];
	uint64_t kind[CHECK_FILES];
	struct aspace_mapping *ring_mapping;
	struct aspace_file *ring_file;
	struct check_trace *trace;
	uint64_t sequences;
};

static struct task *now(struct check_ours *o)
{
	return &o->task[o->depth];
}

/* ---- files ------------------------------------------------------------------------------------- */

static int64_t backing_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	struct backing *b = priv;

	if (offset >= b->size)
		return 0;
	n = n < b->size - offset ? n : b->size - offset;
	memcpy(buffer, b->bytes + offset, n);
	return (int64_t)n;
}

static int backing_resize(struct backing *b, uint64_t size)
{
	if (size > b->capacity) {
		uint8_t *more = realloc(b->bytes, size);

		if (!more)
			return -ENOMEM;
		memset(more + b->capacity, 0, size - b->capacity);
		b->bytes = more;
		b->capacity = size;
	}
	if (size < b->size)
		memset(b->bytes + size, 0, b->size - size);
	b->size = size;
	return 0;
}

static int64_t backing_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	struct backing *b = priv;

	if (offset + n > b->size && backing_resize(b, offset + n))
		return -ENOSPC;
	memcpy(b->bytes + offset, buffer, n);
	return (int64_t)n;
}

static void backing_release(void *priv)
{
	struct backing *b = priv;

	free(b->bytes);
	free(b);
}

static const struct aspace_mapping_ops backing_ops = {
	.size = sizeof(backing_ops), .read = backing_read, .write = backing_write,
	.release = backing_release,
};

static int64_t fill(struct check_ours *o, unsigned f, uint64_t bytes)
{
	uint64_t words[512];

	for (uint64_t at = 0; at < bytes; at += sizeof(words)) {
		uint64_t n = bytes - at < sizeof(words) ? bytes - at : sizeof(words);

		for (unsigned i = 0; i < 512; i++)
			words[i] = check_pattern(f, at + i * 8);
		if (aspace_mapping_write(o->mapping[f], at, words, n) != (int64_t)n)
			return -EIO;
	}
	return 0;
}

static void close_file(struct check_ours *o, unsigned f)
{
	if (o->file[f])
		aspace_file_put(o->file[f]);
	if (o->mapping[f])
		aspace_mapping_put(o->mapping[f]);
	o->file[f] = NULL;
	o->mapping[f] = NULL;
}

static int64_t op_file(struct check_ours *o, uint64_t f, uint64_t kind, uint64_t bytes)
{
	struct aspace_mapping_options m = {
		.size = sizeof(m), .dev_minor = 1, .ino = 1000 + f, .sealable = kind == FILE_SEALABLE,
	};
	struct aspace_file_options file = { .size = sizeof(file) };
	bool ram = !o->areas_only;
	int64_t ret;

	if (f >= CHECK_FILES)
		return -EINVAL;
	close_file(o, f);
	o->kind[f] = kind;
	m.bytes = ram ? 0 : bytes;
	if (kind >= FILE_TMP_RW) {
		struct backing *b = calloc(1, sizeof(*b));

		if (!b)
			return -ENOMEM;
		m.ops = &backing_ops;
		m.priv = b;
	}
	ret = aspace_mapping_create(o->machine, &m, &o->mapping[f]);
	if (ret)
		return ret;
	ret = ram ? fill(o, f, bytes) : 0;
	if (!ret && ram && kind >= FILE_TMP_RW)
		ret = aspace_mapping_sync(o->mapping[f], 0, UINT64_MAX);
	file.readable = kind != FILE_TMP_WO;
	file.writable = kind != FILE_TMP_RO;
	file.path = kind <= FILE_SEALABLE ? "/memfd:check (deleted)" : "/tmp/check";
	return ret ? ret : aspace_file_open(o->mapping[f], &file, &o->file[f]);
}

static struct aspace_file *file_of(struct check_ours *o, uint64_t f)
{
	return f < CHECK_FILES ? o->file[f] : NULL;
}

static int64_t op_truncate(struct check_ours *o, uint64_t f, uint64_t bytes)
{
	struct aspace_mapping *m = f < CHECK_FILES ? o->mapping[f] : NULL;
	int seals, ret;

	if (!m)
		return -EBADF;
	if (o->kind[f] == FILE_TMP_RO || (int64_t)bytes < 0)
		return -EINVAL;
	seals = aspace_mapping_get_seals(m);
	if (seals >= 0 && ((bytes < aspace_mapping_bytes(m) && (seals & ASPACE_F_SEAL_SHRINK)) ||
			   (bytes > aspace_mapping_bytes(m) && (seals & ASPACE_F_SEAL_GROW))))
		return -EPERM;
	ret = aspace_mapping_truncate(m, bytes);
	if (!ret && o->kind[f] >= FILE_TMP_RW)
		ret = backing_resize(aspace_mapping_priv(m), bytes);
	return ret;
}

static int64_t op_punch(struct check_ours *o, uint64_t f, uint64_t offset, uint64_t n)
{
	struct aspace_mapping *m = f < CHECK_FILES ? o->mapping[f] : NULL;

	if (!m)
		return -EBADF;
	if ((int64_t)offset < 0 || (int64_t)n <= 0)
		return -EINVAL;
	if (o->kind[f] == FILE_TMP_RO)
		return -EBADF;
	if ((int64_t)(offset + n) < 0)
		return -EFBIG;
	return aspace_mapping_punch_hole(m, offset, n);
}

static int64_t op_pread(struct check_ours *o, uint64_t f, uint64_t offset)
{
	uint64_t value = 0;
	int64_t ret;

	if (!file_of(o, f) || o->kind[f] == FILE_TMP_WO)
		return -EBADF;
	if ((int64_t)offset < 0)
		return -EINVAL;
	ret = aspace_mapping_read(o->mapping[f], offset, &value, 8);
	return ret < 0 ? ret : (int64_t)(value & 0xffffffffffffff);
}

static int64_t op_pwrite(struct check_ours *o, uint64_t f, uint64_t offset, uint64_t value)
{
	int seals;

	if (!file_of(o, f) || o->kind[f] == FILE_TMP_RO)
		return -EBADF;
	if ((int64_t)offset < 0)
		return -EINVAL;
	seals = aspace_mapping_get_seals(o->mapping[f]);
	if (seals >= 0 && (seals & (ASPACE_F_SEAL_WRITE | ASPACE_F_SEAL_FUTURE_WRITE)))
		return -EPERM;
	if (seals >= 0 && (seals & ASPACE_F_SEAL_GROW) &&
	    offset + 8 > aspace_mapping_bytes(o->mapping[f]))
		return -EPERM;
	return aspace_mapping_write(o->mapping[f], offset, &value, 8);
}

static int64_t op_seal(struct check_ours *o, uint64_t f, uint64_t seals)
{
	if (!file_of(o, f))
		return -EBADF;
	if (o->kind[f] == FILE_TMP_RO)
		return -EPERM;
	/* a memfd may be executed (its mode is 0777): then what may not change is everything */
	if (seals & ASPACE_F_SEAL_EXEC)
		seals |= ASPACE_F_SEAL_SHRINK | ASPACE_F_SEAL_GROW | ASPACE_F_SEAL_WRITE |
			 ASPACE_F_SEAL_FUTURE_WRITE;
	return aspace_mapping_add_seals(o->mapping[f], (unsigned)seals);
}

static bool something_locked(struct check_ours *o)
{
	struct aspace_mm_stats s = { .size = sizeof(s) };

	aspace_mm_stats(now(o)->mm, &s);
	return s.locked_vm;
}

/* ---- loads and stores ---------------------------------------------------------------------------- */

static int pkey_at(struct aspace_mm *mm, uint64_t addr)
{
	struct aspace_area a = { .size = sizeof(a) };

	if (aspace_find_area(mm, addr, &a) || a.start > addr)
		return 0;
	return (int)((a.flags & ASPACE_VM_PKEY_MASK) >> ASPACE_VM_PKEY_SHIFT);
}

static unsigned prot_at(struct aspace_mm *mm, uint64_t addr)
{
	struct aspace_area a = { .size = sizeof(a) };

	return aspace_find_area(mm, addr, &a) || a.start > addr ? 0 : a.flags & 7;
}

static bool covers(struct aspace_mm *mm, uint64_t addr)
{
	struct aspace_area a = { .size = sizeof(a) };

	return !aspace_find_area(mm, addr, &a) && a.start <= addr;
}

static bool pkru_denies(uint32_t pkru, int pkey, unsigned access)
{
	unsigned bits = pkru >> (2 * pkey) & 3;

	return access != ASPACE_EXEC && ((bits & 1) || ((bits & 2) && access == ASPACE_WRITE));
}

/* As the processor does: translate, fault, translate again. The byte in RAM, or NULL and a signal. */
static void *access_byte(struct check_ours *o, uint64_t addr, unsigned access, struct check_result *r)
{
	struct task *t = now(o);
	struct aspace_translation tr = { .size = sizeof(tr) };

	if (addr >> 47 && addr >> 47 != 0x1ffff) {	/* not an address at all: a general protection fault */
		r->signal = ASPACE_SIGSEGV;
		r->code = 128;				/* SI_KERNEL */
		return NULL;
	}
	for (int tries = 0; tries < 4; tries++) {
		struct aspace_fault fault = { .size = sizeof(fault) };
		bool denied = pkru_denies(t->pkru, pkey_at(t->mm, addr), access);
		int ret;

		if (!denied && !aspace_translate(t->mm, addr, access, &tr))
			return tr.host;
		ret = aspace_fault(t->mm, addr, access, t->pkru, &fault);
		if (ret) {
			r->signal = ret == -EFAULT ? fault.signal : 9;
			r->code = fault.code;
			r->addr = fault.addr;
			return NULL;
		}
	}
	r->signal = -1;		/* faults without end: a mistake of ours */
	return NULL;
}

static int64_t op_load(struct check_ours *o, const struct check_op *op, struct check_result *r)
{
	uint64_t value = 0, n = op->a[1] == 1 || op->a[1] == 2 || op->a[1] == 4 ? op->a[1] : 8;
	void *byte = access_byte(o, op->a[0], ASPACE_READ, r);

	if (byte)
		memcpy(&value, byte, n);
	return (int64_t)value;
}

static void op_store(struct check_ours *o, const struct check_op *op, struct check_result *r)
{
	uint64_t n = op->a[1] == 1 || op->a[1] == 2 || op->a[1] == 4 ? op->a[1] : 8;
	void *byte = access_byte(o, op->a[0], ASPACE_WRITE, r);

	if (byte)
		memcpy(byte, &op->a[2], n);
}

/*
 * Only a `ret` may be called, and what can't be called at all: anything else would run wild in the
 * child. Looked at without touching.
 */
static bool wild_call(struct check_ours *o, uint64_t addr)
{
	struct aspace_translation tr = { .size = sizeof(tr) };
	struct aspace_area a = { .size = sizeof(a) };
	uint64_t entry = 0;

	if (aspace_find_area(now(o)->mm, addr, &a) || (a.start <= addr && !(a.flags & ASPACE_VM_EXEC)))
		return false;
	if (a.start > addr)		/* nothing, or a stack that grows */
		return a.flags & ASPACE_VM_GROWSDOWN;
	aspace_pagemap_read(now(o)->mm, addr & ~(CHECK_PAGE - 1), &entry, 1);
	return !(entry >> 63) || aspace_translate(now(o)->mm, addr, ASPACE_EXEC, &tr) ||
	       *(uint8_t *)tr.host != 0xc3;
}

static int64_t op_mincore(struct check_ours *o, uint64_t addr, uint64_t len)
{
	uint64_t h = 0, n = (len + CHECK_PAGE - 1) / CHECK_PAGE;
	unsigned char *vec;
	int64_t ret;

	vec = malloc(n && n <= 65536 ? n : 1);
	if (!vec)
		return -ENOMEM;
	if (n > 65536) {
		free(vec);
		return -EOPNOTSUPP;	/* the generator keeps below */
	}
	ret = aspace_mincore(now(o)->mm, addr, len, vec);
	for (uint64_t i = 0; !ret && i < n; i++)
		h = h * 31 + (vec[i] & 1) + 1;
	free(vec);
	return ret ? ret : (int64_t)(h & 0x7fffffffffffffffull);
}

/* As a pipe does: page by page, and a page that could be copied in part only doesn't count. */
static uint64_t copy_pages(struct check_ours *o, const struct check_op *op, uint8_t *bytes, uint64_t n)
{
	uint64_t done = 0, left;

	while (done < n) {
		uint64_t part = n - done < CHECK_PAGE ? n - done : CHECK_PAGE;

		if (op->kind == OP_READ_TO)
			left = aspace_copy_to_user(now(o)->mm, op->a[0] + done, bytes + done, part);
		else
			left = aspace_copy_from_user(now(o)->mm, bytes + done, op->a[0] + done, part);
		if (left)
			break;
		done += part;
	}
	return done;
}

static int64_t hashed(int64_t n, const uint8_t *bytes)
{
	uint64_t h = 0;

	for (int64_t i = 0; i < n; i++)
		h = h * 31 + bytes[i];
	return n | (int64_t)(h & 0xffffffff) << 20;
}

static int64_t op_remote(struct check_ours *o, const struct check_op *op)
{
	uint64_t n = op->a[1] < CHECK_PAGE * 4 ? op->a[1] : CHECK_PAGE * 4;
	bool read = op->kind == OP_VM_READ || op->kind == OP_MEM_READ;
	bool mem = op->kind == OP_MEM_READ || op->kind == OP_MEM_WRITE;
	uint8_t bytes[CHECK_PAGE * 4];
	int64_t ret;

	for (uint64_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i + n);
	if (mem && (int64_t)op->a[0] < 0)
		return -EINVAL;		/* not an offset in a file */
	if (!n)
		return 0;
	ret = aspace_access_remote(now(o)->mm, op->a[0], bytes, n,
				   (read ? 0 : ASPACE_WRITE) | (mem ? ASPACE_FORCE : 0));
	if (ret <= 0)
		return mem ? -EIO : -EFAULT;
	return read ? hashed(ret, bytes) : ret;
}

static int64_t op_copy(struct check_ours *o, const struct check_op *op)
{
	uint64_t n = op->a[1] < CHECK_PAGE * 4 ? op->a[1] : CHECK_PAGE * 4;
	uint8_t bytes[CHECK_PAGE * 4];
	uint64_t done;

	if (op->a[0] > CHECK_TASK_SIZE || n > CHECK_TASK_SIZE - op->a[0])
		return -EFAULT;		/* access_ok comes before the count is looked at */
	for (uint64_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i + n);
	done = copy_pages(o, op, bytes, n);
	if (!done)
		return n ? -EFAULT : 0;
	if (op->kind == OP_READ_TO)
		return (int64_t)done;
	return hashed((int64_t)done, bytes);
}

/* ---- protection keys ------------------------------------------------------------------------------ */

/* The kernel closes the key of execute-only memory for whoever asks for such memory, even in vain. */
static void close_execute_only(struct check_ours *o, uint64_t addr, unsigned prot)
{
	struct task *t = now(o);
	struct aspace_area a = { .size = sizeof(a) };

	if (prot != ASPACE_PROT_EXEC)
		return;
	if (!aspace_find_area(t->mm, addr, &a) && a.start <= addr && (a.flags & 7) == ASPACE_VM_EXEC &&
	    !t->execute_only)
		t->execute_only = (int)((a.flags & ASPACE_VM_PKEY_MASK) >> ASPACE_VM_PKEY_SHIFT);
	if (t->execute_only)
		t->pkru |= 1u << (2 * t->execute_only);
}

static int64_t op_pkey_alloc(struct check_ours *o, uint64_t flags, uint64_t rights)
{
	struct task *t = now(o);
	int key;

	if (flags || (rights & ~3ull))
		return -EINVAL;
	key = aspace_pkey_alloc(t->mm);
	if (key > 0)
		t->pkru = (t->pkru & ~(3u << (2 * key))) | (uint32_t)rights << (2 * key);
	return key;
}

/* ---- fork -------------------------------------------------------------------------------------------- */

static int64_t op_fork(struct check_ours *o)
{
	struct task *child = &o->task[o->depth + 1];
	int ret;

	if (o->depth)
		return -ENOSYS;		/* one generation is enough */
	*child = *now(o);
	ret = aspace_mm_fork(now(o)->mm, &child->mm);
	if (ret)
		return ret;
	o->depth++;
	return 0;
}

/* ---- operations -------------------------------------------------------------------------------------- */

static int64_t op_rlimit(struct check_ours *o, uint64_t which, uint64_t bytes)
{
	uint64_t max = o->ring->rlim_max[which & 15];

	aspace_mm_set_rlimit(now(o)->mm, (enum aspace_rlimit)which, bytes < max ? bytes : max);
	return 0;
}

static int64_t op_name(struct check_ours *o, const uint64_t *a)
{
	static const char *const names[] = { NULL, "one", "two", "", "a b", "bad[" };

	return aspace_set_anon_name(now(o)->mm, a[0], a[1], names[a[2] % 6]);
}

/*
 * Where the kernel copies or brings pages in for a thread, that thread's PKRU counts. The library isn't
 * told it there (docs/differences/check.md): such a step is left out on both sides.
 */
static bool key_in_the_way(struct check_ours *o, uint64_t addr, uint64_t len)
{
	struct aspace_area a = { .size = sizeof(a) };

	for (uint64_t at = addr; at < addr + len; at = a.end) {
		int key;

		if (aspace_find_area(now(o)->mm, at, &a))
			return false;
		key = (int)((a.flags & ASPACE_VM_PKEY_MASK) >> ASPACE_VM_PKEY_SHIFT);
		if (key && (a.start < addr + len || (a.flags & ASPACE_VM_GROWSDOWN)))
			return true;
		if (a.start >= addr + len)
			return false;
	}
	return false;
}

static int file_number(const struct check_ours *o, const struct aspace_area *a)
{
	if (!a->file)
		return -1;
	for (int i = 0; i < CHECK_FILES; i++)
		if (o->mapping[i] && aspace_file_mapping(a->file) == o->mapping[i])
			return i;
	return -2;
}

/* Which of its pages are in the cache is the host's file system's business. */
static bool maps_tmp_file(struct check_ours *o, uint64_t addr, uint64_t len)
{
	struct aspace_area a = { .size = sizeof(a) };

	for (uint64_t at = addr; at < addr + len; at = a.end) {
		int f;

		if (aspace_find_area(now(o)->mm, at, &a) || a.start >= addr + len)
			return false;
		f = file_number(o, &a);
		if (f >= 0 && o->kind[f] >= FILE_TMP_RW)
			return true;
	}
	return false;
}

static bool untellable(struct check_ours *o, const struct check_op *op)
{
	switch (op->kind) {
	case OP_CALL: return wild_call(o, op->a[0]);
	case OP_MLOCK: case OP_MLOCK2: case OP_READ_TO: case OP_WRITE_FROM:
		return key_in_the_way(o, op->a[0], op->a[1] + CHECK_PAGE);
	case OP_MADVISE:
		return (op->a[2] == ASPACE_MADV_POPULATE_READ || op->a[2] == ASPACE_MADV_POPULATE_WRITE) &&
		       key_in_the_way(o, op->a[0], op->a[1]);
	case OP_VM_READ:
		return o->depth;	/* Linux pins, and copies first what a fork shares */
	case OP_MINCORE:
		return maps_tmp_file(o, op->a[0], op->a[1]);
	case OP_MLOCKALL:
		return key_in_the_way(o, 0, CHECK_HOME);
	case OP_MREMAP: case OP_MPROTECT: case OP_PKEY_MPROTECT:	/* of what is locked */
		return something_locked(o) && (key_in_the_way(o, op->a[0], op->a[1]) ||
					       (op->kind == OP_PKEY_MPROTECT && op->a[3]));
	}
	return false;
}

static int64_t operate(struct check_ours *o, const struct check_op *op, struct check_result *r)
{
	struct aspace_mm *mm = now(o)->mm;
	const uint64_t *a = op->a;
	bool covered;
	int64_t ret;

	switch (op->kind) {
	case OP_MMAP:
		if (a[5] % CHECK_PAGE)
			return -EINVAL;
		if (!(a[3] & ASPACE_MAP_ANONYMOUS) && !file_of(o, a[4]))
			return -EBADF;
		ret = aspace_mmap(mm, a[0], a[1], a[2], a[3],
				  a[3] & ASPACE_MAP_ANONYMOUS ? NULL : file_of(o, a[4]), a[5]);
		if (a[1])
			close_execute_only(o, ret, a[2]);
		return ret;
	case OP_MUNMAP: return aspace_munmap(mm, a[0], a[1]);
	case OP_BRK: return aspace_brk(mm, a[0]);
	case OP_MPROTECT:
		covered = covers(mm, a[0]);
		ret = aspace_mprotect(mm, a[0], a[1], a[2]);
		if (covered && ret != -EINVAL)
			close_execute_only(o, a[0], a[2]);
		return ret;
	case OP_PKEY_MPROTECT:
		covered = covers(mm, a[0]);
		ret = aspace_pkey_mprotect(mm, a[0], a[1], a[2], (int)a[3]);
		if (covered && ret != -EINVAL && (int)a[3] == -1)
			close_execute_only(o, a[0], a[2]);
		return ret;
	case OP_PKEY_ALLOC: return op_pkey_alloc(o, a[0], a[1]);
	case OP_PKEY_FREE: return aspace_pkey_free(mm, (int)a[0]);
	case OP_MREMAP: return aspace_mremap(mm, a[0], a[1], a[2], a[3], a[4]);
	case OP_MADVISE: return aspace_madvise(mm, a[0], a[1], (int)a[2]);
	case OP_MLOCK: return aspace_mlock(mm, a[0], a[1], 0);
	case OP_MLOCK2: return aspace_mlock(mm, a[0], a[1], a[2]);
	case OP_MUNLOCK: return aspace_munlock(mm, a[0], a[1]);
	case OP_MLOCKALL: return aspace_mlockall(mm, a[0]);
	case OP_MUNLOCKALL: return aspace_munlockall(mm);
	case OP_MSYNC: return aspace_msync(mm, a[0], a[1], a[2]);
	case OP_MINCORE: return op_mincore(o, a[0], a[1]);
	case OP_REMAP_FILE_PAGES:
		ret = aspace_remap_file_pages(mm, a[0], a[1], a[2], a[3], a[4]);
		if (ret != -EINVAL)	/* from do_mmap, then */
			close_execute_only(o, a[0], prot_at(mm, a[0]));
		return ret;
	case OP_MSEAL: return aspace_mseal(mm, a[0], a[1], a[2]);
	case OP_NAME: return op_name(o, a);
	case OP_LOAD: return op_load(o, op, r);
	case OP_STORE: op_store(o, op, r); return 0;
	case OP_CALL: access_byte(o, a[0], ASPACE_EXEC, r); return 0;
	case OP_PKRU: now(o)->pkru = (uint32_t)a[0]; return 0;
	case OP_FILE: return op_file(o, a[0], a[1], a[2]);
	case OP_TRUNCATE: return op_truncate(o, a[0], a[1]);
	case OP_PUNCH: return op_punch(o, a[0], a[1], a[2]);
	case OP_PREAD: return op_pread(o, a[0], a[1]);
	case OP_PWRITE: return op_pwrite(o, a[0], a[1], a[2]);
	case OP_SEAL_FILE: return op_seal(o, a[0], a[1]);
	case OP_READ_TO: case OP_WRITE_FROM: return op_copy(o, op);
	case OP_VM_READ: case OP_VM_WRITE: case OP_MEM_READ: case OP_MEM_WRITE: return op_remote(o, op);
	case OP_RLIMIT: return op_rlimit(o, a[0], a[1]);
	case OP_PERSONALITY: aspace_mm_set_personality(mm, (unsigned)a[0]); return 0;
	case OP_MDWE: return aspace_mm_set_mdwe(mm, (unsigned)a[0]);
	case OP_FORK: return op_fork(o);
	}
	return 0;
}

/* ---- pictures ------------------------------------------------------------------------------------------ */

static void *pool_take(struct check_trace *t, size_t n)
{
	uint32_t at = t->used;

	if (at + n > CHECK_POOL)
		return NULL;
	t->used = at + (uint32_t)n;
	return t->pool + at;
}

static uint64_t letters_of(uint64_t flags)
{
	/* in the order of CHECK_VMFLAGS */
	static const uint64_t bits[CHECK_NR_VMFLAGS] = {
		ASPACE_VM_READ, ASPACE_VM_WRITE, ASPACE_VM_EXEC, ASPACE_VM_SHARED, ASPACE_VM_MAYREAD,
		ASPACE_VM_MAYWRITE, ASPACE_VM_MAYEXEC, ASPACE_VM_MAYSHARE, ASPACE_VM_GROWSDOWN,
		ASPACE_VM_PFNMAP, ASPACE_VM_LOCKED, ASPACE_VM_IO, ASPACE_VM_SEQ_READ,
		ASPACE_VM_RAND_READ, ASPACE_VM_DONTCOPY, ASPACE_VM_DONTEXPAND, ASPACE_VM_LOCKONFAULT,
		ASPACE_VM_ACCOUNT, ASPACE_VM_NORESERVE, ASPACE_VM_HUGETLB, ASPACE_VM_SYNC,
		ASPACE_VM_WIPEONFORK, ASPACE_VM_DONTDUMP, ASPACE_VM_MIXEDMAP, ASPACE_VM_HUGEPAGE,
		ASPACE_VM_NOHUGEPAGE, ASPACE_VM_MERGEABLE, ASPACE_VM_DROPPABLE, ASPACE_VM_SEALED,
		ASPACE_VM_MAYBE_GUARD,
	};
	uint64_t letters = 0;

	for (unsigned i = 0; i < CHECK_NR_VMFLAGS; i++)
		if (flags & bits[i])
			letters |= 1ull << i;
	return letters;
}

static void fill_area(const struct check_ours *o, const struct aspace_area *a, struct check_area *out,
		      bool full)
{
	*out = (struct check_area){
		.start = a->start, .end = a->end, .offset = a->offset, .file = file_number(o, a),
		.perm = (a->flags & 7) | (a->flags & ASPACE_VM_MAYSHARE ? 8 : 0),
	};
	if (!full)
		return;
	out->vmflags = letters_of(a->flags);
	out->pkey = (int)((a->flags & ASPACE_VM_PKEY_MASK) >> ASPACE_VM_PKEY_SHIFT);
	out->heap = !strcmp(a->name, "[heap]");
}

unsigned check_ours_areas(struct check_ours *o, struct check_area *area, unsigned max)
{
	struct aspace_area a = { .size = sizeof(a) };
	unsigned n = 0;

	for (uint64_t at = 0; n < max; at = a.end) {
		if (aspace_find_area(now(o)->mm, at, &a) || a.start >= CHECK_HOME)
			break;
		fill_area(o, &a, &area[n++], true);
	}
	return n;
}

static void add_pages(struct check_ours *o, struct check_picture *p, const struct check_area *a,
		      uint64_t from, uint64_t n)
{
	uint64_t entries[CHECK_HEAD_PAGES];
	struct aspace_mm *mm = now(o)->mm;

	if (aspace_pagemap_read(mm, from, entries, n) != (int64_t)n)
		return;
	for (unsigned i = 0; i < n; i++) {
		uint64_t bits = entries[i] & CHECK_PM_BITS;
		struct aspace_translation tr = { .size = sizeof(tr) };
		struct check_page *page;

		if (!bits || (bits >> 61 & 1 && a->file >= 0 && o->kind[a->file] >= FILE_TMP_RW))
			continue;
		page = pool_take(o->trace, sizeof(*page));
		if (!page) {
			p->truncated = 1;
			return;
		}
		page->addr = from + i * CHECK_PAGE;
		page->bits = bits;
		page->hash = 0;
		if (bits >> 63 && (a->perm & 1) && !a->pkey &&
		    !aspace_translate(mm, page->addr, ASPACE_READ, &tr))
			page->hash = check_hash(tr.host, 512) ?: 1;
		p->pages++;
	}
}

static void picture_contents(struct check_ours *o, struct check_picture *p)
{
	const struct check_area *a = check_areas(p);

	for (unsigned i = 0; i < p->areas; i++, a++) {
		uint64_t n = (a->end - a->start) / CHECK_PAGE;

		if (n <= CHECK_HEAD_PAGES) {
			add_pages(o, p, a, a->start, n);
			continue;
		}
		add_pages(o, p, a, a->start, CHECK_HEAD_PAGES);
		n -= CHECK_HEAD_PAGES;
		n = n < CHECK_TAIL_PAGES ? n : CHECK_TAIL_PAGES;
		add_pages(o, p, a, a->end - n * CHECK_PAGE, n);
	}
}

static void picture_counters(struct check_ours *o, struct check_picture *p)
{
	struct aspace_mm_stats s = { .size = sizeof(s) };

	aspace_mm_stats(now(o)->mm, &s);
	p->vm_size = s.total_vm * 4;
	p->vm_lck = s.locked_vm * 4;
	p->vm_data = s.data_vm * 4;
	p->vm_stk = s.stack_vm * 4;
}

/* The text of smaps, read as the kernel's is. */
struct smaps_reader {
	struct check_ours *o;
	struct check_picture *p;
	struct check_area *area;
	char line[512];
	size_t n;
};

static void smaps_line(struct smaps_reader *s)
{
	struct check_area *first = (struct check_area *)(s->p + 1);
	const char *value;
	int key;

	if ((s->line[0] >= '0' && s->line[0] <= '9') || (s->line[0] >= 'a' && s->line[0] <= 'f')) {
		s->area = s->area ? s->area + 1 : first;
		return;
	}
	if (!s->area || s->area - first >= (long)s->p->areas)
		return;
	key = check_smaps_key(s->line, &value);
	if (key >= 0 && check_smaps_tell(s->area, s->area->file >= 0 && s->o->kind[s->area->file] >= FILE_TMP_RW))
		s->area->smaps[key] = (uint32_t)strtoul(value, NULL, 10);
}

static int smaps_text(void *priv, const char *text, size_t n)
{
	struct smaps_reader *s = priv;

	for (size_t i = 0; i < n; i++) {
		if (text[i] != '\n') {
			s->line[s->n] = text[i];
			s->n += s->n + 1 < sizeof(s->line);
			continue;
		}
		s->line[s->n] = 0;
		s->n = 0;
		smaps_line(s);
	}
	return 0;
}

static void picture_smaps(struct check_ours *o, struct check_picture *p)
{
	struct smaps_reader s = { .o = o, .p = p };

	aspace_print_smaps(now(o)->mm, smaps_text, &s);
}

static void take_picture(struct check_ours *o, unsigned i, unsigned n, const struct check_look *look)
{
	struct check_result *r = &o->trace->result[i];
	unsigned level = check_look_at(look, i, n);
	bool full = level == 2;
	struct check_trace *t = o->trace;
	struct aspace_area a = { .size = sizeof(a) };
	struct check_picture *p;

	if (!level)
		return;
	p = pool_take(t, sizeof(*p));
	if (!p)
		return;
	memset(p, 0, sizeof(*p));
	r->picture = (uint32_t)((uint8_t *)p - t->pool + 1);
	for (uint64_t at = 0; ; at = a.end) {
		struct check_area *out;

		if (aspace_find_area(now(o)->mm, at, &a) || a.start >= CHECK_HOME)
			break;
		out = pool_take(t, sizeof(*out));
		if (!out) {
			p->truncated = 1;
			return;
		}
		fill_area(o, &a, out, full);
		p->areas++;
	}
	if (!full)
		return;
	p->full = 1;
	p->smaps = look->smaps && !o->areas_only;
	if (p->smaps)
		picture_smaps(o, p);
	picture_counters(o, p);
	if (look->pages && !o->areas_only)
		picture_contents(o, p);
}

void check_ours_fork_end(struct check_ours *o, unsigned forked, unsigned n,
			 const struct check_look *look)
{
	aspace_mm_put(now(o)->mm);
	o->depth--;
	take_picture(o, forked, n, look);
}

/* ---- a sequence ------------------------------------------------------------------------------------------ */

int check_ours_create(const struct check_ours_options *options, const struct check_ring *ring,
		      struct check_ours **out)
{
	struct aspace_machine_options m = {
		.size = sizeof(m), .ram_bytes = options->areas_only ? 0 : options->ram_bytes,
		.index = options->rbtree ? ASPACE_INDEX_RBTREE : ASPACE_INDEX_RANGE_TREE,
		.overcommit_pages = options->host_pages, .thp_align = options->thp_align,
		.mmap_min_addr = ring->mmap_min_addr ?: UINT64_MAX,
	};
	struct aspace_mapping_options ring_mapping = {
		.size = sizeof(ring_mapping), .bytes = sizeof(struct check_ring), .ino = 999,
	};
	struct aspace_file_options ring_file = {
		.size = sizeof(ring_file), .readable = true, .writable = true, .path = "/memfd:check-ring",
	};
	struct check_ours *o = calloc(1, sizeof(*o));
	int ret;

	if (!o)
		return -ENOMEM;
	o->areas_only = options->areas_only;
	o->ring = ring;
	o->lie = options->lie;
	ret = aspace_machine_create(&m, &o->machine);
	if (ret) {
		free(o);
		return ret;
	}
	ret = aspace_mapping_create(o->machine, &ring_mapping, &o->ring_mapping);
	if (!ret)
		ret = aspace_file_open(o->ring_mapping, &ring_file, &o->ring_file);
	*out = o;
	return ret;
}

void check_ours_destroy(struct check_ours *o)
{
	aspace_file_put(o->ring_file);
	aspace_mapping_put(o->ring_mapping);
	aspace_machine_destroy(o->machine);
	free(o);
}

/* The few areas that the kernel's side has besides: counters and mlockall see them. */
static int add_home(struct check_ours *o, struct aspace_mm *mm)
{
	for (unsigned i = 0; i < o->ring->nr_home; i++) {
		uint64_t f = o->ring->home[i].flags, flags = f & 7;
		bool shared = f & 8;
		int ret;

		flags |= ASPACE_VM_MAYREAD | ASPACE_VM_MAYWRITE | ASPACE_VM_MAYEXEC;
		flags |= shared ? ASPACE_VM_SHARED | ASPACE_VM_MAYSHARE : 0;
		ret = aspace_insert_area(mm, o->ring->home[i].start, o->ring->home[i].end, flags,
					 shared ? o->ring_file : NULL, shared ? 0 : o->ring->home[i].start,
					 shared ? NULL : "[home]");
		if (ret)
			return ret;
	}
	return 0;
}

int check_ours_begin(struct check_ours *o, struct check_trace *trace)
{
	struct aspace_layout layout = { .size = sizeof(layout) };
	struct aspace_mm *mm;
	int ret;

	trace->done = trace->used = 0;
	memset(trace->result, 0, sizeof(trace->result));
	o->trace = trace;
	o->depth = 0;
	ret = aspace_mm_create(o->machine, &mm);
	if (ret)
		return ret;
	aspace_mm_layout(mm, &layout);
	layout.mmap_base = CHECK_MMAP_BASE;
	layout.mmap_legacy_base = CHECK_MMAP_LEGACY_BASE;
	layout.start_data = layout.end_data = CHECK_DATA;
	layout.start_brk = layout.brk = CHECK_HEAP;
	ret = aspace_mm_set_layout(mm, &layout);
	aspace_mm_set_rlimit(mm, ASPACE_RLIMIT_STACK, o->ring->rlim_cur[ASPACE_RLIMIT_STACK]);
	aspace_mm_set_rlimit(mm, ASPACE_RLIMIT_MEMLOCK, o->ring->rlim_cur[ASPACE_RLIMIT_MEMLOCK]);
	aspace_mm_set_personality(mm, ASPACE_ADDR_NO_RANDOMIZE);
	aspace_mm_set_privileged(mm, false, false);
	aspace_mm_set_thp_disable(mm, true);
	o->task[0] = (struct task){ .mm = mm, .pkru = PKRU_START };
	return ret ? ret : add_home(o, mm);
}

void check_ours_step(struct check_ours *o, const struct check_op *op, unsigned i, unsigned n,
		     const struct check_look *look)
{
	struct check_result *r = &o->trace->result[i];

	r->skipped = untellable(o, op);
	if (!r->skipped)
		r->ret = operate(o, op, r);
	if (r->signal)
		r->ret = 0;
	if (op->kind == o->lie && op->kind && r->ret >= 0)
		r->ret = -EIO;
	/* a fork's picture is taken when its child is over */
	if (op->kind != OP_FORK || r->ret)
		take_picture(o, i, n, look);
	if (o->trace->done < i + 1)
		o->trace->done = i + 1;
}

int check_ours_end(struct check_ours *o, char *why, size_t size)
{
	static const struct check_look nothing;

	if (o->depth)
		check_ours_fork_end(o, 0, 1, &nothing);
	if (o->sequences++ % 64 == 0) {
		int ret = aspace_machine_check(o->machine, why, size);

		if (ret)
			return ret;
	}
	aspace_mm_put(o->task[0].mm);
	for (unsigned f = 0; f < CHECK_FILES; f++)
		close_file(o, f);
	return 0;
}

/* A sequence that is known: the same walk as the generator's, see check_gen.c. */
void check_ours_run(struct check_ours *o, const struct check_sequence *seq, const struct check_look *look,
		    struct check_trace *trace)
{
	unsigned end = 0, forked = 0;

	for (unsigned i = 0; i <= seq->n; i++) {
		if (o->depth && i == end)
			check_ours_fork_end(o, forked, seq->n, look);
		if (i == seq->n)
			break;
		check_ours_step(o, &seq->op[i], i, seq->n, look);
		if (seq->op[i].kind == OP_FORK && !trace->result[i].ret) {
			forked = i;
			end = check_fork_end(seq, i);
		}
	}
}

uint64_t check_ours_total_vm(struct check_ours *o)
{
	struct aspace_mm_stats s = { .size = sizeof(s) };

	aspace_mm_stats(now(o)->mm, &s);
	return s.total_vm * CHECK_PAGE;
}

uint64_t check_ours_brk(struct check_ours *o)
{
	struct aspace_layout layout = { .size = sizeof(layout) };

	aspace_mm_layout(now(o)->mm, &layout);
	return layout.brk;
}

uint64_t check_ours_min_addr(struct check_ours *o)
{
	return o->ring->mmap_min_addr;
}
