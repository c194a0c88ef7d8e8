// SPDX-License-Identifier: MIT
/*
 * New tasks: clone, clone3, fork, vfork. The child is a copy of the struct with what it does not
 * share made anew; what can fail is made before anybody can see the child.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kfile.h"
#include "pidfd.h"
#include "syscalls.h"
#include "task.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
		    CLONE_NEWPID | CLONE_NEWNET | 0x80ull /* NEWTIME */)
#define CLEAR_SIGHAND 0x100000000ull
#define INTO_CGROUP 0x200000000ull

/* One request to make a task, as clone3 describes it. */
struct kernel_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};

/* ---- parts ----------------------------------------------------------------------------------- */

struct signal_struct *signal_struct_new(void)
{
	struct signal_struct *signal = calloc(1, sizeof(*signal));

	if (!signal)
		return NULL;
	INIT_LIST_HEAD(&signal->threads);
	INIT_LIST_HEAD(&signal->children);
	INIT_LIST_HEAD(&signal->posix_timers);
	sigpending_init(&signal->shared_pending);
	wait_queue_init(&signal->child_wait);
	signal->start_ns = monotonic_ns();
	return signal;
}

void signal_struct_put(struct signal_struct *signal)
{
	if (--signal->refs)
		return;
	flush_sigqueue(&signal->shared_pending, UINT64_MAX);
	free(signal);
}

struct sighand_struct *sighand_new(void)
{
	struct sighand_struct *sighand = calloc(1, sizeof(*sighand));

	if (sighand)
		sighand->refs = 1;
	return sighand;
}

void sighand_put(struct sighand_struct *sighand)
{
	if (--sighand->refs == 0)
		free(sighand);
}

static struct fs_struct *fs_copy(struct fs_struct *from)
{
	struct fs_struct *fs = malloc(sizeof(*fs));

	if (!fs)
		return NULL;
	fs->refs = 1;
	fs->umask = from->umask;
	fs->cwd_fd = fcntl(from->cwd_fd, F_DUPFD_CLOEXEC, 3);
	if (fs->cwd_fd < 0) {
		free(fs);
		return NULL;
	}
	return fs;
}

void fs_put(struct fs_struct *fs)
{
	if (--fs->refs)
		return;
	close(fs->cwd_fd);
	free(fs);
}

/* ---- identity --------------------------------------------------------------------------------- */

static struct task_struct **hash_slot(struct kernel *k, int pid)
{
	return &k->pid_hash[(unsigned)pid % PID_HASH_SIZE];
}

struct task_struct *find_task(struct kernel *k, int pid)
{
	struct task_struct *task = *hash_slot(k, pid);

	while (task && task->pid != pid)
		task = task->hash_next;
	return task;
}

void task_hash(struct task_struct *task)
{
	struct task_struct **slot = hash_slot(task->kernel, task->pid);

	task->hash_next = *slot;
	*slot = task;
}

void task_unhash(struct task_struct *task)
{
	struct task_struct **slot = hash_slot(task->kernel, task->pid);

	while (*slot && *slot != task)
		slot = &(*slot)->hash_next;
	if (*slot)
		*slot = task->hash_next;
}

/* Not a number that a process group still goes by, nor one that the host uses. */
static bool pid_is_free(struct kernel *k, int pid)
{
	struct task_struct *task;

	if (find_task(k, pid) || kill(pid, 0) == 0 || errno != ESRCH)
		return false;
	list_for_each_entry(task, &k->tasks, tasks) {
		if (task->signal->pgid == pid || task->signal->sid == pid)
			return false;
	}
	return true;
}

int alloc_pid(struct kernel *k)
{
	do {
		if (k->next_pid >= 1 << 22)
			k->next_pid = 300;
	} while (!pid_is_free(k, k->next_pid++));
	return k->next_pid - 1;
}

/* ---- a task ----------------------------------------------------------------------------------- */

