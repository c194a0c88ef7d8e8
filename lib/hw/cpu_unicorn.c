/* SPDX-License-Identifier: MIT */
/*
 * The processor of hw/cpu.h, by Unicorn (QEMU's TCG as a library). Nothing else names Unicorn.
 *
 * One uc_engine runs every task. It is in user mode (CPL 3), long mode, with paging on, for ever:
 * it walks the page tables in RAM by itself, and whatever a kernel would have to do ends its run.
 *
 *	loaded context            the others
 *	+--------------+          +--------+ +--------+
 *	| the engine's | <------> | blob   | | blob   |  ...     uc_context_save/restore
 *	| own state    |          +--------+ +--------+
 *	+--------------+
 *
 * Switching is lazy. A context stays loaded until another one runs, and its registers are read
 * and written in place. Where a register lies, in the engine's state and likewise in a blob, is
 * not in Unicorn's interface: calibrate() finds out when an engine is made, by writing registers
 * through the interface, raising faults, and looking where the values turn up. What it can't
 * find, cpu_create() reports as -ENOTSUP; it never guesses.
 *
 * The same goes for translations: the TLB holds those of one top-level table, cpu->tables, and
 * loading another empties it. So an order to flush an address space that isn't in the TLB is
 * already fulfilled.
 *
 * Unicorn 2.1.1 has defects that matter here, and what stands against them:
 *
 *  1. uc_emu_stop() from a signal or a thread can stop in mid-block with RIP at the block's
 *     start: the half that ran runs again. The check that does this is emitted by
 *     check_exit_request_x86_64(), which the shared library calls through its PLT: an empty
 *     function of that name in the executable takes it out (this needs -rdynamic), and stops
 *     happen at the start of blocks only. Where the name isn't ours a hook on every block does
 *     the stopping, 10 to 60 % slower.
 *  2. The engine finds the end of its translation buffer only when it has emptied it once; before that
 *     a full one is overrun. To empty it takes as long as to clear all of it, longer than a small program
 *     runs: so it isn't done at first, but when the buffer is nearly full (look_at_buffer()).
 *  3. A page fault after a page fault is taken for a double fault, because the field that
 *     remembers the last exception is never cleared: we clear it.
 *  4. uc_emu_start()'s "until" address 0 would make a call through NULL end the run: the list of
 *     exits is used instead, and is empty.
 *  5. A stop from another thread can be lost, for want of a barrier: see cpu_kick().
 *  6. A store beside the code of a page ends the watch over all of the page; code that is written
 *     after that runs as it was. tb_invalidate_phys_page_fast_x86_64() is interposed as well.
 *
 * And one that costs 15 % of a compiler's time: for each block that it translates, the engine searches
 * the whole TLB for entries through which the block's page is written. tlb_reset_dirty_by_vaddr_x86_64()
 * is interposed: where the tables, which the TLB never goes beyond, let nobody write to the page, there is
 * nothing to look for.
 *
 * What can't be mended from outside, and so differs from hardware: an instruction that reads and
 * writes faults first as a read, then as a write; misaligned SSE operands don't fault, nor do
 * unmasked SSE exceptions; IN and OUT are refused with rip behind them; an instruction that goes on
 * in an absent page is reported with rip at the start of its block (it restarts correctly); code
 * changed through a second virtual address, already in the TLB, is seen only after
 * cpu_invalidate_code().
 *
 * A kick sets a flag and then stops the engine. uc_emu_start() begins by forgetting such stops,
 * so the flag is looked at once more after that, in x86_cpu_exec_enter_x86_64(), which is
 * interposed too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <unicorn/unicorn.h>

#include "hw/cpu.h"
#include "hw/mmu.h"

#define PAGE_SIZE  4096u
#define CACHE_LINE 64u

#define CR0_USER_STATE 0x80010033u /* PG WP NE ET MP PE */
#define CR4_PAE	       (1u << 5)
#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_LA57       (1u << 12)
#define CR4_FSGSBASE   (1u << 16)
#define MSR_EFER       0xc0000080u
#define MSR_STAR       0xc0000081u
#define EFER_SCE       (1u << 0)
#define EFER_NXE       (1u << 11)
#define FPCW_INIT      0x37f
#define FPTAG_EMPTY    0xffff
#define MXCSR_INIT     0x1f80u
#define MXCSR_MASK     0xffffu

#define CODE_CACHE_SIZE (128u << 20)
/* A full flush costs about as much as this many flushes of one page, its refill included. */
#define FLUSH_ALL_PAGES 64
/* Unicorn's TLB grows, by doubling, only when it is flushed. */
#define GROW_PERIOD_NS	   10000000u
#define GROW_PERIOD_MAX_NS 640000000u
#define GROW_EAGERLY	   10
#define RUNS_PER_CLOCK	   256 /* a look at the clock every so many runs, and at every kick */

/* What calibrate() locates, as offsets into a blob. */
enum state_field {
	F_RAX,
	F_RBX,
	F_RCX,
	F_RDX,
	F_RBP,
	F_RSP,
	F_RSI,
	F_RDI,
	F_R8,
	F_R9,
	F_R10,
	F_R11,
	F_R12,
	F_R13,
	F_R14,
	F_R15,
	F_RIP,
	F_RFLAGS,
	F_FS_BASE,
	F_GS_BASE,
	NR_REG_FIELDS,
	F_ERROR_CODE = NR_REG_FIELDS, /* 32 bits; of the last exception */
	F_OLD_EXCEPTION,	      /* 32 bits; 0: a release without defect 3 */
	NR_FIELDS,
};

