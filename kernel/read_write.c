/* SPDX-License-Identifier: MIT */
/*
 * Moving bytes between guest memory and files.
 *
 *   guest memory <-- copy_to/from_iter --> bounce <-- host call, aspace_mapping_*, kfile ops --> file
 *
 * Files with positions (regular, block, quiet devices) never block and are read until n bytes are
 * there or the end is. Streams give what they have: one host call on a description that never
 * blocks; EAGAIN becomes a wait. Bytes that a blocking write has moved before it must wait are kept
 * in wait.state[0].
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

#define MAX_RW_COUNT 0x7ffff000ul
#define MAX_IOV 1024
#define PAGE_BYTES 4096ul

char bounce[BOUNCE_SIZE];

/* ---- guest memory in pieces */

void iov_single(struct task_struct *task, struct iov_iter *it, uint64_t user, size_t n)
{
	*it = (struct iov_iter){ .task = task, .nr = 1 };
	it->one.iov_base = (void *)user;
	it->one.iov_len = it->left = n < MAX_RW_COUNT ? n : MAX_RW_COUNT;
	it->iov = NULL;
}

static struct iovec *iov_at(struct iov_iter *it, size_t seg)
{
	return it->iov ? &it->iov[seg] : &it->one;
}

int iov_import(struct task_struct *task, struct iov_iter *it, uint64_t user, uint64_t nr)
{
	*it = (struct iov_iter){ .task = task, .nr = nr };
	if (nr > MAX_IOV)
		return -EINVAL;
	if (!nr)
		return 0;
	it->iov = malloc(nr * sizeof(*it->iov));
	if (!it->iov)
		return -ENOMEM;
	if (copy_from_user(task, it->iov, user, nr * sizeof(*it->iov))) {
		iov_free(it);
		return -EFAULT;
	}
	for (size_t i = 0; i < nr; i++) {
		size_t len = it->iov[i].iov_len;

		if ((ssize_t)len < 0) {
			iov_free(it);
			return -EINVAL;
		}
		if (len > MAX_RW_COUNT - it->left)
			it->iov[i].iov_len = len = MAX_RW_COUNT - it->left;
		it->left += len;
	}
	return 0;
}

void iov_free(struct iov_iter *it)
{
	free(it->iov);
	it->iov = NULL;
}

/* The piece that comes next: its address, and in *n at most what was in *n. */
static uint64_t iov_piece(struct iov_iter *it, size_t *n)
{
	struct iovec *v = iov_at(it, it->seg);

	while (it->seg_done == v->iov_len) {
		v = iov_at(it, ++it->seg);
		it->seg_done = 0;
	}
	if (*n > v->iov_len - it->seg_done)
		*n = v->iov_len - it->seg_done;
	return (uint64_t)v->iov_base + it->seg_done;
}

static void iov_step(struct iov_iter *it, size_t n)
{
	it->seg_done += n;
	it->left -= n;
}

void iov_advance(struct iov_iter *it, size_t n)
{
	while (n && it->left) {
		size_t piece = n;

		iov_piece(it, &piece);
		iov_step(it, piece);
		n -= piece;
	}
}

size_t copy_to_iter(struct iov_iter *it, const void *from, size_t n)
{
	size_t done = 0;

	while (done < n && it->left) {
		size_t piece = n - done, failed;
		uint64_t user = iov_piece(it, &piece);

		failed = copy_to_user(it->task, user, (const char *)from + done, piece);
		iov_step(it, piece - failed);
		done += piece - failed;
		if (failed)
			break;
	}
	return done;
}

size_t copy_from_iter(struct iov_iter *it, void *to, size_t n)
{
	size_t done = 0;

	while (done < n && it->left) {
		size_t piece = n - done, failed;
		uint64_t user = iov_piece(it, &piece);

		failed = copy_from_user(it->task, (char *)to + done, user, piece);
		iov_step(it, piece - failed);
		done += piece - failed;
		if (failed)
			break;
	}
	return done;
}

/* ---- waiting */

int64_t io_interrupted(struct task_struct *task)
{
	return task->wait.state[0];
}

