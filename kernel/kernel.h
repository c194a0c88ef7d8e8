/* SPDX-License-Identifier: MIT */
/*
 * The personality: what runs programs in libaspace's address spaces, as the Linux kernel would.
 *
 * One host thread runs everything. A guest task is a struct task_struct and nothing else: no host
 * stack belongs to it. The scheduler takes a runnable task, runs it on the CPU engine until an
 * event, and handles the event to its end:
 *
 *	cpu_run -> system call -> table entry -> handler(task, args) -> result -> rax
 *	        -> page fault  -> aspace_fault -> retry, or a signal
 *	        -> kick        -> time slice over, or a host signal came in: look around
 *
 * Blocking. A handler that can't go on says what it waits for (wait_for_*, below) and returns
 * -ERESTART_WAIT. The task sleeps; when one of the conditions holds, the same handler is called
 * again with the same arguments, from the beginning. What it must remember in between (an absolute
 * deadline, bytes already moved) it keeps in task->wait.state, which is zero at the first call. A
 * signal that arrives meanwhile ends the call with EINTR or restarts it (SA_RESTART), as Linux does
 * for that call: see task->wait.on_signal.
 *
 * Guest memory is reached only by copy_from_user / copy_to_user (aspace_copy_*): a guest pointer
 * never reaches the host.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <signal.h>
#include <time.h>

#include <aspace/aspace.h>
#include "base/list.h"
#include "hw/cpu.h"

struct kernel;
struct task_struct;

/* Internal results of a handler; never seen by a guest. */
#define ERESTART_WAIT		512	/* wait as said, then call again */
#define ENORETURN		513	/* registers are set as they must be (execve, sigreturn, exit) */
/*
 * What an interrupted wait becomes is sched.c's to decide: -ERESTART_WAIT is said in any case. If a
 * signal is pending then and a handler of the guest's runs, the call ends with EINTR, or starts anew
 * after the handler (SIGNAL_RESTARTS and SA_RESTART); if none runs (stop and continue, say), the
 * same handler is called again with its state kept. One that has moved bytes already and sees
 * signal_pending(task) returns their number instead of waiting for more.
 */

struct sys_args {
	uint64_t nr;
	uint64_t a[6];
};
typedef int64_t (*sys_handler)(struct task_struct *task, const struct sys_args *args);

struct sys_entry {		/* kernel/syscalls.c: the table, indexed by number */
	const char *name;
	sys_handler handler;	/* NULL: ENOSYS, counted and listed at the end */
	const char *args;	/* how --log-mm and --strace show them: a letter each, see stats.c */
	bool is_mm;		/* logged by --log-mm */
};
const struct sys_entry *syscall_entry(uint64_t nr);	/* NULL: no such number */
/* A handler is `int64_t sys_NAME(task, args)`; each family's file defines its own. */
#define SYSCALL(name) int64_t sys_##name(struct task_struct *task, const struct sys_args *args)

/* ---- waiting ------------------------------------------------------------------------------ */

struct wait_queue {		/* embedded in what is waited for; zero is not valid: init */
	struct list_head waiters;
};
struct waiter {
	struct list_head link;
	struct task_struct *task;
};
#define MAX_WAIT_FDS 16		/* poll of more host fds goes through a private epoll, see poll.c */

enum on_signal {
	SIGNAL_RESTARTS,	/* SA_RESTART honoured */
	SIGNAL_INTERRUPTS,	/* always EINTR */
	SIGNAL_KILLS,		/* not woken but by SIGKILL: vfork's parent */
};

/* A point in time at which something is done: kernel->timers, sorted. Zero: not armed. */
struct ktimer {
	struct list_head link;
	uint64_t expires_ns;	/* CLOCK_MONOTONIC */
	void (*fn)(struct ktimer *timer);	/* called once; may arm it again */
	bool armed;
};
void ktimer_arm(struct kernel *k, struct ktimer *timer, uint64_t expires_ns);
void ktimer_cancel(struct ktimer *timer);