static const struct {
	int id;
	size_t in_regs;
} reg_fields[NR_REG_FIELDS] = {
	[F_RAX] = {UC_X86_REG_RAX, offsetof(struct cpu_regs, rax)},
	[F_RBX] = {UC_X86_REG_RBX, offsetof(struct cpu_regs, rbx)},
	[F_RCX] = {UC_X86_REG_RCX, offsetof(struct cpu_regs, rcx)},
	[F_RDX] = {UC_X86_REG_RDX, offsetof(struct cpu_regs, rdx)},
	[F_RBP] = {UC_X86_REG_RBP, offsetof(struct cpu_regs, rbp)},
	[F_RSP] = {UC_X86_REG_RSP, offsetof(struct cpu_regs, rsp)},
	[F_RSI] = {UC_X86_REG_RSI, offsetof(struct cpu_regs, rsi)},
	[F_RDI] = {UC_X86_REG_RDI, offsetof(struct cpu_regs, rdi)},
	[F_R8] = {UC_X86_REG_R8, offsetof(struct cpu_regs, r8)},
	[F_R9] = {UC_X86_REG_R9, offsetof(struct cpu_regs, r9)},
	[F_R10] = {UC_X86_REG_R10, offsetof(struct cpu_regs, r10)},
	[F_R11] = {UC_X86_REG_R11, offsetof(struct cpu_regs, r11)},
	[F_R12] = {UC_X86_REG_R12, offsetof(struct cpu_regs, r12)},
	[F_R13] = {UC_X86_REG_R13, offsetof(struct cpu_regs, r13)},
	[F_R14] = {UC_X86_REG_R14, offsetof(struct cpu_regs, r14)},
	[F_R15] = {UC_X86_REG_R15, offsetof(struct cpu_regs, r15)},
	[F_RIP] = {UC_X86_REG_RIP, offsetof(struct cpu_regs, rip)},
	[F_RFLAGS] = {UC_X86_REG_RFLAGS, offsetof(struct cpu_regs, rflags)},
	[F_FS_BASE] = {UC_X86_REG_FS_BASE, offsetof(struct cpu_regs, fs_base)},
	[F_GS_BASE] = {UC_X86_REG_GS_BASE, offsetof(struct cpu_regs, gs_base)},
};

struct cpu_context {
	/*
	 * The table that the blob's CR3 names: uc_context_restore() brings it back, without a
	 * flush.
	 */
	uint64_t tables;
	uint8_t *blob; /* uc_context_size() bytes in room; stale while the context is loaded */
	uint8_t room[];
};

/* Where the engine's RAM lies: at @phys for the guest, at @ram_addr in Unicorn's own numbering. */
struct ram_piece {
	uint64_t phys;
	uint64_t size;
	uint64_t ram_addr;
};

struct cpu {
	uc_engine *uc;
	struct cpu_context *loaded; /* whose registers are in the engine; NULL: nobody's */
	uint64_t tables;	    /* whose translations are in the TLB */
	struct cpu_event event;
	bool have_event; /* set by hooks: why the run ended */
	bool block_hook; /* stop by a hook on blocks, not by interposition (defect 1) */
	atomic_bool kicked;

	/* Fixed once cpu_create() is through. */
	size_t context_size;
	uint16_t offset[NR_FIELDS];
	uint8_t *live;	 /* the engine's own state, as if it were a blob; NULL: unknown */
	void *cpu_state; /* Unicorn's CPUState; NULL: unknown */
	void *tcg_context; /* Unicorn's TCGContext; NULL: unknown */
	size_t (*code_size)(void *tcg_context);	/* in the translation buffer */
	size_t code_room; /* to be emptied when there is more; no limit: the engine sees to it by itself */
	bool code_full;
	bool blocks_seen; /* the engine says when it has translated one */
	void (*tlb_flush_page)(void *cpu_state, uint64_t va);
	void (*tb_invalidate)(uc_engine *uc, uint64_t ram_addr, uint64_t end);
	struct cpu_context *pristine; /* of a task that has not run yet */
	struct ram_piece *ram;
	unsigned int nr_ram;
	struct mmu mmu; /* reads the tables; no ram: they aren't in one piece, or not known yet */

	/* The growth of the TLB: see tick(). */
	uint64_t flushed_at;
	uint64_t grow_period;
	unsigned int grown;

	struct cpu_counters count;
};

/* ------------------------------------------------------------------------------------------------
 * Interposition. The names are Unicorn's; see the top of the file.
 */
#define EXPORT __attribute__((visibility("default")))

void check_exit_request_x86_64(void *tcg_context);
void x86_cpu_exec_enter_x86_64(void *cpu_state);
void tb_invalidate_phys_page_fast_x86_64(void *uc, void *pages, uint64_t start, int len, uintptr_t retaddr);
void tlb_reset_dirty_by_vaddr_x86_64(void *cpu_state, uint64_t start, uint64_t length);

static _Thread_local struct cpu *running; /* between uc_emu_start()'s call and return */
static _Thread_local bool check_exit_requests_gone;

EXPORT void check_exit_request_x86_64(void *tcg_context)
{
	check_exit_requests_gone = true;
	if (running)
		running->tcg_context = tcg_context;
}

EXPORT void x86_cpu_exec_enter_x86_64(void *cpu_state)
{
	static _Atomic(void (*)(void *)) real;
	struct cpu *cpu = running;
	void (*enter)(void *) = atomic_load_explicit(&real, memory_order_relaxed);

	if (!enter) {
		enter = (void (*)(void *))dlsym(RTLD_NEXT, "x86_cpu_exec_enter_x86_64");
		atomic_store_explicit(&real, enter, memory_order_relaxed);
	}
	enter(cpu_state);
	if (!cpu)
		return;
	cpu->cpu_state = cpu_state;
	if (atomic_load_explicit(&cpu->kicked, memory_order_relaxed))
		uc_emu_stop(cpu->uc);
}

/*
 * Defect 6: called for a store to a page that holds translated code. Whatever this drops, the engine
 * then writes to the page freely until code of it is translated anew: so all of it has to go.
 */
EXPORT void tb_invalidate_phys_page_fast_x86_64(void *uc, void *pages, uint64_t start, int len, uintptr_t retaddr)
{
	static _Atomic(void (*)(void *, void *, uint64_t, int, uintptr_t)) real;
	void (*invalidate)(void *, void *, uint64_t, int, uintptr_t) =
		atomic_load_explicit(&real, memory_order_relaxed);

	if (!invalidate) {
		invalidate = (void (*)(void *, void *, uint64_t, int, uintptr_t))dlsym(
			RTLD_NEXT, "tb_invalidate_phys_page_fast_x86_64");
		atomic_store_explicit(&real, invalidate, memory_order_relaxed);
	}
	invalidate(uc, pages, start & ~(uint64_t)(PAGE_SIZE - 1), PAGE_SIZE, retaddr);
}

/* Defect 2. A block was translated; there is still room for others. */
static void look_at_buffer(struct cpu *cpu)
{
	if (cpu->code_room == SIZE_MAX || cpu->code_size(cpu->tcg_context) < cpu->code_room)
		return;
	cpu->code_full = true;
	uc_emu_stop(cpu->uc);
}

static void empty_buffer(struct cpu *cpu)
{
	uc_ctl_flush_tb(cpu->uc);
	cpu->code_room = SIZE_MAX;
	cpu->code_full = false;
}

