/* SPDX-License-Identifier: MIT */
/* The rims: how processes and threads end, what kills them, what calls refuse. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <errno.h>
#include <string.h>
#include <sched.h>
#include <time.h>
static void *t(void *a)
{
	usleep(50000);
	write(1, "thread after main\n", 18);
	return 0;
}
static void *spin(void *a)
{
	for (;;)
		;
	return a;
}
static void *blk(void *a)
{
	for (;;)
		pause();
	return a;
}
static volatile int go = 1;
static int on_own_stack(void *a)
{
	while (!go)
		usleep(1000);
	printf("clone child %d\n", (int)(long)a);
	fflush(stdout);
	_exit(3);
}
static void on(int s)
{
	write(1, "h\n", 2);
}
int main(void)
{
	int st;
	setvbuf(stdout, 0, _IONBF, 0);
	if (!fork()) {
		pthread_t p;
		pthread_create(&p, 0, t, 0);
		pthread_exit(0);
	}
	wait(&st);
	printf("leader exits first %x\n", st);
	if (!fork()) {
		pthread_t p;
		for (int i = 0; i < 4; i++)
			pthread_create(&p, 0, i & 1 ? spin : blk, 0);
		usleep(30000);
		exit(4);
	}
	wait(&st);
	printf("exit with threads %x\n", st);
	pid_t c = fork();
	if (!c) {
		pthread_t p;
		for (int i = 0; i < 4; i++)
			pthread_create(&p, 0, i & 1 ? spin : blk, 0);
		for (;;)
			pause();
	}
	usleep(30000);
	kill(c, SIGSTOP);
	waitpid(c, &st, WUNTRACED);
	printf("stopped %x\n", st);
	kill(c, SIGCONT);
	waitpid(c, &st, WCONTINUED);
	printf("cont %x\n", st);
	kill(c, SIGKILL);
	waitpid(c, &st, 0);
	printf("killed %x\n", st);
	char *stk = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	c = clone(on_own_stack, stk + 65536, CLONE_VM | CLONE_FS | SIGCHLD, (void *)7);
	waitpid(c, &st, 0);
	printf("clone %x\n", st);
	go = 0;
	c = clone(on_own_stack, stk + 65536, CLONE_VM, (void *)8);
	printf("no WALL %d", waitpid(c, &st, 0));
	printf(" %s\n", strerrorname_np(errno));
	go = 1;
	printf("WALL %d\n", waitpid(c, &st, __WALL) == c);
	signal(SIGCHLD, SIG_IGN);
	c = fork();
	if (!c)
		_exit(0);
	printf("ignored: %d", wait(&st));
	printf(" %s\n", strerrorname_np(errno));
	signal(SIGCHLD, SIG_DFL);
	// alarm during exec
	if (!fork()) {
		alarm(1);
		execlp("sleep", "sleep", "5", (char *)0);
	}
	wait(&st);
	printf("alarm over exec %x\n", st);
// SIGFPE, SIGILL, SIGTRAP, SIGBUS
#define DIE(...)                                                                                   \
	if (!fork()) {                                                                             \
		__VA_ARGS__;                                                                       \
		_exit(0);                                                                          \
	}                                                                                          \
	wait(&st);                                                                                 \
	printf("%s", #__VA_ARGS__);                                                                \
	printf(" -> %x\n", st);
	DIE(volatile int z = 0; z = 1 / z)
	DIE(__asm__("ud2")) DIE(__asm__("int3")) DIE(__asm__("hlt")) DIE(*(volatile int *)0 = 1)
	    DIE(*(volatile int *)0xffff800000000000 =
		    1) DIE(*(volatile int *)0x1234567890abcdef =
			       1) DIE(abort()) DIE(raise(SIGRTMIN + 3)) DIE(raise(SIGSYS))
		DIE(raise(SIGURG)) DIE(((void (*)(void))0)()) DIE(((void (*)(void))stk)())
		    DIE(signal(SIGSEGV, SIG_IGN); *(volatile int *)0 = 1)
			DIE(sigset_t s; sigfillset(&s); sigprocmask(SIG_BLOCK, &s, 0);
			    *(volatile int *)0 = 1)
			    DIE(struct sigaction a = {.sa_handler = on, .sa_flags = SA_RESETHAND};
				sigaction(SIGUSR1, &a, 0); raise(SIGUSR1); raise(SIGUSR1))
				DIE(struct rlimit l = {1, 2}; setrlimit(RLIMIT_CPU, &l); for (;;);)
	    // nested signals, SA_NODEFER
	    prctl(PR_SET_PDEATHSIG, SIGKILL);
	int d;
	prctl(PR_GET_PDEATHSIG, &d);
	printf("pdeath %d\n", d);
	struct timespec a, b;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (volatile int i = 0; i < 20000000; i++)
		;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	printf("cpu advances %d\n", b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec);
	struct timespec r;
	clock_getres(CLOCK_MONOTONIC, &r);
	printf("res %ld\n", r.tv_nsec);
	printf("bad clock %d", clock_gettime(99, &r));
	printf(" %s\n", strerrorname_np(errno));
	printf("sched %d %d %d\n", sched_getscheduler(0), sched_get_priority_max(SCHED_FIFO),
	       sched_get_priority_min(SCHED_OTHER));
	siginfo_t si;
	memset(&si, 0, sizeof si);
	printf("waitid none %d", waitid(P_ALL, 0, &si, WEXITED | WNOHANG));
	printf(" %s\n", strerrorname_np(errno));
	printf("getpgid bad %d", getpgid(999999));
	printf(" %s\n", strerrorname_np(errno));
	printf("setsid %d\n", setsid() < 0);
	c = vfork();
	if (!c) {
		execl("/nonexistent", "x", (char *)0);
		_exit(errno);
	}
	waitpid(c, &st, 0);
	printf("vfork exec fail %x\n", st);
	return 0;
}
