/* SPDX-License-Identifier: MIT */
/*
 * What the files of /proc/PID say, in the kernel's format. Those of an address space come from the library;
 * status is the host's own, with what differs put in its place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kfile.h"
#include "procfs.h"
#include "vdso.h"
#include "task.h"

#define CLOCK_TICK_NS 10000000ull
#define PAGE_SIZE 4096ull

/* ---- states and times of a task */

static char state_letter(const struct task_struct *t)
{
	if (t->state == TASK_ZOMBIE || t->state == TASK_DEAD)
		return 'Z';
	if (t->state == TASK_STOPPED || t->signal->stopped)
		return 'T';
	return t->state == TASK_WAITING ? 'S' : 'R';
}

static const char *state_name(char letter)
{
	return letter == 'Z' ? "zombie" : letter == 'T' ? "stopped" : letter == 'S' ? "sleeping" : "running";
}

static int parent_pid(const struct task_struct *t)
{
	const struct task_struct *parent = t->signal->parent_leader;

	return parent ? parent->tgid : t->kernel->host_ppid;
}

static void signal_sets(const struct task_struct *t, uint64_t *ignored, uint64_t *caught)
{
	*ignored = *caught = 0;
	for (int sig = 1; sig <= 64 && t->sighand; sig++) {
		uint64_t handler = t->sighand->action[sig].handler;

		if (handler == 1)
			*ignored |= SIGMASK(sig);
		else if (handler)
			*caught |= SIGMASK(sig);
	}
}

/* ---- status: the host's own, with what differs put in its place */

struct status_line {
	const char *key;	/* with its colon */
	void (*show)(struct task_struct *t, struct text *out);
};

static void show_name(struct task_struct *t, struct text *out)
{
	text_printf(out, "%s", t->comm);
}

static void show_umask(struct task_struct *t, struct text *out)
{
	text_printf(out, "%#04o", t->fs ? t->fs->umask : 0);
}

static void show_state(struct task_struct *t, struct text *out)
{
	text_printf(out, "%c (%s)", state_letter(t), state_name(state_letter(t)));
}

static void show_tgid(struct task_struct *t, struct text *out)
{
	text_printf(out, "%d", t->tgid);
}

static void show_pid(struct task_struct *t, struct text *out)
{
	text_printf(out, "%d", t->pid);
}

static void show_ppid(struct task_struct *t, struct text *out)
{
	text_printf(out, "%d", parent_pid(t));
}

static void show_pgid(struct task_struct *t, struct text *out)
{
	text_printf(out, "%d", t->signal->pgid);
}

static void show_sid(struct task_struct *t, struct text *out)
{
	text_printf(out, "%d", t->signal->sid);
}

static void show_fdsize(struct task_struct *t, struct text *out)
{
	unsigned n = t->files ? files_size(t->files) : 0;

	text_printf(out, "%u", t->files && n < 64 ? 64 : n);
}

static void show_threads(struct task_struct *t, struct text *out)
{
	text_printf(out, "%u", t->signal->nr_threads ? t->signal->nr_threads : 1);
}

static void show_sigpnd(struct task_struct *t, struct text *out)
{
	text_printf(out, "%016llx", (unsigned long long)t->pending.set);
}

static void show_shdpnd(struct task_struct *t, struct text *out)
{
	text_printf(out, "%016llx", (unsigned long long)t->signal->shared_pending.set);
}

static void show_sigblk(struct task_struct *t, struct text *out)
{
	text_printf(out, "%016llx", (unsigned long long)t->blocked);
}

static void show_sigign(struct task_struct *t, struct text *out)
{
	uint64_t ignored, caught;

	signal_sets(t, &ignored, &caught);
	text_printf(out, "%016llx", (unsigned long long)ignored);
}

static void show_sigcgt(struct task_struct *t, struct text *out)
{
	uint64_t ignored, caught;

	signal_sets(t, &ignored, &caught);
	text_printf(out, "%016llx", (unsigned long long)caught);
}

static void show_nnp(struct task_struct *t, struct text *out)
{
	text_printf(out, "%d", t->no_new_privs);
}

static void show_thp(struct task_struct *t, struct text *out)
{
	text_printf(out, "%d", !t->thp_disable);
}

static void show_nvcsw(struct task_struct *t, struct text *out)
{
	text_printf(out, "%llu", (unsigned long long)t->nvcsw);
}

static void show_nivcsw(struct task_struct *t, struct text *out)
{
	text_printf(out, "%llu", (unsigned long long)t->nivcsw);
}