static bool is_writable(const struct cpu *cpu, uint64_t page)
{
	uint64_t phys;

	return !cpu->mmu.ram || !mmu_translate(&cpu->mmu, cpu->tables, page, MMU_WRITE, &phys);
}

/* A block of code was translated, from the start of its page to its own end: stores to it must be seen. */
EXPORT void tlb_reset_dirty_by_vaddr_x86_64(void *cpu_state, uint64_t start, uint64_t length)
{
	static _Atomic(void (*)(void *, uint64_t, uint64_t)) real;
	void (*reset)(void *, uint64_t, uint64_t) = atomic_load_explicit(&real, memory_order_relaxed);
	struct cpu *cpu = running;

	if (cpu) {
		cpu->blocks_seen = true;
		look_at_buffer(cpu);
	}
	if (cpu && !is_writable(cpu, start) && (length <= PAGE_SIZE || !is_writable(cpu, start + PAGE_SIZE)))
		return;
	if (!reset) {
		reset = (void (*)(void *, uint64_t, uint64_t))dlsym(RTLD_NEXT, "tlb_reset_dirty_by_vaddr_x86_64");
		atomic_store_explicit(&real, reset, memory_order_relaxed);
	}
	reset(cpu_state, start, length);
}

static long membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
}

/* ------------------------------------------------------------------------------------------------
 * The state of a context.
 */
static uint64_t get64(const uint8_t *state, size_t offset)
{
	uint64_t v;

	memcpy(&v, state + offset, sizeof(v));
	return v;
}