struct task_wait {
	bool waiting;		/* in a queue, or watching fds, or until a time */
	enum on_signal on_signal;	/* SIGNAL_RESTARTS unless the handler says otherwise */
	bool timed_out, woken;	/* why it woke; read by the handler when it is called again */
	uint64_t deadline_ns;	/* CLOCK_MONOTONIC; UINT64_MAX: none */
	int nfds;
	struct { int fd; short events, revents; } fds[MAX_WAIT_FDS];	/* host fds */
	struct waiter waiter;	/* at most one queue */
	bool queued;
	bool wake_pending;	/* woken while the handler still runs: don't fall asleep */
	struct ktimer timer;	/* the deadline */
	struct list_head fd_link;	/* kernel->fd_waiters */
	uint64_t state[4];	/* the handler's own, zero at the first call */
	/*
	 * A signal (or the task's death) ends the call instead of another try: called once, before
	 * EINTR or the restart is decided, to give back what state holds. Returns the bytes already
	 * moved, which are the call's result then, or 0. NULL (at the first call): nothing to do.
	 */
	int64_t (*interrupted)(struct task_struct *task);
};
void wait_queue_init(struct wait_queue *wq);
void wait_for_queue(struct task_struct *task, struct wait_queue *wq);
void wait_for_fd(struct task_struct *task, int host_fd, short events);
void wait_until(struct task_struct *task, uint64_t deadline_ns);
void wake_up_task(struct task_struct *task);
int wake_up(struct wait_queue *wq, int n);	/* the first n waiters; how many */
bool signal_pending(struct task_struct *task);
uint64_t monotonic_ns(void);

/* ---- tasks --------------------------------------------------------------------------------- */

struct files_struct;		/* fdtable.c */
struct fs_struct {		/* cwd and umask; CLONE_FS shares it */
	unsigned refs;
	int cwd_fd;		/* a host O_PATH directory */
	unsigned umask;
};

struct sigaction_guest {	/* the kernel's struct sigaction of x86-64 */
	uint64_t handler, flags, restorer, mask;
};
struct sighand_struct {		/* CLONE_SIGHAND */
	unsigned refs;
	struct sigaction_guest action[65];
};
struct sigpending {
	uint64_t set;		/* bit N-1: signal N */
	struct list_head queue;	/* struct sigqueue: siginfo of each */
};
struct rlimit_guest { uint64_t cur, max; };

struct signal_struct {		/* one a thread group (process) */
	struct list_head threads;
	unsigned nr_threads;
	unsigned refs;		/* threads and the zombie */
	struct sigpending shared_pending;
	struct wait_queue child_wait;	/* wait4 of the parent sleeps here */
	struct list_head children;	/* struct task_struct leaders by sibling */
	struct task_struct *leader, *parent_leader;
	int pgid, sid;
	int exit_code;		/* wait status */
	bool group_exit;
	bool stopped;
	struct rlimit_guest rlim[16];
	bool noted_stop, noted_continue;	/* for the parent's waitid: not yet reported */
	int stop_signal;
	struct ktimer itimer_real;
	uint64_t itimer_real_interval;	/* ns */
	struct cpu_itimer { uint64_t expires_ns, interval_ns; } itimer_cpu[2];	/* ITIMER_VIRTUAL - 1.. */
	uint64_t utime_ns;	/* of threads that ended; see process_cputime() */
	uint64_t cutime_ns, cmin_flt, cmaj_flt, min_flt, maj_flt, nvcsw, nivcsw, cnvcsw, cnivcsw;
	uint64_t maxrss_pages, cmaxrss_pages;
	uint64_t start_ns;
	struct list_head posix_timers;
	int next_timer_id;
	bool is_child_subreaper, exec_done;
	int oom_score_adj;
	unsigned membarrier;	/* what it registered for */
};

struct futex_q {		/* a waiter, in the bucket of its key */
	struct list_head link;
	struct aspace_futex_key key;
	uint32_t bitset;
	bool queued;
};

enum task_state { TASK_RUNNING, TASK_WAITING, TASK_STOPPED, TASK_ZOMBIE, TASK_DEAD };