/* The deadline is kept in state[3]. -EAGAIN once it has passed, which is what SO_*TIMEO says. */
int64_t wait_for_io(struct task_struct *task, int host_fd, short events, uint64_t timeout_ns)
{
	if (timeout_ns) {
		if (!task->wait.state[3])
			task->wait.state[3] = monotonic_ns() + timeout_ns;
		else if (monotonic_ns() >= task->wait.state[3])
			return -EAGAIN;
		wait_until(task, task->wait.state[3]);
	}
	task->wait.interrupted = io_interrupted;
	wait_for_fd(task, host_fd, events);
	return -ERESTART_WAIT;
}

/* ---- one host call on a stream */

static bool ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll_now(&p, 1) > 0;
}

/* A description from outside may block: ask before each step, and take small ones. */
static ssize_t stream_read(struct kfile *f, void *buf, size_t n)
{
	if (f->outside && !ready(f->host_fd, POLLIN)) {
		errno = EAGAIN;
		return -1;
	}
	return read(f->host_fd, buf, n);
}

static ssize_t stream_write(struct kfile *f, const void *buf, size_t n)
{
	struct iovec iov = { (void *)buf, n };
	ssize_t r;

	if (!f->outside)
		return write(f->host_fd, buf, n);
	if (f->kind == KFILE_SOCKET)
		return send(f->host_fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (f->kind == KFILE_PIPE) {
		r = pwritev2(f->host_fd, &iov, 1, -1, RWF_NOWAIT);
		if (r >= 0 || errno != EOPNOTSUPP)
			return r;
	}
	if (!ready(f->host_fd, POLLOUT)) {
		errno = EAGAIN;
		return -1;
	}
	return write(f->host_fd, buf, n < PIPE_BUF ? n : PIPE_BUF);
}

static bool is_stream(struct kfile *f)
{
	return f->kind > KFILE_CHR;
}

/* ---- reading */

/* One step at pos (or the file's position); what went in but not out is given back to the position. */
static ssize_t host_read(struct kfile *f, void *buf, size_t n, int64_t pos)
{
	ssize_t r;

	do
		r = pos == FILE_POSITION ? read(f->host_fd, buf, n) : pread(f->host_fd, buf, n, pos);
	while (r < 0 && errno == EINTR);
	return r;
}

static int64_t read_host(struct kfile *f, struct iov_iter *it, int64_t pos)
{
	int64_t done = 0;

	do {
		size_t want = it->left < BOUNCE_SIZE ? it->left : BOUNCE_SIZE;
		ssize_t got = host_read(f, bounce, want, pos == FILE_POSITION ? pos : pos + done);
		size_t out;

		if (got < 0)
			return done ? done : -errno;
		out = copy_to_iter(it, bounce, got);
		done += out;
		if (out < (size_t)got) {
			if (pos == FILE_POSITION && f->host_seekable)
				lseek(f->host_fd, (off_t)out - got, SEEK_CUR);
			return done ? done : -EFAULT;
		}
		/* The host's timer cuts reads of zero and urandom short: the guest asked for all of it. */
		if (!got || ((size_t)got < want && !f->endless))
			break;
	} while (it->left);
	return done;
}

static int64_t read_cached(struct kfile *f, struct iov_iter *it, int64_t pos)
{
	int64_t at = pos == FILE_POSITION ? lseek(f->host_fd, 0, SEEK_CUR) : pos, done = 0;

	if (at < 0)
		return -EINVAL;
	while (it->left) {
		size_t want = it->left < BOUNCE_SIZE ? it->left : BOUNCE_SIZE, out;
		int64_t got = aspace_mapping_read(f->inode->mapping, at + done, bounce, want);

		if (got <= 0) {
			if (got < 0 && !done)
				return got;
			break;
		}
		out = copy_to_iter(it, bounce, got);
		done += out;
		if (out < (size_t)got) {
			if (!done)
				return -EFAULT;
			break;
		}
		if ((size_t)got < want)
			break;
	}
	if (pos == FILE_POSITION)
		lseek(f->host_fd, at + done, SEEK_SET);
	return done;
}

static int64_t read_made(struct kfile *f, struct iov_iter *it, int64_t pos)
{
	uint64_t at = pos == FILE_POSITION ? f->pos : (uint64_t)pos;
	int64_t done = 0;

	if (!f->ops->read)
		return f->kind == KFILE_DIR ? -EISDIR : -EINVAL;
	while (it->left) {
		size_t want = it->left < BOUNCE_SIZE ? it->left : BOUNCE_SIZE, out;
		int64_t got = f->ops->read(f, it->task, at + done, bounce, want);

		if (got <= 0) {
			if (got < 0 && !done)
				return got;
			break;
		}
		out = copy_to_iter(it, bounce, got);
		done += out;
		if (out < (size_t)got) {
			if (!done)
				return -EFAULT;
			break;
		}
		if ((size_t)got < want)	/* as far as it went: records are whole */
			break;
	}
	if (pos == FILE_POSITION)
		f->pos = at + done;
	return done;
}

/* The first bytes of what comes next that can be stored to, at most n; pages are brought in for it. */
static size_t iov_storable(const struct iov_iter *it, size_t n)
{
	struct iov_iter at = *it;	/* iov_piece leaves what it->iov points to alone */
	size_t done = 0;
	char byte;

	while (done < n && at.left) {
		size_t piece = n - done, page;
		uint64_t user = iov_piece(&at, &piece);

		page = PAGE_BYTES - user % PAGE_BYTES;
		piece = piece < page ? piece : page;
		if (copy_from_user(it->task, &byte, user, 1) || copy_to_user(it->task, user, &byte, 1))
			break;
		iov_step(&at, piece);
		done += piece;
	}
	return done;
}

/*
 * What is read from a pipe is gone from it: bytes that have nowhere to go must stay there. How many of
 * want to ask for; 0: EFAULT. As in Linux, a page of the pipe is read whole or not at all.
 */
static size_t stream_room(struct kfile *f, struct iov_iter *it, size_t want)
{
	int there = 0;
	size_t room, n;

	if (f->kind == KFILE_ANON || (f->kind == KFILE_SOCKET && sock_type(f) != SOCK_STREAM))
		return want;
	if (ioctl(f->host_fd, FIONREAD, &there) < 0 || there <= 0)
		return want;
	n = (size_t)there < want ? (size_t)there : want;
	room = iov_storable(it, n);
	return room == n ? want : room - room % PAGE_BYTES;
}

static int64_t read_stream(struct kfile *f, struct iov_iter *it, unsigned rwf)
{
	struct task_struct *task = it->task;
	size_t want = it->left < BOUNCE_SIZE ? it->left : BOUNCE_SIZE, out;
	int64_t err = f->kind == KFILE_TTY ? tty_check_change(task, f, SIGTTIN) : 0;
	ssize_t got;

	if (err)
		return err;
	if (want) {
		want = stream_room(f, it, want);
		if (!want)
			return -EFAULT;
	}
	got = stream_read(f, bounce, want);

	if (got < 0 && errno == EAGAIN) {
		if (f->nonblock || rwf & RWF_NOWAIT)
			return -EAGAIN;
		return wait_for_io(task, f->host_fd, POLLIN, f->rcvtimeo_ns);
	}
	if (got < 0)
		return -errno;
	out = copy_to_iter(it, bounce, got);
	return got && !out ? -EFAULT : (int64_t)out;
}

static int64_t do_read(struct kfile *f, struct iov_iter *it, int64_t pos, unsigned rwf)
{
	if (f->path_only || f->accmode == O_WRONLY)
		return -EBADF;
	if (f->ops)
		return read_made(f, it, pos);
	if (is_stream(f))
		return pos == FILE_POSITION ? read_stream(f, it, rwf) : -ESPIPE;
	if (inode_through_cache(f->inode))
		return read_cached(f, it, pos);
	return read_host(f, it, pos);
}

/* ---- writing */

/* Bytes that RLIMIT_FSIZE lets a write of n at pos have. */
static int64_t limit_size(struct task_struct *task, struct kfile *f, int64_t pos, size_t n)
{
	uint64_t limit = task->signal->rlim[RLIMIT_FSIZE].cur;
	struct stat st;

	if (limit == UINT64_MAX || !f->inode)
		return n;
	if (f->append && !fstat(f->host_fd, &st))
		pos = st.st_size;
	else if (pos == FILE_POSITION)
		pos = lseek(f->host_fd, 0, SEEK_CUR);
	if ((uint64_t)pos >= limit) {
		send_signal(task, SIGXFSZ, NULL, false);
		return -EFBIG;
	}
	return n < limit - pos ? n : limit - pos;
}

/* Shared memory has no host contents: the host's file only carries the length and the position. */
static int64_t write_shmem(struct kfile *f, struct iov_iter *it, int64_t pos)
{
	int64_t at = pos, done = 0;

	if (f->append)
		at = aspace_mapping_bytes(f->inode->mapping);
	else if (pos == FILE_POSITION)
		at = lseek(f->host_fd, 0, SEEK_CUR);
	while (it->left) {
		size_t n = copy_from_iter(it, bounce, it->left < BOUNCE_SIZE ? it->left : BOUNCE_SIZE);
		int64_t put = n ? aspace_mapping_write(f->inode->mapping, at + done, bounce, n) : -EFAULT;

		if (put <= 0) {
			if (!done)
				return put;
			break;
		}
		done += put;
		if ((size_t)put < n)
			break;
	}
	if (ftruncate(f->host_fd, aspace_mapping_bytes(f->inode->mapping)) < 0)
		return -errno;
	if (pos == FILE_POSITION)
		lseek(f->host_fd, at + done, SEEK_SET);
	return done;
}

static ssize_t host_write(struct kfile *f, const void *buf, size_t n, int64_t pos, unsigned rwf)
{
	struct iovec iov = { (void *)buf, n };
	ssize_t r;

	do
		r = rwf ? pwritev2(f->host_fd, &iov, 1, pos, rwf) :
			pos == FILE_POSITION ? write(f->host_fd, buf, n) : pwrite(f->host_fd, buf, n, pos);
	while (r < 0 && errno == EINTR);
	return r;
}

/* Where the n bytes went that were just written. */
static uint64_t written_at(struct kfile *f, int64_t pos, size_t n)
{
	struct stat st;

	if (f->append && !fstat(f->host_fd, &st))
		return st.st_size - n;
	return pos == FILE_POSITION ? lseek(f->host_fd, 0, SEEK_CUR) - n : (uint64_t)pos;
}

static int64_t write_host(struct kfile *f, struct iov_iter *it, int64_t pos, unsigned rwf)
{
	int64_t done = 0;

	do {
		size_t want = it->left < BOUNCE_SIZE ? it->left : BOUNCE_SIZE;
		size_t n = copy_from_iter(it, bounce, want);
		int64_t at = pos == FILE_POSITION ? pos : pos + done;
		ssize_t put;

		if (n < want && !n)
			return done ? done : -EFAULT;
		put = host_write(f, bounce, n, at, rwf);
		if (put < 0)
			return done ? done : -errno;
		if (f->inode && f->inode->mapping)
			inode_written(f->inode, f->host_fd, written_at(f, at, put), bounce, put);
		done += put;
		if ((size_t)put < want)
			break;
	} while (it->left);
	return done;
}

static int64_t write_made(struct kfile *f, struct iov_iter *it, int64_t pos)
{
	uint64_t at = pos == FILE_POSITION ? f->pos : (uint64_t)pos;
	size_t n;
	int64_t put;

	if (!f->ops->write)
		return -EINVAL;
	n = copy_from_iter(it, bounce, it->left < BOUNCE_SIZE ? it->left : BOUNCE_SIZE);
	if (!n && it->left)
		return -EFAULT;
	put = f->ops->write(f, it->task, at, bounce, n);
	if (put > 0 && pos == FILE_POSITION)
		f->pos = at + put;
	return put;
}

static int64_t write_failed(struct task_struct *task, int64_t done, bool no_signal)
{
	if (errno == EPIPE && !no_signal)
		send_signal(task, SIGPIPE, NULL, false);
	return done ? done : -errno;
}

/* A pipe takes 64 KiB at best; a message of a socket must go in one piece. */
static size_t stream_chunk(struct kfile *f)
{
	return f->kind == KFILE_SOCKET ? BOUNCE_SIZE : 64 << 10;
}

static int64_t write_stream(struct kfile *f, struct iov_iter *it, unsigned rwf)
{
	struct task_struct *task = it->task;
	int64_t done = task->wait.state[0];
	size_t chunk = stream_chunk(f);

	iov_advance(it, done);
	do {
		size_t want = it->left < chunk ? it->left : chunk;
		size_t n = copy_from_iter(it, bounce, want), put = 0;

		if (n < want && !n)
			return done ? done : -EFAULT;
		do {
			ssize_t r = stream_write(f, bounce + put, n - put);

			if (r < 0 && errno == EAGAIN) {
				if (f->nonblock || rwf & RWF_NOWAIT)
					return done ? done : -EAGAIN;
				task->wait.state[0] = done;
				r = wait_for_io(task, f->host_fd, POLLOUT, f->sndtimeo_ns);
				return r == -EAGAIN && done ? done : r;
			}
			if (r < 0)
				return write_failed(task, done, false);
			if (f->pty_master)
				tty_typed(task->kernel, f, bounce + put, r);
			put += r;
			done += r;
		} while (put < n);
	} while (it->left);
	return done;
}

static int64_t do_write(struct kfile *f, struct iov_iter *it, int64_t pos, unsigned rwf)
{
	int64_t n;

	if (f->path_only || f->accmode == O_RDONLY)
		return -EBADF;
	if (f->ops)
		return write_made(f, it, pos);
	if (is_stream(f))
		return pos == FILE_POSITION ? write_stream(f, it, rwf) : -ESPIPE;
	n = limit_size(it->task, f, pos, it->left);
	if (n < 0)
		return n;
	it->left = n;
	if (f->inode && f->inode->shmem)
		return write_shmem(f, it, pos);
	return write_host(f, it, pos, rwf);
}

/* ---- system calls */

SYSCALL(read)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	struct iov_iter it;

	if (!f)
		return -EBADF;
	iov_single(task, &it, args->a[1], args->a[2]);
	return do_read(f, &it, FILE_POSITION, 0);
}

