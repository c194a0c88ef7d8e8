/* SPDX-License-Identifier: MIT */
/*
 * aspace trace: the loop over ptrace's stops.
 *
 * A traced program runs at full speed but for the calls that change its address space: a seccomp
 * filter, installed before execve, stops it there. On attaching (-p) there is no filter, and every
 * call stops.
 *
 *	entry of an mm call   -> is another thread of this space inside one?  yes: held
 *	                                                                      no: recorded, goes on
 *	exit                  -> predicted, compared; the next held thread goes on
 *	fork, clone           -> at the event, inside the call: the child's shadow is a fork of the
 *	                         parent's, or the same
 *	execve                -> a new shadow, seeded from /proc
 *	exit                  -> the last of a space: compared once more, explained
 *
 * PTRACE_SEIZE is used throughout, so that group stops of the program stay group stops.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/tools.h"
#include "tools/trace.h"

struct tracee {
	struct tracee *next;
	pid_t tid, tgid;
	struct trace_model *model;
	struct trace_call call;
	bool in_call;		/* between entry and exit of an mm call */
	bool held;		/* at the entry, another is inside */
	bool stopped_early;	/* its first stop came before its parent's event */
};

struct tracer {
	struct trace_options options;
	struct tracee *tracees;
	pid_t main_tgid;
	bool filtered;		/* by seccomp; else every system call stops */
	uint64_t calls, processes, execs;
	int differences, main_status;
	bool detach;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	interrupted = sig;
}

static struct tracee *tracee_find(struct tracer *t, pid_t tid)
{
	struct tracee *e = t->tracees;

	while (e && e->tid != tid)
		e = e->next;
	return e;
}

static struct tracee *tracee_new(struct tracer *t, pid_t tid, pid_t tgid)
{
	struct tracee *e = calloc(1, sizeof(*e));

	if (!e) {
		fprintf(stderr, "aspace: trace: out of memory\n");
		exit(2);
	}
	e->tid = tid;
	e->tgid = tgid;
	e->next = t->tracees;
	t->tracees = e;
	return e;
}

static void go_on(struct tracer *t, struct tracee *e, int sig)
{
	/* With a filter, only a call that we are inside of must stop at its exit. */
	bool calls = e->in_call || !t->filtered;

	ptrace(calls ? PTRACE_SYSCALL : PTRACE_CONT, e->tid, 0, sig);
}

static void difference(struct tracer *t, struct trace_model *model)
{
	t->differences++;
	if (t->options.keep_going) {
		if (model_seed(model))
			model->lost = true;
		return;
	}
	model->lost = true;
	fprintf(stderr, "aspace: trace: stopped predicting here; the program goes on by itself "
			"(--keep-going: take the kernel's picture over and go on)\n");
	explain(model, &t->options);
	t->detach = true;
}

static void compare(struct tracer *t, struct trace_model *model, const struct trace_call *call)
{
	if (!model->lost && model_compare(model, call, stderr) > 0)
		difference(t, model);
}

/* ---- one call ------------------------------------------------------------------------------------ */

static void start_call(struct tracer *t, struct tracee *e)
{
	e->held = false;
	e->in_call = true;
	e->model->busy_tid = e->tid;
	e->call.number = ++t->calls;
	call_enter(e->model, &e->call);
	go_on(t, e, 0);
}

static void release_next(struct tracer *t, struct trace_model *model)
{
	model->busy_tid = 0;
	for (struct tracee *e = t->tracees; e; e = e->next) {
		if (e->held && e->model == model) {
			start_call(t, e);
			return;
		}
	}
}

static void on_entry(struct tracer *t, struct tracee *e, long nr, const uint64_t *args)
{
	if (!call_is_traced(nr) || !e->model || e->model->lost) {
		go_on(t, e, 0);
		return;
	}
	memset(&e->call, 0, sizeof(e->call));
	e->call.tid = e->tid;
	e->call.nr = nr;
	memcpy(e->call.arg, args, sizeof(e->call.arg));
	if (e->model->busy_tid)
		e->held = true;		/* goes on when the other is out */
	else
		start_call(t, e);
}

static void on_exit_of_call(struct tracer *t, struct tracee *e, int64_t result)
{
	struct trace_model *model = e->model;

	if (!e->in_call)
		return;
	e->in_call = false;
	e->call.result = result;
	model->pid = e->tgid;
	if (call_leave(model, &e->call, stderr)) {
		difference(t, model);
	} else if (t->options.strict || model->calls >= model->next_check) {
		model->next_check = model->calls * 2;
		compare(t, model, &e->call);
	}
	release_next(t, model);
}

