/* SPDX-License-Identifier: MIT */
/*
 * The address space in the library alone, beside the host kernel doing the same, in one run. Each
 * round times every line once, here and there; a figure is the median of the rounds, with the fastest
 * and the slowest beside it, in nanoseconds an operation.
 *
 * A call of ours is a function call; the host's is a system call, or a page fault with its trap. Line
 * "nothing" says what that alone costs it. Frames are recycled on both sides: both have touched all
 * the memory before the first round counts.
 *
 * usage: bench_library [ROUNDS [WORD]]	only lines whose name has the word
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mm/internal.h"

#define AREAS	10000
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define MAX_ROUNDS 101

static struct aspace_machine *m;
static struct mm_struct *mm;
static uint64_t ours_at, host_at;	/* AREAS areas of one page, with a free page after each */
static volatile uint64_t sink;
static uint64_t seed = 88172645463325252ull;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void must(int64_t result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "bench_library: %s: %ld\n", what, (long)result);
		exit(1);
	}
}

static uint64_t host_mmap(uint64_t addr, uint64_t n, int prot, int flags)
{
	long at = syscall(SYS_mmap, addr, n, prot, flags, -1, 0);

	must(at, "mmap of the host");
	return at;
}

static uint64_t our_mmap(uint64_t addr, uint64_t n, int prot, int flags)
{
	int64_t at = aspace_mmap(mm, addr, n, prot, flags, NULL, 0);

	must(at, "mmap");
	return at;
}

/* ---- the lines: each returns nanoseconds an operation ----------------------------------------------- */

static double our_nothing(void)
{
	double start = now();

	for (int i = 0; i < 100000; i++)
		sink += next_random();
	return (now() - start) / 100000;
}

static double host_nothing(void)
{
	double start = now();

	for (int i = 0; i < 100000; i++)
		syscall(SYS_getppid);
	return (now() - start) / 100000;
}

static double our_pair(void)
{
	double start = now();

	for (int i = 0; i < 20000; i++)
		aspace_munmap(mm, our_mmap(0, PAGE_SIZE, RW, ANON), PAGE_SIZE);
	return (now() - start) / 20000;
}

static double host_pair(void)
{
	double start = now();

	for (int i = 0; i < 20000; i++)
		syscall(SYS_munmap, host_mmap(0, PAGE_SIZE, RW, ANON), PAGE_SIZE);
	return (now() - start) / 20000;
}

/* One of three pages becomes read-only, and the same again: two splits, then one merge. */
static double our_split_merge(void)
{
	uint64_t at = our_mmap(0, 3 * PAGE_SIZE, RW, ANON);
	double start = now();

	for (int i = 0; i < 20000; i++) {
		aspace_mprotect(mm, at + PAGE_SIZE, PAGE_SIZE, PROT_READ);
		aspace_mprotect(mm, at + PAGE_SIZE, PAGE_SIZE, RW);
	}
	start = now() - start;
	aspace_munmap(mm, at, 3 * PAGE_SIZE);
	return start / 20000;
}

static double host_split_merge(void)
{
	uint64_t at = host_mmap(0, 3 * PAGE_SIZE, RW, ANON);
	double start = now();

	for (int i = 0; i < 20000; i++) {
		syscall(SYS_mprotect, at + PAGE_SIZE, PAGE_SIZE, PROT_READ);
		syscall(SYS_mprotect, at + PAGE_SIZE, PAGE_SIZE, RW);
	}
	start = now() - start;
	syscall(SYS_munmap, at, 3 * PAGE_SIZE);
	return start / 20000;
}

static double our_find(void)
{
	double start = now();

	for (int i = 0; i < 100000; i++)
		sink += find_vma(mm, ours_at + next_random() % (2 * AREAS) * PAGE_SIZE)->vm_end;
	return (now() - start) / 100000;
}

/* No hole among the areas has room for two pages. */
static double our_gap(void)
{
	double start = now();

	for (int i = 0; i < 100000; i++)
		sink += get_unmapped_area(mm, NULL, 0, 2 * PAGE_SIZE, 0, ANON);
	return (now() - start) / 100000;
}

#define FAULTS 2048

static double our_anon_fault(void)
{
	uint64_t at = our_mmap(0, FAULTS * PAGE_SIZE, RW, ANON);
	double start = now();

	for (int i = 0; i < FAULTS; i++)
		aspace_fault(mm, at + i * PAGE_SIZE, ASPACE_WRITE, 0, NULL);
	start = now() - start;
	aspace_munmap(mm, at, FAULTS * PAGE_SIZE);
	return start / FAULTS;
}

