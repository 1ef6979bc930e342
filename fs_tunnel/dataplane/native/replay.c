/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "replay.h"

bool replay_update(struct replay *replay, uint64_t counter)
{
    uint64_t block = counter / REPLAY_BLOCK_BITS;
    uint64_t bit = (uint64_t)1 << (counter % REPLAY_BLOCK_BITS);
    if (counter >= replay->next) {
        /* Clear the blocks after that of the latest counter: after a long leap, all of them. */
        uint64_t clear = replay->next == 0 ? 0 : (replay->next - 1) / REPLAY_BLOCK_BITS + 1;
        if (block - clear >= REPLAY_BLOCKS && clear <= block)
            clear = block - REPLAY_BLOCKS + 1;
        for (; clear <= block; clear++)
            replay->blocks[clear % REPLAY_BLOCKS] = 0;
        replay->next = counter + 1;
    } else {
        if (replay->next - 1 - counter > REPLAY_WINDOW)
            return false;
        if (replay->blocks[block % REPLAY_BLOCKS] & bit)
            return false;
    }
    replay->blocks[block % REPLAY_BLOCKS] |= bit;
    return true;
}
