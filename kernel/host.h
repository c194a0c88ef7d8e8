/* SPDX-License-Identifier: MIT */
/* What the host does to us: its signals, and the timer that ends time slices. */
#ifndef KERNEL_HOST_H
#define KERNEL_HOST_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct kernel;

void host_early_init(void);	/* while this process is small */
int host_init(struct kernel *k);
void host_exit(void);
/* Descriptors below n are the guests' own copies alone from now on: who reads from them sees the end. */
void host_release_std(int n);
/* In a copy of the process: timers are not copied. */
void host_after_fork(struct kernel *k);
/* The next tick at this time instead of at the end of the slice; the slices go on from there. */
void host_tick_at(struct kernel *k, uint64_t when_ns);
/* A tick came since the last call: the slice is over, or a timer is due. */
bool host_tick_seen(struct kernel *k);
bool host_signals_pending(void);
/* What arrived goes to the process that would have got it, had the host run it. */
void host_signals_deliver(struct kernel *k);
/* The signal mask of an idle wait: the tick does not end it. */
const sigset_t *host_idle_mask(void);
/* The first program was stopped: so are we, until someone continues us. */
void host_stop(int sig);
/* Ends this process as the first program ended. */
void host_die(int sig);

#endif
