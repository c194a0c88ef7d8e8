/* SPDX-License-Identifier: MIT */
/*
 * The kernel's access to user memory, and the hardware's as an embedder would do it.
 *
 * A copy holds mmap_lock for reading, so that tables stay, and works page by page under the
 * page_ptl of the entry: an entry that is seen to allow the access can't be cleared, nor its frame
 * freed, until the bytes are copied. That costs no more than a reference to the frame would.
 * Where the entry doesn't allow it, the fault is taken as the processor would take it.
 */
#include <string.h>

#include "mm/pagetable.h"

/* ---- one page ---------------------------------------------------------------------------- */

/* A page that may be accessed; locked from map_user() to unmap_user(). */
struct user_page {
	struct page *table;
	void *slot;
	pte_t entry;
	uint8_t *host;		/* of the address that was asked for */
	bool device;		/* not locked: the entry would allow it, but the frame is not RAM */
};

/* ptrace goes through an entry that bars the process, but not to a page that others share. */
static bool entry_forced(struct aspace_machine *m, pte_t entry, unsigned access)
{
	struct page *page;

	if (!(access & ASPACE_WRITE))
		return true;
	page = vm_normal_page(m, entry);
	return page && page_exclusive(page);
}

static bool entry_allows(struct aspace_machine *m, unsigned level, pte_t entry, unsigned access)
{
	if (!pt_leaf(m->format, level, entry))
		return false;
	if (!(access & (ASPACE_READ | ASPACE_WRITE | ASPACE_EXEC) & ~pt_access(m->format, entry)))
		return true;
	return (access & ASPACE_FORCE) && entry_forced(m, entry, access);
}

static uint64_t leaf_phys(const struct pt_format *f, unsigned level, pte_t entry, uint64_t addr)
{
	return (pt_pfn(f, entry) << PAGE_SHIFT) + (addr & (pt_span(f, level) - 1));
}

/* What the hardware leaves in an entry that it goes through. Another process marks the page instead. */
static void mark_used(const struct pt_format *f, void *slot, pte_t entry, unsigned access)
{
	bool write = (access & ASPACE_WRITE) && !(access & ASPACE_REMOTE);
	uint64_t bits = f->accessed | (write ? f->dirty | f->soft_dirty : 0);

	if (bits & ~entry)
		pt_change(f, slot, 0, bits);
}

static inline bool map_user(struct mm_struct *mm, uint64_t addr, unsigned access,
			    struct user_page *user)
{
	struct aspace_machine *m = mm->machine;
	struct pt_pos pos = pt_find(mm, addr);
	uint64_t phys;

	user->device = false;
	spin_lock(page_ptl(pos.table));
	user->entry = pt_read(m->format, pos.slot);
	if (!entry_allows(m, pos.level, user->entry, access))
		goto no;
	phys = leaf_phys(m->format, pos.level, user->entry, addr);
	user->device = phys >= m->ram_bytes;
	if (user->device)
		goto no;
	mark_used(m->format, pos.slot, user->entry, access);
	user->table = pos.table;
	user->slot = pos.slot;
	user->host = m->ram + phys;
	return true;
no:
	spin_unlock(page_ptl(pos.table));
	return false;
}

/* wrote: bytes changed, and if they were instructions, translations of them are stale. */
static inline void unmap_user(struct mm_struct *mm, struct user_page *user, bool wrote)
{
	struct aspace_machine *m = mm->machine;
	struct page *page = NULL;

	if (wrote) {
		page = phys_to_page(m, (uint64_t)(user->host - m->ram));
		if (!(atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_exec))
			page = NULL;
	}
	spin_unlock(page_ptl(user->table));
	if (page)
		port_code_changed(m, page);
}

static void mark_page_dirty(struct aspace_machine *m, struct user_page *user)
{
	struct page *page = phys_to_page(m, (uint64_t)(user->host - m->ram));

	if (!note_dirty(page, true))
		atomic_fetch_or_explicit(&page->flags, PG_dirty, memory_order_relaxed);
}