struct task_struct *task_new(struct kernel *k)
{
	struct task_struct *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->kernel = k;
	task->exit_signal = SIGCHLD;
	task->dumpable = 1;
	task->cpu_mask = 0;	/* the host's */
	task->timerslack_ns = 50000;
	task->start_ns = monotonic_ns();
	sigpending_init(&task->pending);
	wait_queue_init(&task->vfork_done);
	INIT_LIST_HEAD(&task->sibling);
	return task;
}

/* The last of it: it is in no list, and nobody waits for it. */
void task_free(struct task_struct *task)
{
	if (task->cpu)
		cpu_context_destroy(task->kernel->cpu, task->cpu);
	flush_sigqueue(&task->pending, UINT64_MAX);
	if (task->sighand)
		sighand_put(task->sighand);
	if (task->signal)
		signal_struct_put(task->signal);
	free(task);
}

static struct task_struct *copy_struct(struct task_struct *parent)
{
	struct task_struct *child = malloc(sizeof(*child));

	if (!child)
		return NULL;
	*child = *parent;
	child->state = TASK_WAITING;
	child->mm = NULL;
	child->cpu = NULL;
	child->files = NULL;
	child->fs = NULL;
	child->sighand = NULL;
	child->signal = NULL;
	child->hash_next = NULL;
	child->on_run_queue = child->in_syscall = child->interrupted = false;
	child->restore_blocked = child->vfork_pending = child->notify = false;
	child->sigwait_set = 0;
	child->futex.queued = false;
	child->robust_list = child->clear_child_tid = child->set_child_tid = 0;
	child->utime_ns = child->min_flt = child->maj_flt = child->nvcsw = child->nivcsw = 0;
	child->pdeath_signal = 0;
	if (parent->sched_reset_on_fork && child->nice < 0)
		child->nice = 0;
	child->sched_reset_on_fork = false;
	child->start_ns = monotonic_ns();
	memset(&child->wait, 0, sizeof(child->wait));
	sigpending_init(&child->pending);
	wait_queue_init(&child->vfork_done);
	INIT_LIST_HEAD(&child->sibling);
	return child;
}

static bool copy_sighand(struct task_struct *parent, struct task_struct *child, uint64_t flags)
{
	if (flags & CLONE_SIGHAND) {
		child->sighand = parent->sighand;
		child->sighand->refs++;
		return true;
	}
	child->sighand = sighand_new();
	if (!child->sighand)
		return false;
	memcpy(child->sighand->action, parent->sighand->action, sizeof(parent->sighand->action));
	if (flags & CLEAR_SIGHAND)
		flush_signal_handlers(child->sighand);
	return true;
}

static bool copy_signal(struct task_struct *parent, struct task_struct *child, uint64_t flags)
{
	struct signal_struct *from = parent->signal;

	if (flags & CLONE_THREAD) {
		child->signal = from;
		from->refs++;
		return true;
	}
	child->signal = signal_struct_new();
	if (!child->signal)
		return false;
	child->signal->refs = 1;
	memcpy(child->signal->rlim, from->rlim, sizeof(from->rlim));
	child->signal->pgid = from->pgid;
	child->signal->sid = from->sid;
	child->signal->oom_score_adj = from->oom_score_adj;
	child->signal->leader = child;
	child->signal->parent_leader = flags & CLONE_PARENT ? from->parent_leader : from->leader;
	return true;
}

static int copy_mm(struct task_struct *parent, struct task_struct *child, uint64_t flags)
{
	if (flags & CLONE_VM) {
		child->mm = aspace_mm_get(parent->mm);
		return 0;
	}
	return aspace_mm_fork(parent->mm, &child->mm);
}

static bool copy_files(struct task_struct *parent, struct task_struct *child, uint64_t flags)
{
	child->files = flags & CLONE_FILES ? files_get(parent->files) : files_copy(parent->files);
	if (!child->files)
		return false;
	if (flags & CLONE_FS) {
		child->fs = parent->fs;
		child->fs->refs++;
	} else {
		child->fs = fs_copy(parent->fs);
	}
	return child->fs != NULL;
}

