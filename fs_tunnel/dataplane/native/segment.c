/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "segment.h"

#include "checksum.h"

#include <netinet/in.h>
#include <string.h>

enum {
    TCP_HEADER = 20,
    TCP_FLAGS = 13, /* an offset in the header, as are the checksums */
    TCP_CHECKSUM = 16,
    TCP_FIN_PSH = 0x09,
    TCP_CWR = 0x80,
    UDP_HEADER = 8,
    UDP_CHECKSUM = 6,
};

/* Completes a checksum as the kernel asks a device to: sum from `start` to the end, which includes
 * the sum of the pseudo-header, and store the result.  0 would mean "none" to UDP; to others it
 * equals 0xffff. */
static bool complete_checksum(uint8_t *packet, uint32_t length, uint32_t start, uint32_t offset)
{
    if (start + offset + 2 > length)
        return false;
    uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, packet + start, length - start));
    if (sum == 0)
        sum = 0xffff;
    memcpy(packet + start + offset, &sum, sizeof(sum));
    return true;
}

static bool begin_cutting(struct cutter *cutter, const struct virtio_net_hdr *vnet)
{
    uint8_t version = cutter->packet[0] >> 4;
    switch (vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        cutter->tcp = true;
        if (version != 4)
            return false;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        cutter->tcp = true;
        if (version != 6)
            return false;
        break;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        cutter->tcp = false;
        break;
    default:
        return false;
    }
    uint32_t start = vnet->csum_start, header;
    if (!(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || start < cutter->inner.header)
        return false;
    if (version == 4 && (start != cutter->inner.header ||
                         cutter->inner.protocol != (cutter->tcp ? IPPROTO_TCP : IPPROTO_UDP)))
        return false;
    if (cutter->tcp) {
        if (start + TCP_HEADER > cutter->length || vnet->csum_offset != TCP_CHECKSUM)
            return false;
        header = (uint32_t)(cutter->packet[start + 12] >> 4) * 4;
        if (header < TCP_HEADER)
            return false;
    } else {
        if (vnet->csum_offset != UDP_CHECKSUM)
            return false;
        header = UDP_HEADER;
    }
    if (start + header >= cutter->length || start + header > MAX_HEADERS || vnet->gso_size == 0)
        return false;
    cutter->transport = start;
    cutter->headers = start + header;
    cutter->size = vnet->gso_size;
    cutter->count = (cutter->length - cutter->headers + cutter->size - 1) / cutter->size;
    memcpy(cutter->template, cutter->packet, cutter->headers);
    return true;
}

bool cutter_begin_untrusted(struct cutter *cutter, uint8_t *frame, size_t length)
{
    struct virtio_net_hdr vnet;
    if (length < FRAME_HEADER)
        return false;
    memcpy(&vnet, frame, FRAME_HEADER);
    cutter->packet = frame + FRAME_HEADER;
    if (!inner_parse_untrusted(cutter->packet, length - FRAME_HEADER, &cutter->inner))
        return false;
    cutter->length = cutter->inner.length;
    cutter->count = 1;
    cutter->next = 0;
    cutter->headers = 0;
    if (vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        return begin_cutting(cutter, &vnet);
    if (vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        return vnet.csum_start >= cutter->inner.header &&
               complete_checksum(cutter->packet, cutter->length, vnet.csum_start,
                                 vnet.csum_offset);
    return true;
}

static void adapt_tcp(const struct cutter *cutter, uint8_t *packet, bool last)
{
    uint8_t *tcp = packet + cutter->transport;
    write_be32(tcp + 4, read_be32(cutter->template + cutter->transport + 4) +
                            cutter->next * cutter->size);
    if (!last)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_FIN_PSH;
    if (cutter->next > 0)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    memset(tcp + TCP_CHECKSUM, 0, 2);
}

bool cutter_next(struct cutter *cutter, uint8_t **packet, uint32_t *length)
{
    if (cutter->next == cutter->count)
        return false;
    if (cutter->headers == 0) {
        *packet = cutter->packet;
        *length = cutter->length;
        cutter->next++;
        return true;
    }
    bool last = cutter->next + 1 == cutter->count;
    uint32_t done = cutter->next * cutter->size;
    uint32_t payload = last ? cutter->length - cutter->headers - done : cutter->size;
    uint32_t total = cutter->headers + payload;
    uint8_t *segment = cutter->packet + done;
    memcpy(segment, cutter->template, cutter->headers);
    struct inner inner = cutter->inner;
    inner.source = segment + (cutter->inner.source - cutter->packet);
    inner.destination = segment + (cutter->inner.destination - cutter->packet);
    if (inner.address_bytes == 4)
        write_be16(segment + 4, read_be16(cutter->template + 4) + cutter->next);
    inner_set_length(segment, &inner, total);

    uint8_t *transport = segment + cutter->transport;
    uint32_t transport_length = total - cutter->transport;
    if (cutter->tcp) {
        adapt_tcp(cutter, segment, last);
    } else {
        write_be16(transport + 4, transport_length);
        memset(transport + UDP_CHECKSUM, 0, 2);
    }
    uint64_t sum = inner_pseudo_sum(&inner, cutter->tcp ? IPPROTO_TCP : IPPROTO_UDP,
                                    transport_length);
    uint16_t check = (uint16_t)~checksum_fold(checksum_add(sum, transport, transport_length));
    if (check == 0 && !cutter->tcp)
        check = 0xffff;
    memcpy(transport + (cutter->tcp ? TCP_CHECKSUM : UDP_CHECKSUM), &check, sizeof(check));
    cutter->next++;
    *packet = segment;
    *length = total;
    return true;
}
