/* A lock for a handful of instructions between packet threads. */
#ifndef FS_LOCK_H
#define FS_LOCK_H

#include <sched.h>
#include <stdatomic.h>

struct lock {
    atomic_flag taken;
};

static inline void lock_take(struct lock *lock)
{
    for (int tries = 0; atomic_flag_test_and_set_explicit(&lock->taken, memory_order_acquire);)
        if (++tries > 100) /* its holder does not run: let it */
            sched_yield();
}

static inline void lock_give(struct lock *lock)
{
    atomic_flag_clear_explicit(&lock->taken, memory_order_release);
}

#endif
