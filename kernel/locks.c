/* SPDX-License-Identifier: MIT */
/*
 * Locks on files.
 *
 * flock(2) locks belong to descriptions, and each guest description is one of the host: the host keeps
 * them, against processes outside too. One that must wait tries again when a guest lets go, and from
 * time to time for the sake of those outside.
 *
 * fcntl(2) locks belong to processes, and all guests are one process of the host: they are kept here,
 * by inode, and hold among guests only. The owner is the table of descriptors (so threads share them
 * and a fork doesn't inherit them), or the description itself for F_OFD_*.
 *
 * Locks of one owner on one inode never overlap; neighbours of the same type are one lock.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

struct posix_lock {
	struct posix_lock *next;
	const void *owner;
	int pid;		/* l_pid of F_GETLK; -1: a description's */
	short type;
	uint64_t start, end;	/* both inclusive */
};

/* Who waits for whom, to refuse to wait in a circle. */
struct blocked {
	struct blocked *next;
	const struct inode *inode;
	const void *owner, *on;
};
static struct blocked *blocked;

/* Locks of inode changed: who waits tries again, and until then waits for nobody. */
static void wake_lock_waiters(struct inode *inode)
{
	struct blocked **p = &blocked;

	while (*p) {
		struct blocked *b = *p;

		if (b->inode != inode) {
			p = &b->next;
			continue;
		}
		*p = b->next;
		free(b);
	}
	wake_up(&inode->lock_wait, INT_MAX);
}

/* ---- record locks: the table */

static bool conflicts(const struct posix_lock *a, const struct posix_lock *b)
{
	return a->owner != b->owner && a->start <= b->end && b->start <= a->end &&
	       (a->type == F_WRLCK || b->type == F_WRLCK);
}

/* The first by position, which is the one that F_GETLK tells. */
static struct posix_lock *find_conflict(struct inode *inode, const struct posix_lock *want)
{
	struct posix_lock *first = NULL;

	for (struct posix_lock *l = inode->locks; l; l = l->next)
		if (conflicts(l, want) && (!first || l->start < first->start))
			first = l;
	return first;
}

static bool touches(const struct posix_lock *a, const struct posix_lock *b)
{
	return (a->end == UINT64_MAX || b->start <= a->end + 1) &&
	       (b->end == UINT64_MAX || a->start <= b->end + 1);
}

