// SPDX-License-Identifier: MIT
/*
 * Who runs next, what the others wait for, and what the time is.
 *
 *	           wake_up, timer, fd ready, signal
 *	  WAITING ---------------------------------> RUNNING on the run queue
 *	     ^                                           | schedule()
 *	     |  handler says -ERESTART_WAIT              v
 *	     +-------------------------------------- RUNNING, current
 *	                                                 |  slice over: to the queue's tail
 *
 * current is on no queue. Only when the run queue is empty does the host thread sleep, in one ppoll
 * over all that the waiting tasks wait for. Ready descriptors of waiting tasks are also looked for
 * now and then while others compute.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "task.h"

#define POLL_PERIOD_NS 500000	/* how long a ready descriptor may go unnoticed while others run */

uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* ---- timers -------------------------------------------------------------------------------- */

void ktimer_arm(struct kernel *k, struct ktimer *timer, uint64_t expires_ns)
{
	struct ktimer *other;
	struct list_head *before = &k->timers;

	ktimer_cancel(timer);
	timer->expires_ns = expires_ns;
	timer->armed = true;
	list_for_each_entry(other, &k->timers, link) {
		if (other->expires_ns > expires_ns) {
			before = &other->link;
			break;
		}
	}
	list_add_tail(&timer->link, before);
	if (expires_ns < k->next_tick_ns)
		host_tick_at(k, expires_ns);
}

void ktimer_cancel(struct ktimer *timer)
{
	if (!timer->armed)
		return;
	list_del(&timer->link);
	timer->armed = false;
}

void run_timers(struct kernel *k)
{
	uint64_t now;

	if (list_empty(&k->timers))
		return;
	now = monotonic_ns();
	while (!list_empty(&k->timers)) {
		struct ktimer *timer = list_first_entry(&k->timers, struct ktimer, link);

		if (timer->expires_ns > now)
			break;
		ktimer_cancel(timer);
		timer->fn(timer);
	}
}

static void wait_timed_out(struct ktimer *timer)
{
	struct task_struct *task = CONTAINER_OF(timer, struct task_struct, wait.timer);

	task->wait.timed_out = true;
	wake_up_task(task);
}

/* ---- waiting ------------------------------------------------------------------------------- */

void wait_queue_init(struct wait_queue *wq)
{
	INIT_LIST_HEAD(&wq->waiters);
}

void wait_for_queue(struct task_struct *task, struct wait_queue *wq)
{
	struct task_wait *wait = &task->wait;

	if (wait->queued)
		list_del(&wait->waiter.link);
	wait->waiter.task = task;
	list_add_tail(&wait->waiter.link, &wq->waiters);
	wait->queued = true;
	wait->woken = false;
}

void wait_for_fd(struct task_struct *task, int host_fd, short events)
{
	struct task_wait *wait = &task->wait;

	if (wait->nfds >= MAX_WAIT_FDS)
		abort();	/* our bug: poll.c puts more than that behind one descriptor */
	wait->fds[wait->nfds].fd = host_fd;
	wait->fds[wait->nfds].events = events;
	wait->fds[wait->nfds].revents = 0;
	wait->nfds++;
}

void wait_until(struct task_struct *task, uint64_t deadline_ns)
{
	task->wait.deadline_ns = deadline_ns;
	task->wait.timed_out = false;
}

void wait_cleanup(struct task_struct *task)
{
	struct task_wait *wait = &task->wait;

	if (wait->queued) {
		list_del(&wait->waiter.link);
		wait->queued = false;
	}
	ktimer_cancel(&wait->timer);
	if (wait->waiting && wait->nfds)
		list_del(&wait->fd_link);
	wait->waiting = false;
}

/* The handler said what it waits for. */
void wait_sleep(struct task_struct *task)
{
	struct kernel *k = task->kernel;
	struct task_wait *wait = &task->wait;

	if (wait->wake_pending) {
		wait_cleanup(task);
		return;
	}
	task->state = TASK_WAITING;
	task->nvcsw++;
	wait->waiting = true;
	if (wait->nfds)
		list_add_tail(&wait->fd_link, &k->fd_waiters);
	if (wait->deadline_ns != UINT64_MAX) {
		wait->timer.fn = wait_timed_out;
		ktimer_arm(k, &wait->timer, wait->deadline_ns);
	}
}

/* The call will not be tried again. Bytes it had moved, or 0. */
int64_t wait_abandon(struct task_struct *task)
{
	int64_t (*interrupted)(struct task_struct *task) = task->wait.interrupted;

	task->wait.interrupted = NULL;
	return interrupted ? interrupted(task) : 0;
}

void task_make_runnable(struct task_struct *task)
{
	struct kernel *k = task->kernel;

	task->state = TASK_RUNNING;
	if (task == k->current || task->on_run_queue)
		return;
	task->on_run_queue = true;
	list_add_tail(&task->run, &k->run_queue);
}

