/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_PIDFD_H
#define KERNEL_PIDFD_H

#include "kernel.h"

/* A new descriptor in task's table, or -errno. flags: O_NONBLOCK, O_EXCL (the thread, not its process). */
int pidfd_install(struct task_struct *task, struct task_struct *target, unsigned flags);
/* The number of the process behind a descriptor, 0: it was waited for; -EBADF: it is none of a process. */
int pidfd_pid(struct task_struct *task, int fd, bool *nonblock);

/* A thread, or all of a process, ended; nobody waits for it any more. */
void pidfd_exited(struct task_struct *task, bool thread);
void pidfd_released(struct task_struct *task);

#endif
