/* SPDX-License-Identifier: MIT */
/*
 * How the files of /proc/PID are read: whole records, as many as fit a page; what is shown is what is so
 * when the record is made, not when the file was opened; and whose address space an open file shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define AREAS 300
#define PAGE 4096
static char *base;
static char buf[1 << 17];

static int open_maps(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/%s", name);
	return open(path, O_RDONLY);
}

/* Sizes of the first reads; how often they end a line. */
static void sizes(const char *name, size_t size, int reads)
{
	int fd = open_maps(name), whole = 0;

	printf("%s by %zu:", name, size);
	for (int i = 0; i < reads; i++) {
		ssize_t n = read(fd, buf, size);

		if (strcmp(name, "numa_maps"))	/* tells of others that map the same libraries */
			printf(" %zd", n);
		if (n > 0 && buf[n - 1] == '\n')
			whole++;
	}
	printf(", whole %d\n", whole);
	close(fd);
}

static size_t count_in(const char *text, size_t n, const char *what)
{
	size_t found = 0, length = strlen(what);

	for (size_t i = 0; i + length <= n; i++)
		found += !memcmp(text + i, what, length);
	return found;
}

/* Is the record of the area at address in what is read from now on? */
static void rest_has(int fd, const char *label, const void *address)
{
	char want[32];
	size_t found = 0;
	ssize_t n;

	snprintf(want, sizeof(want), "%lx-", (unsigned long)address);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		found += count_in(buf, (size_t)n, want);
	printf("%s: %zu, then %zd\n", label, found, n);
}

static void changes(void)
{
	int fd = open_maps("maps");
	char *late = base + (2 * AREAS + 10) * PAGE, *early = base - 4 * PAGE;

	/* What is mapped after the first read shows if it lies further on ... */
	printf("first read %zd\n", read(fd, buf, sizeof(buf)));
	mmap(late, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(early, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	rest_has(fd, "mapped further on", late);
	/* ... what was unmapped doesn't, and a seek makes the text anew. */
	lseek(fd, 0, SEEK_SET);
	printf("again %zd\n", read(fd, buf, 100));
	munmap(late, PAGE);
	rest_has(fd, "unmapped", late);
	lseek(fd, 1, SEEK_SET);
	rest_has(fd, "before, after a seek", early);
	munmap(early, PAGE);
	lseek(fd, 1, SEEK_SET);
	rest_has(fd, "unmapped, after a seek", early);
	close(fd);
}

/* A read that ends within a record goes on with that very record, whatever happened to the area. */
static void halves(void)
{
	int fd = open_maps("maps");
	char line[512];
	ssize_t n = pread(fd, buf, 20, 0), m;

	printf("half %zd, ", n);
	m = pread(fd, line, sizeof(line), 20);
	printf("from there %d\n", m > 0 && strchr(line, '\n') != NULL);
	printf("far: %zd %zd\n", pread(fd, buf, 100, 1 << 24), lseek(fd, 1 << 24, SEEK_SET) < 0 ? -1 : read(fd, buf, 1));
	printf("from the end: %ld %s\n", (long)lseek(fd, 0, SEEK_END), strerror(errno));
	printf("negative: %ld %s\n", (long)lseek(fd, -1, SEEK_SET), strerror(errno));
	close(fd);
}

static void single(const char *name)
{
	int fd = open_maps(name);
	ssize_t n = read(fd, buf, 10), m;

	printf("%s: %zd", name, n);
	m = read(fd, buf + 10, sizeof(buf) - 10);
	buf[10 + m] = '\0';
	printf(", whole %d, then %zd", m > 0 && buf[9 + m] == '\n', read(fd, buf, 10));
	printf(", %s\n", pread(fd, buf, 10, 3) == 10 ? "again" : "no more");
	close(fd);
}

static void show(const char *label, pid_t pid, const char *name)
{
	char path[64];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		printf("%s %s: open: %s\n", label, name, strerror(errno));
		return;
	}
	n = read(fd, buf, 16);
	printf("%s %s: %s\n", label, name, n < 0 ? strerror(errno) : n ? "text" : "empty");
	close(fd);
}

static const char *const names[] = { "maps", "smaps", "smaps_rollup", "numa_maps", "statm", "stat", "status",
	"mem", "pagemap", "environ", "auxv", "cmdline", "comm", "limits", "clear_refs" };
#define NAMES (sizeof(names) / sizeof(names[0]))

/* Of a zombie, and of files opened before it died. */
static void of_the_dead(void)
{
	int fds[NAMES], go[2];
	pid_t child;
	char path[64];

	if (pipe(go))
		exit(1);
	child = fork();
	if (!child) {
		close(go[1]);
		_exit((int)read(go[0], path, 1));
	}
	close(go[0]);
	for (size_t i = 0; i < NAMES; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", child, names[i]);
		fds[i] = open(path, O_RDONLY);
	}
	close(go[1]);
	siginfo_t info;
	waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
	for (size_t i = 0; i < NAMES; i++) {
		ssize_t n = fds[i] < 0 ? -2 : pread(fds[i], buf, 16, 0);

		printf("opened alive, read dead, %s: %s\n", names[i], n == -2 ? "not opened" : n < 0 ? strerror(errno) : n ? "text" : "empty");
	}
	for (size_t i = 0; i < NAMES; i++)
		show("zombie", child, names[i]);
	waitpid(child, NULL, 0);
	for (size_t i = 0; i < NAMES; i++) {
		ssize_t n = fds[i] < 0 ? -2 : pread(fds[i], buf, 16, 0);

		printf("gone, %s: %s\n", names[i], n == -2 ? "not opened" : n < 0 ? strerror(errno) : n ? "text" : "empty");
		close(fds[i]);
	}
}

/* An open file goes on to show what it was opened for: after exec that address space is gone. */
static void across_exec(char *self)
{
	for (size_t i = 0; i < NAMES; i++) {
		int fd = open_maps(names[i]);

		if (fd < 0)
			fd = open("/dev/null", O_RDONLY);
		dup2(fd, 100 + (int)i);
		close(fd);
	}
	fflush(stdout);
	execl(self, self, "after", NULL);
}

static void after_exec(void)
{
	for (size_t i = 0; i < NAMES; i++) {
		ssize_t n = pread(100 + (int)i, buf, 16, !strcmp(names[i], "mem") ? (long)&base & ~15l : 0);

		printf("after exec, %s: %s\n", names[i], n < 0 ? strerror(errno) : n ? "text" : "empty");
	}
}

int main(int argc, char **argv)
{
	static const size_t by[] = { 1, 100, 4095, 4096, 4097, sizeof(buf) };

	if (argc > 1) {
		after_exec();
		return 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	base = mmap((void *)0x600000000000, (2 * AREAS + 20) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(base, (2 * AREAS + 20) * PAGE);
	for (size_t i = 0; i < AREAS; i++)
		mmap(base + 2 * i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		sizes("maps", by[i], 4);
		sizes("smaps", by[i], 4);
		if (by[i] >= 4095)
			sizes("numa_maps", by[i], 2);
	}
	changes();
	halves();
	for (size_t i = 0; i < NAMES; i++)
		if (strcmp(names[i], "mem") && strcmp(names[i], "pagemap") && strcmp(names[i], "clear_refs"))
			single(names[i]);
	of_the_dead();
	across_exec(argv[0]);
	return 1;
}
