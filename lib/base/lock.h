/* SPDX-License-Identifier: MIT */
/*
 * Locks under the kernel's names. A spinlock_t is one word and holds for a few dozen instructions; on a
 * host whose threads can be descheduled while they hold one, waiters yield after a while.
 * rw_semaphore prefers writers, so that readers can't starve them; a thread never takes one for reading
 * twice.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/bug.h"

typedef struct {
	atomic_int locked;
} spinlock_t;

#define SPINLOCK_INIT { 0 }

static inline void spin_lock_init(spinlock_t *lock)
{
	atomic_init(&lock->locked, 0);
}
static inline bool spin_trylock(spinlock_t *lock)
{
	return !atomic_load_explicit(&lock->locked, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&lock->locked, 1, memory_order_acquire);
}
static inline void spin_lock(spinlock_t *lock)
{
	for (unsigned int turns = 0; !spin_trylock(lock); turns++) {
		if (turns >= 64)
			sched_yield();
#if defined(__x86_64__) || defined(__i386__)
		else
			__builtin_ia32_pause();
#endif
	}
}
static inline void spin_unlock(spinlock_t *lock)
{
	DEBUG_ON(!atomic_load_explicit(&lock->locked, memory_order_relaxed));
	atomic_store_explicit(&lock->locked, 0, memory_order_release);
}

struct mutex {
	pthread_mutex_t lock;
};
static inline void mutex_init(struct mutex *mutex)
{
	BUG_ON(pthread_mutex_init(&mutex->lock, NULL));
}
static inline void mutex_destroy(struct mutex *mutex)
{
	BUG_ON(pthread_mutex_destroy(&mutex->lock));
}
static inline void mutex_lock(struct mutex *mutex)
{
	BUG_ON(pthread_mutex_lock(&mutex->lock));
}
static inline void mutex_unlock(struct mutex *mutex)
{
	BUG_ON(pthread_mutex_unlock(&mutex->lock));
}

struct rw_semaphore {
	pthread_rwlock_t lock;
	atomic_bool written;	/* a writer holds it: for assertions only */
};
static inline void init_rwsem(struct rw_semaphore *sem)
{
	pthread_rwlockattr_t attr;

	BUG_ON(pthread_rwlockattr_init(&attr));
#ifdef __GLIBC__
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
	BUG_ON(pthread_rwlock_init(&sem->lock, &attr));
	pthread_rwlockattr_destroy(&attr);
	atomic_init(&sem->written, false);
}
static inline void destroy_rwsem(struct rw_semaphore *sem)
{
	BUG_ON(pthread_rwlock_destroy(&sem->lock));
}
static inline void down_read(struct rw_semaphore *sem)
{
	BUG_ON(pthread_rwlock_rdlock(&sem->lock));
}
static inline bool down_read_trylock(struct rw_semaphore *sem)
{
	return pthread_rwlock_tryrdlock(&sem->lock) == 0;
}
static inline void up_read(struct rw_semaphore *sem)
{
	pthread_rwlock_unlock(&sem->lock);
}
static inline void down_write(struct rw_semaphore *sem)
{
	BUG_ON(pthread_rwlock_wrlock(&sem->lock));
	atomic_store_explicit(&sem->written, true, memory_order_relaxed);
}
static inline bool down_write_trylock(struct rw_semaphore *sem)
{
	if (pthread_rwlock_trywrlock(&sem->lock))
		return false;
	atomic_store_explicit(&sem->written, true, memory_order_relaxed);
	return true;
}
static inline void up_write(struct rw_semaphore *sem)
{
	atomic_store_explicit(&sem->written, false, memory_order_relaxed);
	pthread_rwlock_unlock(&sem->lock);
}
/* Somebody holds it for writing; the caller's own hold is what a true answer is used to assert. */
static inline bool rwsem_is_write_locked(struct rw_semaphore *sem)
{
	return atomic_load_explicit(&sem->written, memory_order_relaxed);
}

#endif
