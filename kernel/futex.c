// SPDX-License-Identifier: MIT
/*
 * Futexes: tasks that sleep on a word of memory, found by what identifies the word.
 *
 * A waiter stands in its bucket from the check of the word's value until it is woken, times out, is
 * interrupted, or dies. As one host thread runs everything, check and queueing are one step.
 * PI futexes are not here: ENOSYS, which C libraries know how to live without.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "syscalls.h"
#include "task.h"

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_REQUEUE 3
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAKE_OP 5
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAKE_BITSET 10
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256
#define MATCH_ANY 0xffffffffu

#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu
#define ROBUST_LIST_LIMIT 2048

#define NR_BUCKETS 256

static struct list_head buckets[NR_BUCKETS];

void futex_init(void)
{
	for (int i = 0; i < NR_BUCKETS; i++)
		INIT_LIST_HEAD(&buckets[i]);
}

static struct list_head *bucket_of(const struct aspace_futex_key *key)
{
	uint64_t h = ((uint64_t)key->object ^ key->offset) * 0x9e3779b97f4a7c15ull;

	return &buckets[h >> 56];
}

static bool same_key(const struct aspace_futex_key *a, const struct aspace_futex_key *b)
{
	return a->object == b->object && a->offset == b->offset;
}

/* ---- waiting ----------------------------------------------------------------------------------- */

void futex_unqueue(struct task_struct *task)
{
	if (!task->futex.queued)
		return;
	list_del(&task->futex.link);
	task->futex.queued = false;
}

static void queue(struct task_struct *task, const struct aspace_futex_key *key, uint32_t bitset)
{
	struct futex_q *q = &task->futex;

	q->key = *key;
	q->bitset = bitset;
	q->queued = true;
	list_add_tail(&q->link, bucket_of(key));
}

/* FUTEX_WAIT's time is relative, FUTEX_WAIT_BITSET's absolute. */
static int futex_deadline(struct task_struct *task, uint64_t user, int op, uint64_t *deadline)
{
	struct timespec ts;

	*deadline = UINT64_MAX;
	if (!user)
		return 0;
	if (copy_from_user(task, &ts, user, sizeof(ts)))
		return -EFAULT;
	if ((op & 127) == FUTEX_WAIT)
		return deadline_from_timespec(&ts, deadline);
	return deadline_from_absolute(op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC,
				      &ts, deadline);
}

static int64_t futex_wait_first(struct task_struct *task, const struct sys_args *args, uint32_t bitset)
{
	struct aspace_futex_key key;
	uint32_t value;
	int error;

	if (!bitset)
		return -EINVAL;
	error = futex_deadline(task, args->a[3], (int)args->a[1], &task->wait.state[1]);
	if (!error)
		error = aspace_futex_key(task->mm, args->a[0], args->a[1] & FUTEX_PRIVATE_FLAG, &key);
	if (!error)
		error = aspace_user_load32(task->mm, args->a[0], &value);
	if (error)
		return error;
	if (value != (uint32_t)args->a[2])
		return -EAGAIN;
	queue(task, &key, bitset);
	return 0;
}

static int64_t futex_wait(struct task_struct *task, const struct sys_args *args, uint32_t bitset)
{
	struct task_wait *wait = &task->wait;

	if (!wait->state[0]) {
		int64_t error = futex_wait_first(task, args, bitset);

		if (error)
			return error;
		wait->state[0] = 1;
	} else if (!task->futex.queued) {
		return 0;
	}
	if (wait->timed_out || wait->state[1] <= monotonic_ns()) {
		futex_unqueue(task);
		return -ETIMEDOUT;
	}
	if (args->a[3])
		wait->on_signal = SIGNAL_INTERRUPTS;
	wait_until(task, wait->state[1]);
	return -ERESTART_WAIT;
}

/* ---- waking ------------------------------------------------------------------------------------ */

static void wake_waiter(struct futex_q *q)
{
	struct task_struct *task = CONTAINER_OF(q, struct task_struct, futex);

	futex_unqueue(task);
	wake_up_task(task);
}

