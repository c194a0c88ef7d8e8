/* SPDX-License-Identifier: MIT */
/* Starts the child that does sequences in the kernel (check_exec.c), hands them over, waits. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { FD_COMMAND = 3, FD_REPLY = 4, FD_RING = 5, NR_FDS = 3 };
#define ANSWER_TIMEOUT_MS 30000

struct check_host {
	pid_t pid;
	int command, reply;
	struct check_ring *ring;
	char tmp_dir[64];
};

/* In the child: the three descriptors where the program expects them, then the program again. */
static void become_executor(int command, int reply, int ring)
{
	static char *const argv[] = { "aspace", "check", "--executor", NULL };
	static char *const envp[] = { "GLIBC_TUNABLES=glibc.pthread.rseq=0", "ASAN_OPTIONS=detect_leaks=0",
				      NULL };
	int from[NR_FDS] = { command, reply, ring };
	static const struct { int which; rlim_t bytes; } limits[] = {
		{ RLIMIT_STACK, 8 << 20 }, { RLIMIT_MEMLOCK, CHECK_MEMLOCK },
		{ RLIMIT_AS, RLIM_INFINITY }, { RLIMIT_DATA, RLIM_INFINITY }, { RLIMIT_CORE, 0 },
	};

	for (int i = 0; i < NR_FDS; i++)
		from[i] = fcntl(from[i], F_DUPFD, 100);
	for (int i = 0; i < NR_FDS; i++)
		if (dup2(from[i], FD_COMMAND + i) < 0)
			_exit(60);
	close_range(FD_COMMAND + NR_FDS, ~0U, 0);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit r;

		getrlimit(limits[i].which, &r);
		r.rlim_cur = limits[i].bytes < r.rlim_max ? limits[i].bytes : r.rlim_max;
		if (setrlimit(limits[i].which, &r))
			_exit(61);
	}
	if (personality(ADDR_NO_RANDOMIZE) < 0)
		_exit(61);
	execve("/proc/self/exe", argv, envp);
	_exit(62);
}

static int wait_reply(struct check_host *host, void *answer)
{
	struct pollfd p = { .fd = host->reply, .events = POLLIN };

	if (poll(&p, 1, ANSWER_TIMEOUT_MS) != 1)
		return -ETIMEDOUT;
	return read(host->reply, answer, 4) == 4 ? 0 : -EPIPE;
}

int check_host_start(struct check_host **out)
{
	struct check_host *host = calloc(1, sizeof(*host));
	int command[2] = { -1, -1 }, reply[2] = { -1, -1 }, ring_fd = -1, status = 0, ret = -ENOMEM;
	char answer[4];

	if (!host)
		return -ENOMEM;
	snprintf(host->tmp_dir, sizeof(host->tmp_dir), "/tmp/aspace-check-XXXXXX");
	ring_fd = memfd_create("check-ring", MFD_CLOEXEC);
	if (ring_fd < 0 || ftruncate(ring_fd, sizeof(struct check_ring)) ||
	    pipe2(command, O_CLOEXEC) || pipe2(reply, O_CLOEXEC) || !mkdtemp(host->tmp_dir)) {
		ret = -errno;
		goto fail;
	}
	host->ring = mmap(NULL, sizeof(struct check_ring), PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd, 0);
	if (host->ring == MAP_FAILED) {
		ret = -errno;
		goto fail;
	}
	strcpy(host->ring->tmp_dir, host->tmp_dir);
	fflush(NULL);
	host->pid = fork();
	if (!host->pid)
		become_executor(command[0], reply[1], ring_fd);
	close(command[0]);
	close(reply[1]);
	close(ring_fd);
	host->command = command[1];
	host->reply = reply[0];
	ret = host->pid < 0 ? -EAGAIN : wait_reply(host, answer);
	if (ret) {
		if (host->pid > 0 && waitpid(host->pid, &status, WNOHANG) == host->pid)
			fprintf(stderr, "aspace check: the child could not start (%s %d)\n",
				WIFEXITED(status) ? "status" : "signal",
				WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
		check_host_stop(host);
		return ret;
	}
	if (!host->ring->nr_home) {
		fprintf(stderr, "aspace check: this kernel has no PROCMAP_QUERY (6.11 or later has)\n");
		check_host_stop(host);
		return -ENOSYS;
	}
	*out = host;
	return 0;
fail:
	free(host);
	return ret;
}

void check_host_stop(struct check_host *host)
{
	char path[80];

	close(host->command);
	close(host->reply);
	if (host->pid > 0) {
		kill(host->pid, SIGKILL);
		waitpid(host->pid, NULL, 0);
	}
	for (int f = 0; f < CHECK_FILES; f++) {
		snprintf(path, sizeof(path), "%s/%c", host->tmp_dir, 'a' + f);
		unlink(path);
	}
	rmdir(host->tmp_dir);
	munmap(host->ring, sizeof(*host->ring));
	free(host);
}

struct check_ring *check_host_ring(struct check_host *host)
{
	return host->ring;
}

int check_host_post(struct check_host *host, unsigned slot)
{
	unsigned char which = slot;
	struct check_trace *t = &host->ring->slot[slot].trace;

	t->done = t->used = 0;
	memset(t->result, 0, sizeof(t->result));
	return write(host->command, &which, 1) == 1 ? 0 : -EPIPE;
}

int check_host_wait(struct check_host *host, int *status)
{
	return wait_reply(host, status);
}
