/* SPDX-License-Identifier: MIT */
/* What signals promise: order, masks, restart, queued values, nested handlers, floating point kept. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int got[65], order[16], n;

static void note(int sig, siginfo_t *info, void *context)
{
	got[sig]++;
	if (n < 16)
		order[n++] = sig * 1000 + info->si_value.sival_int;
}

static void install(int sig, int flags)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | flags };

	sigaction(sig, &action, NULL);
}

static void queued(void)
{
	sigset_t set;
	union sigval value;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 3; i++) {
		value.sival_int = i;
		sigqueue(getpid(), SIGRTMIN + 1, value);
		sigqueue(getpid(), SIGRTMIN, value);
		sigqueue(getpid(), SIGUSR1, value);
	}
	sigpending(&set);
	printf("pending: usr1 %d usr2 %d rt %d\n", sigismember(&set, SIGUSR1),
	       sigismember(&set, SIGUSR2), sigismember(&set, SIGRTMIN));
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	for (int i = 0; i < n; i++)
		printf(" %d", order[i]);
	printf("\n");
}

static void after(int ms)
{
	struct itimerval timer = { .it_value = { 0, ms * 1000 } };

	setitimer(ITIMER_REAL, &timer, NULL);
}

static void interrupted(void)
{
	int fds[2], status;
	char byte;
	struct timespec second = { 1, 0 }, left = { 0 };

	if (pipe(fds))
		return;
	install(SIGALRM, 0);
	after(20);
	printf("read: %zd %s\n", read(fds[0], &byte, 1), strerrorname_np(errno));
	after(20);
	printf("nanosleep: %d %s, left %d\n", nanosleep(&second, &left), strerrorname_np(errno),
	       left.tv_nsec > 500000000);
	after(20);
	printf("pause: %d %s\n", pause(), strerrorname_np(errno));
	after(20);
	printf("poll: %d %s\n", poll(NULL, 0, 1000), strerrorname_np(errno));
	install(SIGALRM, SA_RESTART);
	if (fork() == 0) {
		usleep(60000);
		status = (int)write(fds[1], "x", 1);
		_exit(status != 1);
	}
	after(20);
	printf("read, restarted: %zd\n", read(fds[0], &byte, 1));
	wait(&status);
	printf("alarms %d\n", got[SIGALRM]);
}

static void waited(void)
{
	sigset_t set, old;
	siginfo_t info;
	struct timespec soon = { 0, 10000000 };

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, &old);
	printf("timedwait: %d %s\n", sigtimedwait(&set, &info, &soon), strerrorname_np(errno));
	kill(getpid(), SIGUSR2);
	printf("timedwait: %d code %d\n", sigtimedwait(&set, &info, &soon), info.si_code);
	install(SIGUSR2, 0);
	kill(getpid(), SIGUSR2);
	sigemptyset(&set);
	printf("suspend: %d %s, got %d\n", sigsuspend(&set), strerrorname_np(errno), got[SIGUSR2]);
	sigprocmask(SIG_SETMASK, &old, &set);
	printf("mask after: %d\n", sigismember(&set, SIGUSR2));
}

static double shaken;

static void shake(int sig)
{
	volatile double x = 1.5;

	for (int i = 0; i < 100; i++)
		x *= 1.01;
	shaken += x;
}

static void floating_point(void)
{
	double sum = 0;

	signal(SIGALRM, shake);
	struct itimerval timer = { { 0, 2000 }, { 0, 2000 } }, off = { 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	for (long i = 1; i < 3000000; i++)
		sum += 1.0 / (double)i;
	setitimer(ITIMER_REAL, &off, NULL);
	printf("harmonic %.12f, shaken %d\n", sum, shaken > 0);
}

static void children(void)
{
	siginfo_t info;
	int status;
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
	kill(pid, SIGCONT);
	waitpid(pid, &status, WCONTINUED);
	printf("continued %d\n", WIFCONTINUED(status));
	kill(pid, SIGTERM);
	memset(&info, 0, sizeof(info));
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	printf("waitid: code %d status %d same %d\n", info.si_code, info.si_status, info.si_pid == pid);
	waitpid(pid, &status, 0);
	printf("signaled %d by %d; then %d %s\n", WIFSIGNALED(status), WTERMSIG(status),
	       waitpid(pid, &status, 0), strerrorname_np(errno));
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	install(SIGUSR1, 0);
	install(SIGRTMIN, 0);
	install(SIGRTMIN + 1, 0);
	queued();
	interrupted();
	waited();
	floating_point();
	children();
	return 0;
}
