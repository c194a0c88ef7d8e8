/* SPDX-License-Identifier: MIT */
/* The kernel's side: loads, stores and calls that may end in a signal. */
#include <ucontext.h>

#include "check_exec.h"

HOME __attribute__((naked)) static void restore_rt(void)
{
	__asm__ volatile("mov $15, %eax\n\tsyscall");
}

static HOME void on_signal(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (!ST->fix_ip)
		die(40);
	ST->signal = signal;
	ST->code = info->si_code;
	ST->addr = (uint64_t)info->si_addr;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)ST->fix_ip;
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)ST->fix_sp;
	ST->fix_ip = 0;
}

HOME void exec_set_handler(int signal)
{
	struct { void *handler; uint64_t flags; void *restorer; uint64_t mask; } act = {
		(void *)on_signal, 4 | 0x04000000 | 0x40000000, (void *)restore_rt, 0,
	};

	SYS(SYS_rt_sigaction, signal, &act, 0, 8);
}

/*
 * Does `what` (one instruction) with rax = address, rcx = value; a signal in it continues behind it.
 * A called page's `ret` comes back here as well.
 */
#define GUARDED(what) do { \
	__asm__ volatile("lea 9f(%%rip), %%rdx\n\t" \
			 "mov %%rdx, (%[ip])\n\t" \
			 "mov %%rsp, (%[sp])\n\t" \
			 what "\n" \
			 "9:" \
			 : "+c"(value) \
			 : "a"(addr), [ip] "r"(&ST->fix_ip), [sp] "r"(&ST->fix_sp) \
			 : "rdx", "memory", "cc"); \
	ST->fix_ip = 0; \
} while (0)

HOME uint64_t exec_load(uint64_t addr, uint64_t size)
{
	uint64_t value = 0;

	ST->signal = 0;
	switch (size) {
	case 1: GUARDED("movzbl (%%rax), %%ecx"); break;
	case 2: GUARDED("movzwl (%%rax), %%ecx"); break;
	case 4: GUARDED("movl (%%rax), %%ecx"); break;
	default: GUARDED("movq (%%rax), %%rcx"); break;
	}
	return value;
}

HOME void exec_store(uint64_t addr, uint64_t size, uint64_t value)
{
	ST->signal = 0;
	switch (size) {
	case 1: GUARDED("movb %%cl, (%%rax)"); break;
	case 2: GUARDED("movw %%cx, (%%rax)"); break;
	case 4: GUARDED("movl %%ecx, (%%rax)"); break;
	default: GUARDED("movq %%rcx, (%%rax)"); break;
	}
}

HOME void exec_call(uint64_t addr)
{
	uint64_t value = 0;

	ST->signal = 0;
	/* below the red zone, where a `call` would overwrite it */
	__asm__ volatile("lea -256(%%rsp), %%rsp" ::: "memory");
	GUARDED("call *%%rax");
	__asm__ volatile("lea 256(%%rsp), %%rsp" ::: "memory");
	(void)value;
}
