/* SPDX-License-Identifier: MIT */
/* What a file of /proc/PID is: a line of a table in proc_pid.c, which procfs.c walks to, opens and reads. */
#ifndef KERNEL_PROCFS_H
#define KERNEL_PROCFS_H

#include "kernel.h"
#include "seq_file.h"

enum node_kind {
	NODE_ROOT, NODE_SELF, NODE_THREAD_SELF, NODE_PID, NODE_TASKS, NODE_FDS, NODE_FDINFOS,	/* directories */
	NODE_TEXT,	/* of a task, as it is when it is read */
	/* Of the address space that the task had when the file was opened: */
	NODE_AREAS, NODE_MEM, NODE_PAGEMAP, NODE_AUXV, NODE_ENVIRON,
};

struct proc_node {
	const char *name;	/* below the pid directory */
	enum node_kind kind;
	int (*show)(struct task_struct *t, struct text *text, int fd);	/* NODE_TEXT; the whole */
	int (*store)(struct task_struct *t, char *text);	/* NUL-terminated */
	seq_show show_area;	/* NODE_AREAS; priv is the address space, NULL: nobody lives in it any more */
};

extern const struct proc_node proc_pid_nodes[];
extern const size_t proc_pid_nodes_nr;
extern const struct proc_node proc_fdinfo_node;

/* Opening it fails for a task without an address space; others are then empty. */
bool proc_node_needs_mm(const struct proc_node *node);
bool proc_node_is_maps(const struct proc_node *node);

#endif
