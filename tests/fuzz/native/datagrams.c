/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Fuzz target: datagrams from the network, joined by GRO: two bytes say how long each is. */
#include "tunnel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct endpoint from = {.remote.v4.sin_family = AF_INET};
    tunnel_reset();
    if (size < 3 || size - 2 > MAX_PACKET)
        return 0;
    size_t segment = read_be16(data);
    data += 2;
    size -= 2;
    uint8_t *bytes = malloc(size);
    if (bytes == NULL)
        return 0;
    memcpy(bytes, data, size);
    inbound_datagrams_untrusted(&bob.worker, bytes, size, segment == 0 ? size : segment, &from);
    coalescer_flush(&bob.worker.coalescer);
    if (bob.frames.count != 0) /* nobody can forge a tag */
        abort();
    free(bytes);
    return 0;
}
