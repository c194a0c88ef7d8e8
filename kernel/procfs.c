/* SPDX-License-Identifier: MIT */
/*
 * /proc as guests see it: their own processes instead of the host's, and the host's everything else.
 *
 * A path in /proc is walked here, component by component. It ends as one of:
 *
 *   - a path of the host that means the same (/proc/cpuinfo stays; /proc/42/mountinfo is our own
 *     /proc/self/mountinfo; /proc/self/fd/3/x, /proc/42/cwd/x and /proc/42/exe start at a host
 *     descriptor we hold);
 *   - a node that is made here: p->proc_node with the guest (proc_pid, proc_tid). p->name is then the
 *     host's file of the same name, which answers stat(2), access(2) and the like.
 *
 * Text is made when it is read from its start, as a whole, and read on from there.
 */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kfile.h"
#include "proc_query.h"
#include "syscalls_fs.h"
#include "vdso.h"
#include "task.h"

#define CLOCK_TICK_NS 10000000ull
#define PAGE_SIZE 4096ull

/* ---- text that grows */

struct text {
	char *p;
	size_t n, room;
};

static int text_add(void *priv, const char *s, size_t n)
{
	struct text *t = priv;

	if (t->n + n > t->room) {
		size_t room = (t->n + n) * 2 + 1024;
		char *p = realloc(t->p, room);

		if (!p)
			return -ENOMEM;
		t->p = p;
		t->room = room;
	}
	memcpy(t->p + t->n, s, n);
	t->n += n;
	return 0;
}

