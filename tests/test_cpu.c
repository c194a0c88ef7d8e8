/* SPDX-License-Identifier: MIT */
/*
 * The processor behind hw/cpu.h, held against what the manual says of a real one.
 *
 * The page tables are made by hand here, so that nothing of lib/mm is believed. Guest code is
 * assembled with this file, and copied into the guest's RAM. Every test runs twice: with all that
 * the engine knows of Unicorn's inside, and with its documented interface alone.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "hw/cpu.h"

#define PAGE 4096ull
#define MB   (1ull << 20)
#define GB   (1ull << 30)

#define P_PRESENT  (1ull << 0)
#define P_WRITE	   (1ull << 1)
#define P_USER	   (1ull << 2)
#define P_ACCESSED (1ull << 5)
#define P_DIRTY	   (1ull << 6)
#define P_HUGE	   (1ull << 7)
#define P_NX	   (1ull << 63)
#define P_ADDR	   0x000ffffffffff000ull
#define P_RO	   (P_PRESENT | P_USER)
#define P_RW	   (P_RO | P_WRITE)

/* One piece of RAM at 0, one above 4 GB that only some tests use. */
#define LOW_SIZE  (32 * MB)
#define HIGH_AT	  (5 * GB)
#define HIGH_SIZE (4 * MB)

#define CODE_VA	 0x400000ull
#define DATA_VA	 0x7f0000000000ull
#define STACK_VA 0x7ffffffde000ull

/* CODE(name, "instructions"): the bytes between name and name_end. */
#define CODE(name, text)                                                                           \
	extern const uint8_t name[], name##_end[];                                                 \
	__asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection\n")

struct world {
	struct cpu *cpu;
	uint8_t *low, *high;
	uint64_t free_low, free_high; /* frames are handed out from here, and never come back */
	int levels;
};

static bool conservative;

static struct world *world_create_with(struct cpu_options opt)
{
	struct world *w = calloc(1, sizeof(*w));
	struct cpu_ram ram[2];

	w->low = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	w->high = mmap(NULL, HIGH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(w->low != MAP_FAILED && w->high != MAP_FAILED);
	ram[0] = (struct cpu_ram){0, LOW_SIZE, w->low};
	ram[1] = (struct cpu_ram){HIGH_AT, HIGH_SIZE, w->high};
	w->free_low = PAGE;
	w->free_high = HIGH_AT;
	w->levels = opt.la57 ? 5 : 4;
	opt.ram = ram;
	opt.nr_ram = 2;
	opt.conservative = conservative;
	assert_int_equal(cpu_create(&opt, &w->cpu), 0);
	return w;
}

static struct world *world_create(bool la57)
{
	return world_create_with((struct cpu_options){.la57 = la57});
}

static void world_destroy(struct world *w)
{
	cpu_destroy(w->cpu);
	munmap(w->low, LOW_SIZE);
	munmap(w->high, HIGH_SIZE);
	free(w);
}

static uint8_t *at_phys(struct world *w, uint64_t phys)
{
	return phys >= HIGH_AT ? w->high + (phys - HIGH_AT) : w->low + phys;
}

static uint64_t frame(struct world *w)
{
	uint64_t phys = w->free_low;

	w->free_low += PAGE;
	assert_true(w->free_low <= LOW_SIZE);
	return phys;
}

static uint64_t high_frame(struct world *w)
{
	uint64_t phys = w->free_high;

	w->free_high += PAGE;
	assert_true(w->free_high <= HIGH_AT + HIGH_SIZE);
	return phys;
}

/* The entry for @va at level @level (1: 4 KB, 2: 2 MB, 3: 1 GB), its tables made on the way. */
static uint64_t *entry(struct world *w, uint64_t cr3, uint64_t va, int level)
{
	uint64_t table = cr3;

	for (int l = w->levels;; l--) {
		uint64_t *e = (uint64_t *)(void *)at_phys(w, table);

		e += (va >> (12 + 9 * (l - 1))) & 511;
		if (l == level)
			return e;
		if (!*e)
			*e = frame(w) | P_RW;
		table = *e & P_ADDR;
	}
}

static void map(struct world *w, uint64_t cr3, uint64_t va, uint64_t phys, uint64_t bits)
{
	*entry(w, cr3, va, 1) = phys | bits;
}

/* What is mapped at @va. */
static uint8_t *mapped(struct world *w, uint64_t cr3, uint64_t va)
{
	return at_phys(w, *entry(w, cr3, va, 1) & P_ADDR) + (va & (PAGE - 1));
}

static void put_code(struct world *w, uint64_t phys, const uint8_t *code, const uint8_t *end)
{
	memcpy(at_phys(w, phys), code, (size_t)(end - code));
}

/*
 * An address space with @name at CODE_VA, a page of data and one of stack, and a context about to
 * run it.
 */
struct task {
	struct cpu_context *ctx;
	uint64_t cr3, code, data;
};

static struct task task_create(struct world *w, const uint8_t *code, const uint8_t *end)
{
	struct task t = {cpu_context_create(w->cpu), frame(w), frame(w), frame(w)};
	struct cpu_regs regs = {.rip = CODE_VA, .rsp = STACK_VA + PAGE, .rflags = 0x202};

	assert_non_null(t.ctx);
	put_code(w, t.code, code, end);
	map(w, t.cr3, CODE_VA, t.code, P_RO);
	map(w, t.cr3, DATA_VA, t.data, P_RW | P_NX);
	map(w, t.cr3, STACK_VA, frame(w), P_RW | P_NX);
	cpu_context_set_regs(w->cpu, t.ctx, &regs);
	return t;
}

static void task_destroy(struct world *w, struct task *t)
{
	cpu_context_destroy(w->cpu, t->ctx);
}

static struct cpu_event run(struct world *w, const struct task *t)
{
	struct cpu_event ev;

	assert_int_equal(cpu_run(w->cpu, t->ctx, t->cr3, &ev), 0);
	return ev;
}

static struct cpu_regs regs_of(struct world *w, const struct task *t)
{
	struct cpu_regs regs;

	cpu_context_get_regs(w->cpu, t->ctx, &regs);
	return regs;
}

static void jump(struct world *w, const struct task *t, uint64_t rip)
{
	struct cpu_regs regs = regs_of(w, t);

	regs.rip = rip;
	cpu_context_set_regs(w->cpu, t->ctx, &regs);
}

#define run_to_syscall(w, t) assert_int_equal(run(w, t).kind, CPU_SYSCALL)

static void assert_fault(struct cpu_event ev, uint64_t addr, unsigned int error_code)
{
	assert_int_equal(ev.kind, CPU_PAGE_FAULT);
	assert_int_equal(ev.vector, CPU_VECTOR_PF);
	assert_int_equal(ev.addr, addr);
	assert_int_equal(ev.error_code, error_code);
}

/* -------------------------------------------------------------------------------------------- */

CODE(two_calls, "mov $39, %eax\n syscall\n mov %rax, %rbx\n mov $60, %eax\n stc\n syscall");

static void test_syscall(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, two_calls, two_calls_end);
	struct cpu_regs r;

