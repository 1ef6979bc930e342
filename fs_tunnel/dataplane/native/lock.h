/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* A lock that packet threads hold for a few instructions at a time. */
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
        if (++tries > 100) /* the holder does not run at present: let it run */
            sched_yield();
}

static inline void lock_give(struct lock *lock)
{
    atomic_flag_clear_explicit(&lock->taken, memory_order_release);
}

#endif
