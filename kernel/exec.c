// SPDX-License-Identifier: MIT
/*
 * execve: a new program for a task.
 *
 *	open, look: #! script?  -> its interpreter instead, with the script as an argument; again
 *	elf_prepare             -> refused with an errno, and the caller goes on
 *	--- from here on there is no way back: what fails now ends the task, as in Linux ---
 *	elf_load                -> the new address space, beside the old one
 *	other threads end, the old address space goes, registers are set
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "binfmt.h"
#include "host.h"
#include "syscalls.h"
#include "task.h"

#define MAX_ARG_STRLEN (32 * 4096)
#define MAX_ARGS_BYTES (6 * 1024 * 1024)	/* three quarters of _STK_LIM */
#define MAX_SCRIPTS 5

/* ---- the strings ------------------------------------------------------------------------------- */

static char *strings_reserve(struct exec_strings *s, size_t n)
{
	if (s->used + n > s->room) {
		size_t room = 2 * (s->used + n) + 4096;
		char *data = realloc(s->data, room);

		if (!data)
			return NULL;
		s->data = data;
		s->room = room;
	}
	return s->data + s->used;
}

static int strings_add(struct exec_strings *s, const char *text)
{
	size_t n = strlen(text) + 1;
	char *to = strings_reserve(s, n);

	if (!to)
		return -ENOMEM;
	memcpy(to, text, n);
	s->used += n;
	return 0;
}

/* Puts text in front of all the others: an interpreter's arguments. */
static int strings_push(struct exec_strings *s, const char *text)
{
	size_t n = strlen(text) + 1;

	if (!strings_reserve(s, n))
		return -ENOMEM;
	memmove(s->data + n, s->data, s->used);
	memcpy(s->data, text, n);
	s->used += n;
	s->env_at += n;
	s->execfn_at += n;
	s->argc++;
	return 0;
}

static void strings_pop(struct exec_strings *s)
{
	size_t n = strlen(s->data) + 1;

	memmove(s->data, s->data + n, s->used - n);
	s->used -= n;
	s->env_at -= n;
	s->execfn_at -= n;
	s->argc--;
}

static int add_vector(struct exec_strings *s, char *const *vector, int *count)
{
	for (; *vector; vector++, (*count)++) {
		int error = strings_add(s, *vector);

		if (error)
			return error;
	}
	return 0;
}

static int add_user_string(struct task_struct *task, struct exec_strings *s, uint64_t user,
			   size_t limit)
{
	char *to = strings_reserve(s, MAX_ARG_STRLEN);
	int64_t n;

	if (!to)
		return -ENOMEM;
	n = aspace_strncpy_from_user(task->mm, to, user, MAX_ARG_STRLEN);
	if (n < 0)
		return (int)n;
	if (n >= MAX_ARG_STRLEN || s->used + (size_t)n + 1 > limit)
		return -E2BIG;
	s->used += (size_t)n + 1;
	return 0;
}

static int add_user_vector(struct task_struct *task, struct exec_strings *s, uint64_t user,
			   size_t limit, int *count)
{
	uint64_t pointer;

	for (; user; user += sizeof(pointer), (*count)++) {
		int error;

		if (copy_from_user(task, &pointer, user, sizeof(pointer)))
			return -EFAULT;
		if (!pointer)
			return 0;
		if (s->used + (size_t)*count * sizeof(pointer) > limit)
			return -E2BIG;
		error = add_user_string(task, s, pointer, limit);
		if (error)
			return error;
	}
	return 0;
}

static int user_strings(struct task_struct *task, struct exec_strings *s, uint64_t argv,
			uint64_t envp)
{
	uint64_t limit = task->signal->rlim[ASPACE_RLIMIT_STACK].cur / 4;
	int error;

	if (limit > MAX_ARGS_BYTES)
		limit = MAX_ARGS_BYTES;
	if (limit < MAX_ARG_STRLEN)
		limit = MAX_ARG_STRLEN;
	error = add_user_vector(task, s, argv, limit, &s->argc);
	if (!error && s->argc == 0) {	/* since 5.18: an argv[0] there is */
		error = strings_add(s, "");
		s->argc = 1;
	}
	s->env_at = s->used;
	if (!error)
		error = add_user_vector(task, s, envp, limit, &s->envc);
	s->execfn_at = s->used;
	return error;
}

