/* SPDX-License-Identifier: MIT */
/* Pipes, poll, select, epoll, eventfd, timerfd, signalfd, socketpair with descriptors sent along. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void result(const char *what, ssize_t n)
{
	printf("%s: %zd%s%s\n", what, n, n < 0 ? " " : "", n < 0 ? strerrorname_np(errno) : "");
}

static void pipes(void)
{
	char buf[70000];
	struct pollfd p[2];
	ssize_t n, total = 0;
	int fds[2], status;

	if (pipe2(fds, O_NONBLOCK))
		return;
	memset(buf, 'x', sizeof(buf));
	result("empty", read(fds[0], buf, 1));
	result("filled", write(fds[1], buf, sizeof(buf)));
	result("full", write(fds[1], buf, 1));
	p[0] = (struct pollfd){ .fd = fds[0], .events = POLLIN | POLLOUT };
	p[1] = (struct pollfd){ .fd = fds[1], .events = POLLIN | POLLOUT };
	printf("poll of a full pipe: %d", poll(p, 2, 0));
	printf(" %x %x\n", p[0].revents, p[1].revents);
	while ((n = read(fds[0], buf, 5000)) > 0)
		total += n;
	printf("emptied: %zd; poll: %d", total, poll(p, 2, 0));
	printf(" %x %x\n", p[0].revents, p[1].revents);
	close(fds[1]);
	printf("writer closed: %d", poll(p, 1, 0));
	printf(" %x, read %zd\n", p[0].revents, read(fds[0], buf, 1));
	if (pipe(fds))
		return;
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	result("no reader", write(fds[1], "x", 1));
	p[0] = (struct pollfd){ .fd = fds[1], .events = POLLOUT };
	printf("poll: %d", poll(p, 1, 0));
	printf(" %x\n", p[0].revents);
	if (fork() == 0) {
		signal(SIGPIPE, SIG_DFL);
		write(fds[1], "x", 1);
		_exit(0);
	}
	wait(&status);
	printf("died by %d\n", WTERMSIG(status));
	if (pipe(fds))
		return;
	if (fork() == 0) {	/* more than the pipe holds: the writer waits for us */
		close(fds[0]);
		for (int i = 0; i < 20; i++)
			write(fds[1], buf, sizeof(buf));
		_exit(0);
	}
	close(fds[1]);
	total = 0;
	while ((n = read(fds[0], buf, 3000)) > 0)
		total += n;
	wait(NULL);
	printf("through a pipe: %zd\n", total);
}

static void show_events(int ep, const char *what)
{
	struct epoll_event events[8];
	int n = epoll_wait(ep, events, 8, 0);

	printf("%s: %d", what, n);
	for (int i = 0; i < n; i++)
		printf(" %lx:%x", (unsigned long)events[i].data.u64, events[i].events);
	printf("\n");
}

static void epolls(void)
{
	int fds[2], ep = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(3, EFD_NONBLOCK);
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x100000001 };
	uint64_t value;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return;
	epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &e);
	result("twice", epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &e));
	result("itself", epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e));
	show_events(ep, "nothing yet");
	write(fds[1], "abc", 3);
	show_events(ep, "edge");
	show_events(ep, "edge, once");
	write(fds[1], "d", 1);
	show_events(ep, "edge again");
	e.events = EPOLLIN | EPOLLONESHOT;
	epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &e);
	show_events(ep, "oneshot");
	show_events(ep, "oneshot, once");
	e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
	epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &e);
	show_events(ep, "level");
	shutdown(fds[1], SHUT_WR);
	show_events(ep, "half closed");
	close(fds[1]);
	show_events(ep, "closed");
	epoll_ctl(ep, EPOLL_CTL_DEL, fds[0], NULL);
	result("not there", epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &e));
	e = (struct epoll_event){ .events = EPOLLIN, .data.u64 = 7 };
	epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e);
	show_events(ep, "eventfd");
	read(ev, &value, 8);
	printf("eventfd held %lu\n", value);
	result("empty", read(ev, &value, 8));
	value = UINT64_MAX;
	result("too much", write(ev, &value, 8));
	result("too short", write(ev, &value, 4));
	close(ev);
	show_events(ep, "a closed descriptor leaves");
	ev = eventfd(2, EFD_SEMAPHORE);
	read(ev, &value, 8);
	printf("semaphore %lu\n", value);
	e.events = EPOLLIN;
	epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e);
	int outer = epoll_create1(0);
	epoll_ctl(outer, EPOLL_CTL_ADD, ep, &e);
	show_events(outer, "an epoll in an epoll");
	result("a regular file", epoll_ctl(ep, EPOLL_CTL_ADD, open("/etc/passwd", O_RDONLY), &e));
}

