// SPDX-License-Identifier: MIT
/*
 * x86-64's rt_sigframe, on the stack of whom the signal interrupted or on the alternate one:
 *
 *	higher	  the interrupted stack
 *		  128 bytes that the ABI lets a leaf function use below its rsp
 *		  floating point, 512 bytes as FXSAVE writes them, aligned to 64
 *		  siginfo, ucontext
 *	rsp ->	  the address of the restorer: rsp is 8 below a multiple of 16, as after a call
 *
 * There is no XSAVE on our processor, so uc_flags says so (no UC_FP_XSTATE).
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "signal_frame.h"
#include "syscalls.h"
#include "task.h"

#define SA_RESTORER_GUEST 0x04000000
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4
#define SS_AUTODISARM_GUEST (1u << 31)
#define REDZONE 128
#define MIN_ALTSTACK 2048
#define RFLAGS_RF 0x10000u

struct sigcontext_guest {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
};
struct stack_guest {
	uint64_t sp;
	int32_t flags, pad;
	uint64_t size;
};
struct ucontext_guest {
	uint64_t flags, link;
	struct stack_guest stack;
	struct sigcontext_guest mcontext;
	uint64_t sigmask;
};
struct rt_sigframe {
	uint64_t pretcode;
	struct ucontext_guest uc;
	siginfo_t info;
};
_Static_assert(sizeof(struct sigcontext_guest) == 256, "the ABI's");
_Static_assert(sizeof(struct rt_sigframe) == 440, "the ABI's");

/* ---- the alternate stack -------------------------------------------------------------------- */

static bool on_altstack(const struct task_struct *task, uint64_t sp)
{
	if (task->altstack_flags & (int)SS_AUTODISARM_GUEST)
		return false;
	return sp > task->altstack_sp && sp - task->altstack_sp <= task->altstack_size;
}

static int altstack_state(const struct task_struct *task, uint64_t sp)
{
	if (!task->altstack_size)
		return SS_DISABLE;
	return on_altstack(task, sp) ? SS_ONSTACK : 0;
}

static struct stack_guest describe_altstack(const struct task_struct *task, uint64_t sp)
{
	return (struct stack_guest){
		.sp = task->altstack_sp,
		.flags = altstack_state(task, sp) | (task->altstack_flags & (int)SS_AUTODISARM_GUEST),
		.size = task->altstack_size,
	};
}

