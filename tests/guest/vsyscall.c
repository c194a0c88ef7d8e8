/* SPDX-License-Identifier: MIT */
/* The old fixed entries are called; what happens beside them is a fault like any other. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static sigjmp_buf out;

static void on_segv(int sig)
{
	siglongjmp(out, 1);
}

int main(void)
{
	time_t (*vtime)(time_t *) = (time_t (*)(time_t *))0xffffffffff600400ul;
	time_t by_arg = 0, now = vtime(&by_arg);

	printf("time %d %d\n", llabs((long long)(now - time(NULL))) <= 2, now == by_arg);
	signal(SIGSEGV, on_segv);
	if (!sigsetjmp(out, 1))
		((void (*)(void))0xffffffffff600100ul)();
	else
		printf("between the entries: SIGSEGV\n");
	if (!sigsetjmp(out, 1))
		printf("%d\n", *(volatile char *)0xffffffffff600000ul);
	else
		printf("not readable\n");
	return 0;
}