	run_to_syscall(w, &t);
	r = regs_of(w, &t);
	assert_int_equal(r.rax, 39);
	assert_int_equal(r.rip, CODE_VA + 7);
	assert_int_equal(r.rcx, r.rip);
	assert_int_equal(r.r11, 0x202);

	cpu_context_set_rax(w->cpu, t.ctx, 1234);
	run_to_syscall(w, &t);
	r = regs_of(w, &t);
	assert_int_equal(r.rbx, 1234);
	assert_int_equal(r.rax, 60);
	assert_int_equal(r.rcx, r.rip);
	assert_int_equal(r.r11, 0x203);
	assert_int_equal(r.rsp, STACK_VA + PAGE);
	assert_int_equal(cpu_counters(w->cpu)->events[CPU_SYSCALL], 2);
	task_destroy(w, &t);
	world_destroy(w);
}

CODE(all_regs, "xchg %rax, %rbx\n xchg %rcx, %rdx\n xchg %rsi, %rdi\n xchg %rbp, %rsp\n"
	       "xchg %r8, %r9\n xchg %r10, %r11\n xchg %r12, %r13\n xchg %r14, %r15\n"
	       "cmc\n int $0x80");

/* Each register arrives in itself, and in no other. */
static void test_registers(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, all_regs, all_regs_end);
	struct cpu_regs in = {
		.rax = 1, .rbx = 2, .rcx = 3, .rdx = 4, .rsi = 5, .rdi = 6, .rbp = 7, .rsp = 8,
		.r8 = 9, .r9 = 10, .r10 = 11, .r11 = 12, .r12 = 13, .r13 = 14, .r14 = 15,
		.r15 = ~0ull, .rip = CODE_VA, .rflags = 0x202 | 0x8d4,
		.fs_base = 0x7f1234567000, .gs_base = 0x7f7654321000,
	};
	struct cpu_regs out;

	cpu_context_set_regs(w->cpu, t.ctx, &in);
	assert_int_equal(run(w, &t).kind, CPU_INT80);
	out = regs_of(w, &t);
	assert_int_equal(out.rip, CODE_VA + (uint64_t)(all_regs_end - all_regs));
	assert_true(out.rax == in.rbx && out.rbx == in.rax);
	assert_true(out.rcx == in.rdx && out.rdx == in.rcx);
	assert_true(out.rsi == in.rdi && out.rdi == in.rsi);
	assert_true(out.rbp == in.rsp && out.rsp == in.rbp);
	assert_true(out.r8 == in.r9 && out.r9 == in.r8);
	assert_true(out.r10 == in.r11 && out.r11 == in.r10);
	assert_true(out.r12 == in.r13 && out.r13 == in.r12);
	assert_true(out.r14 == in.r15 && out.r15 == in.r14);
	assert_int_equal(out.rflags, in.rflags | 1);
	assert_true(out.fs_base == in.fs_base && out.gs_base == in.gs_base);

	/* User mode can't be given what user mode may not have. */
	in.rflags = ~0ull & ~(uint64_t)CPU_EFLAGS_TF;
	cpu_context_set_regs(w->cpu, t.ctx, &in);
	assert_int_equal(run(w, &t).kind, CPU_INT80);
	assert_int_equal(regs_of(w, &t).rflags & (0x3000 /* IOPL */ | 0x20000 /* VM */), 0);
	assert_int_equal(regs_of(w, &t).rflags & CPU_EFLAGS_IF, CPU_EFLAGS_IF);
	task_destroy(w, &t);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

CODE(load, "mov (%rbx), %rax\n syscall");
CODE(store, "mov %rax, (%rbx)\n syscall");
CODE(jump_there, "jmp *%rbx");
CODE(push, "mov %rbx, %rsp\n push %rax\n syscall");
CODE(call, "call *%rbx");
CODE(increment, "incq (%rbx)\n syscall");
CODE(copy, "mov %rbx, %rdi\n mov $0x7f0000000000, %rsi\n mov $16, %ecx\n rep movsb\n syscall");

#define U CPU_PF_USER
#define W CPU_PF_WRITE
#define P CPU_PF_PROT
#define I CPU_PF_INSTR
#define R CPU_PF_RSVD

#define OTHER_VA (DATA_VA + 0x10000)

static const struct {
	const char *what;
	const uint8_t *code, *end;
	unsigned int insn;	 /* offset of the one that faults */
	unsigned int rbx, touch; /* offsets into OTHER_VA's page: operand, address that faults */
	uint64_t bits;		 /* of OTHER_VA's entry; 0: absent */
	unsigned int error_code;
} faults[] = {
	{"load, absent", load, load_end, 0, 0x123, 0x123, 0, U},
	{"store, absent", store, store_end, 0, 0xabc, 0xabc, 0, U | W},
	{"store, read-only", store, store_end, 0, 0xabc, 0xabc, P_RO, U | W | P},
	{"load, kernel's", load, load_end, 0, 0x10, 0x10, P_PRESENT | P_WRITE, U | P},
	{"store, kernel's", store, store_end, 0, 0x10, 0x10, P_PRESENT | P_WRITE, U | W | P},
	{"load, reserved bit", load, load_end, 0, 0, 0, P_RW | 1ull << 51, U | P | R},
	{"fetch, absent", jump_there, jump_there_end, 0, 0x456, 0x456, 0, U | I},
	{"fetch, no execute", jump_there, jump_there_end, 0, 0x456, 0x456, P_RW | P_NX, U | I | P},
	{"push, absent", push, push_end, 3, 0x100, 0xf8, 0, U | W},
	{"call, absent target", call, call_end, 0, 0x20, 0x20, 0, U | I},
	{"rep movs, absent", copy, copy_end, 18, 0x800, 0x800, 0, U | W},
	{"rep movs, read-only", copy, copy_end, 18, 0x800, 0x800, P_RO, U | W | P},
	{"increment, read-only", increment, increment_end, 0, 0x40, 0x40, P_RO, U | W | P},
	/* Hardware says U | W here. The engine reads first. */
	{"increment, absent", increment, increment_end, 0, 0x40, 0x40, 0, U},
};

static void test_page_faults(void **state)
{
	struct world *w = world_create(false);

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct task t = task_create(w, faults[i].code, faults[i].end);
		struct cpu_regs r = regs_of(w, &t);
		bool fetch = faults[i].error_code & I;

		r.rbx = OTHER_VA + faults[i].rbx;
		cpu_context_set_regs(w->cpu, t.ctx, &r);
		map(w, t.cr3, OTHER_VA, faults[i].bits ? frame(w) : 0, faults[i].bits);
		for (int again = 0; again < 4; again++) {
			struct cpu_event ev = run(w, &t);

			if (ev.addr != OTHER_VA + faults[i].touch ||
			    ev.error_code != faults[i].error_code)
				print_error("%s: addr %#llx code %#x\n", faults[i].what,
					    (unsigned long long)ev.addr, ev.error_code);
			assert_fault(ev, OTHER_VA + faults[i].touch, faults[i].error_code);
			r = regs_of(w, &t);
			assert_int_equal(r.rip, fetch ? r.rbx : CODE_VA + faults[i].insn);
		}
		/* More is allowed now, and no flush is needed for it. */
		map(w, t.cr3, OTHER_VA, frame(w), P_RW);
		if (!fetch)
			run_to_syscall(w, &t);
		task_destroy(w, &t);
	}
	world_destroy(w);
}

