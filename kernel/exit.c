// SPDX-License-Identifier: MIT
/*
 * The end of tasks, and those who wait for it.
 *
 *	do_exit: memory, files, ... go    leader: ZOMBIE -- wait4 by the parent --> DEAD, freed
 *	                                  others: DEAD, freed
 *
 * A process is over when its last thread is. Its children go to the nearest ancestor that is a
 * subreaper; else to the host's init, which we play by reaping them when they end.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pidfd.h"
#include "syscalls.h"
#include "task.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define W_OPTIONS (WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL)

/* ---- giving up what a task has ------------------------------------------------------------------ */

/* The address space is left: by exit or execve. Who waits for that learns it. */
void mm_release(struct task_struct *task)
{
	exit_robust_list(task);
	if (task->clear_child_tid && task->mm) {
		uint32_t zero = 0;

		if (!copy_to_user(task, task->clear_child_tid, &zero, sizeof(zero)))
			futex_wake_address(task->mm, task->clear_child_tid, 1, false);
		task->clear_child_tid = 0;
	}
	if (task->vfork_pending) {
		task->vfork_pending = false;
		wake_up(&task->vfork_done, INT_MAX);
	}
}

void exit_mm(struct task_struct *task)
{
	struct aspace_mm_stats stats = { .size = sizeof(stats) };

	if (!task->mm)
		return;
	if (task == task->kernel->init && task->kernel->options.maps_at_exit && task->signal->group_exit)
		print_maps(task->kernel, task->kernel->options.log);
	mm_release(task);
	if (task->signal->nr_threads <= 1) {
		uint64_t rss;

		aspace_mm_stats(task->mm, &stats);
		if (task->signal->leader == task->kernel->init)
			task->kernel->init_mm_stats = stats;
		rss = stats.hiwater_rss;
		if (rss > task->signal->maxrss_pages)
			task->signal->maxrss_pages = rss;
	}
	aspace_mm_put(task->mm);
	task->mm = NULL;
}

static void account_exit(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	if (task == task->kernel->current)
		account_time(task);
	signal->utime_ns += task->utime_ns;
	signal->min_flt += task->min_flt;
	signal->maj_flt += task->maj_flt;
	signal->nvcsw += task->nvcsw;
	signal->nivcsw += task->nivcsw;
	task->utime_ns = task->min_flt = task->maj_flt = task->nvcsw = task->nivcsw = 0;
}

static void leave_queues(struct task_struct *task)
{
	wait_cleanup(task);
	if (task->on_run_queue) {
		list_del(&task->run);
		task->on_run_queue = false;
	}
}

/* Out of every list; the memory goes when nobody runs on it. */
static void release_task(struct task_struct *task)
{
	pidfd_released(task);
	task_unhash(task);
	list_del(&task->tasks);
	if (is_leader(task))
		list_del_init(&task->sibling);
	if (task == task->kernel->init)
		task->kernel->init = NULL;
	task->state = TASK_DEAD;
	if (task != task->kernel->current)
		task_free(task);
}

/* ---- parents and children ------------------------------------------------------------------------ */

static bool ignores_children(struct task_struct *parent)
{
	struct sigaction_guest *action = &parent->sighand->action[SIGCHLD];

	return action->handler == 1 || (action->flags & SA_NOCLDWAIT);
}

static void child_siginfo(struct task_struct *leader, int code, int status, siginfo_t *info)
{
	memset(info, 0, sizeof(*info));
	info->si_signo = SIGCHLD;
	info->si_code = code;
	info->si_pid = leader->pid;
	info->si_uid = getuid();
	info->si_status = status;
	info->si_utime = (clock_t)(process_cputime(leader->signal) / 10000000);
}

void notify_parent(struct task_struct *leader, int code, int status)
{
	struct task_struct *parent = leader->signal->parent_leader;
	bool job_control = code == CLD_STOPPED || code == CLD_CONTINUED;
	siginfo_t info;
	int sig = job_control ? SIGCHLD : leader->exit_signal;

	if (!parent)
		return;
	child_siginfo(leader, code, status, &info);
	if (sig > 0 && !(job_control && (parent->sighand->action[SIGCHLD].flags & SA_NOCLDSTOP)))
		send_signal(parent, sig, &info, true);
	wake_up(&parent->signal->child_wait, INT_MAX);
}

/* The sibling or ancestor process that takes the children of one that ends; NULL: the host's init. */
static struct task_struct *reaper_for(struct task_struct *leader)
{
	struct task_struct *ancestor = leader->signal->parent_leader;

	while (ancestor && !(ancestor->signal->is_child_subreaper && ancestor->signal->nr_threads))
		ancestor = ancestor->signal->parent_leader;
	return ancestor;
}

static bool process_is_over(struct task_struct *leader)
{
	return leader->state == TASK_ZOMBIE && leader->signal->nr_threads == 0;
}

