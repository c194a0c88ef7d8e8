/* SPDX-License-Identifier: MIT */
/* What a file is. The host's answer is the guest's: both are x86-64 Linux. */
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

static int64_t stat_to_user(struct task_struct *task, uint64_t user, const struct stat *st)
{
	return copy_to_user(task, user, st, sizeof(*st)) ? -EFAULT : 0;
}

/* Memory of memfds is ours; the host's file behind them is only as long. */
static uint64_t shmem_blocks(ino_t ino, dev_t dev, uint64_t host_blocks)
{
	struct inode *inode = inode_find(dev, ino);

	return inode && inode->shmem ? aspace_mapping_pages(inode->mapping) * 8 : host_blocks;
}

static int64_t do_stat(struct task_struct *task, int dfd, uint64_t path, uint64_t user, int flags)
{
	struct pathname p;
	struct stat st;
	int err;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
		return -EINVAL;
	err = user_path(task, dfd, path, flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0, &p);
	if (err)
		return err;
	if (fstatat(p.dirfd, p.name, &st, flags) < 0)
		return -errno;
	st.st_blocks = shmem_blocks(st.st_ino, st.st_dev, st.st_blocks);
	return stat_to_user(task, user, &st);
}

SYSCALL(stat)
{
	return do_stat(task, AT_FDCWD, args->a[0], args->a[1], 0);
}

SYSCALL(lstat)
{
	return do_stat(task, AT_FDCWD, args->a[0], args->a[1], AT_SYMLINK_NOFOLLOW);
}

SYSCALL(newfstatat)
{
	return do_stat(task, (int)args->a[0], args->a[1], args->a[2], (int)args->a[3]);
}

SYSCALL(fstat)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	struct stat st;

	if (!f)
		return -EBADF;
	if (fstat(f->host_fd, &st) < 0)
		return -errno;
	if (f->inode && f->inode->shmem)
		st.st_blocks = shmem_blocks(st.st_ino, st.st_dev, st.st_blocks);
	return stat_to_user(task, args->a[1], &st);
}

SYSCALL(statx)
{
	int dfd = args->a[0], flags = args->a[2];
	struct pathname p;
	struct statx stx;
	int err;

	memset(&stx, 0, sizeof(stx));
	err = user_path(task, dfd, args->a[1], flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0, &p);
	if (err)
		return err;
	if (syscall(SYS_statx, p.dirfd, p.name, flags, (unsigned)args->a[3], &stx) < 0)
		return -errno;
	stx.stx_blocks = shmem_blocks(stx.stx_ino, makedev(stx.stx_dev_major, stx.stx_dev_minor),
				      stx.stx_blocks);
	return copy_to_user(task, args->a[4], &stx, sizeof(stx)) ? -EFAULT : 0;
}
