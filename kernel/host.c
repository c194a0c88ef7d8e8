// SPDX-License-Identifier: MIT
/*
 * Signals that arrive at this process belong to the program that it runs. Handlers note them, kick
 * the processor and wake an idle wait; host_signals_deliver() hands them on, outside of handlers.
 *
 * To whom: a signal sent to us by its sender's choice (kill) goes to the first process, and if it was
 * sent to our process group (witness.h), to the others that are still in it. One that the terminal sent
 * went to every process of the foreground group natively, and the host sees only us: it goes to the
 * guest's process group in the foreground, or to the first process's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host.h"
#include "task.h"
#include "witness.h"

#define TICK_SIGNAL SIGRTMAX

static const int forwarded[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM,
				 SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGURG, SIGXCPU,
				 SIGVTALRM, SIGPROF, SIGPWR };

static struct cpu *kicked;
static int wake_fd = -1;
static timer_t tick_timer;
static bool tick_made;
static volatile sig_atomic_t tick_seen;
static _Atomic uint64_t pending;
static _Atomic uint64_t group_pending;	/* what the others in our group get */
static siginfo_t infos[65];
static sigset_t idle_mask;
static bool maps_on_usr1;

static void on_tick(int sig)
{
	tick_seen = 1;
	cpu_kick(kicked);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	uint64_t one = 1;

	if (sig == WITNESS_SIGNAL) {
		atomic_fetch_or(&group_pending, SIGMASK(info->si_value.sival_int));
	} else {
		infos[sig] = *info;
		atomic_fetch_or(&pending, SIGMASK(sig));
	}
	cpu_kick(kicked);
	if (write(wake_fd, &one, sizeof(one)) < 0)
		errno = saved;	/* full: it wakes anyway */
	errno = saved;
}

static int catch_signals(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };

	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
		struct sigaction old;

		/* What was ignored when we were started stays ignored: the guest inherits that. */
		if (sigaction(forwarded[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		sigaction(forwarded[i], &action, NULL);
	}
	sigaction(WITNESS_SIGNAL, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	action = (struct sigaction){ .sa_handler = on_tick, .sa_flags = SA_RESTART };
	sigfillset(&action.sa_mask);
	return sigaction(TICK_SIGNAL, &action, NULL) ? -errno : 0;
}

static int start_ticking(struct kernel *k)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = TICK_SIGNAL };

	if (timer_create(CLOCK_MONOTONIC, &event, &tick_timer))
		return -errno;
	tick_made = true;
	host_tick_at(k, monotonic_ns() + k->options.preempt_us * 1000ull);
	return 0;
}

void host_release_std(int n)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	for (int fd = 0; fd < n; fd++)
		dup2(null, fd);
	if (null >= n)
		close(null);
}

void host_after_fork(struct kernel *k)
{
	host_release_std(3);
	tick_made = false;
	start_ticking(k);
}

void host_early_init(void)
{
	witness_start(forwarded, sizeof(forwarded) / sizeof(forwarded[0]));
}

int host_init(struct kernel *k)
{
	sigset_t mask;
	int error;

	kicked = k->cpu;
	maps_on_usr1 = k->options.maps_on_usr1;
	k->event_fd = wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -errno;
	error = catch_signals();
	if (error)
		return error;
	/* A mask that we inherited is the first program's, not ours: see kernel_start(). */
	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, &k->host_mask);
	sigemptyset(&idle_mask);
	sigaddset(&idle_mask, TICK_SIGNAL);
	return start_ticking(k);
}

void host_exit(void)
{
	witness_stop();
	if (tick_made)
		timer_delete(tick_timer);
	tick_made = false;
	signal(TICK_SIGNAL, SIG_IGN);
	if (wake_fd >= 0)
		close(wake_fd);
	wake_fd = -1;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NSEC_PER_SEC),
				  .tv_nsec = (long)(ns % NSEC_PER_SEC) };
}

void host_tick_at(struct kernel *k, uint64_t when_ns)
{
	struct itimerspec spec = {
		.it_value = to_timespec(when_ns ? when_ns : 1),
		.it_interval = to_timespec(k->options.preempt_us * 1000ull),
	};

	k->next_tick_ns = when_ns;
	if (tick_made)
		timer_settime(tick_timer, TIMER_ABSTIME, &spec, NULL);
}

bool host_tick_seen(struct kernel *k)
{
	if (!tick_seen)
		return false;
	tick_seen = 0;
	k->next_tick_ns = monotonic_ns() + k->options.preempt_us * 1000ull;
	if (!list_empty(&k->timers)) {
		struct ktimer *first = list_first_entry(&k->timers, struct ktimer, link);

		if (first->expires_ns < k->next_tick_ns)
			host_tick_at(k, first->expires_ns);
	}
	return true;
}

bool host_signals_pending(void)
{
	return atomic_load_explicit(&pending, memory_order_relaxed) ||
	       atomic_load_explicit(&group_pending, memory_order_relaxed);
}

static bool from_terminal(int sig, const siginfo_t *info)
{
	return info->si_code == SI_KERNEL;
}

static void deliver(struct kernel *k, int sig, const siginfo_t *info)
{
	struct task_struct *init = k->init;
	int pgrp = 0;

	if (sig == SIGUSR1 && maps_on_usr1) {
		k->maps_requested = true;
		return;
	}
	if (from_terminal(sig, info)) {
		pgrp = tty_foreground_pgrp ? tty_foreground_pgrp(k) : 0;
		if (!pgrp && init)
			pgrp = init->signal->pgid;
		if (pgrp && kill_pgrp(k, pgrp, sig, info) == 0)
			return;
	}
	if (init && init->state != TASK_ZOMBIE) {
		send_signal(init, sig, info, true);
		return;
	}
	/* Only orphans are left. */
	struct task_struct *task;

	list_for_each_entry(task, &k->tasks, tasks) {
		if (is_leader(task) && task->state != TASK_ZOMBIE)
			send_signal(task, sig, info, true);
	}
}

/* The first process got its own. */
static void deliver_to_group(struct kernel *k, int sig)
{
	struct task_struct *task;
	int pgrp = getpgrp();

	list_for_each_entry(task, &k->tasks, tasks) {
		if (is_leader(task) && task != k->init && task->signal->pgid == pgrp)
			send_signal(task, sig, &infos[sig], true);
	}
}

void host_signals_deliver(struct kernel *k)
{
	uint64_t set = atomic_exchange(&pending, 0), group = atomic_exchange(&group_pending, 0);

	for (; group; group &= group - 1)
		deliver_to_group(k, __builtin_ctzll(group) + 1);

	while (set) {
		int sig = __builtin_ctzll(set) + 1;

		set &= set - 1;
		deliver(k, sig, &infos[sig]);
	}
	if (k->maps_requested) {
		k->maps_requested = false;
		print_maps(k, k->options.log);
	}
}

const sigset_t *host_idle_mask(void)
{
	return &idle_mask;
}

void host_stop(int sig)
{
	kill(getpid(), SIGSTOP);
}

void host_die(int sig)
{
	sigset_t mask;

	signal(sig, SIG_DFL);
	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	raise(sig);
	_exit(128 + sig);	/* not reached but for signals whose default is not to end */
}
