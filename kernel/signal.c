// SPDX-License-Identifier: MIT
/*
 * Signals: from who sends to what the receiver does.
 *
 *	send_signal -> pending (the task's or the process's) -> task->notify, task woken
 *	run_task    -> do_signals: dequeue -> default action, or a frame for the handler (signal_frame.c)
 *
 * Only the task itself takes signals off its lists and acts on them, between two runs of user mode;
 * the one exception is exit_group, which ends all other threads on the spot.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "signal_frame.h"
#include "syscalls.h"
#include "task.h"

#define STOP_SIGNALS (SIGMASK(SIGSTOP) | SIGMASK(SIGTSTP) | SIGMASK(SIGTTIN) | SIGMASK(SIGTTOU))
#define IGNORED_BY_DEFAULT (SIGMASK(SIGCHLD) | SIGMASK(SIGCONT) | SIGMASK(SIGWINCH) | SIGMASK(SIGURG))
#define UNBLOCKABLE (SIGMASK(SIGKILL) | SIGMASK(SIGSTOP))
#define SYNCHRONOUS (SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | \
		     SIGMASK(SIGFPE) | SIGMASK(SIGSYS))
#define SIG_DFL_GUEST 0
#define SIG_IGN_GUEST 1
#define SIGSET_SIZE 8
#define KNOWN_SA_FLAGS (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | \
			SA_RESETHAND | 0x800 /* EXPOSE_TAGBITS */ | 0x04000000 /* RESTORER */)

/* ---- pending lists -------------------------------------------------------------------------- */

void sigpending_init(struct sigpending *pending)
{
	pending->set = 0;
	INIT_LIST_HEAD(&pending->queue);
}

void flush_sigqueue(struct sigpending *pending, uint64_t mask)
{
	struct sigqueue *q, *next;

	if (!(pending->set & mask))
		return;
	pending->set &= ~mask;
	list_for_each_entry_safe(q, next, &pending->queue, link) {
		if (SIGMASK(q->info.si_signo) & mask) {
			list_del(&q->link);
			free(q);
		}
	}
}

static void flush_everywhere(struct signal_struct *signal, uint64_t mask)
{
	struct task_struct *thread;

	flush_sigqueue(&signal->shared_pending, mask);
	list_for_each_entry(thread, &signal->threads, thread_link)
		flush_sigqueue(&thread->pending, mask);
}

/* A signal of the classic ones is pending once; without memory the bit stands for its siginfo. */
static bool enqueue(struct sigpending *pending, int sig, const siginfo_t *info)
{
	struct sigqueue *q;

	if (sig < 32 && (pending->set & SIGMASK(sig)))
		return false;
	pending->set |= SIGMASK(sig);
	q = malloc(sizeof(*q));
	if (!q)
		return true;
	if (info) {
		q->info = *info;
	} else {
		memset(&q->info, 0, sizeof(q->info));
		q->info.si_code = SI_KERNEL;
	}
	q->info.si_signo = sig;
	list_add_tail(&q->link, &pending->queue);
	return true;
}

static void collect(struct sigpending *pending, int sig, siginfo_t *info)
{
	struct sigqueue *q, *next, *found = NULL;
	bool more = false;

	list_for_each_entry_safe(q, next, &pending->queue, link) {
		if (q->info.si_signo != sig)
			continue;
		if (found)
			more = true;
		else
			found = q;
	}
	if (!more)
		pending->set &= ~SIGMASK(sig);
	if (found) {
		*info = found->info;
		list_del(&found->link);
		free(found);
	} else {
		memset(info, 0, sizeof(*info));
		info->si_signo = sig;
	}
}

static int lowest(uint64_t set)
{
	if (set & SYNCHRONOUS)
		set &= SYNCHRONOUS;
	return __builtin_ctzll(set) + 1;
}

