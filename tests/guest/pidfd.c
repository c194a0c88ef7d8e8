/* SPDX-License-Identifier: MIT */
/* Descriptors of processes: waited for, signalled, polled, and advised by process_madvise(2). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/sched.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define PAGE 4096ul

static int pidfd_open(int pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }
static int pidfd_send_signal(int fd, int sig, siginfo_t *info, unsigned flags)
{
	return (int)syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
}
static int pidfd_getfd(int fd, int target, unsigned flags) { return (int)syscall(438, fd, target, flags); }
static long advise(int fd, const struct iovec *iov, size_t n, int advice, unsigned flags)
{
	return syscall(440, fd, iov, n, advice, flags);
}

static void said(const char *what, long answer)
{
	int error = errno;

	if (answer < 0)
		printf("%s: %s\n", what, strerror(error));
	else
		printf("%s: %ld\n", what, answer);
	fflush(stdout);
}

/* The descriptor's number isn't told. */
static int opened(const char *what, int fd)
{
	said(what, fd < 0 ? fd : 0);
	return fd;
}

static int readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, ms);

	return n > 0 ? p.revents : n;
}

static pid_t waiting_child(int *go)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds))
		exit(1);
	pid = fork();
	if (!pid) {
		char c;

		close(fds[1]);
		_exit(read(fds[0], &c, 1) == 1 ? 7 : 8);
	}
	close(fds[0]);
	*go = fds[1];
	return pid;
}

static void opening(void)
{
	int go, fd;
	pid_t pid = waiting_child(&go);

	said("pid 0", pidfd_open(0, 0));
	said("pid -1", pidfd_open(-1, 0));
	said("nobody", pidfd_open(4194303, 0));
	said("bad flag", pidfd_open(getpid(), 1));
	fd = opened("self", pidfd_open(getpid(), O_NONBLOCK));
	printf("cloexec %d, flags %x\n", fcntl(fd, F_GETFD), fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE));
	said("read", read(fd, &pid, sizeof(int)) < 0 ? -1 : 0);
	close(fd);
	opened("thread", pidfd_open(getpid(), PIDFD_THREAD));
	fd = opened("child", pidfd_open(pid, 0));
	printf("readable %d\n", readable(fd, 0));
	said("wait would block", waitid(P_PIDFD, (id_t)fd, NULL, WEXITED | WNOHANG));
	said("a byte", write(go, "x", 1));
	printf("readable %d\n", readable(fd, 5000));
	siginfo_t info = { 0 };
	said("peek", waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOWAIT));
	printf("status %d code %d, it is the child: %d\n", info.si_status, info.si_code, info.si_pid == pid);
	said("zombie", fd = pidfd_open(pid, 0) < 0 ? -1 : 0);
	said("signal to a zombie", pidfd_send_signal(pidfd_open(pid, 0), 0, NULL, 0));
	fd = pidfd_open(pid, 0);
	said("wait", waitid(P_PIDFD, (id_t)fd, NULL, WEXITED));
	said("again", waitid(P_PIDFD, (id_t)fd, NULL, WEXITED));
	printf("readable %d\n", readable(fd, 0));
	said("signal to nobody", pidfd_send_signal(fd, 0, NULL, 0));
	said("getfd of nobody", pidfd_getfd(fd, 0, 0));
	said("not a pidfd", waitid(P_PIDFD, 1, NULL, WEXITED));
	said("no descriptor", waitid(P_PIDFD, 999, NULL, WEXITED));
}

static volatile sig_atomic_t code, value;

static void handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	code = info->si_code;
	value = info->si_value.sival_int + sig;
}

