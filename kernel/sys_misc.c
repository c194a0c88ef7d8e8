// SPDX-License-Identifier: MIT
/*
 * Who and where a process is: numbers, groups, names, limits, priorities, switches of prctl.
 *
 * Users and capabilities are those that this command runs with, for all of its guests: they can be
 * read, and set to what they are; giving some up for one guest alone is refused (EPERM).
 */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "syscalls.h"
#include "task.h"

/* ---- process numbers ------------------------------------------------------------------------------- */

SYSCALL(getpid)
{
	return task->tgid;
}

SYSCALL(gettid)
{
	return task->pid;
}

SYSCALL(getppid)
{
	struct task_struct *parent = task->signal->parent_leader;

	if (parent)
		return parent->tgid;
	return task->signal->leader == task->kernel->init ? getppid() : 1;
}

static struct task_struct *leader_by_pid(struct task_struct *task, int pid)
{
	struct task_struct *target = pid ? find_task(task->kernel, pid) : task;

	return target ? target->signal->leader : NULL;
}

SYSCALL(getpgid)
{
	struct task_struct *leader = leader_by_pid(task, (int)args->a[0]);

	return leader ? leader->signal->pgid : -ESRCH;
}

SYSCALL(getpgrp)
{
	return task->signal->pgid;
}

SYSCALL(getsid)
{
	struct task_struct *leader = leader_by_pid(task, (int)args->a[0]);

	return leader ? leader->signal->sid : -ESRCH;
}

static bool group_in_session(struct kernel *k, int pgid, int sid)
{
	struct task_struct *other;

	list_for_each_entry(other, &k->tasks, tasks) {
		if (other->signal->pgid == pgid && other->signal->sid == sid)
			return true;
	}
	return false;
}

SYSCALL(setpgid)
{
	int pid = (int)args->a[0], pgid = (int)args->a[1];
	struct task_struct *target = pid ? find_task(task->kernel, pid) : task->signal->leader;

	if (pgid < 0)
		return -EINVAL;
	if (!target)
		return -ESRCH;
	if (!is_leader(target))
		return -EINVAL;
	if (target->signal != task->signal) {
		if (target->signal->parent_leader != task->signal->leader)
			return -ESRCH;
		if (target->signal->sid != task->signal->sid)
			return -EPERM;
		if (target->signal->exec_done)
			return -EACCES;
	}
	if (target->signal->sid == target->tgid)	/* a session leader */
		return -EPERM;
	if (!pgid)
		pgid = target->tgid;
	if (pgid != target->tgid && !group_in_session(task->kernel, pgid, task->signal->sid))
		return -EPERM;
	target->signal->pgid = pgid;
	return 0;
}

SYSCALL(setsid)
{
	struct task_struct *other;

	list_for_each_entry(other, &task->kernel->tasks, tasks) {
		if (other->signal->pgid == task->tgid)
			return -EPERM;
	}
	task->signal->pgid = task->signal->sid = task->tgid;
	return task->tgid;
}

SYSCALL(set_tid_address)
{
	task->clear_child_tid = args->a[0];
	return task->pid;
}

/* ---- users ------------------------------------------------------------------------------------------- */

SYSCALL(getuid)
{
	return getuid();
}

SYSCALL(geteuid)
{
	return geteuid();
}

SYSCALL(getgid)
{
	return getgid();
}

SYSCALL(getegid)
{
	return getegid();
}

static int64_t put_three_ids(struct task_struct *task, const struct sys_args *args,
			     const uint32_t ids[3])
{
	for (int i = 0; i < 3; i++) {
		if (copy_to_user(task, args->a[i], &ids[i], sizeof(ids[i])))
			return -EFAULT;
	}
	return 0;
}

SYSCALL(getresuid)
{
	uint32_t ids[3];

	getresuid(&ids[0], &ids[1], &ids[2]);
	return put_three_ids(task, args, ids);
}

SYSCALL(getresgid)
{
	uint32_t ids[3];

	getresgid(&ids[0], &ids[1], &ids[2]);
	return put_three_ids(task, args, ids);
}