static void reparent_children(struct task_struct *leader)
{
	struct task_struct *child, *next, *reaper = reaper_for(leader);

	list_for_each_entry_safe(child, next, &leader->signal->children, sibling) {
		list_del_init(&child->sibling);
		child->signal->parent_leader = reaper;
		child->exit_signal = SIGCHLD;
		if (child->pdeath_signal)
			send_signal(child, child->pdeath_signal, NULL, true);
		if (reaper)
			list_add_tail(&child->sibling, &reaper->signal->children);
		if (!process_is_over(child))
			continue;
		if (!reaper || ignores_children(reaper))
			release_task(child);
		else
			notify_parent(child, CLD_EXITED, WEXITSTATUS(child->signal->exit_code));
	}
}

/* The last thread is gone. */
static void end_process(struct task_struct *leader)
{
	struct kernel *k = leader->kernel;
	struct task_struct *parent = leader->signal->parent_leader;
	int status = leader->signal->exit_code;
	bool reaped = !parent;

	exit_timers(leader->signal);
	pidfd_exited(leader, false);
	reparent_children(leader);
	if (leader->signal->sid == leader->tgid)
		tty_leader_exits(leader);
	if (leader == k->init)
		k->init_status = status;
	if (WIFEXITED(status))
		notify_parent(leader, CLD_EXITED, WEXITSTATUS(status));
	else
		notify_parent(leader, WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED, WTERMSIG(status));
	if (parent && leader->exit_signal == SIGCHLD && ignores_children(parent))
		reaped = true;
	if (reaped)
		release_task(leader);
}

void do_exit(struct task_struct *task, int status)
{
	struct kernel *k = task->kernel;
	struct signal_struct *signal = task->signal;
	struct task_struct *leader = signal->leader;

	if (task != k->current)
		leave_queues(task);
	futex_unqueue(task);
	if (task->in_syscall)
		wait_abandon(task);
	if (task->files) {
		if (signal->nr_threads == 1)
			exit_posix_locks(task);
		files_put(k, task, task->files);
		task->files = NULL;
	}
	exit_mm(task);
	if (task->fs)
		fs_put(task->fs);
	task->fs = NULL;
	account_exit(task);
	list_del(&task->thread_link);
	signal->nr_threads--;
	k->nr_tasks--;
	cpu_context_destroy(k->cpu, task->cpu);
	task->cpu = NULL;
	flush_sigqueue(&task->pending, UINT64_MAX);
	task->in_syscall = task->notify = false;
	task->state = TASK_ZOMBIE;
	pidfd_exited(task, true);
	if (!signal->group_exit && (signal->nr_threads == 0 || task == leader))
		signal->exit_code = status;
	if (task != leader)
		release_task(task);
	if (signal->nr_threads == 0)
		end_process(leader);
}

void zap_other_threads(struct task_struct *task)
{
	struct task_struct *thread, *next;

	list_for_each_entry_safe(thread, next, &task->signal->threads, thread_link) {
		if (thread != task)
			do_exit(thread, task->signal->exit_code);
	}
}

void do_group_exit(struct task_struct *task, int status)
{
	struct signal_struct *signal = task->signal;

	if (!signal->group_exit) {
		signal->group_exit = true;
		signal->exit_code = status;
	}
	signal->stopped = false;
	zap_other_threads(task);
	do_exit(task, status);
}

SYSCALL(exit)
{
	do_exit(task, (int)(args->a[0] & 0xff) << 8);
	return -ENORETURN;
}

SYSCALL(exit_group)
{
	do_group_exit(task, (int)(args->a[0] & 0xff) << 8);
	return -ENORETURN;
}

/* ---- waiting for children ----------------------------------------------------------------------- */

struct wait_opts {		/* what is waited for, and what was found */
	int type;		/* P_ALL, P_PID, P_PGID */
	int id;
	int options;		/* WEXITED, WSTOPPED, WCONTINUED, WNOHANG, WNOWAIT, ... */
	int pid, status;	/* found: the child and its wait status */
	siginfo_t info;
	struct rusage usage;
};

static bool eligible(const struct wait_opts *wo, struct task_struct *child)
{
	if (wo->type == P_PID && child->pid != wo->id)
		return false;
	if (wo->type == P_PGID && child->signal->pgid != wo->id)
		return false;
	if (wo->options & __WALL)
		return true;
	return !!(wo->options & __WCLONE) == (child->exit_signal != SIGCHLD);
}

static void child_usage(struct signal_struct *signal, struct rusage *usage)
{
	uint64_t ns = process_cputime(signal) + signal->cutime_ns;
	uint64_t rss = signal->maxrss_pages > signal->cmaxrss_pages ? signal->maxrss_pages :
								      signal->cmaxrss_pages;

	memset(usage, 0, sizeof(*usage));
	usage->ru_utime.tv_sec = (time_t)(ns / NSEC_PER_SEC);
	usage->ru_utime.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000);
	usage->ru_maxrss = (long)rss * 4;
	usage->ru_minflt = (long)(signal->min_flt + signal->cmin_flt);
	usage->ru_majflt = (long)(signal->maj_flt + signal->cmaj_flt);
	usage->ru_nvcsw = (long)(signal->nvcsw + signal->cnvcsw);
	usage->ru_nivcsw = (long)(signal->nivcsw + signal->cnivcsw);
}