static int set_altstack(struct task_struct *task, const struct stack_guest *stack, uint64_t sp,
			uint64_t min_size)
{
	int mode = stack->flags & ~(int)SS_AUTODISARM_GUEST;

	if (on_altstack(task, sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		task->altstack_sp = task->altstack_size = 0;
	} else {
		if (stack->size < min_size)
			return -ENOMEM;
		task->altstack_sp = stack->sp;
		task->altstack_size = stack->size;
	}
	task->altstack_flags = stack->flags;
	return 0;
}

SYSCALL(sigaltstack)
{
	struct cpu_regs regs;
	struct stack_guest new, old;

	cpu_context_get_regs(task->kernel->cpu, task->cpu, &regs);
	if (args->a[0] && copy_from_user(task, &new, args->a[0], sizeof(new)))
		return -EFAULT;
	old = describe_altstack(task, regs.rsp);
	if (args->a[0]) {
		int error = set_altstack(task, &new, regs.rsp, MIN_ALTSTACK);

		if (error)
			return error;
	}
	if (args->a[1] && copy_to_user(task, args->a[1], &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

/* ---- into the handler ----------------------------------------------------------------------- */

static uint64_t frame_stack(struct task_struct *task, const struct sigaction_guest *action,
			    uint64_t rsp, bool *overflow)
{
	bool already_there = on_altstack(task, rsp);
	uint64_t sp = rsp - REDZONE;

	if ((action->flags & SA_ONSTACK) && altstack_state(task, rsp) == 0)
		return task->altstack_sp + task->altstack_size;
	/* An overflow of the alternate stack must not go on below it. */
	*overflow = already_there && !on_altstack(task, sp - CPU_FXSAVE_SIZE - sizeof(struct rt_sigframe));
	return sp;
}

static void save_regs(struct sigcontext_guest *sc, const struct cpu_regs *r)
{
	*sc = (struct sigcontext_guest){
		.r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11,
		.r12 = r->r12, .r13 = r->r13, .r14 = r->r14, .r15 = r->r15,
		.rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx,
		.rdx = r->rdx, .rax = r->rax, .rcx = r->rcx, .rsp = r->rsp,
		.rip = r->rip, .rflags = r->rflags,
		.cs = CPU_USER_CS, .ss = CPU_USER_DS,
	};
}

static void load_regs(struct cpu_regs *r, const struct sigcontext_guest *sc)
{
	r->r8 = sc->r8, r->r9 = sc->r9, r->r10 = sc->r10, r->r11 = sc->r11;
	r->r12 = sc->r12, r->r13 = sc->r13, r->r14 = sc->r14, r->r15 = sc->r15;
	r->rdi = sc->rdi, r->rsi = sc->rsi, r->rbp = sc->rbp, r->rbx = sc->rbx;
	r->rdx = sc->rdx, r->rax = sc->rax, r->rcx = sc->rcx, r->rsp = sc->rsp;
	r->rip = sc->rip;
	r->rflags = (r->rflags & ~(uint64_t)CPU_EFLAGS_USER) | (sc->rflags & CPU_EFLAGS_USER);
}

int setup_frame(struct task_struct *task, int sig, const siginfo_t *info,
		const struct sigaction_guest *action, uint64_t mask, struct cpu_regs *regs)
{
	_Alignas(16) uint8_t fx[CPU_FXSAVE_SIZE];
	struct rt_sigframe frame;
	bool overflow = false;
	uint64_t sp = frame_stack(task, action, regs->rsp, &overflow), fp;

	if (overflow || !(action->flags & SA_RESTORER_GUEST))
		return -EFAULT;
	memset(&frame, 0, sizeof(frame));
	fp = (sp - CPU_FXSAVE_SIZE) & ~63ull;
	sp = ((fp - sizeof(frame)) & ~15ull) - 8;
	frame.pretcode = action->restorer;
	frame.uc.flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	frame.uc.stack = describe_altstack(task, regs->rsp);
	save_regs(&frame.uc.mcontext, regs);
	frame.uc.mcontext.err = task->fault_error;
	frame.uc.mcontext.trapno = (uint64_t)task->fault_trapno;
	frame.uc.mcontext.cr2 = task->fault_cr2;
	frame.uc.mcontext.oldmask = mask;
	frame.uc.mcontext.fpstate = fp;
	frame.uc.sigmask = mask;
	frame.info = *info;
	cpu_context_get_fpu(task->kernel->cpu, task->cpu, fx);
	memset(fx + 464, 0, 48);	/* where XSAVE's mark would stand */
	if (copy_to_user(task, fp, fx, sizeof(fx)) || copy_to_user(task, sp, &frame, sizeof(frame)))
		return -EFAULT;
	if (task->altstack_flags & (int)SS_AUTODISARM_GUEST) {
		task->altstack_sp = task->altstack_size = 0;
		task->altstack_flags = SS_DISABLE;
	}
	regs->rdi = (uint64_t)sig;
	regs->rsi = sp + offsetof(struct rt_sigframe, info);
	regs->rdx = sp + offsetof(struct rt_sigframe, uc);
	regs->rax = 0;
	regs->rsp = sp;
	regs->rip = action->handler;
	regs->rflags &= ~(uint64_t)(CPU_EFLAGS_DF | CPU_EFLAGS_TF | RFLAGS_RF);
	return 0;
}

/* ---- and back ------------------------------------------------------------------------------- */

static int restore_fpu(struct task_struct *task, uint64_t fpstate)
{
	_Alignas(16) uint8_t fx[CPU_FXSAVE_SIZE];

	if (!fpstate)
		return 0;
	if (copy_from_user(task, fx, fpstate, sizeof(fx)))
		return -EFAULT;
	return cpu_context_set_fpu(task->kernel->cpu, task->cpu, fx);
}

SYSCALL(rt_sigreturn)
{
	struct cpu *cpu = task->kernel->cpu;
	struct ucontext_guest uc;
	struct cpu_regs regs;

	cpu_context_get_regs(cpu, task->cpu, &regs);
	if (copy_from_user(task, &uc, regs.rsp, sizeof(uc)) ||
	    restore_fpu(task, uc.mcontext.fpstate)) {
		force_signal(task, SIGSEGV, SI_KERNEL, 0);
		return -ENORETURN;
	}
	load_regs(&regs, &uc.mcontext);
	cpu_context_set_regs(cpu, task->cpu, &regs);
	set_blocked(task, uc.sigmask);
	set_altstack(task, &uc.stack, regs.rsp, 0);	/* an error here is nobody's */
	return -ENORETURN;
}