/* Setting ids to what they are changes nothing; -1 leaves one as it is. */
static int64_t same_ids(const struct sys_args *args, int n, uint32_t id)
{
	for (int i = 0; i < n; i++) {
		if ((uint32_t)args->a[i] != id && (uint32_t)args->a[i] != UINT32_MAX)
			return -EPERM;
	}
	return 0;
}

SYSCALL(setuid)
{
	return same_ids(args, 1, getuid());
}

SYSCALL(setgid)
{
	return same_ids(args, 1, getgid());
}

SYSCALL(setreuid)
{
	return same_ids(args, 2, getuid());
}

SYSCALL(setregid)
{
	return same_ids(args, 2, getgid());
}

SYSCALL(setresuid)
{
	return same_ids(args, 3, getuid());
}

SYSCALL(setresgid)
{
	return same_ids(args, 3, getgid());
}

SYSCALL(setfsuid)	/* the old one, in any case */
{
	return geteuid();
}

SYSCALL(setfsgid)
{
	return getegid();
}

SYSCALL(getgroups)
{
	gid_t groups[256];
	int n = getgroups(256, groups);

	if (n < 0)
		return -errno;
	if ((int)args->a[0] == 0)
		return n;
	if ((int)args->a[0] < n)
		return -EINVAL;
	return copy_to_user(task, args->a[1], groups, (size_t)n * sizeof(groups[0])) ? -EFAULT : n;
}

SYSCALL(setgroups)
{
	gid_t now[256], wanted[256];
	int n = getgroups(256, now);
	size_t bytes = args->a[0] * sizeof(gid_t);

	if (args->a[0] > 65536)
		return -EINVAL;
	if (n < 0 || args->a[0] != (uint64_t)n)
		return -EPERM;
	if (copy_from_user(task, wanted, args->a[1], bytes))
		return -EFAULT;
	return memcmp(now, wanted, bytes) ? -EPERM : 0;
}

static unsigned cap_words(uint32_t version)
{
	return version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2;
}

SYSCALL(capget)
{
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2];
	int result;

	if (copy_from_user(task, &header, args->a[0], sizeof(header)))
		return -EFAULT;
	if (header.pid && !find_task(task->kernel, header.pid))
		return -ESRCH;
	header.pid = 0;
	result = (int)syscall(SYS_capget, &header, args->a[1] ? data : NULL);
	if (result) {
		int error = -errno;

		if (copy_to_user(task, args->a[0], &header, sizeof(header.version)))
			return -EFAULT;
		return error;
	}
	if (args->a[1] && copy_to_user(task, args->a[1], data,
				       cap_words(header.version) * sizeof(data[0])))
		return -EFAULT;
	return 0;
}

SYSCALL(capset)
{
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct now[2], wanted[2];
	size_t bytes;

	if (copy_from_user(task, &header, args->a[0], sizeof(header)))
		return -EFAULT;
	bytes = cap_words(header.version) * sizeof(wanted[0]);
	if (copy_from_user(task, wanted, args->a[1], bytes))
		return -EFAULT;
	header.pid = 0;
	if (syscall(SYS_capget, &header, now))
		return -errno;
	return memcmp(now, wanted, bytes) ? -EPERM : 0;
}

/* ---- limits and priorities ------------------------------------------------------------------------------ */

static void limit_changed(struct task_struct *target, int which)
{
	switch (which) {
	case ASPACE_RLIMIT_DATA:
	case ASPACE_RLIMIT_STACK:
	case ASPACE_RLIMIT_MEMLOCK:
	case ASPACE_RLIMIT_AS:
		if (target->mm)
			aspace_mm_set_rlimit(target->mm, (enum aspace_rlimit)which,
					     target->signal->rlim[which].cur);
	}
}

static int64_t set_limit(struct task_struct *target, int which, const struct rlimit_guest *new)
{
	struct rlimit_guest *limit = &target->signal->rlim[which];

	if (new->cur > new->max)
		return -EINVAL;
	if (new->max > limit->max && geteuid() != 0)
		return -EPERM;
	*limit = *new;
	limit_changed(target, which);
	return 0;
}

