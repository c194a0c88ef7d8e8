/* SPDX-License-Identifier: MIT */
/*
 * Paths, opening, and what belongs to a task's view of the tree: its directory and its umask.
 *
 * A guest's path becomes (dirfd, name) for one of the host's *at calls: relative ones start at the
 * guest's own directory, those in /proc that are about guests are rewritten (procfs.c). The host's
 * umask is 0, so each call that makes something applies the guest's.
 */
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

/* ---- paths */

static int start_of_path(struct task_struct *task, int dfd, struct pathname *p)
{
	struct kfile *f;

	if (dfd == AT_FDCWD) {
		p->dirfd = task->fs->cwd_fd;
		return 0;
	}
	f = fcheck(task, dfd);
	if (!f)
		return -EBADF;
	p->dirfd = f->host_fd;
	p->file = f;
	return 0;
}

/* p->name is the guest's path. */
static int resolve(struct task_struct *task, int dfd, struct pathname *p)
{
	char rest[PATH_MAX];
	int err;

	p->file = NULL;
	p->proc_pid = p->proc_tid = 0;
	p->proc_node = NULL;
	p->proc_fd = -1;
	p->dirfd = AT_FDCWD;
	if (p->name[0] == '/')
		return proc_lookup(task, p);
	err = start_of_path(task, dfd, p);
	if (err || !p->name[0])
		return err;
	if (p->file && p->file->name && p->file->kind == KFILE_DIR) {
		memcpy(rest, p->name, strlen(p->name) + 1);
		if (snprintf(p->name, PATH_MAX, "%s/%s", p->file->name, rest) >= PATH_MAX)
			return -ENAMETOOLONG;
		p->dirfd = AT_FDCWD;
		p->file = NULL;
		return proc_lookup(task, p);
	}
	p->file = NULL;
	return 0;
}

int user_path(struct task_struct *task, int dfd, uint64_t user, unsigned flags, struct pathname *p)
{
	int64_t n;

	if (!user && flags & LOOKUP_EMPTY)
		n = -ENOENT;
	else
		n = getname(task, user, p->name);
	if (n == -ENOENT && flags & LOOKUP_EMPTY)
		p->name[0] = 0;
	else if (n < 0)
		return n;
	return resolve(task, dfd, p);
}

int kernel_path(struct task_struct *task, int dfd, const char *path, struct pathname *p)
{
	size_t n = strlen(path);

	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(p->name, path, n + 1);
	return resolve(task, dfd, p);
}

/* ---- FIFOs: open(2) waits for the other end */

static struct wait_queue fifo_wait;	/* all who wait in open; woken by each open of a FIFO */
static const uint64_t look_outside_ns = 10 * 1000 * 1000;	/* the other end may be no guest */

static void fifo_opened(void)
{
	if (!fifo_wait.waiters.next)
		wait_queue_init(&fifo_wait);
	wake_up(&fifo_wait, INT_MAX);
}

static int64_t fifo_wait_again(struct task_struct *task)
{
	if (!fifo_wait.waiters.next)
		wait_queue_init(&fifo_wait);
	wait_until(task, monotonic_ns() + look_outside_ns);
	wait_for_queue(task, &fifo_wait);
	return -ERESTART_WAIT;
}

/* A reader that waits has its end open already (state[0] - 1): that is what writers look for. */
static int64_t fifo_interrupted(struct task_struct *task)
{
	close((int)task->wait.state[0] - 1);
	return 0;
}

/* Has a writer opened it since? Without one a read says 0; after one is gone poll says so. */
static bool fifo_has_writer(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	if (poll_now(&p, 1) > 0)
		return true;
	return read(fd, &c, 1) < 0;
}

/* ---- open */

struct open_request {
	int dfd;
	uint64_t path;
	uint64_t flags, mode, resolve;
};

static int host_open(struct pathname *p, const struct open_request *r, unsigned umask)
{
	uint64_t flags = (r->flags & ~(uint64_t)O_ASYNC) | O_CLOEXEC;
	struct open_how how = { .resolve = r->resolve };

	if (!(flags & O_PATH))
		flags |= O_NONBLOCK | O_NOCTTY;
	if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
		how.mode = r->mode & 07777 & ~umask;
	if (!r->resolve)
		return openat(p->dirfd, p->name, (int)flags, (mode_t)how.mode);
	how.flags = flags;
	return syscall(SYS_openat2, p->dirfd, p->name, &how, sizeof(how));
}