static const struct status_line status_lines[] = {
	{ "Name:", show_name }, { "Umask:", show_umask }, { "State:", show_state },
	{ "Tgid:", show_tgid }, { "Pid:", show_pid }, { "PPid:", show_ppid },
	{ "FDSize:", show_fdsize }, { "NStgid:", show_tgid }, { "NSpid:", show_pid },
	{ "NSpgid:", show_pgid }, { "NSsid:", show_sid }, { "THP_enabled:", show_thp },
	{ "Threads:", show_threads }, { "SigPnd:", show_sigpnd }, { "ShdPnd:", show_shdpnd },
	{ "SigBlk:", show_sigblk }, { "SigIgn:", show_sigign }, { "SigCgt:", show_sigcgt },
	{ "NoNewPrivs:", show_nnp }, { "voluntary_ctxt_switches:", show_nvcsw },
	{ "nonvoluntary_ctxt_switches:", show_nivcsw },
};

static bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static bool is_memory_line(const char *line)
{
	return starts_with(line, "Vm") || starts_with(line, "Rss") || starts_with(line, "HugetlbPages");
}

static void show_status_line(struct task_struct *t, struct text *out, const char *line, size_t n)
{
	for (size_t i = 0; i < sizeof(status_lines) / sizeof(status_lines[0]); i++) {
		const struct status_line *l = &status_lines[i];

		if (!starts_with(line, l->key))
			continue;
		text_printf(out, "%s\t", l->key);
		l->show(t, out);
		text_add(out, "\n", 1);
		return;
	}
	text_add(out, line, n);
}

static int show_status(struct task_struct *t, struct text *out, int fd)
{
	struct text host = { 0 };
	bool memory_done = !t->mm, hugetlb = false;
	int err = text_host_file(&host, "/proc/self/status");

	text_add(&host, "", 1);
	for (char *line = host.p, *end; !err && (end = strchr(line, '\n')); line = end + 1) {
		if (!is_memory_line(line)) {
			if (t->mm || !(starts_with(line, "CoreDumping") || starts_with(line, "THP_") ||
				       starts_with(line, "untag_mask")))
				show_status_line(t, out, line, end + 1 - line);
			continue;
		}
		if (!memory_done) {
			size_t before = out->n;

			err = aspace_print_status(t->mm, text_add, out);
			text_add(out, "", 1);
			out->n--;
			hugetlb = strstr(out->p + before, "HugetlbPages");
			memory_done = true;
		}
		if (t->mm && !hugetlb && starts_with(line, "HugetlbPages"))
			text_add(out, line, end + 1 - line);
	}
	text_free(&host);
	return err;
}

/* ---- stat and statm */

static int show_stat(struct task_struct *t, struct text *out, int fd)
{
	struct aspace_layout l = { .size = sizeof(l) };
	struct aspace_mm_stats ms = { .size = sizeof(ms) };
	struct signal_struct *sig = t->signal;
	uint64_t ignored, caught, rss = 0;
	int pgrp = tty_foreground_pgrp(t->kernel);

	if (t->mm) {
		aspace_mm_layout(t->mm, &l);
		aspace_mm_stats(t->mm, &ms);
		rss = ms.rss_anon + ms.rss_file + ms.rss_shmem;
	}
	signal_sets(t, &ignored, &caught);
	text_printf(out, "%d (%s) %c %d %d %d %d %d %u ", t->pid, t->comm, state_letter(t), parent_pid(t),
		    sig->pgid, sig->sid, tty_nr_of(t), pgrp ? pgrp : -1, 0x400000u);
	text_printf(out, "%llu %llu %llu %llu ", (unsigned long long)(t->min_flt + sig->min_flt),
		    (unsigned long long)sig->cmin_flt, (unsigned long long)(t->maj_flt + sig->maj_flt),
		    (unsigned long long)sig->cmaj_flt);
	text_printf(out, "%llu 0 %llu 0 %d %d %u 0 %llu %llu %llu %llu ",
		    (unsigned long long)(process_cputime(sig) / CLOCK_TICK_NS),
		    (unsigned long long)(sig->cutime_ns / CLOCK_TICK_NS), 20 + t->nice, t->nice,
		    sig->nr_threads ? sig->nr_threads : 1, (unsigned long long)(t->start_ns / CLOCK_TICK_NS),
		    (unsigned long long)(ms.total_vm * PAGE_SIZE), (unsigned long long)rss,
		    (unsigned long long)sig->rlim[5].cur);
	text_printf(out, "%llu %llu %llu 0 0 ", (unsigned long long)l.start_code,
		    (unsigned long long)l.end_code, (unsigned long long)l.start_stack);
	text_printf(out, "%llu %llu %llu %llu 0 0 0 %d 0 0 0 0 0 0 ", (unsigned long long)t->pending.set & 0x7fffffff,
		    (unsigned long long)t->blocked & 0x7fffffff, (unsigned long long)ignored & 0x7fffffff,
		    (unsigned long long)caught & 0x7fffffff, t->exit_signal);
	text_printf(out, "%llu %llu %llu %llu %llu %llu %llu %d\n", (unsigned long long)l.start_data,
		    (unsigned long long)l.end_data, (unsigned long long)l.start_brk,
		    (unsigned long long)l.arg_start, (unsigned long long)l.arg_end,
		    (unsigned long long)l.env_start, (unsigned long long)l.env_end, sig->exit_code);
	return 0;
}