static void touch(uint64_t at, int pages)
{
	for (int i = 0; i < pages; i++)
		*(volatile char *)(at + i * PAGE_SIZE) = 1;
}

static uint64_t host_anon(int pages)
{
	uint64_t at = host_mmap(0, pages * PAGE_SIZE, RW, ANON);

	syscall(SYS_madvise, at, pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	return at;
}

static double host_anon_fault(void)
{
	uint64_t at = host_anon(FAULTS);
	double start = now();

	touch(at, FAULTS);
	start = now() - start;
	syscall(SYS_munmap, at, FAULTS * PAGE_SIZE);
	return start / FAULTS;
}

static double our_unmap_touched(void)
{
	uint64_t at = our_mmap(0, FAULTS * PAGE_SIZE, RW, ANON);
	double start;

	for (int i = 0; i < FAULTS; i++)
		aspace_fault(mm, at + i * PAGE_SIZE, ASPACE_WRITE, 0, NULL);
	start = now();
	aspace_munmap(mm, at, FAULTS * PAGE_SIZE);
	return (now() - start) / FAULTS;
}

static double host_unmap_touched(void)
{
	uint64_t at = host_anon(FAULTS);
	double start;

	touch(at, FAULTS);
	start = now();
	syscall(SYS_munmap, at, FAULTS * PAGE_SIZE);
	return (now() - start) / FAULTS;
}

static struct mm_struct *small_space(int pages, uint64_t *at)
{
	struct aspace_mm *space;

	must(aspace_mm_create(m, &space), "a new space");
	*at = aspace_mmap(space, 0, pages * PAGE_SIZE, RW, ANON, NULL, 0);
	for (int i = 0; i < pages; i++)
		must(aspace_fault(space, *at + i * PAGE_SIZE, ASPACE_WRITE, 0, NULL), "fault");
	return space;
}

static double our_cow_fault(void)
{
	struct aspace_mm *parent, *child;
	uint64_t at;
	double start;

	parent = small_space(FAULTS, &at);
	must(aspace_mm_fork(parent, &child), "fork");
	start = now();
	for (int i = 0; i < FAULTS; i++)
		aspace_fault(parent, at + i * PAGE_SIZE, ASPACE_WRITE, 0, NULL);
	start = now() - start;
	aspace_mm_put(child);
	aspace_mm_put(parent);
	return start / FAULTS;
}

/* A child that waits until it is killed: it holds the pages. */
static pid_t host_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	must(pid, "fork of the host");
	return pid;
}

