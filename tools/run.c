// SPDX-License-Identifier: MIT
/*
 * aspace run: a program of this machine, unmodified, in an address space of ours. It ends as the
 * program ends: with its status, or by its signal.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/host.h"
#include "kernel/task.h"
#include "tools.h"

#define DEFAULT_RAM (2ull << 30)
#define MIN_RAM (4ull << 20)

extern char **environ;

struct run {
	struct kernel_options kernel;
	bool stats, json;
	char **argv;
};

static void help(FILE *out)
{
	fputs("usage: aspace run [OPTION...] [--] PROGRAM [ARG...]\n\n"
	      "  --ram SIZE             the machine's memory (default 2G)\n"
	      "  --index range|rbtree   the structure that finds areas (default range)\n"
	      "  --paging 4|5           levels of the page tables (default 4)\n"
	      "  --seed N               random addresses and bytes, from N; without it runs repeat\n"
	      "  --preempt US           length of a time slice in microseconds (default 10000)\n"
	      "  --fault-around SIZE    how much of a file a fault maps around it (default 64K)\n"
	      "  --maps                 print the address space when the program ends\n"
	      "  --maps=usr1            print it each time this command gets SIGUSR1\n"
	      "  --stats[=json]         print what the run did\n"
	      "  --log-mm               a line for each call on memory and each fault\n"
	      "  --strace               a line for each system call\n"
	      "  --log FILE             where those go (default: standard error)\n"
	      "  --help\n\n"
	      "The exit status is the program's. 126: it can't be run; 127: there is none;\n"
	      "125: aspace itself failed; 2: bad usage.\n", out);
}

enum { OPT_RAM = 256, OPT_INDEX, OPT_PAGING, OPT_SEED, OPT_PREEMPT, OPT_FAULT_AROUND, OPT_MAPS, OPT_STATS,
       OPT_LOG_MM, OPT_STRACE, OPT_LOG, OPT_HELP };

static const struct option options[] = {
	{ "ram", required_argument, NULL, OPT_RAM },
	{ "index", required_argument, NULL, OPT_INDEX },
	{ "paging", required_argument, NULL, OPT_PAGING },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "preempt", required_argument, NULL, OPT_PREEMPT },
	{ "fault-around", required_argument, NULL, OPT_FAULT_AROUND },
	{ "maps", optional_argument, NULL, OPT_MAPS },
	{ "stats", optional_argument, NULL, OPT_STATS },
	{ "log-mm", no_argument, NULL, OPT_LOG_MM },
	{ "strace", no_argument, NULL, OPT_STRACE },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static int bad(const char *option, const char *value)
{
	fprintf(stderr, "aspace: run: --%s: not a value for it: %s\n", option, value);
	return EXIT_USAGE;
}

/* 0, or the exit status. */
static int set_ram(struct run *run, const char *text)
{
	if (!parse_size(text, &run->kernel.ram_bytes))
		return bad("ram", text);
	if (run->kernel.ram_bytes < MIN_RAM) {
		fprintf(stderr, "aspace: run: --ram: too little, at least 4M: %s\n", text);
		return EXIT_USAGE;
	}
	run->kernel.ram_bytes &= ~4095ull;
	return 0;
}

static int set_index(struct run *run, const char *text)
{
	if (!strcmp(text, "rbtree"))
		run->kernel.index = ASPACE_INDEX_RBTREE;
	else if (!strcmp(text, "range"))
		run->kernel.index = ASPACE_INDEX_RANGE_TREE;
	else
		return bad("index", text);
	return 0;
}

static int set_paging(struct run *run, const char *text)
{
	if (!strcmp(text, "4"))
		run->kernel.format = ASPACE_X86_64_4LEVEL;
	else if (!strcmp(text, "5"))
		run->kernel.format = ASPACE_X86_64_5LEVEL;
	else
		return bad("paging", text);
	return 0;
}

static int set_preempt(struct run *run, const char *text)
{
	uint64_t us;

	if (!parse_number(text, &us) || us < 10 || us > 10000000)
		return bad("preempt", text);
	run->kernel.preempt_us = (unsigned)us;
	return 0;
}

static int set_fault_around(struct run *run, const char *text)
{
	uint64_t bytes;

	if (!parse_size(text, &bytes) || bytes < 4096 || bytes > 1 << 21 || (bytes & (bytes - 1)))
		return bad("fault-around", text);
	run->kernel.fault_around_kib = (unsigned)(bytes >> 10);
	return 0;
}

static int set_log(struct run *run, const char *path)
{
	run->kernel.log = fopen(path, "we");
	if (run->kernel.log)
		return 0;
	fprintf(stderr, "aspace: run: --log: %s: %s\n", path, strerror(errno));
	return EXIT_USAGE;
}

