// SPDX-License-Identifier: MIT
/*
 * From user mode and back: what a task's run on the processor ended with, and what follows.
 *
 *	system call   the table's handler; -ERESTART_WAIT: sleep, and call it again
 *	page fault    aspace_fault; then the instruction again, or a signal
 *	exception     a signal
 *	kick          the slice is over, or the host has something for us
 *
 * A task that has task->in_syscall set doesn't see user mode before its handler has said a result,
 * and one with task->notify set not before its signals were looked at. The order in the loop below
 * is what makes a call that can finish finish, even if a signal is pending too.
 */
#include <errno.h>
#include <string.h>

#include "host.h"
#include "syscalls.h"
#include "task.h"
#include "vdso.h"

/* ---- system calls -------------------------------------------------------------------------- */

void syscall_finish(struct task_struct *task, int64_t result)
{
	task->in_syscall = false;
	task->interrupted = false;
	if (task->restore_blocked)
		task->notify = true;
	if (task->wait.queued || task->wait.timer.armed)
		wait_cleanup(task);
	if (result != -ENORETURN)
		cpu_context_set_rax(task->kernel->cpu, task->cpu, (uint64_t)result);
	if (task->kernel->logging)
		log_exit(task, result);
}

static int64_t call_handler(struct task_struct *task)
{
	const struct sys_entry *entry = syscall_entry(task->call.nr);

	if (!entry || !entry->handler) {
		if (task->call.nr < NR_SYSCALLS)
			task->kernel->unknown_count[task->call.nr]++;
		return -ENOSYS;
	}
	return entry->handler(task, &task->call);
}

static bool kill_pending(const struct task_struct *task)
{
	return (task->pending.set | task->signal->shared_pending.set) & SIGMASK(SIGKILL);
}

static void continue_syscall(struct task_struct *task)
{
	struct task_wait *wait = &task->wait;
	int64_t result;

	wait->nfds = 0;
	wait->deadline_ns = UINT64_MAX;
	wait->wake_pending = false;
	result = call_handler(task);
	if (result != -ERESTART_WAIT) {
		syscall_finish(task, result);
		return;
	}
	if (wait->on_signal == SIGNAL_KILLS ? kill_pending(task) : signal_pending(task)) {
		wait_cleanup(task);
		task->interrupted = true;
		task->notify = true;
		return;
	}
	wait_sleep(task);
}

static void enter_syscall(struct kernel *k, struct task_struct *task)
{
	struct task_wait *wait = &task->wait;
	struct cpu_regs regs;

	cpu_context_get_regs(k->cpu, task->cpu, &regs);
	task->call = (struct sys_args){
		.nr = regs.rax,
		.a = { regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9 },
	};
	task->in_syscall = true;
	task->interrupted = false;
	wait->on_signal = SIGNAL_RESTARTS;
	wait->interrupted = NULL;
	wait->timed_out = false;
	wait->woken = false;
	memset(wait->state, 0, sizeof(wait->state));
	if (regs.rax < NR_SYSCALLS)
		k->syscall_count[regs.rax]++;
	if (k->logging)
		log_enter(task);
}

/* ---- faults and exceptions ------------------------------------------------------------------ */

static void out_of_memory(struct kernel *k, struct task_struct *task)
{
	fprintf(stderr, "aspace: run: out of memory: killed process %d (%s); --ram gives more\n",
		task->tgid, task->comm);
	send_signal(task, SIGKILL, NULL, true);
}

static void page_fault(struct kernel *k, struct task_struct *task, const struct cpu_event *event)
{
	struct aspace_fault fault = { .size = sizeof(fault) };
	unsigned access = event->error_code & CPU_PF_INSTR ? ASPACE_EXEC :
			  event->error_code & CPU_PF_WRITE ? ASPACE_WRITE : ASPACE_READ;
	int error;

	if (event->addr >= VSYSCALL_ADDR && access == ASPACE_EXEC && emulate_vsyscall(task, event->addr))
		return;
	error = aspace_fault(task->mm, event->addr, access, task->pkru, &fault);
	k->nr_faults++;
	if (fault.major)
		task->maj_flt++;
	else
		task->min_flt++;
	if (k->options.log_mm)
		log_fault(task, &fault, event->addr, access, error);
	if (!error)
		return;
	if (error == -ENOMEM) {
		out_of_memory(k, task);
		return;
	}
	task->fault_trapno = CPU_VECTOR_PF;
	task->fault_error = event->error_code;
	task->fault_cr2 = event->addr;
	force_signal(task, fault.signal, fault.code, fault.addr);
}

