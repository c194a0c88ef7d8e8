// SPDX-License-Identifier: MIT
/*
 * What a run did, for people (--stats) and for programs (--stats=json), and as it happens: a line
 * for each call on memory and each fault (--log-mm), or for each call at all (--strace).
 */
#include <errno.h>
#include <string.h>

#include "syscalls.h"
#include "task.h"
#include "vdso.h"

/* ---- figures ---------------------------------------------------------------------------------------- */

struct figure {
	const char *group, *name;
	uint64_t value;
};

static size_t collect(struct kernel *k, struct figure *f, size_t room)
{
	struct aspace_machine_stats m = { .size = sizeof(m) };
	const struct cpu_counters *c = cpu_counters(k->cpu);
	const struct aspace_mm_stats *p = &k->init_mm_stats;
	uint64_t calls = 0, unknown = 0, tables = 0;

	aspace_machine_stats(k->machine, &m);
	for (int i = 0; i < NR_SYSCALLS; i++) {
		calls += k->syscall_count[i];
		unknown += k->unknown_count[i];
	}
	for (int level = 0; level < 5; level++)
		tables += p->page_tables[level];
	const struct figure all[] = {
		{ "program", "areas", p->map_count },
		{ "program", "pages", p->total_vm },
		{ "program", "resident", p->rss_anon + p->rss_file + p->rss_shmem },
		{ "program", "most_resident", p->hiwater_rss },
		{ "program", "page_tables", tables },
		{ "tasks", "forks", k->nr_forks },
		{ "tasks", "threads", k->nr_threads_made },
		{ "tasks", "execs", k->nr_execs },
		{ "tasks", "most_at_once", k->nr_tasks_max },
		{ "tasks", "signals", k->nr_signals },
		{ "tasks", "switches", k->nr_switches },
		{ "system calls", "calls", calls },
		{ "system calls", "unknown", unknown },
		{ "faults", "all", k->nr_faults },
		{ "faults", "zero_page", m.faults_zero_page },
		{ "faults", "anonymous", m.faults_anon },
		{ "faults", "file", m.faults_file },
		{ "faults", "cow_copy", m.faults_cow_copy },
		{ "faults", "cow_reuse", m.faults_cow_reuse },
		{ "faults", "shared_dirty", m.faults_shared_dirty },
		{ "faults", "stack", m.faults_stack },
		{ "faults", "spurious", m.faults_spurious },
		{ "faults", "major", m.faults_major },
		{ "faults", "signal", m.faults_signal },
		{ "frames", "total", m.frames_total },
		{ "frames", "free", m.frames_free },
		{ "frames", "anonymous", m.frames_anon },
		{ "frames", "file", m.frames_file },
		{ "frames", "shared", m.frames_shmem },
		{ "frames", "page_tables", m.frames_page_table },
		{ "frames", "other", m.frames_other },
		{ "frames", "dirty", m.frames_dirty },
		{ "spaces", "address_spaces", m.mms },
		{ "spaces", "areas", m.areas },
		{ "spaces", "committed_pages", m.committed_as },
		{ "files", "mappings", m.mappings },
		{ "files", "pages_read", m.pages_read },
		{ "files", "pages_written", m.pages_written },
		{ "processor", "runs", c->runs },
		{ "processor", "table_switches", c->table_switches },
		{ "processor", "tlb_flushes", c->flushes },
		{ "processor", "page_flushes", c->page_flushes },
		{ "processor", "code_flushes", c->code_flushes },
		{ "processor", "kicks", k->nr_kicks },
	};
	size_t n = sizeof(all) / sizeof(all[0]);

	n = n < room ? n : room;
	memcpy(f, all, n * sizeof(all[0]));
	return n;
}

static void print_text(const struct figure *f, size_t n, FILE *out)
{
	const char *group = "";

	for (size_t i = 0; i < n; i++) {
		if (strcmp(group, f[i].group)) {
			group = f[i].group;
			fprintf(out, "%saspace: %-12s", i ? "\n" : "", group);
		}
		fprintf(out, " %s %llu", f[i].name, (unsigned long long)f[i].value);
	}
	fputc('\n', out);
}