static void put64(uint8_t *state, size_t offset, uint64_t v)
{
	memcpy(state + offset, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *state, size_t offset)
{
	uint32_t v;

	memcpy(&v, state + offset, sizeof(v));
	return v;
}

static void put32(uint8_t *state, size_t offset, uint32_t v)
{
	memcpy(state + offset, &v, sizeof(v));
}

static void unload(struct cpu *cpu)
{
	if (!cpu->loaded)
		return;
	uc_context_save(cpu->uc, (uc_context *)cpu->loaded->blob);
	cpu->loaded = NULL;
}

static void load(struct cpu *cpu, struct cpu_context *ctx)
{
	if (cpu->loaded == ctx)
		return;
	unload(cpu);
	uc_context_restore(cpu->uc, (uc_context *)ctx->blob);
	cpu->loaded = ctx;
}

/*
 * Where @ctx's registers can be read and written: valid until the next call that takes a context.
 */
static uint8_t *state_of(struct cpu *cpu, struct cpu_context *ctx)
{
	if (ctx != cpu->loaded)
		return ctx->blob;
	if (cpu->live)
		return cpu->live;
	unload(cpu);
	return ctx->blob;
}

/* ------------------------------------------------------------------------------------------------
 * Hooks: each takes note of why the guest needs a kernel, and ends the run.
 */
static void end_run(struct cpu *cpu, enum cpu_event_kind kind, int vector)
{
	cpu->event = (struct cpu_event){.kind = kind, .vector = vector};
	cpu->have_event = true;
	uc_emu_stop(cpu->uc);
}

static void on_syscall(uc_engine *uc, void *data)
{
	end_run(data, CPU_SYSCALL, 0);
}

static void on_interrupt(uc_engine *uc, uint32_t vector, void *data)
{
	end_run(data, CPU_EXCEPTION, (int)vector);
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
	struct cpu *cpu = data;

	if (atomic_load_explicit(&cpu->kicked, memory_order_relaxed))
		uc_emu_stop(uc);
}

/* ------------------------------------------------------------------------------------------------
 * From what Unicorn reports to what hardware would.
 */

/*
 * Hardware leaves rip and rflags in rcx and r11; Unicorn, with a hook on SYSCALL, leaves them
 * alone.
 */
static void finish_syscall(struct cpu *cpu, uint8_t *state)
{
	put64(state, cpu->offset[F_RCX], get64(state, cpu->offset[F_RIP]));
	put64(state, cpu->offset[F_R11], get64(state, cpu->offset[F_RFLAGS]));
}

static void finish_page_fault(struct cpu *cpu, struct cpu_event *ev)
{
	ev->kind = CPU_PAGE_FAULT;
	uc_reg_read(cpu->uc, UC_X86_REG_CR2, &ev->addr);
}

/* "int n" for an n that user mode may not call: a general protection fault at the instruction. */
static void refuse_int(struct cpu *cpu, struct cpu_event *ev, uint8_t *state)
{
	put64(state, cpu->offset[F_RIP], get64(state, cpu->offset[F_RIP]) - 2);
	ev->error_code = (unsigned int)ev->vector * 8 + 2;
	ev->vector = CPU_VECTOR_GP;
}

static bool has_error_code(int vector)
{
	return vector == CPU_VECTOR_DF || (vector >= 10 && vector <= CPU_VECTOR_PF) ||
	       vector == CPU_VECTOR_AC;
}

static void finish_exception(struct cpu *cpu, struct cpu_event *ev, uint8_t *state)
{
	if (has_error_code(ev->vector))
		ev->error_code = get32(state, cpu->offset[F_ERROR_CODE]);
	if (cpu->offset[F_OLD_EXCEPTION])
		put32(state, cpu->offset[F_OLD_EXCEPTION], (uint32_t)-1);

	/* A page fault of user mode says so; without that bit it is the instruction "int 14". */
	if (ev->vector == CPU_VECTOR_PF && (ev->error_code & CPU_PF_USER))
		finish_page_fault(cpu, ev);
	else if (ev->vector == 0x80)
		ev->kind = CPU_INT80;
	else if (ev->vector == CPU_VECTOR_PF || ev->vector >= 32)
		refuse_int(cpu, ev, state);
}

static void finish_event(struct cpu *cpu, struct cpu_context *ctx, struct cpu_event *ev)
{
	*ev = cpu->event;
	if (ev->kind == CPU_SYSCALL)
		finish_syscall(cpu, state_of(cpu, ctx));
	else
		finish_exception(cpu, ev, state_of(cpu, ctx));
}

/* ------------------------------------------------------------------------------------------------
 * Running.
 */
static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * Unicorn's TLB starts with 64 entries and doubles only when it is flushed, if it was well
 * filled. So a program that works on much memory is helped by flushes that nobody ordered: often
 * at first, then more and more seldom, because refilling a large TLB has its price. Any flush
 * counts, ordered ones too.
 */
static void tick(struct cpu *cpu)
{
	uint64_t t = now();

	if (t - cpu->flushed_at < cpu->grow_period)
		return;
	cpu_flush_tlb(cpu);
	cpu->flushed_at = t;
	if (++cpu->grown > GROW_EAGERLY && cpu->grow_period < GROW_PERIOD_MAX_NS)
		cpu->grow_period *= 2;
}

static void restart_growth(struct cpu *cpu)
{
	cpu->grow_period = GROW_PERIOD_NS;
	cpu->grown = 0;
}

/* Writing CR3 empties Unicorn's TLB, as hardware's. */
static void load_tables(struct cpu *cpu, struct cpu_context *ctx, uint64_t tables)
{
	if (cpu->tables == tables && ctx->tables == tables)
		return;
	if (cpu->tables != tables) {
		cpu->count.table_switches++;
		restart_growth(cpu);
	}
	cpu->count.flushes++;
	uc_reg_write(cpu->uc, UC_X86_REG_CR3, &tables);
	cpu->tables = tables;
	ctx->tables = tables;
}

static int failed_run(struct cpu *cpu, uc_err err)
{
	if (err == UC_ERR_INSN_INVALID) {
		cpu->event = (struct cpu_event){.kind = CPU_EXCEPTION, .vector = CPU_VECTOR_UD};
		cpu->have_event = true;
		return 0;
	}
	return -EIO;
}

/* Runs the loaded context until a hook, a kick, or nothing in particular ended it. */
static int run_once(struct cpu *cpu)
{
	uint64_t rip;
	uc_err err;

	if (cpu->live)
		rip = get64(cpu->live, cpu->offset[F_RIP]);
	else
		uc_reg_read(cpu->uc, UC_X86_REG_RIP, &rip);
	cpu->have_event = false;
	running = cpu;
	err = uc_emu_start(cpu->uc, rip, 0, 0, 0);
	running = NULL;
	if (cpu->code_full)
		empty_buffer(cpu);
	return err == UC_ERR_OK || cpu->have_event ? 0 : failed_run(cpu, err);
}

static bool take_kick(struct cpu *cpu)
{
	return atomic_load_explicit(&cpu->kicked, memory_order_relaxed) &&
	       atomic_exchange(&cpu->kicked, false);
}

int cpu_run(struct cpu *cpu, struct cpu_context *ctx, uint64_t cr3, struct cpu_event *ev)
{
	int err = 0;

	if (++cpu->count.runs % RUNS_PER_CLOCK == 0)
		tick(cpu);
	if (cpu->loaded != ctx) {
		cpu->count.context_switches++;
		load(cpu, ctx);
	}
	load_tables(cpu, ctx, cr3);

	/*
	 * A stop that a kick asked for may come after the kick was taken: then nothing ended the
	 * run.
	 */
	do {
		if (take_kick(cpu)) {
			*ev = (struct cpu_event){.kind = CPU_KICK};
			cpu->count.events[CPU_KICK]++;
			tick(cpu);
			return 0;
		}
		err = run_once(cpu);
	} while (!err && !cpu->have_event);

	if (err)
		return err;
	finish_event(cpu, ctx, ev);
	cpu->count.events[ev->kind]++;
	return 0;
}

/*
 * From the engine's own thread (a signal handler) order is the program's: either the flag is seen
 * on the way into the run, or the stop comes after all that would forget it. From another thread
 * it isn't: Unicorn clears one word and then reads another without a barrier between, here and at
 * the top of its loop. So the barrier comes from this side, and what may have been overwritten
 * before it is said again.
 */
void cpu_kick(struct cpu *cpu)
{
	atomic_store(&cpu->kicked, true);
	if (cpu->block_hook)
		return;
	uc_emu_stop(cpu->uc);
	if (running != cpu) {
		membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
		uc_emu_stop(cpu->uc);
	}
}

/* ------------------------------------------------------------------------------------------------
 * Orders.
 */
void cpu_flush_tlb(struct cpu *cpu)
{
	uc_ctl_flush_tlb(cpu->uc);
	cpu->count.flushes++;
}

void cpu_flush_tlb_range(struct cpu *cpu, uint64_t cr3, uint64_t start, uint64_t end)
{
	uint64_t va = start & ~(uint64_t)(PAGE_SIZE - 1);

	if (cr3 != cpu->tables || start >= end)
		return;
	if (!cpu->tlb_flush_page || !cpu->cpu_state || (end - va) / PAGE_SIZE > FLUSH_ALL_PAGES) {
		cpu_flush_tlb(cpu);
		return;
	}
	for (; va < end; va += PAGE_SIZE) {
		cpu->tlb_flush_page(cpu->cpu_state, va);
		cpu->count.page_flushes++;
	}
}

/* Piece by piece: to drop all of it, the engine clears the whole buffer, which takes longer than a small program. */
static void drop_code(struct cpu *cpu, uint64_t phys, uint64_t len)
{
	if (!cpu->tb_invalidate) {
		uc_ctl_flush_tb(cpu->uc);
		return;
	}
	for (unsigned int i = 0; i < cpu->nr_ram; i++) {
		const struct ram_piece *r = &cpu->ram[i];
		uint64_t start = phys > r->phys ? phys : r->phys;
		uint64_t end = phys + len < r->phys + r->size ? phys + len : r->phys + r->size;

		if (start < end)
			cpu->tb_invalidate(cpu->uc, r->ram_addr + (start - r->phys),
					   r->ram_addr + (end - r->phys));
	}
}

void cpu_invalidate_code(struct cpu *cpu, uint64_t phys, uint64_t len)
{
	cpu->count.code_flushes += (len + PAGE_SIZE - 1) / PAGE_SIZE;
	drop_code(cpu, phys, len);
}

/* ------------------------------------------------------------------------------------------------
 * Contexts.
 */
/*
 * A blob lies towards cache lines as the engine's own state does: a copy from the one to the other
 * then takes a third of the time.
 */
static struct cpu_context *context_alloc(struct cpu *cpu)
{
	struct cpu_context *ctx = calloc(1, sizeof(*ctx) + cpu->context_size + CACHE_LINE);

	if (ctx)
		ctx->blob = ctx->room + ((uintptr_t)cpu->live - (uintptr_t)ctx->room) % CACHE_LINE;
	return ctx;
}

static void context_set(struct cpu *cpu, struct cpu_context *to, const struct cpu_context *from)
{
	to->tables = from->tables;
	memcpy(to->blob, from->blob, cpu->context_size);
}

/*
 * Every other context is a copy of this one: a blob needs the header that uc_context_alloc()
 * makes.
 */
static struct cpu_context *first_context(struct cpu *cpu)
{
	struct cpu_context *ctx = context_alloc(cpu);
	uc_context *made;

	if (!ctx)
		return NULL;
	if (uc_context_alloc(cpu->uc, &made) != UC_ERR_OK) {
		free(ctx);
		return NULL;
	}
	memcpy(ctx->blob, made, cpu->context_size);
	uc_context_free(made);
	return ctx;
}

struct cpu_context *cpu_context_create(struct cpu *cpu)
{
	return cpu_context_copy(cpu, cpu->pristine);
}

struct cpu_context *cpu_context_copy(struct cpu *cpu, struct cpu_context *src)
{
	struct cpu_context *ctx = context_alloc(cpu);

	if (!ctx)
		return NULL;
	if (src == cpu->loaded)
		uc_context_save(cpu->uc, (uc_context *)src->blob);
	context_set(cpu, ctx, src);
	return ctx;
}

void cpu_context_reset(struct cpu *cpu, struct cpu_context *ctx)
{
	if (ctx == cpu->loaded)
		cpu->loaded = NULL;
	context_set(cpu, ctx, cpu->pristine);
}

void cpu_context_destroy(struct cpu *cpu, struct cpu_context *ctx)
{
	if (ctx == cpu->loaded)
		cpu->loaded = NULL;
	free(ctx);
}

void cpu_context_get_regs(struct cpu *cpu, struct cpu_context *ctx, struct cpu_regs *regs)
{
	const uint8_t *state = state_of(cpu, ctx);

	for (int f = 0; f < NR_REG_FIELDS; f++)
		put64((uint8_t *)regs, reg_fields[f].in_regs, get64(state, cpu->offset[f]));
}

void cpu_context_set_regs(struct cpu *cpu, struct cpu_context *ctx, const struct cpu_regs *regs)
{
	uint8_t *state = state_of(cpu, ctx);
	uint64_t rflags = get64(state, cpu->offset[F_RFLAGS]);

	for (int f = 0; f < NR_REG_FIELDS; f++)
		put64(state, cpu->offset[f], get64((const uint8_t *)regs, reg_fields[f].in_regs));
	rflags = (rflags & ~(uint64_t)CPU_EFLAGS_USER) | (regs->rflags & CPU_EFLAGS_USER);
	put64(state, cpu->offset[F_RFLAGS], rflags);
}

void cpu_context_set_rax(struct cpu *cpu, struct cpu_context *ctx, uint64_t rax)
{
	put64(state_of(cpu, ctx), cpu->offset[F_RAX], rax);
}

/* ------------------------------------------------------------------------------------------------
 * The FXSAVE image.
 *
 *	0 fcw  2 fsw  4 abridged tags  6 fop  8 fip  16 fdp  24 mxcsr  28 its mask
 *	32 st(0)..st(7), 16 bytes each   160 xmm0..xmm15   416 reserved
 *
 * The registers stand in stack order, the tags in the order of the physical registers.
 */
struct fxsave {
	uint16_t fcw, fsw;
	uint8_t tags, reserved0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];
	uint8_t xmm[16][16];
	uint8_t reserved1[96];
};
_Static_assert(sizeof(struct fxsave) == CPU_FXSAVE_SIZE, "an FXSAVE image has 512 bytes");

