/* What one peer may use: a rate each way, and a credit of bytes. Without limits, two loads. */
#ifndef FS_LIMITS_H
#define FS_LIMITS_H

#include "inner.h"
#include "lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Lets `rate` bytes a second pass, a second's worth or 128 KiB at once. A rate of 0 lets all pass. */
struct bucket {
    _Atomic uint64_t rate;
    struct lock lock;
    double tokens, filled; /* bytes; when */
};

void bucket_set(struct bucket *bucket, uint64_t rate);
bool bucket_take_limited(struct bucket *bucket, uint32_t bytes, double now);

static inline bool bucket_take(struct bucket *bucket, uint32_t bytes, double now)
{
    return atomic_load_explicit(&bucket->rate, memory_order_relaxed) == 0 ||
           bucket_take_limited(bucket, bytes, now);
}

/* The gateway's port, to and from which packets pass whatever the credit. */
struct exempt {
    uint32_t address_bytes; /* 0: none */
    uint8_t address[16];
    uint16_t port;
};

/* Whether a packet is TCP between the peer and the gateway's port; `from_gateway` is its direction.
 */
bool exempt_matches(const struct exempt *exempt, const uint8_t *packet, const struct inner *inner,
                    bool from_gateway);

#endif
