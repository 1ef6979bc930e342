/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "coalesce.h"

#include "checksum.h"

#include <netinet/in.h>
#include <string.h>

enum {
    TCP_HEADER = 20,
    TCP_DATA_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    TCP_ACK = 0x10,
    TCP_PSH = 0x08,
    UDP_HEADER = 8,
    UDP_CHECKSUM = 6,
    V4_DONT_FRAGMENT = 0x40,
};

/* What joining needs to know of one packet. */
struct candidate {
    uint8_t *packet;
    const struct inner *inner;
    bool tcp;
    uint32_t transport, headers, payload;
};

static bool examine(struct candidate *candidate)
{
    const uint8_t *packet = candidate->packet;
    const struct inner *inner = candidate->inner;
    if (inner->address_bytes == 4 &&
        (inner->header != V4_HEADER || packet[6] != V4_DONT_FRAGMENT || packet[7] != 0))
        return false;
    candidate->tcp = inner->protocol == IPPROTO_TCP;
    candidate->transport = inner->header;
    const uint8_t *transport = packet + inner->header;
    uint32_t left = inner->length - inner->header;
    if (candidate->tcp) {
        if (left < TCP_HEADER)
            return false;
        uint32_t header = (uint32_t)(transport[TCP_DATA_OFFSET] >> 4) * 4;
        if (header < TCP_HEADER || header >= left)
            return false;
        if ((transport[TCP_FLAGS] & ~TCP_PSH) != TCP_ACK || (transport[TCP_DATA_OFFSET] & 0xf))
            return false;
        candidate->headers = inner->header + header;
    } else {
        if (inner->protocol != IPPROTO_UDP || left <= UDP_HEADER ||
            read_be16(transport + 4) != left || (transport[6] | transport[7]) == 0)
            return false;
        candidate->headers = inner->header + UDP_HEADER;
    }
    candidate->payload = inner->length - candidate->headers;
    return true;
}

static bool verifies(const uint8_t *packet, const struct inner *inner, uint32_t transport)
{
    uint32_t length = inner->length - transport;
    uint64_t sum = inner_pseudo_sum(inner, inner->protocol, length);
    return checksum_fold(checksum_add(sum, packet + transport, length)) == 0xffff;
}

static bool v4_header_verifies(const uint8_t *packet, const struct inner *inner)
{
    return inner->address_bytes != 4 ||
           checksum_fold(checksum_add(0, packet, inner->header)) == 0xffff;
}

/* Whether two packets have the same headers, except for lengths, checksums, the IPv4
 * identification, sequence numbers and PSH. */
static bool same_headers(const struct coalescer *group, const struct candidate *candidate)
{
    const uint8_t *a = group->packet, *b = candidate->packet;
    if (group->tcp != candidate->tcp || group->headers != candidate->headers ||
        group->first.address_bytes != candidate->inner->address_bytes)
        return false;
    if (group->first.address_bytes == 4) {
        if (memcmp(a, b, 2) != 0 || memcmp(a + 6, b + 6, 4) != 0 || memcmp(a + 12, b + 12, 8) != 0)
            return false;
    } else if (memcmp(a, b, 4) != 0 || memcmp(a + 6, b + 6, 34) != 0) {
        return false;
    }
    a += group->transport;
    b += group->transport;
    if (memcmp(a, b, 4) != 0) /* ports */
        return false;
    if (!group->tcp)
        return true;
    /* Acknowledgement and data offset; window; urgent pointer and options. */
    uint32_t header = group->headers - group->transport;
    return memcmp(a + 8, b + 8, 5) == 0 && memcmp(a + 14, b + 14, 2) == 0 &&
           memcmp(a + 18, b + 18, header - 18) == 0;
}

static bool fits(struct coalescer *group, const struct candidate *candidate)
{
    if (!group->joinable || group->count == MAX_PIECES || !same_headers(group, candidate) ||
        candidate->payload > group->size || group->length + candidate->payload > MAX_PACKET)
        return false;
    if (!group->tcp && !group->udp_allowed)
        return false;
    if (group->tcp &&
        read_be32(candidate->packet + candidate->transport + 4) != group->next_sequence)
        return false;
    if (!group->verified) {
        group->verified = true;
        if (!v4_header_verifies(group->packet, &group->first) ||
            !verifies(group->packet, &group->first, group->transport)) {
            group->joinable = false;
            return false;
        }
    }
    return v4_header_verifies(candidate->packet, candidate->inner) &&
           verifies(candidate->packet, candidate->inner, candidate->transport);
}

