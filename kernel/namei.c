/* SPDX-License-Identifier: MIT */
/* Names: making, removing, linking and renaming them, and changing what they stand for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

#include "kfile.h"
#include "syscalls_fs.h"

/* ---- making */

static int64_t do_mkdir(struct task_struct *task, int dfd, uint64_t path, unsigned mode)
{
	struct pathname p;
	int err = user_path(task, dfd, path, 0, &p);

	return err ? err : host_ret(mkdirat(p.dirfd, p.name, mode & 07777 & ~task->fs->umask));
}

SYSCALL(mkdir)
{
	return do_mkdir(task, AT_FDCWD, args->a[0], args->a[1]);
}

SYSCALL(mkdirat)
{
	return do_mkdir(task, (int)args->a[0], args->a[1], args->a[2]);
}

static int64_t do_mknod(struct task_struct *task, int dfd, uint64_t path, unsigned mode, unsigned dev)
{
	struct pathname p;
	int err = user_path(task, dfd, path, 0, &p);

	/* The raw call: the kernel's encoding of dev is the guest's. */
	return err ? err : host_ret(syscall(SYS_mknodat, p.dirfd, p.name, mode & ~task->fs->umask, dev));
}

SYSCALL(mknod)
{
	return do_mknod(task, AT_FDCWD, args->a[0], args->a[1], args->a[2]);
}

SYSCALL(mknodat)
{
	return do_mknod(task, (int)args->a[0], args->a[1], args->a[2], args->a[3]);
}

static int64_t do_symlink(struct task_struct *task, uint64_t target, int dfd, uint64_t path)
{
	char to[PATH_MAX];
	struct pathname p;
	int64_t err = getname(task, target, to);

	if (err < 0)
		return err;
	err = user_path(task, dfd, path, 0, &p);
	return err ? err : host_ret(symlinkat(to, p.dirfd, p.name));
}

SYSCALL(symlink)
{
	return do_symlink(task, args->a[0], AT_FDCWD, args->a[1]);
}

SYSCALL(symlinkat)
{
	return do_symlink(task, args->a[0], (int)args->a[1], args->a[2]);
}

struct two_paths {
	int old_dfd, new_dfd;
	uint64_t old_path, new_path;
	unsigned flags;
};

static int64_t do_link(struct task_struct *task, const struct two_paths *t)
{
	struct pathname from, to;
	int err;

	if (t->flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err = user_path(task, t->old_dfd, t->old_path, t->flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0, &from);
	if (!err)
		err = user_path(task, t->new_dfd, t->new_path, 0, &to);
	return err ? err : host_ret(linkat(from.dirfd, from.name, to.dirfd, to.name, t->flags));
}

SYSCALL(link)
{
	struct two_paths t = { AT_FDCWD, AT_FDCWD, args->a[0], args->a[1], 0 };

	return do_link(task, &t);
}

SYSCALL(linkat)
{
	struct two_paths t = { args->a[0], args->a[2], args->a[1], args->a[3], args->a[4] };

	return do_link(task, &t);
}

/* ---- removing and renaming */

static int64_t do_unlink(struct task_struct *task, int dfd, uint64_t path, int flags)
{
	struct pathname p;
	struct stat st;
	int err = user_path(task, dfd, path, 0, &p);
	bool known;

	if (err)
		return err;
	known = !fstatat(p.dirfd, p.name, &st, AT_SYMLINK_NOFOLLOW);
	if (unlinkat(p.dirfd, p.name, flags) < 0)
		return -errno;
	if (known)
		inode_unlinked(&st);
	return 0;
}

SYSCALL(unlink)
{
	return do_unlink(task, AT_FDCWD, args->a[0], 0);
}

SYSCALL(unlinkat)
{
	if ((int)args->a[2] & ~AT_REMOVEDIR)
		return -EINVAL;
	return do_unlink(task, (int)args->a[0], args->a[1], (int)args->a[2]);
}

SYSCALL(rmdir)
{
	return do_unlink(task, AT_FDCWD, args->a[0], AT_REMOVEDIR);
}

static int64_t do_rename(struct task_struct *task, const struct two_paths *t)
{
	struct pathname from, to;
	struct stat st;
	bool known;
	int err = user_path(task, t->old_dfd, t->old_path, 0, &from);

	if (!err)
		err = user_path(task, t->new_dfd, t->new_path, 0, &to);
	if (err)
		return err;
	known = !fstatat(to.dirfd, to.name, &st, AT_SYMLINK_NOFOLLOW);
	if (syscall(SYS_renameat2, from.dirfd, from.name, to.dirfd, to.name, t->flags) < 0)
		return -errno;
	if (known)
		inode_unlinked(&st);
	return 0;
}

SYSCALL(rename)
{
	struct two_paths t = { AT_FDCWD, AT_FDCWD, args->a[0], args->a[1], 0 };

	return do_rename(task, &t);
}

SYSCALL(renameat)
{
	struct two_paths t = { args->a[0], args->a[2], args->a[1], args->a[3], 0 };

	return do_rename(task, &t);
}

SYSCALL(renameat2)
{
	struct two_paths t = { args->a[0], args->a[2], args->a[1], args->a[3], args->a[4] };

	return do_rename(task, &t);
}

/* ---- reading a link */

static int64_t do_readlink(struct task_struct *task, int dfd, uint64_t path, uint64_t buf, int size)
{
	char text[PATH_MAX];
	struct pathname p;
	int64_t n;

	if (size <= 0)
		return -EINVAL;
	n = user_path(task, dfd, path, LOOKUP_EMPTY, &p);
	if (n)
		return n;
	if (!p.name[0] && dfd == AT_FDCWD)
		return -ENOENT;
	n = proc_readlink(task, &p, text, sizeof(text));
	if (!n)
		n = host_ret(readlinkat(p.dirfd, p.name, text, sizeof(text)));
	if (n < 0)
		return n;
	if (n > size)
		n = size;
	return copy_to_user(task, buf, text, n) ? -EFAULT : n;
}

SYSCALL(readlink)
{
	return do_readlink(task, AT_FDCWD, args->a[0], args->a[1], (int)args->a[2]);
}

SYSCALL(readlinkat)
{
	return do_readlink(task, (int)args->a[0], args->a[1], args->a[2], (int)args->a[3]);
}

/* ---- modes and owners */

static int64_t do_chmod(struct task_struct *task, int dfd, uint64_t path, unsigned mode, int flags)
{
	struct pathname p;
	int err;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err = user_path(task, dfd, path, flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0, &p);
	if (err)
		return err;
	if (!flags)
		return host_ret(syscall(SYS_fchmodat, p.dirfd, p.name, mode));
	return host_ret(syscall(452 /* fchmodat2 */, p.dirfd, p.name, mode, flags));
}

SYSCALL(chmod)
{
	return do_chmod(task, AT_FDCWD, args->a[0], args->a[1], 0);
}

SYSCALL(fchmodat)
{
	return do_chmod(task, (int)args->a[0], args->a[1], args->a[2], 0);
}

SYSCALL(fchmodat2)
{
	return do_chmod(task, (int)args->a[0], args->a[1], args->a[2], (int)args->a[3]);
}

SYSCALL(fchmod)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	return f ? host_ret(fchmod(f->host_fd, args->a[1])) : -EBADF;
}

