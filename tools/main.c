// SPDX-License-Identifier: MIT
/* The command: which verb, and what there is to say about them all. */
#include <stdio.h>
#include <string.h>

#include <aspace/aspace.h>

#include "hw/cpu.h"
#include "tools.h"

struct verb {
	const char *name, *what;
	int (*main)(int argc, char **argv);
};

static const struct verb verbs[] = {
	{ "run", "run a program in an address space of ours", cmd_run },
	{ "check", "random operations, by us and by this host's kernel, compared", cmd_check },
	{ "trace", "a native program, its calls on memory predicted", cmd_trace },
};
#define NR_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void help(FILE *out)
{
	fputs("usage: aspace VERB [OPTION...] [ARG...]\n\n", out);
	for (size_t i = 0; i < NR_VERBS; i++)
		fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].what);
	fputs("\naspace VERB --help says more. aspace --version names the parts.\n", out);
}

static int version(void)
{
	printf("aspace %s\ncpu: %s\n", aspace_version(), cpu_engine_name());
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return version();
	for (size_t i = 0; i < NR_VERBS; i++) {
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].main(argc - 1, argv + 1);
	}
	fprintf(stderr, "aspace: no verb %s; see aspace --help\n", argv[1]);
	return EXIT_USAGE;
}
