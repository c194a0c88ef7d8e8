/* SPDX-License-Identifier: MIT */
/* Processes and threads as system calls see them: numbers, groups, robust lists, execve in a thread. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void groups(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		int own = setpgid(0, 0) == 0 && getpgrp() == getpid();
		int sid = setsid();

		printf("own group %d, setsid %s, setpgid of a stranger %d %s\n", own,
		       sid < 0 ? strerrorname_np(errno) : "ok", setpgid(1, 0), strerrorname_np(errno));
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("no child: %d %s\n", wait(&status), strerrorname_np(errno));
}

static void orphans(void)
{
	int fds[2];
	char text[32] = { 0 };

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe(fds))
		return;
	if (fork() == 0) {
		if (fork() == 0) {
			while (getppid() != 1 && usleep(1000) == 0) {
				char c = 'r';

				if (write(fds[1], &c, 1) < 0)
					break;
				break;
			}
			_exit(5);
		}
		_exit(4);
	}
	int first, second;
	wait(&first);
	wait(&second);
	printf("reaped %d\n", WEXITSTATUS(first) + WEXITSTATUS(second));
	printf("orphan wrote %zd\n", read(fds[0], text, sizeof(text)));
}

static pthread_mutex_t *robust;

static void *die_holding(void *arg)
{
	pthread_mutex_lock(robust);
	return NULL;
}

static void robust_lock(void)
{
	pthread_mutexattr_t attr;
	pthread_t thread;
	int r;

	robust = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(robust, &attr);
	pthread_create(&thread, NULL, die_holding, NULL);
	pthread_join(thread, NULL);
	r = pthread_mutex_lock(robust);
	printf("thread died: %s\n", strerrorname_np(r));
	pthread_mutex_consistent(robust);
	pthread_mutex_unlock(robust);
	if (fork() == 0) {
		pthread_mutex_lock(robust);
		kill(getpid(), SIGKILL);
	}
	wait(NULL);
	r = pthread_mutex_lock(robust);
	printf("process died: %s\n", strerrorname_np(r));
}

static void timed(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec when;

	clock_gettime(CLOCK_REALTIME, &when);
	when.tv_nsec += 20000000;
	if (when.tv_nsec >= 1000000000)
		when.tv_sec++, when.tv_nsec -= 1000000000;
	pthread_mutex_lock(&lock);
	printf("timedwait: %s\n", strerrorname_np(pthread_cond_timedwait(&cond, &lock, &when)));
}

static void timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN,
				  .sigev_value.sival_int = 42 };
	struct itimerspec spec = { { 0, 5000000 }, { 0, 5000000 } };
	sigset_t set;
	siginfo_t info;
	timer_t timer;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &spec, NULL);
	for (int i = 0; i < 3; i++) {
		int sig = sigwaitinfo(&set, &info);

		printf("timer: %d value %d code %d\n", sig == SIGRTMIN, info.si_value.sival_int,
		       info.si_code);
	}
	usleep(30000);
	sigwaitinfo(&set, &info);
	printf("overrun %d\n", timer_getoverrun(timer) >= 3);
	timer_delete(timer);
	printf("deleted: %d\n", timer_settime(timer, 0, &spec, NULL));
}

static void limits(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max + 1;
	printf("limit above max: %d %s\n", setrlimit(RLIMIT_NOFILE, &limit), strerrorname_np(errno));
	printf("nice %d\n", nice(3));
	char name[16] = "";
	prctl(PR_SET_NAME, "a name that is too long");
	prctl(PR_GET_NAME, name);
	printf("name %s\n", name);
}

static void bad_calls(void)
{
	errno = 0;
	printf("clone: %ld %s\n", syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), strerrorname_np(errno));
	printf("clone3: %ld %s\n", syscall(SYS_clone3, NULL, 10), strerrorname_np(errno));
	printf("kill: %d %s\n", kill(getpid(), 99), strerrorname_np(errno));
	printf("futex: %ld %s\n", syscall(SYS_futex, 1, 0, 0, 0), strerrorname_np(errno));
	printf("sigaction: %ld %s\n", syscall(SYS_rt_sigaction, SIGKILL, &limits, 0, 8), strerrorname_np(errno));
	printf("nosys: %ld %s\n", syscall(1000), strerrorname_np(errno));
	printf("efault: %ld %s\n", syscall(SYS_uname, 8), strerrorname_np(errno));
}

static void *exec_here(void *arg)
{
	execl("/bin/sh", "sh", "-c", "echo the shell has our number: $(($$ - $0))", arg, (char *)NULL);
	return NULL;
}

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int main(void)
{
	static char number[16];
	pthread_t thread;

	setvbuf(stdout, NULL, _IONBF, 0);
	groups();
	orphans();
	robust_lock();
	timed();
	timers();
	limits();
	bad_calls();
	for (int i = 0; i < 3; i++)
		pthread_create(&thread, NULL, sleeper, NULL);
	snprintf(number, sizeof(number), "%d", getpid());
	pthread_create(&thread, NULL, exec_here, number);
	pthread_join(thread, NULL);
	return 1;
}
