/* SPDX-License-Identifier: MIT */
/* Record locks among processes and descriptions, a circle of waiters; one description twice in an epoll. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static int lock(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	int r = fcntl(fd, cmd, &fl);

	printf("%d %s %ld+%ld: %s", cmd, type == F_RDLCK ? "read" : type == F_WRLCK ? "write" : "unlock",
	       (long)start, (long)len, r ? strerror(errno) : "ok");
	if (!r && (cmd == F_GETLK || cmd == F_OFD_GETLK))
		printf(" -> type %d, %ld+%ld, parent's %d", fl.l_type, (long)fl.l_start, (long)fl.l_len,
		       fl.l_type != F_UNLCK && fl.l_pid == getppid());
	printf("\n");
	fflush(stdout);
	return r;
}

/* A token through a pipe: who reads waits for who writes. */
static void pass(int pipe_fd)
{
	(void)!write(pipe_fd, "x", 1);
}

static void await(int pipe_fd)
{
	char c;

	(void)!read(pipe_fd, &c, 1);
}

static void between_processes(int fd)
{
	lock(fd, F_SETLK, F_WRLCK, 0, 10);
	lock(fd, F_SETLK, F_RDLCK, 5, 2);	/* splits the first */
	if (!fork()) {
		lock(fd, F_GETLK, F_WRLCK, 0, 0);
		lock(fd, F_GETLK, F_WRLCK, 6, 1);
		lock(fd, F_GETLK, F_RDLCK, 6, 1);
		lock(fd, F_SETLK, F_RDLCK, 5, 2);
		lock(fd, F_SETLK, F_WRLCK, 5, 2);
		lock(fd, F_SETLK, F_WRLCK, 7, 0);
		lock(fd, F_SETLK, F_WRLCK, 10, 0);
		_exit(0);
	}
	wait(NULL);
	lock(fd, F_GETLK, F_WRLCK, 10, 0);	/* the child's went with it */
	close(open("f", O_RDONLY));		/* and ours with any descriptor of the file */
	if (!fork()) {
		lock(fd, F_GETLK, F_WRLCK, 0, 0);
		_exit(0);
	}
	wait(NULL);
}

static int quietly(int fd, int cmd, int type, off_t start)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1 };

	return fcntl(fd, cmd, &fl) ? errno : 0;
}

/*
 * Each has what the other wants. The child waits, or it lets go first and then waits: only the first
 * is a circle.
 */
static void in_a_circle(int fd, int lets_go)
{
	int up[2], status, r;

	if (pipe(up))
		return;
	quietly(fd, F_SETLK, F_WRLCK, 0);
	if (!fork()) {
		quietly(fd, F_SETLK, F_WRLCK, 1);
		pass(up[1]);
		if (lets_go) {
			usleep(100000);
			quietly(fd, F_SETLK, F_UNLCK, 1);
		}
		_exit(quietly(fd, F_SETLKW, F_WRLCK, 0));
	}
	await(up[0]);
	if (!lets_go)
		usleep(100000);
	r = quietly(fd, F_SETLKW, F_WRLCK, 1);
	quietly(fd, F_SETLK, F_UNLCK, 0);
	wait(&status);
	quietly(fd, F_SETLK, F_UNLCK, 1);
	printf("circle: %d of 2 refused\n", (r == EDEADLK) + (WEXITSTATUS(status) == EDEADLK));
}

static void of_descriptions(void)
{
	int a = open("f", O_RDWR), b = open("f", O_RDWR), ro = open("f", O_RDONLY);

	lock(a, F_OFD_SETLK, F_WRLCK, 0, 1);
	lock(b, F_OFD_SETLK, F_WRLCK, 0, 1);
	lock(b, F_SETLK, F_RDLCK, 0, 0);
	lock(ro, F_OFD_SETLK, F_WRLCK, 5, 1);
	close(a);
	lock(b, F_OFD_SETLK, F_WRLCK, 0, 1);
	printf("flock %d\n", flock(b, LOCK_EX));
	printf("flock %d\n", flock(ro, LOCK_SH | LOCK_NB));
	close(b);
	printf("flock %d\n", flock(ro, LOCK_SH | LOCK_NB));
}

static void epoll_twice(void)
{
	struct epoll_event ev = { EPOLLIN, { .u64 = 1 } }, got[4];
	int p[2], ep = epoll_create1(0), copy;

	if (pipe(p))
		return;
	copy = dup(p[0]);
	printf("add %d", epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	ev.data.u64 = 2;
	printf(" %d", epoll_ctl(ep, EPOLL_CTL_ADD, copy, &ev));
	printf(" again %d\n", epoll_ctl(ep, EPOLL_CTL_ADD, copy, &ev));
	pass(p[1]);
	printf("ready %d\n", epoll_wait(ep, got, 4, 1000));
	close(p[0]);
	printf("one closed, ready %d\n", epoll_wait(ep, got, 4, 1000));
	printf("delete %d\n", epoll_ctl(ep, EPOLL_CTL_DEL, copy, NULL));
	close(copy);
	printf("both closed, ready %d\n", epoll_wait(ep, got, 4, 0));
}

int main(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	between_processes(fd);
	in_a_circle(fd, 0);
	in_a_circle(fd, 1);
	of_descriptions();
	epoll_twice();
	return 0;
}
