/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "inner.h"

#include "checksum.h"

#include <string.h>

bool inner_parse_untrusted(const uint8_t *packet, size_t size, struct inner *inner)
{
    uint8_t version = size > 0 ? packet[0] >> 4 : 0;
    if (version == 4 && size >= V4_HEADER) {
        inner->address_bytes = 4;
        inner->header = (packet[0] & 0xfu) * 4;
        inner->length = read_be16(packet + 2);
        inner->protocol = packet[9];
        inner->source = packet + 12;
        inner->destination = packet + 16;
        return V4_HEADER <= inner->header && inner->header <= inner->length &&
               inner->length <= size;
    }
    if (version == 6 && size >= V6_HEADER) {
        inner->address_bytes = 16;
        inner->header = V6_HEADER;
        inner->length = V6_HEADER + (uint32_t)read_be16(packet + 4);
        inner->protocol = packet[6];
        inner->source = packet + 8;
        inner->destination = packet + 24;
        return inner->length <= size;
    }
    return false;
}

void inner_set_length(uint8_t *packet, const struct inner *inner, uint32_t length)
{
    if (inner->address_bytes == 16) {
        write_be16(packet + 4, length - V6_HEADER);
        return;
    }
    write_be16(packet + 2, length);
    packet[10] = packet[11] = 0;
    uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, packet, inner->header));
    memcpy(packet + 10, &sum, sizeof(sum));
}

uint64_t inner_pseudo_sum(const struct inner *inner, uint8_t protocol, uint32_t length)
{
    uint8_t tail[8] = {0};
    write_be32(tail, length);
    tail[7] = protocol;
    uint64_t sum = checksum_add(0, inner->source, inner->address_bytes);
    sum = checksum_add(sum, inner->destination, inner->address_bytes);
    return checksum_add(sum, tail, sizeof(tail));
}
