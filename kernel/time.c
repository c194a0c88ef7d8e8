// SPDX-License-Identifier: MIT
/*
 * Clocks, sleeping, timers, and who used how much. Time itself is the host's; time on the processor
 * is counted by the scheduler, all of it as user time: what we do for a task can't be told apart.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <unistd.h>

#include "syscalls.h"
#include "task.h"

#define NSEC_PER_TICK 10000000ull	/* of times(2) and the CPU-time signals' siginfo */

/* ---- conversions ---------------------------------------------------------------------------------- */

static bool valid_timespec(const struct timespec *ts)
{
	return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < (long)NSEC_PER_SEC;
}

static uint64_t to_ns(const struct timespec *ts)
{
	if ((uint64_t)ts->tv_sec > INT64_MAX / NSEC_PER_SEC - 1)
		return INT64_MAX;
	return (uint64_t)ts->tv_sec * NSEC_PER_SEC + (uint64_t)ts->tv_nsec;
}

static struct timespec from_ns(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NSEC_PER_SEC),
				  .tv_nsec = (long)(ns % NSEC_PER_SEC) };
}

static struct timeval tv_from_ns(uint64_t ns)
{
	return (struct timeval){ .tv_sec = (time_t)(ns / NSEC_PER_SEC),
				 .tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000) };
}

int deadline_from_timespec(const struct timespec *relative, uint64_t *deadline_ns)
{
	if (!valid_timespec(relative))
		return -EINVAL;
	*deadline_ns = monotonic_ns() + to_ns(relative);
	return 0;
}

int deadline_from_absolute(clockid_t clock, const struct timespec *when, uint64_t *deadline_ns)
{
	struct timespec now;
	uint64_t at, then = to_ns(when);

	if (!valid_timespec(when))
		return -EINVAL;
	if (clock == CLOCK_MONOTONIC) {
		*deadline_ns = then;
		return 0;
	}
	if (clock_gettime(clock, &now))
		return -EINVAL;
	at = to_ns(&now);
	*deadline_ns = monotonic_ns() + (then > at ? then - at : 0);
	return 0;
}

/* ---- time on the processor -------------------------------------------------------------------------- */

uint64_t task_cputime(struct task_struct *task)
{
	if (task == task->kernel->current && task->cpu)
		account_time(task);
	return task->utime_ns;
}

uint64_t process_cputime(struct signal_struct *signal)
{
	struct task_struct *thread;
	uint64_t ns = signal->utime_ns;

	list_for_each_entry(thread, &signal->threads, thread_link)
		ns += task_cputime(thread);
	return ns;
}

/* ---- clocks ------------------------------------------------------------------------------------------ */

static bool host_clock(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
	case CLOCK_TAI:
		return true;
	}
	return false;
}

/* A clock of CPU time: the process's, the thread's, or one named by a number in a negative id. */
static int cpu_clock(struct task_struct *task, clockid_t clock, uint64_t *ns)
{
	struct task_struct *target = task;
	bool thread = clock == CLOCK_THREAD_CPUTIME_ID;

	if (clock < 0) {
		int pid = ~(clock >> 3);

		thread = clock & 4;
		if ((clock & 3) == 3)
			return -EINVAL;
		if (pid)
			target = find_task(task->kernel, pid);
		if (!target || (!thread && !is_leader(target) && pid))
			return -EINVAL;
	} else if (clock != CLOCK_PROCESS_CPUTIME_ID && clock != CLOCK_THREAD_CPUTIME_ID) {
		return -EINVAL;
	}
	*ns = thread ? task_cputime(target) : process_cputime(target->signal);
	return 0;
}

SYSCALL(clock_gettime)
{
	clockid_t clock = (clockid_t)args->a[0];
	struct timespec ts;
	uint64_t ns;

	if (host_clock(clock)) {
		clock_gettime(clock, &ts);
	} else {
		int error = cpu_clock(task, clock, &ns);

		if (error)
			return error;
		ts = from_ns(ns);
	}
	return copy_to_user(task, args->a[1], &ts, sizeof(ts)) ? -EFAULT : 0;
}