struct task_struct {
	struct kernel *kernel;
	struct list_head tasks;		/* kernel->tasks */
	struct list_head run;		/* run queue */
	struct task_struct *hash_next;	/* kernel->pid_hash */
	struct list_head thread_link;	/* signal->threads */
	struct list_head sibling;	/* parent's children (leaders only) */
	enum task_state state;
	int pid, tgid;
	char comm[16];
	struct aspace_mm *mm;		/* NULL after exit_mm */
	struct cpu_context *cpu;
	struct files_struct *files;
	struct fs_struct *fs;
	struct sighand_struct *sighand;
	struct signal_struct *signal;
	struct sigpending pending;
	uint64_t blocked, saved_blocked;
	uint64_t sigwait_set;		/* rt_sigtimedwait sleeps for these */
	bool restore_blocked;		/* sigsuspend, ppoll: put saved_blocked back after delivery */
	uint64_t altstack_sp, altstack_size;
	int altstack_flags;
	uint64_t set_child_tid, clear_child_tid;
	uint64_t robust_list;
	struct futex_q futex;
	uint32_t pkru;
	struct task_wait wait;
	struct sys_args call;		/* the system call it is in */
	bool in_syscall;	/* the handler has to be called (again) before user mode goes on */
	bool interrupted;	/* it said "wait", and a signal was pending */
	bool notify;		/* look at signals before user mode goes on */
	bool on_run_queue;
	struct wait_queue vfork_done;	/* the parent of a vfork sleeps here until we exec or exit */
	bool vfork_pending;
	uint32_t rseq_len, rseq_sig;
	uint64_t rseq_area;
	int nice, sched_policy, ioprio;
	bool sched_reset_on_fork;	/* children have a nice of at least 0, and not this */
	uint64_t cpu_mask, timerslack_ns;
	uint64_t slice_start_ns;	/* current: when it got the processor */
	uint64_t start_ns;
	int fault_trapno;		/* of the last fault: what a signal frame shows */
	unsigned fault_error;
	uint64_t fault_cr2;
	bool exec_fatal;		/* execve failed past the point of no return */
	int pdeath_signal, exit_signal;
	unsigned personality;
	bool no_new_privs, thp_disable;
	unsigned mdwe;
	uint32_t mempolicy;		/* what set_mempolicy said; there is one node */
	unsigned dumpable;
	uint64_t utime_ns;
	uint64_t min_flt, maj_flt, nvcsw, nivcsw;
};

struct kernel_options {
	uint64_t ram_bytes;
	enum aspace_format format;
	enum aspace_index index;
	uint64_t seed;			/* 0: no ASLR, fixed AT_RANDOM */
	bool log_mm, strace;
	unsigned fault_around_kib;
	unsigned preempt_us;		/* time slice, default 10,000; smaller values are a soak test */
	FILE *log;			/* stderr by default */
	bool maps_on_usr1;		/* SIGUSR1 prints maps, instead of going to the guest */
	bool maps_at_exit;		/* of the first program, when it ends */
	bool check_mm;			/* the whole-state checker at the end of each program */
};
#define PID_HASH_SIZE 1024
#define NR_SYSCALLS 512

struct kernel {
	struct aspace_machine *machine;
	struct cpu *cpu;
	struct kernel_options options;
	struct list_head tasks, run_queue;
	struct list_head fd_waiters;	/* struct task_wait.fd_link */
	struct list_head timers;	/* struct ktimer, the first to expire first */
	struct task_struct *pid_hash[PID_HASH_SIZE];
	struct task_struct *current;
	struct task_struct *init;	/* the first process: its end is the command's; NULL: reaped */
	unsigned nr_tasks;		/* that are not zombies */
	bool orphans;			/* it ended before the others */
	bool abandoned;			/* which a copy of this process runs: nothing here is ours */
	bool is_copy;			/* ... and that copy is us */
	struct aspace_mm_stats init_mm_stats;	/* of the first program, when it ended */
	int init_status;		/* wait status of the first process, when it ended */
	int first_pid, next_pid, host_ppid;
	int last_pid;			/* who ran last: statistics */
	uint64_t boot_ns;
	uint64_t next_tick_ns, last_poll_ns;
	bool logging;			/* --log-mm or --strace */
	struct task_struct *log_open;	/* whose line of the log waits for its result */
	bool resched;			/* current gives way: sched_yield */
	int event_fd;			/* host signal handlers write here: ends an idle wait */
	unsigned first_umask;
	uint64_t host_ignored;
	sigset_t host_mask;		/* blocked when we were started: the first program inherits it */
	uint64_t random_state[4];	/* options.seed: what getrandom and ASLR give */
	uint64_t syscall_count[NR_SYSCALLS], unknown_count[NR_SYSCALLS];
	uint64_t nr_switches, nr_forks, nr_execs, nr_signals;
	uint64_t nr_threads_made, nr_faults, nr_kicks, nr_tasks_max;
	struct list_head inodes;	/* inode.c: mappings of host files */
	bool maps_requested;
};

