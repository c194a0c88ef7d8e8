/* SPDX-License-Identifier: MIT */
/* The frame that a signal handler is entered with, and the way back from it. */
#ifndef KERNEL_SIGNAL_FRAME_H
#define KERNEL_SIGNAL_FRAME_H

#include "kernel.h"

/*
 * Writes the frame and sets *regs so that the handler is entered. `mask`: what sigreturn puts back.
 * -EFAULT: the stack can't take it; *regs is as it was then.
 */
int setup_frame(struct task_struct *task, int sig, const siginfo_t *info,
		const struct sigaction_guest *action, uint64_t mask, struct cpu_regs *regs);

#endif
