/* SPDX-License-Identifier: MIT */
/*
 * What moves bytes from one descriptor to another without showing them to the guest: copy_file_range(2),
 * splice(2), tee(2); and vmsplice(2), which here copies. The host does it, on files that agree with their
 * mappings before and after; it never waits, we do.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

#define SPLICE_FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)
#define VMSPLICE_MAX (64 << 10)	/* bytes, about what a pipe holds */

static void agree_with_mappings(struct kfile *in, struct kfile *out)
{
	if (inode_through_cache(in->inode))
		inode_sync(in->inode);
	if (inode_through_cache(out->inode))
		inode_sync(out->inode);
}

/* Files whose contents are made here, or are nothing but pages of ours. */
static bool is_ours(const struct kfile *f)
{
	return f->ops || (f->inode && f->inode->shmem);
}

SYSCALL(copy_file_range)
{
	struct kfile *in = fcheck(task, (int)args->a[0]), *out = fcheck(task, (int)args->a[2]);
	int64_t in_pos, out_pos;
	loff_t in_at, out_at;
	ssize_t r;

	if (!in || !out)
		return -EBADF;
	r = load_offset(task, args->a[1], &in_pos);
	if (!r)
		r = load_offset(task, args->a[3], &out_pos);
	if (r)
		return r;
	if (is_ours(in) || is_ours(out))
		return -EXDEV;
	agree_with_mappings(in, out);
	in_at = in_pos;
	out_at = out_pos;
	r = copy_file_range(in->host_fd, args->a[1] ? &in_at : NULL, out->host_fd,
			    args->a[3] ? &out_at : NULL, args->a[4], (unsigned)args->a[5]);
	if (r < 0)
		return -errno;
	inode_written(out->inode, out->host_fd, 0, NULL, r);
	if (store_offset(task, args->a[1], in_at) || store_offset(task, args->a[3], out_at))
		return -EFAULT;
	return r;
}

/* Both are open, for reading and for writing. */
static bool may_move(const struct kfile *in, const struct kfile *out)
{
	return in && out && !in->path_only && !out->path_only && in->accmode != O_WRONLY && out->accmode != O_RDONLY;
}

static bool is_ready(const struct kfile *f, short events)
{
	struct pollfd p = { .fd = f->host_fd, .events = events };

	return f->kind == KFILE_REG || poll_now(&p, 1) > 0;
}

/* Nothing moved: which end isn't ready is waited for, and all begins again. */
static int64_t wait_for_ends(struct task_struct *task, struct kfile *in, struct kfile *out)
{
	if (!is_ready(in, POLLIN))
		return wait_for_io(task, in->host_fd, POLLIN, in->rcvtimeo_ns);
	return wait_for_io(task, out->host_fd, POLLOUT, out->sndtimeo_ns);
}

/* A description from outside may make the host wait, and must be asked before. */
static bool would_block(const struct kfile *f, short events)
{
	return f->outside && !is_ready(f, events);
}

static bool may_wait(const struct kfile *in, const struct kfile *out, unsigned flags)
{
	return !(flags & SPLICE_F_NONBLOCK) && !in->nonblock && !out->nonblock;
}

/* What the host said of it, for the guest. */
static int64_t moved(struct task_struct *task, struct kfile *in, struct kfile *out, unsigned flags, int64_t r)
{
	if (r == -EAGAIN && may_wait(in, out, flags))
		return wait_for_ends(task, in, out);
	if (r == -EPIPE)
		send_signal(task, SIGPIPE, NULL, false);
	return r;
}

SYSCALL(splice)
{
	struct kfile *in = fcheck(task, (int)args->a[0]), *out = fcheck(task, (int)args->a[2]);
	unsigned flags = (unsigned)args->a[5];
	int64_t in_pos, out_pos, r;
	loff_t in_at, out_at;

	if (!args->a[4])
		return 0;
	if (flags & ~(unsigned)SPLICE_FLAGS)
		return -EINVAL;
	if (!may_move(in, out))
		return -EBADF;
	if ((in->kind == KFILE_PIPE && args->a[1]) || (out->kind == KFILE_PIPE && args->a[3]))
		return -ESPIPE;
	r = load_offset(task, args->a[3], &out_pos);
	if (!r)
		r = load_offset(task, args->a[1], &in_pos);
	if (r)
		return r;
	if (is_ours(in) || is_ours(out))
		return -EINVAL;
	agree_with_mappings(in, out);
	in_at = in_pos;
	out_at = out_pos;
	if (would_block(in, POLLIN) || would_block(out, POLLOUT))
		r = -EAGAIN;
	else
		r = host_ret(splice(in->host_fd, args->a[1] ? &in_at : NULL, out->host_fd,
				    args->a[3] ? &out_at : NULL, args->a[4], flags | SPLICE_F_NONBLOCK));
	if (r <= 0)
		return moved(task, in, out, flags, r);
	inode_written(out->inode, out->host_fd, 0, NULL, r);
	if (store_offset(task, args->a[1], in_at) || store_offset(task, args->a[3], out_at))
		return -EFAULT;
	return r;
}

SYSCALL(tee)
{
	struct kfile *in = fcheck(task, (int)args->a[0]), *out = fcheck(task, (int)args->a[1]);
	unsigned flags = (unsigned)args->a[3];

	if (flags & ~(unsigned)SPLICE_FLAGS)
		return -EINVAL;
	if (!args->a[2])
		return 0;
	if (!may_move(in, out))
		return -EBADF;
	if (is_ours(in) || is_ours(out))
		return -EINVAL;
	return moved(task, in, out, flags,
		     host_ret(tee(in->host_fd, out->host_fd, args->a[2], flags | SPLICE_F_NONBLOCK)));
}

static int64_t from_memory(struct kfile *f, struct iov_iter *it)
{
	size_t n = copy_from_iter(it, bounce, it->left < VMSPLICE_MAX ? it->left : VMSPLICE_MAX);

	return n ? host_ret(write(f->host_fd, bounce, n)) : -EFAULT;
}

static int64_t to_memory(struct kfile *f, struct iov_iter *it)
{
	int64_t n = host_ret(read(f->host_fd, bounce, it->left < VMSPLICE_MAX ? it->left : VMSPLICE_MAX));

	return n > 0 && copy_to_iter(it, bounce, n) < (size_t)n ? -EFAULT : n;
}

SYSCALL(vmsplice)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	unsigned flags = (unsigned)args->a[3];
	bool writes;
	struct iov_iter it;
	int64_t r;

	if (flags & ~(unsigned)SPLICE_FLAGS)
		return -EINVAL;
	if (!f || f->kind != KFILE_PIPE || f->ops)
		return -EBADF;
	r = iov_import(task, &it, args->a[1], args->a[2]);
	if (r)
		return r;
	writes = f->accmode != O_RDONLY;
	if (it.left)
		r = would_block(f, writes ? POLLOUT : POLLIN) ? -EAGAIN :
		    writes ? from_memory(f, &it) : to_memory(f, &it);
	iov_free(&it);
	return moved(task, f, f, flags, r);
}