SYSCALL(write)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	struct iov_iter it;

	if (!f)
		return -EBADF;
	iov_single(task, &it, args->a[1], args->a[2]);
	return do_write(f, &it, FILE_POSITION, 0);
}

/* pread and pwrite at negative offsets are EINVAL, but for files whose offsets are addresses. */
static bool bad_offset(struct kfile *f, int64_t pos)
{
	return pos < 0 && !f->ops;
}

SYSCALL(pread64)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	int64_t pos = args->a[3];
	struct iov_iter it;

	if (!f)
		return -EBADF;
	if (bad_offset(f, pos))
		return -EINVAL;
	iov_single(task, &it, args->a[1], args->a[2]);
	return do_read(f, &it, pos, 0);
}

SYSCALL(pwrite64)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	int64_t pos = args->a[3];
	struct iov_iter it;

	if (!f)
		return -EBADF;
	if (bad_offset(f, pos))
		return -EINVAL;
	iov_single(task, &it, args->a[1], args->a[2]);
	return do_write(f, &it, pos, 0);
}

struct rwv {			/* one vectored call */
	int fd;
	uint64_t iov, nr;
	bool positioned, write;
	int64_t pos;
	unsigned flags;
};

static int64_t do_rwv(struct task_struct *task, const struct rwv *c)
{
	const unsigned known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
	struct kfile *f = fcheck(task, c->fd);
	struct iov_iter it;
	int64_t r;

	if (!f)
		return -EBADF;
	if (c->positioned && bad_offset(f, c->pos))
		return -EINVAL;
	if (c->flags & ~known)
		return -EOPNOTSUPP;
	r = iov_import(task, &it, c->iov, c->nr);
	if (r)
		return r;
	r = c->write ? do_write(f, &it, c->positioned ? c->pos : FILE_POSITION, c->flags) :
		       do_read(f, &it, c->positioned ? c->pos : FILE_POSITION, c->flags);
	iov_free(&it);
	return r;
}

