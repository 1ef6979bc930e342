/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The header fields that a tunnel reads in the packets inside it: RFC 791, RFC 8200. */
#ifndef FS_INNER_H
#define FS_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { V4_HEADER = 20, V6_HEADER = 40, MAX_PACKET = 65535 };

struct inner {
    const uint8_t *source, *destination;
    uint32_t address_bytes; /* 4 or 16 */
    uint32_t header;        /* bytes of the IP header, without IPv6 extension headers */
    uint32_t length;        /* bytes of the packet, without padding */
    uint8_t protocol;       /* of what follows the header */
};

/* Returns false if `size` bytes hold no whole IPv4 or IPv6 packet. */
bool inner_parse_untrusted(const uint8_t *packet, size_t size, struct inner *inner);

static inline uint16_t read_be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t read_be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline void write_be16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static inline void write_be32(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 24);
    bytes[1] = (uint8_t)(value >> 16);
    bytes[2] = (uint8_t)(value >> 8);
    bytes[3] = (uint8_t)value;
}

/* Writes a new length, and the checksum of IPv4, into the IP header of a packet. */
void inner_set_length(uint8_t *packet, const struct inner *inner, uint32_t length);

/* Returns the sum of the pseudo-header for `length` bytes of transport header and payload. */
uint64_t inner_pseudo_sum(const struct inner *inner, uint8_t protocol, uint32_t length);

#endif