static int wake_key(const struct aspace_futex_key *key, int n, uint32_t bitset)
{
	struct futex_q *q, *next;
	int woken = 0;

	list_for_each_entry_safe(q, next, bucket_of(key), link) {
		if (woken >= n)
			break;
		if (!same_key(&q->key, key) || !(q->bitset & bitset))
			continue;
		wake_waiter(q);
		woken++;
	}
	return woken;
}

static int64_t futex_wake(struct task_struct *task, uint64_t addr, bool private, int n,
			  uint32_t bitset)
{
	struct aspace_futex_key key;
	int error;

	if (!bitset)
		return -EINVAL;
	error = aspace_futex_key(task->mm, addr, private, &key);
	if (error)
		return error;
	return wake_key(&key, n < 1 ? 1 : n, bitset);
}

int futex_wake_address(struct aspace_mm *mm, uint64_t addr, int n, bool process_private)
{
	struct aspace_futex_key key;
	int woken = 0;

	/* A word is private to the process or shared by who waits: both kinds may sleep on it. */
	if (!aspace_futex_key(mm, addr, true, &key))
		woken = wake_key(&key, n, MATCH_ANY);
	if (!process_private && woken < n && !aspace_futex_key(mm, addr, false, &key))
		woken += wake_key(&key, n - woken, MATCH_ANY);
	return woken;
}

static int64_t futex_requeue(struct task_struct *task, const struct sys_args *args, bool compare)
{
	bool private = args->a[1] & FUTEX_PRIVATE_FLAG;
	int nr_wake = (int)args->a[2], nr_requeue = (int)args->a[3], done = 0;
	struct aspace_futex_key from, to;
	struct futex_q *q, *next;
	uint32_t value;
	int error;

	if (nr_wake < 0 || nr_requeue < 0)
		return -EINVAL;
	error = aspace_futex_key(task->mm, args->a[0], private, &from);
	if (!error)
		error = aspace_futex_key(task->mm, args->a[4], private, &to);
	if (!error && compare)
		error = aspace_user_load32(task->mm, args->a[0], &value);
	if (error)
		return error;
	if (compare && value != (uint32_t)args->a[5])
		return -EAGAIN;
	list_for_each_entry_safe(q, next, bucket_of(&from), link) {
		if (!same_key(&q->key, &from))
			continue;
		if (done >= nr_wake + (int64_t)nr_requeue)
			break;
		if (done++ < nr_wake) {
			wake_waiter(q);
			continue;
		}
		if (same_key(&from, &to))
			continue;
		list_del(&q->link);
		q->key = to;
		list_add_tail(&q->link, bucket_of(&to));
	}
	return done;
}

/* FUTEX_WAKE_OP's encoded operation on the second word. 1, 0: the comparison's outcome; -errno. */
static int wake_op(struct task_struct *task, uint64_t addr, uint32_t encoded)
{
	int op = encoded >> 28 & 7, cmp = encoded >> 24 & 15;
	int32_t oparg = (int32_t)(encoded << 8) >> 20, cmparg = (int32_t)(encoded << 20) >> 20;
	uint32_t old, seen, new;
	int error = aspace_user_load32(task->mm, addr, &old);

	if (encoded & 0x80000000u)
		oparg = 1 << (oparg & 31);
	for (;; old = seen) {
		if (error)
			return error;
		switch (op) {
		case 0: new = (uint32_t)oparg; break;
		case 1: new = old + (uint32_t)oparg; break;
		case 2: new = old | (uint32_t)oparg; break;
		case 3: new = old & ~(uint32_t)oparg; break;
		case 4: new = old ^ (uint32_t)oparg; break;
		default: return -ENOSYS;
		}
		error = aspace_user_cmpxchg32(task->mm, addr, old, new, &seen);
		if (!error && seen == old)
			break;
	}
	switch (cmp) {
	case 0: return (int32_t)old == cmparg;
	case 1: return (int32_t)old != cmparg;
	case 2: return (int32_t)old < cmparg;
	case 3: return (int32_t)old <= cmparg;
	case 4: return (int32_t)old > cmparg;
	case 5: return (int32_t)old >= cmparg;
	default: return -ENOSYS;
	}
}

