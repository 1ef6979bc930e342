/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* One session: two keys, the sending counter, the replay window (paper, section 5.4.6). */
#ifndef FS_KEYPAIR_H
#define FS_KEYPAIR_H

#include "aead.h"
#include "lock.h"
#include "replay.h"

#include <stdatomic.h>

/* Constants of the specification (paper, sections 6.1 and 6.2); times are in seconds. */
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (1u << 13))
#define REKEY_AFTER_MESSAGES ((uint64_t)1 << 60)
#define REJECT_AFTER_TIME 180.0
#define REKEY_AFTER_TIME 120.0
#define REKEY_WHEN_RECEIVING_AFTER 165.0

struct peer;

struct keypair {
    struct peer *peer;
    struct keypair *sibling; /* the peer's next keypair; for the control plane only */
    uint32_t local_index, remote_index;
    bool is_initiator;
    double created;
    uint8_t sending[KEY_BYTES], receiving[KEY_BYTES];
    _Atomic uint64_t counter;
    bool removed;               /* guarded by the peer's current_lock */
    atomic_bool unconfirmed;    /* no message came under it: the other side may not have it */
    atomic_bool renewal_wanted; /* HANDSHAKE_WANTED was told, on receiving */
    struct lock window_lock;
    struct replay window;
};

static inline bool keypair_is_fresh(const struct keypair *keypair, double now)
{
    return now - keypair->created < REJECT_AFTER_TIME;
}

#endif