static const struct {
	int vector, signal, code;
	bool addr_is_rip;
} exceptions[] = {
	{ CPU_VECTOR_DE, SIGFPE, FPE_INTDIV, true },
	{ CPU_VECTOR_DB, SIGTRAP, TRAP_TRACE, true },
	{ CPU_VECTOR_BP, SIGTRAP, SI_KERNEL, false },
	{ CPU_VECTOR_OF, SIGSEGV, SI_KERNEL, false },
	{ CPU_VECTOR_BR, SIGSEGV, SI_KERNEL, false },
	{ CPU_VECTOR_UD, SIGILL, ILL_ILLOPN, true },
	{ CPU_VECTOR_NM, SIGSEGV, SI_KERNEL, false },
	{ CPU_VECTOR_NP, SIGBUS, SI_KERNEL, false },
	{ CPU_VECTOR_SS, SIGBUS, SI_KERNEL, false },
	{ CPU_VECTOR_GP, SIGSEGV, SI_KERNEL, false },
	{ CPU_VECTOR_MF, SIGFPE, FPE_FLTINV, true },
	{ CPU_VECTOR_AC, SIGBUS, BUS_ADRALN, false },
	{ CPU_VECTOR_XM, SIGFPE, FPE_FLTINV, true },
};

static void exception(struct kernel *k, struct task_struct *task, const struct cpu_event *event)
{
	struct cpu_regs regs;

	cpu_context_get_regs(k->cpu, task->cpu, &regs);
	task->fault_trapno = event->vector;
	task->fault_error = event->error_code;
	for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
		if (exceptions[i].vector != event->vector)
			continue;
		force_signal(task, exceptions[i].signal, exceptions[i].code,
			     exceptions[i].addr_is_rip ? regs.rip : 0);
		return;
	}
	force_signal(task, SIGSEGV, SI_KERNEL, 0);
}

/* The slice is over, or something came in. True: another one's turn. */
static bool kick(struct kernel *k, struct task_struct *task)
{
	k->nr_kicks++;
	if (host_signals_pending())
		host_signals_deliver(k);
	if (!host_tick_seen(k))
		return false;
	account_time(task);
	check_cpu_timers(task);
	rseq_interrupt(task);
	return true;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static bool run_user(struct kernel *k, struct task_struct *task, int *error)
{
	struct cpu_event event;

	*error = cpu_run(k->cpu, task->cpu, aspace_mm_root(task->mm), &event);
	if (*error)
		return true;
	switch (event.kind) {
	case CPU_SYSCALL:
		enter_syscall(k, task);
		return false;
	case CPU_PAGE_FAULT:
		page_fault(k, task, &event);
		return false;
	case CPU_EXCEPTION:
		exception(k, task, &event);
		return false;
	case CPU_INT80:		/* the 32-bit interface is not there: docs/differences.md */
		cpu_context_set_rax(k->cpu, task->cpu, (uint64_t)-ENOSYS);
		return false;
	case CPU_KICK:
		return kick(k, task);
	}
	return false;
}

/* Until it sleeps, ends, or its turn is over. */
int run_task(struct kernel *k, struct task_struct *task)
{
	int error = 0;
	bool turn_over = false;

	k->current = task;
	task->slice_start_ns = monotonic_ns();
	if (task->pid != k->last_pid)
		k->nr_switches++;
	k->last_pid = task->pid;
	while (task->state == TASK_RUNNING && !turn_over) {
		if (task->in_syscall && !task->interrupted) {
			continue_syscall(task);
			if (k->resched) {
				k->resched = false;
				turn_over = true;
			}
		} else if (task->notify) {
			do_signals(task);
			task->interrupted = false;
		} else {
			turn_over = run_user(k, task, &error);
		}
	}
	k->current = NULL;
	if (task->state == TASK_DEAD) {
		task_free(task);
		return error;
	}
	account_time(task);
	if (task->state == TASK_RUNNING) {
		if (!list_empty(&k->run_queue))
			task->nivcsw++;
		task_make_runnable(task);
	}
	return error;
}