static int64_t install_opened(struct task_struct *task, int host_fd, const struct open_request *r)
{
	bool nonblock = r->flags & O_NONBLOCK && !(r->flags & O_PATH);
	struct kfile *f = kfile_from_host(task->kernel, host_fd, nonblock);

	if (!f)
		return -ENOMEM;
	if (r->flags & O_TRUNC && f->inode)
		inode_truncated(f->inode, 0);
	if (f->kind == KFILE_PIPE)
		fifo_opened();
	if (f->kind == KFILE_TTY && !(r->flags & O_NOCTTY))
		tty_opened(task, f);
	return fd_install(task, f, r->flags & O_CLOEXEC, 0);
}

static bool is_fifo(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISFIFO(st.st_mode);
}

/* A blocking open of a FIFO's reading end. */
static int64_t open_fifo_reader(struct task_struct *task, int fd, const struct open_request *r)
{
	if (!fifo_has_writer(fd)) {
		if (!task->wait.state[0])
			fifo_opened();
		task->wait.state[0] = fd + 1;
		task->wait.interrupted = fifo_interrupted;
		return fifo_wait_again(task);
	}
	return install_opened(task, fd, r);
}

static int64_t do_open(struct task_struct *task, const struct open_request *r)
{
	unsigned accmode = r->flags & O_ACCMODE;
	bool blocking = !(r->flags & (O_NONBLOCK | O_PATH));
	struct pathname p;
	struct stat st;
	int64_t err;
	int fd;

	if (task->wait.state[0])
		return open_fifo_reader(task, (int)task->wait.state[0] - 1, r);
	err = user_path(task, r->dfd, r->path, 0, &p);
	if (err)
		return err;
	if (proc_is_virtual(&p)) {
		int proc_err = 0;
		struct kfile *f = proc_open(task, &p, (int)r->flags, &proc_err);

		return f ? fd_install(task, f, r->flags & O_CLOEXEC, 0) : proc_err;
	}
	fd = host_open(&p, r, task->fs->umask);
	if (fd < 0 && errno == ENXIO && blocking && accmode == O_WRONLY &&
	    !fstatat(p.dirfd, p.name, &st, 0) && S_ISFIFO(st.st_mode))
		return fifo_wait_again(task);
	if (fd < 0)
		return -errno;
	if (blocking && accmode == O_RDONLY && is_fifo(fd))
		return open_fifo_reader(task, fd, r);
	return install_opened(task, fd, r);
}

SYSCALL(open)
{
	struct open_request r = { AT_FDCWD, args->a[0], (unsigned)args->a[1], args->a[2], 0 };

	return do_open(task, &r);
}

SYSCALL(openat)
{
	struct open_request r = { (int)args->a[0], args->a[1], (unsigned)args->a[2], args->a[3], 0 };

	return do_open(task, &r);
}

SYSCALL(creat)
{
	struct open_request r = { AT_FDCWD, args->a[0], O_CREAT | O_WRONLY | O_TRUNC, args->a[1], 0 };

	return do_open(task, &r);
}

SYSCALL(openat2)
{
	const uint64_t known = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |
			       O_DSYNC | O_ASYNC | O_DIRECT | 0100000 | O_DIRECTORY | O_NOFOLLOW |
			       O_NOATIME | O_CLOEXEC | O_SYNC | O_PATH | O_TMPFILE;
	struct open_request r = { .dfd = (int)args->a[0], .path = args->a[1] };
	struct open_how how = { 0 };
	size_t n = args->a[3];

	if (n < sizeof(how))
		return -EINVAL;
	if (n > sizeof(how))
		return -E2BIG;
	if (copy_from_user(task, &how, args->a[2], sizeof(how)))
		return -EFAULT;
	if (how.flags & ~known || how.resolve > 0x3f ||
	    (how.mode && (how.mode & ~07777ull || !(how.flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))))))
		return -EINVAL;
	r.flags = how.flags;
	r.mode = how.mode;
	r.resolve = how.resolve;
	return do_open(task, &r);
}

/* What the ELF loader maps: a regular file with an execute bit, on a file system that allows it. */
static int check_exec(int fd)
{
	struct statfs sfs;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	if (faccessat(fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) < 0)
		return -errno;
	return !fstatfs(fd, &sfs) && sfs.f_flags & 8 /* ST_NOEXEC */ ? -EACCES : 0;
}

int kernel_open_exec(struct task_struct *task, int dirfd, const char *path, int flags,
		     struct kfile **file)
{
	int oflags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct pathname p;
	int err, fd;