/* What the child used becomes its parent's "children" figures. */
static void inherit_usage(struct signal_struct *parent, struct signal_struct *child)
{
	uint64_t rss = child->maxrss_pages > child->cmaxrss_pages ? child->maxrss_pages :
								    child->cmaxrss_pages;

	parent->cutime_ns += child->utime_ns + child->cutime_ns;
	parent->cmin_flt += child->min_flt + child->cmin_flt;
	parent->cmaj_flt += child->maj_flt + child->cmaj_flt;
	parent->cnvcsw += child->nvcsw + child->cnvcsw;
	parent->cnivcsw += child->nivcsw + child->cnivcsw;
	if (rss > parent->cmaxrss_pages)
		parent->cmaxrss_pages = rss;
}

static void found(struct wait_opts *wo, struct task_struct *child, int code, int how,
		  int status)
{
	wo->pid = child->pid;
	wo->status = status;
	child_siginfo(child, code, how, &wo->info);
	child_usage(child->signal, &wo->usage);
}

static bool take_zombie(struct wait_opts *wo, struct task_struct *child)
{
	int status = child->signal->exit_code;

	if (!process_is_over(child) || !(wo->options & WEXITED))
		return false;
	if (WIFEXITED(status))
		found(wo, child, CLD_EXITED, WEXITSTATUS(status), status);
	else
		found(wo, child, WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED, WTERMSIG(status), status);
	if (!(wo->options & WNOWAIT)) {
		if (child->signal->parent_leader)
			inherit_usage(child->signal->parent_leader->signal, child->signal);
		release_task(child);
	}
	return true;
}

static bool take_job_control(struct wait_opts *wo, struct task_struct *child)
{
	struct signal_struct *signal = child->signal;

	if (signal->noted_stop && (wo->options & WSTOPPED)) {
		found(wo, child, CLD_STOPPED, signal->stop_signal, signal->stop_signal << 8 | 0x7f);
		if (!(wo->options & WNOWAIT))
			signal->noted_stop = false;
		return true;
	}
	if (signal->noted_continue && (wo->options & WCONTINUED)) {
		found(wo, child, CLD_CONTINUED, SIGCONT, 0xffff);
		if (!(wo->options & WNOWAIT))
			signal->noted_continue = false;
		return true;
	}
	return false;
}

/* The child's pid; 0: WNOHANG and none; -ECHILD; -ERESTART_WAIT. */
static int64_t do_wait(struct task_struct *task, struct wait_opts *wo)
{
	struct task_struct *child, *next;
	bool any = false;

	list_for_each_entry_safe(child, next, &task->signal->children, sibling) {
		if (!eligible(wo, child))
			continue;
		any = true;
		if (take_zombie(wo, child) || take_job_control(wo, child))
			return wo->pid;
	}
	if (!any)
		return -ECHILD;
	if (wo->options & WNOHANG)
		return 0;
	wait_for_queue(task, &task->signal->child_wait);
	return -ERESTART_WAIT;
}

SYSCALL(wait4)
{
	int pid = (int)args->a[0];
	struct wait_opts wo = { .options = (int)args->a[2] | WEXITED };
	int64_t result;

	if ((int)args->a[2] & ~W_OPTIONS)
		return -EINVAL;
	if (pid == INT_MIN)
		return -ESRCH;
	wo.type = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
	wo.id = pid > 0 ? pid : pid == 0 ? task->signal->pgid : -pid;
	result = do_wait(task, &wo);
	if (result <= 0)
		return result;
	if (args->a[1] && copy_to_user(task, args->a[1], &wo.status, sizeof(wo.status)))
		return -EFAULT;
	if (args->a[3] && copy_to_user(task, args->a[3], &wo.usage, sizeof(wo.usage)))
		return -EFAULT;
	return result;
}

SYSCALL(waitid)
{
	struct wait_opts wo = { .type = (int)args->a[0], .id = (int)args->a[1],
				.options = (int)args->a[3] };
	bool would_block = false;
	int64_t result;

	if (wo.options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
			   __WCLONE | __WALL))
		return -EINVAL;
	if (!(wo.options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	if (wo.type == P_PGID && wo.id == 0)
		wo.id = task->signal->pgid;
	if (wo.type == P_PIDFD) {
		wo.type = P_PID;
		wo.id = pidfd_pid(task, wo.id, &would_block);
		if (wo.id < 0)
			return wo.id;
		if (!wo.id)
			return -ECHILD;
		would_block = would_block && !(wo.options & WNOHANG);
		wo.options |= would_block ? WNOHANG : 0;
	}
	if ((wo.type != P_ALL && wo.type != P_PID && wo.type != P_PGID) ||
	    (wo.type != P_ALL && wo.id <= 0))
		return -EINVAL;
	result = do_wait(task, &wo);
	if (result < 0)
		return result;
	if (!result && would_block)
		return -EAGAIN;
	if (args->a[4] && result && copy_to_user(task, args->a[4], &wo.usage, sizeof(wo.usage)))
		return -EFAULT;
	if (args->a[2] && copy_to_user(task, args->a[2], &wo.info, sizeof(wo.info)))
		return -EFAULT;
	return 0;
}
