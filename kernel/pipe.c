/* SPDX-License-Identifier: MIT */
/* Pipes: the host's, which never block; the guest's O_NONBLOCK is kept in the kfile. */
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

static int64_t do_pipe(struct task_struct *task, uint64_t user, int flags)
{
	bool nonblock = flags & O_NONBLOCK, cloexec = flags & O_CLOEXEC;
	int host[2], fd[2];

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	if (pipe2(host, (flags & O_DIRECT) | O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	fd[0] = fd_install_host(task, host[0], nonblock, cloexec);
	if (fd[0] < 0) {
		close(host[1]);
		return fd[0];
	}
	fd[1] = fd_install_host(task, host[1], nonblock, cloexec);
	if (fd[1] < 0) {
		fd_close(task, fd[0]);
		return fd[1];
	}
	if (copy_to_user(task, user, fd, sizeof(fd))) {
		fd_close(task, fd[0]);
		fd_close(task, fd[1]);
		return -EFAULT;
	}
	return 0;
}

SYSCALL(pipe)
{
	return do_pipe(task, args->a[0], 0);
}

SYSCALL(pipe2)
{
	return do_pipe(task, args->a[0], (int)args->a[1]);
}
