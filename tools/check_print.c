/* SPDX-License-Identifier: MIT */
/* A sequence as text, one operation a line (the corpus and --replay), and as a C program. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <aspace/abi.h>

#include "check.h"

/* ---- text -------------------------------------------------------------------------------------- */

struct out {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void add(struct out *o, const char *format, ...)
{
	va_list list;
	int n;

	va_start(list, format);
	n = vsnprintf(o->at, o->left, format, list);
	va_end(list);
	if (n > 0 && (size_t)n < o->left)
		o->at += n, o->left -= n;
}

static void add_words(struct out *o, enum check_arg arg, uint64_t value)
{
	const struct check_word *w = check_words(arg);
	const char *between = "";

	if (!check_arg_is_bits(arg)) {
		for (; w->name; w++)
			if (w->value == value) {
				add(o, "%s", w->name);
				return;
			}
		add(o, "%" PRIu64, value);
		return;
	}
	for (; w->name; w++) {
		/* a word of several bits (the type of a mapping) only if it is the whole type */
		uint64_t mask = arg == ARG_MAP && w->value < 16 ? 15 : w->value;

		if (!w->value || (value & mask) != w->value)
			continue;
		add(o, "%s%s", between, w->name);
		value &= ~mask;
		between = "|";
	}
	if (value || !*between)
		add(o, "%s%#" PRIx64, between, value);
}

static void add_arg(struct out *o, enum check_arg arg, uint64_t value)
{
	switch (arg) {
	case ARG_INT: add(o, "%" PRId64, (int64_t)value); break;
	case ARG_FILE:
		if (value == CHECK_NO_FILE)
			add(o, "-1");
		else
			add(o, "F%" PRIu64, value);
		break;
	case ARG_NONE: break;
	default:
		if (check_words(arg))
			add_words(o, arg, value);
		else
			add(o, value ? "%#" PRIx64 : "%" PRIx64, value);
	}
}

void check_format_op(const struct check_op *op, char *buffer, size_t size)
{
	const struct check_op_info *info = &check_op_info[op->kind];
	struct out o = { buffer, size };

	add(&o, "%s", info->name);
	for (unsigned k = 0; k < 6 && info->arg[k]; k++) {
		add(&o, " ");
		add_arg(&o, info->arg[k], op->a[k]);
	}
}

void check_format_result(const struct check_op *op, const struct check_result *r, char *buffer, size_t size)
{
	struct out o = { buffer, size };

	if (r->signal)
		add(&o, "signal %d code %d at %#" PRIx64, r->signal, r->code, r->addr);
	else if (r->ret < 0 && r->ret > -4096)
		add(&o, "-%s", strerrorname_np((int)-r->ret) ?: "?");
	else
		add(&o, r->ret ? "%#" PRIx64 : "%" PRIx64, (uint64_t)r->ret);
}

void check_print_text(FILE *out, const struct check_sequence *seq)
{
	char line[512];

	for (unsigned i = 0; i < seq->n; i++) {
		check_format_op(&seq->op[i], line, sizeof(line));
		fprintf(out, "%s\n", line);
	}
}

/* ---- parsing ----------------------------------------------------------------------------------- */

static bool parse_word(enum check_arg arg, const char *s, size_t n, uint64_t *value)
{
	for (const struct check_word *w = check_words(arg); w->name; w++)
		if (strlen(w->name) == n && !strncmp(w->name, s, n)) {
			*value |= w->value;
			return true;
		}
	return false;
}

static bool parse_number(const char *s, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = *s == '-' ? (uint64_t)strtoll(s, &end, 0) : strtoull(s, &end, 0);
	return end != s && !*end && !errno;
}

static bool parse_arg(enum check_arg arg, const char *s, uint64_t *value)
{
	*value = 0;
	if (arg == ARG_FILE)
		return parse_number(*s == 'F' ? s + 1 : s, value);
	if (!check_words(arg))
		return parse_number(s, value);
	while (*s) {
		size_t n = strcspn(s, "|");
		char number[32];
		uint64_t v = 0;

		if (!parse_word(arg, s, n, value)) {
			if (n >= sizeof(number))
				return false;
			memcpy(number, s, n);
			number[n] = 0;
			if (!parse_number(number, &v))
				return false;
			*value |= v;
		}
		s += n + (s[n] == '|');
	}
	return true;
}

static bool parse_op(char *line, struct check_op *op)
{
	char *save = NULL, *word = strtok_r(line, " \t\n", &save);

	memset(op, 0, sizeof(*op));
	op->kind = check_kind(word);
	if (op->kind == OP_KINDS)
		return false;
	for (unsigned k = 0; k < 6 && check_op_info[op->kind].arg[k]; k++) {
		word = strtok_r(NULL, " \t\n", &save);
		if (!word || !parse_arg(check_op_info[op->kind].arg[k], word, &op->a[k]))
			return false;
	}
	return !strtok_r(NULL, " \t\n", &save);
}

int check_parse(FILE *in, struct check_sequence *seq, char *why, size_t size)
{
	char line[1024];
	unsigned number = 0;

	seq->n = 0;
	while (fgets(line, sizeof(line), in)) {
		number++;
		if (line[strspn(line, " \t\n")] == 0 || *line == '#')
			continue;
		if (seq->n == CHECK_MAX_OPS) {
			snprintf(why, size, "more than %d operations", CHECK_MAX_OPS);
			return -EINVAL;
		}
		if (!parse_op(line, &seq->op[seq->n++])) {
			snprintf(why, size, "line %u: not an operation", number);
			return -EINVAL;
		}
	}
	if (!seq->n) {
		snprintf(why, size, "no operation in it");
		return -EINVAL;
	}
	return 0;
}

void check_print_areas(FILE *out, const struct check_picture *p, const char *prefix)
{
	const struct check_area *a;

	if (!p)
		return;
	a = check_areas(p);
	for (unsigned i = 0; i < p->areas; i++, a++) {
		fprintf(out, "%s%" PRIx64 "-%" PRIx64 " %c%c%c%c %08" PRIx64, prefix, a->start, a->end,
			a->perm & 1 ? 'r' : '-', a->perm & 2 ? 'w' : '-', a->perm & 4 ? 'x' : '-',
			a->perm & 8 ? 's' : 'p', a->offset);
		if (a->file >= 0)
			fprintf(out, " F%d", a->file);
		else if (a->file == -2)
			fprintf(out, " shared anonymous");
		for (unsigned f = 0; p->full && f < CHECK_NR_VMFLAGS; f++)
			if (a->vmflags >> f & 1)
				fprintf(out, "%s%.2s", f ? " " : "  ", &CHECK_VMFLAGS[3 * f]);
		fprintf(out, "\n");
	}
}

/* ---- a C program ------------------------------------------------------------------------------- */

static const char prelude[] =
"/*\n"
" * Shows one difference between the kernel and aspace.\n"
" *	gcc -static -no-pie -o show show.c && ./show\n"
" */\n"
"#define _GNU_SOURCE\n"
"#include <errno.h>\n#include <fcntl.h>\n#include <setjmp.h>\n#include <signal.h>\n#include <stdint.h>\n"
"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/auxv.h>\n#include <sys/mman.h>\n"
"#include <sys/personality.h>\n#include <sys/prctl.h>\n#include <sys/resource.h>\n#include <sys/syscall.h>\n#include <sys/uio.h>\n"
"#include <sys/wait.h>\n#include <unistd.h>\n\n"
"#define A(x) ((void *)(x))\n"
"#define DO(call) do { errno = 0; long r_ = (long)(call); say(#call, r_); } while (0)\n"
"#define TRY(what) do { if (!(sig = sigsetjmp(env, 1))) { what; say(#what, value); } \\\n"
"	else { printf(\"%s = signal %d code %d at %p\\n\", #what, sig, code, at); } } while (0)\n\n"
"static sigjmp_buf env;\nstatic volatile int sig, code;\nstatic void *volatile at;\n"
"static volatile long value;\nstatic int F[8];\n\n"
"static void say(const char *what, long r)\n{\n"
"	if (r < 0 && r > -4096)\n		printf(\"%s = -1 %s\\n\", what, strerrorname_np(errno));\n"
"	else\n		printf(\"%s = %#lx\\n\", what, r);\n}\n"
"static void on_signal(int s, siginfo_t *info, void *uc)\n{\n"
"	code = info->si_code;\n	at = info->si_addr;\n	siglongjmp(env, s);\n}\n"
"static long file(int f, int kind, long bytes)\n{\n"
"	char path[] = \"/tmp/aspace-show-a\";\n\n	path[17] += f;\n	unlink(path);\n"
"	F[f] = kind < 2 ? memfd_create(\"check\", kind == 1 ? MFD_ALLOW_SEALING : 0) :\n"
"			  open(path, O_RDWR | O_CREAT | O_EXCL, 0600);\n"
"	for (long o = 0; o < bytes; o += 8) {\n"
"		uint64_t w = (o / 8 + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)(f + 1) << 56;\n\n"
"		pwrite(F[f], &w, bytes - o < 8 ? bytes - o : 8, o);\n	}\n"
"	if (kind >= 3)\n		F[f] = open(path, kind == 3 ? O_RDONLY : O_WRONLY);\n	return F[f] < 0 ? -1 : 0;\n}\n"
"static long limit(int which, unsigned long bytes)\n{\n	struct rlimit r;\n\n	getrlimit(which, &r);\n"
"	r.rlim_cur = bytes;\n	return setrlimit(which, &r);\n}\n"
"static void break_at(unsigned long brk)\n{\n"
"	struct prctl_mm_map m = { 0x400000, 0x401000, brk, brk, brk, brk, brk, brk, brk, brk, brk, 0, 0, -1 };\n\n"
"	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0))\n		perror(\"PR_SET_MM_MAP\");\n}\n"
"static long mincore_(unsigned long addr, unsigned long len)\n{\n"
"	static unsigned char vec[65536];\n	long r = syscall(SYS_mincore, addr, len, vec);\n\n"
"	for (unsigned long i = 0; !r && i < (len + 4095) / 4096; i++)\n		putchar('0' + (vec[i] & 1));\n"
"	return r;\n}\n"
"/* The areas of the sequence: this program's own are below or above. No malloc: it moves the break. */\n"
"static void maps(void)\n{\n	static char text[1 << 20], *s = text, *end;\n	unsigned long start = 0;\n"
"	int fd = open(\"/proc/self/smaps\", O_RDONLY);\n	ssize_t n;\n\n"
"	for (end = text; (n = read(fd, end, text + sizeof(text) - 1 - end)) > 0; end += n)\n		;\n"
"	close(fd);\n"
"	for (s = strtok(text, \"\\n\"); s; s = strtok(NULL, \"\\n\")) {\n"
"		int head = strchr(\"0123456789abcdef\", *s) != NULL;\n\n"
"		if (head)\n			start = strtoul(s, NULL, 16);\n"
"		if (start >= 0x10000000 && start < 0x7ffff7fff000 && (head || !strncmp(s, \"VmFlags\", 7)))\n"
"			puts(s);\n	}\n}\n"
"static char out[65536], stack[65536];\n\n"
"int main(int argc, char **argv)\n{\n"
"	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };\n"
"	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };\n"
"	unsigned long vdso = getauxval(AT_SYSINFO_EHDR);\n\n"
"	if (!(personality(-1) & ADDR_NO_RANDOMIZE)) {\n		personality(ADDR_NO_RANDOMIZE);\n"
"		execv(\"/proc/self/exe\", argv);\n	}\n"
"	setvbuf(stdout, out, _IOFBF, sizeof(out));\n	munmap((void *)(vdso - 0x20000), 0x30000);\n"
"	sigaltstack(&ss, NULL);\n"
"	for (int s = 4; s <= 11; s++)\n		sigaction(s, &sa, NULL);\n"
"	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);\n"
"	limit(RLIMIT_MEMLOCK, 8 << 20);\n";

static const char postlude[] = "	maps();\n	return 0;\n}\n";

static void add_c_args(struct out *o, const struct check_op *op, unsigned from)
{
	const struct check_op_info *info = &check_op_info[op->kind];

	for (unsigned k = from; k < 6 && info->arg[k]; k++) {
		add(o, ", ");
		if (info->arg[k] == ARG_FILE)
			add(o, op->a[k] < CHECK_FILES ? "F[%d]" : "%d",
			    op->a[k] < CHECK_FILES ? (int)op->a[k] : -1);
		else if (info->arg[k] == ARG_FILE_KIND)
			add(o, "%d", (int)op->a[k]);
		else
			add_arg(o, info->arg[k], op->a[k]);
	}
}

static void format_c(const struct check_op *op, char *buffer, size_t size)
{
	static const char *const types[] = { [1] = "uint8_t", [2] = "uint16_t", [4] = "uint32_t", [8] = "uint64_t" };
	const char *type = types[op->a[1] == 1 || op->a[1] == 2 || op->a[1] == 4 ? op->a[1] : 8];
	struct out o = { buffer, size };
	unsigned long long a = op->a[0];

	switch (op->kind) {
	case OP_NOP: break;
	case OP_LOAD: add(&o, "TRY(value = *(volatile %s *)%#llx);", type, a); break;
	case OP_STORE:
		add(&o, "TRY(*(volatile %s *)%#llx = %#" PRIx64 ");", type, a, op->a[2]);
		break;
	case OP_CALL: add(&o, "TRY(((void (*)(void))%#llx)());", a); break;
	case OP_PKRU: add(&o, "__asm__ volatile(\"wrpkru\" :: \"a\"(%#llx), \"c\"(0), \"d\"(0));", a); break;
	case OP_FORK:
		add(&o, "fflush(stdout);\n\tif (fork()) wait(NULL); else { /* the child */");
		break;
	case OP_EXIT: add(&o, "maps(); fflush(stdout); _exit(0); }"); break;
	case OP_MINCORE: add(&o, "DO(mincore_(%#llx, %#" PRIx64 "));", a, op->a[1]); break;
	case OP_FILE:
		add(&o, "file(%d, %d, %#" PRIx64 ");", (int)a, (int)op->a[1], op->a[2]);
		break;
	case OP_RLIMIT:
		add(&o, "DO(limit(");
		add_words(&o, ARG_RLIMIT, a);
		add(&o, ", %#" PRIx64 "));", op->a[1]);
		break;
	case OP_PUNCH:
		add(&o, "DO(fallocate(F[%d], 3, %#" PRIx64 ", %#" PRIx64 "));", (int)a, op->a[1], op->a[2]);
		break;
	case OP_PREAD: add(&o, "value = 0;\n\tDO(pread(F[%d], (void *)&value, 8, %#" PRIx64 ") < 0 ? -1 : value);", (int)a, op->a[1]); break;
	case OP_PWRITE:
		add(&o, "value = %#" PRIx64 ";\n\tDO(pwrite(F[%d], (void *)&value, 8, %#" PRIx64 "));", op->a[2],
		    (int)a, op->a[1]);
		break;
	case OP_SEAL_FILE:
		add(&o, "DO(fcntl(F[%d], F_ADD_SEALS, %#" PRIx64 "));", (int)a, op->a[1]);
		break;
	case OP_TRUNCATE: add(&o, "DO(ftruncate(F[%d], %#" PRIx64 "));", (int)a, op->a[1]); break;
	case OP_READ_TO: case OP_WRITE_FROM:
		add(&o, "{ int p_[2]; pipe(p_); write(p_[1], out + 32768, %" PRIu64 "); DO(%s(p_[%d], A(%#llx), %" PRIu64 ")); }",
		    op->kind == OP_READ_TO ? op->a[1] : 0, op->kind == OP_READ_TO ? "read" : "write",
		    op->kind == OP_READ_TO ? 0 : 1, a, op->a[1]);
		break;
	case OP_VM_READ: case OP_VM_WRITE:
		add(&o, "{ struct iovec l_ = { out + 32768, %" PRIu64 " }, r_ = { A(%#llx), l_.iov_len }; "
			"DO(process_vm_%sv(getpid(), &l_, 1, &r_, 1, 0)); }", op->a[1], a,
		    op->kind == OP_VM_READ ? "read" : "write");
		break;
	case OP_MEM_READ: case OP_MEM_WRITE:
		add(&o, "{ int f_ = open(\"/proc/self/mem\", O_RDWR); DO(p%s(f_, out + 32768, %" PRIu64 ", %#llx)); }",
		    op->kind == OP_MEM_READ ? "read" : "write", op->a[1], a);
		break;
	case OP_PROCESS_MADVISE:
		add(&o, "{ struct iovec v_[2] = { { A(%#llx), %#" PRIx64 " }, { A(%#" PRIx64 "), %#" PRIx64 " } }; "
			"DO(syscall(440, syscall(434, getpid(), 0), v_, 2, %" PRId64 ", 0)); }", a, op->a[1], op->a[3],
		    op->a[4], (int64_t)op->a[2]);
		break;
	case OP_MDWE: add(&o, "DO(prctl(PR_SET_MDWE, %llu, 0, 0, 0));", a); break;
	case OP_MSEAL: add(&o, "DO(syscall(462, %#llx", a); add_c_args(&o, op, 1); add(&o, "));"); break;
	case OP_BRK:
		add(&o, "DO(syscall(SYS_brk, %#llx));", a);
		break;
	case OP_MUNLOCKALL: add(&o, "DO(munlockall());"); break;
	default:
		add(&o, "DO(syscall(SYS_%s, ", check_op_info[op->kind].name);
		add_arg(&o, check_op_info[op->kind].arg[0], a);
		add_c_args(&o, op, 1);
		add(&o, "));");
	}
}

void check_print_c(FILE *out, const struct check_sequence *seq, const struct check_trace *host,
		   const struct check_trace *ours, const struct check_difference *d)
{
	char line[1024], lh[96], lo[96];
	bool child = false;

	fputs(prelude, out);
	for (unsigned i = 0; i < seq->n; i++)
		if (seq->op[i].kind == OP_BRK) {
			fprintf(out, "	break_at(%#llx);\n", CHECK_HEAP);
			break;
		}
	for (unsigned i = 0; i < seq->n; i++) {
		const struct check_op *op = &seq->op[i];

		format_c(op, line, sizeof(line));
		check_format_result(op, &host->result[i], lh, sizeof(lh));
		check_format_result(op, &ours->result[i], lo, sizeof(lo));
		if (op->kind == OP_FORK)
			child = true;
		if (op->kind == OP_EXIT && !child)
			continue;
		fprintf(out, "\t%s\t/* Linux %s; aspace %s */\n", line, lh, lo);
		if (op->kind == OP_EXIT)
			child = false;
		if (i == d->step)
			fprintf(out, "\t/* differs here: %s */\n", d->what);
	}
	if (child)
		fputs("	maps(); fflush(stdout); _exit(0); }\n", out);
	fputs(postlude, out);
	fprintf(out, "/*\n * Linux:\n");
	check_print_areas(out, check_picture(host, d->step), " *   ");
	fprintf(out, " * aspace:\n");
	check_print_areas(out, check_picture(ours, d->step), " *   ");
	fprintf(out, " */\n");
}