int dequeue_signal(struct task_struct *task, uint64_t set, siginfo_t *info)
{
	struct sigpending *from = &task->pending;
	int sig;

	if (!(from->set & set))
		from = &task->signal->shared_pending;
	if (!(from->set & set))
		return 0;
	sig = lowest(from->set & set);
	collect(from, sig, info);
	if (info->si_code == SI_TIMER)
		posix_timer_dequeued(task->signal, info);
	return sig;
}

bool signal_pending(struct task_struct *task)
{
	return ((task->pending.set | task->signal->shared_pending.set) & ~task->blocked) != 0;
}

void recalc_notify(struct task_struct *task)
{
	task->notify = signal_pending(task) || task->restore_blocked || task->signal->stopped;
}

/* ---- sending -------------------------------------------------------------------------------- */

static bool default_ignores(int sig)
{
	return SIGMASK(sig) & IGNORED_BY_DEFAULT;
}

static bool is_ignored(struct task_struct *task, int sig)
{
	uint64_t handler = task->sighand->action[sig].handler;

	if ((task->blocked | task->sigwait_set) & SIGMASK(sig))
		return false;
	return handler == SIG_IGN_GUEST || (handler == SIG_DFL_GUEST && default_ignores(sig));
}

static bool wants(struct task_struct *task, int sig)
{
	if (task->state == TASK_ZOMBIE || task->state == TASK_DEAD)
		return false;
	if (sig == SIGKILL)
		return true;
	return !(task->blocked & SIGMASK(sig)) || (task->sigwait_set & SIGMASK(sig));
}

static void signal_wake_up(struct task_struct *task, int sig)
{
	task->notify = true;
	if (task->state == TASK_STOPPED && sig == SIGKILL) {
		task->signal->stopped = false;
		task_make_runnable(task);
	}
	if (task->state == TASK_WAITING && (task->wait.on_signal != SIGNAL_KILLS || sig == SIGKILL))
		wake_up_task(task);
}

static void choose_thread(struct task_struct *task, int sig, bool group)
{
	struct task_struct *thread;

	if (wants(task, sig)) {
		signal_wake_up(task, sig);
		return;
	}
	if (!group)
		return;
	list_for_each_entry(thread, &task->signal->threads, thread_link) {
		if (wants(thread, sig)) {
			signal_wake_up(thread, sig);
			return;
		}
	}
}

void cont_process(struct signal_struct *signal)
{
	struct task_struct *thread;

	if (!signal->stopped)
		return;
	signal->stopped = false;
	signal->noted_stop = false;
	signal->noted_continue = true;
	list_for_each_entry(thread, &signal->threads, thread_link) {
		recalc_notify(thread);
		if (thread->state == TASK_STOPPED)
			task_make_runnable(thread);
	}
	notify_parent(signal->leader, CLD_CONTINUED, SIGCONT);
}

int send_signal(struct task_struct *task, int sig, const void *siginfo, bool group)
{
	struct signal_struct *signal = task->signal;

	if (sig == 0 || task->state == TASK_DEAD || (signal->leader->state == TASK_ZOMBIE &&
						      !signal->nr_threads))
		return 0;
	if (sig == SIGCONT) {
		flush_everywhere(signal, STOP_SIGNALS);
		cont_process(signal);
	} else if (SIGMASK(sig) & STOP_SIGNALS) {
		flush_everywhere(signal, SIGMASK(SIGCONT));
	}
	if (is_ignored(task, sig))
		return 0;
	task->kernel->nr_signals++;
	if (enqueue(group ? &signal->shared_pending : &task->pending, sig, siginfo)) {
		signalfd_notify(sig);
		choose_thread(task, sig, group);
	}
	return 0;
}

