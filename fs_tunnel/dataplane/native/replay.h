/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Remembers which counters of a session were seen: RFC 6479.  The caller holds `window_lock`. */
#ifndef FS_REPLAY_H
#define FS_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    REPLAY_BLOCK_BITS = 64,
    REPLAY_RING_BITS = 8192,
    REPLAY_BLOCKS = REPLAY_RING_BITS / REPLAY_BLOCK_BITS,
    REPLAY_WINDOW = REPLAY_RING_BITS - REPLAY_BLOCK_BITS,
};

struct replay {
    uint64_t next; /* one more than the latest counter; 0 if none was seen */
    uint64_t blocks[REPLAY_BLOCKS];
};

/* Remembers the counter of an authentic message.  Returns false if it was seen before, or is too
 * far behind. */
bool replay_update(struct replay *replay, uint64_t counter);

#endif
