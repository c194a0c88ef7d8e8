/* SPDX-License-Identifier: MIT */
/* What a pseudo-terminal says to those who live on it: keys that signal, its size, hanging up. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int to_parent;
static const char *const who[] = { "leader", "foreground" };
static int self;

/* One write a signal: the parent reads them one by one. */
static void on(int sig)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s: %s\n", who[self], strsignal(sig));

	if (write(to_parent, line, n) != n)
		_exit(9);
	if (self == 1 && sig == SIGCONT)
		_exit(0);
}

static void say(const char *text)
{
	if (write(to_parent, text, strlen(text)) < 0)
		_exit(9);
}

static void live(void)
{
	static const int signals[] = { SIGINT, SIGQUIT, SIGTSTP, SIGWINCH, SIGHUP, SIGCONT };
	struct sigaction action = { .sa_handler = on };
	sigset_t all, old;

	sigfillset(&action.sa_mask);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	alarm(60);
	say("ready\n");
	sigdelset(&old, SIGTTOU);
	for (;;)
		sigsuspend(&old);
}

/* The leader puts a group of its child's in the foreground. */
static void session(void)
{
	pid_t child;

	signal(SIGTTOU, SIG_IGN);
	child = fork();
	if (child == 0) {
		self = 1;
		setpgid(0, 0);
		live();
	}
	setpgid(child, child);
	tcsetpgrp(0, child);
	live();
}

static void expect(int fd, int lines)
{
	char c, line[128];
	size_t n = 0;
	char seen[8][128];
	int have = 0;

	alarm(20);
	while (have < lines && read(fd, &c, 1) == 1) {
		line[n++] = c;
		if (c != '\n')
			continue;
		line[n] = 0;
		n = 0;
		strcpy(seen[have++], line);
	}
	alarm(0);
	qsort(seen, have, sizeof(seen[0]), (int (*)(const void *, const void *))strcmp);
	for (int i = 0; i < have; i++)
		printf("%s", seen[i]);
	fflush(stdout);
}

static void type(int master, const char *keys)
{
	if (write(master, keys, strlen(keys)) < 0)
		perror("type");
}

int main(void)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	struct termios modes;
	int master, ends[2], status;
	pid_t leader;

	if (pipe(ends))
		return 1;
	to_parent = ends[1];
	leader = forkpty(&master, NULL, NULL, &size);
	if (leader == 0)
		session();
	close(ends[1]);
	expect(ends[0], 2);

	type(master, "a\003");
	expect(ends[0], 1);
	type(master, "\034");
	expect(ends[0], 1);
	type(master, "\032");
	expect(ends[0], 1);
	ioctl(master, TIOCSWINSZ, &size);	/* no change: no signal */
	size.ws_col = 81;
	ioctl(master, TIOCSWINSZ, &size);
	expect(ends[0], 1);
	type(master, "\026\003\034");		/* literally an interrupt; then a quit */
	expect(ends[0], 1);
	tcgetattr(master, &modes);
	modes.c_lflag &= ~ISIG;
	tcsetattr(master, TCSANOW, &modes);
	type(master, "\003");
	modes.c_lflag |= ISIG;
	modes.c_cc[VINTR] = 'x';
	modes.c_cc[VQUIT] = _POSIX_VDISABLE;
	tcsetattr(master, TCSANOW, &modes);
	type(master, "\034\003x");
	expect(ends[0], 1);

	printf("hang up\n");
	close(master);
	expect(ends[0], 2);
	printf("the leader ends\n");
	kill(leader, SIGKILL);
	waitpid(leader, &status, 0);
	expect(ends[0], 2);
	return 0;
}