struct chown_request {
	int dfd;
	uint64_t path;
	unsigned uid, gid;
	int flags;
};

static int64_t do_chown(struct task_struct *task, const struct chown_request *r)
{
	struct pathname p;
	int err;

	if (r->flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err = user_path(task, r->dfd, r->path, r->flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0, &p);
	return err ? err : host_ret(fchownat(p.dirfd, p.name, r->uid, r->gid, r->flags));
}

SYSCALL(chown)
{
	struct chown_request r = { AT_FDCWD, args->a[0], args->a[1], args->a[2], 0 };

	return do_chown(task, &r);
}

SYSCALL(lchown)
{
	struct chown_request r = { AT_FDCWD, args->a[0], args->a[1], args->a[2], AT_SYMLINK_NOFOLLOW };

	return do_chown(task, &r);
}

SYSCALL(fchownat)
{
	struct chown_request r = { args->a[0], args->a[1], args->a[2], args->a[3], args->a[4] };

	return do_chown(task, &r);
}

SYSCALL(fchown)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	return f ? host_ret(fchown(f->host_fd, args->a[1], args->a[2])) : -EBADF;
}

/* ---- times */

/* ts NULL: now. path 0: dfd itself, as futimens(3) says it. */
static int64_t do_utimens(struct task_struct *task, int dfd, uint64_t path, const struct timespec *ts,
			  int flags)
{
	struct pathname p;
	struct kfile *f;
	int err;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (!path && dfd != AT_FDCWD) {
		f = fcheck(task, dfd);
		if (!f)
			return -EBADF;
		if (f->inode && f->inode->writable_files)
			inode_sync(f->inode);	/* or its write-back would set the time again */
		return host_ret(syscall(SYS_utimensat, f->host_fd, NULL, ts, 0));
	}
	err = user_path(task, dfd, path, flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0, &p);
	return err ? err : host_ret(syscall(SYS_utimensat, p.dirfd, p.name, ts, flags));
}

SYSCALL(utimensat)
{
	struct timespec ts[2];

	if (args->a[2] && copy_from_user(task, ts, args->a[2], sizeof(ts)))
		return -EFAULT;
	return do_utimens(task, (int)args->a[0], args->a[1], args->a[2] ? ts : NULL, (int)args->a[3]);
}

static int64_t do_utimes(struct task_struct *task, int dfd, uint64_t path, uint64_t times)
{
	struct timespec ts[2];
	struct timeval tv[2];

	if (!times)
		return do_utimens(task, dfd, path, NULL, 0);
	if (copy_from_user(task, tv, times, sizeof(tv)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return -EINVAL;
		ts[i] = (struct timespec){ tv[i].tv_sec, tv[i].tv_usec * 1000 };
	}
	return do_utimens(task, dfd, path, ts, 0);
}

SYSCALL(utimes)
{
	return do_utimes(task, AT_FDCWD, args->a[0], args->a[1]);
}

SYSCALL(futimesat)
{
	return do_utimes(task, (int)args->a[0], args->a[1], args->a[2]);
}

SYSCALL(utime)
{
	struct timespec ts[2] = { 0 };
	struct utimbuf ut;

	if (!args->a[1])
		return do_utimens(task, AT_FDCWD, args->a[0], NULL, 0);
	if (copy_from_user(task, &ut, args->a[1], sizeof(ut)))
		return -EFAULT;
	ts[0].tv_sec = ut.actime;
	ts[1].tv_sec = ut.modtime;
	return do_utimens(task, AT_FDCWD, args->a[0], ts, 0);
}

/* A guest's string as a path: its length. */
int64_t getname(struct task_struct *task, uint64_t user, char *buf)
{
	int64_t n = aspace_strncpy_from_user(task->mm, buf, user, 4096);

	if (n < 0)
		return n;
	return n == 4096 ? -ENAMETOOLONG : n ? n : -ENOENT;
}
