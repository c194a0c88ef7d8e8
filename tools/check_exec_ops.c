/* SPDX-License-Identifier: MIT */
/* The kernel's side: the operations, each a system call or an access. */
#include "check_exec.h"

/* ---- files ------------------------------------------------------------------------------------- */

static HOME void append(char *to, const char *what)
{
	while (*to)
		to++;
	while ((*to++ = *what++))
		;
}

static HOME int64_t fill(int64_t fd, unsigned f, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += CHECK_PAGE) {
		uint64_t n = bytes - at < CHECK_PAGE ? bytes - at : CHECK_PAGE;

		for (unsigned i = 0; i < 512; i++)
			ST->words[i] = check_pattern(f, at + i * 8);
		if (SYS(SYS_pwrite64, fd, ST->words, n, at) != (int64_t)n)
			return -EIO;
	}
	return 0;
}

static HOME int64_t op_file(uint64_t f, uint64_t kind, uint64_t bytes)
{
	struct stat st;
	int64_t fd, second = -1;

	if (f >= CHECK_FILES)
		return -EINVAL;
	if (kind <= FILE_SEALABLE) {
		fd = SYS(SYS_memfd_create, "check", kind == FILE_SEALABLE ? 2 : 0);
	} else {
		char name[] = "/a";

		name[1] = 'a' + f;
		ST->path[0] = 0;
		append(ST->path, RING->tmp_dir);
		append(ST->path, name);
		SYS(SYS_unlink, ST->path);
		fd = SYS(SYS_open, ST->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	}
	if (fd < 0)
		die(43);
	if (fill(fd, f, bytes))
		die(44);
	if (kind == FILE_TMP_RO || kind == FILE_TMP_WO) {
		second = SYS(SYS_open, ST->path, kind == FILE_TMP_RO ? O_RDONLY : O_WRONLY);
		SYS(SYS_close, fd);
		fd = second;
	}
	if (SYS(SYS_fstat, fd, &st) < 0)
		die(45);
	ST->file[f].dev = st.st_dev;
	ST->file[f].ino = st.st_ino;
	ST->file[f].kind = kind;
	SYS(SYS_dup2, fd, FD_FILE + f);
	SYS(SYS_close, fd);
	return 0;
}

/* ---- operations -------------------------------------------------------------------------------- */

static HOME uint64_t file_fd(uint64_t f)
{
	return f < CHECK_FILES ? FD_FILE + f : (uint64_t)-1;
}

static inline HOME void write_pkru(uint32_t pkru)
{
	__asm__ volatile("wrpkru" :: "a"(pkru), "c"(0), "d"(0) : "memory");
}

static HOME int64_t op_mincore(uint64_t addr, uint64_t len)
{
	int64_t ret;
	uint64_t h = 0, n = (len + CHECK_PAGE - 1) / CHECK_PAGE;

	if (n > sizeof(ST->vec))
		return SYS(SYS_mincore, addr, len, 0x10);	/* for its error; 0x10 is never there */
	ret = SYS(SYS_mincore, addr, len, ST->vec);
	if (ret)
		return ret;
	for (uint64_t i = 0; i < n; i++)
		h = h * 31 + (ST->vec[i] & 1) + 1;
	return h & 0x7fffffffffffffffull;
}

static HOME int64_t op_rlimit(uint64_t which, uint64_t bytes)
{
	struct rlimit r;

	SYS(SYS_getrlimit, which, &r);
	r.rlim_cur = bytes < r.rlim_max ? bytes : r.rlim_max;
	return SYS(SYS_setrlimit, which, &r);
}

/* The number of bytes, and in a read a hash of them. */
static HOME int64_t counted(int64_t ret, bool read)
{
	uint64_t h = 0;

	if (ret <= 0 || !read)
		return ret;
	for (int64_t i = 0; i < ret; i++)
		h = h * 31 + (unsigned char)ST->text[i];
	return ret | (int64_t)(h & 0xffffffff) << 20;
}

/* A pipe carries bytes from and to the sequence's memory: user copies by the kernel. */
static HOME int64_t op_copy(const struct check_op *op)
{
	uint64_t n = op->a[1] < CHECK_PAGE * 4 ? op->a[1] : CHECK_PAGE * 4;
	int64_t ret, have;

	if (op->kind == OP_WRITE_FROM) {
		ret = SYS(SYS_write, FD_PIPE_W, op->a[0], n);
		if (ret <= 0)
			return ret;
		SYS(SYS_read, FD_PIPE_R, ST->text, ret);
		return counted(ret, true);
	}
	for (uint64_t i = 0; i < n; i++)
		ST->text[i] = (char)(i + n);
	have = SYS(SYS_write, FD_PIPE_W, ST->text, n);
	ret = SYS(SYS_read, FD_PIPE_R, op->a[0], n);
	if (ret < have)		/* what could not be copied is still in the pipe */
		SYS(SYS_read, FD_PIPE_R, ST->text, have);
	return ret;
}

/* process_vm_readv and process_vm_writev, /proc/PID/mem: as another process would. */
static HOME int64_t op_remote(const struct check_op *op)
{
	uint64_t n = op->a[1] < CHECK_PAGE * 4 ? op->a[1] : CHECK_PAGE * 4;
	struct iovec local = { ST->text, n }, remote = { (void *)op->a[0], n };
	bool read = op->kind == OP_VM_READ || op->kind == OP_MEM_READ;
	int64_t pid = SYS(SYS_getpid);

	for (uint64_t i = 0; i < n; i++)
		ST->text[i] = (char)(i + n);
	switch (op->kind) {
	case OP_VM_READ: return counted(SYS(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0), true);
	case OP_VM_WRITE: return SYS(SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0);
	}
	return counted(SYS(read ? SYS_pread64 : SYS_pwrite64, FD_PROC + PROC_MEM, ST->text, n, op->a[0]), read);
}

static HOME int64_t op_fork(struct check_slot *slot, unsigned i)
{
	int status = 0;
	int64_t pid;

	if (ST->child)
		return -ENOSYS;		/* one generation is enough */
	pid = SYS(SYS_fork);
	if (pid < 0)
		return pid;
	if (!pid) {
		exec_open_proc();
		ST->child = 1;
		exec_run(slot, i + 1, check_fork_end(&slot->seq, i));
		die(0);
	}
	SYS(SYS_wait4, pid, &status, 0, 0);
	return status;
}

/* Two pieces, of ourselves. */
static HOME int64_t op_process_madvise(const uint64_t *a)
{
	struct iovec pieces[2] = { { (void *)a[0], a[1] }, { (void *)a[3], a[4] } };
	int64_t pid = SYS(SYS_getpid), fd = SYS(SYS_pidfd_open, pid, 0), ret;

	if (fd < 0)
		die(43);
	ret = SYS(SYS_process_madvise, fd, pieces, 2, a[2], 0);
	SYS(SYS_close, fd);
	return ret;
}

static HOME int64_t operate(struct check_slot *slot, unsigned i, const struct check_op *op)
{
	const uint64_t *a = op->a;
	uint64_t value;

	switch (op->kind) {
	case OP_MMAP: return SYS(SYS_mmap, a[0], a[1], a[2], a[3], file_fd(a[4]), a[5]);
	case OP_MUNMAP: return SYS(SYS_munmap, a[0], a[1]);
	case OP_BRK: return SYS(SYS_brk, a[0]);
	case OP_MPROTECT: return SYS(SYS_mprotect, a[0], a[1], a[2]);
	case OP_PKEY_MPROTECT: return SYS(SYS_pkey_mprotect, a[0], a[1], a[2], a[3]);
	case OP_PKEY_ALLOC: return SYS(SYS_pkey_alloc, a[0], a[1]);
	case OP_PKEY_FREE: return SYS(SYS_pkey_free, a[0]);
	case OP_MREMAP: return SYS(SYS_mremap, a[0], a[1], a[2], a[3], a[4]);
	case OP_MADVISE: return SYS(SYS_madvise, a[0], a[1], a[2]);
	case OP_PROCESS_MADVISE: return op_process_madvise(a);
	case OP_MLOCK: return SYS(SYS_mlock, a[0], a[1]);
	case OP_MLOCK2: return SYS(SYS_mlock2, a[0], a[1], a[2]);
	case OP_MUNLOCK: return SYS(SYS_munlock, a[0], a[1]);
	case OP_MLOCKALL: return SYS(SYS_mlockall, a[0]);
	case OP_MUNLOCKALL: return SYS(SYS_munlockall);
	case OP_MSYNC: return SYS(SYS_msync, a[0], a[1], a[2]);
	case OP_MINCORE: return op_mincore(a[0], a[1]);
	case OP_REMAP_FILE_PAGES: return SYS(SYS_remap_file_pages, a[0], a[1], a[2], a[3], a[4]);
	case OP_MSEAL: return SYS(462, a[0], a[1], a[2]);
	case OP_LOAD: return exec_load(a[0], a[1]);
	case OP_STORE: exec_store(a[0], a[1], a[2]); return 0;
	case OP_CALL: exec_call(a[0]); return 0;
	case OP_PKRU: write_pkru(a[0]); return 0;
	case OP_FILE: return op_file(a[0], a[1], a[2]);
	case OP_TRUNCATE: return SYS(SYS_ftruncate, file_fd(a[0]), a[1]);
	case OP_PUNCH: return SYS(SYS_fallocate, file_fd(a[0]), 3, a[1], a[2]);
	case OP_PREAD:
		value = 0;
		ST->words[0] = (uint64_t)SYS(SYS_pread64, file_fd(a[0]), &value, 8, a[1]);
		return (int64_t)ST->words[0] < 0 ? (int64_t)ST->words[0] :
						   (int64_t)(value & 0xffffffffffffff);
	case OP_PWRITE:
		value = a[2];
		return SYS(SYS_pwrite64, file_fd(a[0]), &value, 8, a[1]);
	case OP_SEAL_FILE: return SYS(SYS_fcntl, file_fd(a[0]), 1033, a[1]);
	case OP_READ_TO: case OP_WRITE_FROM: return op_copy(op);
	case OP_VM_READ: case OP_VM_WRITE: case OP_MEM_READ: case OP_MEM_WRITE: return op_remote(op);
	case OP_RLIMIT: return op_rlimit(a[0], a[1]);
	case OP_PERSONALITY: SYS(SYS_personality, a[0]); return 0;
	case OP_MDWE: return SYS(SYS_prctl, 65, a[0], 0, 0, 0);
	case OP_FORK: return op_fork(slot, i);
	}
	return 0;
}

HOME void exec_run(struct check_slot *slot, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		const struct check_op *op = &slot->seq.op[i];
		struct check_result *r = &slot->trace.result[i];
		unsigned look = check_look_at(&slot->look, i, slot->seq.n);
		int64_t ret;

		ST->signal = 0;
		ret = operate(slot, i, op);
		if (op->kind == OP_LOAD || op->kind == OP_STORE || op->kind == OP_CALL) {
			r->signal = ST->signal;
			r->code = ST->signal ? ST->code : 0;
			r->addr = ST->signal ? ST->addr : 0;
			ret = ST->signal ? 0 : ret;
		}
		r->ret = ret;
		if (op->kind == OP_FORK && ret >= 0)	/* the child's are done */
			i = check_fork_end(&slot->seq, i) - 1;
		if (look)
			exec_picture(slot, r - slot->trace.result, look);
		slot->trace.done = i + 1;
	}
}