/* The access lies across two pages: the address is that of the first byte that can't be touched. */
static void test_fault_across_pages(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, store, store_end);
	struct cpu_regs r = regs_of(w, &t);
	uint64_t one = frame(w), two = frame(w);

	r.rbx = OTHER_VA + PAGE - 3;
	r.rax = 0x8877665544332211;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	assert_fault(run(w, &t), OTHER_VA + PAGE - 3, U | W);
	map(w, t.cr3, OTHER_VA, one, P_RW);
	assert_fault(run(w, &t), OTHER_VA + PAGE, U | W);
	map(w, t.cr3, OTHER_VA + PAGE, two, P_RW);
	run_to_syscall(w, &t);
	assert_memory_equal(at_phys(w, one) + PAGE - 3, "\x11\x22\x33", 3);
	assert_memory_equal(at_phys(w, two), "\x44\x55\x66\x77\x88", 5);
	task_destroy(w, &t);
	world_destroy(w);
}

CODE(straddle, "nop\n nop\n mov $0x1234567890, %rax\n syscall");

/*
 * An instruction across two pages of which the second is absent restarts, wherever rip is said to
 * be.
 */
static void test_fetch_across_pages(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, straddle, straddle_end);
	uint64_t one = frame(w), two = frame(w);
	size_t size = (size_t)(straddle_end - straddle), first = 6;

	memcpy(at_phys(w, one) + PAGE - first, straddle, first);
	memcpy(at_phys(w, two), straddle + first, size - first);
	map(w, t.cr3, OTHER_VA, one, P_RO);
	jump(w, &t, OTHER_VA + PAGE - first);
	assert_fault(run(w, &t), OTHER_VA + PAGE, U | I);
	map(w, t.cr3, OTHER_VA + PAGE, two, P_RO);
	run_to_syscall(w, &t);
	assert_int_equal(regs_of(w, &t).rax, 0x1234567890);
	task_destroy(w, &t);
	world_destroy(w);
}

CODE(call_null, "xor %eax, %eax\n call *%rax");

static void test_call_null(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, call_null, call_null_end);
	uint64_t back;

	assert_fault(run(w, &t), 0, U | I);
	assert_int_equal(regs_of(w, &t).rip, 0);
	memcpy(&back, mapped(w, t.cr3, STACK_VA + PAGE - 8), 8);
	assert_int_equal(back, CODE_VA + 4);
	task_destroy(w, &t);
	world_destroy(w);
}

CODE(stride, "mov $0x7f0000010000, %rbx\n mov $200, %ecx\n"
	     "1: addq $1, (%rbx)\n add $4096, %rbx\n loop 1b\n syscall");

/* 400 faults on 200 pages, one after the other: first absent, then read-only as after a fork. */
static void test_demand_paging(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, stride, stride_end);
	unsigned int absent = 0, cow = 0;
	struct cpu_event ev;

	while ((ev = run(w, &t)).kind == CPU_PAGE_FAULT) {
		uint64_t *e = entry(w, t.cr3, ev.addr, 1), old = *e & P_ADDR;

		if (!(ev.error_code & CPU_PF_PROT)) {
			assert_int_equal(*e, 0);
			*e = frame(w) | P_RO | P_NX;
			at_phys(w, *e & P_ADDR)[0] = 41;
			absent++;
		} else {
			assert_int_equal(ev.error_code, U | W | P);
			*e = frame(w) | P_RW | P_NX;
			memcpy(at_phys(w, *e & P_ADDR), at_phys(w, old), PAGE);
			cow++;
		}
	}
	assert_int_equal(ev.kind, CPU_SYSCALL);
	assert_int_equal(absent, 200);
	assert_int_equal(cow, 200);
	for (uint64_t i = 0; i < 200; i++)
		assert_int_equal(*mapped(w, t.cr3, OTHER_VA + i * PAGE), 42);
	task_destroy(w, &t);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

CODE(load_often, "1: mov (%rbx), %rax\n syscall\n jmp 1b");

static struct task reader(struct world *w)
{
	struct task t = task_create(w, load_often, load_often_end);
	struct cpu_regs r = regs_of(w, &t);

	r.rbx = DATA_VA;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	at_phys(w, t.data)[0] = 7;
	run_to_syscall(w, &t);
	assert_int_equal(regs_of(w, &t).rax, 7);
	return t;
}

/* The TLB is one: an entry taken away still serves, until it is flushed. */
static void test_stale_translation(void **state)
{
	struct world *w = world_create(false);
	struct task t = reader(w);

	*entry(w, t.cr3, DATA_VA, 1) = 0;
	run_to_syscall(w, &t);
	cpu_flush_tlb_range(w->cpu, t.cr3, DATA_VA - PAGE, DATA_VA);
	cpu_flush_tlb_range(w->cpu, t.cr3, DATA_VA + PAGE, DATA_VA + 2 * PAGE);
	if (!conservative)
		run_to_syscall(w, &t);

	cpu_flush_tlb_range(w->cpu, t.cr3, DATA_VA, DATA_VA + PAGE);
	assert_fault(run(w, &t), DATA_VA, U);

	map(w, t.cr3, DATA_VA, t.data, P_RW | P_NX);
	run_to_syscall(w, &t);
	*entry(w, t.cr3, DATA_VA, 1) = 0;
	cpu_flush_tlb_range(w->cpu, t.cr3, 0, 1ull << 47);
	assert_fault(run(w, &t), DATA_VA, U);

	map(w, t.cr3, DATA_VA, t.data, P_RW | P_NX);
	run_to_syscall(w, &t);
	*entry(w, t.cr3, DATA_VA, 1) = 0;
	cpu_flush_tlb(w->cpu);
	assert_fault(run(w, &t), DATA_VA, U);
	task_destroy(w, &t);
	world_destroy(w);
}

/* The order holds for an address space that isn't running, too. */
static void test_flush_of_another_space(void **state)
{
	struct world *w = world_create(false);
	struct task a = reader(w), b = reader(w);

	run_to_syscall(w, &a);
	run_to_syscall(w, &b);
	*entry(w, a.cr3, DATA_VA, 1) = 0;
	cpu_flush_tlb_range(w->cpu, a.cr3, DATA_VA, DATA_VA + PAGE);
	run_to_syscall(w, &b);
	assert_fault(run(w, &a), DATA_VA, U);
	run_to_syscall(w, &b);
	task_destroy(w, &a);
	task_destroy(w, &b);
	world_destroy(w);
}

