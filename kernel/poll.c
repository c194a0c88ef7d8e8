/* SPDX-License-Identifier: MIT */
/*
 * poll and select: the host's poll(2) on host descriptors, with no timeout; waiting is the scheduler's.
 *
 * Between two tries state holds: [1] an epoll of many descriptors, plus 1; [2] that the signal mask is
 * in force; [3] the deadline.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

#define NO_DEADLINE UINT64_MAX
#define NSEC 1000000000ull

struct polling {		/* one call */
	struct task_struct *task;
	struct pollfd *guest, *host;	/* parallel; host fd -1: not asked */
	unsigned n;
	bool forever, at_once;
	uint64_t timeout_ns;
};

/* The mask holds from the first try to the end of the call. user 0: the task's own stays. */
int poll_set_mask(struct task_struct *task, uint64_t user, uint64_t size)
{
	int err;

	if (!user || task->wait.state[2])
		return 0;
	err = set_user_sigmask(task, user, size);
	if (!err)
		task->wait.state[2] = 1;
	return err;
}

/* ---- one round */

/* Our timer's signal makes even a poll(2) that doesn't wait say EINTR where nothing is ready. */
int poll_now(struct pollfd *fds, unsigned n)
{
	int r;

	do
		r = poll(fds, n, 0);
	while (r < 0 && errno == EINTR);
	return r;
}

static int ask_host(struct polling *c)
{
	int bad = 0, r;

	for (unsigned i = 0; i < c->n; i++) {
		struct kfile *f = c->guest[i].fd < 0 ? NULL : fcheck(c->task, c->guest[i].fd);

		c->guest[i].revents = 0;
		c->host[i] = (struct pollfd){ .fd = f ? f->host_fd : -1, .events = c->guest[i].events };
		if (!f && c->guest[i].fd >= 0) {
			c->guest[i].revents = POLLNVAL;
			bad++;
		}
	}
	r = poll_now(c->host, c->n);
	for (unsigned i = 0; i < c->n && r > 0; i++)
		c->guest[i].revents |= c->host[i].revents;
	return r < 0 ? -errno : r + bad;
}

/* ---- waiting */

static void drop_epoll(struct task_struct *task)
{
	if (task->wait.state[1])
		close((int)task->wait.state[1] - 1);
	task->wait.state[1] = 0;
}

static int64_t poll_interrupted(struct task_struct *task)
{
	drop_epoll(task);
	return 0;
}

static int wait_for_many(struct polling *c)
{
	struct task_struct *task = c->task;
	int ep;

	if (!task->wait.state[1]) {
		ep = epoll_create1(EPOLL_CLOEXEC);
		if (ep < 0)
			return -errno;
		for (unsigned i = 0; i < c->n; i++) {
			struct epoll_event ev = { .events = (unsigned short)c->host[i].events };

			if (c->host[i].fd < 0)
				continue;
			/* One that is there twice: what either asks for. */
			if (epoll_ctl(ep, EPOLL_CTL_ADD, c->host[i].fd, &ev) < 0 && errno == EEXIST) {
				for (unsigned j = 0; j < i; j++)
					if (c->host[j].fd == c->host[i].fd)
						ev.events |= (unsigned short)c->host[j].events;
				epoll_ctl(ep, EPOLL_CTL_MOD, c->host[i].fd, &ev);
			}
		}
		task->wait.state[1] = ep + 1;
	}
	wait_for_fd(task, (int)task->wait.state[1] - 1, POLLIN);
	return 0;
}

static int64_t wait_for_some(struct polling *c)
{
	struct task_struct *task = c->task;
	unsigned live = 0;
	int err;

	for (unsigned i = 0; i < c->n; i++)
		live += c->host[i].fd >= 0;
	if (live <= MAX_WAIT_FDS) {
		for (unsigned i = 0; i < c->n; i++)
			if (c->host[i].fd >= 0)
				wait_for_fd(task, c->host[i].fd, c->host[i].events);
	} else {
		err = wait_for_many(c);
		if (err)
			return err;
	}
	if (task->wait.state[3] != NO_DEADLINE)
		wait_until(task, task->wait.state[3]);
	task->wait.on_signal = SIGNAL_INTERRUPTS;
	task->wait.interrupted = poll_interrupted;
	return -ERESTART_WAIT;
}