static void copy_failed(struct task_struct *child)
{
	if (child->fs)
		fs_put(child->fs);
	if (child->files)
		files_put(child->kernel, child, child->files);
	if (child->mm)
		aspace_mm_put(child->mm);
	task_free(child);
}

/* Everything that can fail. The child is in no list yet. */
static int copy_task(struct task_struct *parent, const struct kernel_clone_args *args,
		     struct task_struct **out)
{
	struct task_struct *child = copy_struct(parent);
	uint64_t flags = args->flags;
	int error = -ENOMEM;

	if (!child)
		return -ENOMEM;
	child->pid = alloc_pid(parent->kernel);
	child->tgid = flags & CLONE_THREAD ? parent->tgid : child->pid;
	if (!copy_sighand(parent, child, flags) || !copy_signal(parent, child, flags))
		goto failed;
	child->cpu = cpu_context_copy(parent->kernel->cpu, parent->cpu);
	if (!child->cpu || !copy_files(parent, child, flags))
		goto failed;
	error = copy_mm(parent, child, flags);
	if (error)
		goto failed;
	*out = child;
	return 0;
failed:
	copy_failed(child);
	return error;
}

static void child_registers(struct task_struct *child, const struct kernel_clone_args *args)
{
	struct cpu *cpu = child->kernel->cpu;
	struct cpu_regs regs;

	cpu_context_get_regs(cpu, child->cpu, &regs);
	regs.rax = 0;
	if (args->stack)
		regs.rsp = args->stack + args->stack_size;
	if (args->flags & CLONE_SETTLS)
		regs.fs_base = args->tls;
	cpu_context_set_regs(cpu, child->cpu, &regs);
}