void force_signal(struct task_struct *task, int sig, int code, uint64_t addr)
{
	struct sigaction_guest *action = &task->sighand->action[sig];
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_code = code;
	info.si_addr = (void *)addr;
	if (action->handler == SIG_IGN_GUEST || (task->blocked & SIGMASK(sig))) {
		action->handler = SIG_DFL_GUEST;
		task->blocked &= ~SIGMASK(sig);
	}
	flush_sigqueue(&task->pending, SIGMASK(sig));
	task->kernel->nr_signals++;
	enqueue(&task->pending, sig, &info);
	task->notify = true;
}

int kill_pgrp(struct kernel *k, int pgid, int sig, const siginfo_t *info)
{
	struct task_struct *task, *next;
	int result = -ESRCH;

	list_for_each_entry_safe(task, next, &k->tasks, tasks) {
		if (!is_leader(task) || task->signal->pgid != pgid)
			continue;
		send_signal(task, sig, info, true);
		result = 0;
	}
	return result;
}

/* Shared signals that this task no longer takes may find another taker. */
static void retarget(struct task_struct *task, uint64_t newly_blocked)
{
	uint64_t set = task->signal->shared_pending.set & newly_blocked;

	for (; set; set &= set - 1)
		choose_thread(task, __builtin_ctzll(set) + 1, true);
}

void set_blocked(struct task_struct *task, uint64_t mask)
{
	uint64_t newly = (mask & ~UNBLOCKABLE) & ~task->blocked;

	task->blocked = mask & ~UNBLOCKABLE;
	if (newly && task->signal->nr_threads > 1)
		retarget(task, newly);
	recalc_notify(task);
}

int set_user_sigmask(struct task_struct *task, uint64_t user_set, uint64_t sigsetsize)
{
	uint64_t mask;

	if (!user_set)
		return 0;
	if (sigsetsize != SIGSET_SIZE)
		return -EINVAL;
	if (copy_from_user(task, &mask, user_set, sizeof(mask)))
		return -EFAULT;
	if (!task->restore_blocked) {	/* else: called again */
		task->saved_blocked = task->blocked;
		task->restore_blocked = true;
	}
	set_blocked(task, mask);
	return 0;
}

/* ---- acting --------------------------------------------------------------------------------- */

/* No member of the group has a parent outside of it in its session: nobody could continue it. */
static bool pgrp_is_orphaned(struct task_struct *task)
{
	struct kernel *k = task->kernel;
	struct task_struct *member;

	list_for_each_entry(member, &k->tasks, tasks) {
		struct task_struct *parent = member->signal->parent_leader;

		if (!is_leader(member) || member->signal->pgid != task->signal->pgid ||
		    member->state == TASK_ZOMBIE)
			continue;
		if (member == k->init) {
			if (getpgid(getppid()) != getpgrp() && getsid(getppid()) == getsid(0))
				return false;
		} else if (parent && parent->signal->pgid != task->signal->pgid &&
			   parent->signal->sid == task->signal->sid) {
			return false;
		}
	}
	return true;
}

static void stop_process(struct task_struct *task, int sig)
{
	struct signal_struct *signal = task->signal;
	struct task_struct *thread;

	signal->stopped = true;
	signal->stop_signal = sig;
	signal->noted_stop = true;
	signal->noted_continue = false;
	list_for_each_entry(thread, &signal->threads, thread_link)
		thread->notify = true;
	task->state = TASK_STOPPED;
	notify_parent(signal->leader, CLD_STOPPED, sig);
	if (signal->leader == task->kernel->init)
		host_stop(sig);
}

/* True: the task doesn't go on to user mode. */
static bool default_action(struct task_struct *task, int sig)
{
	if (default_ignores(sig))
		return false;
	if (SIGMASK(sig) & STOP_SIGNALS) {
		if (sig != SIGSTOP && pgrp_is_orphaned(task))
			return false;
		stop_process(task, sig);
		return true;
	}
	do_group_exit(task, sig);
	return true;
}