static unsigned int physical_st(const struct fxsave *fx, unsigned int i)
{
	return (((unsigned int)fx->fsw >> 11) + i) & 7;
}

void cpu_context_get_fpu(struct cpu *cpu, struct cpu_context *ctx, void *image)
{
	struct fxsave fx = {.mxcsr_mask = MXCSR_MASK};
	uint16_t tags;

	load(cpu, ctx);
	uc_reg_read(cpu->uc, UC_X86_REG_FPCW, &fx.fcw);
	uc_reg_read(cpu->uc, UC_X86_REG_FPSW, &fx.fsw);
	uc_reg_read(cpu->uc, UC_X86_REG_FPTAG, &tags);
	uc_reg_read(cpu->uc, UC_X86_REG_MXCSR, &fx.mxcsr);
	uc_reg_read(cpu->uc, UC_X86_REG_FOP, &fx.fop);
	uc_reg_read(cpu->uc, UC_X86_REG_FIP, &fx.fip);
	uc_reg_read(cpu->uc, UC_X86_REG_FDP, &fx.fdp);
	for (unsigned int i = 0; i < 8; i++) {
		if (((tags >> 2 * i) & 3) != 3)
			fx.tags |= (uint8_t)(1u << i);
		uc_reg_read(cpu->uc, (int)(UC_X86_REG_FP0 + physical_st(&fx, i)), fx.st[i]);
	}
	for (int i = 0; i < 16; i++)
		uc_reg_read(cpu->uc, UC_X86_REG_XMM0 + i, fx.xmm[i]);
	memcpy(image, &fx, sizeof(fx));
}

int cpu_context_set_fpu(struct cpu *cpu, struct cpu_context *ctx, const void *image)
{
	struct fxsave fx;
	uint16_t tags = 0;

	memcpy(&fx, image, sizeof(fx));
	if (fx.mxcsr & ~MXCSR_MASK)
		return -EINVAL;
	load(cpu, ctx);
	uc_reg_write(cpu->uc, UC_X86_REG_FPCW, &fx.fcw);
	uc_reg_write(cpu->uc, UC_X86_REG_FPSW, &fx.fsw);
	uc_reg_write(cpu->uc, UC_X86_REG_FOP, &fx.fop);
	uc_reg_write(cpu->uc, UC_X86_REG_FIP, &fx.fip);
	uc_reg_write(cpu->uc, UC_X86_REG_FDP, &fx.fdp);
	for (unsigned int i = 0; i < 8; i++) {
		if (!(fx.tags & (1u << i)))
			tags |= (uint16_t)(3u << 2 * i);
		uc_reg_write(cpu->uc, (int)(UC_X86_REG_FP0 + physical_st(&fx, i)), fx.st[i]);
	}
	uc_reg_write(cpu->uc, UC_X86_REG_FPTAG, &tags);
	uc_reg_write(cpu->uc, UC_X86_REG_MXCSR, &fx.mxcsr);
	for (int i = 0; i < 16; i++)
		uc_reg_write(cpu->uc, UC_X86_REG_XMM0 + i, fx.xmm[i]);
	return 0;
}