static bool user_range_ok(const struct mm_struct *mm, uint64_t addr, uint64_t n)
{
	return n <= mm->task_size && addr <= mm->task_size - n;
}

/* On a machine of areas only the pages are the embedder's: nothing can be copied here. */
static bool has_pages(const struct mm_struct *mm)
{
	return mm->pgd;
}

/*
 * map_user(), with as many faults as it takes: between a fault and the look at its entry, another
 * thread may take the page away again. mmap_lock is held for reading, but see fault_in().
 */
static bool map_user_fault(struct mm_struct *mm, uint64_t addr, unsigned access,
			   struct user_page *user, int *err)
{
	for (;;) {
		struct aspace_fault fault = { .size = sizeof(fault) };

		if (map_user(mm, addr, access, user))
			return true;
		*err = user->device ? -EFAULT : fault_in(mm, addr, access, 0, &fault);
		if (*err)
			return false;
	}
}

/* ---- copies ------------------------------------------------------------------------------ */

enum user_op { FROM_USER, TO_USER, CLEAR_USER };

/* Eight aligned bytes are one access, which another thread sees whole. */
static inline void word_op(enum user_op op, uint64_t *user, void *buffer)
{
	uint64_t word = 0;

	if (op == FROM_USER) {
		word = __atomic_load_n(user, __ATOMIC_RELAXED);
		memcpy(buffer, &word, sizeof(word));
	} else {
		if (op == TO_USER)
			memcpy(&word, buffer, sizeof(word));
		__atomic_store_n(user, word, __ATOMIC_RELAXED);
	}
}

static inline void do_op(enum user_op op, uint8_t *user, void *buffer, size_t n)
{
	if (n == sizeof(uint64_t) && !((uintptr_t)user % sizeof(uint64_t)))
		word_op(op, (uint64_t *)user, buffer);
	else if (op == FROM_USER)
		memcpy(buffer, user, n);
	else if (op == TO_USER)
		memcpy(user, buffer, n);
	else
		memset(user, 0, n);
}

/* mmap_lock for reading. Bytes that were not done. */
static inline size_t copy_locked(struct mm_struct *mm, uint64_t addr, void *buffer, size_t n,
				 enum user_op op, unsigned access)
{
	uint8_t *at = buffer;

	while (n) {
		size_t piece = PAGE_SIZE - offset_in_page(addr);
		struct user_page user;
		int err;

		if (piece > n)
			piece = n;
		if (!map_user(mm, addr, access, &user) &&
		    !map_user_fault(mm, addr, access, &user, &err))
			break;
		do_op(op, user.host, at, piece);
		if ((access & ASPACE_REMOTE) && op == TO_USER)
			mark_page_dirty(mm->machine, &user);
		unmap_user(mm, &user, op != FROM_USER);
		addr += piece;
		at += op == CLEAR_USER ? 0 : piece;
		n -= piece;
	}
	return n;
}

static inline size_t user_copy(struct mm_struct *mm, uint64_t addr, void *buffer, size_t n,
			       enum user_op op)
{
	size_t left;

	if (!user_range_ok(mm, addr, n) || !has_pages(mm))
		return n;
	down_read(&mm->mmap_lock);
	left = copy_locked(mm, addr, buffer, n, op, op == FROM_USER ? ASPACE_READ : ASPACE_WRITE);
	up_read(&mm->mmap_lock);
	return left;
}

size_t aspace_copy_from_user(struct mm_struct *mm, void *to, uint64_t from, size_t n)
{
	size_t left = user_copy(mm, from, to, n, FROM_USER);

	if (left)	/* never leave the caller with what was on its stack */
		memset((uint8_t *)to + (n - left), 0, left);
	return left;
}

size_t aspace_copy_to_user(struct mm_struct *mm, uint64_t to, const void *from, size_t n)
{
	return user_copy(mm, to, (void *)from, n, TO_USER);
}

