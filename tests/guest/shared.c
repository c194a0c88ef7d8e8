/* SPDX-License-Identifier: MIT */
/*
 * Shared memory, and files mapped in every way: between processes, against read and write, past the
 * end, truncated under the mapping. What is in the files at the end is compared by who ran us.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

static sigjmp_buf jump;
static volatile int code;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	code = sig * 100 + info->si_code;
	siglongjmp(jump, 1);
}

/* The byte at p, or the signal that looking at it brings. */
static int look(volatile char *p)
{
	if (sigsetjmp(jump, 1))
		return -code;
	return *p;
}

static int touch(volatile char *p, char c)
{
	if (sigsetjmp(jump, 1))
		return -code;
	*p = c;
	return 0;
}

static void anonymous(void)
{
	volatile unsigned long *counter = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			for (int j = 0; j < 10000; j++)
				__atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	printf("eight processes counted to %lu\n", *counter);
}

static void file(void)
{
	int fd = open("shared.data", O_RDWR | O_CREAT | O_TRUNC, 0644);
	char *p, *q, text[16] = "";

	if (ftruncate(fd, 5 * PAGE + 100))
		return;
	p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	strcpy(p + PAGE, "by the mapping");
	pread(fd, text, 14, PAGE);
	printf("read sees \"%s\"\n", text);
	pwrite(fd, "by write", 8, 2 * PAGE);
	printf("the mapping sees \"%.8s\"\n", p + 2 * PAGE);
	q = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	printf("a private one sees \"%.14s\"\n", q + PAGE);
	q[2 * PAGE] = 'B';
	pwrite(fd, "XY", 2, 2 * PAGE);
	printf("its own copy \"%.8s\"\n", q + 2 * PAGE);
	printf("after the last byte %d, past the last page %d\n", look(p + 5 * PAGE + 200), look(p + 6 * PAGE));
	p[5 * PAGE + 200] = 'n';	/* not in the file */
	printf("write past the last page %d\n", touch(p + 7 * PAGE, 1));
	if (ftruncate(fd, PAGE + 4))
		return;
	printf("truncated: first %d, tail %d %d, gone %d, private copy %d\n", look(p), look(p + PAGE), look(p + PAGE + 6),
	       look(p + 2 * PAGE), look(q + 2 * PAGE));
	if (ftruncate(fd, 3 * PAGE))
		return;
	printf("grown again: tail %d, new page %d\n", look(p + PAGE + 6), look(p + 2 * PAGE));
	strcpy(p + 2 * PAGE + 10, "the last one");
	if (fork() == 0) {
		strcpy(p + 100, "from the child");
		_exit(0);
	}
	wait(NULL);
	printf("\"%s\"\n", p + 100);
	printf("msync %d", msync(p, 3 * PAGE, MS_SYNC));
	printf(", of a hole %d", msync((char *)PAGE, PAGE, MS_SYNC));
	printf(" %s\n", strerrorname_np(errno));
	close(fd);
	strcpy(p + 200, "after close");
}

static void protections(void)
{
	int read_only = open("shared.data", O_RDONLY), append;
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, read_only, 0);

	printf("writable shared of a read-only file: %s\n", p == MAP_FAILED ? strerrorname_np(errno) : "ok");
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
	printf("mprotect of it: %d", mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	printf(" %s\n", strerrorname_np(errno));
	printf("writing to it %d\n", touch(p, 1));
	append = open("shared.data", O_WRONLY);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, append, 0);
	printf("of a write-only file: %s\n", p == MAP_FAILED ? strerrorname_np(errno) : "ok");
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0);
	printf("of a directory: %s\n", p == MAP_FAILED ? strerrorname_np(errno) : "ok");
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, read_only, 1);
	printf("at an odd offset: %s\n", p == MAP_FAILED ? strerrorname_np(errno) : "ok");
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0);
	printf("of no file: %s\n", p == MAP_FAILED ? strerrorname_np(errno) : "ok");
	p = mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("of no length: %s\n", p == MAP_FAILED ? strerrorname_np(errno) : "ok");
	p = mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0);
	printf("neither shared nor private: %s\n", p == MAP_FAILED ? strerrorname_np(errno) : "ok");
}

/* Left dirty by a process that is killed: the pages are the file's all the same. */
static void killed(void)
{
	int fd = open("killed.data", O_RDWR | O_CREAT | O_TRUNC, 0644);

	if (ftruncate(fd, 300 * PAGE))
		return;
	if (fork() == 0) {
		char *p = mmap(NULL, 300 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		for (int i = 0; i < 300; i += 3)
			sprintf(p + i * PAGE + i, "page %d", i);
		kill(getpid(), SIGKILL);
	}
	wait(NULL);
	unlink("gone.data");
	fd = open("gone.data", O_RDWR | O_CREAT, 0600);
	if (ftruncate(fd, PAGE))
		return;
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unlink("gone.data");
	close(fd);
	p[5] = 5;
	printf("of a file without a name %d\n", p[5]);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	setvbuf(stdout, NULL, _IONBF, 0);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	anonymous();
	file();
	protections();
	killed();
	return 0;
}