static void test_accessed_dirty(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, load, load_end);
	struct cpu_regs r = regs_of(w, &t);
	uint64_t *pte = entry(w, t.cr3, DATA_VA, 1);

	r.rbx = DATA_VA;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	assert_int_equal(*pte & (P_ACCESSED | P_DIRTY), 0);
	run_to_syscall(w, &t);
	assert_int_equal(*pte & (P_ACCESSED | P_DIRTY), P_ACCESSED);
	assert_int_equal(*entry(w, t.cr3, CODE_VA, 1) & (P_ACCESSED | P_DIRTY), P_ACCESSED);
	assert_int_equal(*entry(w, t.cr3, DATA_VA, 2) & P_ACCESSED, P_ACCESSED);
	assert_int_equal(*entry(w, t.cr3, STACK_VA, 1) & P_ACCESSED, 0);

	/* A write after a read sets the dirty bit, although the translation is cached. */
	put_code(w, t.code, store, store_end);
	cpu_invalidate_code(w->cpu, t.code, PAGE);
	jump(w, &t, CODE_VA);
	run_to_syscall(w, &t);
	assert_int_equal(*pte & (P_ACCESSED | P_DIRTY), P_ACCESSED | P_DIRTY);

	/* Cleared and flushed, it is set again. */
	*pte &= ~(P_ACCESSED | P_DIRTY);
	cpu_flush_tlb_range(w->cpu, t.cr3, DATA_VA, DATA_VA + PAGE);
	jump(w, &t, CODE_VA);
	run_to_syscall(w, &t);
	assert_int_equal(*pte & (P_ACCESSED | P_DIRTY), P_ACCESSED | P_DIRTY);
	task_destroy(w, &t);
	world_destroy(w);
}

CODE(load_two, "mov (%rbx), %rax\n mov (%rcx), %rdx\n syscall");

static void test_huge_leaves(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, load_two, load_two_end);
	struct cpu_regs r = regs_of(w, &t);
	uint64_t two_mb = 16 * MB, v = 0x1122334455667788, *pmd, *pud;

	memcpy(at_phys(w, two_mb + 0x123450), &v, 8);
	pmd = entry(w, t.cr3, DATA_VA + GB, 2);
	pud = entry(w, t.cr3, DATA_VA + 4 * GB, 3);
	*pmd = two_mb | P_RW | P_HUGE;
	*pud = 0 | P_RW | P_HUGE;
	r.rbx = DATA_VA + GB + 0x123450;
	r.rcx = DATA_VA + 4 * GB + two_mb + 0x123450;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	run_to_syscall(w, &t);
	r = regs_of(w, &t);
	assert_int_equal(r.rax, v);
	assert_int_equal(r.rdx, v);
	assert_int_equal(*pmd & (P_ACCESSED | P_DIRTY), P_ACCESSED);
	assert_int_equal(*pud & (P_ACCESSED | P_DIRTY), P_ACCESSED);

	/* One page of the range flushes the whole leaf. */
	*pmd = 0;
	cpu_flush_tlb_range(w->cpu, t.cr3, DATA_VA + GB, DATA_VA + GB + PAGE);
	jump(w, &t, CODE_VA);
	assert_fault(run(w, &t), DATA_VA + GB + 0x123450, U);
	task_destroy(w, &t);
	world_destroy(w);
}

/* An address that four levels don't reach. */
static void test_five_levels(void **state)
{
	struct world *w = world_create(true);
	struct task t = task_create(w, load, load_end);
	struct cpu_regs r = regs_of(w, &t);
	uint64_t far = 0x00ab000000000000 + 0x1000, phys = frame(w);

	strcpy((char *)at_phys(w, phys), "level 5");
	r.rbx = far;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	assert_fault(run(w, &t), far, U);
	map(w, t.cr3, far, phys, P_RO);
	run_to_syscall(w, &t);
	r = regs_of(w, &t);
	assert_memory_equal(&r.rax, "level 5", 8);
	task_destroy(w, &t);
	world_destroy(w);
}

/* Tables, code and data above 4 GB, in the second piece of RAM. */
static void test_high_memory(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, load, load_end);
	struct cpu_regs r = regs_of(w, &t);
	uint64_t cr3 = high_frame(w), code = high_frame(w), data = high_frame(w);

	memcpy(at_phys(w, cr3), at_phys(w, t.cr3), PAGE);
	put_code(w, code, load, load_end);
	strcpy((char *)at_phys(w, data), "up here");
	t.cr3 = cr3;
	map(w, cr3, CODE_VA, code, P_RO);
	map(w, cr3, OTHER_VA, data, P_RW);
	r.rbx = OTHER_VA;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	run_to_syscall(w, &t);
	r = regs_of(w, &t);
	assert_memory_equal(&r.rax, "up here", 8);

	/* And its code can be dropped. */
	put_code(w, code, store, store_end);
	cpu_invalidate_code(w->cpu, code, PAGE);
	r.rax = 0x21;
	r.rip = CODE_VA;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	run_to_syscall(w, &t);
	assert_int_equal(at_phys(w, data)[0], 0x21);
	task_destroy(w, &t);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

CODE(put_five, "mov $5, %eax\n syscall");
CODE(put_six, "mov $6, %eax\n syscall");

static void test_stale_code(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, put_five, put_five_end), u;

	run_to_syscall(w, &t);
	assert_int_equal(regs_of(w, &t).rax, 5);

	/* The host writes over it. */
	put_code(w, t.code, put_six, put_six_end);
	cpu_invalidate_code(w->cpu, t.code, PAGE);
	jump(w, &t, CODE_VA);
	run_to_syscall(w, &t);
	assert_int_equal(regs_of(w, &t).rax, 6);

	/* The same frame, in another address space, at another address, with another content. */
	u = task_create(w, put_six, put_six_end);
	put_code(w, t.code, put_five, put_five_end);
	cpu_invalidate_code(w->cpu, t.code, PAGE);
	map(w, u.cr3, CODE_VA, t.code, P_RO);
	run_to_syscall(w, &u);
	assert_int_equal(regs_of(w, &u).rax, 5);

	/* Another frame at the same address: no order for code, only for the translation. */
	put_code(w, t.data, put_six, put_six_end);
	map(w, u.cr3, CODE_VA, t.data, P_RO);
	cpu_flush_tlb_range(w->cpu, u.cr3, CODE_VA, CODE_VA + PAGE);
	jump(w, &u, CODE_VA);
	run_to_syscall(w, &u);
	assert_int_equal(regs_of(w, &u).rax, 6);
	task_destroy(w, &t);
	task_destroy(w, &u);
	world_destroy(w);
}

CODE(modify_itself, "1: movb $9, 2f+1(%rip)\n jmp 2f\n 2: mov $5, %eax\n syscall");

