/* SPDX-License-Identifier: MIT */
/* What scheduling remembers, and what of it children get. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sched_param none;

static void show(const char *who)
{
	cpu_set_t cpus;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	printf("%s: policy %x, cpus %d, nice %d, slack %d\n", who, sched_getscheduler(0),
	       CPU_COUNT(&cpus), getpriority(PRIO_PROCESS, 0), prctl(PR_GET_TIMERSLACK));
	fflush(stdout);
}

static void show_child(const char *who)
{
	if (fork() == 0) {
		show(who);
		_exit(0);
	}
	wait(NULL);
}

static void refused(const char *what, int result)
{
	printf("%s: %d, errno %d\n", what, result, result < 0 ? errno : 0);
}

static void one_cpu(void)
{
	cpu_set_t cpus, first;
	int i = 0;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	while (!CPU_ISSET(i, &cpus))
		i++;
	CPU_ZERO(&first);
	CPU_SET(i, &first);
	sched_setaffinity(0, sizeof(first), &first);
}

static int io(void)
{
	return (int)syscall(SYS_ioprio_get, 1, 0);
}

static void io_set(const char *what, int which, int who, int ioprio)
{
	int result = (int)syscall(SYS_ioprio_set, which, who, ioprio);

	printf("I/O, %s: %d, errno %d; %x\n", what, result, result < 0 ? errno : 0, io());
}

static void io_priorities(void)
{
	io_set("idle", 1, 0, 3 << 13);
	io_set("best effort", 1, 0, 2 << 13 | 7);
	io_set("no class with a level", 1, 0, 3);
	io_set("class 4", 1, 0, 4 << 13);
	io_set("of nothing", 4, 0, 3 << 13);
	io_set("of nobody", 1, 1 << 22, 3 << 13);
	fflush(stdout);
	if (fork() == 0) {
		printf("a child's: %x\n", io());
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	io_set("none", 1, 0, 0);
}

int main(void)
{
	struct sched_param param = { .sched_priority = 1 };

	one_cpu();
	prctl(PR_SET_TIMERSLACK, 1234);
	setpriority(PRIO_PROCESS, 0, 3);
	show("at first");
	sched_setscheduler(0, SCHED_BATCH, &none);
	show("batch");
	show_child("its child");
	sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none);
	sched_setparam(0, &none);
	show("reset on fork");
	show_child("its child");

	refused("negative", sched_getscheduler(-1));
	refused("policy 4", sched_setscheduler(0, 4, &none));
	refused("policy -1", sched_setscheduler(0, -1, &none));
	refused("priority of a batch", sched_setscheduler(0, SCHED_BATCH, &param));
	refused("no place", sched_getparam(0, NULL));
	refused("nobody", sched_getscheduler(1 << 22));
	printf("the parent, no child of ours: %d\n", sched_getscheduler(getppid()) & ~SCHED_RESET_ON_FORK);
	io_priorities();
	return 0;
}