SYSCALL(readv)
{
	struct rwv c = { .fd = args->a[0], .iov = args->a[1], .nr = args->a[2] };

	return do_rwv(task, &c);
}

SYSCALL(writev)
{
	struct rwv c = { .fd = args->a[0], .iov = args->a[1], .nr = args->a[2], .write = true };

	return do_rwv(task, &c);
}

SYSCALL(preadv)
{
	struct rwv c = { .fd = args->a[0], .iov = args->a[1], .nr = args->a[2], .pos = args->a[3],
			 .positioned = true };

	return do_rwv(task, &c);
}

SYSCALL(pwritev)
{
	struct rwv c = { .fd = args->a[0], .iov = args->a[1], .nr = args->a[2], .pos = args->a[3],
			 .positioned = true, .write = true };

	return do_rwv(task, &c);
}

SYSCALL(preadv2)
{
	struct rwv c = { .fd = args->a[0], .iov = args->a[1], .nr = args->a[2], .pos = args->a[3],
			 .positioned = (int64_t)args->a[3] != -1, .flags = args->a[5] };

	return do_rwv(task, &c);
}

SYSCALL(pwritev2)
{
	struct rwv c = { .fd = args->a[0], .iov = args->a[1], .nr = args->a[2], .pos = args->a[3],
			 .positioned = (int64_t)args->a[3] != -1, .flags = args->a[5], .write = true };

	return do_rwv(task, &c);
}

