/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "limits.h"

#include <netinet/in.h>
#include <string.h>

/* In bytes.  One frame has up to 64 KiB, and takes more on the wire. */
static const double MIN_BURST = 128 << 10;

static double burst_of(double rate)
{
    return rate > MIN_BURST ? rate : MIN_BURST;
}

void bucket_set(struct bucket *bucket, uint64_t rate)
{
    if (atomic_load_explicit(&bucket->rate, memory_order_relaxed) == rate)
        return; /* the bucket is not filled by setting the same rate again */
    lock_take(&bucket->lock);
    bucket->tokens = burst_of((double)rate);
    bucket->filled = 0;
    atomic_store_explicit(&bucket->rate, rate, memory_order_relaxed);
    lock_give(&bucket->lock);
}

bool bucket_take_limited(struct bucket *bucket, uint32_t bytes, double now)
{
    lock_take(&bucket->lock);
    double rate = (double)atomic_load_explicit(&bucket->rate, memory_order_relaxed);
    if (now > bucket->filled) {
        bucket->tokens += (now - bucket->filled) * rate;
        if (bucket->tokens > burst_of(rate))
            bucket->tokens = burst_of(rate);
        bucket->filled = now;
    }
    bool enough = bucket->tokens >= bytes;
    if (enough)
        bucket->tokens -= bytes;
    lock_give(&bucket->lock);
    return enough;
}

bool exempt_matches(const struct exempt *exempt, const uint8_t *packet, const struct inner *inner,
                    bool from_gateway)
{
    if (inner->address_bytes != exempt->address_bytes || inner->protocol != IPPROTO_TCP ||
        inner->length < inner->header + 4)
        return false;
    /* A fragment other than the first has no ports. */
    if (inner->address_bytes == 4 && (read_be16(packet + 6) & 0x1fff) != 0)
        return false;
    const uint8_t *gateway = from_gateway ? inner->source : inner->destination;
    return memcmp(gateway, exempt->address, exempt->address_bytes) == 0 &&
           read_be16(packet + inner->header + (from_gateway ? 0 : 2)) == exempt->port;
}