static void timers_and_signals(void)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, 0), fd;
	struct itimerspec spec = { { 0, 10000000 }, { 0, 10000000 } };
	struct signalfd_siginfo info;
	sigset_t set;
	uint64_t ticks;
	fd_set in;

	timerfd_settime(timer, 0, &spec, NULL);
	FD_ZERO(&in);
	FD_SET(timer, &in);
	printf("select: %d", select(timer + 1, &in, NULL, NULL, NULL));
	printf(" %d\n", FD_ISSET(timer, &in));
	read(timer, &ticks, 8);
	usleep(50000);
	read(timer, &ticks, 8);
	printf("ticks %d\n", ticks >= 3);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, 0);
	sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 77 });
	read(fd, &info, sizeof(info));
	printf("signalfd: %u value %d code %d\n", info.ssi_signo, info.ssi_int, info.ssi_code);
	if (fork() == 0)
		_exit(9);
	read(fd, &info, sizeof(info));
	printf("signalfd: %u status %d\n", info.ssi_signo, info.ssi_status);
	wait(NULL);
}

static void *late_writer(void *arg)
{
	usleep(20000);
	write(*(int *)arg, "late", 4);
	return NULL;
}

/* One thread's waiting must not hold up the others, and what they do must end it. */
static void blocked_in_threads(void)
{
	struct pollfd p[40];
	int fds[40][2];
	pthread_t thread;
	char c[8];

	for (int i = 0; i < 40; i++) {
		if (pipe(fds[i]))
			return;
		p[i] = (struct pollfd){ .fd = fds[i][0], .events = POLLIN };
	}
	pthread_create(&thread, NULL, late_writer, &fds[33][1]);
	printf("poll of forty: %d", poll(p, 40, 5000));
	printf(", the right one %d\n", p[33].revents == POLLIN);
	pthread_join(thread, NULL);
	read(fds[33][0], c, sizeof(c));
	printf("poll times out: %d\n", poll(p, 40, 10));
	pthread_create(&thread, NULL, late_writer, &fds[2][1]);
	printf("read waits: %zd\n", read(fds[2][0], c, sizeof(c)));
	pthread_join(thread, NULL);
}

static void sockets(void)
{
	union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
	char text[16] = "", more[16] = "";
	struct iovec iov[2] = { { text, 3 }, { more, 10 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fds[2], given[2], type, got;
	socklen_t length = sizeof(type);
	struct cmsghdr *cmsg;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) || pipe(given))
		return;
	getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &length);
	printf("type %d\n", type == SOCK_SEQPACKET);
	if (fork() == 0) {
		strcpy(text, "one");
		strcpy(more, "two");
		iov[1].iov_len = 3;
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &given[1], sizeof(int));
		sendmsg(fds[1], &msg, 0);
		_exit(0);
	}
	close(given[1]);
	printf("message of %zd: \"%s\" \"%s\"", recvmsg(fds[0], &msg, 0), text, more);
	cmsg = CMSG_FIRSTHDR(&msg);
	memcpy(&got, CMSG_DATA(cmsg), sizeof(int));
	write(got, "sent along", 10);
	close(got);
	wait(NULL);
	memset(text, 0, sizeof(text));
	printf(", its descriptor: %zd", read(given[0], text, sizeof(text)));
	printf(" \"%s\", end %zd\n", text, read(given[0], text, 1));
	result("not a socket", send(given[0], "x", 1, 0));
	result("bad pointer", send(fds[0], (void *)8, 1, 0));
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	pipes();
	epolls();
	timers_and_signals();
	blocked_in_threads();
	sockets();
	return 0;
}