/* How many are ready, 0 after the time, or -ERESTART_WAIT. */
static int64_t do_poll(struct polling *c)
{
	struct task_struct *task = c->task;
	int64_t r;

	if (!task->wait.state[3])
		task->wait.state[3] = c->forever ? NO_DEADLINE : monotonic_ns() + c->timeout_ns;
	r = ask_host(c);
	if (!r && !c->at_once && monotonic_ns() < task->wait.state[3])
		r = wait_for_some(c);
	if (r != -ERESTART_WAIT)
		drop_epoll(task);
	return r;
}

static uint64_t time_left(struct task_struct *task)
{
	uint64_t now = monotonic_ns();

	return task->wait.state[3] > now ? task->wait.state[3] - now : 0;
}

/* ---- poll */

static int64_t poll_user(struct polling *c, uint64_t user, unsigned n)
{
	struct task_struct *task = c->task;
	int64_t r = -EFAULT;

	if (n > task->signal->rlim[RLIMIT_NOFILE].cur)
		return -EINVAL;
	c->n = n;
	c->guest = malloc((n + 1) * sizeof(*c->guest));
	c->host = malloc((n + 1) * sizeof(*c->host));
	if (!c->guest || !c->host)
		r = -ENOMEM;
	else if (!copy_from_user(task, c->guest, user, n * sizeof(*c->guest)))
		r = do_poll(c);
	if (r >= 0)
		for (unsigned i = 0; i < n; i++)
			if (copy_to_user(task, user + i * sizeof(struct pollfd) + offsetof(struct pollfd, revents),
					 &c->guest[i].revents, sizeof(short)))
				r = -EFAULT;
	free(c->guest);
	free(c->host);
	return r;
}

SYSCALL(poll)
{
	int ms = args->a[2];
	struct polling c = { .task = task, .forever = ms < 0, .at_once = ms == 0,
			     .timeout_ns = ms * 1000000ull };

	return poll_user(&c, args->a[0], args->a[1]);
}

/* user NULL: for ever. */
static int timeout_from_user(struct polling *c, uint64_t user, bool micro)
{
	int64_t t[2];

	c->forever = !user;
	if (!user)
		return 0;
	if (copy_from_user(c->task, t, user, sizeof(t)))
		return -EFAULT;
	if (t[0] < 0 || t[1] < 0 || (!micro && t[1] >= (int64_t)NSEC))
		return -EINVAL;
	c->at_once = !t[0] && !t[1];
	if (t[0] > INT64_MAX / 4 / (int64_t)NSEC)
		c->forever = true;
	else
		c->timeout_ns = t[0] * NSEC + (micro ? t[1] * 1000 : t[1]);
	return 0;
}

static void timeout_to_user(struct polling *c, uint64_t user, bool micro)
{
	uint64_t left = c->at_once ? 0 : time_left(c->task);
	int64_t t[2] = { left / NSEC, micro ? left % NSEC / 1000 : left % NSEC };

	if (user && !c->forever)
		(void)!copy_to_user(c->task, user, t, sizeof(t));	/* as Linux: no error for this */
}

SYSCALL(ppoll)
{
	struct polling c = { .task = task };
	int64_t r = timeout_from_user(&c, args->a[2], false);

	if (!r)
		r = poll_set_mask(task, args->a[3], args->a[4]);
	if (r)
		return r;
	r = poll_user(&c, args->a[0], args->a[1]);
	if (r != -ERESTART_WAIT)
		timeout_to_user(&c, args->a[2], false);
	return r;
}

/* ---- select */