SYSCALL(clock_getres)
{
	clockid_t clock = (clockid_t)args->a[0];
	struct timespec ts = { .tv_nsec = 1 };
	uint64_t ns;

	if (host_clock(clock)) {
		clock_getres(clock, &ts);
	} else {
		int error = cpu_clock(task, clock, &ns);

		if (error)
			return error;
	}
	return args->a[1] && copy_to_user(task, args->a[1], &ts, sizeof(ts)) ? -EFAULT : 0;
}

SYSCALL(clock_settime)
{
	return host_clock((clockid_t)args->a[0]) ? -EPERM : -EINVAL;
}

SYSCALL(settimeofday)
{
	return -EPERM;
}

SYSCALL(gettimeofday)
{
	struct timeval tv;
	struct timezone tz = { 0 };

	gettimeofday(&tv, &tz);
	if (args->a[0] && copy_to_user(task, args->a[0], &tv, sizeof(tv)))
		return -EFAULT;
	return args->a[1] && copy_to_user(task, args->a[1], &tz, sizeof(tz)) ? -EFAULT : 0;
}

SYSCALL(time)
{
	time_t now = time(NULL);

	if (args->a[0] && copy_to_user(task, args->a[0], &now, sizeof(now)))
		return -EFAULT;
	return now;
}

static int64_t read_timex(struct task_struct *task, clockid_t clock, uint64_t user)
{
	struct timex tx;
	int state;

	if (copy_from_user(task, &tx, user, sizeof(tx)))
		return -EFAULT;
	if (tx.modes)
		return -EPERM;
	state = clock_adjtime(clock, &tx);
	if (state < 0)
		return -errno;
	return copy_to_user(task, user, &tx, sizeof(tx)) ? -EFAULT : state;
}

SYSCALL(adjtimex)
{
	return read_timex(task, CLOCK_REALTIME, args->a[0]);
}

SYSCALL(clock_adjtime)
{
	return read_timex(task, (clockid_t)args->a[0], args->a[1]);
}

/* ---- sleeping ------------------------------------------------------------------------------------------ */

/* Sleeps until state[1]. rem: where what is left goes if a signal ends it; 0: nowhere. */
static int64_t sleep_on(struct task_struct *task, uint64_t rem)
{
	struct task_wait *wait = &task->wait;
	uint64_t now = monotonic_ns();

	if (wait->timed_out || now >= wait->state[1])
		return 0;
	if (rem && signal_pending(task)) {
		struct timespec left = from_ns(wait->state[1] - now);

		if (copy_to_user(task, rem, &left, sizeof(left)))
			return -EFAULT;
	}
	wait->state[0] = 1;
	wait->on_signal = SIGNAL_INTERRUPTS;
	wait_until(task, wait->state[1]);
	return -ERESTART_WAIT;
}

SYSCALL(nanosleep)
{
	struct timespec ts;

	if (!task->wait.state[0]) {
		if (copy_from_user(task, &ts, args->a[0], sizeof(ts)))
			return -EFAULT;
		if (deadline_from_timespec(&ts, &task->wait.state[1]))
			return -EINVAL;
	}
	return sleep_on(task, args->a[1]);
}

SYSCALL(clock_nanosleep)
{
	clockid_t clock = (clockid_t)args->a[0];
	bool absolute = args->a[1] & TIMER_ABSTIME;
	struct timespec ts;
	uint64_t used;
	int error;

	if (task->wait.state[0])
		return sleep_on(task, absolute ? 0 : args->a[3]);
	if (clock == CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	if (!host_clock(clock))
		return cpu_clock(task, clock, &used) ? -EINVAL : -EOPNOTSUPP;
	if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
	    clock == CLOCK_MONOTONIC_COARSE)
		return -EOPNOTSUPP;
	if (copy_from_user(task, &ts, args->a[2], sizeof(ts)))
		return -EFAULT;
	error = absolute ? deadline_from_absolute(clock, &ts, &task->wait.state[1]) :
			   deadline_from_timespec(&ts, &task->wait.state[1]);
	return error ? error : sleep_on(task, absolute ? 0 : args->a[3]);
}

