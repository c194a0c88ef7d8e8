/* SPDX-License-Identifier: MIT */
/*
 * A processor, as the personality above sees one: user mode only.
 *
 * Give it one task's registers (a context) and the physical address of a top-level page table,
 * and it runs the task's instructions until one of them needs a kernel. Then it comes back with
 * an event:
 *
 *	        cpu_run(ctx, cr3) ----------------> guest instructions
 *	              ^                                   |
 *	   next task, or the same        SYSCALL, page fault, exception, int 0x80, kick
 *	              |                                   |
 *	        kernel work  <-------------------- struct cpu_event
 *
 * Nothing above this header knows which engine runs, and nothing runs on the host's stack for a
 * guest while it isn't in cpu_run(): kernel work happens between two calls, never in a callback.
 *
 * The engine walks the guest's page tables by itself, in RAM, as hardware does: it sets accessed
 * and dirty bits, honours NX and reserved bits, and caches translations (TLB) and decoded
 * instructions. What the kernel owes it is therefore what it owes hardware:
 *
 *  - an entry that gave something and now gives less (absent, read-only, another frame) is
 *    followed by cpu_flush_tlb() or cpu_flush_tlb_range() before the frame is used for something
 *    else. An entry that now gives more (absent to present, read-only to writable) needs nothing:
 *    at worst the engine reports one more fault, which the kernel finds already settled.
 *  - one thing hardware does by itself: RAM that held instructions and is changed by the host, or
 *    given to another use, is announced by cpu_invalidate_code().
 *
 * Kick the engine every 10 ms or so while it runs: its own housekeeping is done at kicks, too.
 *
 * One engine is used by one host thread at a time. Only cpu_kick() may be called from elsewhere.
 * Functions that can fail return a negative errno.
 */
#ifndef ASPACE_HW_CPU_H
#define ASPACE_HW_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu;	    /* one engine */
struct cpu_context; /* one task's processor state; the engine's, opaque */

/*
 * One piece of physical memory. Page aligned; pieces don't overlap. The memory stays the
 * caller's.
 */
struct cpu_ram {
	uint64_t phys;
	uint64_t size;
	void *host;
};

struct cpu_options {
	const struct cpu_ram *ram; /* read during cpu_create() only */
	unsigned int nr_ram;
	uint32_t code_cache; /* bytes for translated code; 0: the engine's choice */
	bool la57;	   /* page tables have five levels instead of four */
	bool conservative; /* rely only on what the engine promises: slower, for tests and doubt */
};

/* The selectors of user code and data, as Linux has them: what goes into signal frames. */
#define CPU_USER_CS 0x33
#define CPU_USER_DS 0x2b

#define CPU_EFLAGS_FIXED 0x002u /* bit 1, always set */
#define CPU_EFLAGS_TF	 0x100u
#define CPU_EFLAGS_IF	 0x200u
#define CPU_EFLAGS_DF	 0x400u
/*
 * What user mode may change by itself (popf), and what cpu_context_set_regs() takes: the other
 * bits keep.
 */
#define CPU_EFLAGS_USER 0x254dd5u

struct cpu_regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	uint64_t fs_base, gs_base;
};

/* An image as FXSAVE64 writes it, which is also what a signal frame carries. 16-byte aligned. */
#define CPU_FXSAVE_SIZE 512

/* x86's own numbers; CPU_EXCEPTION carries one of them. */
enum cpu_vector {
	CPU_VECTOR_DE = 0, /* divide error */
	CPU_VECTOR_DB = 1, /* single step */
	CPU_VECTOR_BP = 3, /* int3 */
	CPU_VECTOR_OF = 4,
	CPU_VECTOR_BR = 5,
	CPU_VECTOR_UD = 6, /* invalid instruction */
	CPU_VECTOR_NM = 7,
	CPU_VECTOR_DF = 8,
	CPU_VECTOR_NP = 11,
	CPU_VECTOR_SS = 12,
	CPU_VECTOR_GP = 13, /* privileged instruction, non-canonical address ... */
	CPU_VECTOR_PF = 14,
	CPU_VECTOR_MF = 16, /* x87 error */
	CPU_VECTOR_AC = 17,
	CPU_VECTOR_XM = 19, /* SSE error */
};

