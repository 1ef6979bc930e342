/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Fuzz target: a frame from the TUN.  What it is cut into goes through the tunnel unchanged, joined
 * or not. */
#include "tunnel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct collected before, after;
    tunnel_reset();
    if (before.bytes == NULL) {
        before.bytes = malloc(1 << 22);
        after.bytes = malloc(1 << 22);
    }
    if (size > MAX_FRAME || before.bytes == NULL || after.bytes == NULL)
        return 0;
    before.count = after.count = 0;
    before.used = after.used = 0;
    /* A buffer of just its size and the room for padding, so that a read beyond it is seen. */
    uint8_t *frame = malloc(size + 16);
    struct cutter cutter;
    uint8_t *packet;
    uint32_t length;
    if (frame == NULL)
        return 0;
    memcpy(frame, data, size);
    /* Thousands of tiny segments are one case; they need not all be compared. */
    bool cut = cutter_begin_untrusted(&cutter, frame, size) && cutter.count <= MAX_COLLECTED;
    while (cut && cutter_next(&cutter, &packet, &length))
        collect(&before, packet, length);
    memcpy(frame, data, size);
    if (cut || !cutter_begin_untrusted(&cutter, frame, size)) {
        memcpy(frame, data, size);
        outbound_frame_untrusted(&alice.worker, frame, size);
        tunnel_carry();
        cut_all(&bob.frames, &after);
        compare_packets(&before, &after);
    }
    free(frame);
    return 0;
}