static int64_t lseek_made(struct kfile *f, int64_t offset, int whence)
{
	if (whence == SEEK_CUR)
		offset += f->pos;
	else if (whence != SEEK_SET)
		return -EINVAL;
	return f->pos = offset;
}

SYSCALL(lseek)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	if (!f || f->path_only)
		return -EBADF;
	if (f->ops)
		return lseek_made(f, args->a[1], (int)args->a[2]);
	if (inode_through_cache(f->inode) && (int)args->a[2] >= SEEK_DATA && !f->inode->shmem)
		inode_sync(f->inode);
	return host_ret(lseek(f->host_fd, args->a[1], (int)args->a[2]));
}

/* ---- from file to file */

struct transfer {
	struct task_struct *task;
	struct kfile *in, *out;
	int64_t in_pos, out_pos;	/* FILE_POSITION: the file's */
	size_t n;
};

static ssize_t take(struct transfer *t, void *buf, size_t n, int64_t pos)
{
	ssize_t r;

	if (t->in->ops && t->in->ops->read) {
		uint64_t at = pos == FILE_POSITION ? t->in->pos : (uint64_t)pos;

		r = t->in->ops->read(t->in, t->task, at, buf, n);
		if (r > 0 && pos == FILE_POSITION)
			t->in->pos += r;
		return r;
	}
	if (inode_through_cache(t->in->inode)) {
		int64_t at = pos == FILE_POSITION ? lseek(t->in->host_fd, 0, SEEK_CUR) : pos;

		r = aspace_mapping_read(t->in->inode->mapping, at, buf, n);
		if (r > 0 && pos == FILE_POSITION)
			lseek(t->in->host_fd, r, SEEK_CUR);
		return r;
	}
	return host_ret(host_read(t->in, buf, n, pos));
}

