/* SPDX-License-Identifier: MIT */
/* Reading directories: the host's entries as they come, or those that procfs.c makes. */
#include <dirent.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

static int64_t read_entries(struct task_struct *task, struct kfile *f, void *buf, size_t n)
{
	if (f->ops)
		return f->ops->getdents ? f->ops->getdents(f, task, buf, n) : -ENOTDIR;
	return host_ret(syscall(SYS_getdents64, f->host_fd, buf, n));
}

SYSCALL(getdents64)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	unsigned n = (unsigned)args->a[2] < BOUNCE_SIZE ? (unsigned)args->a[2] : BOUNCE_SIZE;
	int64_t r;

	if (!f || f->path_only)
		return -EBADF;
	if (f->kind != KFILE_DIR)
		return -ENOTDIR;
	r = read_entries(task, f, bounce, n);
	if (r <= 0)
		return r;
	return copy_to_user(task, args->a[1], bounce, r) ? -EFAULT : r;
}

/* The old layout: the type stands in the entry's last byte. Never longer than the new one. */
SYSCALL(getdents)
{
	struct old_dirent { unsigned long d_ino, d_off; unsigned short d_reclen; char d_name[]; };
	struct kfile *f = fcheck(task, (int)args->a[0]);
	unsigned n = (unsigned)args->a[2] < BOUNCE_SIZE ? (unsigned)args->a[2] : BOUNCE_SIZE;
	int64_t r;

	if (!f || f->path_only)
		return -EBADF;
	if (f->kind != KFILE_DIR)
		return -ENOTDIR;
	r = read_entries(task, f, bounce, n);
	for (int64_t at = 0; at < r;) {
		struct dirent64 *d = (void *)(bounce + at);
		struct old_dirent *o = (void *)d;
		char type = d->d_type;

		memmove(o->d_name, d->d_name, strlen(d->d_name) + 1);
		bounce[at + o->d_reclen - 1] = type;
		at += o->d_reclen;
	}
	if (r <= 0)
		return r;
	return copy_to_user(task, args->a[1], bounce, r) ? -EFAULT : r;
}