/* current's memory; same results as in Linux: bytes that could not be copied. */
static inline size_t copy_from_user(struct task_struct *task, void *to, uint64_t from, size_t n)
{
	return aspace_copy_from_user(task->mm, to, from, n);
}
static inline size_t copy_to_user(struct task_struct *task, uint64_t to, const void *from, size_t n)
{
	return aspace_copy_to_user(task->mm, to, from, n);
}
/* A path of the guest, NUL-terminated in buf[4096]: its length, -EFAULT, -ENAMETOOLONG, -ENOENT (empty). */
int64_t getname(struct task_struct *task, uint64_t user, char *buf);

struct task_struct *find_task(struct kernel *k, int pid);	/* by tid */
static inline bool is_leader(const struct task_struct *task)
{
	return task->pid == task->tgid;
}
/* CPU time of a task and of a process until now. */
uint64_t task_cputime(struct task_struct *task);
uint64_t process_cputime(struct signal_struct *signal);
/* Random bytes: the host's, or from options.seed. */
void kernel_random(struct kernel *k, void *buf, size_t n);
/*
 * A time of the guest's as an absolute CLOCK_MONOTONIC deadline. relative: a struct timespec or
 * timeval's contents; -EINVAL if they are out of range.
 */
int deadline_from_timespec(const struct timespec *relative, uint64_t *deadline_ns);
int deadline_from_absolute(clockid_t clock, const struct timespec *when, uint64_t *deadline_ns);
/* ppoll, pselect6, epoll_pwait: blocks `set` until the call has ended and its signal was handled. */
int set_user_sigmask(struct task_struct *task, uint64_t user_set, uint64_t sigsetsize);
int send_signal(struct task_struct *task, int sig, const void *siginfo, bool group);
/* A synchronous one (fault); forced: unblocked and default action if blocked or ignored. */
void force_signal(struct task_struct *task, int sig, int code, uint64_t addr);

/* ---- the border between tasks (fork.c, exec.c, ...) and files (fdtable.c, ...) ---------------- */

struct kfile;			/* an open file description; refcounted; kfile.h */
struct files_struct *files_new(void);
struct files_struct *files_copy(struct files_struct *files);	/* fork; NULL: no memory */
struct files_struct *files_get(struct files_struct *files);	/* CLONE_FILES */
void files_put(struct kernel *k, struct task_struct *task, struct files_struct *files);
void files_close_on_exec(struct task_struct *task);
/* The guest process group in the foreground of our controlling terminal; 0: there is none. */
int tty_foreground_pgrp(struct kernel *k) __attribute__((weak));
void tty_leader_exits(struct task_struct *leader);	/* of its session, that is */
unsigned files_early_init(void) __attribute__((weak));	/* before anything is opened: the umask */
int files_open_std(struct kernel *k, struct files_struct *files);	/* 0, 1, 2 of the host */
/* A path of the guest opened for execve or as interpreter: what the ELF loader maps. -errno. */
int kernel_open_exec(struct task_struct *task, int dirfd, const char *path, int flags,
		     struct kfile **file);
struct aspace_file *kfile_aspace(struct kernel *k, struct kfile *file);	/* made on first use; a reference, or NULL: -ENODEV */
int kfile_host_fd(struct kfile *file);
void kfile_put(struct kfile *file);
struct kfile *fget(struct task_struct *task, int fd);	/* a reference, or NULL */
void inodes_sync(struct kernel *k);	/* write back everything dirty */
void inodes_destroy(struct kernel *k);
void exit_posix_locks(struct task_struct *task);	/* a process ends */

#endif
