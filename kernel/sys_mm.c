// SPDX-License-Identifier: MIT
/* The system calls on memory: arguments into libaspace's calls. Their rules are all over there. */
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "syscalls.h"
#include "task.h"

#define PAGE 4096ull
#define IOV_MAX_GUEST 1024
#define PR_SET_VMA_NAME_MAX 80

SYSCALL(mmap)
{
	uint64_t flags = args->a[3];
	struct aspace_file *file = NULL;
	struct kfile *kfile = NULL;
	int64_t result;

	if (args->a[5] & (PAGE - 1))
		return -EINVAL;
	if (!(flags & ASPACE_MAP_ANONYMOUS)) {
		kfile = fget(task, (int)args->a[4]);
		if (!kfile)
			return -EBADF;
		file = kfile_aspace(task->kernel, kfile);
		if (!file) {
			kfile_put(kfile);
			return -ENODEV;
		}
	}
	result = aspace_mmap(task->mm, args->a[0], args->a[1], (unsigned)args->a[2], (unsigned)flags,
			     file, args->a[5]);
	if (file)
		aspace_file_put(file);
	if (kfile)
		kfile_put(kfile);
	return result;
}

SYSCALL(munmap)
{
	return aspace_munmap(task->mm, args->a[0], args->a[1]);
}

SYSCALL(brk)
{
	return aspace_brk(task->mm, args->a[0]);
}

SYSCALL(mprotect)
{
	return aspace_mprotect(task->mm, args->a[0], args->a[1], (unsigned)args->a[2]);
}

SYSCALL(pkey_mprotect)
{
	if ((int)args->a[3] == -1)
		return aspace_mprotect(task->mm, args->a[0], args->a[1], (unsigned)args->a[2]);
	return aspace_pkey_mprotect(task->mm, args->a[0], args->a[1], (unsigned)args->a[2],
				    (int)args->a[3]);
}

/* The processor has no protection keys (CPUID says so): what Linux answers there. */
SYSCALL(pkey_alloc)
{
	return args->a[0] || (args->a[1] & ~3ull) ? -EINVAL : -ENOSPC;
}

SYSCALL(pkey_free)
{
	return -EINVAL;
}

SYSCALL(mremap)
{
	return aspace_mremap(task->mm, args->a[0], args->a[1], args->a[2], (unsigned)args->a[3],
			     args->a[4]);
}

SYSCALL(madvise)
{
	return aspace_madvise(task->mm, args->a[0], args->a[1], (int)args->a[2]);
}

SYSCALL(mlock)
{
	return aspace_mlock(task->mm, args->a[0], args->a[1], 0);
}

SYSCALL(mlock2)
{
	if (args->a[2] & ~1ull)
		return -EINVAL;
	return aspace_mlock(task->mm, args->a[0], args->a[1], (unsigned)args->a[2]);
}

SYSCALL(munlock)
{
	return aspace_munlock(task->mm, args->a[0], args->a[1]);
}

SYSCALL(mlockall)
{
	return aspace_mlockall(task->mm, (unsigned)args->a[0]);
}

SYSCALL(munlockall)
{
	return aspace_munlockall(task->mm);
}

SYSCALL(msync)
{
	return aspace_msync(task->mm, args->a[0], args->a[1], (unsigned)args->a[2]);
}

SYSCALL(mincore)
{
	unsigned char vector[512];
	uint64_t addr = args->a[0], pages = (args->a[1] + PAGE - 1) / PAGE;

	if (addr & (PAGE - 1))
		return -EINVAL;
	for (uint64_t done = 0; done < pages;) {
		uint64_t some = pages - done < sizeof(vector) ? pages - done : sizeof(vector);
		int error = aspace_mincore(task->mm, addr + done * PAGE, some * PAGE, vector);

		if (error)
			return error;
		if (copy_to_user(task, args->a[2] + done, vector, some))
			return -EFAULT;
		done += some;
	}
	return 0;
}

SYSCALL(remap_file_pages)
{
	return aspace_remap_file_pages(task->mm, args->a[0], args->a[1], (unsigned)args->a[2],
				       args->a[3], (unsigned)args->a[4]);
}

SYSCALL(mseal)
{
	return aspace_mseal(task->mm, args->a[0], args->a[1], (unsigned)args->a[2]);
}

/* ---- another process's memory ------------------------------------------------------------------- */

/* A list of pieces, read one element at a time as the copy goes along. */
struct piece_list {
	struct task_struct *task;
	uint64_t next, left;	/* where the next struct iovec is, and how many are left */
	struct iovec now;
};

static int next_piece(struct piece_list *list)
{
	while (!list->now.iov_len) {
		if (!list->left)
			return 0;
		if (copy_from_user(list->task, &list->now, list->next, sizeof(list->now)))
			return -EFAULT;
		list->next += sizeof(list->now);
		list->left--;
	}
	return 1;
}

static void advance(struct piece_list *list, size_t n)
{
	list->now.iov_base = (char *)list->now.iov_base + n;
	list->now.iov_len -= n;
}

