/* SPDX-License-Identifier: MIT */
/*
 * File descriptors: the table of a process, and the open file descriptions in it.
 *
 * Guest numbers are ours, lowest free first; host numbers never show. A description is released with
 * its last reference: slots, calls in progress (fget), messages in flight (SCM_RIGHTS).
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

struct fd_slot {
	struct kfile *file;
	bool cloexec;
};
struct files_struct {
	unsigned refs;
	unsigned size;		/* slots allocated */
	unsigned lowest;	/* no free slot below */
	struct fd_slot *slot;
};

struct list_head all_kfiles = { &all_kfiles, &all_kfiles };

/* ---- descriptions */

static enum kfile_kind kind_of(int fd, const struct stat *st)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
	case S_IFBLK:
		return KFILE_REG;
	case S_IFDIR:
		return KFILE_DIR;
	case S_IFIFO:
		return KFILE_PIPE;
	case S_IFSOCK:
		return KFILE_SOCKET;
	case S_IFCHR:
		return isatty(fd) ? KFILE_TTY : KFILE_CHR;
	}
	return KFILE_ANON;
}

struct kfile *kfile_from_host(struct kernel *k, int host_fd, bool nonblock)
{
	struct kfile *f = calloc(1, sizeof(*f));
	int flags = fcntl(host_fd, F_GETFL);
	struct stat st;

	if (!f || flags < 0 || fstat(host_fd, &st) < 0) {
		free(f);
		close(host_fd);
		return NULL;
	}
	f->refs = 1;
	f->host_fd = host_fd;
	f->accmode = flags & O_ACCMODE;
	f->path_only = flags & O_PATH;
	f->append = flags & O_APPEND;
	f->nonblock = nonblock;
	f->kind = kind_of(host_fd, &st);
	f->pty_master = f->kind == KFILE_TTY && ioctl(host_fd, TIOCGPTN, &(int){ 0 }) == 0;
	f->endless = f->kind == KFILE_CHR && major(st.st_rdev) == 1;
	f->host_seekable = f->kind == KFILE_REG || f->kind == KFILE_DIR;
	if (S_ISREG(st.st_mode) && !f->path_only) {
		f->inode = inode_get(k, host_fd, &st);
		if (!f->inode) {
			free(f);
			close(host_fd);
			return NULL;
		}
	}
	list_add_tail(&f->all, &all_kfiles);
	return f;
}

struct kfile *kfile_get(struct kfile *f)
{
	f->refs++;
	return f;
}

void kfile_put(struct kfile *f)
{
	if (--f->refs)
		return;
	list_del(&f->all);
	if (f->nr_epolls)
		epoll_forget(f);
	epoll_release(f);
	if (f->inode)
		locks_remove_posix(f, f);	/* F_OFD locks */
	if (f->ops && f->ops->release)
		f->ops->release(f);
	if (f->aspace)
		aspace_file_put(f->aspace);
	if (f->inode && f->inode->must_sync)
		inode_sync(f->inode);
	if (f->pty_master)
		tty_hang_up(f);
	if (f->host_fd >= 0)
		close(f->host_fd);
	locks_remove_flock(f);
	if (f->inode)
		inode_put(f->inode);
	free(f->name);
	free(f);
}

int kfile_host_fd(struct kfile *f)
{
	return f->host_fd;
}

/* ---- the table */

struct files_struct *files_new(void)
{
	struct files_struct *files = calloc(1, sizeof(*files));

	if (files)
		files->refs = 1;
	return files;
}