static void test_self_modifying_code(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, modify_itself, modify_itself_end);

	map(w, t.cr3, CODE_VA, t.code, P_RW);
	run_to_syscall(w, &t);
	assert_int_equal(regs_of(w, &t).rax, 9);
	task_destroy(w, &t);
	world_destroy(w);
}

/*
 * 40,000 blocks of code, twice through, in a code cache that holds a part of them: what was
 * translated
 * is thrown away and made again under way. Block i does rax = rax * 5 + i.
 */
static void test_full_code_cache(void **state)
{
	enum { BLOCKS = 40000, SIZE = 16 };
	static const uint8_t block[SIZE] = {
		0x48, 0x8d, 0x04, 0x80,		    /* lea (rax,rax,4), rax */
		0x48, 0x05, 0x00, 0x00, 0x00, 0x00, /* add $i, rax */
		0xeb, 0x04,			    /* jmp to the next */
	};
	struct world *w = world_create_with((struct cpu_options){.code_cache = MB});
	struct task t = task_create(w, put_five, put_five_end);
	struct cpu_regs r = regs_of(w, &t);
	uint64_t va = OTHER_VA, want = 7;

	for (uint32_t i = 0; i <= BLOCKS; i++, va += SIZE) {
		if (!*entry(w, t.cr3, va, 1))
			map(w, t.cr3, va, frame(w), P_RO);
		memcpy(mapped(w, t.cr3, va), block, SIZE);
		memcpy(mapped(w, t.cr3, va) + 6, &i, 4);
	}
	memcpy(mapped(w, t.cr3, va - SIZE), put_five + 5, 2); /* the last is a system call */
	r.rax = want;
	for (int twice = 0; twice < 2; twice++) {
		r.rip = OTHER_VA;
		cpu_context_set_regs(w->cpu, t.ctx, &r);
		run_to_syscall(w, &t);
		r = regs_of(w, &t);
		for (uint64_t i = 0; i < BLOCKS; i++)
			want = want * 5 + i;
		assert_int_equal(r.rax, want);
	}
	task_destroy(w, &t);
	world_destroy(w);
}

/* An entry that names physical memory which isn't there is our bug, not the guest's. */
static void test_no_memory_there(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, load, load_end);
	struct cpu_regs r = regs_of(w, &t);
	struct cpu_event ev;

	map(w, t.cr3, OTHER_VA, 64 * GB, P_RW);
	r.rbx = OTHER_VA;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	assert_int_equal(cpu_run(w->cpu, t.ctx, t.cr3, &ev), -EIO);
	assert_int_equal(regs_of(w, &t).rip, CODE_VA);
	task_destroy(w, &t);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

CODE(count_up, "1: add %rbx, %rax\n mov %rax, (%rsi)\n addsd %xmm1, %xmm0\n syscall\n jmp 1b");

/* Two tasks take turns, in different address spaces and in the same: each keeps what is its own. */
static void alternate(bool same_space)
{
	struct world *w = world_create(false);
	struct task t[2] = {task_create(w, count_up, count_up_end),
			    task_create(w, count_up, count_up_end)};
	_Alignas(16) uint8_t fx[2][CPU_FXSAVE_SIZE];
	double step[2] = {0.5, 3};
	const struct cpu_counters *count = cpu_counters(w->cpu);

	if (same_space)
		t[1].cr3 = t[0].cr3;
	for (int i = 0; i < 2; i++) {
		struct cpu_regs r = regs_of(w, &t[i]);

		r.rax = 0;
		r.rbx = (uint64_t)i * 1000 + 1;
		r.rsi = DATA_VA + 8 * (uint64_t)i;
		cpu_context_set_regs(w->cpu, t[i].ctx, &r);
		cpu_context_get_fpu(w->cpu, t[i].ctx, fx[i]);
		memcpy(fx[i] + 160 + 16, &step[i], 8);
		assert_int_equal(cpu_context_set_fpu(w->cpu, t[i].ctx, fx[i]), 0);
	}
	for (int n = 0; n < 1000; n++)
		for (int i = 0; i < 2; i++)
			run_to_syscall(w, &t[i]);
	assert_int_equal(count->context_switches, 2000);
	assert_int_equal(count->table_switches, same_space ? 1 : 2000);
	for (int i = 0; i < 2; i++) {
		uint64_t v, want = 1000 * ((uint64_t)i * 1000 + 1);
		double sum;

		assert_int_equal(regs_of(w, &t[i]).rax, want);
		memcpy(&v, at_phys(w, t[same_space ? 0 : i].data) + 8 * i, 8);
		assert_int_equal(v, want);
		cpu_context_get_fpu(w->cpu, t[i].ctx, fx[i]);
		memcpy(&sum, fx[i] + 160, 8);
		assert_true(sum == 1000 * step[i]);
	}
	task_destroy(w, &t[0]);
	task_destroy(w, &t[1]);
	world_destroy(w);
}

static void test_two_spaces(void **state)
{
	alternate(false);
}

static void test_two_threads(void **state)
{
	alternate(true);
}

/* fork: equal at first, then apart. exec: as new. */
static void test_copy_and_reset(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, count_up, count_up_end), child;
	struct cpu_regs r = regs_of(w, &t), fresh;
	_Alignas(16) uint8_t a[CPU_FXSAVE_SIZE], b[CPU_FXSAVE_SIZE];

	r.rbx = 1;
	r.rsi = DATA_VA;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	cpu_context_get_fpu(w->cpu, t.ctx, a);
	assert_int_equal(*(uint16_t *)(void *)a, 0x37f);
	assert_int_equal(a[4], 0);
	assert_int_equal(*(uint32_t *)(void *)(a + 24), 0x1f80);
	run_to_syscall(w, &t);

	child = t;
	child.ctx = cpu_context_copy(w->cpu, t.ctx);
	assert_non_null(child.ctx);
	cpu_context_set_rax(w->cpu, child.ctx, 100);
	run_to_syscall(w, &t);
	run_to_syscall(w, &child);
	assert_int_equal(regs_of(w, &t).rax, 2);
	assert_int_equal(regs_of(w, &child).rax, 101);

	memset(a + 160, 0x5a, 256);
	cpu_context_set_fpu(w->cpu, child.ctx, a);
	cpu_context_reset(w->cpu, child.ctx);
	cpu_context_get_fpu(w->cpu, child.ctx, b);
	for (int i = 160; i < 416; i++)
		assert_int_equal(b[i], 0);
	fresh = (struct cpu_regs){.rflags = 0x202};
	r = regs_of(w, &child);
	assert_memory_equal(&r, &fresh, sizeof(r));
	task_destroy(w, &t);
	task_destroy(w, &child);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