static int64_t get_and_set_limit(struct task_struct *task, struct task_struct *target, uint64_t which,
				 uint64_t new, uint64_t old)
{
	struct rlimit_guest limit, before;

	if (which >= RLIM_NLIMITS)
		return -EINVAL;
	if (new && copy_from_user(task, &limit, new, sizeof(limit)))
		return -EFAULT;
	before = target->signal->rlim[which];
	if (new) {
		int64_t error = set_limit(target, (int)which, &limit);

		if (error)
			return error;
	}
	return old && copy_to_user(task, old, &before, sizeof(before)) ? -EFAULT : 0;
}

SYSCALL(getrlimit)
{
	if (!args->a[1])
		return -EFAULT;
	return get_and_set_limit(task, task, (uint32_t)args->a[0], 0, args->a[1]);
}

SYSCALL(setrlimit)
{
	if (!args->a[1])
		return -EFAULT;
	return get_and_set_limit(task, task, (uint32_t)args->a[0], args->a[1], 0);
}

SYSCALL(prlimit64)
{
	struct task_struct *target = args->a[0] ? find_task(task->kernel, (int)args->a[0]) : task;

	if (!target)
		return -ESRCH;
	return get_and_set_limit(task, target, (uint32_t)args->a[1], args->a[2], args->a[3]);
}

static bool in_set(struct task_struct *task, struct task_struct *other, int which, int who)
{
	switch (which) {
	case PRIO_PROCESS:
		return other->pid == (who ? who : task->pid);
	case PRIO_PGRP:
		return other->signal->pgid == (who ? who : task->signal->pgid);
	default:
		return who == 0 || (uid_t)who == getuid();
	}
}

SYSCALL(getpriority)
{
	int which = (int)args->a[0], best = -1;
	struct task_struct *other;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	list_for_each_entry(other, &task->kernel->tasks, tasks) {
		if (in_set(task, other, which, (int)args->a[1]) && 20 - other->nice > best)
			best = 20 - other->nice;
	}
	return best < 0 ? -ESRCH : best;
}

SYSCALL(setpriority)
{
	int which = (int)args->a[0], nice = (int)args->a[2];
	struct task_struct *other;
	int64_t result = -ESRCH;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	nice = nice < -20 ? -20 : nice > 19 ? 19 : nice;
	list_for_each_entry(other, &task->kernel->tasks, tasks) {
		if (!in_set(task, other, which, (int)args->a[1]))
			continue;
		if (nice < other->nice && geteuid() != 0)
			return -EACCES;
		other->nice = nice;
		result = 0;
	}
	return result;
}

SYSCALL(sched_yield)
{
	task->kernel->resched = true;
	return 0;
}

static struct task_struct *sched_target(struct task_struct *task, uint64_t pid)
{
	return (int)pid ? find_task(task->kernel, (int)pid) : task;
}

/* As many processors as the host lets us use: what /proc and /sys tell the guest too. */
SYSCALL(sched_getaffinity)
{
	unsigned long mask[128] = { 0 };
	size_t size = (uint32_t)args->a[1];
	struct task_struct *target = sched_target(task, args->a[0]);
	long n;

	if (size % sizeof(long))
		return -EINVAL;
	n = syscall(SYS_sched_getaffinity, target ? 0 : (int)args->a[0],
		    size < sizeof(mask) ? size : sizeof(mask), mask);
	if (n < 0)
		return -errno;
	if (target && target->cpu_mask)
		mask[0] = target->cpu_mask;
	return copy_to_user(task, args->a[2], mask, (size_t)n) ? -EFAULT : n;
}

/* Remembered, and without effect: there is one processor. */
SYSCALL(sched_setaffinity)
{
	unsigned long have[128] = { 0 }, mask = 0;
	size_t size = args->a[1] < sizeof(mask) ? args->a[1] : sizeof(mask);
	struct task_struct *target = sched_target(task, args->a[0]);

	if (!target)
		return -ESRCH;
	if (copy_from_user(task, &mask, args->a[2], size))
		return -EFAULT;
	if (syscall(SYS_sched_getaffinity, 0, sizeof(have), have) < 0)
		return -errno;
	mask &= have[0];
	if (!mask)
		return -EINVAL;
	target->cpu_mask = mask;
	return 0;
}