static size_t copy_piece(struct task_struct *task, struct task_struct *other, uint64_t local,
			 uint64_t remote, size_t n, bool write)
{
	char buffer[4096];
	int64_t done;

	if (write) {
		n -= copy_from_user(task, buffer, local, n);
		done = aspace_access_remote(other->mm, remote, buffer, n, ASPACE_WRITE);
		return done < 0 ? 0 : (size_t)done;
	}
	done = aspace_access_remote(other->mm, remote, buffer, n, 0);
	if (done <= 0)
		return 0;
	return (size_t)done - copy_to_user(task, local, buffer, (size_t)done);
}

static int64_t process_vm_rw(struct task_struct *task, const struct sys_args *args, bool write)
{
	struct task_struct *other = find_task(task->kernel, (int)args->a[0]);
	struct piece_list local = { .task = task, .next = args->a[1], .left = args->a[2] };
	struct piece_list remote = { .task = task, .next = args->a[3], .left = args->a[4] };
	int64_t total = 0;

	if (args->a[5])
		return -EINVAL;
	if (args->a[2] > IOV_MAX_GUEST || args->a[4] > IOV_MAX_GUEST)
		return -EINVAL;
	if (!other || !other->mm)
		return -ESRCH;
	for (;;) {
		size_t n = 4096, done;
		int more = next_piece(&local);

		if (more > 0)
			more = next_piece(&remote);
		if (more <= 0)
			return more < 0 && !total ? more : total;
		n = local.now.iov_len < n ? local.now.iov_len : n;
		n = remote.now.iov_len < n ? remote.now.iov_len : n;
		done = copy_piece(task, other, (uint64_t)local.now.iov_base,
				  (uint64_t)remote.now.iov_base, n, write);
		total += (int64_t)done;
		if (done < n)
			return total ? total : -EFAULT;
		advance(&local, n);
		advance(&remote, n);
	}
}

SYSCALL(process_vm_readv)
{
	return process_vm_rw(task, args, false);
}

SYSCALL(process_vm_writev)
{
	return process_vm_rw(task, args, true);
}

/* ---- order -------------------------------------------------------------------------------------- */

enum membarrier_cmd {
	MB_QUERY = 0,
	MB_GLOBAL = 1,
	MB_GLOBAL_EXPEDITED = 2,
	MB_REGISTER_GLOBAL_EXPEDITED = 4,
	MB_PRIVATE_EXPEDITED = 8,
	MB_REGISTER_PRIVATE_EXPEDITED = 16,
	MB_PRIVATE_SYNC_CORE = 32,
	MB_REGISTER_PRIVATE_SYNC_CORE = 64,
};
#define MB_ALL 127

/* Guest threads take turns on one host thread: each sees what the others did, in order, always. */
SYSCALL(membarrier)
{
	unsigned *registered = &task->signal->membarrier;

	if (args->a[1])
		return -EINVAL;
	switch ((int)args->a[0]) {
	case MB_QUERY:
		return MB_ALL;
	case MB_GLOBAL:
	case MB_GLOBAL_EXPEDITED:
		return 0;
	case MB_REGISTER_GLOBAL_EXPEDITED:
	case MB_REGISTER_PRIVATE_EXPEDITED:
	case MB_REGISTER_PRIVATE_SYNC_CORE:
		*registered |= (unsigned)args->a[0];
		return 0;
	case MB_PRIVATE_EXPEDITED:
	case MB_PRIVATE_SYNC_CORE:
		return *registered & (unsigned)args->a[0] << 1 ? 0 : -EPERM;
	default:
		return -EINVAL;
	}
}

/* ---- memory policy: all memory is on node 0 ------------------------------------------------------- */

#define MPOL_MODES 7
#define MPOL_MODE_FLAGS 0xe000	/* STATIC_NODES, RELATIVE_NODES, NUMA_BALANCING */
#define MPOL_F_NODE 1
#define MPOL_F_ADDR 2
#define MPOL_F_MEMS_ALLOWED 4
#define MAX_NODES_BITS (4096 * 8)

/* 0: only node 0, or none, is named in the mask. */
static int only_node_0(struct task_struct *task, uint64_t user, uint64_t maxnode)
{
	if (!user || maxnode <= 1)
		return 0;
	if (maxnode > MAX_NODES_BITS)
		return -EINVAL;
	for (uint64_t bit = 0; bit < maxnode - 1; bit += 64) {
		uint64_t word;

		if (copy_from_user(task, &word, user + bit / 8, sizeof(word)))
			return -EFAULT;
		if (maxnode - 1 - bit < 64)
			word &= (1ull << (maxnode - 1 - bit)) - 1;
		if (word & ~(bit ? 0ull : 1ull))
			return -EINVAL;
	}
	return 0;
}

static int put_nodes(struct task_struct *task, uint64_t user, uint64_t maxnode, uint64_t nodes)
{
	uint64_t bytes = (maxnode - 1 + 63) / 64 * 8;

	if (!user || maxnode <= 1)
		return 0;
	if (maxnode > MAX_NODES_BITS)
		return -EINVAL;
	if (aspace_clear_user(task->mm, user, bytes) || copy_to_user(task, user, &nodes, sizeof(nodes)))
		return -EFAULT;
	return 0;
}