static void untake(struct transfer *t, size_t n)
{
	if (!n || t->in_pos != FILE_POSITION)
		return;
	if (t->in->ops)
		t->in->pos -= n;
	else
		lseek(t->in->host_fd, -(off_t)n, SEEK_CUR);
}

static ssize_t give(struct transfer *t, const void *buf, size_t n, int64_t pos)
{
	ssize_t r;

	if (is_stream(t->out))
		return host_ret(stream_write(t->out, buf, n));
	if (t->out->inode && t->out->inode->shmem) {
		int64_t at = pos == FILE_POSITION ? lseek(t->out->host_fd, 0, SEEK_CUR) : pos;

		r = aspace_mapping_write(t->out->inode->mapping, at, buf, n);
		if (ftruncate(t->out->host_fd, aspace_mapping_bytes(t->out->inode->mapping)) < 0)
			return -errno;
		if (r > 0 && pos == FILE_POSITION)
			lseek(t->out->host_fd, r, SEEK_CUR);
		return r;
	}
	r = host_write(t->out, buf, n, pos, 0);
	if (r > 0)
		inode_written(t->out->inode, t->out->host_fd, written_at(t->out, pos, r), buf, r);
	return host_ret(r);
}

/* Bytes moved in all, or what the call must return. */
static int64_t do_transfer(struct transfer *t)
{
	struct task_struct *task = t->task;
	int64_t done = task->wait.state[0];

	while ((size_t)done < t->n) {
		size_t want = t->n - done < BOUNCE_SIZE ? t->n - done : BOUNCE_SIZE;
		ssize_t got = take(t, bounce, want, t->in_pos == FILE_POSITION ? t->in_pos : t->in_pos + done);
		ssize_t put;

		if (got <= 0)
			return got < 0 && !done ? got : done;
		put = give(t, bounce, got, t->out_pos == FILE_POSITION ? t->out_pos : t->out_pos + done);
		untake(t, got - (put > 0 ? put : 0));
		if (put == -EAGAIN && !t->out->nonblock) {
			task->wait.state[0] = done;
			return wait_for_io(task, t->out->host_fd, POLLOUT, t->out->sndtimeo_ns);
		}
		if (put < 0) {
			errno = -put;
			return write_failed(task, done, false);
		}
		done += put;
	}
	return done;
}

