/* SPDX-License-Identifier: MIT */
/* The stack overflows; the handler runs on the alternate stack and jumps out, three times. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static sigjmp_buf out;
static char *alt;
static volatile int inside, code;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	char here;
	stack_t now;

	sigaltstack(NULL, &now);
	inside = &here > alt && &here < alt + 65536 && (now.ss_flags & SS_ONSTACK);
	code = info->si_code;
	siglongjmp(out, 1);
}

static volatile int endless = 1;

static int deep(int n)
{
	volatile char room[1024];

	room[0] = (char)n;
	return endless ? deep(n + 1) + room[0] : 0;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct rlimit limit = { 1 << 20, 1 << 20 };
	stack_t stack = { .ss_size = 65536 }, tiny = { .ss_sp = &stack, .ss_size = 100 };

	setrlimit(RLIMIT_STACK, &limit);
	alt = stack.ss_sp = malloc(65536);
	printf("tiny: %d\n", sigaltstack(&tiny, NULL));
	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (int i = 0; i < 3; i++) {
		if (!sigsetjmp(out, 1))
			deep(0);
		printf("overflow %d: on the alternate stack %d, code %d\n", i, inside, code);
	}
	return 0;
}
