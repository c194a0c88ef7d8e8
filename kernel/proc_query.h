/* SPDX-License-Identifier: MIT */
/* The questions that /proc files answer by ioctl(2): PROCMAP_QUERY (maps), PAGEMAP_SCAN (pagemap). */
#ifndef KERNEL_PROC_QUERY_H
#define KERNEL_PROC_QUERY_H

#include "kernel.h"

/* linux/fs.h; the headers of this host may be older. */
#define PROCMAP_QUERY 0xc0686611u	/* _IOWR('f', 17, 104 bytes) */
#define PAGEMAP_SCAN  0xc0606610u	/* _IOWR('f', 16, 96 bytes) */

/* mm is the process asked about; arg is in task's own memory. As the ioctl returns. */
int64_t procmap_query(struct task_struct *task, struct aspace_mm *mm, uint64_t arg);
int64_t pagemap_scan(struct task_struct *task, struct aspace_mm *mm, uint64_t arg);

#endif