/* The call that the signal interrupted ends now, before the frame is built. */
static void end_interrupted_call(struct task_struct *task, const struct sigaction_guest *action,
				 struct cpu_regs *regs)
{
	bool restart = task->wait.on_signal == SIGNAL_RESTARTS && (action->flags & SA_RESTART);
	int64_t done = wait_abandon(task);

	if (done) {
		regs->rax = (uint64_t)done;
	} else if (restart) {
		regs->rip -= 2;		/* the syscall instruction */
		regs->rax = task->call.nr;
	} else {
		regs->rax = (uint64_t)-EINTR;
	}
	task->in_syscall = false;
	task->sigwait_set = 0;
	futex_unqueue(task);
	if (task->kernel->logging)
		log_exit(task, done ? done : restart ? -ERESTART_WAIT : -EINTR);
}

static void handle_signal(struct task_struct *task, int sig, siginfo_t *info)
{
	struct sigaction_guest action = task->sighand->action[sig];
	struct kernel *k = task->kernel;
	struct cpu_regs regs;
	uint64_t mask;

	cpu_context_get_regs(k->cpu, task->cpu, &regs);
	if (task->in_syscall)
		end_interrupted_call(task, &action, &regs);
	if (action.flags & SA_RESETHAND)
		task->sighand->action[sig].handler = SIG_DFL_GUEST;
	if (task->rseq_area) {
		cpu_context_set_regs(k->cpu, task->cpu, &regs);
		rseq_interrupt(task);
		cpu_context_get_regs(k->cpu, task->cpu, &regs);
	}
	mask = task->restore_blocked ? task->saved_blocked : task->blocked;
	task->restore_blocked = false;
	if (setup_frame(task, sig, info, &action, mask, &regs)) {
		cpu_context_set_regs(k->cpu, task->cpu, &regs);
		if (sig == SIGSEGV)
			task->sighand->action[SIGSEGV].handler = SIG_DFL_GUEST;
		force_signal(task, SIGSEGV, SI_KERNEL, 0);
		return;
	}
	cpu_context_set_regs(k->cpu, task->cpu, &regs);
	mask = task->blocked | action.mask;
	if (!(action.flags & SA_NODEFER))
		mask |= SIGMASK(sig);
	set_blocked(task, mask);
}

void do_signals(struct task_struct *task)
{
	siginfo_t info;
	int sig;

	/* The call that had set the mask has ended by itself. */
	if (task->restore_blocked && !task->in_syscall) {
		task->restore_blocked = false;
		set_blocked(task, task->saved_blocked);
	}
	for (;;) {
		uint64_t handler;

		if ((task->pending.set | task->signal->shared_pending.set) & SIGMASK(SIGKILL)) {
			do_group_exit(task, SIGKILL);
			return;
		}
		if (task->signal->stopped) {
			task->state = TASK_STOPPED;
			return;
		}
		sig = dequeue_signal(task, ~task->blocked, &info);
		if (!sig)
			break;
		handler = task->sighand->action[sig].handler;
		if (handler == SIG_IGN_GUEST)
			continue;
		if (handler != SIG_DFL_GUEST)
			handle_signal(task, sig, &info);
		else if (default_action(task, sig))
			return;
	}
	recalc_notify(task);
	if (task->in_syscall)	/* its handler is called again: the mask it wants stays */
		task->notify = false;
}

/* ---- system calls --------------------------------------------------------------------------- */

void flush_signal_handlers(struct sighand_struct *sighand)
{
	for (int sig = 1; sig <= 64; sig++) {
		struct sigaction_guest *action = &sighand->action[sig];

		if (action->handler != SIG_IGN_GUEST)
			action->handler = SIG_DFL_GUEST;
		action->flags = action->mask = action->restorer = 0;
	}
}