CODE(exceptions, "de: xor %ecx, %ecx\n div %ecx\n"
		 ".p2align 4\n bp: int3\n"
		 ".p2align 4\n ud: ud2\n"
		 ".p2align 4\n gp_hlt: hlt\n"
		 ".p2align 4\n gp_cli: cli\n"
		 ".p2align 4\n gp_address: mov $0x8000000000000000, %rax\n mov (%rax), %rax\n"
		 ".p2align 4\n gp_int: int $0x41\n"
		 ".p2align 4\n gp_int14: int $14\n"
		 ".p2align 4\n gp_cr3: mov %cr3, %rax\n"
		 ".p2align 4\n gp_wrmsr: wrmsr\n"
		 ".p2align 4\n gp_out: out %al, $0x80\n"
		 ".p2align 4\n bp_long: .byte 0xcd, 3\n"
		 ".p2align 4\n int80: int $0x80\n"
		 ".p2align 4\n ud_vmcall: .byte 0x0f, 0xff\n"
		 ".p2align 4\n mf: fninit\n fldcw unmasked(%rip)\n fld1\n fldz\n fdivrp\n fwait\n"
		 ".p2align 4\n unmasked: .word 0x37b\n"
		 ".p2align 4\n fine: syscall");
extern const uint8_t de[], bp[], ud[], gp_hlt[], gp_cli[], gp_address[], gp_int[], gp_int14[],
	gp_cr3[], gp_wrmsr[], gp_out[], bp_long[], int80[], ud_vmcall[], mf[], fine[];

static const struct {
	const char *what;
	const uint8_t *at;
	enum cpu_event_kind kind;
	int vector;
	unsigned int error_code;
	unsigned int rip; /* how far from its begin */
} exception_table[] = {
	{"division by zero", de, CPU_EXCEPTION, CPU_VECTOR_DE, 0, 2},
	{"int3", bp, CPU_EXCEPTION, CPU_VECTOR_BP, 0, 1},
	{"ud2", ud, CPU_EXCEPTION, CPU_VECTOR_UD, 0, 0},
	{"hlt", gp_hlt, CPU_EXCEPTION, CPU_VECTOR_GP, 0, 0},
	{"cli", gp_cli, CPU_EXCEPTION, CPU_VECTOR_GP, 0, 0},
	{"not canonical", gp_address, CPU_EXCEPTION, CPU_VECTOR_GP, 0, 10},
	{"int 0x41", gp_int, CPU_EXCEPTION, CPU_VECTOR_GP, 0x41 * 8 + 2, 0},
	{"int 14", gp_int14, CPU_EXCEPTION, CPU_VECTOR_GP, 14 * 8 + 2, 0},
	{"mov from cr3", gp_cr3, CPU_EXCEPTION, CPU_VECTOR_GP, 0, 0},
	{"wrmsr", gp_wrmsr, CPU_EXCEPTION, CPU_VECTOR_GP, 0, 0},
	/* Hardware says 0 here. The engine looks for the permission too late. */
	{"out", gp_out, CPU_EXCEPTION, CPU_VECTOR_GP, 0, 2},
	{"int 3, two bytes", bp_long, CPU_EXCEPTION, CPU_VECTOR_BP, 0, 2},
	{"int 0x80", int80, CPU_INT80, 0x80, 0, 2},
	{"no instruction", ud_vmcall, CPU_EXCEPTION, CPU_VECTOR_UD, 0, 0},
	{"x87 division by zero", mf, CPU_EXCEPTION, CPU_VECTOR_MF, 0, 14},
	{"and after all that", fine, CPU_SYSCALL, 0, 0, 2},
};

static void raise_exception(struct world *w, struct task *t, size_t i)
{
	uint64_t rip = CODE_VA + (uint64_t)(exception_table[i].at - exceptions), at;
	struct cpu_event ev;

	jump(w, t, rip);
	ev = run(w, t);
	at = regs_of(w, t).rip - rip;
	if (ev.kind != exception_table[i].kind || ev.vector != exception_table[i].vector)
		print_error("%s: kind %d vector %d code %#x rip +%lld\n", exception_table[i].what,
			    ev.kind, ev.vector, ev.error_code, (long long)at);
	assert_int_equal(ev.kind, exception_table[i].kind);
	assert_int_equal(ev.vector, exception_table[i].vector);
	assert_int_equal(ev.error_code, exception_table[i].error_code);
	assert_int_equal(at, exception_table[i].rip);
}

static void test_exceptions(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, exceptions, exceptions_end);

	for (int twice = 0; twice < 2; twice++)
		for (size_t i = 0; i < sizeof(exception_table) / sizeof(exception_table[0]); i++)
			raise_exception(w, &t, i);
	task_destroy(w, &t);
	world_destroy(w);
}

CODE(steps, "mov $1, %eax\n inc %eax\n shl $4, %eax\n jmp 1f\n nop\n 1: dec %eax\n syscall");

static void test_single_step(void **state)
{
	static const unsigned int stops[] = {5, 7, 10, 13, 15};
	struct world *w = world_create(false);
	struct task t = task_create(w, steps, steps_end);
	struct cpu_regs r = regs_of(w, &t);
	struct cpu_event ev;

	r.rflags |= CPU_EFLAGS_TF;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		ev = run(w, &t);
		assert_int_equal(ev.kind, CPU_EXCEPTION);
		assert_int_equal(ev.vector, CPU_VECTOR_DB);
		assert_int_equal(regs_of(w, &t).rip, CODE_VA + stops[i]);
	}
	r = regs_of(w, &t);
	assert_int_equal(r.rax, 31);
	r.rflags &= ~(uint64_t)CPU_EFLAGS_TF;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	run_to_syscall(w, &t);
	task_destroy(w, &t);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

CODE(fill_fpu, "fldpi\n fld1\n fldl2e\n movq %rax, %xmm0\n movq %rbx, %xmm15\n"
	       "fldcw (%rsi)\n ldmxcsr 4(%rsi)\n fxsave64 64(%rsi)\n syscall\n"
	       "look_again: fxsave64 64(%rsi)\n fstpt 1024(%rsi)\n fistpl 1040(%rsi)\n"
	       "cvtsd2si %xmm1, %eax\n syscall");
extern const uint8_t look_again[];

/*
 * What the guest's own FXSAVE writes, what get_fpu() gives, and what the guest sees after
 * set_fpu().
 */
