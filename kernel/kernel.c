// SPDX-License-Identifier: MIT
/*
 * One machine: RAM and its address spaces (libaspace), a processor, and the tasks that share them.
 * What libaspace asks for through its port, the processor does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "host.h"
#include "task.h"

static void port_flush(void *priv, struct aspace_mm *mm, uint64_t start, uint64_t end)
{
	struct kernel *k = priv;

	if (!k->cpu)
		return;
	if (start == 0 && end == UINT64_MAX)
		cpu_flush_tlb(k->cpu);
	else
		cpu_flush_tlb_range(k->cpu, aspace_mm_root(mm), start, end);
}

static void port_code_changed(void *priv, uint64_t phys, uint64_t size)
{
	struct kernel *k = priv;

	if (k->cpu)
		cpu_invalidate_code(k->cpu, phys, size);
}

/* ---- random bytes -------------------------------------------------------------------------- */

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

/* xoshiro256** (Blackman and Vigna, public domain): repeatable, not secret. */
static uint64_t random_next(uint64_t s[4])
{
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

static void random_seed(uint64_t s[4], uint64_t seed)
{
	for (int i = 0; i < 4; i++) {	/* splitmix64 */
		uint64_t z = seed += 0x9e3779b97f4a7c15ull;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
		s[i] = z ^ (z >> 31);
	}
}

void kernel_random(struct kernel *k, void *buf, size_t n)
{
	unsigned char *out = buf;

	while (n) {
		uint64_t word = random_next(k->random_state);
		size_t some = n < sizeof(word) ? n : sizeof(word);

		memcpy(out, &word, some);
		out += some;
		n -= some;
	}
}

/* ---- from the first task to the last -------------------------------------------------------- */

static int create_machine(struct kernel *k)
{
	const struct aspace_port port = {
		.size = sizeof(port),
		.priv = k,
		.flush = port_flush,
		.code_changed = port_code_changed,
	};
	const struct aspace_machine_options options = {
		.size = sizeof(options),
		.ram_bytes = k->options.ram_bytes,
		.format = k->options.format,
		.index = k->options.index,
		.port = &port,
		.fault_around_bytes = k->options.fault_around_kib * 1024ull,
		.thp_align = 1,
	};

	return aspace_machine_create(&options, &k->machine);
}

static int create_cpu(struct kernel *k)
{
	struct cpu_ram ram = { .phys = 0 };
	struct cpu_options options = {
		.ram = &ram,
		.nr_ram = 1,
		.la57 = k->options.format == ASPACE_X86_64_5LEVEL,
	};

	ram.host = aspace_machine_ram(k->machine, &ram.size, NULL);
	return cpu_create(&options, &k->cpu);
}

/* Before our own settings: what the first program inherits. */
static uint64_t ignored_signals(void)
{
	uint64_t set = 0;

	for (int sig = 1; sig <= 64; sig++) {
		struct sigaction action;

		if (sigaction(sig, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			set |= SIGMASK(sig);
	}
	return set;
}

int kernel_create(const struct kernel_options *options, struct kernel **kernel)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int error;

	if (!k)
		return -ENOMEM;
	k->options = *options;
	if (!k->options.log)
		k->options.log = stderr;
	if (!k->options.preempt_us)
		k->options.preempt_us = 10000;
	k->logging = options->log_mm || options->strace;
	k->next_tick_ns = UINT64_MAX;
	k->event_fd = -1;
	INIT_LIST_HEAD(&k->tasks);
	INIT_LIST_HEAD(&k->run_queue);
	INIT_LIST_HEAD(&k->fd_waiters);
	INIT_LIST_HEAD(&k->timers);
	INIT_LIST_HEAD(&k->inodes);
	futex_init();
	random_seed(k->random_state, options->seed ? options->seed : 1);
	k->boot_ns = monotonic_ns();
	k->host_ignored = ignored_signals();
	k->first_umask = files_early_init ? files_early_init() : 022;
	host_early_init();
	error = create_machine(k);
	if (!error)
		error = create_cpu(k);
	if (!error)
		error = host_init(k);
	if (error) {
		kernel_destroy(k);
		return error;
	}
	*kernel = k;
	return 0;
}

/*
 * The first program has ended and others go on. Who started us sees its end now, as natively: we
 * leave, and a copy of ourselves runs the others. True in the one that leaves; where there can be no
 * copy nobody leaves, and the end is seen when the last one ends.
 */
static bool leave_orphans(struct kernel *k)
{
	pid_t pid;

	inodes_sync(k);
	fflush(NULL);
	pid = fork();
	k->is_copy = pid == 0;
	if (k->is_copy)
		host_after_fork(k);
	return pid > 0;
}

int kernel_run(struct kernel *k)
{
	struct task_struct *task;

	while ((task = schedule(k))) {
		int error = run_task(k, task);

		if (error)
			return error;
		if (!k->init && k->nr_tasks && !k->orphans) {
			k->orphans = true;
			k->abandoned = leave_orphans(k);
			if (k->abandoned)
				break;
		}
	}
	return k->init_status;
}

void kernel_destroy(struct kernel *k)
{
	if (k->abandoned)	/* RAM and files are the copy's now */
		return;
	host_exit();
	if (k->machine) {
		inodes_sync(k);
		inodes_destroy(k);
	}
	if (k->cpu)
		cpu_destroy(k->cpu);
	k->cpu = NULL;
	if (k->machine)
		aspace_machine_destroy(k->machine);
	free(k);
}
