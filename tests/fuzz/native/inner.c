/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Fuzz target: packets inside the tunnel, one after another (two bytes of length, then as many).
 * What is an IP packet comes out unchanged, joined or not; what is none does not.  All are padded
 * here, for whoever opens one cannot tell padding from a packet's end. */
#include "tunnel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct collected before, after;
    static uint8_t padded[MAX_PACKET], sealed[MAX_PACKET + TRANSPORT_OVERHEAD + 16];
    struct endpoint from = {.remote.v4.sin_family = AF_INET};
    tunnel_reset();
    if (before.bytes == NULL) {
        before.bytes = malloc(1 << 22);
        after.bytes = malloc(1 << 22);
    }
    if (before.bytes == NULL || after.bytes == NULL)
        return 0;
    before.count = after.count = 0;
    before.used = after.used = 0;
    while (size >= 2 && alice.sealed.count < MAX_COLLECTED / 2) {
        uint32_t length = read_be16(data);
        data += 2;
        size -= 2;
        if (length > size)
            length = (uint32_t)size;
        uint32_t whole = length < MAX_PACKET - 15 ? (length + 15) / 16 * 16 : length;
        memset(padded, 0, whole);
        memcpy(padded, data, length);
        struct inner inner;
        if (inner_parse_untrusted(padded, whole, &inner))
            collect(&before, padded, inner.length);
        size_t datagram = outbound_seal(&alice.worker, alice.peer, padded, whole, sealed);
        collect(&alice.sealed, sealed, datagram);
        data += length;
        size -= length;
    }
    for (int i = 0; i < alice.sealed.count; i++)
        inbound_datagrams_untrusted(&bob.worker, alice.sealed.bytes + alice.sealed.starts[i],
                                    alice.sealed.lengths[i], alice.sealed.lengths[i], &from);
    coalescer_flush(&bob.worker.coalescer);
    cut_all(&bob.frames, &after);
    compare_packets(&before, &after);
    return 0;
}
