/* SPDX-License-Identifier: MIT */
/*
 * The mm operations of a Linux system, timed from inside: a static program that runs natively, under
 * qemu-user and under aspace alike. Prints "NAME NANOSECONDS" a line, the time of one operation: the
 * median of ROUNDS rounds. "nop" is the cost of an empty round's clock readings.
 *
 *	mm [NAME...]	only those
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096ul
#define MIB	(1024 * 1024ul)
#define ROUNDS	9

static char *self;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static char *map(size_t bytes, int prot)
{
	char *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void touch(volatile char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		p[i] = 1;
}

static void reap(pid_t pid)
{
	int status;

	if (pid < 0)
		die("fork");
	if (waitpid(pid, &status, 0) != pid || status)
		die("waitpid");
}

/* Each benchmark does n operations and returns the nanoseconds that they took. */
static uint64_t nop(unsigned n)
{
	uint64_t t = now();

	return now() - t;
}

static uint64_t map_unmap(unsigned n, size_t bytes)
{
	uint64_t t = now();

	for (unsigned i = 0; i < n; i++)
		munmap(map(bytes, PROT_READ | PROT_WRITE), bytes);
	return now() - t;
}
static uint64_t mmap_page(unsigned n)
{
	return map_unmap(n, PAGE);
}
static uint64_t mmap_128m(unsigned n)
{
	return map_unmap(n, 128 * MIB);
}