static int host_strings(struct exec_strings *s, char *const *argv, char *const *envp)
{
	int error = add_vector(s, argv, &s->argc);

	s->env_at = s->used;
	if (!error)
		error = add_vector(s, envp, &s->envc);
	s->execfn_at = s->used;
	return error;
}

/* ---- what to run --------------------------------------------------------------------------------- */

static void bprm_close(struct linux_binprm *bprm)
{
	if (bprm->file)
		aspace_file_put(bprm->file);
	if (bprm->kfile)
		kfile_put(bprm->kfile);
	bprm->file = NULL;
	bprm->kfile = NULL;
}

static int bprm_open(struct linux_binprm *bprm, int dirfd, const char *path, int flags)
{
	struct task_struct *task = bprm->task;
	int64_t n;
	int error;

	bprm_close(bprm);
	error = kernel_open_exec(task, dirfd, path, flags, &bprm->kfile);
	if (error) {
		bprm->kfile = NULL;
		return error;
	}
	bprm->file = kfile_aspace(task->kernel, bprm->kfile);
	if (!bprm->file)
		return -EACCES;
	memset(bprm->buf, 0, sizeof(bprm->buf));
	n = aspace_mapping_read(aspace_file_mapping(bprm->file), 0, bprm->buf, sizeof(bprm->buf));
	return n < 0 ? (int)n : 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * The first line of a script: "#!", blanks, the interpreter, blanks, one argument to the line's end.
 * A name that may be cut off by the buffer's end is refused; an argument is cut.
 */
static int parse_script(char *line, char **interp, char **argument)
{
	char *end = memchr(line, '\n', BINPRM_BUF_SIZE), *p;
	int if_empty = -ENOEXEC;

	if (!end) {
		if_empty = -EACCES;	/* the file ends: Linux opens "", the current directory */
		end = line + BINPRM_BUF_SIZE - 1;
		for (p = line + 2; p < end && is_blank(*p); p++)
			;
		for (; p < end && *p && !is_blank(*p); p++)
			;
		if (p == end)
			return -ENOEXEC;
	}
	*end = '\0';
	end = line + strlen(line);
	while (end > line + 2 && is_blank(end[-1]))
		*--end = '\0';
	for (p = line + 2; is_blank(*p); p++)
		;
	if (!*p)
		return if_empty;
	*interp = p;
	while (*p && !is_blank(*p))
		p++;
	*argument = NULL;
	if (*p) {
		*p++ = '\0';
		while (is_blank(*p))
			p++;
		if (*p)
			*argument = p;
	}
	return 0;
}

static int use_interpreter(struct linux_binprm *bprm, const char *script)
{
	char line[BINPRM_BUF_SIZE], *interp, *argument;
	struct exec_strings *s = &bprm->strings;
	int error;

	memcpy(line, bprm->buf, sizeof(line));
	error = parse_script(line, &interp, &argument);
	if (error)
		return error;
	strings_pop(s);
	error = strings_push(s, script);
	if (!error && argument)
		error = strings_push(s, argument);
	if (!error)
		error = strings_push(s, interp);
	if (!error)
		error = bprm_open(bprm, AT_FDCWD, interp, 0);
	return error;
}

/* Opens the file, and the interpreter of a script of a script ... instead of it. */
static int find_binary(struct linux_binprm *bprm, int dirfd, const char *path, int flags,
		       const char *shown)
{
	char script[PATH_MAX + 32];
	int error = bprm_open(bprm, dirfd, path, flags);

	snprintf(script, sizeof(script), "%s", shown);
	for (int depth = 0; !error && bprm->buf[0] == '#' && bprm->buf[1] == '!'; depth++) {
		char next[BINPRM_BUF_SIZE];

		if (depth >= MAX_SCRIPTS)
			return -ELOOP;
		error = use_interpreter(bprm, script);
		snprintf(next, sizeof(next), "%s", bprm->strings.data);
		memcpy(script, next, sizeof(next));
	}
	return error;
}

/* ---- the change ------------------------------------------------------------------------------------ */

/* The thread that calls execve goes on alone, under the process's number. */
static void de_thread(struct task_struct *task)
{
	struct kernel *k = task->kernel;
	struct signal_struct *signal = task->signal;
	struct task_struct *leader = signal->leader, *child;

	zap_other_threads(task);
	if (task == leader)
		return;
	task_unhash(leader);
	task_unhash(task);
	task->pid = leader->pid;
	task->exit_signal = SIGCHLD;
	task_hash(task);
	list_add_tail(&task->sibling, &leader->sibling);
	list_del_init(&leader->sibling);
	list_del(&leader->tasks);
	signal->leader = task;
	list_for_each_entry(child, &signal->children, sibling)
		child->signal->parent_leader = task;
	if (k->init == leader)
		k->init = task;
	task_free(leader);
}

static int unshare_sighand(struct task_struct *task)
{
	struct sighand_struct *own;

	if (task->sighand->refs == 1)
		return 0;
	own = sighand_new();
	if (!own)
		return -ENOMEM;
	memcpy(own->action, task->sighand->action, sizeof(own->action));
	sighand_put(task->sighand);
	task->sighand = own;
	return 0;
}

static int unshare_files(struct task_struct *task)
{
	struct files_struct *own = files_copy(task->files);

	if (!own)
		return -ENOMEM;
	files_put(task->kernel, task, task->files);
	task->files = own;
	return 0;
}

static void set_comm(struct task_struct *task, const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(task->comm, sizeof(task->comm), "%.15s", slash ? slash + 1 : path);
}

static void install(struct linux_binprm *bprm)
{
	struct task_struct *task = bprm->task;
	struct cpu *cpu = task->kernel->cpu;
	struct cpu_regs regs;

	if (task->mm) {
		exit_mm(task);
		task->signal->exec_done = true;
	}
	task->mm = bprm->mm;
	bprm->mm = NULL;
	cpu_context_reset(cpu, task->cpu);
	cpu_context_get_regs(cpu, task->cpu, &regs);
	regs.rip = bprm->entry;
	regs.rsp = bprm->sp;
	regs.rflags |= CPU_EFLAGS_IF | CPU_EFLAGS_FIXED;
	cpu_context_set_regs(cpu, task->cpu, &regs);
}

static void forget_old_program(struct task_struct *task)
{
	files_close_on_exec(task);
	flush_signal_handlers(task->sighand);
	posix_timers_exec(task->signal);
	task->altstack_sp = task->altstack_size = 0;
	task->altstack_flags = SS_DISABLE;
	task->robust_list = task->clear_child_tid = 0;
	task->rseq_area = 0;
	task->pkru = 0;
	task->dumpable = 1;
	task->fault_trapno = 0;
	task->fault_error = 0;
	task->fault_cr2 = 0;
}

static int begin_new_exec(struct linux_binprm *bprm)
{
	struct task_struct *task = bprm->task;
	int error = unshare_files(task);

	if (!error)
		error = unshare_sighand(task);
	if (error)
		return error;
	de_thread(task);
	return 0;
}

static int run_binary(struct linux_binprm *bprm, const char *path)
{
	struct task_struct *task = bprm->task;
	struct elf_loader *loader;
	int error = elf_prepare(bprm, &loader);

	if (error)
		return error;
	if (task->kernel->current)	/* not the first program */
		error = begin_new_exec(bprm);
	if (error)
		goto out;
	error = elf_load(bprm, loader);
	if (error) {
		task->exec_fatal = true;
		goto out;
	}
	task->kernel->nr_execs++;
	install(bprm);
	forget_old_program(task);
	set_comm(task, path);
out:
	elf_loader_free(task->kernel, loader);
	return error;
}

static int exec_program(struct linux_binprm *bprm, int dirfd, const char *path, int flags)
{
	struct exec_strings *s = &bprm->strings;
	char by_fd[PATH_MAX + 32];
	const char *shown = path;
	int error;

	if (dirfd != AT_FDCWD && path[0] != '/') {
		snprintf(by_fd, sizeof(by_fd), "/dev/fd/%d%s%s", dirfd, path[0] ? "/" : "", path);
		shown = by_fd;
	}
	error = strings_add(s, shown);
	if (!error)
		error = find_binary(bprm, dirfd, path, flags, shown);
	if (!error)
		error = run_binary(bprm, shown);
	return error;
}

static void bprm_free(struct linux_binprm *bprm)
{
	bprm_close(bprm);
	if (bprm->mm)
		aspace_mm_put(bprm->mm);
	free(bprm->strings.data);
}

int do_execve(struct task_struct *task, int dirfd, const char *path, int flags,
	      char *const *argv, char *const *envp)
{
	struct linux_binprm bprm = { .task = task };
	int error = host_strings(&bprm.strings, argv, envp);

	if (!error)
		error = exec_program(&bprm, dirfd, path, flags);
	bprm_free(&bprm);
	return error;
}

static int64_t execve_user(struct task_struct *task, int dirfd, const char *path, int flags,
			   uint64_t argv, uint64_t envp)
{
	struct linux_binprm bprm = { .task = task };
	int error = user_strings(task, &bprm.strings, argv, envp);

	if (!error)
		error = exec_program(&bprm, dirfd, path, flags);
	bprm_free(&bprm);
	if (!error)
		return -ENORETURN;
	if (task->exec_fatal) {
		do_group_exit(task, SIGSEGV);
		return -ENORETURN;
	}
	return error;
}

SYSCALL(execve)
{
	char path[PATH_MAX];
	int64_t n = getname(task, args->a[0], path);

	if (n < 0)
		return n;
	return execve_user(task, AT_FDCWD, path, 0, args->a[1], args->a[2]);
}

SYSCALL(execveat)
{
	char path[PATH_MAX];
	int flags = (int)args->a[4];
	int64_t n;

	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	n = getname(task, args->a[1], path);
	if (n == -ENOENT && (flags & AT_EMPTY_PATH))
		path[0] = '\0';
	else if (n < 0)
		return n;
	return execve_user(task, (int)args->a[0], path, flags, args->a[2], args->a[3]);
}

/* ---- the first program -------------------------------------------------------------------------------- */

static void inherit_signals(struct kernel *k, struct task_struct *task)
{
	for (int sig = 1; sig <= 64; sig++) {
		if (sigismember(&k->host_mask, sig) == 1)
			task->blocked |= SIGMASK(sig);
		if (k->host_ignored & SIGMASK(sig))
			task->sighand->action[sig].handler = 1;
	}
}

static void inherit_limits(struct signal_struct *signal)
{
	for (int i = 0; i < 16; i++) {
		struct rlimit limit;

		signal->rlim[i].cur = signal->rlim[i].max = RLIM_INFINITY;
		if (getrlimit((__rlimit_resource_t)i, &limit) == 0) {
			signal->rlim[i].cur = limit.rlim_cur;
			signal->rlim[i].max = limit.rlim_max;
		}
	}
}

static int first_process(struct kernel *k, struct task_struct *task)
{
	struct signal_struct *signal = task->signal = signal_struct_new();
	int error;

	task->sighand = sighand_new();
	task->fs = calloc(1, sizeof(*task->fs));
	task->files = files_new();
	task->cpu = cpu_context_create(k->cpu);
	if (!signal || !task->sighand || !task->fs || !task->files || !task->cpu)
		return -ENOMEM;
	signal->refs = 1;
	signal->leader = task;
	signal->pgid = getpgrp();
	signal->sid = getsid(0);
	task->fs->refs = 1;
	task->fs->umask = k->first_umask;
	task->fs->cwd_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (task->fs->cwd_fd < 0)
		return -errno;
	task->pid = task->tgid = k->first_pid = getpid();
	k->next_pid = task->pid + 1;
	k->host_ppid = getppid();
	inherit_signals(k, task);
	inherit_limits(signal);
	task->nice = getpriority(PRIO_PROCESS, 0);
	error = files_open_std(k, task->files);
	if (!error)
		host_release_std(2);	/* the third is for what we have to say */
	return error;
}

int kernel_start(struct kernel *k, const char *path, char *const argv[], char *const envp[])
{
	struct task_struct *task = task_new(k);
	int error;

	if (!task)
		return -ENOMEM;
	list_add_tail(&task->tasks, &k->tasks);
	k->init = task;
	error = first_process(k, task);
	if (error)
		return error;
	if (k->options.seed == 0)
		task->personality |= ASPACE_ADDR_NO_RANDOMIZE;
	list_add_tail(&task->thread_link, &task->signal->threads);
	task->signal->nr_threads = 1;
	task_hash(task);
	k->nr_tasks = k->nr_tasks_max = 1;
	error = do_execve(task, AT_FDCWD, path, 0, argv, envp);
	if (error && task->exec_fatal) {
		do_group_exit(task, SIGSEGV);
		return 0;
	}
	if (!error)
		task_make_runnable(task);
	return error;
}