/* ---- interval timers -------------------------------------------------------------------------------------- */

static void itimer_real_expired(struct ktimer *timer)
{
	struct signal_struct *signal = CONTAINER_OF(timer, struct signal_struct, itimer_real);
	struct kernel *k = signal->leader->kernel;

	if (signal->itimer_real_interval) {
		uint64_t next = timer->expires_ns + signal->itimer_real_interval, now = monotonic_ns();

		ktimer_arm(k, timer, next > now ? next : now + 1);
	}
	send_signal(signal->leader, SIGALRM, NULL, true);
}

void check_cpu_timers(struct task_struct *task)
{
	static const int signals[] = { SIGVTALRM, SIGPROF };
	struct signal_struct *signal = task->signal;
	uint64_t limit = signal->rlim[RLIMIT_CPU].cur, now;

	if (!signal->itimer_cpu[0].expires_ns && !signal->itimer_cpu[1].expires_ns &&
	    limit == RLIM_INFINITY)
		return;
	now = process_cputime(signal);
	for (int i = 0; i < 2; i++) {
		struct cpu_itimer *timer = &signal->itimer_cpu[i];

		if (!timer->expires_ns || timer->expires_ns > now)
			continue;
		timer->expires_ns = timer->interval_ns ? now + timer->interval_ns : 0;
		send_signal(task, signals[i], NULL, true);
	}
	if (limit != RLIM_INFINITY && now / NSEC_PER_SEC >= limit) {
		bool hard = now / NSEC_PER_SEC >= signal->rlim[RLIMIT_CPU].max;

		send_signal(task, hard ? SIGKILL : SIGXCPU, NULL, true);
		signal->rlim[RLIMIT_CPU].cur = limit + 1;
	}
}

struct itimer_ns {
	uint64_t interval, value;
};

static struct itimer_ns get_itimer(struct signal_struct *signal, int which)
{
	struct itimer_ns t = { 0 };
	uint64_t now;

	if (which == ITIMER_REAL) {
		now = monotonic_ns();
		t.interval = signal->itimer_real_interval;
		if (signal->itimer_real.armed)
			t.value = signal->itimer_real.expires_ns > now ?
					  signal->itimer_real.expires_ns - now : 1000;
		return t;
	}
	now = process_cputime(signal);
	t.interval = signal->itimer_cpu[which - 1].interval_ns;
	if (signal->itimer_cpu[which - 1].expires_ns)
		t.value = signal->itimer_cpu[which - 1].expires_ns > now ?
				  signal->itimer_cpu[which - 1].expires_ns - now : 1000;
	return t;
}

static void set_itimer(struct task_struct *task, int which, struct itimer_ns t)
{
	struct signal_struct *signal = task->signal;

	if (which == ITIMER_REAL) {
		ktimer_cancel(&signal->itimer_real);
		signal->itimer_real.fn = itimer_real_expired;
		signal->itimer_real_interval = t.interval;
		if (t.value)
			ktimer_arm(task->kernel, &signal->itimer_real, monotonic_ns() + t.value);
		return;
	}
	signal->itimer_cpu[which - 1].interval_ns = t.interval;
	signal->itimer_cpu[which - 1].expires_ns = t.value ? process_cputime(signal) + t.value : 0;
}

static int put_itimer(struct task_struct *task, uint64_t user, struct itimer_ns t)
{
	struct itimerval value = { .it_interval = tv_from_ns(t.interval),
				   .it_value = tv_from_ns(t.value) };

	return copy_to_user(task, user, &value, sizeof(value)) ? -EFAULT : 0;
}

static bool valid_timeval(const struct timeval *tv)
{
	return tv->tv_sec >= 0 && tv->tv_usec >= 0 && tv->tv_usec < 1000000;
}

