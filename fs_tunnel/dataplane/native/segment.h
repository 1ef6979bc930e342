/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Cuts a frame, which the kernel hands over as one piece, into packets that fit the MTU.
 *
 * A frame is a virtio_net_hdr and a packet, perhaps of many segments (TSO, USO).  We have to
 * complete the checksums (Linux, include/uapi/linux/virtio_net.h).  It is cut in place: the header
 * of each segment is written over the end of the segment before, which must have been used by then.
 * No payload is moved.
 */
#ifndef FS_SEGMENT_H
#define FS_SEGMENT_H

#include "inner.h"

#include <linux/virtio_net.h>

/* Linux cuts UDP too since 6.2; the headers that we are built with may be older. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
    FRAME_HEADER = sizeof(struct virtio_net_hdr),
    MAX_FRAME = FRAME_HEADER + MAX_PACKET,
    MAX_HEADERS = 128, /* bytes of IP and transport headers, IPv6 extension headers included */
};

struct cutter {
    struct inner inner; /* of the whole packet, for routing */
    uint8_t *packet;
    uint32_t length;  /* of the whole packet */
    uint32_t count;   /* of segments */
    uint32_t next;    /* the number of the next segment */
    uint32_t headers; /* bytes before the payload; 0 if the packet stays whole */
    uint32_t transport; /* offset of the transport header */
    uint32_t size; /* payload bytes of a segment */
    bool tcp;
    uint8_t template[MAX_HEADERS];
};

/* Prepares a frame; returns false if its header contradicts its packet.  A frame without offloads
 * has one segment. */
bool cutter_begin_untrusted(struct cutter *cutter, uint8_t *frame, size_t length);

/* Gets the next segment; returns false after the last. */
bool cutter_next(struct cutter *cutter, uint8_t **packet, uint32_t *length);

#endif