/* A process that is no guest: the host knows it. */
SYSCALL(sched_getscheduler)
{
	int pid = (int)args->a[0];
	struct task_struct *target = sched_target(task, args->a[0]);

	if (pid < 0)
		return -EINVAL;
	if (!target) {
		int policy = (int)syscall(SYS_sched_getscheduler, pid);

		return policy < 0 ? -errno : policy;
	}
	return target->sched_policy | (target->sched_reset_on_fork ? SCHED_RESET_ON_FORK : 0);
}

SYSCALL(sched_getparam)
{
	struct sched_param param = { 0 };
	int pid = (int)args->a[0];

	if (pid < 0 || !args->a[1])
		return -EINVAL;
	if (!sched_target(task, args->a[0]) && syscall(SYS_sched_getparam, pid, &param) < 0)
		return -errno;
	return copy_to_user(task, args->a[1], &param, sizeof(param)) ? -EFAULT : 0;
}

#define KEEP_POLICY (-1)

/*
 * A policy is remembered and told, and passed on to children: there are no queues for it. Without
 * privilege there is no way back from SCHED_IDLE, and none from SCHED_RESET_ON_FORK.
 */
static int64_t set_scheduler(struct task_struct *task, uint64_t pid, int policy, uint64_t user)
{
	struct task_struct *target;
	bool reset;
	int priority;

	if (!user || (int)pid < 0)
		return -EINVAL;
	if (copy_from_user(task, &priority, user, sizeof(priority)))
		return -EFAULT;
	target = sched_target(task, pid);
	if (!target)
		return syscall(SYS_sched_getscheduler, (int)pid) < 0 ? -ESRCH : -EPERM;
	if (policy == KEEP_POLICY)
		policy = target->sched_policy | (target->sched_reset_on_fork ? SCHED_RESET_ON_FORK : 0);
	reset = policy & SCHED_RESET_ON_FORK;
	policy &= ~SCHED_RESET_ON_FORK;
	if (policy == SCHED_FIFO || policy == SCHED_RR)
		return -EPERM;
	if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE)
		return -EINVAL;
	if (priority)
		return -EINVAL;
	if (geteuid() != 0 && ((target->sched_policy == SCHED_IDLE && policy != SCHED_IDLE) ||
			       (target->sched_reset_on_fork && !reset)))
		return -EPERM;
	target->sched_policy = policy;
	target->sched_reset_on_fork = reset;
	return 0;
}

SYSCALL(sched_setscheduler)
{
	if ((int)args->a[1] < 0)
		return -EINVAL;
	return set_scheduler(task, args->a[0], (int)args->a[1], args->a[2]);
}

SYSCALL(sched_setparam)
{
	return set_scheduler(task, args->a[0], KEEP_POLICY, args->a[1]);
}

static bool is_policy(int policy)
{
	return policy >= SCHED_OTHER && policy <= 6 && policy != 4;
}

