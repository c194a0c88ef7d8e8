/* SPDX-License-Identifier: MIT */
/* Extended attributes: the host's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "kfile.h"
#include "syscalls_fs.h"

#define NAME_LIMIT 255
#define VALUE_LIMIT 65536

int host_path(const struct pathname *p, char *buf)
{
	if (p->dirfd == AT_FDCWD || p->name[0] == '/')
		strcpy(buf, p->name);
	else if (snprintf(buf, PATH_MAX, "/proc/self/fd/%d/%s", p->dirfd, p->name) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

/* What an attribute call is about: a path (followed or not), or a descriptor. */
struct target {
	char path[PATH_MAX];
	int fd;			/* -1: path */
	bool follow;
};

static int target_path(struct task_struct *task, uint64_t user, bool follow, struct target *t)
{
	struct pathname p;
	int err = user_path(task, AT_FDCWD, user, 0, &p);

	t->fd = -1;
	t->follow = follow;
	return err ? err : host_path(&p, t->path);
}

static int target_fd(struct task_struct *task, int fd, struct target *t)
{
	struct kfile *f = fcheck(task, fd);

	if (!f || f->path_only)
		return -EBADF;
	t->fd = f->host_fd;
	return 0;
}

static int name_from_user(struct task_struct *task, uint64_t user, char name[NAME_LIMIT + 1])
{
	int64_t n = aspace_strncpy_from_user(task->mm, name, user, NAME_LIMIT + 1);

	if (n < 0)
		return n;
	return n == 0 || n > NAME_LIMIT ? -ERANGE : 0;
}

static int64_t do_set(struct task_struct *task, struct target *t, const struct sys_args *args)
{
	char name[NAME_LIMIT + 1];
	size_t size = args->a[3];
	int flags = args->a[4];
	int64_t r = name_from_user(task, args->a[1], name);
	void *value;

	if (r)
		return r;
	if (size > VALUE_LIMIT)
		return -E2BIG;
	value = malloc(size + 1);
	if (!value)
		return -ENOMEM;
	if (copy_from_user(task, value, args->a[2], size))
		r = -EFAULT;
	else if (t->fd >= 0)
		r = host_ret(fsetxattr(t->fd, name, value, size, flags));
	else if (t->follow)
		r = host_ret(setxattr(t->path, name, value, size, flags));
	else
		r = host_ret(lsetxattr(t->path, name, value, size, flags));
	free(value);
	return r;
}

static int64_t to_user_and_free(struct task_struct *task, uint64_t user, void *value, int64_t n, size_t size)
{
	if (n > 0 && size && copy_to_user(task, user, value, n))
		n = -EFAULT;
	free(value);
	return n;
}

static int64_t do_get(struct task_struct *task, struct target *t, const struct sys_args *args)
{
	char name[NAME_LIMIT + 1];
	size_t size = args->a[3] < VALUE_LIMIT ? args->a[3] : VALUE_LIMIT;
	int64_t r = name_from_user(task, args->a[1], name);
	void *value = r ? NULL : malloc(size + 1);

	if (!value)
		return r ? r : -ENOMEM;
	if (t->fd >= 0)
		r = host_ret(fgetxattr(t->fd, name, value, size));
	else if (t->follow)
		r = host_ret(getxattr(t->path, name, value, size));
	else
		r = host_ret(lgetxattr(t->path, name, value, size));
	return to_user_and_free(task, args->a[2], value, r, size);
}

static int64_t do_list(struct task_struct *task, struct target *t, const struct sys_args *args)
{
	size_t size = args->a[2] < VALUE_LIMIT ? args->a[2] : VALUE_LIMIT;
	char *list = malloc(size + 1);
	int64_t r;

	if (!list)
		return -ENOMEM;
	if (t->fd >= 0)
		r = host_ret(flistxattr(t->fd, list, size));
	else if (t->follow)
		r = host_ret(listxattr(t->path, list, size));
	else
		r = host_ret(llistxattr(t->path, list, size));
	return to_user_and_free(task, args->a[1], list, r, size);
}

static int64_t do_remove(struct task_struct *task, struct target *t, const struct sys_args *args)
{
	char name[NAME_LIMIT + 1];
	int r = name_from_user(task, args->a[1], name);

	if (r)
		return r;
	if (t->fd >= 0)
		return host_ret(fremovexattr(t->fd, name));
	return host_ret(t->follow ? removexattr(t->path, name) : lremovexattr(t->path, name));
}

#define FAMILY(verb, does)						\
	SYSCALL(verb)							\
	{								\
		struct target t;					\
		int err = target_path(task, args->a[0], true, &t);	\
									\
		return err ? err : does(task, &t, args);		\
	}								\
	SYSCALL(l##verb)						\
	{								\
		struct target t;					\
		int err = target_path(task, args->a[0], false, &t);	\
									\
		return err ? err : does(task, &t, args);		\
	}								\
	SYSCALL(f##verb)						\
	{								\
		struct target t;					\
		int err = target_fd(task, (int)args->a[0], &t);		\
									\
		return err ? err : does(task, &t, args);		\
	}

FAMILY(setxattr, do_set)
FAMILY(getxattr, do_get)
FAMILY(listxattr, do_list)
FAMILY(removexattr, do_remove)