size_t aspace_clear_user(struct mm_struct *mm, uint64_t to, size_t n)
{
	return user_copy(mm, to, NULL, n, CLEAR_USER);
}

int64_t aspace_strncpy_from_user(struct mm_struct *mm, char *to, uint64_t from, size_t n)
{
	int64_t length = -EFAULT;
	size_t done = 0;

	if (from >= mm->task_size || !has_pages(mm))
		return -EFAULT;
	down_read(&mm->mmap_lock);
	for (;;) {
		size_t piece = PAGE_SIZE - offset_in_page(from);
		struct user_page user;
		char *end;
		int err;

		if (done == n) {
			length = (int64_t)n;
			break;
		}
		if (piece > n - done)
			piece = n - done;
		if (!map_user_fault(mm, from, ASPACE_READ, &user, &err))
			break;
		end = memccpy(to + done, user.host, 0, piece);
		unmap_user(mm, &user, false);
		if (end) {
			length = end - to - 1;
			break;
		}
		done += piece;
		from += piece;
	}
	up_read(&mm->mmap_lock);
	return length;
}

/* ---- other processes' memory ------------------------------------------------------------- */

/* A driver's memory that is not RAM: only the driver knows how. Bytes done, or 0. */
static size_t access_driver(struct vm_area_struct *vma, uint64_t addr, void *buffer, size_t n,
			    bool write)
{
	const struct aspace_vm_ops *ops = vma->vm_file ? vma->vm_file->vm_ops : NULL;
	uint64_t offset;
	int64_t done;

	if (!ops || !ops->access)
		return 0;
	if (n > vma->vm_end - addr)
		n = vma->vm_end - addr;
	offset = (vma->vm_pgoff << PAGE_SHIFT) + (addr - vma->vm_start);
	done = ops->access(vma->vm_file->priv, vma, offset, buffer, n, write);
	return done > 0 ? (size_t)done : 0;
}

/* mmap_lock for reading. Bytes done of the piece, which lies in one page; 0: none. */
static size_t access_piece(struct mm_struct *mm, uint64_t addr, void *buffer, size_t n,
			   unsigned access)
{
	bool write = access & ASPACE_WRITE;
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	if (!vma && (access & ASPACE_FORCE) && !grow_stack(mm, addr))
		vma = vma_lookup(mm, addr);
	/* What the processor would read because it may be written or executed, another process may not. */
	if (!vma || (!write && !(access & ASPACE_FORCE) && !(vma->vm_flags & VM_READ)))
		return 0;
	if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		return access_driver(vma, addr, buffer, n, write);
	return n - copy_locked(mm, addr, buffer, n, write ? TO_USER : FROM_USER, access);
}

int64_t aspace_access_remote(struct mm_struct *mm, uint64_t addr, void *buffer, size_t n,
			     unsigned flags)
{
	unsigned access = (flags & ASPACE_WRITE ? ASPACE_WRITE : ASPACE_READ) |
			  (flags & ASPACE_FORCE) | ASPACE_REMOTE;
	size_t done = 0;

	if (!has_pages(mm))
		return 0;
	down_read(&mm->mmap_lock);
	while (done < n && addr + done < mm->task_size) {
		size_t piece = PAGE_SIZE - offset_in_page(addr + done);
		size_t did;

		if (piece > n - done)
			piece = n - done;
		did = access_piece(mm, addr + done, (uint8_t *)buffer + done, piece, access);
		done += did;
		if (did < piece)
			break;
	}
	up_read(&mm->mmap_lock);
	return (int64_t)done;
}

/* ---- futex words ------------------------------------------------------------------------- */

static int word_map(struct mm_struct *mm, uint64_t addr, unsigned access, struct user_page *user)
{
	int err = -EFAULT;

	if (addr & 3)
		return -EINVAL;
	if (!user_range_ok(mm, addr, 4) || !has_pages(mm))
		return -EFAULT;
	down_read(&mm->mmap_lock);
	if (map_user_fault(mm, addr, access, user, &err))
		return 0;
	up_read(&mm->mmap_lock);
	return -EFAULT;
}

