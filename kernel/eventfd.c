/* SPDX-License-Identifier: MIT */
/* Descriptors that are events: eventfd, timerfd, inotify. The host's; reading them is read_write.c's. */
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

static int64_t do_eventfd(struct task_struct *task, unsigned count, int flags)
{
	if (flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE))
		return -EINVAL;
	return fd_install_host(task, eventfd(count, (flags & EFD_SEMAPHORE) | EFD_CLOEXEC | EFD_NONBLOCK),
			       flags & EFD_NONBLOCK, flags & EFD_CLOEXEC);
}

SYSCALL(eventfd)
{
	return do_eventfd(task, args->a[0], 0);
}

SYSCALL(eventfd2)
{
	return do_eventfd(task, args->a[0], (int)args->a[1]);
}

SYSCALL(timerfd_create)
{
	int flags = args->a[1];

	if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK))
		return -EINVAL;
	return fd_install_host(task, timerfd_create((int)args->a[0], TFD_CLOEXEC | TFD_NONBLOCK),
			       flags & TFD_NONBLOCK, flags & TFD_CLOEXEC);
}

SYSCALL(timerfd_settime)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	struct itimerspec new, old;

	if (copy_from_user(task, &new, args->a[2], sizeof(new)))
		return -EFAULT;
	if (!f)
		return -EBADF;
	if (timerfd_settime(f->host_fd, (int)args->a[1], &new, &old) < 0)
		return -errno;
	return args->a[3] && copy_to_user(task, args->a[3], &old, sizeof(old)) ? -EFAULT : 0;
}

SYSCALL(timerfd_gettime)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	struct itimerspec now;

	if (!f)
		return -EBADF;
	if (timerfd_gettime(f->host_fd, &now) < 0)
		return -errno;
	return copy_to_user(task, args->a[1], &now, sizeof(now)) ? -EFAULT : 0;
}

static int64_t do_inotify_init(struct task_struct *task, int flags)
{
	if (flags & ~(IN_CLOEXEC | IN_NONBLOCK))
		return -EINVAL;
	return fd_install_host(task, inotify_init1(IN_CLOEXEC | IN_NONBLOCK), flags & IN_NONBLOCK,
			       flags & IN_CLOEXEC);
}

SYSCALL(inotify_init)
{
	return do_inotify_init(task, 0);
}

SYSCALL(inotify_init1)
{
	return do_inotify_init(task, (int)args->a[0]);
}

SYSCALL(inotify_add_watch)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	struct pathname p;
	char path[PATH_MAX];
	int err;

	if (!f)
		return -EBADF;
	err = user_path(task, AT_FDCWD, args->a[1], 0, &p);
	if (!err)
		err = host_path(&p, path);
	return err ? err : host_ret(inotify_add_watch(f->host_fd, path, (uint32_t)args->a[2]));
}

SYSCALL(inotify_rm_watch)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	return f ? host_ret(inotify_rm_watch(f->host_fd, (int)args->a[1])) : -EBADF;
}
