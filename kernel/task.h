/* SPDX-License-Identifier: MIT */
/* What the files about tasks (sched, entry, fork, exec, exit, signal, time) offer each other. */
#ifndef KERNEL_TASK_H
#define KERNEL_TASK_H

#include "kernel.h"

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define NSEC_PER_SEC 1000000000ull

/* kernel.c: the machine with its processor, from the first task to the last. */
int kernel_create(const struct kernel_options *options, struct kernel **kernel);
/* The first program. argv and envp as main's. -errno: it can't be run, nothing has happened. */
int kernel_start(struct kernel *k, const char *path, char *const argv[], char *const envp[]);
/* Runs until no task is left. The first program's wait status, or -errno: the engine failed. */
int kernel_run(struct kernel *k);
void kernel_destroy(struct kernel *k);

/* sched.c */
void task_make_runnable(struct task_struct *task);
/* Off the queues that its wait put it on; why it woke stays readable. */
void wait_cleanup(struct task_struct *task);
void wait_sleep(struct task_struct *task);
int64_t wait_abandon(struct task_struct *task);
/* The next to run; sleeps on the host while there is none. NULL: no task is left. */
struct task_struct *schedule(struct kernel *k);
void account_time(struct task_struct *task);
void run_timers(struct kernel *k);

/* entry.c */
int run_task(struct kernel *k, struct task_struct *task);	/* -errno: the engine failed */
void syscall_finish(struct task_struct *task, int64_t result);
void log_syscall_result(struct task_struct *task, int64_t result);

/* fork.c */
struct task_struct *task_new(struct kernel *k);
void task_free(struct task_struct *task);
void task_hash(struct task_struct *task);
void task_unhash(struct task_struct *task);
struct signal_struct *signal_struct_new(void);
void signal_struct_put(struct signal_struct *signal);
struct sighand_struct *sighand_new(void);
void sighand_put(struct sighand_struct *sighand);
void fs_put(struct fs_struct *fs);
int alloc_pid(struct kernel *k);

/* exec.c */
int do_execve(struct task_struct *task, int dirfd, const char *path, int flags,
	      char *const *argv, char *const *envp);

/* exit.c */
/* Ends one thread; the last of a group makes the process a zombie. status: as wait4 shows it. */
void do_exit(struct task_struct *task, int status);
void do_group_exit(struct task_struct *task, int status);
/* Ends every other thread of the group at once: execve, exit_group. */
void zap_other_threads(struct task_struct *task);
void exit_mm(struct task_struct *task);
void mm_release(struct task_struct *task);
void notify_parent(struct task_struct *leader, int code, int status);

/* signal.c */
#define SIGMASK(sig) (1ull << ((sig) - 1))
struct sigqueue {
	struct list_head link;
	siginfo_t info;
};
void sigpending_init(struct sigpending *pending);
void flush_sigqueue(struct sigpending *pending, uint64_t mask);
void flush_signal_handlers(struct sighand_struct *sighand);
/* Looks at the pending signals: may stop or end the task, or enter a handler. */
void do_signals(struct task_struct *task);
void recalc_notify(struct task_struct *task);
int kill_pgrp(struct kernel *k, int pgid, int sig, const siginfo_t *info);
/* What kill(2) and tkill(2) of this task tell: SI_USER, SI_TKILL. */
void user_siginfo(struct task_struct *task, siginfo_t *info, int code);
bool valid_signal(uint64_t sig);	/* or 0 */
void set_blocked(struct task_struct *task, uint64_t mask);
/* The next signal of `set` for this task, with its siginfo; 0: none. */
int dequeue_signal(struct task_struct *task, uint64_t set, siginfo_t *info);
void signalfd_notify(int sig);	/* signalfd.c: it became pending */
void cont_process(struct signal_struct *signal);

/* futex.c */
void futex_init(void);
void futex_unqueue(struct task_struct *task);
void exit_robust_list(struct task_struct *task);
int futex_wake_address(struct aspace_mm *mm, uint64_t addr, int n, bool process_private);

/* time.c */
void exit_timers(struct signal_struct *signal);
void signal_itimers_init(struct signal_struct *signal);
/* At a tick: CPU-time timers and RLIMIT_CPU of the process that ran. */
void check_cpu_timers(struct task_struct *task);
/* A timer's signal was taken: si_overrun is what came since it was queued. */
void posix_timer_dequeued(struct signal_struct *signal, siginfo_t *info);
void posix_timers_exec(struct signal_struct *signal);

/* rseq in sys_misc.c: after a preemption and before a signal frame. */
void rseq_interrupt(struct task_struct *task);

/* stats.c */
void print_stats(struct kernel *k, FILE *out, bool json);
void print_unknown(struct kernel *k, FILE *out);
void print_maps(struct kernel *k, FILE *out);
/* strace-like lines: --log-mm and --strace. */
void log_enter(struct task_struct *task);
void log_exit(struct task_struct *task, int64_t result);
void log_fault(struct task_struct *task, const struct aspace_fault *fault, uint64_t addr,
	       unsigned access, int result);

#endif
