/* SPDX-License-Identifier: MIT */
/* Three generations write the same pages; each sees its own. vfork and exec beside it. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES (64 * 4096)

static unsigned long sum(const unsigned char *p)
{
	unsigned long s = 0;

	for (int i = 0; i < BYTES; i++)
		s = s * 31 + p[i];
	return s;
}

static void generation(unsigned char *private, unsigned char *shared, int depth)
{
	int status;

	for (int i = depth; i < 64; i += 2)
		memset(private + i * 4096, depth * 16 + i, 4096);
	shared[depth] = (unsigned char)(depth + 1);
	if (depth < 3) {
		if (fork() == 0) {
			generation(private, shared, depth + 1);
			_exit(depth + 1);
		}
		wait(&status);
		printf("generation %d: child %d, own %lx\n", depth, WEXITSTATUS(status), sum(private));
	} else {
		printf("generation %d: own %lx\n", depth, sum(private));
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned char *private = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	setvbuf(stdout, NULL, _IONBF, 0);
	generation(private, shared, 0);
	printf("shared %d %d %d %d\n", shared[0], shared[1], shared[2], shared[3]);
	for (int i = 0; i < 20; i++) {
		pid_t pid = vfork();

		if (!pid) {
			private[0] = (unsigned char)i;	/* the parent's: vfork shares */
			execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
			_exit(1);
		}
		waitpid(pid, &status, 0);
		if (WEXITSTATUS(status) != 7 || private[0] != i)
			printf("vfork %d: %d %d\n", i, status, private[0]);
	}
	execl("/nonexistent", "x", (char *)NULL);
	perror("execl");
	return 0;
}