static void print_json_key(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++)
		fputc(*text == ' ' ? '_' : *text, out);
	fputs("\":", out);
}

static void print_json(struct kernel *k, const struct figure *f, size_t n, FILE *out)
{
	const char *group = "";
	const char *comma = "";

	fputc('{', out);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(group, f[i].group)) {
			if (i)
				fputs("},", out);
			group = f[i].group;
			print_json_key(group, out);
			fputc('{', out);
		} else {
			fputc(',', out);
		}
		print_json_key(f[i].name, out);
		fprintf(out, "%llu", (unsigned long long)f[i].value);
	}
	fputs("},\"unknown_calls\":{", out);
	for (int i = 0; i < NR_SYSCALLS; i++) {
		const struct sys_entry *entry = syscall_entry((uint64_t)i);

		if (!k->unknown_count[i])
			continue;
		fprintf(out, "%s\"%s\":%llu", comma, entry ? entry->name : "?",
			(unsigned long long)k->unknown_count[i]);
		comma = ",";
	}
	fputs("}}\n", out);
}

void print_unknown(struct kernel *k, FILE *out)
{
	for (int i = 0; i < NR_SYSCALLS; i++) {
		const struct sys_entry *entry = syscall_entry((uint64_t)i);

		if (k->unknown_count[i])
			fprintf(out, "aspace: not here (ENOSYS): %s, number %d, %llu times\n",
				entry ? entry->name : "?", i,
				(unsigned long long)k->unknown_count[i]);
	}
}

void print_stats(struct kernel *k, FILE *out, bool json)
{
	struct figure figures[64];
	size_t n = collect(k, figures, 64);

	if (json) {
		print_json(k, figures, n, out);
		return;
	}
	print_text(figures, n, out);
	print_unknown(k, out);
}

static int emit_to_file(void *priv, const char *text, size_t n)
{
	return fwrite(text, 1, n, priv) == n ? 0 : -EIO;
}

void print_maps(struct kernel *k, FILE *out)
{
	struct task_struct *task;

	list_for_each_entry(task, &k->tasks, tasks) {
		if (!is_leader(task) || !task->mm)
			continue;
		fprintf(out, "aspace: process %d (%s)\n", task->pid, task->comm);
		if (!aspace_print_maps(task->mm, emit_to_file, out))
			print_vsyscall_maps(emit_to_file, out);
	}
}

/* ---- lines as it happens ------------------------------------------------------------------------------ */

static bool logged(struct task_struct *task, const struct sys_entry *entry)
{
	return task->kernel->options.strace || (entry && entry->is_mm);
}

static void print_bits(FILE *out, uint64_t value, const char *const *names, const uint64_t *bits, int n)
{
	const char *bar = "";

	for (int i = 0; i < n; i++) {
		if (!(value & bits[i]))
			continue;
		fprintf(out, "%s%s", bar, names[i]);
		value &= ~bits[i];
		bar = "|";
	}
	if (value || !*bar)
		fprintf(out, "%s%#llx", bar, (unsigned long long)value);
}

static void print_prot(FILE *out, uint64_t prot)
{
	static const char *const names[] = { "PROT_READ", "PROT_WRITE", "PROT_EXEC" };
	static const uint64_t bits[] = { 1, 2, 4 };

	if (!prot)
		fputs("PROT_NONE", out);
	else
		print_bits(out, prot, names, bits, 3);
}

static void print_map_flags(FILE *out, uint64_t flags)
{
	static const char *const names[] = { "MAP_SHARED", "MAP_PRIVATE", "MAP_FIXED", "MAP_ANONYMOUS",
					     "MAP_32BIT", "MAP_GROWSDOWN", "MAP_DENYWRITE",
					     "MAP_LOCKED", "MAP_NORESERVE", "MAP_POPULATE", "MAP_STACK",
					     "MAP_HUGETLB", "MAP_FIXED_NOREPLACE" };
	static const uint64_t bits[] = { 1, 2, 0x10, 0x20, 0x40, 0x100, 0x800, 0x2000, 0x4000, 0x8000,
					 0x20000, 0x40000, 0x100000 };

	print_bits(out, flags, names, bits, 13);
}