static int show_statm(struct task_struct *t, struct text *out, int fd)
{
	return t->mm ? aspace_print_statm(t->mm, text_add, out) : text_printf(out, "0 0 0 0 0 0 0\n");
}

/* ---- memory, as the library prints it: the areas, one by one */

static int show_areas(enum aspace_listing listing, struct aspace_mm *mm, struct text *out, uint64_t *addr)
{
	return mm ? aspace_print_area(mm, listing, addr, text_add, out) : 0;
}

/* After them comes the one that no list has. */
static int show_vsyscall(int (*print)(aspace_emit emit, void *priv), struct aspace_mm *mm, struct text *out,
			 uint64_t *addr)
{
	if (!mm || *addr > VSYSCALL_ADDR)
		return 0;
	*addr = VSYSCALL_ADDR + 1;
	print(text_add, out);
	return 1;
}

static int show_maps(void *mm, struct text *out, uint64_t *addr)
{
	int more = show_areas(ASPACE_MAPS, mm, out, addr);

	return more ? more : show_vsyscall(print_vsyscall_maps, mm, out, addr);
}

static int show_smaps(void *mm, struct text *out, uint64_t *addr)
{
	int more = show_areas(ASPACE_SMAPS, mm, out, addr);

	return more ? more : show_vsyscall(print_vsyscall_smaps, mm, out, addr);
}

static int show_numa_maps(void *mm, struct text *out, uint64_t *addr)
{
	return show_areas(ASPACE_NUMA_MAPS, mm, out, addr);
}

static int show_smaps_rollup(void *mm, struct text *out, uint64_t *index)
{
	if (!mm)
		return -ESRCH;
	if (*index)
		return 0;
	*index = 1;
	aspace_print_smaps_rollup(mm, text_add, out);
	return 1;
}

static int add_memory(struct task_struct *t, struct text *out, uint64_t start, uint64_t end)
{
	char buf[4096];

	while (start < end) {
		size_t n = end - start < sizeof(buf) ? end - start : sizeof(buf);
		int64_t got = aspace_access_remote(t->mm, start, buf, n, ASPACE_FORCE);

		if (got <= 0)
			break;
		if (text_add(out, buf, got))
			return -ENOMEM;
		start += got;
	}
	return 0;
}

/* A program that wrote over its arguments' end (setproctitle) shows one string, into the environment. */
static int show_cmdline(struct task_struct *t, struct text *out, int fd)
{
	struct aspace_layout l = { .size = sizeof(l) };
	size_t args;

	if (!t->mm)
		return 0;
	aspace_mm_layout(t->mm, &l);
	add_memory(t, out, l.arg_start, l.arg_end);
	args = out->n;
	if (args && out->p[args - 1] && l.env_start == l.arg_end) {
		add_memory(t, out, l.env_start, l.env_end);
		out->n = strnlen(out->p, out->n);
	}
	return 0;
}

static int store_clear_refs(struct task_struct *t, char *text)
{
	char *end;
	long what = strtol(text, &end, 10);

	if (end == text || (*end && *end != '\n') || what < 1 || what > 5)
		return -EINVAL;
	return t->mm ? aspace_clear_refs(t->mm, (int)what) : 0;
}

/* ---- small ones */

static int show_comm(struct task_struct *t, struct text *out, int fd)
{
	return text_printf(out, "%s\n", t->comm);
}

static int store_comm(struct task_struct *t, char *text)
{
	snprintf(t->comm, sizeof(t->comm), "%s", text);
	return 0;
}

static int show_oom_score_adj(struct task_struct *t, struct text *out, int fd)
{
	return text_printf(out, "%d\n", t->signal->oom_score_adj);
}

static int store_oom_score_adj(struct task_struct *t, char *text)
{
	char *end;
	long adj = strtol(text, &end, 0);

	if (end == text || (*end && *end != '\n') || adj < -1000 || adj > 1000)
		return -EINVAL;
	t->signal->oom_score_adj = (int)adj;
	return 0;
}

static int show_personality(struct task_struct *t, struct text *out, int fd)
{
	return text_printf(out, "%08x\n", t->personality);
}

static void add_limit(struct text *out, uint64_t value)
{
	if (value == UINT64_MAX)
		text_printf(out, "%-20s ", "unlimited");
	else
		text_printf(out, "%-20llu ", (unsigned long long)value);
}