int load_offset(struct task_struct *task, uint64_t user, int64_t *pos)
{
	*pos = FILE_POSITION;
	if (!user)
		return 0;
	if (copy_from_user(task, pos, user, sizeof(*pos)))
		return -EFAULT;
	return *pos < 0 ? -EINVAL : 0;
}

int store_offset(struct task_struct *task, uint64_t user, int64_t pos)
{
	return user && copy_to_user(task, user, &pos, sizeof(pos)) ? -EFAULT : 0;
}

SYSCALL(sendfile)
{
	struct transfer t = {
		.task = task,
		.out = fcheck(task, (int)args->a[0]),
		.in = fcheck(task, (int)args->a[1]),
		.out_pos = FILE_POSITION,
		.n = args->a[3] < MAX_RW_COUNT ? args->a[3] : MAX_RW_COUNT,
	};
	int64_t r;

	if (!t.out || !t.in || t.in->accmode == O_WRONLY || t.out->accmode == O_RDONLY)
		return -EBADF;
	r = load_offset(task, args->a[2], &t.in_pos);
	if (r)
		return r;
	if (is_stream(t.in))
		return args->a[2] ? -ESPIPE : -EINVAL;
	if (t.in->ops)		/* files of /proc/PID have no pages to send */
		return -EINVAL;
	if (t.out->append || (t.out->ops && !t.out->ops->write))
		return -EINVAL;
	r = do_transfer(&t);
	if (r >= 0 && store_offset(task, args->a[2], t.in_pos + r))
		return -EFAULT;
	return r;
}

/* ---- to the disk, and about space */

static int64_t do_fsync(struct task_struct *task, int fd, int (*host)(int))
{
	struct kfile *f = fcheck(task, fd);

	if (!f || f->path_only)
		return -EBADF;
	if (f->inode && f->inode->mapping)
		inode_sync(f->inode);
	return host_ret(host(f->host_fd));
}

SYSCALL(fsync)
{
	return do_fsync(task, args->a[0], fsync);
}

SYSCALL(fdatasync)
{
	return do_fsync(task, args->a[0], fdatasync);
}

SYSCALL(syncfs)
{
	return do_fsync(task, args->a[0], syncfs);
}

SYSCALL(sync)
{
	inodes_sync(task->kernel);
	sync();
	return 0;
}

SYSCALL(sync_file_range)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	if (!f || f->path_only)
		return -EBADF;
	if (f->inode && f->inode->mapping)
		inode_sync(f->inode);
	return host_ret(sync_file_range(f->host_fd, args->a[1], args->a[2], args->a[3]));
}

static int64_t fallocate_shmem(struct kfile *f, int mode, uint64_t offset, uint64_t len)
{
	struct aspace_mapping *m = f->inode->mapping;
	uint64_t end = offset + len;
	int r = 0;

	if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return aspace_mapping_punch_hole(m, offset, len);
	if (mode & ~FALLOC_FL_KEEP_SIZE)
		return -EOPNOTSUPP;
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > aspace_mapping_bytes(m)) {
		r = aspace_mapping_truncate(m, end);
		if (!r)
			r = host_ret(ftruncate(f->host_fd, end));
	}
	return r;
}

SYSCALL(fallocate)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	int mode = args->a[1];
	int64_t offset = args->a[2], len = args->a[3], r;

	if (!f || f->path_only || f->accmode == O_RDONLY)
		return -EBADF;
	if (offset < 0 || len <= 0)
		return -EINVAL;
	if (f->ops)
		return -ENODEV;
	if (f->inode && f->inode->shmem)
		return fallocate_shmem(f, mode, offset, len);
	if (inode_through_cache(f->inode))
		inode_sync(f->inode);
	r = host_ret(fallocate(f->host_fd, mode, offset, len));
	if (!r && f->inode && f->inode->mapping) {
		if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
			aspace_mapping_punch_hole(f->inode->mapping, offset, len);
		inode_written(f->inode, f->host_fd, offset, NULL, len);
	}
	return r;
}

SYSCALL(fadvise64)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	if (!f || f->path_only)
		return -EBADF;
	return -posix_fadvise(f->host_fd, args->a[1], args->a[2], (int)args->a[3]);
}

SYSCALL(readahead)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);

	if (!f || f->path_only || f->accmode == O_WRONLY)
		return -EBADF;
	return host_ret(readahead(f->host_fd, args->a[1], args->a[2]));
}
