/* SPDX-License-Identifier: MIT */
/* epoll: a host epoll of host descriptors; the guest's data goes through it untouched. */
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

#define MAX_EVENTS (BOUNCE_SIZE / sizeof(struct epoll_event))
#define NO_DEADLINE UINT64_MAX

static int64_t do_create(struct task_struct *task, int flags)
{
	if (flags & ~EPOLL_CLOEXEC)
		return -EINVAL;
	return fd_install_host(task, epoll_create1(EPOLL_CLOEXEC), false, flags & EPOLL_CLOEXEC);
}

SYSCALL(epoll_create)
{
	return (int)args->a[0] <= 0 ? -EINVAL : do_create(task, 0);
}

SYSCALL(epoll_create1)
{
	return do_create(task, (int)args->a[0]);
}

SYSCALL(epoll_ctl)
{
	int op = args->a[1];
	struct kfile *ep = fcheck(task, (int)args->a[0]), *f = fcheck(task, (int)args->a[2]);
	struct epoll_event ev = { 0 };

	if (op != EPOLL_CTL_DEL && copy_from_user(task, &ev, args->a[3], sizeof(ev)))
		return -EFAULT;
	if (!ep || !f)
		return -EBADF;
	if (f->ops && f->kind != KFILE_ANON)
		return -EPERM;
	if (ep == f)
		return -EINVAL;
	return host_ret(epoll_ctl(ep->host_fd, op, f->host_fd, &ev));
}

static int64_t do_wait(struct task_struct *task, const struct sys_args *args, uint64_t timeout_ns)
{
	struct kfile *ep = fcheck(task, (int)args->a[0]);
	size_t max = (int)args->a[2] < (int)MAX_EVENTS ? args->a[2] : MAX_EVENTS;
	int n;

	if ((int)args->a[2] <= 0 || args->a[2] > INT_MAX / sizeof(struct epoll_event))
		return -EINVAL;
	if (!ep)
		return -EBADF;
	if (!task->wait.state[3])
		task->wait.state[3] = timeout_ns == NO_DEADLINE ? timeout_ns : monotonic_ns() + timeout_ns;
	n = epoll_wait(ep->host_fd, (struct epoll_event *)bounce, max, 0);
	if (n < 0)
		return -errno;
	if (n)
		return copy_to_user(task, args->a[1], bounce, n * sizeof(struct epoll_event)) ? -EFAULT : n;
	if (!timeout_ns || monotonic_ns() >= task->wait.state[3])
		return 0;
	wait_for_fd(task, ep->host_fd, POLLIN);
	if (task->wait.state[3] != NO_DEADLINE)
		wait_until(task, task->wait.state[3]);
	task->wait.on_signal = SIGNAL_INTERRUPTS;
	return -ERESTART_WAIT;
}

static uint64_t from_ms(int ms)
{
	return ms < 0 ? NO_DEADLINE : ms * 1000000ull;
}

SYSCALL(epoll_wait)
{
	return do_wait(task, args, from_ms((int)args->a[3]));
}

SYSCALL(epoll_pwait)
{
	int err = poll_set_mask(task, args->a[4], args->a[5]);

	return err ? err : do_wait(task, args, from_ms((int)args->a[3]));
}

SYSCALL(epoll_pwait2)
{
	uint64_t timeout_ns = NO_DEADLINE;
	struct timespec ts;
	int err;

	if (args->a[3]) {
		if (copy_from_user(task, &ts, args->a[3], sizeof(ts)))
			return -EFAULT;
		if (ts.tv_sec < 0 || (uint64_t)ts.tv_nsec >= 1000000000)
			return -EINVAL;
		if (ts.tv_sec < 1000000000)
			timeout_ns = ts.tv_sec * 1000000000ull + ts.tv_nsec;
	}
	err = poll_set_mask(task, args->a[4], args->a[5]);
	return err ? err : do_wait(task, args, timeout_ns);
}