static int show_limits(struct task_struct *t, struct text *out, int fd)
{
	static const char *const limit[16][2] = {
		{ "Max cpu time", "seconds" }, { "Max file size", "bytes" }, { "Max data size", "bytes" },
		{ "Max stack size", "bytes" }, { "Max core file size", "bytes" },
		{ "Max resident set", "bytes" }, { "Max processes", "processes" },
		{ "Max open files", "files" }, { "Max locked memory", "bytes" },
		{ "Max address space", "bytes" }, { "Max file locks", "locks" },
		{ "Max pending signals", "signals" }, { "Max msgqueue size", "bytes" },
		{ "Max nice priority", NULL }, { "Max realtime priority", NULL },
		{ "Max realtime timeout", "us" },
	};

	text_printf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (int i = 0; i < 16; i++) {
		text_printf(out, "%-25s ", limit[i][0]);
		add_limit(out, t->signal->rlim[i].cur);
		add_limit(out, t->signal->rlim[i].max);
		if (limit[i][1])
			text_printf(out, "%-10s", limit[i][1]);
		text_add(out, "\n", 1);
	}
	return 0;
}

static int show_children(struct task_struct *t, struct text *out, int fd)
{
	struct task_struct *child;

	if (is_leader(t))
		list_for_each_entry(child, &t->signal->children, sibling)
			text_printf(out, "%d ", child->tgid);
	return 0;
}

/* The host's, but for flags and position, which differ from what our descriptor has. */
static int show_fdinfo(struct task_struct *t, struct text *out, int fd)
{
	struct kfile *f = t->files ? files_lookup(t->files, fd) : NULL;
	struct text host = { 0 };
	char path[48];
	int err;

	if (!f)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", f->host_fd);
	err = text_host_file(&host, path);
	text_add(&host, "", 1);
	for (char *line = host.p, *end; !err && (end = strchr(line, '\n')); line = end + 1) {
		unsigned flags;

		if (sscanf(line, "flags: %o", &flags) == 1) {
			flags &= ~(O_NONBLOCK | O_CLOEXEC);
			flags |= (f->nonblock ? O_NONBLOCK : 0) | (files_cloexec(t->files, fd) ? O_CLOEXEC : 0);
			text_printf(out, "flags:\t0%o\n", flags);
		} else if (f->ops && starts_with(line, "pos:")) {
			text_printf(out, "pos:\t%lld\n", (long long)f->pos);
		} else {
			text_add(out, line, end + 1 - line);
		}
	}
	text_free(&host);
	return err;
}

const struct proc_node proc_pid_nodes[] = {
	{ .name = "auxv", .kind = NODE_AUXV },
	{ .name = "children", .kind = NODE_TEXT, .show = show_children },
	{ .name = "clear_refs", .kind = NODE_TEXT, .store = store_clear_refs },
	{ .name = "cmdline", .kind = NODE_TEXT, .show = show_cmdline },
	{ .name = "comm", .kind = NODE_TEXT, .show = show_comm, .store = store_comm },
	{ .name = "environ", .kind = NODE_ENVIRON },
	{ .name = "limits", .kind = NODE_TEXT, .show = show_limits },
	{ .name = "maps", .kind = NODE_AREAS, .show_area = show_maps },
	{ .name = "mem", .kind = NODE_MEM },
	{ .name = "numa_maps", .kind = NODE_AREAS, .show_area = show_numa_maps },
	{ .name = "oom_score_adj", .kind = NODE_TEXT, .show = show_oom_score_adj, .store = store_oom_score_adj },
	{ .name = "pagemap", .kind = NODE_PAGEMAP },
	{ .name = "personality", .kind = NODE_TEXT, .show = show_personality },
	{ .name = "smaps", .kind = NODE_AREAS, .show_area = show_smaps },
	{ .name = "smaps_rollup", .kind = NODE_AREAS, .show_area = show_smaps_rollup },
	{ .name = "stat", .kind = NODE_TEXT, .show = show_stat },
	{ .name = "statm", .kind = NODE_TEXT, .show = show_statm },
	{ .name = "status", .kind = NODE_TEXT, .show = show_status },
};
const size_t proc_pid_nodes_nr = sizeof(proc_pid_nodes) / sizeof(proc_pid_nodes[0]);
const struct proc_node proc_fdinfo_node = { .name = "fdinfo", .kind = NODE_TEXT, .show = show_fdinfo };

bool proc_node_needs_mm(const struct proc_node *node)
{
	return node->kind > NODE_AREAS || node->show_area == show_smaps_rollup;
}

bool proc_node_is_maps(const struct proc_node *node)
{
	return node->show_area == show_maps;
}