static uint64_t mprotect_middle(unsigned n)
{
	char *p = map(64 * PAGE, PROT_READ | PROT_WRITE);
	uint64_t t;

	touch(p, 64 * PAGE);
	t = now();
	for (unsigned i = 0; i < n; i++) {
		mprotect(p + 32 * PAGE, PAGE, PROT_READ);
		mprotect(p + 32 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	}
	t = now() - t;
	munmap(p, 64 * PAGE);
	return t / 2;
}

static uint64_t brk_grow(unsigned n)
{
	uint64_t t = now();

	for (unsigned i = 0; i < n; i++)
		if (sbrk(PAGE) == (void *)-1 || sbrk(-(long)PAGE) == (void *)-1)
			die("brk");
	return (now() - t) / 2;
}

static uint64_t mremap_move(unsigned n)
{
	char *area = map(64 * PAGE, PROT_NONE), *a = area + PAGE, *b = area + 32 * PAGE;
	uint64_t t;

	mprotect(a, 16 * PAGE, PROT_READ | PROT_WRITE);
	touch(a, 16 * PAGE);
	t = now();
	for (unsigned i = 0; i < n; i++) {
		if (mremap(a, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b) != b)
			die("mremap");
		char *swap = a;
		a = b;
		b = swap;
	}
	t = now() - t;
	munmap(area, 64 * PAGE);
	return t;
}

static uint64_t anon_fault(unsigned n)
{
	char *p = map(n * PAGE, PROT_READ | PROT_WRITE);
	uint64_t t;

	madvise(p, n * PAGE, MADV_NOHUGEPAGE);
	t = now();
	touch(p, n * PAGE);
	t = now() - t;
	munmap(p, n * PAGE);
	return t;
}

static uint64_t file_fault(unsigned n)
{
	char name[] = "/tmp/aspace-bench-XXXXXX";
	int fd = mkstemp(name);
	volatile char sum = 0;
	char *p;
	uint64_t t;

	unlink(name);
	if (fd < 0 || ftruncate(fd, n * PAGE))
		die("file");
	p = mmap(NULL, n * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	for (unsigned i = 0; i < n; i++)	/* in the cache now */
		sum += p[i * PAGE];
	munmap(p, n * PAGE);
	p = mmap(NULL, n * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	t = now();
	for (unsigned i = 0; i < n; i++)
		sum += p[i * PAGE];
	t = now() - t;
	munmap(p, n * PAGE);
	close(fd);
	return t;
}

static uint64_t cow_fault(unsigned n)
{
	char *p = map(n * PAGE, PROT_READ | PROT_WRITE);
	int fds[2];
	uint64_t t;
	pid_t pid;
	char c;

	madvise(p, n * PAGE, MADV_NOHUGEPAGE);
	touch(p, n * PAGE);
	if (pipe(fds))
		die("pipe");
	pid = fork();
	if (pid == 0) {		/* holds the pages until the parent is done */
		close(fds[1]);
		_exit(read(fds[0], &c, 1) != 0);
	}
	close(fds[0]);
	t = now();
	touch(p, n * PAGE);
	t = now() - t;
	close(fds[1]);
	reap(pid);
	munmap(p, n * PAGE);
	return t;
}

static uint64_t fork_exit(unsigned n)
{
	uint64_t t = now();

	for (unsigned i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		reap(pid);
	}
	return now() - t;
}

static uint64_t fork_areas(unsigned n, unsigned areas)
{
	char *p = map(2 * areas * PAGE, PROT_NONE);
	uint64_t t;

	for (unsigned i = 0; i < areas; i++)
		if (mprotect(p + 2 * i * PAGE, PAGE, PROT_READ | PROT_WRITE))
			die("mprotect");
	t = fork_exit(n);
	munmap(p, 2 * areas * PAGE);
	return t;
}
static uint64_t fork_10(unsigned n)
{
	return fork_areas(n, 5);
}
static uint64_t fork_1000(unsigned n)
{
	return fork_areas(n, 500);
}
static uint64_t fork_10000(unsigned n)
{
	return fork_areas(n, 5000);
}

static uint64_t fork_128m(unsigned n)
{
	char *p = map(128 * MIB, PROT_READ | PROT_WRITE);
	uint64_t t;

	madvise(p, 128 * MIB, MADV_NOHUGEPAGE);
	touch(p, 128 * MIB);
	t = fork_exit(n);
	munmap(p, 128 * MIB);
	return t;
}

static uint64_t fork_exec(unsigned n)
{
	uint64_t t = now();

	for (unsigned i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			execl(self, self, "exit", NULL);
			_exit(1);
		}
		reap(pid);
	}
	return now() - t;
}

static uint64_t read_maps(unsigned n)
{
	unsigned areas = 10000;
	char *p = map(areas * PAGE, PROT_NONE), buffer[65536];
	uint64_t t;

	for (unsigned i = 0; i < areas; i += 2)
		if (mprotect(p + i * PAGE, PAGE, PROT_READ))
			die("mprotect");
	t = now();
	for (unsigned i = 0; i < n; i++) {
		int fd = open("/proc/self/maps", O_RDONLY);

		while (read(fd, buffer, sizeof(buffer)) > 0)
			;
		close(fd);
	}
	t = now() - t;
	munmap(p, areas * PAGE);
	return t;
}

static const struct benchmark {
	const char *name;
	uint64_t (*run)(unsigned n);
	unsigned n;		/* operations a round */
} benchmarks[] = {
	{ "nop", nop, 1 },
	{ "mmap+munmap of a page", mmap_page, 2000 },
	{ "mmap+munmap of 128 MB", mmap_128m, 2000 },
	{ "mprotect in the middle", mprotect_middle, 2000 },
	{ "brk", brk_grow, 2000 },
	{ "mremap move, 16 pages", mremap_move, 2000 },
	{ "anonymous write fault", anon_fault, 4096 },
	{ "file fault, cached", file_fault, 4096 },
	{ "COW fault", cow_fault, 4096 },
	{ "fork+exit, 10 areas", fork_10, 20 },
	{ "fork+exit, 1,000 areas", fork_1000, 10 },
	{ "fork+exit, 10,000 areas", fork_10000, 3 },
	{ "fork+exit, 128 MB touched", fork_128m, 3 },
	{ "fork+exec", fork_exec, 10 },
	{ "maps of 10,000 areas", read_maps, 3 },
};

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "exit"))
		return 0;
	self = realpath("/proc/self/exe", NULL);
	for (size_t b = 0; b < sizeof(benchmarks) / sizeof(benchmarks[0]); b++) {
		const struct benchmark *bench = &benchmarks[b];
		double rounds[ROUNDS];
		int wanted = argc == 1;

		for (int i = 1; i < argc; i++)
			wanted |= strstr(bench->name, argv[i]) != NULL;
		if (!wanted)
			continue;
		bench->run(bench->n / 10 + 1);		/* warm */
		for (int r = 0; r < ROUNDS; r++)
			rounds[r] = (double)bench->run(bench->n) / bench->n;
		qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
		printf("%s\t%.1f\n", bench->name, rounds[ROUNDS / 2]);
		fflush(stdout);
	}
	return 0;
}