static int64_t futex_wake_op(struct task_struct *task, const struct sys_args *args)
{
	bool private = args->a[1] & FUTEX_PRIVATE_FLAG;
	int outcome = wake_op(task, args->a[4], (uint32_t)args->a[5]);
	int64_t woken, more;

	if (outcome < 0)
		return outcome;
	woken = futex_wake(task, args->a[0], private, (int)args->a[2], MATCH_ANY);
	if (woken < 0 || !outcome)
		return woken;
	more = futex_wake(task, args->a[4], private, (int)args->a[3], MATCH_ANY);
	return more < 0 ? more : woken + more;
}

SYSCALL(futex)
{
	bool private = args->a[1] & FUTEX_PRIVATE_FLAG;

	switch ((int)args->a[1] & 127) {
	case FUTEX_WAIT:
		return futex_wait(task, args, MATCH_ANY);
	case FUTEX_WAIT_BITSET:
		return futex_wait(task, args, (uint32_t)args->a[5]);
	case FUTEX_WAKE:
		return futex_wake(task, args->a[0], private, (int)args->a[2], MATCH_ANY);
	case FUTEX_WAKE_BITSET:
		return futex_wake(task, args->a[0], private, (int)args->a[2], (uint32_t)args->a[5]);
	case FUTEX_REQUEUE:
		return futex_requeue(task, args, false);
	case FUTEX_CMP_REQUEUE:
		return futex_requeue(task, args, true);
	case FUTEX_WAKE_OP:
		return futex_wake_op(task, args);
	default:
		return -ENOSYS;
	}
}

/* ---- locks whose owner dies --------------------------------------------------------------------- */

struct robust_list_head {
	uint64_t next;
	int64_t futex_offset;
	uint64_t pending;
};

static void owner_died(struct task_struct *task, uint64_t addr)
{
	uint32_t value, seen;

	if (aspace_user_load32(task->mm, addr, &value))
		return;
	for (;; value = seen) {
		if ((value & FUTEX_TID_MASK) != (uint32_t)task->pid)
			return;
		if (aspace_user_cmpxchg32(task->mm, addr, value,
					  (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen))
			return;
		if (seen == value)
			break;
	}
	if (value & FUTEX_WAITERS)
		futex_wake_address(task->mm, addr, 1, false);
}

void exit_robust_list(struct task_struct *task)
{
	struct robust_list_head head;
	uint64_t list = task->robust_list, entry;

	task->robust_list = 0;
	if (!list || !task->mm || copy_from_user(task, &head, list, sizeof(head)))
		return;
	entry = head.next & ~1ull;
	for (int i = 0; entry != list && i < ROBUST_LIST_LIMIT; i++) {
		uint64_t next;
		bool last = copy_from_user(task, &next, entry, sizeof(next)) != 0;

		if (entry != (head.pending & ~1ull))
			owner_died(task, entry + (uint64_t)head.futex_offset);
		if (last)
			return;
		entry = next & ~1ull;
	}
	if (head.pending)
		owner_died(task, (head.pending & ~1ull) + (uint64_t)head.futex_offset);
}

SYSCALL(set_robust_list)
{
	if (args->a[1] != sizeof(struct robust_list_head))
		return -EINVAL;
	task->robust_list = args->a[0];
	return 0;
}

SYSCALL(get_robust_list)
{
	struct task_struct *target = args->a[0] ? find_task(task->kernel, (int)args->a[0]) : task;
	uint64_t size = sizeof(struct robust_list_head);

	if (!target)
		return -ESRCH;
	if (copy_to_user(task, args->a[2], &size, sizeof(size)) ||
	    copy_to_user(task, args->a[1], &target->robust_list, sizeof(uint64_t)))
		return -EFAULT;
	return 0;
}