/* ------------------------------------------------------------------------------------------------
 * Making an engine: into user mode, and calibration.
 *
 * Both need a little memory of their own that the guest can run in. It lies above all RAM, for as
 * long as that takes:
 *
 *	page 0        code: sysretq, syscall, and the instructions that fault
 *	page 1..5     page tables that map page 0 at CODE_VA, read-only
 */
#define SCRATCH_PAGES	(1 + 5)
#define CODE_VA		0x400000ull
#define NOWHERE_VA	0x800000ull
#define SYSRETQ		0
#define SYSCALL		16
#define LOAD_FROM_RBX	32
#define STORE_TO_RBX	48

static const uint8_t scratch_code[] = {
	[SYSRETQ] = 0x48, 0x0f, 0x07,
	[SYSCALL] = 0x0f, 0x05,
	[LOAD_FROM_RBX] = 0x48, 0x8b, 0x03, /* mov rax, [rbx] */
	[STORE_TO_RBX] = 0x48, 0x89, 0x03,  /* mov [rbx], rax */
};

struct scratch {
	uint8_t *host;
	uint64_t phys;
};

static uint64_t end_of_ram(const struct cpu_options *opt)
{
	uint64_t end = 0;

	for (unsigned int i = 0; i < opt->nr_ram; i++)
		if (end < opt->ram[i].phys + opt->ram[i].size)
			end = opt->ram[i].phys + opt->ram[i].size;
	return end;
}

static void fill_scratch(struct scratch *s, bool la57)
{
	int levels = la57 ? 5 : 4;

	memcpy(s->host, scratch_code, sizeof(scratch_code));
	for (int i = 1; i <= levels; i++) {
		bool leaf = i == levels;
		unsigned int shift = 12 + 9 * (unsigned int)(levels - i);
		uint64_t next = leaf ? s->phys : s->phys + (uint64_t)(i + 1) * PAGE_SIZE;

		put64(s->host + (size_t)i * PAGE_SIZE, ((CODE_VA >> shift) & 511) * 8,
		      next | (leaf ? 5 : 7));
	}
}

/* Unicorn numbers RAM by itself, piece after piece, each at a multiple of this. */
#define RAM_ADDR_ALIGN (64u * PAGE_SIZE)

static int map_piece(struct cpu *cpu, uint64_t phys, uint64_t size, void *host)
{
	const struct ram_piece *last = cpu->nr_ram ? &cpu->ram[cpu->nr_ram - 1] : NULL;
	uint64_t ram_addr = last ? last->ram_addr + last->size + RAM_ADDR_ALIGN - 1 : 0;

	if (uc_mem_map_ptr(cpu->uc, phys, size, UC_PROT_ALL, host) != UC_ERR_OK)
		return -EINVAL;
	cpu->ram[cpu->nr_ram++] = (struct ram_piece){phys, size, ram_addr - ram_addr % RAM_ADDR_ALIGN};
	return 0;
}

static int scratch_map(struct cpu *cpu, const struct cpu_options *opt, struct scratch *s)
{
	size_t size = SCRATCH_PAGES * PAGE_SIZE;

	s->phys = end_of_ram(opt);
	s->host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->host == MAP_FAILED)
		return -ENOMEM;
	fill_scratch(s, opt->la57);
	if (map_piece(cpu, s->phys, size, s->host)) {
		munmap(s->host, size);
		return -ENOMEM;
	}
	return 0;
}

static void scratch_unmap(struct cpu *cpu, struct scratch *s)
{
	drop_code(cpu, s->phys, SCRATCH_PAGES * PAGE_SIZE);
	cpu->nr_ram--;
	uc_mem_unmap(cpu->uc, s->phys, SCRATCH_PAGES * PAGE_SIZE);
	munmap(s->host, SCRATCH_PAGES * PAGE_SIZE);
}

static void write_reg(struct cpu *cpu, int id, uint64_t v)
{
	uc_reg_write(cpu->uc, id, &v);
}

static void write_msr(struct cpu *cpu, uint32_t msr, uint64_t v)
{
	uc_x86_msr m = {.rid = msr, .value = v};

	uc_reg_write(cpu->uc, UC_X86_REG_MSR, &m);
}

static uint64_t read_msr(struct cpu *cpu, uint32_t msr)
{
	uc_x86_msr m = {.rid = msr};

	uc_reg_read(cpu->uc, UC_X86_REG_MSR, &m);
	return m.value;
}

/* Runs from @rip; the vector that ended it (0x100: SYSCALL), or negative errno. */
static int run_scratch(struct cpu *cpu, uint64_t rip)
{
	write_reg(cpu, UC_X86_REG_RIP, rip);
	cpu->have_event = false;
	running = cpu;
	uc_emu_start(cpu->uc, rip, 0, 0, 0);
	running = NULL;
	if (!cpu->have_event)
		return -ENOTSUP;
	return cpu->event.kind == CPU_SYSCALL ? 0x100 : cpu->event.vector;
}

/* Writing CS doesn't change the privilege level. SYSRETQ does, and needs no descriptor tables. */
static int enter_user_mode(struct cpu *cpu, const struct scratch *s, bool la57)
{
	uint32_t mxcsr = MXCSR_INIT;
	uint16_t fpcw = FPCW_INIT, fptag = FPTAG_EMPTY, cs = 0;

	write_msr(cpu, MSR_EFER, read_msr(cpu, MSR_EFER) | EFER_SCE | EFER_NXE);
	write_msr(cpu, MSR_STAR, (uint64_t)(CPU_USER_DS - 8) << 48);
	write_reg(cpu, UC_X86_REG_RCX, s->phys + SYSCALL);
	write_reg(cpu, UC_X86_REG_R11, CPU_EFLAGS_FIXED | CPU_EFLAGS_IF);
	if (run_scratch(cpu, s->phys + SYSRETQ) != 0x100)
		return -ENOTSUP;
	uc_reg_read(cpu->uc, UC_X86_REG_CS, &cs);
	if (cs != CPU_USER_CS)
		return -ENOTSUP;

	write_reg(cpu, UC_X86_REG_CR4, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE |
					       (la57 ? CR4_LA57 : 0));
	cpu->tables = s->phys + PAGE_SIZE;
	write_reg(cpu, UC_X86_REG_CR3, cpu->tables);
	write_reg(cpu, UC_X86_REG_CR0, CR0_USER_STATE);
	uc_reg_write(cpu->uc, UC_X86_REG_FPCW, &fpcw);
	uc_reg_write(cpu->uc, UC_X86_REG_FPTAG, &fptag);
	uc_reg_write(cpu->uc, UC_X86_REG_MXCSR, &mxcsr);
	return 0;
}

