/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The reasons why packets and datagrams are refused, as `fs-tunnel status` shows them. */
#ifndef FS_DROPS_H
#define FS_DROPS_H

#include <stdatomic.h>
#include <stdint.h>

#define DROP_REASONS(X)          \
    X(HANDSHAKE_QUEUE_FULL)      \
    X(INNER_MALFORMED)           \
    X(INTERFACE_DOWN)            \
    X(MALFORMED)                 \
    X(NO_CREDIT)                 \
    X(NO_ENDPOINT)               \
    X(NOT_AUTHENTIC)             \
    X(OUTBOUND_MALFORMED)        \
    X(OUTBOUND_NO_PEER)          \
    X(RATE_LIMITED_RECEIVING)    \
    X(RATE_LIMITED_SENDING)      \
    X(REPLAYED)                  \
    X(SEND_FAILED)               \
    X(SESSION_EXPIRED)           \
    X(SOURCE_NOT_ALLOWED)        \
    X(STAGED_OVERFLOW)           \
    X(TUN_FULL)                  \
    X(TUN_REFUSED)               \
    X(UNKNOWN_INDEX)

#define DROP_MEMBER(reason) DROP_##reason,
enum drop_reason { DROP_REASONS(DROP_MEMBER) DROP_REASON_COUNT };
#undef DROP_MEMBER

struct drops {
    _Atomic uint64_t count[DROP_REASON_COUNT];
};

static inline void drops_add(struct drops *drops, enum drop_reason reason, uint64_t more)
{
    atomic_fetch_add_explicit(&drops->count[reason], more, memory_order_relaxed);
}

#endif
