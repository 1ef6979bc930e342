/* One session: two keys, the sending counter, the replay window (WireGuard paper, 5.4.6). */
#ifndef FS_KEYPAIR_H
#define FS_KEYPAIR_H

#include "aead.h"
#include "lock.h"
#include "replay.h"

#include <stdatomic.h>

/* Of the specification (paper, section 6.1); seconds. */
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (1u << 13))
#define REKEY_AFTER_MESSAGES ((uint64_t)1 << 60)
#define REJECT_AFTER_TIME 180.0
#define REKEY_AFTER_TIME 120.0
#define REKEY_WHEN_RECEIVING_AFTER 165.0

struct peer;

struct keypair {
    struct peer *peer;
    struct keypair *sibling; /* the control plane's: the next one of the same peer */
    uint32_t local_index, remote_index;
    bool is_initiator;
    double created;
    uint8_t sending[KEY_BYTES], receiving[KEY_BYTES];
    _Atomic uint64_t counter;
    bool removed;               /* under the peer's current_lock */
    atomic_bool unconfirmed;    /* nothing came under it yet: the other side may not have it */
    atomic_bool renewal_wanted; /* it was said, on receiving, that it grows old */
    struct lock window_lock;
    struct replay window;
};

static inline bool keypair_is_fresh(const struct keypair *keypair, double now)
{
    return now - keypair->created < REJECT_AFTER_TIME;
}

#endif
