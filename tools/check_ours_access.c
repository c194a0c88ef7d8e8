/* SPDX-License-Identifier: MIT */
/*
 * The library's side: memory is read, written, called and copied, as the processor, the kernel and
 * other processes do; and what protection keys have to say.
 */
#include "check_ours.h"

/* ---- loads and stores -------------------------------------------------------------------------- */

static int pkey_at(struct aspace_mm *mm, uint64_t addr)
{
	struct aspace_area a = { .size = sizeof(a) };

	if (aspace_find_area(mm, addr, &a) || a.start > addr)
		return 0;
	return (int)((a.flags & ASPACE_VM_PKEY_MASK) >> ASPACE_VM_PKEY_SHIFT);
}

unsigned ours_prot_at(struct aspace_mm *mm, uint64_t addr)
{
	struct aspace_area a = { .size = sizeof(a) };

	return aspace_find_area(mm, addr, &a) || a.start > addr ? 0 : a.flags & 7;
}

bool ours_covers(struct aspace_mm *mm, uint64_t addr)
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
void *ours_access(struct check_ours *o, uint64_t addr, unsigned access, struct check_result *r)
{
	struct task *t = ours_now(o);
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

int64_t ours_load(struct check_ours *o, const struct check_op *op, struct check_result *r)
{
	uint64_t value = 0, n = op->a[1] == 1 || op->a[1] == 2 || op->a[1] == 4 ? op->a[1] : 8;
	void *byte = ours_access(o, op->a[0], ASPACE_READ, r);

	if (byte)
		memcpy(&value, byte, n);
	return (int64_t)value;
}

void ours_store(struct check_ours *o, const struct check_op *op, struct check_result *r)
{
	uint64_t n = op->a[1] == 1 || op->a[1] == 2 || op->a[1] == 4 ? op->a[1] : 8;
	void *byte = ours_access(o, op->a[0], ASPACE_WRITE, r);

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

	if (aspace_find_area(ours_now(o)->mm, addr, &a) || (a.start <= addr && !(a.flags & ASPACE_VM_EXEC)))
		return false;
	if (a.start > addr)		/* nothing, or a stack that grows */
		return a.flags & ASPACE_VM_GROWSDOWN;
	aspace_pagemap_read(ours_now(o)->mm, addr & ~(CHECK_PAGE - 1), &entry, 1);
	return !(entry >> 63) || aspace_translate(ours_now(o)->mm, addr, ASPACE_EXEC, &tr) ||
	       *(uint8_t *)tr.host != 0xc3;
}

int64_t ours_mincore(struct check_ours *o, uint64_t addr, uint64_t len)
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
	ret = aspace_mincore(ours_now(o)->mm, addr, len, vec);
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
			left = aspace_copy_to_user(ours_now(o)->mm, op->a[0] + done, bytes + done, part);
		else
			left = aspace_copy_from_user(ours_now(o)->mm, bytes + done, op->a[0] + done, part);
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

int64_t ours_remote(struct check_ours *o, const struct check_op *op)
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
	ret = aspace_access_remote(ours_now(o)->mm, op->a[0], bytes, n,
				   (read ? 0 : ASPACE_WRITE) | (mem ? ASPACE_FORCE : 0));
	if (ret <= 0)
		return mem ? -EIO : -EFAULT;
	return read ? hashed(ret, bytes) : ret;
}

int64_t ours_copy(struct check_ours *o, const struct check_op *op)
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

/* ---- protection keys --------------------------------------------------------------------------- */

/* The kernel closes the key of execute-only memory for whoever asks for such memory, even in vain. */
void ours_close_execute_only(struct check_ours *o, uint64_t addr, unsigned prot)
{
	struct task *t = ours_now(o);
	struct aspace_area a = { .size = sizeof(a) };

	if (prot != ASPACE_PROT_EXEC)
		return;
	if (!aspace_find_area(t->mm, addr, &a) && a.start <= addr && (a.flags & 7) == ASPACE_VM_EXEC &&
	    !t->execute_only)
		t->execute_only = (int)((a.flags & ASPACE_VM_PKEY_MASK) >> ASPACE_VM_PKEY_SHIFT);
	if (t->execute_only)
		t->pkru |= 1u << (2 * t->execute_only);
}

int64_t ours_pkey_alloc(struct check_ours *o, uint64_t flags, uint64_t rights)
{
	struct task *t = ours_now(o);
	int key;

	if (flags || (rights & ~3ull))
		return -EINVAL;
	key = aspace_pkey_alloc(t->mm);
	if (key > 0)
		t->pkru = (t->pkru & ~(3u << (2 * key))) | (uint32_t)rights << (2 * key);
	return key;
}

/* ---- what can't be told ------------------------------------------------------------------------ */

static bool something_locked(struct check_ours *o)
{
	struct aspace_mm_stats s = { .size = sizeof(s) };

	aspace_mm_stats(ours_now(o)->mm, &s);
	return s.locked_vm;
}

static bool sealed_with_key(struct check_ours *o, uint64_t addr, uint64_t len)
{
	struct aspace_area a = { .size = sizeof(a) };

	for (uint64_t at = addr; at < addr + len; at = a.end) {
		if (aspace_find_area(ours_now(o)->mm, at, &a) || a.start >= addr + len)
			return false;
		if ((a.flags & ASPACE_VM_SEALED) && (a.flags & ASPACE_VM_PKEY_MASK))
			return true;
	}
	return false;
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

		if (aspace_find_area(ours_now(o)->mm, at, &a))
			return false;
		key = (int)((a.flags & ASPACE_VM_PKEY_MASK) >> ASPACE_VM_PKEY_SHIFT);
		if (key && (a.start < addr + len || (a.flags & ASPACE_VM_GROWSDOWN)))
			return true;
		if (a.start >= addr + len)
			return false;
	}
	return false;
}

/* Which of its pages are in the cache is the host's file system's business. */
static bool maps_tmp_file(struct check_ours *o, uint64_t addr, uint64_t len)
{
	struct aspace_area a = { .size = sizeof(a) };

	for (uint64_t at = addr; at < addr + len; at = a.end) {
		int f;

		if (aspace_find_area(ours_now(o)->mm, at, &a) || a.start >= addr + len)
			return false;
		f = ours_file_number(o, &a);
		if (f >= 0 && o->kind[f] >= FILE_TMP_RW)
			return true;
	}
	return false;
}

/* What is sealed may be discarded if it may be written: PKRU decides, too. */
static bool untellable_advice(struct check_ours *o, uint64_t addr, uint64_t length, uint64_t advice)
{
	if (sealed_with_key(o, addr, length))
		return true;
	return (advice == ASPACE_MADV_POPULATE_READ || advice == ASPACE_MADV_POPULATE_WRITE) &&
	       key_in_the_way(o, addr, length);
}

bool ours_untellable(struct check_ours *o, const struct check_op *op)
{
	switch (op->kind) {
	case OP_CALL: return wild_call(o, op->a[0]);
	case OP_MLOCK: case OP_MLOCK2: case OP_READ_TO: case OP_WRITE_FROM:
		return key_in_the_way(o, op->a[0], op->a[1] + CHECK_PAGE);
	case OP_MADVISE:
		return untellable_advice(o, op->a[0], op->a[1], op->a[2]);
	case OP_PROCESS_MADVISE:
		return untellable_advice(o, op->a[0], op->a[1], op->a[2]) ||
		       untellable_advice(o, op->a[3], op->a[4], op->a[2]);
	case OP_VM_READ:
		return o->forked;	/* Linux pins, and copies first what a fork shares or shared */
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