static void on_syscall_stop(struct tracer *t, struct tracee *e)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, e->tid, sizeof(info), &info) <= 0) {
		go_on(t, e, 0);
	} else if (info.op == PTRACE_SYSCALL_INFO_SECCOMP) {
		on_entry(t, e, info.seccomp.nr, (const uint64_t *)info.seccomp.args);
	} else if (info.op == PTRACE_SYSCALL_INFO_ENTRY && !t->filtered) {
		on_entry(t, e, info.entry.nr, (const uint64_t *)info.entry.args);
	} else {
		if (info.op == PTRACE_SYSCALL_INFO_EXIT)
			on_exit_of_call(t, e, info.exit.rval);
		go_on(t, e, 0);
	}
}

/* ---- births, execs, deaths -------------------------------------------------------------------------- */

static void on_birth(struct tracer *t, struct tracee *parent, int event)
{
	unsigned long tid = 0;
	struct tracee *child;
	bool shares, thread;

	ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &tid);
	shares = parent->call.nr == SYS_vfork ||
		 (parent->call.nr != SYS_fork && parent->call.clone_flags & CLONE_VM);
	thread = parent->call.nr != SYS_vfork && parent->call.clone_flags & CLONE_THREAD;
	child = tracee_find(t, tid);
	if (!child)
		child = tracee_new(t, tid, tid);
	child->tgid = thread ? parent->tgid : (pid_t)tid;
	if (!parent->model || parent->model->lost)
		child->model = NULL;
	else
		child->model = shares ? model_get(parent->model) : model_fork(parent->model, child->tgid);
	if (!thread)
		t->processes++;
	if (child->stopped_early) {
		child->stopped_early = false;
		go_on(t, child, 0);
	}
	/* The rest of the call changes nothing any more, and vfork's may last: others may go on. */
	if (parent->in_call) {
		parent->in_call = false;
		release_next(t, parent->model);
	}
	go_on(t, parent, 0);
}

static void leave_model(struct tracer *t, struct tracee *e)
{
	struct trace_model *model = e->model;

	if (!model)
		return;
	e->model = NULL;
	if (e->call.file)
		aspace_file_put(e->call.file);
	e->call.file = NULL;
	e->in_call = e->held = false;
	if (model->busy_tid == e->tid)
		release_next(t, model);
	model_put(model);
}

static void on_exec(struct tracer *t, struct tracee *e)
{
	unsigned long former = e->tid;
	struct tracee *leader;

	ptrace(PTRACE_GETEVENTMSG, e->tid, 0, &former);
	leader = (pid_t)former != e->tid ? tracee_find(t, former) : NULL;
	if (leader)		/* a thread called execve and took the leader's number */
		leave_model(t, leader);
	leave_model(t, e);
	e->tgid = e->tid;
	t->execs++;
	e->model = model_new(e->tid);
	if (e->model)
		e->model->stack = t->options.stack;
	if (!e->model || model_seed(e->model)) {
		fprintf(stderr, "aspace: trace: process %d: its areas can't be read after execve\n", e->tid);
		if (e->model)
			e->model->lost = true;
	}
	go_on(t, e, 0);
}

static void on_death(struct tracer *t, struct tracee *e)
{
	struct trace_model *model = e->model;

	if (model && model->refs == 1 && !model->lost) {
		model->pid = e->tgid;
		compare(t, model, NULL);
		if (e->tgid == t->main_tgid && !model->lost)
			explain(model, &t->options);
	}
	leave_model(t, e);
	go_on(t, e, 0);
}

static void forget(struct tracer *t, pid_t tid)
{
	for (struct tracee **p = &t->tracees; *p; p = &(*p)->next) {
		if ((*p)->tid == tid) {
			struct tracee *e = *p;

			leave_model(t, e);
			*p = e->next;
			free(e);
			return;
		}
	}
}

/* ---- the loop ------------------------------------------------------------------------------------------- */