static void host_reap(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static double host_cow_fault(void)
{
	uint64_t at = host_anon(FAULTS);
	double start;
	pid_t pid;

	touch(at, FAULTS);
	pid = host_fork();
	start = now();
	touch(at, FAULTS);
	start = now() - start;
	host_reap(pid);
	syscall(SYS_munmap, at, FAULTS * PAGE_SIZE);
	return start / FAULTS;
}

/* fork and exit of a space of 10,000 areas. */
static double our_fork_areas(void)
{
	struct aspace_mm *child;
	double start = now();

	for (int i = 0; i < 5; i++) {
		must(aspace_mm_fork(mm, &child), "fork");
		aspace_mm_put(child);
	}
	return (now() - start) / 5;
}

static double host_fork_exit(void)
{
	double start = now();

	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	return (now() - start) / 5;
}

#define MANY 8192	/* pages: 32 MiB */

static double our_fork_touched(void)
{
	struct aspace_mm *parent, *child;
	uint64_t at;
	double start;

	parent = small_space(MANY, &at);
	start = now();
	must(aspace_mm_fork(parent, &child), "fork");
	aspace_mm_put(child);
	start = now() - start;
	aspace_mm_put(parent);
	return start;
}

/* The host process has its 10,000 areas as well: what a fork without the 32 MiB costs is taken off. */
static double host_fork_touched(void)
{
	double without = host_fork_exit(), with;
	uint64_t at = host_anon(MANY);

	touch(at, MANY);
	with = host_fork_exit();
	syscall(SYS_munmap, at, MANY * PAGE_SIZE);
	return with - without;
}

static double our_frame(void)
{
	double start = now();

	for (int i = 0; i < 100000; i++)
		put_page(m, alloc_page(m, PAGE_ANON, 0));
	return (now() - start) / 100000;
}

static double our_zeroed_frame(void)
{
	double start = now();

	for (int i = 0; i < 100000; i++)
		put_page(m, alloc_page(m, PAGE_ANON, GFP_ZERO));
	return (now() - start) / 100000;
}

static double our_maps(void)
{
	double start;
	struct aspace_area area = { .size = sizeof(area) };
	uint64_t n = 0, addr = 0;

	start = now();
	while (aspace_find_area(mm, addr, &area) == 0) {
		addr = area.end;
		n++;
	}
	return (now() - start) / n;
}

/* ---- the table ---------------------------------------------------------------------------------------- */

struct line {
	const char *name;
	double (*ours)(void), (*host)(void);
	double wanted;		/* 0: nothing named */
};

static double here[32][MAX_ROUNDS], there[32][MAX_ROUNDS];

static struct line lines[] = {
	{ "nothing", our_nothing, host_nothing, 0 },
	{ "one frame, taken and given back", our_frame, NULL, 30 },
	{ "the same, zeroed", our_zeroed_frame, NULL, 0 },
	{ "find, 10,000 areas", our_find, NULL, 60 },
	{ "gap search, 10,000 areas", our_gap, NULL, 54 },
	{ "area looked at, 10,000 areas", our_maps, NULL, 0 },
	{ "mmap + munmap, 10,000 areas", our_pair, host_pair, 400 },
	{ "split + merge, 10,000 areas", our_split_merge, host_split_merge, 500 },
	{ "anonymous write fault", our_anon_fault, host_anon_fault, 500 },
	{ "munmap, a touched page", our_unmap_touched, host_unmap_touched, 0 },
	{ "copy-on-write fault", our_cow_fault, host_cow_fault, 0 },
	{ "fork + exit, 10,000 areas", our_fork_areas, host_fork_exit, 0 },
	{ "fork + exit, 32 MiB touched", our_fork_touched, host_fork_touched, 0 },
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double print_spread(double *values, int n)
{
	qsort(values, n, sizeof(*values), by_value);
	printf(" %8.0f (%.0f to %.0f)", values[n / 2], values[0], values[n - 1]);
	return values[n / 2];
}

static void print_line(const struct line *line, double *ours, double *host, int rounds)
{
	double a, b;

	printf("%-32s ours", line->name);
	a = print_spread(ours, rounds);
	if (line->wanted > 0)
		printf(", wanted %.0f", line->wanted);
	if (line->host) {
		printf("; host");
		b = print_spread(host, rounds);
		printf("; ours/host %.2f", a / b);
	}
	putchar('\n');
}

static void set_up(void)
{
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 512ull << 20 };

	must(aspace_machine_create(&options, &m), "machine");
	must(aspace_mm_create(m, &mm), "space");
	ours_at = our_mmap(0, 2 * AREAS * PAGE_SIZE, RW, ANON);
	host_at = host_mmap(0, 2 * AREAS * PAGE_SIZE, RW, ANON);
	for (int i = 0; i < AREAS; i++) {
		must(aspace_munmap(mm, ours_at + (2 * i + 1) * PAGE_SIZE, PAGE_SIZE), "munmap");
		must(syscall(SYS_munmap, host_at + (2 * i + 1) * PAGE_SIZE, PAGE_SIZE), "munmap of the host");
	}
	/* The last hole is no hole: it would be found first, and the search never be seen. */
	our_mmap(ours_at + (2 * AREAS - 1) * PAGE_SIZE, PAGE_SIZE, RW, ANON | MAP_FIXED);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 11;

	if (rounds < 1 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: bench_library [ROUNDS], 1 to %d\n", MAX_ROUNDS);
		return 2;
	}
	set_up();
	for (int round = -1; round < rounds; round++)	/* round -1 touches everything first */
		for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
			if (argc > 2 && !strstr(lines[i].name, argv[2]))
				continue;
			here[i][round < 0 ? 0 : round] = lines[i].ours();
			if (lines[i].host)
				there[i][round < 0 ? 0 : round] = lines[i].host();
		}
	printf("ns an operation, median of %d rounds (fastest to slowest)\n", rounds);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (argc <= 2 || strstr(lines[i].name, argv[2]))
			print_line(&lines[i], here[i], there[i], rounds);
	aspace_mm_put(mm);
	aspace_machine_destroy(m);
	return 0;
}