SYSCALL(rt_sigaction)
{
	int sig = (int)args->a[0];
	struct sigaction_guest new, old;
	bool set = args->a[1];

	if (args->a[3] != SIGSET_SIZE)
		return -EINVAL;
	if (set && copy_from_user(task, &new, args->a[1], sizeof(new)))
		return -EFAULT;
	if (sig < 1 || sig > 64 || (set && (SIGMASK(sig) & UNBLOCKABLE)))
		return -EINVAL;
	old = task->sighand->action[sig];
	if (set) {
		new.flags &= KNOWN_SA_FLAGS;
		new.mask &= ~UNBLOCKABLE;
		task->sighand->action[sig] = new;
		if (new.handler == SIG_IGN_GUEST ||
		    (new.handler == SIG_DFL_GUEST && default_ignores(sig)))
			flush_everywhere(task->signal, SIGMASK(sig));
	}
	if (args->a[2] && copy_to_user(task, args->a[2], &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

SYSCALL(rt_sigprocmask)
{
	uint64_t old = task->blocked, set, new = old;

	if (args->a[3] != SIGSET_SIZE)
		return -EINVAL;
	if (args->a[1]) {
		if (copy_from_user(task, &set, args->a[1], sizeof(set)))
			return -EFAULT;
		switch ((int)args->a[0]) {
		case SIG_BLOCK:
			new = old | set;
			break;
		case SIG_UNBLOCK:
			new = old & ~set;
			break;
		case SIG_SETMASK:
			new = set;
			break;
		default:
			return -EINVAL;
		}
		set_blocked(task, new);
	}
	if (args->a[2] && copy_to_user(task, args->a[2], &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

SYSCALL(rt_sigpending)
{
	uint64_t set = (task->pending.set | task->signal->shared_pending.set) & task->blocked;

	if (args->a[1] > SIGSET_SIZE)
		return -EINVAL;
	return copy_to_user(task, args->a[0], &set, args->a[1]) ? -EFAULT : 0;
}

SYSCALL(rt_sigsuspend)
{
	int error;

	if (args->a[1] != SIGSET_SIZE)
		return -EINVAL;
	if (!args->a[0])
		return -EFAULT;
	error = set_user_sigmask(task, args->a[0], args->a[1]);
	if (error)
		return error;
	task->wait.on_signal = SIGNAL_INTERRUPTS;
	return -ERESTART_WAIT;
}

SYSCALL(pause)
{
	task->wait.on_signal = SIGNAL_INTERRUPTS;
	return -ERESTART_WAIT;
}

SYSCALL(rt_sigtimedwait)
{
	struct task_wait *wait = &task->wait;
	uint64_t set;
	siginfo_t info;
	int sig;

	task->sigwait_set = 0;
	if (args->a[3] != SIGSET_SIZE)
		return -EINVAL;
	if (copy_from_user(task, &set, args->a[0], sizeof(set)))
		return -EFAULT;
	set &= ~UNBLOCKABLE;
	if (args->a[2] && !wait->state[0]) {
		struct timespec ts;

		if (copy_from_user(task, &ts, args->a[2], sizeof(ts)))
			return -EFAULT;
		if (deadline_from_timespec(&ts, &wait->state[1]))
			return -EINVAL;
	}
	sig = dequeue_signal(task, set, &info);
	if (sig) {
		recalc_notify(task);
		if (args->a[1] && copy_to_user(task, args->a[1], &info, sizeof(info)))
			return -EFAULT;
		return sig;
	}
	if (wait->timed_out || (args->a[2] && wait->state[1] <= monotonic_ns()))
		return -EAGAIN;
	if (signal_pending(task))
		return -EINTR;
	wait->state[0] = 1;
	wait->on_signal = SIGNAL_INTERRUPTS;
	if (args->a[2])
		wait_until(task, wait->state[1]);
	task->sigwait_set = set;
	return -ERESTART_WAIT;
}

void user_siginfo(struct task_struct *task, siginfo_t *info, int code)
{
	memset(info, 0, sizeof(*info));
	info->si_code = code;
	info->si_pid = task->tgid;
	info->si_uid = getuid();
}

bool valid_signal(uint64_t sig)
{
	return (int)sig >= 0 && (int)sig <= 64;
}

/* Not a process of ours. One of the host's that the program knows, its parent say, gets it. */
static int64_t kill_host(struct kernel *k, int pid, int sig)
{
	if (pid >= k->first_pid && pid < k->next_pid)
		return -ESRCH;
	return kill(pid, sig) ? -errno : 0;
}

static int64_t kill_all(struct task_struct *task, int sig, const siginfo_t *info)
{
	struct kernel *k = task->kernel;
	struct task_struct *other, *next;
	int64_t result = -ESRCH;

	list_for_each_entry_safe(other, next, &k->tasks, tasks) {
		if (!is_leader(other) || other->signal == task->signal)
			continue;
		send_signal(other, sig, info, true);
		result = 0;
	}
	return result;
}

SYSCALL(kill)
{
	int pid = (int)args->a[0], sig = (int)args->a[1];
	struct task_struct *target;
	siginfo_t info;

	if (!valid_signal(args->a[1]))
		return -EINVAL;
	user_siginfo(task, &info, SI_USER);
	if (pid == -1)
		return kill_all(task, sig, &info);
	if (pid == 0)
		return kill_pgrp(task->kernel, task->signal->pgid, sig, &info);
	if (pid < 0)
		return kill_pgrp(task->kernel, -pid, sig, &info);
	target = find_task(task->kernel, pid);
	if (!target)
		return kill_host(task->kernel, pid, sig);
	return send_signal(target, sig, &info, true);
}

static int64_t do_tkill(struct task_struct *task, int tgid, int tid, uint64_t sig,
			const siginfo_t *info)
{
	struct task_struct *target = find_task(task->kernel, tid);

	if (!valid_signal(sig))
		return -EINVAL;
	if (!target || (tgid && target->tgid != tgid))
		return -ESRCH;
	return send_signal(target, (int)sig, info, false);
}

SYSCALL(tgkill)
{
	siginfo_t info;

	if ((int)args->a[0] <= 0 || (int)args->a[1] <= 0)
		return -EINVAL;
	user_siginfo(task, &info, SI_TKILL);
	return do_tkill(task, (int)args->a[0], (int)args->a[1], args->a[2], &info);
}

SYSCALL(tkill)
{
	siginfo_t info;

	if ((int)args->a[0] <= 0)
		return -EINVAL;
	user_siginfo(task, &info, SI_TKILL);
	return do_tkill(task, 0, (int)args->a[0], args->a[1], &info);
}

/* A process may not claim a code of the kernel's to another one. */
static int queued_siginfo(struct task_struct *task, uint64_t user, int pid, int sig, siginfo_t *info)
{
	if (copy_from_user(task, info, user, sizeof(*info)))
		return -EFAULT;
	if ((info->si_code >= 0 || info->si_code == SI_TKILL) && task->tgid != pid)
		return -EPERM;
	info->si_signo = sig;
	return 0;
}

SYSCALL(rt_sigqueueinfo)
{
	struct task_struct *target;
	siginfo_t info;
	int error = queued_siginfo(task, args->a[2], (int)args->a[0], (int)args->a[1], &info);

	if (error)
		return error;
	if (!valid_signal(args->a[1]))
		return -EINVAL;
	target = find_task(task->kernel, (int)args->a[0]);
	if (!target)
		return -ESRCH;
	return send_signal(target, (int)args->a[1], &info, true);
}

SYSCALL(rt_tgsigqueueinfo)
{
	siginfo_t info;
	int error;

	if ((int)args->a[0] <= 0 || (int)args->a[1] <= 0)
		return -EINVAL;
	error = queued_siginfo(task, args->a[3], (int)args->a[0], (int)args->a[2], &info);
	if (error)
		return error;
	return do_tkill(task, (int)args->a[0], (int)args->a[1], args->a[2], &info);
}
