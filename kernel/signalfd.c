/* SPDX-License-Identifier: MIT */
/*
 * signalfd: pending signals read from a descriptor.
 *
 * Reading takes signals from the reader's own pending ones, whoever made the descriptor. What poll and
 * epoll see is a host eventfd: it is written when a signal of the mask becomes pending anywhere, and
 * emptied when a reader finds no more. So it may be readable in vain (the signal was another's, or was
 * handled in between): a read then says EAGAIN or waits.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"
#include "task.h"

#define NEVER_IN_MASK (SIGMASK(SIGKILL) | SIGMASK(SIGSTOP))

struct signalfd {
	struct list_head link;
	uint64_t mask;
	int host_fd;
};
static struct list_head all_signalfds = { &all_signalfds, &all_signalfds };

static void set_readable(struct signalfd *sfd, bool readable)
{
	uint64_t n = 1;

	/* Neither can fail but by being so already. */
	if (readable ? write(sfd->host_fd, &n, sizeof(n)) : read(sfd->host_fd, &n, sizeof(n)))
		return;
}

void signalfd_notify(int sig)
{
	struct signalfd *sfd;

	list_for_each_entry(sfd, &all_signalfds, link) {
		if (sfd->mask & SIGMASK(sig))
			set_readable(sfd, true);
	}
}

static bool any_pending(struct task_struct *task, uint64_t mask)
{
	return ((task->pending.set | task->signal->shared_pending.set) & mask) != 0;
}

static void fill(struct signalfd_siginfo *out, const siginfo_t *info)
{
	memset(out, 0, sizeof(*out));
	out->ssi_signo = info->si_signo;
	out->ssi_errno = info->si_errno;
	out->ssi_code = info->si_code;
	if (info->si_code == SI_TIMER) {
		out->ssi_tid = info->si_timerid;
		out->ssi_overrun = info->si_overrun;
	} else if (info->si_code > 0 && info->si_code != SI_KERNEL && info->si_signo != SIGCHLD) {
		out->ssi_addr = (uint64_t)info->si_addr;
		return;
	} else {
		out->ssi_pid = info->si_pid;
		out->ssi_uid = info->si_uid;
	}
	if (info->si_signo == SIGCHLD && info->si_code > 0) {
		out->ssi_status = info->si_status;
		out->ssi_utime = info->si_utime;
		out->ssi_stime = info->si_stime;
	} else if (info->si_code < 0 && info->si_code != SI_TKILL) {
		out->ssi_ptr = (uint64_t)info->si_ptr;
		out->ssi_int = info->si_int;
	}
}

static int64_t signalfd_read(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	struct signalfd *sfd = f->priv;
	struct signalfd_siginfo *out = buf;
	size_t max = n / sizeof(*out), got = 0;
	siginfo_t info;

	if (pos != f->pos)	/* the same read(2) again, after what there was */
		return 0;
	if (!max)
		return -EINVAL;
	while (got < max && any_pending(task, sfd->mask) && dequeue_signal(task, sfd->mask, &info))
		fill(&out[got++], &info);
	recalc_notify(task);
	if (!any_pending(task, sfd->mask))
		set_readable(sfd, false);
	if (got)
		return got * sizeof(*out);
	return f->nonblock ? -EAGAIN : wait_for_io(task, sfd->host_fd, POLLIN, 0);
}

static void signalfd_release(struct kfile *f)
{
	struct signalfd *sfd = f->priv;

	list_del(&sfd->link);
	free(sfd);
}

static const struct kfile_ops signalfd_ops = { .read = signalfd_read, .release = signalfd_release };

static int64_t create(struct task_struct *task, uint64_t mask, int flags)
{
	struct signalfd *sfd = calloc(1, sizeof(*sfd));
	struct kfile *f;

	if (!sfd)
		return -ENOMEM;
	sfd->host_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f = sfd->host_fd < 0 ? NULL : kfile_from_host(task->kernel, sfd->host_fd, flags & SFD_NONBLOCK);
	if (!f) {
		free(sfd);
		return -ENFILE;
	}
	sfd->mask = mask;
	list_add_tail(&sfd->link, &all_signalfds);
	f->ops = &signalfd_ops;
	f->priv = sfd;
	set_readable(sfd, any_pending(task, mask));
	return fd_install(task, f, flags & SFD_CLOEXEC, 0);
}

static int64_t do_signalfd(struct task_struct *task, const struct sys_args *args, int flags)
{
	struct kfile *f;
	struct signalfd *sfd;
	uint64_t mask;

	if (args->a[2] != sizeof(mask))
		return -EINVAL;
	if (copy_from_user(task, &mask, args->a[1], sizeof(mask)))
		return -EFAULT;
	if (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK))
		return -EINVAL;
	mask &= ~NEVER_IN_MASK;
	if ((int)args->a[0] == -1)
		return create(task, mask, flags);
	f = fcheck(task, (int)args->a[0]);
	if (!f)
		return -EBADF;
	if (f->ops != &signalfd_ops)
		return -EINVAL;
	sfd = f->priv;
	sfd->mask = mask;
	set_readable(sfd, any_pending(task, mask));
	return (int)args->a[0];
}

SYSCALL(signalfd)
{
	return do_signalfd(task, args, 0);
}

SYSCALL(signalfd4)
{
	return do_signalfd(task, args, (int)args->a[3]);
}