static bool overlaps(const struct posix_lock *a, const struct posix_lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

/*
 * Makes room for `want` among its owner's locks: absorbs those of the same type that touch it, cuts
 * the others, where one may become two. spare is used for that, or stays.
 */
static void cut_own_locks(struct inode *inode, struct posix_lock *want, struct posix_lock **spare)
{
	struct posix_lock **p = &inode->locks;

	while (*p) {
		struct posix_lock *l = *p;

		if (l->owner != want->owner || !(l->type == want->type ? touches(l, want) : overlaps(l, want))) {
			p = &l->next;
		} else if (l->type == want->type) {
			want->start = l->start < want->start ? l->start : want->start;
			want->end = l->end > want->end ? l->end : want->end;
			*p = l->next;
			free(l);
		} else if (l->start < want->start && l->end > want->end) {
			struct posix_lock *right = *spare;

			*spare = NULL;
			*right = *l;
			right->start = want->end + 1;
			l->end = want->start - 1;
			l->next = right;
			p = &right->next;
		} else if (l->start < want->start) {
			l->end = want->start - 1;
			p = &l->next;
		} else if (l->end > want->end) {
			l->start = want->end + 1;
			p = &l->next;
		} else {
			*p = l->next;
			free(l);
		}
	}
}

static int set_lock(struct inode *inode, const struct posix_lock *request)
{
	struct posix_lock want = *request, *lock = malloc(sizeof(*lock)), *spare = malloc(sizeof(*spare));

	if (!lock || !spare) {
		free(lock);
		free(spare);
		return -ENOLCK;
	}
	cut_own_locks(inode, &want, &spare);
	free(spare);
	if (want.type == F_UNLCK) {
		free(lock);
	} else {
		*lock = want;
		lock->next = inode->locks;
		inode->locks = lock;
	}
	wake_lock_waiters(inode);
	return 0;
}

void locks_remove_posix(struct kfile *f, const void *owner)
{
	struct posix_lock **p = &f->inode->locks;
	bool any = false;

	while (*p) {
		struct posix_lock *l = *p;

		if (l->owner != owner) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		free(l);
		any = true;
	}
	if (any)
		wake_lock_waiters(f->inode);
}

/* ---- waiting */

static void forget_blocked(const void *owner)
{
	struct blocked **p = &blocked;

	while (*p) {
		struct blocked *b = *p;

		if (b->owner != owner) {
			p = &b->next;
			continue;
		}
		*p = b->next;
		free(b);
	}
}

static bool would_deadlock(const void *owner, const void *on)
{
	for (int depth = 0; depth < 100; depth++) {
		struct blocked *b = blocked;

		while (b && b->owner != on)
			b = b->next;
		if (!b)
			return false;
		on = b->on;
		if (on == owner)
			return true;
	}
	return false;
}

static int64_t lock_interrupted(struct task_struct *task)
{
	forget_blocked((void *)task->wait.state[0]);
	return 0;
}

static int64_t wait_for_lock(struct task_struct *task, struct inode *inode, const struct posix_lock *want,
			     const struct posix_lock *holder)
{
	struct blocked *b;

	if (want->pid >= 0) {
		if (would_deadlock(want->owner, holder->owner))
			return -EDEADLK;
		b = malloc(sizeof(*b));
		if (!b)
			return -ENOLCK;
		*b = (struct blocked){ blocked, inode, want->owner, holder->owner };
		blocked = b;
		task->wait.state[0] = (uint64_t)want->owner;
		task->wait.interrupted = lock_interrupted;
	}
	wait_for_queue(task, &inode->lock_wait);
	return -ERESTART_WAIT;
}

/* ---- fcntl */

static int range_of(struct kfile *f, const struct flock *fl, struct posix_lock *l)
{
	int64_t base = 0, start, end;
	struct stat st;

	if (fl->l_whence == SEEK_CUR)
		base = lseek(f->host_fd, 0, SEEK_CUR);
	else if (fl->l_whence == SEEK_END && !fstat(f->host_fd, &st))
		base = st.st_size;
	else if (fl->l_whence != SEEK_SET)
		return -EINVAL;
	if (__builtin_add_overflow(base, fl->l_start, &start))
		return -EOVERFLOW;
	end = start - 1;
	if (fl->l_len > 0 && __builtin_add_overflow(start, fl->l_len - 1, &end))
		return -EOVERFLOW;
	if (fl->l_len < 0)
		start += fl->l_len;
	if (start < 0)
		return -EINVAL;
	l->start = start;
	l->end = fl->l_len ? (uint64_t)end : UINT64_MAX;
	return 0;
}

static int check_access(struct kfile *f, short type)
{
	if (type == F_RDLCK)
		return f->accmode == O_WRONLY ? -EBADF : 0;
	if (type == F_WRLCK)
		return f->accmode == O_RDONLY ? -EBADF : 0;
	return type == F_UNLCK ? 0 : -EINVAL;
}

static int64_t get_lock(struct task_struct *task, struct kfile *f, struct flock *fl,
			const struct posix_lock *want, uint64_t user)
{
	struct posix_lock *l = find_conflict(f->inode, want);

	if (want->type == F_UNLCK)
		return -EINVAL;
	if (!l) {
		fl->l_type = F_UNLCK;
	} else {
		fl->l_type = l->type;
		fl->l_whence = SEEK_SET;
		fl->l_start = l->start;
		fl->l_len = l->end == UINT64_MAX ? 0 : l->end - l->start + 1;
		fl->l_pid = l->pid;
	}
	return copy_to_user(task, user, fl, sizeof(*fl)) ? -EFAULT : 0;
}

int64_t posix_lock_fcntl(struct task_struct *task, struct kfile *f, int cmd, uint64_t arg)
{
	bool ofd = cmd >= F_OFD_GETLK;
	struct posix_lock want = { .owner = ofd ? (void *)f : (void *)task->files,
				   .pid = ofd ? -1 : task->tgid }, *holder;
	struct flock fl;
	int err;

	if (copy_from_user(task, &fl, arg, sizeof(fl)))
		return -EFAULT;
	if (!f->inode || (ofd && fl.l_pid))
		return -EINVAL;
	err = range_of(f, &fl, &want);
	if (err)
		return err;
	want.type = fl.l_type;
	if (cmd == F_GETLK || cmd == F_OFD_GETLK)
		return get_lock(task, f, &fl, &want, arg);
	err = check_access(f, fl.l_type);
	if (err)
		return err;
	if (task->wait.state[0])
		forget_blocked(want.owner);
	holder = want.type == F_UNLCK ? NULL : find_conflict(f->inode, &want);
	if (!holder)
		return set_lock(f->inode, &want);
	if (cmd == F_SETLK || cmd == F_OFD_SETLK)
		return -EAGAIN;
	return wait_for_lock(task, f->inode, &want, holder);
}

/* ---- flock */

static struct wait_queue flock_wait;
static const uint64_t look_outside_ns = 10 * 1000 * 1000;

static void flock_released(void)
{
	if (flock_wait.waiters.next)
		wake_up(&flock_wait, INT_MAX);
}

void locks_remove_flock(struct kfile *f)
{
	if (f->inode || f->kind == KFILE_DIR)
		flock_released();
}

SYSCALL(flock)
{
	struct kfile *f = fcheck(task, (int)args->a[0]);
	int op = args->a[1];

	if (!f || f->path_only)
		return -EBADF;
	if (flock(f->host_fd, op | LOCK_NB) == 0) {
		flock_released();	/* let go, or made shared from exclusive */
		return 0;
	}
	if (errno != EWOULDBLOCK || op & LOCK_NB)
		return -errno;
	if (!flock_wait.waiters.next)
		wait_queue_init(&flock_wait);
	wait_until(task, monotonic_ns() + look_outside_ns);
	wait_for_queue(task, &flock_wait);
	return -ERESTART_WAIT;
}
