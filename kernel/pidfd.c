/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of processes and threads: pidfd_open(2), CLONE_PIDFD, and what is done through them.
 *
 * What poll and epoll see is the reading end of a host pipe: a byte comes when the task ends, and the writing
 * end goes when it was waited for (POLLIN, then POLLIN | POLLHUP).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kfile.h"
#include "pidfd.h"
#include "syscalls.h"
#include "syscalls_fs.h"
#include "task.h"

#define PIDFD_THREAD O_EXCL
enum pidfd_signal { TO_THREAD = 1, TO_PROCESS = 2, TO_GROUP = 4 };

struct pidfd {
	struct list_head link;
	int pid;	/* 0: waited for, another may have the number */
	bool thread;	/* of that thread, not of its process */
	int write_fd;
};
static struct list_head all_pidfds = { &all_pidfds, &all_pidfds };

/* ---- ends */

void pidfd_exited(struct task_struct *task, bool thread)
{
	struct pidfd *p;

	list_for_each_entry(p, &all_pidfds, link) {
		if (p->pid == task->pid && p->thread == thread && write(p->write_fd, "", 1) < 0)
			continue;	/* said before */
	}
}

void pidfd_released(struct task_struct *task)
{
	struct pidfd *p;

	list_for_each_entry(p, &all_pidfds, link) {
		if (p->pid != task->pid)
			continue;
		p->pid = 0;
		close(p->write_fd);
		p->write_fd = -1;
	}
}

static void pidfd_release(struct kfile *f)
{
	struct pidfd *p = f->priv;

	list_del(&p->link);
	if (p->write_fd >= 0)
		close(p->write_fd);
	free(p);
}

/* It can't be read: whatever isn't here is EINVAL. */
static const struct kfile_ops pidfd_ops = { .release = pidfd_release };

/* ---- making one */

static struct kfile *pidfd_file(struct task_struct *target, unsigned flags)
{
	struct pidfd *p = calloc(1, sizeof(*p));
	struct kfile *f;
	int ends[2];

	if (!p || pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
		free(p);
		return NULL;
	}
	f = kfile_from_host(target->kernel, ends[0], flags & O_NONBLOCK);
	if (!f) {
		close(ends[1]);
		free(p);
		return NULL;
	}
	p->pid = target->pid;
	p->thread = flags & PIDFD_THREAD;
	p->write_fd = ends[1];
	list_add_tail(&p->link, &all_pidfds);
	f->kind = KFILE_ANON;
	f->accmode = O_RDWR;
	f->ops = &pidfd_ops;
	f->priv = p;
	f->name = strdup("anon_inode:[pidfd]");
	if (target->state == TASK_ZOMBIE && (p->thread || !target->signal->nr_threads))
		pidfd_exited(target, p->thread);
	return f;
}

int pidfd_install(struct task_struct *task, struct task_struct *target, unsigned flags)
{
	struct kfile *f = pidfd_file(target, flags);

	return f ? fd_install(task, f, true, 0) : -ENFILE;
}

SYSCALL(pidfd_open)
{
	int pid = (int)args->a[0];
	unsigned flags = (unsigned)args->a[1];
	struct task_struct *target;

	if (flags & ~(unsigned)(O_NONBLOCK | PIDFD_THREAD) || pid <= 0)
		return -EINVAL;
	target = find_task(task->kernel, pid);
	if (!target)
		return -ESRCH;
	if (!(flags & PIDFD_THREAD) && target->tgid != target->pid)
		return -ENOENT;
	return pidfd_install(task, target, flags);
}

/* ---- using one */

static struct pidfd *pidfd_at(struct task_struct *task, int fd)
{
	struct kfile *f = fcheck(task, fd);

	return f && f->ops == &pidfd_ops ? f->priv : NULL;
}

int pidfd_pid(struct task_struct *task, int fd, bool *nonblock)
{
	struct pidfd *p = pidfd_at(task, fd);

	if (!p)
		return -EBADF;
	*nonblock = fcheck(task, fd)->nonblock;
	return p->pid;
}

/* Also a zombie. NULL and *err. */
static struct task_struct *pidfd_task(struct task_struct *task, int fd, int *err)
{
	struct pidfd *p = pidfd_at(task, fd);
	struct task_struct *target = p && p->pid ? find_task(task->kernel, p->pid) : NULL;

	*err = !p ? -EBADF : !target ? -ESRCH : 0;
	return target;
}

/* What was open before there were pidfds: the directory /proc/PID serves too, but for threads. */
static int signal_target(struct task_struct *task, int fd, struct task_struct **target, bool *thread)
{
	struct kfile *f = fcheck(task, fd);
	struct pidfd *p = pidfd_at(task, fd);
	int pid = p ? p->pid : f ? proc_dir_pid(f) : 0;

	if (!p && !pid)
		return -EBADF;
	*target = pid ? find_task(task->kernel, pid) : NULL;
	*thread = p && p->thread;
	return *target ? 0 : -ESRCH;
}

SYSCALL(pidfd_send_signal)
{
	int fd = (int)args->a[0], sig = (int)args->a[1], err;
	unsigned flags = (unsigned)args->a[3];
	struct task_struct *target = NULL;
	siginfo_t info;
	bool thread;

	if (flags & ~(unsigned)(TO_THREAD | TO_PROCESS | TO_GROUP) || flags & (flags - 1))
		return -EINVAL;
	err = signal_target(task, fd, &target, &thread);
	if (err == -EBADF)
		return err;
	if (args->a[2]) {
		if (copy_from_user(task, &info, args->a[2], sizeof(info)))
			return -EFAULT;
		if (info.si_signo != sig)
			return -EINVAL;
		if ((info.si_code >= 0 || info.si_code == SI_TKILL) && !(target && target->pid == task->tgid))
			return -EPERM;
	} else {
		user_siginfo(task, &info, SI_USER);
	}
	if (err)
		return err;
	if (!valid_signal(args->a[1]))
		return -EINVAL;
	if (flags == TO_GROUP)
		return kill_pgrp(task->kernel, target->signal->pgid, sig, &info);
	return send_signal(target, sig, &info, flags ? flags == TO_PROCESS : !thread);
}

SYSCALL(pidfd_getfd)
{
	struct task_struct *target;
	struct kfile *f;
	int err;

	if (args->a[2])
		return -EINVAL;
	target = pidfd_task(task, (int)args->a[0], &err);
	if (!target)
		return err;
	if (!target->files)
		return -ESRCH;
	f = files_lookup(target->files, (int)args->a[1]);
	return f ? fd_install(task, kfile_get(f), true, 0) : -EBADF;
}

SYSCALL(process_madvise)
{
	struct aspace_piece pieces[UIO_MAXIOV];
	uint64_t n = args->a[2];
	struct task_struct *target;
	int err;

	if (args->a[4] || n > UIO_MAXIOV)
		return -EINVAL;
	if (copy_from_user(task, pieces, args->a[1], n * sizeof(pieces[0])))
		return -EFAULT;
	target = pidfd_task(task, (int)args->a[0], &err);
	if (!target)
		return err;
	if (!target->mm)
		return -ESRCH;
	return aspace_process_madvise(target->mm, pieces, n, (int)args->a[3], target->mm != task->mm);
}