static bool is_real_time(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

SYSCALL(sched_get_priority_max)
{
	int policy = (int)args->a[0];

	return !is_policy(policy) ? -EINVAL : is_real_time(policy) ? 99 : 0;
}

SYSCALL(sched_get_priority_min)
{
	int policy = (int)args->a[0];

	return !is_policy(policy) ? -EINVAL : is_real_time(policy) ? 1 : 0;
}

SYSCALL(sched_rr_get_interval)
{
	struct timespec slice = { .tv_nsec = (long)task->kernel->options.preempt_us * 1000 };

	if (!sched_target(task, args->a[0]))
		return -ESRCH;
	return copy_to_user(task, args->a[1], &slice, sizeof(slice)) ? -EFAULT : 0;
}

SYSCALL(getcpu)
{
	uint32_t zero = 0;

	for (int i = 0; i < 2; i++) {
		if (args->a[i] && copy_to_user(task, args->a[i], &zero, sizeof(zero)))
			return -EFAULT;
	}
	return 0;
}

/* ---- priorities of I/O: remembered, told and inherited; the host orders our requests as it likes */

enum { IO_NONE, IO_REAL_TIME, IO_BEST_EFFORT, IO_IDLE };
#define IO_CLASS(ioprio) ((ioprio) >> 13 & 7)
#define IO_LEVEL(ioprio) ((ioprio) & 7)

/* What a task that never set one has, by its nice value. */
static int effective_ioprio(const struct task_struct *t)
{
	return IO_CLASS(t->ioprio) ? t->ioprio : IO_BEST_EFFORT << 13 | (t->nice + 20) / 5;
}

static bool bad_ioprio(int ioprio)
{
	return IO_CLASS(ioprio) > IO_IDLE || (IO_CLASS(ioprio) == IO_NONE && IO_LEVEL(ioprio));
}

SYSCALL(ioprio_set)
{
	int which = (int)args->a[0] - 1, ioprio = (int)args->a[2];
	struct task_struct *other;
	int64_t result = -ESRCH;

	if (bad_ioprio(ioprio))
		return -EINVAL;
	if (IO_CLASS(ioprio) == IO_REAL_TIME && geteuid() != 0)
		return -EPERM;
	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	list_for_each_entry(other, &task->kernel->tasks, tasks) {
		if (!in_set(task, other, which, (int)args->a[1]))
			continue;
		other->ioprio = (unsigned short)ioprio;
		result = 0;
	}
	return result;
}

/* Of several, the most urgent. */
SYSCALL(ioprio_get)
{
	int which = (int)args->a[0] - 1;
	struct task_struct *other;
	int64_t best = -ESRCH;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	list_for_each_entry(other, &task->kernel->tasks, tasks) {
		int64_t its = which == PRIO_PROCESS ? other->ioprio : effective_ioprio(other);

		if (in_set(task, other, which, (int)args->a[1]) && (best < 0 || its < best))
			best = its;
	}
	return best;
}

/* ---- the system ----------------------------------------------------------------------------------------------- */

SYSCALL(uname)
{
	struct utsname name;

	uname(&name);
	strcpy(name.machine, "x86_64");
	return copy_to_user(task, args->a[0], &name, sizeof(name)) ? -EFAULT : 0;
}

/* The host's name is not ours to change: as without privilege. */
SYSCALL(sethostname)
{
	return -EPERM;
}

SYSCALL(setdomainname)
{
	return -EPERM;
}

SYSCALL(sysinfo)
{
	struct aspace_machine_stats stats = { .size = sizeof(stats) };
	struct sysinfo info;

	if (sysinfo(&info))
		return -errno;
	aspace_machine_stats(task->kernel->machine, &stats);
	info.totalram = stats.frames_total * 4096 / info.mem_unit;
	info.freeram = stats.frames_free * 4096 / info.mem_unit;
	info.sharedram = stats.frames_shmem * 4096 / info.mem_unit;
	info.totalswap = info.freeswap = 0;
	info.procs = (unsigned short)task->kernel->nr_tasks;
	return copy_to_user(task, args->a[0], &info, sizeof(info)) ? -EFAULT : 0;
}

SYSCALL(personality)
{
	unsigned old = task->personality, new = (unsigned)args->a[0];

	if (new != 0xffffffff) {
		task->personality = new;
		aspace_mm_set_personality(task->mm, new);
	}
	return old;
}

SYSCALL(getrandom)
{
	uint64_t done = 0, n = args->a[1] < 0x7ffff000 ? args->a[1] : 0x7ffff000;
	char buffer[256];

	if ((args->a[2] & ~7ull) || (args->a[2] & 6) == 6)
		return -EINVAL;
	while (done < n) {
		size_t some = n - done < sizeof(buffer) ? n - done : sizeof(buffer), left;

		kernel_random(task->kernel, buffer, some);
		left = copy_to_user(task, args->a[0] + done, buffer, some);
		done += some - left;
		if (left)
			return done ? (int64_t)done : -EFAULT;
	}
	return (int64_t)done;
}

/* ---- restartable sequences ------------------------------------------------------------------------------------- */

#define RSEQ_SIZE 32
#define RSEQ_MIN_SIZE 28
#define RSEQ_CS 8		/* offset of the pointer to the sequence that runs */

struct rseq_sequence {
	uint32_t version, flags;
	uint64_t start_ip, post_commit_offset, abort_ip;
};

SYSCALL(rseq)
{
	static const uint32_t cpu[2] = { 0, 0 }, gone[2] = { 0, (uint32_t)-1 };
	uint64_t area = args->a[0];
	uint32_t len = (uint32_t)args->a[1], sig = (uint32_t)args->a[3];

	if (args->a[2] & 1) {
		if ((args->a[2] & ~1ull) || task->rseq_area != area || !area || task->rseq_len != len)
			return -EINVAL;
		if (task->rseq_sig != sig)
			return -EPERM;
		task->rseq_area = 0;
		return copy_to_user(task, area, gone, sizeof(gone)) ? -EFAULT : 0;
	}
	if (args->a[2])
		return -EINVAL;
	if (task->rseq_area) {
		if (task->rseq_area != area || task->rseq_len != len)
			return -EINVAL;
		return task->rseq_sig != sig ? -EPERM : -EBUSY;
	}
	if (len < RSEQ_MIN_SIZE || area % RSEQ_SIZE)
		return -EINVAL;
	if (copy_to_user(task, area, cpu, sizeof(cpu)))
		return -EFAULT;
	if (aspace_clear_user(task->mm, area + 20, 8))	/* node and mm_cid */
		return -EFAULT;
	task->rseq_area = area;
	task->rseq_len = len;
	task->rseq_sig = sig;
	return 0;
}

/* A sequence that was interrupted doesn't go on: its abort handler does. */
void rseq_interrupt(struct task_struct *task)
{
	struct rseq_sequence cs;
	struct cpu_regs regs;
	uint64_t pointer, zero = 0;
	uint32_t sig;

	if (!task->rseq_area || !task->mm)
		return;
	if (copy_from_user(task, &pointer, task->rseq_area + RSEQ_CS, sizeof(pointer)) || !pointer)
		return;
	cpu_context_get_regs(task->kernel->cpu, task->cpu, &regs);
	if (copy_from_user(task, &cs, pointer, sizeof(cs)) ||
	    copy_to_user(task, task->rseq_area + RSEQ_CS, &zero, sizeof(zero))) {
		force_signal(task, SIGSEGV, SI_KERNEL, 0);
		return;
	}
	if (regs.rip - cs.start_ip >= cs.post_commit_offset)
		return;
	if (copy_from_user(task, &sig, cs.abort_ip - sizeof(sig), sizeof(sig)) ||
	    sig != task->rseq_sig) {
		force_signal(task, SIGSEGV, SI_KERNEL, 0);
		return;
	}
	regs.rip = cs.abort_ip;
	cpu_context_set_regs(task->kernel->cpu, task->cpu, &regs);
}

/* ---- switches ---------------------------------------------------------------------------------------------------- */

#define ARCH_SET_GS_GUEST 0x1001
#define ARCH_SET_FS_GUEST 0x1002
#define ARCH_GET_FS_GUEST 0x1003
#define ARCH_GET_GS_GUEST 0x1004
#define ARCH_GET_CPUID_GUEST 0x1011
#define TASK_SIZE 0x7ffffffff000ull

SYSCALL(arch_prctl)
{
	struct cpu *cpu = task->kernel->cpu;
	struct cpu_regs regs;
	uint64_t addr = args->a[1];

	cpu_context_get_regs(cpu, task->cpu, &regs);
	switch ((int)args->a[0]) {
	case ARCH_SET_FS_GUEST:
	case ARCH_SET_GS_GUEST:
		if (addr >= TASK_SIZE)
			return -EPERM;
		if ((int)args->a[0] == ARCH_SET_FS_GUEST)
			regs.fs_base = addr;
		else
			regs.gs_base = addr;
		cpu_context_set_regs(cpu, task->cpu, &regs);
		return 0;
	case ARCH_GET_FS_GUEST:
		return copy_to_user(task, addr, &regs.fs_base, 8) ? -EFAULT : 0;
	case ARCH_GET_GS_GUEST:
		return copy_to_user(task, addr, &regs.gs_base, 8) ? -EFAULT : 0;
	case ARCH_GET_CPUID_GUEST:
		return 1;
	default:
		return -EINVAL;
	}
}

static int64_t prctl_set_name(struct task_struct *task, uint64_t user)
{
	char name[16] = { 0 };
	int64_t n = aspace_strncpy_from_user(task->mm, name, user, sizeof(name) - 1);

	if (n < 0)
		return n;
	memset(name + n, 0, sizeof(name) - (size_t)n);
	memcpy(task->comm, name, sizeof(name));
	return 0;
}

static int64_t put_int(struct task_struct *task, uint64_t user, int value)
{
	return copy_to_user(task, user, &value, sizeof(value)) ? -EFAULT : 0;
}

static int64_t prctl_get_auxv(struct task_struct *task, const struct sys_args *args)
{
	uint64_t auxv[64];
	size_t n = aspace_mm_auxv(task->mm, auxv, sizeof(auxv));
	size_t some = args->a[2] < n ? args->a[2] : n;

	if (args->a[3] || args->a[4])
		return -EINVAL;
	return copy_to_user(task, args->a[1], auxv, some) ? -EFAULT : (int64_t)n;
}

static int64_t prctl_thp(struct task_struct *task, const struct sys_args *args)
{
	if (args->a[2] || args->a[3] || args->a[4])
		return -EINVAL;
	task->thp_disable = args->a[1] != 0;
	aspace_mm_set_thp_disable(task->mm, task->thp_disable);
	return 0;
}

static int64_t prctl_mdwe(struct task_struct *task, const struct sys_args *args)
{
	int error;

	if (args->a[2] || args->a[3] || args->a[4])
		return -EINVAL;
	error = aspace_mm_set_mdwe(task->mm, (unsigned)args->a[1]);
	if (!error)
		task->mdwe = (unsigned)args->a[1];
	return error;
}

#define PR_GET_AUXV_GUEST 0x41555856
#define PR_SET_MDWE_GUEST 65
#define PR_GET_MDWE_GUEST 66

SYSCALL(prctl)
{
	uint64_t a1 = args->a[1];

	switch ((int)args->a[0]) {
	case PR_SET_PDEATHSIG:
		if (a1 > 64)
			return -EINVAL;
		task->pdeath_signal = (int)a1;
		return 0;
	case PR_GET_PDEATHSIG:
		return put_int(task, a1, task->pdeath_signal);
	case PR_GET_DUMPABLE:
		return task->dumpable;
	case PR_SET_DUMPABLE:
		if (a1 > 1)
			return -EINVAL;
		task->dumpable = (unsigned)a1;
		return 0;
	case PR_GET_KEEPCAPS:
		return 0;
	case PR_SET_NAME:
		return prctl_set_name(task, a1);
	case PR_GET_NAME:
		return copy_to_user(task, a1, task->comm, sizeof(task->comm)) ? -EFAULT : 0;
	case PR_GET_SECCOMP:
		return 0;
	case PR_CAPBSET_READ:
	case PR_GET_SECUREBITS: {
		int result = prctl((int)args->a[0], a1, 0, 0, 0);

		return result < 0 ? -errno : result;
	}
	case PR_SET_TIMERSLACK:
		task->timerslack_ns = a1 ? a1 : 50000;
		return 0;
	case PR_GET_TIMERSLACK:
		return (int64_t)task->timerslack_ns;
	case PR_SET_MM:
		return prctl_set_mm(task, args);
	case PR_SET_CHILD_SUBREAPER:
		task->signal->is_child_subreaper = a1 != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return put_int(task, a1, task->signal->is_child_subreaper);
	case PR_SET_NO_NEW_PRIVS:
		if (a1 != 1 || args->a[2] || args->a[3] || args->a[4])
			return -EINVAL;
		task->no_new_privs = true;
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		return task->no_new_privs;
	case PR_GET_TID_ADDRESS:
		return copy_to_user(task, a1, &task->clear_child_tid, 8) ? -EFAULT : 0;
	case PR_SET_THP_DISABLE:
		return prctl_thp(task, args);
	case PR_GET_THP_DISABLE:
		return a1 || args->a[2] || args->a[3] || args->a[4] ? -EINVAL : task->thp_disable;
	case PR_SET_MDWE_GUEST:
		return prctl_mdwe(task, args);
	case PR_GET_MDWE_GUEST:
		return task->mdwe;
	case PR_SET_VMA:
		return prctl_set_vma(task, args);
	case PR_GET_AUXV_GUEST:
		return prctl_get_auxv(task, args);
	default:
		return -EINVAL;
	}
}
