/* SPDX-License-Identifier: MIT */
/* A SIGSEGV handler pages memory in by mprotect; what the signal says is checked and shown. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGES 64

static unsigned char *area;
static int faults, wrong;
static int codes[3];
static long errors[32];

static void on_segv(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uintptr_t at = (uintptr_t)info->si_addr;

	faults++;
	if (at < (uintptr_t)area || at >= (uintptr_t)area + PAGES * 4096)
		_exit(9);
	if (info->si_code < 3)
		codes[info->si_code]++;
	if (uc->uc_mcontext.gregs[REG_CR2] != (greg_t)at || uc->uc_mcontext.gregs[REG_TRAPNO] != 14)
		wrong++;
	errors[uc->uc_mcontext.gregs[REG_ERR] & 31]++;
	mprotect((void *)(at & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };
	unsigned long sum = 0;

	sigaction(SIGSEGV, &action, NULL);
	area = mmap(NULL, PAGES * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < PAGES; i++)
		area[i * 4096 + i] = (unsigned char)i;
	mprotect(area, PAGES * 4096, PROT_READ);
	for (int i = 0; i < PAGES; i += 2)
		area[i * 4096 + i] += 1;
	munmap(area + 4096, 4096);
	mmap(area + 4096, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	sum += area[4096 + 7];
	for (int i = 0; i < PAGES; i++)
		sum += area[i * 4096 + i];
	printf("faults %d, maperr %d, accerr %d, wrong %d, sum %lu\n", faults, codes[SEGV_MAPERR],
	       codes[SEGV_ACCERR], wrong, sum);
	for (int i = 0; i < 32; i++) {
		if (errors[i])
			printf("error code %d: %ld\n", i, errors[i]);
	}
	return 0;
}