static uint64_t tv_to_ns(const struct timeval *tv)
{
	return to_ns(&(struct timespec){ .tv_sec = tv->tv_sec, .tv_nsec = tv->tv_usec * 1000 });
}

SYSCALL(setitimer)
{
	int which = (int)args->a[0];
	struct itimerval value = { 0 };
	struct itimer_ns old;

	if (args->a[1]) {
		if (copy_from_user(task, &value, args->a[1], sizeof(value)))
			return -EFAULT;
	}
	if (which < ITIMER_REAL || which > ITIMER_PROF || !valid_timeval(&value.it_value) ||
	    !valid_timeval(&value.it_interval))
		return -EINVAL;
	old = get_itimer(task->signal, which);
	set_itimer(task, which, (struct itimer_ns){ .interval = tv_to_ns(&value.it_interval),
						    .value = tv_to_ns(&value.it_value) });
	return args->a[2] ? put_itimer(task, args->a[2], old) : 0;
}

SYSCALL(getitimer)
{
	int which = (int)args->a[0];

	if (which < ITIMER_REAL || which > ITIMER_PROF)
		return -EINVAL;
	return put_itimer(task, args->a[1], get_itimer(task->signal, which));
}

SYSCALL(alarm)
{
	struct itimer_ns old = get_itimer(task->signal, ITIMER_REAL);
	uint64_t left = (old.value + NSEC_PER_SEC / 2) / NSEC_PER_SEC;

	set_itimer(task, ITIMER_REAL, (struct itimer_ns){ .value = (uint32_t)args->a[0] * NSEC_PER_SEC });
	return (int64_t)(old.value && !left ? 1 : left);
}

/* ---- POSIX timers ------------------------------------------------------------------------------------------ */

struct posix_timer {
	struct list_head link;	/* signal->posix_timers */
	struct ktimer timer;
	struct signal_struct *signal;
	int id;
	clockid_t clock;
	int notify, signo, tid;
	uint64_t value, interval;
	int overrun, last_overrun;
	bool queued;		/* its signal is pending */
};
struct sigevent_guest {
	uint64_t value;
	int signo, notify, tid, pad[11];
};
_Static_assert(sizeof(struct sigevent_guest) == 64, "the ABI's");

static struct posix_timer *find_timer(struct signal_struct *signal, int id)
{
	struct posix_timer *timer;

	list_for_each_entry(timer, &signal->posix_timers, link) {
		if (timer->id == id)
			return timer;
	}
	return NULL;
}

static void posix_timer_signal(struct posix_timer *timer)
{
	struct task_struct *target = timer->signal->leader;
	bool group = timer->notify != SIGEV_THREAD_ID;
	siginfo_t info;

	if (timer->queued) {
		timer->overrun++;
		return;
	}
	if (!group)
		target = find_task(target->kernel, timer->tid);
	if (!target || target->signal != timer->signal)
		return;
	memset(&info, 0, sizeof(info));
	info.si_code = SI_TIMER;
	info.si_timerid = timer->id;
	info.si_value.sival_ptr = (void *)timer->value;
	send_signal(target, timer->signo, &info, group);
	timer->queued = (group ? timer->signal->shared_pending.set : target->pending.set) &
			SIGMASK(timer->signo);
}

static void posix_timer_expired(struct ktimer *ktimer)
{
	struct posix_timer *timer = CONTAINER_OF(ktimer, struct posix_timer, timer);

	if (timer->interval) {
		uint64_t next = ktimer->expires_ns + timer->interval, now = monotonic_ns();

		if (next <= now) {
			uint64_t missed = (now - next) / timer->interval + 1;

			timer->overrun += (int)missed;
			next += missed * timer->interval;
		}
		ktimer_arm(timer->signal->leader->kernel, ktimer, next);
	}
	if (timer->notify != SIGEV_NONE)
		posix_timer_signal(timer);
}