static void signals(void)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	siginfo_t info = { 0 };
	int fd = pidfd_open(getpid(), 0), go, child;
	pid_t pid = waiting_child(&go);

	sigaction(SIGUSR1, &sa, NULL);
	said("signal", pidfd_send_signal(fd, SIGUSR1, NULL, 0));
	printf("code %d\n", code);
	info.si_signo = SIGUSR1;
	info.si_code = SI_QUEUE;
	info.si_value.sival_int = 1000;
	said("with info", pidfd_send_signal(fd, SIGUSR1, &info, 0));
	printf("code %d value %d\n", code, value);
	info.si_signo = SIGUSR2;
	said("another signal's info", pidfd_send_signal(fd, SIGUSR1, &info, 0));
	info.si_signo = SIGUSR1;
	info.si_code = SI_USER;
	child = pidfd_open(pid, 0);
	said("forged info", pidfd_send_signal(child, SIGUSR1, &info, 0));
	said("bad signal", pidfd_send_signal(fd, 100, NULL, 0));
	said("bad flags", pidfd_send_signal(fd, 0, NULL, 8));
	said("not a pidfd", pidfd_send_signal(1, 0, NULL, 0));
	said("no descriptor", pidfd_send_signal(999, 0, NULL, 0));
	said("term", pidfd_send_signal(child, SIGTERM, NULL, 0));
	waitid(P_PIDFD, (id_t)child, &info, WEXITED);
	printf("status %d code %d\n", info.si_status, info.si_code);
	close(go);
}

/* /proc/PID, opened, is a descriptor of the process for this one call. */
static void directories(void)
{
	static const char *const paths[] = { "/proc/self", "/proc/self/task", "/proc/thread-self", "/proc/self/fd" };
	char path[64];
	int go, fd, status;
	pid_t pid = waiting_child(&go);

	for (int i = 0; i < 4; i++) {
		fd = open(paths[i], O_RDONLY | O_DIRECTORY);
		said(paths[i], pidfd_send_signal(fd, 0, NULL, 0));
		close(fd);
	}
	fd = open("/proc/self", O_PATH | O_DIRECTORY);
	said("a path only", pidfd_send_signal(fd, 0, NULL, 0));
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	said("a child's", pidfd_send_signal(fd, SIGTERM, NULL, 0));
	waitpid(pid, &status, 0);
	printf("status %x\n", status);
	said("a gone child's", pidfd_send_signal(fd, 0, NULL, 0));
	close(fd);
	close(go);
}

static void descriptors(void)
{
	int go, child, fd;
	pid_t pid = waiting_child(&go);
	char c = 'y';

	child = pidfd_open(pid, 0);
	said("no such descriptor", pidfd_getfd(child, 500, 0));
	said("flags", pidfd_getfd(child, 1, 1));
	fd = opened("its standard output", pidfd_getfd(child, 1, 0));
	printf("cloexec %d\n", fcntl(fd, F_GETFD));
	said("written through it", write(fd, "hello\n", 6));
	said("a byte", write(go, &c, 1));
	waitpid(pid, NULL, 0);
}

static void cloned(void)
{
	struct clone_args a = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD };
	int fd = -1, status;
	long pid;

	a.pidfd = (uint64_t)&fd;
	pid = syscall(SYS_clone3, &a, sizeof(a));
	if (!pid)
		_exit(5);
	said("clone3", pid < 0 ? pid : 0);
	printf("readable %d, cloexec %d\n", readable(fd, 5000), fcntl(fd, F_GETFD));
	waitpid((pid_t)pid, &status, 0);
	printf("status %d\n", WEXITSTATUS(status));
	fd = -1;
	pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, NULL);
	if (!pid)
		_exit(6);
	printf("clone: readable %d\n", readable(fd, 5000));
	waitpid((pid_t)pid, &status, 0);
	printf("status %d\n", WEXITSTATUS(status));
	said("with a parent's tid", syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, NULL, &fd, NULL, NULL));
}

static char *base;

static void resident(const char *what)
{
	unsigned char in[8];

	printf("%s:", what);
	for (int i = 0; i < 8; i++) {
		uint64_t entry = 0;
		int fd = open("/proc/self/pagemap", O_RDONLY);

		if (pread(fd, &entry, 8, (off_t)((uintptr_t)(base + i * PAGE) / PAGE * 8)) != 8)
			in[0] = 2;
		close(fd);
		printf(" %d", (int)(entry >> 63));
	}
	printf("\n");
	(void)in;
}

