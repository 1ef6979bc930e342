/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* One peer, as packet threads see it. */
#ifndef FS_PEER_H
#define FS_PEER_H

#include "endpoint.h"
#include "keypair.h"
#include "limits.h"

struct peer {
    uint64_t number; /* names it to the control plane: a serial, and its slot */
    _Atomic(struct keypair *) current;
    struct lock current_lock; /* guards changes of `current`; readers do not take it */

    struct lock endpoint_lock;
    struct endpoint endpoint;

    _Atomic uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;

    /* In seconds of the device's clock; 0 is never.  See Activity in fs_tunnel/proto/path.py. */
    _Atomic double latest_sent, latest_received, unanswered_sent, unanswered_received;
    atomic_bool received_more;
    atomic_bool watched; /* the next packet makes a BECAME_ACTIVE */

    _Atomic double renewal_wanted_at; /* when sending last made a HANDSHAKE_WANTED */
    _Atomic double no_segmentation_until; /* the route to it refused UDP_SEGMENT */
    atomic_bool moved; /* an ENDPOINT_MOVED waits to be taken */

    struct bucket sending, receiving;
    _Atomic uint64_t credit, credit_low; /* in bytes; a credit of UINT64_MAX is no limit */
    atomic_bool credit_is_low;           /* CREDIT_LOW was told */
    _Atomic(struct exempt *) exempt;     /* NULL if there is none */

    /* For the control plane only. */
    struct keypair *keypairs; /* a list of all its keypairs */
    uint32_t networks;        /* how many allowed IPs lead to it */
};

/* The local address in `endpoint` is gone: if the peer's endpoint still has it, let the kernel
 * choose another. */
static inline void peer_forget_local(struct peer *peer, const struct endpoint *endpoint)
{
    lock_take(&peer->endpoint_lock);
    if (endpoint_equal(&peer->endpoint, endpoint))
        endpoint_forget_local(&peer->endpoint);
    lock_give(&peer->endpoint_lock);
}

static inline double load_time(_Atomic double *time)
{
    return atomic_load_explicit(time, memory_order_relaxed);
}

static inline void store_time(_Atomic double *time, double now)
{
    atomic_store_explicit(time, now, memory_order_relaxed);
}

static inline uint64_t load_count(_Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static inline void add_count(_Atomic uint64_t *count, uint64_t more)
{
    atomic_fetch_add_explicit(count, more, memory_order_relaxed);
}

#endif
