/* SPDX-License-Identifier: MIT */
/* The command's verbs. Each takes its own argv (argv[0] is the verb) and returns an exit status. */
#ifndef TOOLS_TOOLS_H
#define TOOLS_TOOLS_H

#include <stdbool.h>
#include <stdint.h>

#define EXIT_USAGE 2
#define EXIT_FAILED 125		/* aspace itself could not do it */
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127

int cmd_run(int argc, char **argv);	/* run.c */
int cmd_trace(int argc, char **argv);	/* trace.c */
int cmd_check(int argc, char **argv);	/* check.c */

/* "512M", "4G", "1073741824": bytes. False: not a size. */
bool parse_size(const char *text, uint64_t *bytes);
bool parse_number(const char *text, uint64_t *value);

#endif
