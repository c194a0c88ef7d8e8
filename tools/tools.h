/* SPDX-License-Identifier: MIT */
/* The command's verbs. Each takes its own argv (argv[0] is the verb) and returns an exit status. */
#ifndef TOOLS_TOOLS_H
#define TOOLS_TOOLS_H

int cmd_run(int argc, char **argv);	/* run.c */
int cmd_trace(int argc, char **argv);	/* trace.c */
int cmd_check(int argc, char **argv);	/* check.c */

#endif
