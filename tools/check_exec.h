/* SPDX-License-Identifier: MIT */
/*
 * What the files of the kernel's side share. Read check_exec.c first: none of this may call the C
 * library, nor keep anything in static storage.
 */
#ifndef CHECK_EXEC_H
#define CHECK_EXEC_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <aspace/abi.h>

#include "check.h"

#if defined(__clang__)
#define HOME __attribute__((no_sanitize("address", "undefined", "thread"), no_stack_protector))
#else
#define HOME __attribute__((no_sanitize("address", "undefined", "thread"), no_stack_protector, \
			    optimize("no-tree-loop-distribute-patterns")))
#endif

enum { FD_COMMAND = 3, FD_REPLY = 4, FD_RING = 5, FD_PIPE_R = 6, FD_PIPE_W = 7, FD_PROC = 10, FD_FILE = 20 };
enum { PROC_MAPS, PROC_SMAPS, PROC_PAGEMAP, PROC_STATUS, PROC_MEM };

/* The child's own variables, at CHECK_STATE. */
struct state {
	uint64_t tls[64];	/* where %fs points: nothing uses it but a stack protector */
	uint64_t fix_ip, fix_sp;	/* where to go on after a signal; 0: nowhere */
	int signal, code, child;
	uint64_t addr;
	struct check_slot *slot;
	struct { uint64_t dev, ino, kind; } file[CHECK_FILES];
	uint64_t words[512];
	char path[320];
	unsigned char vec[65536];
	char text[65536];
	uint64_t entries[CHECK_HEAD_PAGES];
};
#define ST ((struct state *)CHECK_STATE)
#define RING ((struct check_ring *)CHECK_RING)

static inline HOME int64_t sys6(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
				uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	int64_t ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#define SYS(nr, ...) SYS_(nr, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYS_(nr, a, b, c, d, e, f, ...) \
	sys6(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))

static inline HOME void exec_zero(void *p, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0) : "memory");
}

/* Something is wrong with ourselves: the status tells where. */
static inline HOME _Noreturn void die(int where)
{
	for (;;)
		SYS(SYS_exit_group, where);
}

/* check_exec_fault.c: an access that may fault. ST->signal, code and addr say how it ended. */
uint64_t exec_load(uint64_t addr, uint64_t size);
void exec_store(uint64_t addr, uint64_t size, uint64_t value);
void exec_call(uint64_t addr);
void exec_set_handler(int signal);

/* check_exec_look.c: the picture after an operation; /proc/self, for each process anew. */
void exec_open_proc(void);
void exec_describe_home(void);
void exec_picture(struct check_slot *slot, unsigned i, unsigned look);

/* check_exec_ops.c: the operations [from, to) of the slot's sequence. */
void exec_run(struct check_slot *slot, unsigned from, unsigned to);

#endif