#define SELECT_IN  (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECT_OUT (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define SELECT_EX  POLLPRI
static const short select_events[3] = { SELECT_IN, SELECT_OUT, SELECT_EX };

static bool test_bit(const unsigned char *set, unsigned i)
{
	return set[i / 8] & 1 << i % 8;
}

/* The sets as poll entries: one a descriptor. -EBADF as soon as one isn't open. */
static int64_t entries_of_sets(struct polling *c, unsigned char *set[3], unsigned n)
{
	for (unsigned fd = 0; fd < n; fd++) {
		short events = 0;

		for (int s = 0; s < 3; s++)
			if (test_bit(set[s], fd))
				events |= select_events[s];
		if (!events)
			continue;
		if (!fcheck(c->task, fd))
			return -EBADF;
		c->guest[c->n++] = (struct pollfd){ .fd = fd, .events = events };
	}
	return 0;
}

static int64_t sets_of_entries(struct polling *c, unsigned char *set[3])
{
	int64_t count = 0;

	for (unsigned i = 0; i < c->n; i++)
		for (int s = 0; s < 3; s++) {
			unsigned fd = c->guest[i].fd;

			if (!test_bit(set[s], fd))
				continue;
			if (c->guest[i].revents & select_events[s])
				count++;
			else
				set[s][fd / 8] &= ~(1 << fd % 8);
		}
	return count;
}

static int64_t select_sets(struct polling *c, unsigned char *set[3], unsigned n, const uint64_t user[3])
{
	size_t bytes = (n + 63) / 64 * 8;
	int64_t r;

	for (int s = 0; s < 3; s++)
		if (user[s] && copy_from_user(c->task, set[s], user[s], bytes))
			return -EFAULT;
	r = entries_of_sets(c, set, n);
	if (!r)
		r = do_poll(c);
	if (r < 0)
		return r;
	r = sets_of_entries(c, set);
	for (int s = 0; s < 3; s++)
		if (user[s] && copy_to_user(c->task, user[s], set[s], bytes))
			return -EFAULT;
	return r;
}

static int64_t do_select(struct polling *c, int64_t n, const uint64_t user[3])
{
	unsigned char *set[3];
	unsigned char *mem;
	size_t bytes;
	int64_t r = -ENOMEM;

	if (n < 0)
		return -EINVAL;
	if (n > (int64_t)((files_size(c->task->files) + 63) & ~63u))
		n = (files_size(c->task->files) + 63) & ~63u;	/* max_fds of the table, as Linux */
	bytes = (n + 63) / 64 * 8;
	mem = calloc(3, bytes + 1);
	c->guest = malloc((n + 1) * sizeof(*c->guest));
	c->host = malloc((n + 1) * sizeof(*c->host));
	for (int s = 0; s < 3; s++)
		set[s] = mem + s * bytes;
	if (mem && c->guest && c->host)
		r = select_sets(c, set, n, user);
	free(mem);
	free(c->guest);
	free(c->host);
	return r;
}

SYSCALL(select)
{
	struct polling c = { .task = task };
	uint64_t user[3] = { args->a[1], args->a[2], args->a[3] };
	int64_t r = timeout_from_user(&c, args->a[4], true);

	if (r)
		return r;
	r = do_select(&c, (int)args->a[0], user);
	if (r != -ERESTART_WAIT)
		timeout_to_user(&c, args->a[4], true);
	return r;
}

SYSCALL(pselect6)
{
	struct polling c = { .task = task };
	uint64_t user[3] = { args->a[1], args->a[2], args->a[3] }, mask[2] = { 0 };
	int64_t r = timeout_from_user(&c, args->a[4], false);

	if (!r && args->a[5] && copy_from_user(task, mask, args->a[5], sizeof(mask)))
		r = -EFAULT;
	if (!r)
		r = poll_set_mask(task, mask[0], mask[1]);
	if (r)
		return r;
	r = do_select(&c, (int)args->a[0], user);
	if (r != -ERESTART_WAIT)
		timeout_to_user(&c, args->a[4], false);
	return r;
}