__attribute__((format(printf, 2, 3)))
static int text_printf(struct text *t, const char *format, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	return text_add(t, line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}

/* A whole file of the host. */
static int text_host_file(struct text *t, const char *path)
{
	char buf[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (text_add(t, buf, n))
			break;
	close(fd);
	return n < 0 ? -errno : 0;
}

/* ---- what the nodes are */

enum node_kind {
	NODE_ROOT, NODE_SELF, NODE_THREAD_SELF, NODE_PID, NODE_TASKS, NODE_FDS, NODE_FDINFOS,	/* directories */
	NODE_TEXT, NODE_MEM, NODE_PAGEMAP,
};
struct proc_node {
	const char *name;	/* below the pid directory */
	enum node_kind kind;
	int (*show)(struct task_struct *t, struct text *text, int fd);
	int (*store)(struct task_struct *t, char *text);	/* NUL-terminated */
};

/* An open node: kfile->priv. */
struct proc_file {
	const struct proc_node *node;
	int pid, tid, fd;
	struct text text;	/* also of directory entries */
	bool made;
};

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
	free(host.p);
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

/* ---- memory, as the library prints it. Nothing is mapped by a zombie. */

static int show_maps(struct task_struct *t, struct text *out, int fd)
{
	int error = t->mm ? aspace_print_maps(t->mm, text_add, out) : 0;

	return error || !t->mm ? error : print_vsyscall_maps(text_add, out);
}

static int show_smaps(struct task_struct *t, struct text *out, int fd)
{
	int error = t->mm ? aspace_print_smaps(t->mm, text_add, out) : 0;

	return error || !t->mm ? error : print_vsyscall_smaps(text_add, out);
}

static int show_smaps_rollup(struct task_struct *t, struct text *out, int fd)
{
	return t->mm ? aspace_print_smaps_rollup(t->mm, text_add, out) : -ESRCH;
}

static int show_numa_maps(struct task_struct *t, struct text *out, int fd)
{
	return t->mm ? aspace_print_numa_maps(t->mm, text_add, out) : 0;
}

static int show_auxv(struct task_struct *t, struct text *out, int fd)
{
	char auxv[1024];
	size_t n = t->mm ? aspace_mm_auxv(t->mm, auxv, sizeof(auxv)) : 0;

	return text_add(out, auxv, n < sizeof(auxv) ? n : sizeof(auxv));
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

static int show_environ(struct task_struct *t, struct text *out, int fd)
{
	struct aspace_layout l = { .size = sizeof(l) };

	if (!t->mm)
		return 0;
	aspace_mm_layout(t->mm, &l);
	return add_memory(t, out, l.env_start, l.env_end);
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
	free(host.p);
	return err;
}

static const struct proc_node pid_nodes[] = {
	{ "auxv", NODE_TEXT, show_auxv, NULL },
	{ "children", NODE_TEXT, show_children, NULL },
	{ "clear_refs", NODE_TEXT, NULL, store_clear_refs },
	{ "cmdline", NODE_TEXT, show_cmdline, NULL },
	{ "comm", NODE_TEXT, show_comm, store_comm },
	{ "environ", NODE_TEXT, show_environ, NULL },
	{ "limits", NODE_TEXT, show_limits, NULL },
	{ "maps", NODE_TEXT, show_maps, NULL },
	{ "mem", NODE_MEM, NULL, NULL },
	{ "numa_maps", NODE_TEXT, show_numa_maps, NULL },
	{ "oom_score_adj", NODE_TEXT, show_oom_score_adj, store_oom_score_adj },
	{ "pagemap", NODE_PAGEMAP, NULL, NULL },
	{ "personality", NODE_TEXT, show_personality, NULL },
	{ "smaps", NODE_TEXT, show_smaps, NULL },
	{ "smaps_rollup", NODE_TEXT, show_smaps_rollup, NULL },
	{ "stat", NODE_TEXT, show_stat, NULL },
	{ "statm", NODE_TEXT, show_statm, NULL },
	{ "status", NODE_TEXT, show_status, NULL },
};
static const struct proc_node node_root = { "", NODE_ROOT, NULL, NULL };
static const struct proc_node node_self = { "", NODE_SELF, NULL, NULL };
static const struct proc_node node_thread_self = { "", NODE_THREAD_SELF, NULL, NULL };
static const struct proc_node node_pid = { "", NODE_PID, NULL, NULL };
static const struct proc_node node_tasks = { "task", NODE_TASKS, NULL, NULL };
static const struct proc_node node_fds = { "fd", NODE_FDS, NULL, NULL };
static const struct proc_node node_fdinfos = { "fdinfo", NODE_FDINFOS, NULL, NULL };
static const struct proc_node node_fdinfo = { "fdinfo", NODE_TEXT, show_fdinfo, NULL };

/* ---- walking a path */

struct walk {
	struct task_struct *task;	/* who asks */
	struct pathname *p;
	char path[PATH_MAX];
	const char *rest;	/* not walked yet, begins with a component or is empty */
	int pid, tid;		/* tid 0: the process, not one of its threads */
};

/* Cuts off the next component; false: there is none. */
static bool next_component(struct walk *w, char *name, size_t size)
{
	for (;;) {
		size_t n;

		while (*w->rest == '/')
			w->rest++;
		n = strcspn(w->rest, "/");
		if (!n)
			return false;
		snprintf(name, size, "%.*s", (int)n, w->rest);
		w->rest += n;
		if (strcmp(name, "."))
			return true;
	}
}

static int number(const char *s)
{
	char *end;
	long n = *s >= '0' && *s <= '9' ? strtol(s, &end, 10) : -1;

	return n < 0 || *end || n > INT_MAX ? -1 : (int)n;
}

static bool more(struct walk *w)
{
	while (*w->rest == '/')
		w->rest++;
	return *w->rest;
}

/* The path goes on, or ends, at a path of the host. */
static int at_host(struct walk *w, const char *path)
{
	if (snprintf(w->p->name, PATH_MAX, "%s%s%s", path, more(w) ? "/" : "", w->rest) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static int at_host_fd(struct walk *w, int fd)
{
	char path[48];

	if (fd < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return at_host(w, path);
}

static int at_node(struct walk *w, const struct proc_node *node, const char *host)
{
	if (more(w) && node->kind >= NODE_TEXT)
		return -ENOTDIR;
	w->p->proc_node = node;
	w->p->proc_pid = w->pid ? w->pid : -1;
	w->p->proc_tid = w->tid;
	snprintf(w->p->name, PATH_MAX, "%s", host);
	return 0;
}

static struct task_struct *walked_task(struct walk *w)
{
	return find_task(w->task->kernel, w->tid ? w->tid : w->pid);
}

static int walk_root(struct walk *w);
static int walk_pid(struct walk *w);

static int walk_tasks(struct walk *w)
{
	char name[NAME_MAX + 1];
	struct task_struct *t;

	if (!next_component(w, name, sizeof(name)))
		return at_node(w, &node_tasks, "/proc/self/task");
	if (!strcmp(name, ".."))
		return walk_pid(w);
	t = find_task(w->task->kernel, number(name));
	if (!t || t->tgid != w->pid)
		return -ENOENT;
	w->tid = t->pid;
	return walk_pid(w);
}

static int walk_fds(struct walk *w, bool info)
{
	char name[NAME_MAX + 1];
	struct task_struct *t = walked_task(w);
	struct kfile *f;
	int fd;

	if (!next_component(w, name, sizeof(name)))
		return info ? at_node(w, &node_fdinfos, "/proc/self/fdinfo") : at_node(w, &node_fds, "/proc/self/fd");
	if (!strcmp(name, ".."))
		return walk_pid(w);
	fd = number(name);
	f = t->files ? files_lookup(t->files, fd) : NULL;
	if (!f)
		return -ENOENT;
	w->p->proc_fd = fd;
	if (!info) {
		int err = at_host_fd(w, f->host_fd);

		if (f->name && !*w->rest)	/* proc_readlink and proc_open need to know */
			w->p->proc_pid = w->pid, w->p->proc_tid = w->tid;
		return err;
	}
	snprintf(w->p->name, PATH_MAX, "/proc/self/fdinfo/%d", f->host_fd);
	return at_node(w, &node_fdinfo, w->p->name);
}

static int exe_fd(struct task_struct *t)
{
	struct aspace_file *exe = t->mm ? aspace_mm_exe_file(t->mm) : NULL;
	int fd;

	if (!exe)
		return -1;
	fd = mapped_host_fd(exe);
	aspace_file_put(exe);
	return fd;
}

static int walk_pid(struct walk *w)
{
	char name[NAME_MAX + 1], host[NAME_MAX + 32];
	struct task_struct *t = walked_task(w);

	if (!t)
		return -ENOENT;
	if (!next_component(w, name, sizeof(name))) {
		snprintf(host, sizeof(host), "/proc/%d", getpid());
		return at_node(w, &node_pid, host);
	}
	if (!strcmp(name, "..")) {
		if (!w->tid)
			return walk_root(w);
		w->tid = 0;
		return walk_tasks(w);
	}
	if (!strcmp(name, "task") && !w->tid)
		return walk_tasks(w);
	if (!strcmp(name, "fd") || !strcmp(name, "fdinfo"))
		return walk_fds(w, name[2]);
	if (!strcmp(name, "exe"))
		return at_host_fd(w, exe_fd(t));
	if (!strcmp(name, "cwd"))
		return at_host_fd(w, t->fs ? t->fs->cwd_fd : -1);
	if (!strcmp(name, "map_files"))
		return -ENOENT;
	if (!strcmp(name, "children"))
		snprintf(host, sizeof(host), "/proc/self/task/%d/children", getpid());
	else
		snprintf(host, sizeof(host), "/proc/self/%s", name);
	for (size_t i = 0; i < sizeof(pid_nodes) / sizeof(pid_nodes[0]); i++)
		if (!strcmp(name, pid_nodes[i].name))
			return at_node(w, &pid_nodes[i], host);
	return at_host(w, host);
}

static int walk_root(struct walk *w)
{
	const char *before = w->rest;
	char name[NAME_MAX + 1];

	w->pid = w->tid = 0;
	if (!next_component(w, name, sizeof(name)))
		return at_node(w, &node_root, "/proc");
	if (!strcmp(name, "self") || !strcmp(name, "thread-self")) {
		bool thread = name[0] == 't';

		w->pid = w->task->tgid;
		w->tid = thread ? w->task->pid : 0;
		if (!more(w))
			return at_node(w, thread ? &node_thread_self : &node_self,
				       thread ? "/proc/thread-self" : "/proc/self");
		return walk_pid(w);
	}
	if (number(name) >= 0) {
		struct task_struct *t = find_task(w->task->kernel, number(name));

		if (!t)
			return -ENOENT;
		w->pid = t->tgid;
		w->tid = is_leader(t) ? 0 : t->pid;
		return walk_pid(w);
	}
	while (*before == '/')
		before++;
	w->rest = before;
	return at_host(w, "/proc");
}

/* The guest's standard names for its own descriptors. */
static int walk_dev(struct walk *w)
{
	static const char *const std[] = { "stdin", "stdout", "stderr" };
	char name[NAME_MAX + 1];

	w->pid = w->task->tgid;
	if (!next_component(w, name, sizeof(name)))
		return 0;
	if (!strcmp(name, "fd") && more(w))
		return walk_fds(w, false);
	for (int i = 0; i < 3; i++)
		if (!strcmp(name, std[i])) {
			struct kfile *f = fcheck(w->task, i);

			w->p->proc_fd = i;
			return at_host_fd(w, f ? f->host_fd : -1);
		}
	if (!strcmp(name, "fd"))
		return at_node(w, &node_fds, "/proc/self/fd");
	return 0;
}

int proc_lookup(struct task_struct *task, struct pathname *p)
{
	struct walk w = { .task = task, .p = p };
	const char *s = p->name + strspn(p->name, "/");
	bool proc = !strncmp(s, "proc", 4) && (s[4] == '/' || !s[4]);

	if (!proc && strncmp(s, "dev/fd", 6) && strncmp(s, "dev/std", 7))
		return 0;
	memcpy(w.path, p->name, strlen(p->name) + 1);
	w.rest = w.path + (s - p->name) + (proc ? 4 : 3);
	return proc ? walk_root(&w) : walk_dev(&w);
}

bool proc_is_virtual(const struct pathname *p)
{
	return p->proc_node || (p->proc_pid && p->proc_fd >= 0);
}

int64_t proc_readlink(struct task_struct *task, struct pathname *p, char *buf, size_t n)
{
	struct task_struct *t;
	struct kfile *f;

	if (p->proc_node && p->proc_node->kind == NODE_SELF)
		return snprintf(buf, n, "%d", task->tgid);
	if (p->proc_node && p->proc_node->kind == NODE_THREAD_SELF)
		return snprintf(buf, n, "%d/task/%d", task->tgid, task->pid);
	if (p->proc_node || !p->proc_pid || p->proc_fd < 0)
		return 0;
	t = find_task(task->kernel, p->proc_tid ? p->proc_tid : p->proc_pid);
	f = t && t->files ? files_lookup(t->files, p->proc_fd) : NULL;
	return f && f->name ? snprintf(buf, n, "%s", f->name) : 0;
}

/* ---- open nodes */

static struct task_struct *task_of(struct task_struct *task, struct proc_file *pf)
{
	return find_task(task->kernel, pf->tid ? pf->tid : pf->pid);
}

static int64_t read_text(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	struct proc_file *pf = f->priv;
	struct task_struct *t = task_of(task, pf);

	if (!pf->made || pos == 0) {
		int err;

		if (!t)
			return -ESRCH;
		if (!pf->node->show)
			return -EINVAL;
		pf->text.n = 0;
		err = pf->node->show(t, &pf->text, pf->fd);
		if (err < 0)
			return err;
		pf->made = true;
	}
	if (pos >= pf->text.n)
		return 0;
	if (n > pf->text.n - pos)
		n = pf->text.n - pos;
	memcpy(buf, pf->text.p + pos, n);
	return n;
}

static int64_t write_text(struct kfile *f, struct task_struct *task, uint64_t pos, const void *buf, size_t n)
{
	struct proc_file *pf = f->priv;
	struct task_struct *t = task_of(task, pf);
	char text[64];
	int err;

	if (!t)
		return -ESRCH;
	if (!pf->node->store)
		return -EINVAL;
	snprintf(text, sizeof(text), "%.*s", (int)(n < 63 ? n : 63), (const char *)buf);
	err = pf->node->store(t, text);
	return err < 0 ? err : (int64_t)n;
}

static int64_t access_mem(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n, bool write)
{
	struct task_struct *t = task_of(task, f->priv);
	int64_t r;

	if (!t || !t->mm)
		return 0;
	r = aspace_access_remote(t->mm, pos, buf, n, ASPACE_FORCE | (write ? ASPACE_WRITE : 0));
	return r <= 0 ? -EIO : r;
}

static int64_t read_mem(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	return access_mem(f, task, pos, buf, n, false);
}

static int64_t write_mem(struct kfile *f, struct task_struct *task, uint64_t pos, const void *buf, size_t n)
{
	return access_mem(f, task, pos, (void *)buf, n, true);
}

static int64_t read_pagemap(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	struct task_struct *t = task_of(task, f->priv);
	struct aspace_layout l = { .size = sizeof(l) };
	uint64_t page = pos / 8, left;
	int64_t r;

	if (pos % 8 || n % 8)
		return -EINVAL;
	if (!t || !t->mm)
		return 0;
	aspace_mm_layout(t->mm, &l);
	if (page >= l.task_size / PAGE_SIZE)
		return 0;
	left = l.task_size / PAGE_SIZE - page;
	r = aspace_pagemap_read(t->mm, page * PAGE_SIZE, buf, n / 8 < left ? n / 8 : left);
	return r < 0 ? r : r * 8;
}

/* ---- directories */

static void add_entry(struct text *out, ino_t ino, unsigned char type, const char *name)
{
	size_t n = offsetof(struct dirent64, d_name) + strlen(name) + 1;
	struct dirent64 d = { .d_ino = ino, .d_type = type };

	d.d_reclen = (n + 7) & ~7ul;
	d.d_off = out->n + d.d_reclen;
	snprintf(d.d_name, sizeof(d.d_name), "%s", name);
	text_add(out, (char *)&d, d.d_reclen);
}

static void add_number(struct text *out, int n, unsigned char type)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", n);
	add_entry(out, 1000000 + n, type, name);
}

/* The names of a host directory, without numbers. */
static void add_host_names(struct text *out, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;

	if (!dir)
		return;
	while ((d = readdir(dir)))
		if (number(d->d_name) < 0)
			add_entry(out, d->d_ino, d->d_type, d->d_name);
	closedir(dir);
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Pids of processes (tgid 0) or of the threads of one, in order. */
static void add_pids(struct kernel *k, struct text *out, int tgid)
{
	struct task_struct *t;
	size_t n = 0, room = 64;
	int *pid = malloc(room * sizeof(*pid));

	list_for_each_entry(t, &k->tasks, tasks) {
		if (tgid ? t->tgid != tgid : !is_leader(t))
			continue;
		if (n == room) {
			int *bigger = realloc(pid, 2 * room * sizeof(*pid));

			if (!bigger)
				break;
			pid = bigger;
			room *= 2;
		}
		if (pid)
			pid[n++] = t->pid;
	}
	qsort(pid, n, sizeof(*pid), compare_ints);
	for (size_t i = 0; i < n; i++)
		add_number(out, pid[i], DT_DIR);
	free(pid);
}

static void add_fds(struct task_struct *t, struct text *out, unsigned char type)
{
	for (int fd = 0; t->files && (fd = files_next(t->files, fd)) >= 0; fd++)
		add_number(out, fd, type);
}

static void add_dots(struct text *out)
{
	add_entry(out, 1, DT_DIR, ".");
	add_entry(out, 1, DT_DIR, "..");
}

static int make_entries(struct task_struct *task, struct proc_file *pf)
{
	struct task_struct *t = pf->node->kind == NODE_ROOT ? task : task_of(task, pf);
	struct text *out = &pf->text;

	if (!t)
		return -ENOENT;
	out->n = 0;
	switch (pf->node->kind) {
	case NODE_ROOT:
		add_host_names(out, "/proc");
		add_pids(task->kernel, out, 0);
		return 0;
	case NODE_TASKS:
		add_dots(out);
		add_pids(task->kernel, out, t->tgid);
		return 0;
	case NODE_FDS:
		add_dots(out);
		add_fds(t, out, DT_LNK);
		return 0;
	case NODE_FDINFOS:
		add_dots(out);
		add_fds(t, out, DT_REG);
		return 0;
	default:
		add_host_names(out, pf->tid ? "/proc/thread-self" : "/proc/self");
		return 0;
	}
}

static int64_t read_dir(struct kfile *f, struct task_struct *task, void *buf, size_t n)
{
	struct proc_file *pf = f->priv;
	size_t done = 0;

	if (!f->pos || !pf->made) {
		int err = make_entries(task, pf);

		if (err)
			return err;
		pf->made = true;
	}
	while (f->pos < pf->text.n) {
		const struct dirent64 *d = (const void *)(pf->text.p + f->pos);

		if (d->d_reclen > n - done)
			return done ? (int64_t)done : -EINVAL;
		memcpy((char *)buf + done, d, d->d_reclen);
		done += d->d_reclen;
		f->pos += d->d_reclen;
	}
	return done;
}

static void release(struct kfile *f)
{
	struct proc_file *pf = f->priv;

	free(pf->text.p);
	free(pf);
}

/* PROCMAP_QUERY of maps, PAGEMAP_SCAN of pagemap. */
static int64_t query_maps(struct kfile *f, struct task_struct *task, unsigned cmd, uint64_t arg)
{
	struct proc_file *pf = f->priv;
	struct task_struct *t = task_of(task, pf);

	if (pf->node->show != show_maps || cmd != PROCMAP_QUERY)
		return -ENOIOCTLCMD;
	return t && t->mm ? procmap_query(task, t->mm, arg) : -ESRCH;
}

static int64_t scan_pagemap(struct kfile *f, struct task_struct *task, unsigned cmd, uint64_t arg)
{
	struct task_struct *t = task_of(task, f->priv);

	if (cmd != PAGEMAP_SCAN)
		return -ENOIOCTLCMD;
	return t && t->mm ? pagemap_scan(task, t->mm, arg) : -ESRCH;
}

static const struct kfile_ops text_ops = {
	.read = read_text, .write = write_text, .ioctl = query_maps, .release = release,
};
static const struct kfile_ops mem_ops = { .read = read_mem, .write = write_mem, .release = release };
static const struct kfile_ops pagemap_ops = { .read = read_pagemap, .ioctl = scan_pagemap, .release = release };
static const struct kfile_ops dir_ops = { .getdents = read_dir, .release = release };

static const struct kfile_ops *ops_of(const struct proc_node *node)
{
	switch (node->kind) {
	case NODE_TEXT:
		return &text_ops;
	case NODE_MEM:
		return &mem_ops;
	case NODE_PAGEMAP:
		return &pagemap_ops;
	default:
		return &dir_ops;
	}
}

static int guest_name(const struct proc_file *pf, char *buf, size_t n)
{
	const char *name = pf->node->name, *sep = *name ? "/" : "";
	char fd[16] = "";

	if (pf->node->kind == NODE_ROOT)
		return snprintf(buf, n, "/proc");
	if (pf->fd >= 0)
		snprintf(fd, sizeof(fd), "/%d", pf->fd);
	if (pf->tid)
		return snprintf(buf, n, "/proc/%d/task/%d%s%s%s", pf->pid, pf->tid, sep, name, fd);
	return snprintf(buf, n, "/proc/%d%s%s%s", pf->pid, sep, name, fd);
}

static struct kfile *open_node(struct task_struct *task, const struct proc_file *what, const char *host,
			       int flags)
{
	int fd = open(host, (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC | O_NONBLOCK);
	struct proc_file *pf;
	struct kfile *f;
	char name[128];

	if (fd < 0)
		return NULL;
	f = kfile_from_host(task->kernel, fd, flags & O_NONBLOCK);
	pf = malloc(sizeof(*pf));
	if (!f || !pf) {
		free(pf);
		if (f)
			kfile_put(f);
		errno = ENOMEM;
		return NULL;
	}
	*pf = *what;
	pf->text = (struct text){ 0 };
	pf->made = false;
	f->priv = pf;
	f->ops = ops_of(pf->node);
	guest_name(pf, name, sizeof(name));
	f->name = strdup(name);
	return f;
}

/* /proc/PID/fd/N of a file that is itself made here: the node once more. */
static struct kfile *reopen_node(struct task_struct *task, struct pathname *p, int flags)
{
	struct task_struct *t = find_task(task->kernel, p->proc_tid ? p->proc_tid : p->proc_pid);
	struct kfile *f = t && t->files ? files_lookup(t->files, p->proc_fd) : NULL;

	if (!f || !f->ops) {
		errno = ENOENT;
		return NULL;
	}
	return open_node(task, f->priv, p->name, flags);
}

struct kfile *proc_open(struct task_struct *task, struct pathname *p, int flags, int *err)
{
	struct proc_file what = { .node = p->proc_node, .pid = p->proc_pid, .tid = p->proc_tid,
				  .fd = p->proc_fd };
	struct kfile *f;

	if (flags & O_PATH && p->proc_node) {
		int fd = open(p->name, flags | O_CLOEXEC);

		f = fd < 0 ? NULL : kfile_from_host(task->kernel, fd, false);
		if (f && f->kind == KFILE_DIR) {
			char name[128];

			guest_name(&what, name, sizeof(name));
			f->name = strdup(name);
		}
	} else {
		f = p->proc_node ? open_node(task, &what, p->name, flags) : reopen_node(task, p, flags);
	}
	if (!f)
		*err = -errno;
	return f;
}