/* A value for register @f that occurs nowhere by accident; @round tells two apart. */
static uint64_t marker(int f, int round)
{
	if (f == F_RFLAGS)
		return round ? 0x2d7 : 0x246;
	if (f == F_RSP || f == F_RIP) /* no matter: nothing runs */
		return 0x7a5500000000u + (uint64_t)(f * 2 + round) * 0x10101u;
	return 0x00003c5a00000000u + (uint64_t)(f * 2 + round) * 0x01010101u;
}

static void mark(struct cpu *cpu, int round, struct cpu_context *into)
{
	for (int f = 0; f < NR_REG_FIELDS; f++)
		write_reg(cpu, reg_fields[f].id, marker(f, round));
	uc_context_save(cpu->uc, (uc_context *)into->blob);
}

/* The one place where @f's markers are found in both rounds. */
static int locate_reg(struct cpu *cpu, int f, const uint8_t *one, const uint8_t *two)
{
	int found = 0;

	for (size_t at = 8; at + 8 <= cpu->context_size; at += 4)
		if (get64(one, at) == marker(f, 0) && get64(two, at) == marker(f, 1)) {
			cpu->offset[f] = (uint16_t)at;
			found++;
		}
	return found == 1 ? 0 : -ENOTSUP;
}

/*
 * The engine's own state is a part of the object that CPUState begins, laid out as the part of
 * the blob that was copied from it. @live then is where a blob would begin.
 */
static uint8_t *locate_live(struct cpu *cpu)
{
	uint8_t *object = cpu->cpu_state;
	size_t size = object ? malloc_usable_size(object) : 0;
	uint16_t rax = cpu->offset[F_RAX];

	for (size_t at = 0; at + cpu->context_size <= size; at += 8) {
		int f = 0;

		/* rax may lie close to the object's begin: compare by distances from it. */
		while (f < NR_REG_FIELDS &&
		       get64(object + at, (size_t)(cpu->offset[f] - rax)) == marker(f, 1))
			f++;
		if (f == NR_REG_FIELDS)
			return object + at - rax;
	}
	return NULL;
}

static int locate_regs(struct cpu *cpu, struct cpu_context *one, struct cpu_context *two)
{
	mark(cpu, 0, one);
	mark(cpu, 1, two);
	for (int f = 0; f < NR_REG_FIELDS; f++)
		if (locate_reg(cpu, f, one->blob, two->blob) != 0)
			return -ENOTSUP;
	cpu->live = locate_live(cpu);
	return 0;
}

/*
 * Raises a page fault from the pristine state with the field at @clear set back, if that isn't 0.
 */
static int fault(struct cpu *cpu, unsigned int code, uint64_t rbx, size_t clear,
		 struct cpu_context *into)
{
	int vector;

	if (clear) {
		put32(into->blob, clear, (uint32_t)-1);
		uc_context_restore(cpu->uc, (uc_context *)into->blob);
	}
	write_reg(cpu, UC_X86_REG_RBX, rbx);
	vector = run_scratch(cpu, CODE_VA + code);
	uc_context_save(cpu->uc, (uc_context *)into->blob);
	return vector;
}

/*
 * Three faults whose error codes differ, each from the pristine state, show where the code is
 * kept. A place that went from -1 to 14 and, set back, makes the next fault a page fault again is
 * the one of defect 3.
 */
static int locate_exception(struct cpu *cpu, struct cpu_context *one, struct cpu_context *two)
{
	static const struct {
		unsigned int code;
		uint64_t rbx;
		uint32_t error_code;
	} faults[] = {
		{LOAD_FROM_RBX, NOWHERE_VA, CPU_PF_USER},
		{STORE_TO_RBX, NOWHERE_VA, CPU_PF_USER | CPU_PF_WRITE},
		{STORE_TO_RBX, CODE_VA, CPU_PF_USER | CPU_PF_WRITE | CPU_PF_PROT},
	};
	const uint8_t *before = cpu->pristine->blob;
	uint8_t *maybe = calloc(1, cpu->context_size);
	int found = 0;

	if (!maybe)
		return -ENOMEM;
	for (size_t i = 0; i < 3; i++) {
		uc_context_restore(cpu->uc, (uc_context *)cpu->pristine->blob);
		if (fault(cpu, faults[i].code, faults[i].rbx, 0, one) != CPU_VECTOR_PF)
			found = -2;
		for (size_t at = 0; at + 4 <= cpu->context_size; at += 4)
			if (get32(one->blob, at) == faults[i].error_code && ++maybe[at] == 3) {
				cpu->offset[F_ERROR_CODE] = (uint16_t)at;
				found++;
			}
	}
	free(maybe);
	if (found != 1)
		return -ENOTSUP;

	context_set(cpu, two, one);
	if (fault(cpu, LOAD_FROM_RBX, NOWHERE_VA, 0, two) == CPU_VECTOR_PF)
		return 0; /* a release without the defect */
	for (size_t at = 8; at + 4 <= cpu->context_size; at += 4) {
		if (get32(before, at) != (uint32_t)-1 || get32(one->blob, at) != CPU_VECTOR_PF)
			continue;
		context_set(cpu, two, one);
		if (fault(cpu, LOAD_FROM_RBX, NOWHERE_VA, at, two) != CPU_VECTOR_PF)
			continue;
		cpu->offset[F_OLD_EXCEPTION] = (uint16_t)at;
		return 0;
	}
	return -ENOTSUP;
}

/* The state of a task that has not run yet: user mode, paging on, all registers zero. */
static void save_pristine(struct cpu *cpu)
{
	for (int f = 0; f < NR_REG_FIELDS; f++)
		write_reg(cpu, reg_fields[f].id,
			  f == F_RFLAGS ? CPU_EFLAGS_FIXED | CPU_EFLAGS_IF : 0);
	cpu->pristine->tables = cpu->tables;
	uc_context_save(cpu->uc, (uc_context *)cpu->pristine->blob);
}