static int files_grow(struct files_struct *files, unsigned size)
{
	struct fd_slot *slot;

	if (size <= files->size)
		return 0;
	if (size < 2 * files->size)
		size = 2 * files->size;
	if (size < 64)
		size = 64;
	slot = realloc(files->slot, size * sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	memset(slot + files->size, 0, (size - files->size) * sizeof(*slot));
	files->slot = slot;
	files->size = size;
	return 0;
}

struct files_struct *files_copy(struct files_struct *old)
{
	struct files_struct *files = files_new();

	if (!files)
		return NULL;
	if (files_grow(files, old->size)) {
		free(files);
		return NULL;
	}
	files->lowest = old->lowest;
	for (unsigned i = 0; i < old->size; i++) {
		files->slot[i] = old->slot[i];
		if (files->slot[i].file)
			kfile_get(files->slot[i].file);
	}
	return files;
}

struct files_struct *files_get(struct files_struct *files)
{
	files->refs++;
	return files;
}

/* filp_close: record locks of this table on the file go with any of its descriptors. */
static void filp_close(struct files_struct *files, struct kfile *f)
{
	if (f->inode)
		locks_remove_posix(f, files);
	kfile_put(f);
}

void files_put(struct kernel *k, struct task_struct *task, struct files_struct *files)
{
	if (--files->refs)
		return;
	for (unsigned i = 0; i < files->size; i++)
		if (files->slot[i].file)
			filp_close(files, files->slot[i].file);
	free(files->slot);
	free(files);
}

/* Nothing is left to do: the locks went with the table, see filp_close. */
void exit_posix_locks(struct task_struct *task)
{
}

struct kfile *files_lookup(struct files_struct *files, int fd)
{
	return fd >= 0 && (unsigned)fd < files->size ? files->slot[fd].file : NULL;
}

int files_next(struct files_struct *files, int fd)
{
	for (unsigned i = fd; i < files->size; i++)
		if (files->slot[i].file)
			return i;
	return -1;
}

bool files_cloexec(struct files_struct *files, int fd)
{
	return files->slot[fd].cloexec;
}

unsigned files_size(struct files_struct *files)
{
	return files->size;
}

struct kfile *fcheck(struct task_struct *task, int fd)
{
	return files_lookup(task->files, fd);
}

struct kfile *fget(struct task_struct *task, int fd)
{
	struct kfile *f = fcheck(task, fd);

	return f ? kfile_get(f) : NULL;
}

static uint64_t fd_limit(struct task_struct *task)
{
	return task->signal->rlim[RLIMIT_NOFILE].cur;
}

int fd_install(struct task_struct *task, struct kfile *f, bool cloexec, int min)
{
	struct files_struct *files = task->files;
	unsigned fd = (unsigned)min > files->lowest ? (unsigned)min : files->lowest;

	while (fd < files->size && files->slot[fd].file)
		fd++;
	if (fd >= fd_limit(task) || files_grow(files, fd + 1)) {
		kfile_put(f);
		return -EMFILE;
	}
	files->slot[fd] = (struct fd_slot){ f, cloexec };
	if ((unsigned)min <= files->lowest)
		files->lowest = fd + 1;
	return fd;
}

int fd_install_host(struct task_struct *task, int host_fd, bool nonblock, bool cloexec)
{
	struct kfile *f;

	if (host_fd < 0)
		return -errno;
	f = kfile_from_host(task->kernel, host_fd, nonblock);
	return f ? fd_install(task, f, cloexec, 0) : -ENOMEM;
}

int fd_close(struct task_struct *task, int fd)
{
	struct files_struct *files = task->files;
	struct kfile *f = files_lookup(files, fd);

	if (!f)
		return -EBADF;
	files->slot[fd].file = NULL;
	if ((unsigned)fd < files->lowest)
		files->lowest = fd;
	filp_close(files, f);
	return 0;
}

void files_close_on_exec(struct task_struct *task)
{
	struct files_struct *files = task->files;

	for (unsigned i = 0; i < files->size; i++)
		if (files->slot[i].file && files->slot[i].cloexec)
			fd_close(task, i);
}

/* ---- the start */

/*
 * What was open when we were started is the first program's, as natively: not what we open. Numbers
 * above INHERITED_MAX stay outside.
 */
#define INHERITED_MAX 1024
static bool inherited[INHERITED_MAX];

static void note_inherited(void)
{
	for (int fd = 0; fd < INHERITED_MAX; fd++) {
		int flags = fcntl(fd, F_GETFD);

		inherited[fd] = flags >= 0 && !(flags & FD_CLOEXEC);
	}
}

unsigned files_early_init(void)
{
	struct rlimit rl;

	note_inherited();
	/* 0, 1 and 2 are taken in any case: the lowest free number is this one, as those below are. */
	for (int fd = 0; fd < 3; fd++)
		if (!inherited[fd] && open("/dev/null", O_RDWR) < 0)
			break;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	return umask(0);
}

/* Takes over what was open as fd. Only our own streams keep their numbers beside it. */
static int inherit(struct kernel *k, struct files_struct *files, int fd)
{
	int host = fcntl(fd, F_DUPFD_CLOEXEC, INHERITED_MAX), flags;
	struct kfile *f;

	if (host < 0)
		host = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (host < 0)
		return 0;
	flags = fcntl(host, F_GETFL);
	f = kfile_from_host(k, host, flags & O_NONBLOCK);
	if (!f || files_grow(files, fd + 1))
		return -ENOMEM;
	f->outside = true;
	files->slot[fd].file = f;
	if (fd > 2)
		close(fd);
	return 0;
}

int files_open_std(struct kernel *k, struct files_struct *files)
{
	for (int fd = 0; fd < INHERITED_MAX; fd++) {
		int err = inherited[fd] ? inherit(k, files, fd) : 0;

		if (err)
			return err;
	}
	while (files->lowest < files->size && files->slot[files->lowest].file)
		files->lowest++;
	return 0;
}

/* ---- system calls */

SYSCALL(close)
{
	return fd_close(task, (int)args->a[0]);
}

SYSCALL(close_range)
{
	unsigned first = args->a[0], last = args->a[1], flags = args->a[2];

	if (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) || first > last)
		return -EINVAL;
	if (flags & CLOSE_RANGE_UNSHARE && task->files->refs > 1) {
		struct files_struct *mine = files_copy(task->files);

		if (!mine)
			return -ENOMEM;
		files_put(task->kernel, task, task->files);
		task->files = mine;
	}
	for (unsigned i = first; i <= last && i < task->files->size; i++) {
		if (flags & CLOSE_RANGE_CLOEXEC)
			task->files->slot[i].cloexec = true;
		else if (task->files->slot[i].file)
			fd_close(task, i);
	}
	return 0;
}

