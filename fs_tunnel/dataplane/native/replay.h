/* Which counters of a session were seen: RFC 6479.  The caller holds the session's lock. */
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
    uint64_t next; /* one more than the latest counter; 0: none was seen */
    uint64_t blocks[REPLAY_BLOCKS];
};

/* Remembers a counter; false where it was seen, or is too far behind.  Only for what is
 * authentic. */
bool replay_update(struct replay *replay, uint64_t counter);

#endif