static void on_stop(struct tracer *t, pid_t tid, int status)
{
	struct tracee *e = tracee_find(t, tid);
	int sig = WSTOPSIG(status), event = status >> 16;

	if (!e) {			/* a child before its parent's event */
		e = tracee_new(t, tid, tid);
		e->stopped_early = true;
		return;
	}
	switch (event) {
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		on_birth(t, e, event);
		return;
	case PTRACE_EVENT_EXEC:
		on_exec(t, e);
		return;
	case PTRACE_EVENT_EXIT:
		on_death(t, e);
		return;
	case PTRACE_EVENT_SECCOMP:
		on_syscall_stop(t, e);
		return;
	case PTRACE_EVENT_STOP:
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
			ptrace(PTRACE_LISTEN, tid, 0, 0);
		else
			go_on(t, e, 0);
		return;
	}
	if (sig == (SIGTRAP | 0x80))
		on_syscall_stop(t, e);
	else
		go_on(t, e, sig);
}

#define TRACE_OPTIONS                                                                             \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
	 PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESECCOMP)

static void detach_all(struct tracer *t)
{
	struct tracee *e;

	for (e = t->tracees; e; e = e->next) {
		int status;

		if (!e->held && !e->stopped_early) {
			if (ptrace(PTRACE_INTERRUPT, e->tid, 0, 0) || waitpid(e->tid, &status, __WALL) < 0)
				continue;
			if (WIFEXITED(status) || WIFSIGNALED(status))
				continue;
		}
		ptrace(PTRACE_DETACH, e->tid, 0, 0);
	}
}

/* A difference ends the tracing of a program of ours in a way that leaves it running. */
static void let_run_unpredicted(struct tracer *t)
{
	for (struct tracee *e = t->tracees; e; e = e->next) {
		if (e->model)
			e->model->lost = true;
		if (e->held) {
			e->held = false;
			go_on(t, e, 0);
		}
	}
	t->detach = false;
}

static void loop(struct tracer *t)
{
	int status;
	pid_t tid;

	while (t->tracees) {
		tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR) {
			if (interrupted && !t->filtered) {
				detach_all(t);
				return;
			}
			continue;
		}
		if (tid < 0)
			return;
		if (WIFSTOPPED(status)) {
			on_stop(t, tid, status);
			if (t->detach)
				let_run_unpredicted(t);
			continue;
		}
		if (tid == t->main_tgid)
			t->main_status = status;
		forget(t, tid);
	}
}

/* ---- starting ------------------------------------------------------------------------------------------- */

static int install_filter(void)
{
	const int *numbers;
	size_t n = call_filter_numbers(&numbers), len = 0;
	struct sock_filter code[64];
	struct sock_fprog program = { .filter = code };

	code[len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n; i++)
		code[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], n - i, 0);
	code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	program.len = len;
	if (geteuid() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int start(struct tracer *t, char **argv)
{
	int go[2], failed[2], err = 0;
	pid_t pid;
	char c = 0;

	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC)) {
		perror("aspace: trace: pipe");
		return 2;
	}
	pid = fork();
	if (pid < 0) {
		perror("aspace: trace: fork");
		return 2;
	}
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) != 1)	/* the tracer is gone */
			_exit(2);
		if (install_filter() == 0)
			execvp(argv[0], argv);
		err = errno;
		if (write(failed[1], &err, sizeof(err)) != sizeof(err))
			_exit(2);
		_exit(127);
	}
	close(failed[1]);
	if (ptrace(PTRACE_SEIZE, pid, 0, TRACE_OPTIONS | PTRACE_O_EXITKILL)) {
		fprintf(stderr, "aspace: trace: no permission to trace: %s (ptrace is refused here: a container "
				"without SYS_PTRACE, or kernel.yama.ptrace_scope)\n", strerror(errno));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return 2;
	}
	tracee_new(t, pid, pid);
	t->main_tgid = pid;
	t->filtered = true;
	t->processes = 1;
	if (write(go[1], &c, 1) != 1)
		perror("aspace: trace: pipe");
	close(go[0]);
	close(go[1]);
	loop(t);
	if (read(failed[0], &err, sizeof(err)) == sizeof(err)) {
		fprintf(stderr, "aspace: trace: %s: %s\n", argv[0], strerror(err));
		close(failed[0]);
		return err == ENOENT ? 127 : 126;
	}
	close(failed[0]);
	return 0;
}

static int attach_threads(struct tracer *t, pid_t pid, struct trace_model *model)
{
	char path[64];
	struct dirent *d;
	int n = 0, status;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		pid_t tid = atoi(d->d_name);

		if (tid <= 0 || tracee_find(t, tid))
			continue;
		if (ptrace(PTRACE_SEIZE, tid, 0, TRACE_OPTIONS)) {
			closedir(dir);
			return -errno;
		}
		if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0 && waitpid(tid, &status, __WALL) == tid) {
			tracee_new(t, tid, pid)->model = model_get(model);
			n++;
		}
	}
	closedir(dir);
	return n;
}