SYSCALL(dup)
{
	struct kfile *f = fget(task, (int)args->a[0]);

	return f ? fd_install(task, f, false, 0) : -EBADF;
}

static int do_dup2(struct task_struct *task, struct kfile *f, int newfd, bool cloexec)
{
	struct files_struct *files = task->files;
	struct kfile *old;

	if (newfd < 0 || (unsigned)newfd >= fd_limit(task))
		return -EBADF;
	if (files_grow(files, newfd + 1))
		return -ENOMEM;
	old = files->slot[newfd].file;
	files->slot[newfd] = (struct fd_slot){ kfile_get(f), cloexec };
	if (old)
		filp_close(files, old);
	return newfd;
}

SYSCALL(dup2)
{
	int oldfd = args->a[0], newfd = args->a[1];
	struct kfile *f = fcheck(task, oldfd);

	if (!f)
		return -EBADF;
	return oldfd == newfd ? newfd : do_dup2(task, f, newfd, false);
}

SYSCALL(dup3)
{
	int oldfd = args->a[0], newfd = args->a[1], flags = args->a[2];
	struct kfile *f = fcheck(task, oldfd);

	if (flags & ~O_CLOEXEC || oldfd == newfd)
		return -EINVAL;
	return f ? do_dup2(task, f, newfd, flags & O_CLOEXEC) : -EBADF;
}

static int64_t get_flags(struct kfile *f)
{
	int flags = fcntl(f->host_fd, F_GETFL);

	if (flags < 0)
		return -errno;
	return (flags & ~(O_NONBLOCK | O_ACCMODE)) | (int)f->accmode | (f->nonblock ? O_NONBLOCK : 0);
}

/* The host's copy keeps O_NONBLOCK as we need it, and descriptions from outside keep all. */
static int64_t set_flags(struct kfile *f, unsigned flags)
{
	const unsigned settable = O_APPEND | O_DIRECT | O_NOATIME;

	if (!f->outside && !f->ops) {
		int now = fcntl(f->host_fd, F_GETFL);

		if (now >= 0 && ((now ^ flags) & settable) &&
		    fcntl(f->host_fd, F_SETFL, (now & ~settable) | (flags & settable)) < 0)
			return -errno;
		f->append = flags & O_APPEND;
	}
	f->nonblock = flags & O_NONBLOCK;
	return 0;
}