static void open_group(struct coalescer *group, const struct candidate *candidate, bool joinable)
{
    group->count = 1;
    group->joinable = joinable;
    group->verified = false;
    group->packet = candidate->packet;
    group->first = *candidate->inner;
    group->length = candidate->inner->length;
    group->pieces[1].iov_base = candidate->packet;
    group->pieces[1].iov_len = group->length;
    if (!joinable)
        return;
    group->tcp = candidate->tcp;
    group->transport = candidate->transport;
    group->headers = candidate->headers;
    group->size = candidate->payload;
    if (group->tcp) {
        const uint8_t *tcp = candidate->packet + candidate->transport;
        group->next_sequence = read_be32(tcp + 4) + candidate->payload;
        group->joinable = (tcp[TCP_FLAGS] & TCP_PSH) == 0;
    }
}

static void join(struct coalescer *group, const struct candidate *candidate)
{
    group->count++;
    group->pieces[group->count].iov_base = candidate->packet + candidate->headers;
    group->pieces[group->count].iov_len = candidate->payload;
    group->length += candidate->payload;
    if (candidate->payload < group->size)
        group->joinable = false;
    if (group->tcp) {
        uint8_t psh = candidate->packet[candidate->transport + TCP_FLAGS] & TCP_PSH;
        group->packet[group->transport + TCP_FLAGS] |= psh;
        group->next_sequence += candidate->payload;
        if (psh)
            group->joinable = false;
    }
}

/* Writes the headers of a joined packet, and says in `vnet` how the kernel takes it apart. */
static void finish_headers(struct coalescer *group)
{
    uint8_t *packet = group->packet, *transport = packet + group->transport;
    uint32_t length = group->length - group->transport;
    inner_set_length(packet, &group->first, group->length);
    uint32_t check = group->tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
    if (!group->tcp)
        write_be16(transport + 4, length);
    uint16_t partial =
        checksum_fold(inner_pseudo_sum(&group->first, group->first.protocol, length));
    memcpy(transport + check, &partial, sizeof(partial));
    bool v4 = group->first.address_bytes == 4;
    group->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    group->vnet.gso_type = !group->tcp ? VIRTIO_NET_HDR_GSO_UDP_L4
                           : v4        ? VIRTIO_NET_HDR_GSO_TCPV4
                                       : VIRTIO_NET_HDR_GSO_TCPV6;
    group->vnet.hdr_len = (uint16_t)group->headers;
    group->vnet.gso_size = (uint16_t)group->size;
    group->vnet.csum_start = (uint16_t)group->transport;
    group->vnet.csum_offset = (uint16_t)check;
}

void coalescer_init(struct coalescer *coalescer, frame_writer write, void *context)
{
    memset(coalescer, 0, sizeof(*coalescer));
    coalescer->write = write;
    coalescer->context = context;
}

void coalescer_add(struct coalescer *coalescer, uint8_t *packet, const struct inner *inner)
{
    struct candidate candidate = {.packet = packet, .inner = inner};
    bool joinable = examine(&candidate);
    if (coalescer->count > 0) {
        if (joinable && fits(coalescer, &candidate)) {
            join(coalescer, &candidate);
            return;
        }
        coalescer_flush(coalescer);
    }
    open_group(coalescer, &candidate, joinable);
}

void coalescer_flush(struct coalescer *coalescer)
{
    if (coalescer->count == 0)
        return;
    memset(&coalescer->vnet, 0, sizeof(coalescer->vnet));
    if (coalescer->count > 1)
        finish_headers(coalescer);
    coalescer->pieces[0].iov_base = &coalescer->vnet;
    coalescer->pieces[0].iov_len = FRAME_HEADER;
    coalescer->write(coalescer->context, coalescer->pieces, 1 + coalescer->count);
    coalescer->count = 0;
}
