/* SPDX-License-Identifier: MIT */
/* What system calls do with pointers: absent, at a page's edge, read-only, copy-on-write, of another's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul

static void say(const char *what, ssize_t n)
{
	printf("%s: %zd%s%s\n", what, n, n < 0 ? " " : "", n < 0 ? strerrorname_np(errno) : "");
}

/* Two pages, the second of which isn't there. */
static char *edge(void)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + PAGE, PAGE, PROT_NONE);
	return p;
}

static void reads(void)
{
	int zero = open("/dev/zero", O_RDONLY), fds[2];
	char *p = edge(), *shown = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov[3] = { { p, 10 }, { p + PAGE - 5, 10 }, { p, 10 } };

	if (pipe(fds))
		return;
	write(fds[1], "0123456789abcdefghij", 20);
	say("read across the edge", read(fds[0], p + PAGE - 4, 8));
	say("what is left in the pipe", read(fds[0], p, 100));
	write(fds[1], "0123456789abcdefghij", 20);
	say("read to nowhere", read(fds[0], p + PAGE, 8));
	say("read to read-only memory", read(fds[0], shown, 8));
	say("read of nothing to nowhere", read(fds[0], p + PAGE, 0));
	say("still there", read(fds[0], p, 100));
	write(fds[1], "0123456789abcdefghij", 20);
	say("readv across the edge", readv(fds[0], iov, 3));
	say("left", read(fds[0], p, 100));
	say("readv with a wild vector", readv(zero, (void *)(p + PAGE - 8), 1));
	say("readv of too many", readv(zero, iov, 100000));
	iov[0].iov_len = 1ul << 63;
	say("readv of too much", readv(zero, iov, 2));
	say("address of the kernel's", read(zero, (void *)0xffff800000000000, 8));
	say("non-canonical address", read(zero, (void *)0x1000000000000000, 8));
}

static void writes(void)
{
	int fds[2], file = open("written", O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct stat st;
	char *p = edge();

	if (pipe(fds))
		return;
	memset(p, 'w', PAGE);
	say("write across the edge to a file", write(file, p + PAGE - 10, 20));
	fstat(file, &st);
	printf("its size %ld\n", (long)st.st_size);
	say("write from nowhere", write(file, p + PAGE, 20));
	say("write from null", write(fds[1], NULL, 1));
	say("path at the edge", open(strcpy(p + PAGE - 8, "/nowher"), O_RDONLY));
	memset(p, 'a', PAGE);
	say("path over the edge", open(p + PAGE - 8, O_RDONLY));
	say("path null", open(NULL, O_RDONLY));
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 'a', 4 * PAGE);
	say("path too long", open(p, O_RDONLY));
	p[0] = 0;
	say("path empty", open(p, O_RDONLY));
	say("stat to nowhere", stat("/", (void *)8));
	say("uname to nowhere", uname((void *)(p + 4 * PAGE - 10)));
	say("nanosleep from nowhere", nanosleep((void *)8, NULL));
}

/* A result that the kernel writes breaks sharing like a store does. */
static void cow(void)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int zero = open("/dev/zero", O_RDONLY), status, fds[2];

	memset(p, 'o', 2 * PAGE);
	if (pipe(fds))
		return;
	if (fork() == 0) {
		read(zero, p + 100, PAGE);
		_exit(p[100] == 0 && p[99] == 'o' ? 0 : 1);
	}
	wait(&status);
	printf("the child's %d, ours %c%c\n", status, p[100], p[PAGE]);
	char *q = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *r = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("zero page %d %d\n", q[0], r[0]);
	write(fds[1], "not zero", 8);
	read(fds[0], q, 8);
	printf("written by a read: %.8s, the other %d\n", q, r[0]);
	int file = open("/proc/self/exe", O_RDONLY);
	char *elf = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	write(fds[1], "XXXX", 4);
	read(fds[0], elf, 4);
	char head[5] = "";
	pread(file, head, 4, 0);
	printf("a private page of a file: %.4s, the file: %s\n", elf, head + 1);
}

static void anothers(void)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), buf[64] = "";
	int fds[2];
	char c;
	pid_t pid;

	if (pipe(fds))
		return;
	strcpy(p + PAGE - 4, "before");
	pid = fork();
	if (!pid) {
		strcpy(p + PAGE - 4, "of the child");
		write(fds[1], "x", 1);
		for (;;)
			pause();
	}
	read(fds[0], &c, 1);
	struct iovec here = { buf, 12 }, there = { p + PAGE - 4, 12 };
	say("process_vm_readv", process_vm_readv(pid, &here, 1, &there, 1, 0));
	printf("\"%s\", ours \"%s\"\n", buf, p + PAGE - 4);
	there.iov_base = (void *)8;
	say("of nowhere", process_vm_readv(pid, &here, 1, &there, 1, 0));
	kill(pid, SIGKILL);
	wait(NULL);
	say("of nobody", process_vm_readv(pid, &here, 1, &there, 1, 0));
	int mem = open("/proc/self/mem", O_RDWR);
	say("/proc/self/mem", pread(mem, buf, 6, (off_t)(p + PAGE - 4)));
	say("of a hole", pread(mem, buf, 6, 4096));
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	reads();
	writes();
	cow();
	anothers();
	return 0;
}