static void word_unmap(struct mm_struct *mm, struct user_page *user, bool wrote)
{
	unmap_user(mm, user, wrote);
	up_read(&mm->mmap_lock);
}

int aspace_user_load32(struct mm_struct *mm, uint64_t addr, uint32_t *value)
{
	struct user_page user;
	int err = word_map(mm, addr, ASPACE_READ, &user);

	if (err)
		return err;
	*value = __atomic_load_n((uint32_t *)user.host, __ATOMIC_SEQ_CST);
	word_unmap(mm, &user, false);
	return 0;
}

int aspace_user_cmpxchg32(struct mm_struct *mm, uint64_t addr, uint32_t expected, uint32_t desired,
			  uint32_t *old)
{
	struct user_page user;
	bool wrote;
	int err = word_map(mm, addr, ASPACE_WRITE, &user);

	if (err)
		return err;
	wrote = __atomic_compare_exchange_n((uint32_t *)user.host, &expected, desired, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	*old = expected;
	word_unmap(mm, &user, wrote);
	return 0;
}

int aspace_futex_key(struct mm_struct *mm, uint64_t addr, bool process_private,
		     struct aspace_futex_key *key)
{
	struct vm_area_struct *vma;
	int err = 0;

	if (addr & 3)
		return -EINVAL;
	if (!user_range_ok(mm, addr, 4))
		return -EFAULT;
	key->object = mm;
	key->offset = addr;
	if (process_private)
		return 0;
	down_read(&mm->mmap_lock);
	vma = vma_lookup(mm, addr);
	if (!vma || !(vm_access_of(vma->vm_flags) & ASPACE_READ)) {
		err = -EFAULT;
	} else if ((vma->vm_flags & VM_SHARED) && vma->vm_file) {
		key->object = vma->vm_file->f_mapping;
		key->offset = (linear_page_index(vma, addr) << PAGE_SHIFT) + offset_in_page(addr);
	}
	up_read(&mm->mmap_lock);
	return err;
}

/* ---- what the hardware would do ---------------------------------------------------------- */

/* The entry may change at any time: what was checked is what the bits are set in. */
static int walk_hardware(struct mm_struct *mm, uint64_t addr, unsigned access,
			 struct aspace_translation *result)
{
	const struct pt_format *f = pt_format(mm);
	struct pt_pos pos = pt_find(mm, addr);
	pte_t entry = pt_read(f, pos.slot);
	pte_t used;

	do {
		if (!pt_leaf(f, pos.level, entry) || (access & ~pt_access(f, entry)))
			return -EFAULT;
		used = entry | f->accessed | (access & ASPACE_WRITE ? f->dirty : 0);
	} while (used != entry && !pt_compare_exchange(f, pos.slot, &entry, used));

	result->phys = leaf_phys(f, pos.level, used, addr);
	result->host = result->phys < mm->machine->ram_bytes ? mm->machine->ram + result->phys : NULL;
	result->page_shift = f->level[pos.level].shift;
	result->access = pt_access(f, used);
	if (!(used & f->dirty))
		result->access &= ~(unsigned)ASPACE_WRITE;
	return 0;
}

int aspace_translate(struct mm_struct *mm, uint64_t addr, unsigned access,
		     struct aspace_translation *translation)
{
	struct aspace_translation result = { .size = sizeof(result) };
	size_t size = translation->size;
	int err;

	if (!mm->machine->mem_map)
		return -ENOSYS;
	if (addr >= mm->task_size)
		return -EFAULT;
	access &= ASPACE_READ | ASPACE_WRITE | ASPACE_EXEC;
	down_read(&mm->mmap_lock);
	err = walk_hardware(mm, addr, access, &result);
	up_read(&mm->mmap_lock);
	if (err)
		return err;
	if (!size || size > sizeof(result))
		size = sizeof(result);
	result.size = size;
	memcpy(translation, &result, size);
	return 0;
}
