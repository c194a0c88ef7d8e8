/* SPDX-License-Identifier: MIT */
/*
 * Was a signal sent to this process, or to its process group? The host doesn't tell, and the guests are a
 * group for it that has one member. So there is a second one, which does nothing else: what it gets, all
 * have got, and it says so.
 */
#ifndef KERNEL_WITNESS_H
#define KERNEL_WITNESS_H

#include <signal.h>
#include <stddef.h>

/* What comes from it; si_value is the signal that the group got. */
#define WITNESS_SIGNAL (SIGRTMAX - 1)

/* To be called while there is little to copy. Where it can't be, signals are for the first process only. */
void witness_start(const int *signals, size_t n);
void witness_stop(void);

#endif
