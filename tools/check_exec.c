/* SPDX-License-Identifier: MIT */
/*
 * The kernel's side of aspace check: a process that owns almost nothing, so that its address space
 * is the sequence's alone.
 *
 * It starts as this program, run again without address space randomisation. It maps its own text
 * once more, far up (CHECK_HOME), beside the ring and a new stack, jumps there and unmaps
 * everything else: the C library, the heap, the old stack, the vdso.
 *
 *	0            CHECK_HEAP             CHECK_MMAP_BASE   CHECK_HOME                 TASK_SIZE
 *	|------------[heap ...]---- ... <- placement goes down |   [text][ring][state][stack] |
 *
 * From then on nothing of the C library may be called, no variable with static storage be written,
 * and no pointer in static storage be read (it would still point to the old place). Calls within
 * check_exec*.c and constant tables of numbers are reached relative to the instruction, and work.
 *
 * For each sequence it forks: every sequence starts from the same state, whatever the one before
 * left behind (locks, limits, keys, seals, a growing heap). The child does the sequence and exits.
 */
#include <elf.h>
#include <link.h>
#include <linux/capability.h>

#include "check_exec.h"

/* ---- a life ------------------------------------------------------------------------------------ */

/* The address space is privileged in nothing: limits and mmap_min_addr count. */
static HOME void drop_privileges(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct cap[2];
	static const unsigned drop = 1u << CAP_IPC_LOCK | 1u << CAP_SYS_RAWIO | 1u << CAP_SYS_ADMIN;

	if (SYS(SYS_capget, &head, cap))
		return;
	cap[0].effective &= ~drop;
	cap[0].permitted &= ~drop;
	SYS(SYS_capset, &head, cap);
}

/* The break and the data segment lie where the library puts them. Needs no privilege. */
static HOME bool set_layout(void)
{
	struct prctl_mm_map map;

	exec_zero(&map, sizeof(map));
	map.start_code = map.end_code = CHECK_HOME;
	map.end_code += CHECK_PAGE;
	map.start_data = map.end_data = CHECK_DATA;
	map.start_brk = map.brk = CHECK_HEAP;
	map.start_stack = map.arg_start = map.arg_end = map.env_start = map.env_end = CHECK_STACK;
	map.exe_fd = (uint32_t)-1;
	return !SYS(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
}

static HOME void unmap_all_but_home(void)
{
	SYS(SYS_munmap, 0, CHECK_HOME);
	SYS(SYS_munmap, CHECK_STACK + CHECK_STACK_BYTES,
	    CHECK_TASK_SIZE - CHECK_STACK - CHECK_STACK_BYTES);
}

static HOME void life(struct check_slot *slot)
{
	exec_open_proc();
	ST->slot = slot;
	exec_run(slot, 0, slot->seq.n);
	die(0);
}

static HOME _Noreturn void at_home(void)
{
	int64_t fd;

	SYS(SYS_arch_prctl, 0x1002 /* ARCH_SET_FS */, CHECK_STATE);
	unmap_all_but_home();
	if (!set_layout())
		die(46);
	drop_privileges();
	SYS(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	for (int s = 4; s <= 11; s++)
		if (s == SIGILL || s == SIGTRAP || s == SIGBUS || s == SIGFPE || s == SIGSEGV)
			exec_set_handler(s);
	/* Should a sequence take all memory, let it be ours that goes. */
	fd = SYS(SYS_open, "/proc/self/oom_score_adj", O_WRONLY);
	SYS(SYS_write, fd, "1000", 4);
	SYS(SYS_close, fd);
	exec_open_proc();
	exec_describe_home();
	SYS(SYS_write, FD_REPLY, "here", 4);
	for (;;) {
		unsigned char which;
		int status = 0;
		int64_t pid;

		if (SYS(SYS_read, FD_COMMAND, &which, 1) != 1 || which >= CHECK_SLOTS)
			die(0);
		pid = SYS(SYS_fork);
		if (!pid)
			life(&RING->slot[which]);
		if (pid < 0)
			die(47);
		SYS(SYS_wait4, pid, &status, 0, 0);
		SYS(SYS_write, FD_REPLY, &status, 4);
	}
}

/* ---- moving in: still with the C library ------------------------------------------------------- */

static int map_segments(struct dl_phdr_info *info, size_t size, void *base_out)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t at = ph->p_vaddr & ~(CHECK_PAGE - 1);
		int prot = (ph->p_flags & PF_R ? PROT_READ : 0) | (ph->p_flags & PF_X ? PROT_EXEC : 0);

		if (ph->p_type != PT_LOAD || ph->p_flags & PF_W)
			continue;
		if (at >= CHECK_RING - CHECK_HOME ||
		    mmap((void *)(CHECK_HOME + at), ph->p_vaddr + ph->p_filesz - at, prot,
			 MAP_PRIVATE | MAP_FIXED, fd, (off_t)(ph->p_offset & ~(CHECK_PAGE - 1))) ==
			    MAP_FAILED)
			return -1;
	}
	close(fd);
	*(uint64_t *)base_out = info->dlpi_addr;
	return 1;	/* the first is the program itself */
}

int check_executor_main(int argc, char **argv)
{
	uint64_t base = 0, entry;
	int fds[2];

	if (dl_iterate_phdr(map_segments, &base) != 1)
		return 50;
	if (mmap((void *)CHECK_RING, sizeof(struct check_ring), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, FD_RING, 0) == MAP_FAILED ||
	    mmap((void *)CHECK_STATE, sizeof(struct state), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mmap((void *)CHECK_STACK, CHECK_STACK_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return 51;
	if (pipe(fds))
		return 52;
	dup2(fds[0], FD_PIPE_R);
	dup2(fds[1], FD_PIPE_W);
	if (fcntl(FD_PIPE_R, F_SETFL, O_NONBLOCK) || fcntl(FD_PIPE_W, F_SETFL, O_NONBLOCK))
		return 53;
	entry = (uint64_t)at_home - base + CHECK_HOME;
	__asm__ volatile("mov %0, %%rsp\n\txor %%ebp, %%ebp\n\tcall *%1\n\thlt"
			 :: "r"(CHECK_STACK + CHECK_STACK_BYTES - 64), "r"(entry) : "memory");
	__builtin_unreachable();
}