void posix_timer_dequeued(struct signal_struct *signal, siginfo_t *info)
{
	struct posix_timer *timer = find_timer(signal, info->si_timerid);

	if (!timer)
		return;
	timer->queued = false;
	timer->last_overrun = info->si_overrun = timer->overrun;
	timer->overrun = 0;
}

static void timer_free(struct posix_timer *timer)
{
	ktimer_cancel(&timer->timer);
	list_del(&timer->link);
	free(timer);
}

void posix_timers_exec(struct signal_struct *signal)
{
	struct posix_timer *timer, *next;

	list_for_each_entry_safe(timer, next, &signal->posix_timers, link)
		timer_free(timer);
}

void exit_timers(struct signal_struct *signal)
{
	ktimer_cancel(&signal->itimer_real);
	posix_timers_exec(signal);
}

static int check_sigevent(struct task_struct *task, const struct sigevent_guest *event)
{
	if (event->notify == SIGEV_NONE)
		return 0;
	if (event->notify != SIGEV_SIGNAL && event->notify != SIGEV_THREAD &&
	    event->notify != SIGEV_THREAD_ID)
		return -EINVAL;
	if (event->signo < 1 || event->signo > 64)
		return -EINVAL;
	if (event->notify == SIGEV_THREAD_ID) {
		struct task_struct *target = find_task(task->kernel, event->tid);

		if (!target || target->signal != task->signal)
			return -EINVAL;
	}
	return 0;
}

SYSCALL(timer_create)
{
	clockid_t clock = (clockid_t)args->a[0];
	struct sigevent_guest event = { .signo = SIGALRM, .notify = SIGEV_SIGNAL };
	struct posix_timer *timer;
	int error;

	if (!host_clock(clock) || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
	    clock == CLOCK_MONOTONIC_COARSE)
		return clock < 0 ? -EINVAL : -EOPNOTSUPP;
	if (args->a[1]) {
		if (copy_from_user(task, &event, args->a[1], sizeof(event)))
			return -EFAULT;
		error = check_sigevent(task, &event);
		if (error)
			return error;
	}
	timer = calloc(1, sizeof(*timer));
	if (!timer)
		return -EAGAIN;
	timer->signal = task->signal;
	timer->id = task->signal->next_timer_id;
	timer->clock = clock;
	timer->notify = event.notify;
	timer->signo = event.signo;
	timer->tid = event.tid;
	timer->value = args->a[1] ? event.value : (uint64_t)timer->id;
	timer->timer.fn = posix_timer_expired;
	if (copy_to_user(task, args->a[2], &timer->id, sizeof(timer->id))) {
		free(timer);
		return -EFAULT;
	}
	task->signal->next_timer_id++;
	list_add_tail(&timer->link, &task->signal->posix_timers);
	return 0;
}

static int put_timer(struct task_struct *task, struct posix_timer *timer, uint64_t user)
{
	struct itimerspec spec = { .it_interval = from_ns(timer->interval) };
	uint64_t now = monotonic_ns();

	if (timer->timer.armed)
		spec.it_value = from_ns(timer->timer.expires_ns > now ?
						timer->timer.expires_ns - now : 1);
	return copy_to_user(task, user, &spec, sizeof(spec)) ? -EFAULT : 0;
}

SYSCALL(timer_settime)
{
	struct posix_timer *timer = find_timer(task->signal, (int)args->a[0]);
	struct itimerspec spec;
	uint64_t deadline;
	int error;

	if (!args->a[2])
		return -EINVAL;
	if (copy_from_user(task, &spec, args->a[2], sizeof(spec)))
		return -EFAULT;
	if (!valid_timespec(&spec.it_value) || !valid_timespec(&spec.it_interval) || !timer)
		return -EINVAL;
	error = args->a[3] ? put_timer(task, timer, args->a[3]) : 0;
	if (error)
		return error;
	ktimer_cancel(&timer->timer);
	timer->overrun = timer->last_overrun = 0;
	timer->interval = to_ns(&spec.it_interval);
	if (!to_ns(&spec.it_value))
		return 0;
	if ((int)args->a[1] & TIMER_ABSTIME)
		error = deadline_from_absolute(timer->clock, &spec.it_value, &deadline);
	else
		error = deadline_from_timespec(&spec.it_value, &deadline);
	if (!error)
		ktimer_arm(task->kernel, &timer->timer, deadline);
	return error;
}