static int64_t dupfd(struct task_struct *task, struct kfile *f, uint64_t min, bool cloexec)
{
	if (min >= fd_limit(task))
		return -EINVAL;
	return fd_install(task, kfile_get(f), cloexec, min);
}

/* Those that a file opened with O_PATH has too. -ENOTTY: none of them. */
static int64_t fcntl_descriptor(struct task_struct *task, struct kfile *f, int fd, int cmd, uint64_t arg)
{
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return dupfd(task, f, (unsigned)arg, cmd == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return task->files->slot[fd].cloexec ? FD_CLOEXEC : 0;
	case F_SETFD:
		task->files->slot[fd].cloexec = arg & FD_CLOEXEC;
		return 0;
	case F_GETFL:
		return get_flags(f);
	case 1024 + 3: {	/* F_DUPFD_QUERY: the same description? */
		struct kfile *other = fcheck(task, (int)arg);

		return other ? other == f : -EBADF;
	}
	}
	return -ENOTTY;
}

static int64_t fcntl_owner(struct task_struct *task, struct kfile *f, int cmd, uint64_t arg)
{
	struct f_owner_ex ex;

	switch (cmd) {
	case F_SETOWN:
		f->owner_pid = (int)arg;
		return 0;
	case F_GETOWN:
		return f->owner_pid;
	case F_SETSIG:
		if ((int)arg < 0 || (int)arg > 64)
			return -EINVAL;
		f->owner_sig = (int)arg;
		return 0;
	case F_GETSIG:
		return f->owner_sig;
	case F_SETOWN_EX:
		if (copy_from_user(task, &ex, arg, sizeof(ex)))
			return -EFAULT;
		f->owner_pid = ex.type == F_OWNER_PGRP ? -ex.pid : ex.pid;
		return 0;
	case F_GETOWN_EX:
		ex.type = f->owner_pid < 0 ? F_OWNER_PGRP : F_OWNER_PID;
		ex.pid = abs(f->owner_pid);
		return copy_to_user(task, arg, &ex, sizeof(ex)) ? -EFAULT : 0;
	}
	return -EINVAL;
}

static int64_t fcntl_hint(struct task_struct *task, struct kfile *f, int cmd, uint64_t arg)
{
	bool set = cmd == F_SET_RW_HINT || cmd == F_SET_FILE_RW_HINT;
	uint64_t hint = 0;

	if (set && copy_from_user(task, &hint, arg, sizeof(hint)))
		return -EFAULT;
	if (fcntl(f->host_fd, cmd, &hint) < 0)
		return -errno;
	return !set && copy_to_user(task, arg, &hint, sizeof(hint)) ? -EFAULT : 0;
}

SYSCALL(fcntl)
{
	int fd = args->a[0], cmd = args->a[1];
	uint64_t arg = args->a[2];
	struct kfile *f = fcheck(task, fd);
	int64_t r;

	if (!f)
		return -EBADF;
	r = fcntl_descriptor(task, f, fd, cmd, arg);
	if (r != -ENOTTY)
		return r;
	if (f->path_only)
		return -EBADF;
	switch (cmd) {
	case F_SETFL:
		return set_flags(f, arg);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return posix_lock_fcntl(task, f, cmd, arg);
	case F_SETOWN:
	case F_GETOWN:
	case F_SETSIG:
	case F_GETSIG:
	case F_SETOWN_EX:
	case F_GETOWN_EX:
		return fcntl_owner(task, f, cmd, arg);
	case F_SETPIPE_SZ:
	case F_GETPIPE_SZ:
		return host_ret(fcntl(f->host_fd, cmd, (int)arg));
	case F_ADD_SEALS:
	case F_GET_SEALS:
		return memfd_fcntl(f, cmd, arg);
	case F_GET_RW_HINT:
	case F_SET_RW_HINT:
	case F_GET_FILE_RW_HINT:
	case F_SET_FILE_RW_HINT:
		return fcntl_hint(task, f, cmd, arg);
	case F_GETLEASE:
		return F_UNLCK;
	}
	return -EINVAL;
}