	if (!path[0] && !(flags & AT_EMPTY_PATH))
		return -ENOENT;
	err = kernel_path(task, dirfd, path, &p);
	if (err)
		return err;
	if (proc_is_virtual(&p))
		return -EACCES;
	if (!p.name[0])
		snprintf(p.name, sizeof(p.name), "/proc/self/fd/%d", p.dirfd);
	else if (flags & AT_SYMLINK_NOFOLLOW)
		oflags |= O_NOFOLLOW;
	fd = openat(p.dirfd, p.name, oflags);
	if (fd < 0)
		return errno == ENXIO ? -EACCES : -errno;
	err = check_exec(fd);
	if (err) {
		close(fd);
		return err;
	}
	*file = kfile_from_host(task->kernel, fd, false);
	return *file ? 0 : -ENOMEM;
}

/* ---- length */

static int64_t truncate_file(struct kfile *f, int64_t bytes)
{
	int r = 0;

	if (f->inode && f->inode->shmem)
		r = aspace_mapping_truncate(f->inode->mapping, bytes);
	if (!r)
		r = host_ret(ftruncate(f->host_fd, bytes));
	if (!r && f->inode && !f->inode->shmem)
		inode_truncated(f->inode, bytes);
	return r;
}

SYSCALL(ftruncate)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	if (!f || f->path_only)
		return -EBADF;
	if ((int64_t)args->a[1] < 0 || f->ops)
		return -EINVAL;
	return truncate_file(f, args->a[1]);
}

SYSCALL(truncate)
{
	struct pathname p;
	struct kfile *f;
	int64_t err;
	int fd;

	if ((int64_t)args->a[1] < 0)
		return -EINVAL;
	err = user_path(task, AT_FDCWD, args->a[0], 0, &p);
	if (err)
		return err;
	fd = openat(p.dirfd, p.name, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENXIO ? -EINVAL : -errno;
	f = kfile_from_host(task->kernel, fd, false);
	if (!f)
		return -ENOMEM;
	err = truncate_file(f, args->a[1]);
	kfile_put(f);
	return err;
}

/* ---- may I */

static int64_t do_access(struct task_struct *task, int dfd, uint64_t path, int mode, int flags)
{
	struct pathname p;
	int err;

	if (mode & ~7 || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err = user_path(task, dfd, path, flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0, &p);
	return err ? err : host_ret(syscall(SYS_faccessat2, p.dirfd, p.name, mode, flags));
}

SYSCALL(access)
{
	return do_access(task, AT_FDCWD, args->a[0], (int)args->a[1], 0);
}

SYSCALL(faccessat)
{
	return do_access(task, (int)args->a[0], args->a[1], (int)args->a[2], 0);
}

SYSCALL(faccessat2)
{
	return do_access(task, (int)args->a[0], args->a[1], (int)args->a[2], (int)args->a[3]);
}

/* ---- where I am */

static int64_t set_cwd(struct task_struct *task, int fd)
{
	if (fd < 0)
		return -errno;
	if (faccessat(fd, ".", X_OK, AT_EACCESS) < 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	if (task->fs->cwd_fd >= 0)
		close(task->fs->cwd_fd);
	task->fs->cwd_fd = fd;
	return 0;
}

SYSCALL(chdir)
{
	struct pathname p;
	int err = user_path(task, AT_FDCWD, args->a[0], 0, &p);

	return err ? err : set_cwd(task, openat(p.dirfd, p.name, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

SYSCALL(fchdir)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	if (!f)
		return -EBADF;
	if (f->kind != KFILE_DIR)
		return -ENOTDIR;
	return set_cwd(task, openat(f->host_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

SYSCALL(getcwd)
{
	char link[40], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", task->fs->cwd_fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0 || fstat(task->fs->cwd_fd, &st) < 0)
		return -errno;
	if (!st.st_nlink)
		return -ENOENT;
	path[n++] = 0;
	if ((uint64_t)n > args->a[1])
		return -ERANGE;
	return copy_to_user(task, args->a[0], path, n) ? -EFAULT : n;
}

SYSCALL(umask)
{
	unsigned old = task->fs->umask;

	task->fs->umask = args->a[0] & 0777;
	return old;
}

/* ---- the file system */

SYSCALL(statfs)
{
	struct pathname p;
	struct statfs sfs;
	int err = user_path(task, AT_FDCWD, args->a[0], 0, &p), fd;

	if (err)
		return err;
	fd = openat(p.dirfd, p.name, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = host_ret(fstatfs(fd, &sfs));
	close(fd);
	if (err)
		return err;
	return copy_to_user(task, args->a[1], &sfs, sizeof(sfs)) ? -EFAULT : 0;
}

SYSCALL(fstatfs)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	struct statfs sfs;

	if (!f)
		return -EBADF;
	if (fstatfs(f->host_fd, &sfs) < 0)
		return -errno;
	return copy_to_user(task, args->a[1], &sfs, sizeof(sfs)) ? -EFAULT : 0;
}
