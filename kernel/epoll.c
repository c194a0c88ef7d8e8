/* SPDX-License-Identifier: MIT */
/*
 * epoll: a host epoll of host descriptors; the guest's data goes through it untouched.
 *
 * What is watched is a pair of descriptor and description. Guest descriptors that share a description
 * share a host descriptor, too: the second one is watched by a duplicate of it.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

#define MAX_EVENTS (BOUNCE_SIZE / sizeof(struct epoll_event))
#define NO_DEADLINE UINT64_MAX

struct epoll_item {
	struct epoll_item *next;
	struct kfile *file;	/* no reference, see epoll_forget */
	int fd;			/* the guest's number */
	int host_fd;		/* file->host_fd or a duplicate */
};

static void item_free(struct epoll_item *item)
{
	if (item->host_fd != item->file->host_fd)
		close(item->host_fd);
	item->file->nr_epolls--;
	free(item);
}

void epoll_release(struct kfile *ep)
{
	while (ep->epoll_items) {
		struct epoll_item *item = ep->epoll_items;

		ep->epoll_items = item->next;
		item_free(item);
	}
}

static struct epoll_item **find_item(struct kfile *ep, struct kfile *f, int fd)
{
	struct epoll_item **p = &ep->epoll_items;

	while (*p && ((*p)->file != f || (*p)->fd != fd))
		p = &(*p)->next;
	return p;
}

static bool watches(struct kfile *ep, struct kfile *f)
{
	struct epoll_item *item = ep->epoll_items;

	while (item && item->file != f)
		item = item->next;
	return item;
}

void epoll_forget(struct kfile *f)
{
	struct kfile *ep;

	list_for_each_entry(ep, &all_kfiles, all) {
		struct epoll_item **p = &ep->epoll_items;

		while (*p) {
			struct epoll_item *item = *p;

			if (item->file != f) {
				p = &item->next;
				continue;
			}
			*p = item->next;
			item_free(item);
		}
	}
}

static int64_t add_item(struct kfile *ep, struct kfile *f, int fd, struct epoll_event *ev)
{
	struct epoll_item *item = malloc(sizeof(*item));
	int r;

	if (!item)
		return -ENOMEM;
	*item = (struct epoll_item){ .next = ep->epoll_items, .file = f, .fd = fd, .host_fd = f->host_fd };
	if (watches(ep, f))
		item->host_fd = fcntl(f->host_fd, F_DUPFD_CLOEXEC, 3);
	f->nr_epolls++;
	r = item->host_fd < 0 ? -errno : host_ret(epoll_ctl(ep->host_fd, EPOLL_CTL_ADD, item->host_fd, ev));
	if (r)
		item_free(item);
	else
		ep->epoll_items = item;
	return r;
}

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
	int fd = args->a[2], r;
	struct kfile *ep = fcheck(task, (int)args->a[0]), *f = fcheck(task, fd);
	struct epoll_event ev = { 0 };
	struct epoll_item **p;

	if (op != EPOLL_CTL_DEL && copy_from_user(task, &ev, args->a[3], sizeof(ev)))
		return -EFAULT;
	if (!ep || !f)
		return -EBADF;
	if (f->ops && f->kind != KFILE_ANON)
		return -EPERM;
	if (ep == f)
		return -EINVAL;
	p = find_item(ep, f, fd);
	if (op == EPOLL_CTL_ADD)
		return *p ? -EEXIST : add_item(ep, f, fd, &ev);
	if (!*p)		/* the host says what is wrong: no epoll, no such command, not watched */
		return watches(ep, f) ? -ENOENT : host_ret(epoll_ctl(ep->host_fd, op, f->host_fd, &ev));
	r = host_ret(epoll_ctl(ep->host_fd, op, (*p)->host_fd, &ev));
	if (!r && op == EPOLL_CTL_DEL) {
		struct epoll_item *item = *p;

		*p = item->next;
		item_free(item);
	}
	return r;
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