SYSCALL(get_mempolicy)
{
	uint64_t flags = args->a[4];
	uint32_t mode = flags & MPOL_F_NODE ? 0 : task->mempolicy;

	if (flags & ~7ull || ((flags & MPOL_F_MEMS_ALLOWED) && (flags & 3)) ||
	    (!(flags & MPOL_F_ADDR) && args->a[3]))
		return -EINVAL;
	if (flags & MPOL_F_MEMS_ALLOWED)
		mode = 0;
	if (args->a[0] && copy_to_user(task, args->a[0], &mode, sizeof(mode)))
		return -EFAULT;
	return put_nodes(task, args->a[1], args->a[2],
			 (flags & MPOL_F_MEMS_ALLOWED) || mode ? 1 : 0);
}

SYSCALL(set_mempolicy)
{
	uint32_t mode = (uint32_t)args->a[0];
	int error;

	if ((mode & ~MPOL_MODE_FLAGS) >= MPOL_MODES)
		return -EINVAL;
	error = only_node_0(task, args->a[1], args->a[2]);
	if (!error)
		task->mempolicy = mode;
	return error;
}

/* ---- prctl's part ------------------------------------------------------------------------------- */

int64_t prctl_set_vma(struct task_struct *task, const struct sys_args *args)
{
	char name[PR_SET_VMA_NAME_MAX];
	int64_t n;

	if (args->a[1] != 0)	/* PR_SET_VMA_ANON_NAME */
		return -EINVAL;
	if (!args->a[4])
		return aspace_set_anon_name(task->mm, args->a[2], args->a[3], NULL);
	n = aspace_strncpy_from_user(task->mm, name, args->a[4], sizeof(name));
	if (n < 0)
		return n;
	if (n >= (int64_t)sizeof(name))
		return -EINVAL;
	return aspace_set_anon_name(task->mm, args->a[2], args->a[3], name);
}

#ifndef PR_SET_MM_MAP_SIZE
#define PR_SET_MM_MAP_SIZE 15
#endif
#define PRCTL_MM_MAP_BYTES 104	/* struct prctl_mm_map */
#define MMAP_MIN_ADDR	   65536

/* This command's own: guests have no others. */
static bool has_cap_sys_resource(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	return !syscall(SYS_capget, &header, data) && data[0].effective >> CAP_SYS_RESOURCE & 1;
}

/* As prctl(2) wants it: all in user space, ends behind starts, the data within its limit. */
static bool layout_is_valid(const struct task_struct *task, const struct aspace_layout *l)
{
	const uint64_t all[] = { l->start_code, l->end_code, l->start_data, l->end_data, l->start_brk, l->brk,
				 l->start_stack, l->arg_start, l->arg_end, l->env_start, l->env_end };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] < MMAP_MIN_ADDR || all[i] >= l->task_size)
			return false;
	return l->start_code < l->end_code && l->start_data <= l->end_data && l->start_brk <= l->brk &&
	       l->arg_start <= l->arg_end && l->env_start <= l->env_end &&
	       l->brk - l->start_brk + (l->end_data - l->start_data) <= task->signal->rlim[RLIMIT_DATA].cur;
}

/* PR_SET_MM_MAP, _AUXV and _EXE_FILE are not here. */
int64_t prctl_set_mm(struct task_struct *task, const struct sys_args *args)
{
	struct aspace_layout l = { .size = sizeof(l) };
	uint64_t *const field[] = { NULL, &l.start_code, &l.end_code, &l.start_data, &l.end_data,
				    &l.start_stack, &l.start_brk, &l.brk, &l.arg_start, &l.arg_end,
				    &l.env_start, &l.env_end };
	struct aspace_area area = { .size = sizeof(area) };
	uint64_t what = args->a[1], addr = args->a[2];
	bool must_be_mapped = what == PR_SET_MM_START_STACK || what >= PR_SET_MM_ARG_START;
	uint32_t map_bytes = PRCTL_MM_MAP_BYTES;

	if (args->a[4] || (args->a[3] && what < PR_SET_MM_AUXV))
		return -EINVAL;
	if (what == PR_SET_MM_MAP_SIZE)
		return copy_to_user(task, addr, &map_bytes, sizeof(map_bytes)) ? -EFAULT : 0;
	if (!has_cap_sys_resource())
		return -EPERM;
	aspace_mm_layout(task->mm, &l);
	if (addr < MMAP_MIN_ADDR || addr >= l.task_size || !what || what >= sizeof(field) / sizeof(field[0]))
		return -EINVAL;
	*field[what] = addr;
	if (!layout_is_valid(task, &l))
		return -EINVAL;
	if (must_be_mapped && aspace_find_area(task->mm, addr, &area))
		return -EFAULT;
	return aspace_mm_set_layout(task->mm, &l);
}