static int calibrate(struct cpu *cpu)
{
	struct cpu_context *one = cpu_context_create(cpu), *two = cpu_context_create(cpu);
	int err = -ENOMEM;

	if (one && two) {
		err = cpu->context_size <= UINT16_MAX ? locate_regs(cpu, one, two) : -ENOTSUP;
		save_pristine(cpu);
		if (!err)
			err = locate_exception(cpu, one, two);
	}
	free(one);
	free(two);
	return err;
}

static int bring_up(struct cpu *cpu, const struct cpu_options *opt)
{
	struct scratch s;
	int err = scratch_map(cpu, opt, &s);

	if (err)
		return err;
	err = enter_user_mode(cpu, &s, opt->la57);
	if (!err)
		err = calibrate(cpu);
	if (opt->conservative)
		cpu->live = NULL;
	scratch_unmap(cpu, &s);
	uc_ctl_flush_tlb(cpu->uc);
	/* No task's table: the first run loads its own. */
	cpu->tables = ~(uint64_t)0;
	return err;
}

static int map_ram(struct cpu *cpu, const struct cpu_options *opt)
{
	int err = 0;

	cpu->ram = calloc(opt->nr_ram + 1, sizeof(*cpu->ram));	/* and the scratch memory */
	if (!cpu->ram)
		return -ENOMEM;
	for (unsigned int i = 0; !err && i < opt->nr_ram; i++)
		err = map_piece(cpu, opt->ram[i].phys, opt->ram[i].size, opt->ram[i].host);
	return err;
}

static uint32_t code_cache_size(const struct cpu_options *opt)
{
	return opt->code_cache ? opt->code_cache : CODE_CACHE_SIZE;
}

static uc_err configure(uc_engine *uc, const struct cpu_options *opt)
{
	uc_err err = uc_ctl_set_cpu_model(uc, UC_CPU_X86_HASWELL);

	if (!err)
		err = uc_ctl_set_tcg_buffer_size(uc, code_cache_size(opt));
	if (!err)
		err = uc_ctl_tlb_mode(uc, UC_TLB_CPU);
	if (!err)
		err = uc_ctl_exits_enable(uc);
	return err;
}

/* An end before the begin: everywhere. */
static uc_err add_hook(struct cpu *cpu, int type, void *callback, int insn)
{
	uc_hook hook;

	return uc_hook_add(cpu->uc, &hook, type, callback, cpu, 1, 0, insn);
}

static uc_err add_hooks(struct cpu *cpu)
{
	uc_err err = add_hook(cpu, UC_HOOK_INSN, (void *)on_syscall, UC_X86_INS_SYSCALL);

	if (!err)
		err = add_hook(cpu, UC_HOOK_INTR, (void *)on_interrupt, 0);
	return err;
}

/* Functions that Unicorn exports, but not in its interface. Without them: cruder means. */
static void find_internals(struct cpu *cpu)
{
	cpu->tlb_flush_page =
		(void (*)(void *, uint64_t))dlsym(RTLD_DEFAULT, "tlb_flush_page_x86_64");
	cpu->code_size = (size_t (*)(void *))dlsym(RTLD_DEFAULT, "tcg_code_size_x86_64");
	cpu->tb_invalidate = (void (*)(uc_engine *, uint64_t, uint64_t))dlsym(
		RTLD_DEFAULT, "tb_invalidate_phys_range_x86_64");
}

/* How a kick stops the engine: bring_up() has shown whether Unicorn calls our functions. */
static int choose_stop(struct cpu *cpu, const struct cpu_options *opt)
{
	cpu->block_hook = opt->conservative || !cpu->cpu_state || !check_exit_requests_gone ||
			  membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
	if (cpu->block_hook && add_hook(cpu, UC_HOOK_BLOCK, (void *)on_block, 0) != UC_ERR_OK)
		return -ENOTSUP;
	return 0;
}

/* Defect 2: from outside, where there is a way to look at the buffer; else at once. */
static void bound_buffer(struct cpu *cpu, const struct cpu_options *opt)
{
	size_t size = code_cache_size(opt);

	cpu->code_room = size - size / 16;
	if (!cpu->code_size || !cpu->tcg_context || !cpu->blocks_seen)
		empty_buffer(cpu);
}

static int open_engine(struct cpu *cpu, const struct cpu_options *opt)
{
	int err;

	if (uc_open(UC_ARCH_X86, UC_MODE_64, &cpu->uc) != UC_ERR_OK) {
		cpu->uc = NULL;
		return -ENOMEM;
	}
	if (configure(cpu->uc, opt) != UC_ERR_OK)
		return -ENOTSUP;
	err = map_ram(cpu, opt);
	if (err)
		return err;
	cpu->context_size = uc_context_size(cpu->uc);
	cpu->pristine = first_context(cpu);
	if (!cpu->pristine)
		return -ENOMEM;
	if (!opt->conservative)
		find_internals(cpu);
	if (add_hooks(cpu) != UC_ERR_OK)
		return -ENOTSUP;
	err = bring_up(cpu, opt);
	if (!err)
		err = choose_stop(cpu, opt);
	if (!err)
		bound_buffer(cpu, opt);
	if (!err && !opt->conservative && opt->nr_ram == 1 && !opt->ram->phys)
		cpu->mmu = (struct mmu){ .ram = opt->ram->host, .ram_bytes = opt->ram->size, .la57 = opt->la57 };
	return err;
}

int cpu_create(const struct cpu_options *opt, struct cpu **out)
{
	struct cpu *cpu;
	int err;

	if (!opt->nr_ram)
		return -EINVAL;
	cpu = calloc(1, sizeof(*cpu));
	if (!cpu)
		return -ENOMEM;
	cpu->code_room = SIZE_MAX;
	restart_growth(cpu);
	err = open_engine(cpu, opt);
	if (err) {
		cpu_destroy(cpu);
		return err;
	}
	*out = cpu;
	return 0;
}

void cpu_destroy(struct cpu *cpu)
{
	if (!cpu)
		return;
	if (cpu->uc)
		uc_close(cpu->uc);
	free(cpu->pristine);
	free(cpu->ram);
	free(cpu);
}

const struct cpu_counters *cpu_counters(const struct cpu *cpu)
{
	return &cpu->count;
}

const char *cpu_engine_name(void)
{
	static _Thread_local char name[32];
	unsigned int v = uc_version(NULL, NULL);

	snprintf(name, sizeof(name), "unicorn %u.%u.%u", v >> 24, (v >> 16) & 255, (v >> 8) & 255);
	return name;
}
