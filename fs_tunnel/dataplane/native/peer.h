/* One peer, as the packet threads see it. */
#ifndef FS_PEER_H
#define FS_PEER_H

#include "endpoint.h"
#include "keypair.h"
#include "limits.h"

struct peer {
    uint64_t number; /* its name towards the control plane: a serial, and its slot */
    _Atomic(struct keypair *) current;
    struct lock current_lock; /* for who changes it */

    struct lock endpoint_lock;
    struct endpoint endpoint;

    _Atomic uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;

    /* Seconds of the device's clock; 0 is never.  See Activity in fs_tunnel/proto/path.py. */
    _Atomic double latest_sent, latest_received, unanswered_sent, unanswered_received;
    atomic_bool received_more;
    atomic_bool watched; /* the next packet is told of */

    _Atomic double renewal_wanted_at; /* when it was last said that keys grow old */
    _Atomic double no_segmentation_until; /* its path refused UDP_SEGMENT */
    atomic_bool moved; /* an EndpointMoved waits */

    struct bucket sending, receiving;
    _Atomic uint64_t credit, credit_low; /* UINT64_MAX: no limit */
    atomic_bool credit_is_low;           /* it was told */
    _Atomic(struct exempt *) exempt;

    /* The control plane's. */
    struct keypair *keypairs; /* all of them */
    uint32_t networks;        /* how many allowed IPs lead here */
};

/* The address of ours in `endpoint` is gone: where the peer is still to be answered from it, any other
 * will do. */
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
