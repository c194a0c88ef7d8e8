/* SPDX-License-Identifier: MIT */
/* The system calls on tasks and memory, by the file that defines them; those on files: syscalls_fs.h. */
#ifndef KERNEL_SYSCALLS_H
#define KERNEL_SYSCALLS_H

#include "kernel.h"

/* fork.c */
SYSCALL(fork);
SYSCALL(vfork);
SYSCALL(clone);
SYSCALL(clone3);

/* exec.c */
SYSCALL(execve);
SYSCALL(execveat);

/* exit.c */
SYSCALL(exit);
SYSCALL(exit_group);
SYSCALL(wait4);
SYSCALL(waitid);

/* signal.c */
SYSCALL(rt_sigaction);
SYSCALL(rt_sigprocmask);
SYSCALL(rt_sigpending);
SYSCALL(rt_sigsuspend);
SYSCALL(pause);
SYSCALL(rt_sigtimedwait);
SYSCALL(kill);
SYSCALL(tgkill);
SYSCALL(tkill);
SYSCALL(rt_sigqueueinfo);
SYSCALL(rt_tgsigqueueinfo);

/* signal_frame.c */
SYSCALL(sigaltstack);
SYSCALL(rt_sigreturn);

/* futex.c */
SYSCALL(futex);
SYSCALL(set_robust_list);
SYSCALL(get_robust_list);

/* time.c */
SYSCALL(clock_gettime);
SYSCALL(clock_getres);
SYSCALL(clock_settime);
SYSCALL(settimeofday);
SYSCALL(gettimeofday);
SYSCALL(time);
SYSCALL(adjtimex);
SYSCALL(clock_adjtime);
SYSCALL(nanosleep);
SYSCALL(clock_nanosleep);
SYSCALL(setitimer);
SYSCALL(getitimer);
SYSCALL(alarm);
SYSCALL(timer_create);
SYSCALL(timer_settime);
SYSCALL(timer_gettime);
SYSCALL(timer_getoverrun);
SYSCALL(timer_delete);
SYSCALL(times);
SYSCALL(getrusage);

/* sys_mm.c */
SYSCALL(mmap);
SYSCALL(munmap);
SYSCALL(brk);
SYSCALL(mprotect);
SYSCALL(pkey_mprotect);
SYSCALL(pkey_alloc);
SYSCALL(pkey_free);
SYSCALL(mremap);
SYSCALL(madvise);
SYSCALL(mlock);
SYSCALL(mlock2);
SYSCALL(munlock);
SYSCALL(mlockall);
SYSCALL(munlockall);
SYSCALL(msync);
SYSCALL(mincore);
SYSCALL(remap_file_pages);
SYSCALL(mseal);
SYSCALL(process_vm_readv);
SYSCALL(process_vm_writev);
SYSCALL(membarrier);
SYSCALL(get_mempolicy);
SYSCALL(set_mempolicy);

/* sys_misc.c */
SYSCALL(getpid);
SYSCALL(gettid);
SYSCALL(getppid);
SYSCALL(getpgid);
SYSCALL(getpgrp);
SYSCALL(getsid);
SYSCALL(setpgid);
SYSCALL(setsid);
SYSCALL(set_tid_address);
SYSCALL(getuid);
SYSCALL(geteuid);
SYSCALL(getgid);
SYSCALL(getegid);
SYSCALL(getresuid);
SYSCALL(getresgid);
SYSCALL(setuid);
SYSCALL(setgid);
SYSCALL(setreuid);
SYSCALL(setregid);
SYSCALL(setresuid);
SYSCALL(setresgid);
SYSCALL(setfsuid);
SYSCALL(setfsgid);
SYSCALL(getgroups);
SYSCALL(setgroups);
SYSCALL(capget);
SYSCALL(capset);
SYSCALL(getrlimit);
SYSCALL(setrlimit);
SYSCALL(prlimit64);
SYSCALL(getpriority);
SYSCALL(setpriority);
SYSCALL(sched_yield);
SYSCALL(sched_getaffinity);
SYSCALL(sched_setaffinity);
SYSCALL(sched_getscheduler);
SYSCALL(sched_getparam);
SYSCALL(sched_setscheduler);
SYSCALL(sched_setparam);
SYSCALL(sched_get_priority_max);
SYSCALL(sched_get_priority_min);
SYSCALL(sched_rr_get_interval);
SYSCALL(getcpu);
SYSCALL(ioprio_get);
SYSCALL(ioprio_set);
SYSCALL(uname);
SYSCALL(sethostname);
SYSCALL(setdomainname);
SYSCALL(sysinfo);
SYSCALL(personality);
SYSCALL(getrandom);
SYSCALL(rseq);
SYSCALL(arch_prctl);
SYSCALL(prctl);

/* sys_mm.c, for prctl */
int64_t prctl_set_vma(struct task_struct *task, const struct sys_args *args);
int64_t prctl_set_mm(struct task_struct *task, const struct sys_args *args);

#endif
