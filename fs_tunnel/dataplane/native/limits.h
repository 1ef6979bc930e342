/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* What one peer may use: a rate in each direction, and a credit of bytes.
 *
 * A packet of a peer without limits costs two loads. */
#ifndef FS_LIMITS_H
#define FS_LIMITS_H

#include "inner.h"
#include "lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A token bucket that lets `rate` bytes a second pass; 0 lets everything pass.  The bytes of one
 * second, or 128 KiB if that is more, may pass at once. */
struct bucket {
    _Atomic uint64_t rate;
    struct lock lock;
    double tokens, filled; /* in bytes; in seconds, when they were counted */
};

/* Sets the rate; a bucket whose rate changes is filled. */
void bucket_set(struct bucket *bucket, uint64_t rate);
bool bucket_take_limited(struct bucket *bucket, uint32_t bytes, double now);

/* Returns whether `bytes` may pass at `now`, and takes that many tokens if so. */
static inline bool bucket_take(struct bucket *bucket, uint32_t bytes, double now)
{
    return atomic_load_explicit(&bucket->rate, memory_order_relaxed) == 0 ||
           bucket_take_limited(bucket, bytes, now);
}

/* The port of the gateway to and from which packets pass even without credit. */
struct exempt {
    uint32_t address_bytes; /* 4 or 16 */
    uint8_t address[16];
    uint16_t port;
};

/* Returns whether a packet is TCP from the gateway's port, or to it unless `from_gateway`. */
bool exempt_matches(const struct exempt *exempt, const uint8_t *packet, const struct inner *inner,
                    bool from_gateway);

#endif