SYSCALL(timer_gettime)
{
	struct posix_timer *timer = find_timer(task->signal, (int)args->a[0]);

	return timer ? put_timer(task, timer, args->a[1]) : -EINVAL;
}

SYSCALL(timer_getoverrun)
{
	struct posix_timer *timer = find_timer(task->signal, (int)args->a[0]);

	return timer ? timer->last_overrun : -EINVAL;
}

SYSCALL(timer_delete)
{
	struct posix_timer *timer = find_timer(task->signal, (int)args->a[0]);

	if (!timer)
		return -EINVAL;
	timer_free(timer);
	return 0;
}

/* ---- what was used -------------------------------------------------------------------------------------------- */

SYSCALL(times)
{
	struct signal_struct *signal = task->signal;
	struct tms tms = {
		.tms_utime = (clock_t)(process_cputime(signal) / NSEC_PER_TICK),
		.tms_cutime = (clock_t)(signal->cutime_ns / NSEC_PER_TICK),
	};

	if (args->a[0] && copy_to_user(task, args->a[0], &tms, sizeof(tms)))
		return -EFAULT;
	return times(&tms);
}

static void self_usage(struct task_struct *task, struct rusage *usage)
{
	struct signal_struct *signal = task->signal;
	struct aspace_mm_stats stats = { .size = sizeof(stats) };
	struct task_struct *thread;
	uint64_t rss;

	usage->ru_utime = tv_from_ns(process_cputime(signal));
	usage->ru_minflt = (long)signal->min_flt;
	usage->ru_majflt = (long)signal->maj_flt;
	usage->ru_nvcsw = (long)signal->nvcsw;
	usage->ru_nivcsw = (long)signal->nivcsw;
	list_for_each_entry(thread, &signal->threads, thread_link) {
		usage->ru_minflt += (long)thread->min_flt;
		usage->ru_majflt += (long)thread->maj_flt;
		usage->ru_nvcsw += (long)thread->nvcsw;
		usage->ru_nivcsw += (long)thread->nivcsw;
	}
	aspace_mm_stats(task->mm, &stats);
	rss = stats.hiwater_rss > signal->maxrss_pages ? stats.hiwater_rss : signal->maxrss_pages;
	usage->ru_maxrss = (long)rss * 4;
}

SYSCALL(getrusage)
{
	struct signal_struct *signal = task->signal;
	struct rusage usage;

	memset(&usage, 0, sizeof(usage));
	switch ((int)args->a[0]) {
	case RUSAGE_SELF:
		self_usage(task, &usage);
		break;
	case RUSAGE_CHILDREN:
		usage.ru_utime = tv_from_ns(signal->cutime_ns);
		usage.ru_minflt = (long)signal->cmin_flt;
		usage.ru_majflt = (long)signal->cmaj_flt;
		usage.ru_nvcsw = (long)signal->cnvcsw;
		usage.ru_nivcsw = (long)signal->cnivcsw;
		usage.ru_maxrss = (long)signal->cmaxrss_pages * 4;
		break;
	case RUSAGE_THREAD:
		self_usage(task, &usage);
		usage.ru_utime = tv_from_ns(task_cputime(task));
		usage.ru_minflt = (long)task->min_flt;
		usage.ru_majflt = (long)task->maj_flt;
		usage.ru_nvcsw = (long)task->nvcsw;
		usage.ru_nivcsw = (long)task->nivcsw;
		break;
	default:
		return -EINVAL;
	}
	return copy_to_user(task, args->a[1], &usage, sizeof(usage)) ? -EFAULT : 0;
}