/* Bits of a page fault's error code. */
#define CPU_PF_PROT  0x01u /* the page was present: a protection fault */
#define CPU_PF_WRITE 0x02u
#define CPU_PF_USER  0x04u
#define CPU_PF_RSVD  0x08u
#define CPU_PF_INSTR 0x10u /* instruction fetch */

enum cpu_event_kind {
	CPU_SYSCALL,	/* rip: after it; rcx = rip, r11 = rflags, as hardware does */
	CPU_PAGE_FAULT, /* rip: the instruction, which restarts; .addr, .error_code */
	CPU_EXCEPTION,	/* .vector, .error_code; rip: it; after it for #BP, #OF, #DB */
	CPU_INT80,	/* rip: after the instruction */
	CPU_KICK,	/* cpu_kick() was called; rip: between two instructions */
};

struct cpu_event {
	enum cpu_event_kind kind;
	int vector;		 /* enum cpu_vector; 14 for page faults */
	unsigned int error_code; /* as the processor would push it */
	uint64_t addr;		 /* page fault: the address touched (CR2) */
};

int cpu_create(const struct cpu_options *opt, struct cpu **out);
void cpu_destroy(struct cpu *cpu); /* every context is destroyed before */

/* Registers all zero, the floating-point state as after FNINIT, MXCSR 0x1f80. NULL: no memory. */
struct cpu_context *cpu_context_create(struct cpu *cpu);
/* For fork and clone: a context equal to @src. NULL: no memory. */
struct cpu_context *cpu_context_copy(struct cpu *cpu, struct cpu_context *src);
/* For exec: as cpu_context_create() leaves it. */
void cpu_context_reset(struct cpu *cpu, struct cpu_context *ctx);
void cpu_context_destroy(struct cpu *cpu, struct cpu_context *ctx);

/* All of the registers in one go. Cheap for the context that ran last. */
void cpu_context_get_regs(struct cpu *cpu, struct cpu_context *ctx, struct cpu_regs *regs);
void cpu_context_set_regs(struct cpu *cpu, struct cpu_context *ctx, const struct cpu_regs *regs);
/* The system call's way back: only rax changes. */
void cpu_context_set_rax(struct cpu *cpu, struct cpu_context *ctx, uint64_t rax);

void cpu_context_get_fpu(struct cpu *cpu, struct cpu_context *ctx, void *fxsave);
/* -EINVAL: MXCSR has bits that hardware reserves; nothing has changed then. */
int cpu_context_set_fpu(struct cpu *cpu, struct cpu_context *ctx, const void *fxsave);

/*
 * Runs @ctx in the address space whose top-level table is at physical @cr3, until an event: 0 and
 * *@ev. Negative errno: the engine itself failed; the machine can't go on. A kick that comes
 * before the call ends it at once: none is lost, many may become one.
 */
int cpu_run(struct cpu *cpu, struct cpu_context *ctx, uint64_t cr3, struct cpu_event *ev);

/* From anywhere, signal handlers and other threads included: cpu_run() returns CPU_KICK soon. */
void cpu_kick(struct cpu *cpu);

/*
 * Orders: when they return nothing stale is used any more, by the address space running or
 * another.
 */
void cpu_flush_tlb(struct cpu *cpu);
void cpu_flush_tlb_range(struct cpu *cpu, uint64_t cr3, uint64_t start, uint64_t end);

/* Drops what was decoded from this piece of RAM. */
void cpu_invalidate_code(struct cpu *cpu, uint64_t phys, uint64_t len);

struct cpu_counters {
	uint64_t runs;		   /* cpu_run() calls */
	uint64_t context_switches; /* another context than the one before */
	uint64_t table_switches;   /* another cr3 than the one before */
	uint64_t flushes;	   /* of the whole TLB, by order or by the engine's own policy */
	uint64_t page_flushes;	   /* pages flushed one by one */
	uint64_t code_flushes;	   /* pages of code dropped */
	uint64_t events[CPU_KICK + 1];
};
const struct cpu_counters *cpu_counters(const struct cpu *cpu);

/* "unicorn 2.1.1": for version output and bug reports. */
const char *cpu_engine_name(void);

#endif /* ASPACE_HW_CPU_H */