static int set_option(struct run *run, int option)
{
	switch (option) {
	case OPT_RAM:
		return set_ram(run, optarg);
	case OPT_INDEX:
		return set_index(run, optarg);
	case OPT_PAGING:
		return set_paging(run, optarg);
	case OPT_SEED:
		return parse_number(optarg, &run->kernel.seed) && run->kernel.seed ? 0 :
										     bad("seed", optarg);
	case OPT_PREEMPT:
		return set_preempt(run, optarg);
	case OPT_FAULT_AROUND:
		return set_fault_around(run, optarg);
	case OPT_MAPS:
		if (optarg && strcmp(optarg, "usr1"))
			return bad("maps", optarg);
		run->kernel.maps_on_usr1 |= optarg != NULL;
		run->kernel.maps_at_exit |= optarg == NULL;
		return 0;
	case OPT_STATS:
		if (optarg && strcmp(optarg, "json"))
			return bad("stats", optarg);
		run->stats = true;
		run->json = optarg != NULL;
		return 0;
	case OPT_LOG_MM:
		run->kernel.log_mm = true;
		return 0;
	case OPT_STRACE:
		run->kernel.strace = true;
		return 0;
	case OPT_LOG:
		return set_log(run, optarg);
	default:
		fputs("see aspace run --help\n", stderr);
		return EXIT_USAGE;
	}
}

/* -1: go on; else the exit status. */
static int parse(struct run *run, int argc, char **argv)
{
	int option, status;

	argv[0] = "aspace: run";	/* getopt's messages begin with it */
	while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (option == OPT_HELP || option == 'h') {
			help(stdout);
			return 0;
		}
		status = set_option(run, option);
		if (status)
			return status;
	}
	if (optind == argc) {
		fputs("aspace: run: no program; see aspace run --help\n", stderr);
		return EXIT_USAGE;
	}
	run->argv = argv + optind;
	return -1;
}

/* ---- the program ---------------------------------------------------------------------------------------- */

/* As a shell looks for a name without a slash. 0 or errno. */
static int search_path(const char *name, char *path, size_t size)
{
	const char *dirs = getenv("PATH");
	int error = ENOENT;

	if (strchr(name, '/')) {
		snprintf(path, size, "%s", name);
		return 0;
	}
	if (!dirs)
		dirs = "/bin:/usr/bin";
	while (*name) {
		size_t n = strcspn(dirs, ":");
		struct stat st;

		snprintf(path, size, "%.*s%s%s", (int)n, dirs, n ? "/" : "", name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			if (access(path, X_OK) == 0)
				return 0;
			error = EACCES;
		}
		dirs += n;
		if (!*dirs++)
			break;
	}
	return error;
}

static int cannot_run(const char *name, int error)
{
	struct stat st;
	const char *why = strerror(error);

	if (error == EACCES && stat(name, &st) == 0 && S_ISDIR(st.st_mode))
		why = strerror(EISDIR);
	else if (error == ENOENT && !strchr(name, '/'))
		why = "command not found";
	else if (error == ENOENT && stat(name, &st) == 0)
		why = "its interpreter is not there";
	else if (error == ENOEXEC)
		why = "not an x86-64 program or script";
	fprintf(stderr, "aspace: run: %s: %s\n", name, why);
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

static int failed(const char *what, int error)
{
	fprintf(stderr, "aspace: run: %s: %s\n", what, strerror(error));
	return EXIT_FAILED;
}

/* A wait status, or -1 with the exit status in *failure. */
static int run_program(struct run *run, struct kernel *k, const char *path, int *failure)
{
	int status = kernel_start(k, path, run->argv, environ);

	if (status) {
		*failure = status == -ENOMEM ? failed("the program does not fit into --ram", ENOMEM) :
					       cannot_run(run->argv[0], -status);
		return -1;
	}
	status = kernel_run(k);
	if (status < 0) {
		*failure = failed("the processor", -status);
		return -1;
	}
	return status;
}

static void end_by_signal(int sig)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);	/* a core would be ours, not the program's */
	host_die(sig);
}

int cmd_run(int argc, char **argv)
{
	struct run run = { .kernel = { .ram_bytes = DEFAULT_RAM } };
	struct kernel *k;
	char path[PATH_MAX];
	bool copy;
	int status = parse(&run, argc, argv), failure = 0;

	if (status >= 0)
		return status;
	status = search_path(run.argv[0], path, sizeof(path));
	if (status)
		return cannot_run(run.argv[0], status);
	status = kernel_create(&run.kernel, &k);
	if (status)
		return failed("the machine", -status);
	status = run_program(&run, k, path, &failure);
	copy = k->is_copy;
	if (run.stats && status >= 0 && !copy)
		print_stats(k, k->options.log, run.json);
	kernel_destroy(k);
	if (run.kernel.log)
		fclose(run.kernel.log);
	if (status < 0)
		return failure;
	if (copy)	/* nobody waits for us */
		return 0;
	if (WIFSIGNALED(status))
		end_by_signal(WTERMSIG(status));
	return WEXITSTATUS(status);
}