static void print_path(FILE *out, struct task_struct *task, uint64_t user)
{
	char path[128];
	int64_t n = task->mm ? aspace_strncpy_from_user(task->mm, path, user, sizeof(path)) : -1;

	if (n < 0)
		fprintf(out, "%#llx", (unsigned long long)user);
	else
		fprintf(out, "\"%.*s\"%s", (int)n, path, n == sizeof(path) ? "..." : "");
}

/*
 * The letters: i a number; x a number in hexadecimal; o in octal; a an address; l a length; f a
 * descriptor; p a path or name; P protection; M mapping flags.
 */
static void print_argument(FILE *out, struct task_struct *task, char kind, uint64_t value)
{
	switch (kind) {
	case 'i':
		fprintf(out, "%lld", (long long)(int64_t)value);
		break;
	case 'l':
		fprintf(out, "%llu", (unsigned long long)value);
		break;
	case 'f':
		if ((int)value == -100)
			fputs("AT_FDCWD", out);
		else
			fprintf(out, "%d", (int)value);
		break;
	case 'o':
		fprintf(out, "%#llo", (unsigned long long)value);
		break;
	case 'p':
		print_path(out, task, value);
		break;
	case 'P':
		print_prot(out, value);
		break;
	case 'M':
		print_map_flags(out, value);
		break;
	case 'a':
		if (!value) {
			fputs("NULL", out);
			break;
		}
		/* fall through */
	default:
		fprintf(out, "%#llx", (unsigned long long)value);
	}
}

void log_enter(struct task_struct *task)
{
	const struct sys_entry *entry = syscall_entry(task->call.nr);
	FILE *out = task->kernel->options.log;

	if (!logged(task, entry))
		return;
	fprintf(out, "[%d] ", task->pid);
	if (!entry) {
		fprintf(out, "syscall_%llu(\n", (unsigned long long)task->call.nr);
		return;
	}
	fprintf(out, "%s(", entry->name);
	for (int i = 0; entry->args[i]; i++) {
		if (i)
			fputs(", ", out);
		print_argument(out, task, entry->args[i], task->call.a[i]);
	}
	fputc(')', out);
	/* The result follows on the same line unless another task's line comes between. */
	task->kernel->log_open = task;
}

void log_exit(struct task_struct *task, int64_t result)
{
	const struct sys_entry *entry = syscall_entry(task->call.nr);
	FILE *out = task->kernel->options.log;

	if (!logged(task, entry))
		return;
	if (task->kernel->log_open != task)
		fprintf(out, "\n[%d] ... %s", task->pid, entry ? entry->name : "?");
	task->kernel->log_open = NULL;
	if (result == -ENORETURN)
		fputs(" = ?\n", out);
	else if (result == -ERESTART_WAIT)
		fputs(" = ? (starts again)\n", out);
	else if (result < 0 && result > -4096)
		fprintf(out, " = -1 %s (%s)\n", strerrorname_np((int)-result), strerror((int)-result));
	else if (entry && entry->is_mm)
		fprintf(out, " = %#llx\n", (unsigned long long)result);
	else
		fprintf(out, " = %lld\n", (long long)result);
}

void log_fault(struct task_struct *task, const struct aspace_fault *fault, uint64_t addr,
	       unsigned access, int result)
{
	FILE *out = task->kernel->options.log;
	const char *what = access == ASPACE_EXEC ? "exec" : access == ASPACE_WRITE ? "write" : "read";

	fprintf(out, "[%d] fault %s %#llx: ", task->pid, what, (unsigned long long)addr);
	if (!result)
		fprintf(out, "%s%s\n", fault->kind ? fault->kind : "?", fault->major ? ", major" : "");
	else if (fault->signal)
		fprintf(out, "%s, code %d\n", sigabbrev_np(fault->signal), fault->code);
	else
		fprintf(out, "%s\n", strerrorname_np(-result));
}