static void test_fxsave(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, fill_fpu, fill_fpu_end);
	struct cpu_regs r = regs_of(w, &t);
	_Alignas(16) uint8_t image[CPU_FXSAVE_SIZE], other[CPU_FXSAVE_SIZE];
	uint8_t *data = at_phys(w, t.data);
	uint16_t cw = 0xf7f; /* extended precision, truncating */
	uint32_t mxcsr = 0x5f80 /* round up */, bad = 0x10000;
	double x = 2.25;
	int32_t i;

	memcpy(data, &cw, 2);
	memcpy(data + 4, &mxcsr, 4);
	r.rsi = DATA_VA;
	r.rax = 0x1111222233334444;
	r.rbx = 0x5555666677778888;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	run_to_syscall(w, &t);
	cpu_context_get_fpu(w->cpu, t.ctx, image);
	assert_memory_equal(image, data + 64, 416);
	assert_int_equal(*(uint16_t *)(void *)image, cw);
	assert_int_equal(image[4], 0xe0);
	assert_int_equal(*(uint32_t *)(void *)(image + 24), mxcsr);

	/*
	 * Ruin it, put it back with another top of stack and xmm1, and look through the guest's
	 * eyes.
	 */
	cpu_context_reset(w->cpu, t.ctx);
	r.rip = CODE_VA + (uint64_t)(look_again - fill_fpu);
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	memcpy(image + 32, image + 48, 10); /* st(0) becomes 1 */
	memcpy(image + 160 + 16, &x, 8);
	assert_int_equal(cpu_context_set_fpu(w->cpu, t.ctx, image), 0);
	cpu_context_get_fpu(w->cpu, t.ctx, other);
	assert_memory_equal(image, other, 416);
	run_to_syscall(w, &t);
	assert_memory_equal(image, data + 64, 416);
	assert_memory_equal(data + 1024, "\0\0\0\0\0\0\0\x80\xff\x3f", 10);
	memcpy(&i, data + 1040, 4);
	assert_int_equal(i, 1);
	assert_int_equal(regs_of(w, &t).rax, 3); /* 2.25 rounded up */

	memcpy(image + 24, &bad, 4);
	assert_int_equal(cpu_context_set_fpu(w->cpu, t.ctx, image), -EINVAL);
	cpu_context_get_fpu(w->cpu, t.ctx, other);
	assert_int_equal(*(uint32_t *)(void *)(other + 24), mxcsr);
	task_destroy(w, &t);
	world_destroy(w);
}

CODE(identify, "mov $1, %eax\n cpuid\n mov %ecx, (%rsi)\n mov %edx, 4(%rsi)\n"
	       "mov $7, %eax\n xor %ecx, %ecx\n cpuid\n mov %ebx, 8(%rsi)\n mov %ecx, 12(%rsi)\n"
	       "mov $0x80000001, %eax\n cpuid\n mov %ecx, 16(%rsi)\n mov %edx, 20(%rsi)\n"
	       "mov $0x7fff12345000, %rax\n wrfsbase %rax\n rdgsbase %rbx\n"
	       "mov %cs, 24(%rsi)\n mov %ss, 26(%rsi)\n"
	       "rdtsc\n shl $32, %rdx\n lea (%rdx,%rax), %r8\n"
	       "rdtsc\n shl $32, %rdx\n lea (%rdx,%rax), %r9\n"
	       "popcnt %rsi, %rax\n crc32b %al, %eax\n pshufb %xmm0, %xmm1\n"
	       "andn %rax, %rbx, %rcx\n syscall");

/* CPUID 1: ecx, edx; 7: ebx; 0x80000001: edx */
enum { SSE3 = 1 << 0, SSSE3 = 1 << 9, FMA = 1 << 12, CX16 = 1 << 13, SSE41 = 1 << 19,
       SSE42 = 1 << 20, MOVBE = 1 << 22, POPCNT = 1 << 23, OSXSAVE = 1 << 27, AVX = 1 << 28 };
enum { FPU = 1 << 0, TSC = 1 << 4, CX8 = 1 << 8, CMOV = 1 << 15, MMX = 1 << 23, FXSR = 1 << 24,
       SSE = 1 << 25, SSE2 = 1 << 26 };
enum { FSGSBASE = 1 << 0, BMI1 = 1 << 3, HLE = 1 << 4, AVX2 = 1 << 5, BMI2 = 1 << 8, RTM = 1 << 11,
       AVX512F = 1 << 16, SHA = 1 << 29 };
enum { SYSCALL = 1 << 11, NX = 1 << 20, LM = 1 << 29 };

static void assert_has(uint32_t word, uint32_t all, uint32_t none)
{
	assert_int_equal(word & all, all);
	assert_int_equal(word & none, 0);
}

static void test_what_it_is(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, identify, identify_end);
	struct cpu_regs r = regs_of(w, &t);
	uint32_t id[6];
	uint16_t sel[2];

	r.rsi = DATA_VA;
	r.gs_base = 0x1234;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	run_to_syscall(w, &t);
	memcpy(id, at_phys(w, t.data), sizeof(id));
	memcpy(sel, at_phys(w, t.data) + 24, sizeof(sel));
	r = regs_of(w, &t);
	assert_has(id[0], SSE3 | SSSE3 | CX16 | SSE41 | SSE42 | MOVBE | POPCNT,
		   FMA | OSXSAVE | AVX);
	assert_has(id[1], FPU | TSC | CX8 | CMOV | MMX | FXSR | SSE | SSE2, 0);
	assert_has(id[2], FSGSBASE | BMI1 | BMI2, HLE | AVX2 | RTM | AVX512F | SHA);
	assert_has(id[5], SYSCALL | NX | LM, 0);
	assert_int_equal(r.fs_base, 0x7fff12345000);
	assert_int_equal(r.gs_base, 0x1234);
	assert_true(r.r9 > r.r8);
	assert_int_equal(sel[0], CPU_USER_CS);
	assert_int_equal(sel[1], CPU_USER_DS);
	task_destroy(w, &t);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

/* A checksum through memory, the stack and flags: half a block executed twice would spoil it. */
CODE(compute, "mov $0x7f0000000000, %rsi\n mov $0x9e3779b97f4a7c15, %r8\n"
	      "xor %eax, %eax\n xor %ecx, %ecx\n"
	      "1: mov %rcx, %rdx\n and $511, %edx\n"
	      "addq $1, (%rsi,%rdx,8)\n push %rax\n imul %r8, %rax\n add (%rsi,%rdx,8), %rax\n"
	      "pop %rbx\n rol $7, %rax\n adc %rbx, %rax\n xadd %rax, 0xff8(%rsi)\n call 2f\n"
	      "inc %rcx\n cmp %rdi, %rcx\n jb 1b\n syscall\n"
	      "2: lock incq 0xff0(%rsi)\n add 0xff8(%rsi), %rax\n ret");

static struct world *kicked_world;
static volatile sig_atomic_t kicks_sent;

static void kick_on_signal(int sig)
{
	kicks_sent++;
	cpu_kick(kicked_world->cpu);
}

static struct cpu_regs compute_result(struct world *w, uint64_t rounds, unsigned int *kicks)
{
	struct task t = task_create(w, compute, compute_end);
	struct cpu_regs r = regs_of(w, &t);
	struct cpu_event ev;

	r.rdi = rounds;
	cpu_context_set_regs(w->cpu, t.ctx, &r);
	while ((ev = run(w, &t)).kind == CPU_KICK)
		(*kicks)++;
	assert_int_equal(ev.kind, CPU_SYSCALL);
	r = regs_of(w, &t);
	task_destroy(w, &t);
	return r;
}

/* The thread sanitizer holds signals back, and takes a second for each engine. */
#ifdef __SANITIZE_THREAD__
#define FEW_KICKS  1
#define GROUPS	   1
#else
#define FEW_KICKS  500
#define GROUPS	   2
#endif