void wake_up_task(struct task_struct *task)
{
	if (task->state != TASK_WAITING) {
		task->wait.wake_pending = true;
		return;
	}
	wait_cleanup(task);
	task_make_runnable(task);
}

int wake_up(struct wait_queue *wq, int n)
{
	int woken = 0;

	while (woken < n && !list_empty(&wq->waiters)) {
		struct waiter *waiter = list_first_entry(&wq->waiters, struct waiter, link);
		struct task_struct *task = waiter->task;

		list_del(&waiter->link);
		task->wait.queued = false;
		task->wait.woken = true;
		wake_up_task(task);
		woken++;
	}
	return woken;
}

/* ---- descriptors --------------------------------------------------------------------------- */

static struct pollfd *poll_set;
static size_t poll_room;

static bool poll_reserve(size_t n)
{
	struct pollfd *bigger;

	if (n <= poll_room)
		return true;
	bigger = realloc(poll_set, 2 * n * sizeof(*bigger));
	if (!bigger)
		return false;
	poll_set = bigger;
	poll_room = 2 * n;
	return true;
}

static size_t poll_collect(struct kernel *k)
{
	struct task_wait *wait;
	size_t n = 1;

	poll_reserve(1);
	list_for_each_entry(wait, &k->fd_waiters, fd_link) {
		if (!poll_reserve(n + (size_t)wait->nfds))
			break;
		for (int i = 0; i < wait->nfds; i++) {
			poll_set[n].fd = wait->fds[i].fd;
			poll_set[n].events = wait->fds[i].events;
			poll_set[n++].revents = 0;
		}
	}
	return n;
}

static void poll_wake(struct kernel *k, size_t n)
{
	struct task_wait *wait, *next;
	size_t at = 1;

	list_for_each_entry_safe(wait, next, &k->fd_waiters, fd_link) {
		bool ready = false;

		if (at + (size_t)wait->nfds > n)
			break;
		for (int i = 0; i < wait->nfds; i++, at++) {
			wait->fds[i].revents = poll_set[at].revents;
			ready |= poll_set[at].revents != 0;
		}
		if (ready)
			wake_up_task(CONTAINER_OF(wait, struct task_struct, wait));
	}
}

/* timeout_ns: 0: only look; UINT64_MAX: until something happens. */
static void poll_fds(struct kernel *k, uint64_t timeout_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(timeout_ns / NSEC_PER_SEC),
			       .tv_nsec = (long)(timeout_ns % NSEC_PER_SEC) };
	size_t n = poll_collect(k);

	poll_set[0].fd = timeout_ns ? k->event_fd : -1;
	poll_set[0].events = POLLIN;
	poll_set[0].revents = 0;
	if (ppoll(poll_set, n, timeout_ns == UINT64_MAX ? NULL : &ts, host_idle_mask()) > 0)
		poll_wake(k, n);
	if (poll_set[0].revents) {
		uint64_t count;

		if (read(k->event_fd, &count, sizeof(count)) < 0)
			return;
	}
}

static void idle(struct kernel *k)
{
	uint64_t timeout = UINT64_MAX, now = monotonic_ns();

	if (!list_empty(&k->timers)) {
		struct ktimer *first = list_first_entry(&k->timers, struct ktimer, link);

		timeout = first->expires_ns > now ? first->expires_ns - now : 0;
	}
	poll_fds(k, timeout);
}

/* ---- choosing ------------------------------------------------------------------------------ */

void account_time(struct task_struct *task)
{
	uint64_t now = monotonic_ns();

	task->utime_ns += now - task->slice_start_ns;
	task->slice_start_ns = now;
}

/* Everything that may make tasks runnable without a task doing it. */
static void look_around(struct kernel *k, uint64_t now)
{
	if (host_signals_pending())
		host_signals_deliver(k);
	if (!list_empty(&k->timers) &&
	    list_first_entry(&k->timers, struct ktimer, link)->expires_ns <= now)
		run_timers(k);
	if (!list_empty(&k->fd_waiters) && now - k->last_poll_ns > POLL_PERIOD_NS &&
	    !list_empty(&k->run_queue)) {
		k->last_poll_ns = now;
		poll_fds(k, 0);
	}
}

struct task_struct *schedule(struct kernel *k)
{
	k->current = NULL;
	while (k->nr_tasks) {
		look_around(k, monotonic_ns());
		if (!list_empty(&k->run_queue)) {
			struct task_struct *task =
				list_first_entry(&k->run_queue, struct task_struct, run);

			list_del(&task->run);
			task->on_run_queue = false;
			return task;
		}
		idle(k);
	}
	return NULL;
}
