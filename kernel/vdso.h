/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_VDSO_H
#define KERNEL_VDSO_H

#include "kernel.h"

/* Maps [vvar], [vvar_vclock] and [vdso] where there is room; *ehdr: for AT_SYSINFO_EHDR. */
int map_vdso(struct aspace_mm *mm, uint64_t *ehdr);

/* The area of /proc/PID/maps and smaps that no list of areas has. */
int print_vsyscall_maps(aspace_emit emit, void *priv);
int print_vsyscall_smaps(aspace_emit emit, void *priv);

#define VSYSCALL_ADDR 0xffffffffff600000ull
/* An instruction fetch at addr: if it is a call into [vsyscall], does what it asks. */
bool emulate_vsyscall(struct task_struct *task, uint64_t addr);

#endif
