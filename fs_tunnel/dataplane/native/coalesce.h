/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Joins consecutive packets of one flow into one frame, which the kernel takes as one piece.
 *
 * fs_tunnel/dataplane/offload.py lists what packets must have in common to be joined.  All
 * checksums must verify, because the kernel does not see them any more.  Every other packet stays a
 * frame of its own, unchanged.
 *
 * Nothing is copied.  A frame is a list of pieces, so the packets must stay until it is written.
 */
#ifndef FS_COALESCE_H
#define FS_COALESCE_H

#include "inner.h"
#include "segment.h"

#include <sys/uio.h>

enum { MAX_PIECES = 128 };

/* Takes one frame as pieces: a header of FRAME_HEADER bytes, then the packet. */
typedef void (*frame_writer)(void *context, const struct iovec *pieces, int count);

struct coalescer {
    frame_writer write;
    void *context;
    bool udp_allowed; /* the kernel takes UDP segmentation offload (USO) */
    /* The open group; there is none while `count` is 0. */
    int count; /* of packets */
    bool joinable, verified, tcp;
    struct inner first;
    uint8_t *packet;                   /* the first packet */
    uint32_t transport, headers, size; /* its offsets, and the bytes of its payload */
    uint32_t length;                   /* of the joined packet so far */
    uint32_t next_sequence;
    struct virtio_net_hdr vnet;
    struct iovec pieces[1 + MAX_PIECES];
};

void coalescer_init(struct coalescer *coalescer, frame_writer write, void *context);

/* Adds a parsed packet, whose bytes may be changed.  If it cannot be joined to the open group, that
 * group is written first. */
void coalescer_add(struct coalescer *coalescer, uint8_t *packet, const struct inner *inner);

/* Writes the open group, if there is one. */
void coalescer_flush(struct coalescer *coalescer);

#endif