/* Thousands of preemptions by a timer's signal: the result is that of a run without any. */
static void test_kick_storm(void **state)
{
	const uint64_t rounds = 2000000;
	struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	struct world *w = world_create(false);
	unsigned int kicks = 0, none = 0;
	struct cpu_regs calm = compute_result(w, rounds, &none), storm;

	assert_int_equal(none, 0);
	kicked_world = w;
	kicks_sent = 0;
	signal(SIGALRM, kick_on_signal);
	setitimer(ITIMER_REAL, &often, NULL);
	storm = compute_result(w, rounds, &kicks);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	assert_memory_equal(&calm, &storm, sizeof(calm));
	print_message("           %d kicks sent, %u seen\n", (int)kicks_sent, kicks);
	assert_true(kicks > FEW_KICKS);
	assert_true(kicks <= (unsigned int)kicks_sent);
	world_destroy(w);
}

CODE(spin, "1: inc %rax\n jmp 1b");

/* A kick that comes before the run isn't lost, and is answered once. */
static void test_kick_before_run(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, spin, spin_end), u = task_create(w, put_five, put_five_end);

	cpu_kick(w->cpu);
	assert_int_equal(run(w, &t).kind, CPU_KICK);
	assert_int_equal(regs_of(w, &t).rip, CODE_VA);
	cpu_kick(w->cpu);
	cpu_kick(w->cpu);
	assert_int_equal(run(w, &u).kind, CPU_KICK);
	run_to_syscall(w, &u);
	task_destroy(w, &t);
	task_destroy(w, &u);
	world_destroy(w);
}

#define THREAD_KICKS 2000

struct kicker {
	struct world *w;
	atomic_uint seen;
};

/*
 * Waits until each kick was answered before it sends the next: one that is lost stops the test
 * for good.
 */
static void *kick_from_thread(void *arg)
{
	struct kicker *k = arg;

	for (unsigned int i = 0; i < THREAD_KICKS; i++) {
		cpu_kick(k->w->cpu);
		while (atomic_load(&k->seen) == i)
			;
	}
	return NULL;
}

static void test_no_kick_is_lost(void **state)
{
	struct world *w = world_create(false);
	struct task t = task_create(w, spin, spin_end);
	struct kicker k = {.w = w};
	pthread_t thread;

	alarm(120);	/* on a busy machine each kick may take two time slices */
	pthread_create(&thread, NULL, kick_from_thread, &k);
	for (unsigned int i = 0; i < THREAD_KICKS; i++) {
		assert_int_equal(run(w, &t).kind, CPU_KICK);
		atomic_fetch_add(&k.seen, 1);
	}
	pthread_join(thread, NULL);
	alarm(0);
	task_destroy(w, &t);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

CODE(call_forever, "1: mov $39, %eax\n syscall\n jmp 1b");
CODE(fault_forever, "1: mov (%rbx), %rax\n jmp 1b");

struct costs {
	struct world *w;
	struct task t, u, f; /* t and u make system calls, f faults */
};

static void cost_call(struct costs *c)
{
	run(c->w, &c->t);
	cpu_context_set_rax(c->w->cpu, c->t.ctx, 1);
}

static void cost_call_with_registers(struct costs *c)
{
	struct cpu_regs r;

	run(c->w, &c->t);
	cpu_context_get_regs(c->w->cpu, c->t.ctx, &r);
	cpu_context_set_regs(c->w->cpu, c->t.ctx, &r);
}

static void cost_fault(struct costs *c)
{
	run(c->w, &c->f);
}

static void cost_two_calls(struct costs *c)
{
	run(c->w, &c->t);
	run(c->w, &c->u);
}

/* Nanoseconds, the best of ten rounds: the machine may have other things to do. */
static double cost(struct costs *c, void (*what)(struct costs *c))
{
	enum { ROUNDS = 10, TIMES = 2000 };
	double best = 1;

	for (int round = 0; round < ROUNDS; round++) {
		double start = seconds(), took;

		for (int i = 0; i < TIMES; i++)
			what(c);
		took = (seconds() - start) / TIMES;
		if (took < best)
			best = took;
	}
	return best * 1e9;
}

/* Not a test but figures, of this machine now: what a system call, a fault and a switch cost. */
static void test_costs(void **state)
{
	struct world *w = world_create(false);
	struct costs c = {w, task_create(w, call_forever, call_forever_end),
			  task_create(w, call_forever, call_forever_end),
			  task_create(w, fault_forever, fault_forever_end)};
	double call = cost(&c, cost_call), registers = cost(&c, cost_call_with_registers);
	double fault = cost(&c, cost_fault), space = cost(&c, cost_two_calls) / 2, thread;

	c.u.cr3 = c.t.cr3;
	thread = cost(&c, cost_two_calls) / 2;
	print_message("           ns: system call %.0f, with all registers read and written %.0f; "
		      "page fault %.0f; a call and a switch of thread %.0f, of space %.0f\n",
		      call, registers, fault, thread, space);
	task_destroy(w, &c.t);
	task_destroy(w, &c.u);
	task_destroy(w, &c.f);
	world_destroy(w);
}

/* -------------------------------------------------------------------------------------------- */

/* uc_close() forgets 32 bytes. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
	return "leak:libunicorn";
}

static int with_internals(void **state)
{
	conservative = false;
	return 0;
}

static int without_internals(void **state)
{
	conservative = true;
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syscall),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_page_faults),
		cmocka_unit_test(test_fault_across_pages),
		cmocka_unit_test(test_fetch_across_pages),
		cmocka_unit_test(test_call_null),
		cmocka_unit_test(test_demand_paging),
		cmocka_unit_test(test_stale_translation),
		cmocka_unit_test(test_flush_of_another_space),
		cmocka_unit_test(test_accessed_dirty),
		cmocka_unit_test(test_huge_leaves),
		cmocka_unit_test(test_five_levels),
		cmocka_unit_test(test_high_memory),
		cmocka_unit_test(test_stale_code),
		cmocka_unit_test(test_self_modifying_code),
		cmocka_unit_test(test_full_code_cache),
		cmocka_unit_test(test_no_memory_there),
		cmocka_unit_test(test_two_spaces),
		cmocka_unit_test(test_two_threads),
		cmocka_unit_test(test_copy_and_reset),
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test(test_single_step),
		cmocka_unit_test(test_fxsave),
		cmocka_unit_test(test_what_it_is),
		cmocka_unit_test(test_kick_storm),
		cmocka_unit_test(test_kick_before_run),
		cmocka_unit_test(test_no_kick_is_lost),
		cmocka_unit_test(test_costs),
	};

	int failed;

	print_message("%s\n", cpu_engine_name());
	cmocka_set_test_filter(argv[1]);
	failed = cmocka_run_group_tests_name("engine", tests, with_internals, NULL);
	if (GROUPS > 1)
		failed += cmocka_run_group_tests_name("engine, conservative", tests,
						      without_internals, NULL);
	return failed;
}