static void advice(void)
{
	struct iovec iov[4];
	int self = pidfd_open(getpid(), 0), go, child;
	pid_t pid;

	base = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid = waiting_child(&go);
	child = pidfd_open(pid, 0);
	madvise(base, 8 * PAGE, MADV_NOHUGEPAGE);
	memset(base, 1, 8 * PAGE);
	iov[0] = (struct iovec){ base, PAGE };
	iov[1] = (struct iovec){ base + 2 * PAGE, 2 * PAGE };
	said("DONTNEED of self", advise(self, iov, 2, MADV_DONTNEED, 0));
	resident("resident");
	said("WILLNEED of self", advise(self, iov, 2, MADV_WILLNEED, 0));
	said("COLD", advise(self, iov, 2, MADV_COLD, 0));
	said("unknown advice", advise(self, iov, 2, 99, 0));
	said("flags", advise(self, iov, 2, MADV_COLD, 1));
	said("no vector", advise(self, iov, 0, MADV_COLD, 0));
	said("bad vector", advise(self, (struct iovec *)8, 1, MADV_COLD, 0));
	said("too long a vector", advise(self, iov, 1025, MADV_COLD, 0));
	iov[1].iov_base = base + 2 * PAGE + 1;
	said("not aligned, second", advise(self, iov, 2, MADV_COLD, 0));
	said("not aligned, first", advise(self, iov + 1, 1, MADV_COLD, 0));
	munmap(base + 4 * PAGE, PAGE);
	iov[1] = (struct iovec){ base + 3 * PAGE, 3 * PAGE };
	iov[2] = (struct iovec){ base + 6 * PAGE, PAGE };
	said("a hole in the second", advise(self, iov, 3, MADV_COLD, 0));
	said("a hole in the first", advise(self, iov + 1, 2, MADV_DONTNEED, 0));
	resident("resident");
	iov[1] = (struct iovec){ base + 6 * PAGE, 0 };
	said("an empty one", advise(self, iov, 3, MADV_DONTNEED, 0));
	resident("resident");
	iov[0] = (struct iovec){ base, (size_t)-1 };
	said("too long", advise(self, iov, 1, MADV_COLD, 0));
	iov[0] = (struct iovec){ base, 8 * PAGE };
	iov[1] = (struct iovec){ base + 7 * PAGE, PAGE };
	said("guard", advise(self, iov + 1, 1, MADV_GUARD_INSTALL, 0));
	said("hugepage", advise(self, iov + 1, 1, MADV_NOHUGEPAGE, 0));
	said("mergeable", advise(self, iov + 1, 1, MADV_MERGEABLE, 0) < 0 ? -1 : 0);
	said("dontfork", advise(self, iov + 1, 1, MADV_DONTFORK, 0));
	said("free", advise(self, iov + 1, 1, MADV_FREE, 0));
	said("populate", advise(self, iov + 1, 1, MADV_POPULATE_WRITE, 0));
	iov[0] = (struct iovec){ base, 2 * PAGE };
	said("COLD of the child", advise(child, iov, 1, MADV_COLD, 0));
	said("PAGEOUT of the child", advise(child, iov, 1, MADV_PAGEOUT, 0));
	said("WILLNEED of the child", advise(child, iov, 1, MADV_WILLNEED, 0));
	said("DONTNEED of the child", advise(child, iov, 1, MADV_DONTNEED, 0));
	said("DONTNEED in vain of the child", advise(child, iov, 1, 99, 0));
	said("not a pidfd", advise(1, iov, 1, MADV_COLD, 0));
	said("no descriptor", advise(999, iov, 1, MADV_COLD, 0));
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT);
	said("of a zombie", advise(child, iov, 1, MADV_COLD, 0));
	waitpid(pid, NULL, 0);
	said("of nobody", advise(child, iov, 1, MADV_COLD, 0));
}

int main(void)
{
	opening();
	signals();
	directories();
	descriptors();
	cloned();
	advice();
	return 0;
}