static int attach(struct tracer *t, pid_t pid)
{
	struct sigaction sa = { .sa_handler = on_interrupt };
	struct trace_model *model = model_new(pid);
	int r;

	if (!model)
		return 2;
	model->stack = t->options.stack;
	r = attach_threads(t, pid, model);
	while (r > 0)		/* until no thread is new: they are born until all are stopped */
		r = attach_threads(t, pid, model);
	if (!r)
		r = model_seed(model);
	if (r < 0) {
		fprintf(stderr, "aspace: trace: process %d: %s\n", pid,
			r == -ENOENT || r == -ESRCH ? "there is no such process" :
			r == -EPERM		    ? "no permission to trace it (not ours, or traced already)" :
						      strerror(-r));
		detach_all(t);
		return 2;
	}
	t->main_tgid = pid;
	t->processes = 1;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	model_put(model);
	for (struct tracee *e = t->tracees; e; e = e->next)
		go_on(t, e, 0);
	loop(t);
	return 0;
}

static const char usage[] =
	"usage: aspace trace [options] -- PROGRAM [ARG...]\n"
	"       aspace trace [options] -p PID\n"
	"\n"
	"Runs a native program, predicts what each of its mm calls does to its address space, and compares with\n"
	"the kernel's answers and its /proc/PID/maps. At the end of the program its areas are explained.\n"
	"\n"
	"  -s, --strict      compare the whole picture after every call (else at doubling intervals)\n"
	"  -k, --keep-going  after a difference take the kernel's picture over and go on\n"
	"  -p, --pid PID     attach to a running process; interrupt (Ctrl-C) detaches\n"
	"  -o, --output FILE write the report there (else to standard error)\n"
	"      --stack       name the function that made each call\n"
	"  -v, --verbose     explain every area, however many there are\n"
	"      --json        the report as JSON\n"
	"  -h, --help        this text\n"
	"\n"
	"Exit status: the program's, or 128 + N if signal N ended it; 1 after a difference; 2 on a wrong use;\n"
	"126 or 127 if the program can't be run.\n";

int cmd_trace(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "strict", 0, 0, 's' }, { "keep-going", 0, 0, 'k' }, { "pid", 1, 0, 'p' },
		{ "output", 1, 0, 'o' }, { "verbose", 0, 0, 'v' },    { "json", 0, 0, 'j' },
		{ "stack", 0, 0, 'S' },	 { "help", 0, 0, 'h' },	      { 0 },
	};
	struct tracer t = { .options.out = stderr };
	pid_t pid = 0;
	int c, r;

	while ((c = getopt_long(argc, argv, "+skp:o:vjh", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			t.options.strict = true;
			break;
		case 'k':
			t.options.keep_going = true;
			break;
		case 'v':
			t.options.verbose = true;
			break;
		case 'S':
			if (!trace_stack_possible()) {
				fprintf(stderr, "aspace: trace: --stack: this aspace was built without libdw\n");
				return 2;
			}
			t.options.stack = true;
			break;
		case 'j':
			t.options.json = true;
			break;
		case 'p':
			pid = atoi(optarg);
			if (pid <= 0) {
				fprintf(stderr, "aspace: trace: not a process number: %s\n", optarg);
				return 2;
			}
			break;
		case 'o':
			t.options.out = fopen(optarg, "we");
			if (!t.options.out) {
				fprintf(stderr, "aspace: trace: %s: %s\n", optarg, strerror(errno));
				return 2;
			}
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!pid == !argv[optind]) {
		fputs(usage, stderr);
		return 2;
	}
	r = pid ? attach(&t, pid) : start(&t, argv + optind);
	if (t.options.out != stderr && fclose(t.options.out)) {
		fprintf(stderr, "aspace: trace: the report could not be written: %s\n", strerror(errno));
		return 2;
	}
	if (r)
		return r;
	if (!t.options.json)
		fprintf(stderr, "aspace: trace: %" PRIu64 " mm calls of %" PRIu64 " processes, %d differences\n",
			t.calls, t.processes, t.differences);
	if (t.differences)
		return 1;
	return WIFSIGNALED(t.main_status) ? 128 + WTERMSIG(t.main_status) : WEXITSTATUS(t.main_status);
}