static void settle_child(struct task_struct *parent, struct task_struct *child,
			 const struct kernel_clone_args *args)
{
	uint64_t flags = args->flags;
	uint32_t tid = (uint32_t)child->pid;

	child->exit_signal = flags & CLONE_PARENT ? parent->signal->leader->exit_signal :
						    (int)args->exit_signal;
	if (flags & CLONE_THREAD)
		child->exit_signal = -1;
	if ((flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM) {
		child->altstack_sp = child->altstack_size = 0;
		child->altstack_flags = SS_DISABLE;
	}
	if (flags & CLONE_VM)
		child->rseq_area = 0;
	if (flags & CLONE_CHILD_CLEARTID)
		child->clear_child_tid = args->child_tid;
	if (flags & CLONE_CHILD_SETTID)
		aspace_copy_to_user(child->mm, args->child_tid, &tid, sizeof(tid));
	if (flags & CLONE_PARENT_SETTID)
		copy_to_user(parent, args->parent_tid, &tid, sizeof(tid));
	child_registers(child, args);
}

static void publish(struct task_struct *child)
{
	struct kernel *k = child->kernel;
	struct signal_struct *signal = child->signal;

	list_add_tail(&child->tasks, &k->tasks);
	list_add_tail(&child->thread_link, &signal->threads);
	signal->nr_threads++;
	task_hash(child);
	if (is_leader(child) && signal->parent_leader)
		list_add_tail(&child->sibling, &signal->parent_leader->signal->children);
	if (++k->nr_tasks > k->nr_tasks_max)
		k->nr_tasks_max = k->nr_tasks;
	recalc_notify(child);
	task_make_runnable(child);
}

static int check_flags(struct task_struct *task, const struct kernel_clone_args *args)
{
	uint64_t flags = args->flags;

	if ((flags & NAMESPACES) || (flags & INTO_CGROUP))
		return -EINVAL;		/* not here: docs/differences.md */
	if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
		return -EINVAL;
	if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
		return -EINVAL;
	if ((flags & CLONE_SIGHAND) && (flags & CLEAR_SIGHAND))
		return -EINVAL;
	if (args->set_tid_size)
		return -EINVAL;
	return 0;
}

static int nr_processes(struct kernel *k)
{
	return (int)k->nr_tasks;
}

/* In the parent's table only: the child's is made. */
static int clone_pidfd(struct task_struct *parent, struct task_struct *child, const struct kernel_clone_args *args)
{
	int fd = pidfd_install(parent, child, args->flags & CLONE_THREAD ? O_EXCL : 0);

	if (fd < 0)
		return fd;
	if (!copy_to_user(parent, args->pidfd, &fd, sizeof(fd)))
		return 0;
	fd_close(parent, fd);
	return -EFAULT;
}

static int64_t kernel_clone(struct task_struct *task, const struct kernel_clone_args *args)
{
	struct kernel *k = task->kernel;
	struct task_struct *child;
	int error = check_flags(task, args);

	if (error)
		return error;
	if (nr_processes(k) >= 32768)
		return -EAGAIN;
	error = copy_task(task, args, &child);
	if (error)
		return error;
	if (args->flags & CLONE_PIDFD) {
		error = clone_pidfd(task, child, args);
		if (error) {
			copy_failed(child);
			return error;
		}
	}
	settle_child(task, child, args);
	if (args->flags & CLONE_THREAD)
		k->nr_threads_made++;
	else
		k->nr_forks++;
	child->vfork_pending = args->flags & CLONE_VFORK;
	publish(child);
	return child->pid;
}

/* With CLONE_VFORK the parent sleeps until the child has released its address space. */
static int64_t clone_and_wait(struct task_struct *task, const struct kernel_clone_args *args)
{
	struct task_wait *wait = &task->wait;
	struct task_struct *child;

	if (!wait->state[0]) {
		int64_t pid = kernel_clone(task, args);

		if (pid < 0 || !(args->flags & CLONE_VFORK))
			return pid;
		wait->state[0] = (uint64_t)pid;
	}
	child = find_task(task->kernel, (int)wait->state[0]);
	if (!child || !child->vfork_pending)
		return (int64_t)wait->state[0];
	wait->on_signal = SIGNAL_KILLS;
	wait_for_queue(task, &child->vfork_done);
	return -ERESTART_WAIT;
}

/* ---- system calls ------------------------------------------------------------------------------ */

SYSCALL(fork)
{
	return clone_and_wait(task, &(struct kernel_clone_args){ .exit_signal = SIGCHLD });
}

SYSCALL(vfork)
{
	return clone_and_wait(task, &(struct kernel_clone_args){ .flags = CLONE_VFORK | CLONE_VM,
								 .exit_signal = SIGCHLD });
}

SYSCALL(clone)
{
	struct kernel_clone_args clone = {
		.flags = (uint32_t)args->a[0] & ~(uint64_t)CSIGNAL,
		.pidfd = args->a[2],
		.exit_signal = args->a[0] & CSIGNAL,
		.stack = args->a[1],
		.parent_tid = args->a[2],
		.child_tid = args->a[3],
		.tls = args->a[4],
	};

	/* Both would be told in one place. */
	if ((clone.flags & CLONE_PIDFD) && (clone.flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)))
		return -EINVAL;
	return clone_and_wait(task, &clone);
}

SYSCALL(clone3)
{
	struct kernel_clone_args clone = { 0 };
	uint64_t size = args->a[1];

	if (size > 4096)
		return -E2BIG;
	if (size < 64)
		return -EINVAL;
	if (copy_from_user(task, &clone, args->a[0], size < sizeof(clone) ? size : sizeof(clone)))
		return -EFAULT;
	for (uint64_t at = sizeof(clone); at < size; at++) {
		char byte;

		if (copy_from_user(task, &byte, args->a[0] + at, 1))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	if ((clone.flags & ~(0x3ffffffffull & ~(uint64_t)CSIGNAL)) || (clone.flags & CLONE_DETACHED))
		return -EINVAL;
	if (clone.exit_signal > 64 ||
	    ((clone.flags & (CLONE_THREAD | CLONE_PARENT)) && clone.exit_signal))
		return -EINVAL;
	if ((!clone.stack) != (!clone.stack_size))
		return -EINVAL;
	return clone_and_wait(task, &clone);
}
