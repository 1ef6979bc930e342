/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The state of one packet thread.  The control plane has a worker too, without a thread.
 *
 * outbound.c seals packets from the TUN into `runs`.  inbound.c opens datagrams and joins their
 * packets into frames.  Two functions take the runs and the frames, so that the same code serves a
 * thread and a test.
 */
#ifndef FS_WORKER_H
#define FS_WORKER_H

#include "coalesce.h"
#include "path.h"

enum {
    TRANSPORT_TYPE = 4,
    TRANSPORT_HEADER = 16,
    TRANSPORT_OVERHEAD = TRANSPORT_HEADER + TAG_BYTES,
    MAX_UDP_PAYLOAD = 65507, /* over IPv4; a send with UDP_SEGMENT may have no more either */
    MAX_RUN_SEGMENTS = 64,   /* UDP_MAX_SEGMENTS of every kernel; newer ones allow 128 */
    MAX_RUNS = 256,
    OUT_BYTES = 8 * 65536,
};

/* Datagrams to one peer that can leave as one send: of equal length, the last perhaps shorter. */
struct run {
    struct peer *peer;
    struct endpoint endpoint;
    uint32_t offset, length; /* in `out` */
    uint32_t segment, count;
    bool whole; /* the latest call sends it whole, with UDP_SEGMENT */
};

struct worker {
    struct path *path;
    int reader; /* its number among the readers of `epochs` */
    struct aead *aead;
    double now;

    uint8_t *frame; /* read from the TUN: MAX_FRAME bytes, and room for padding */
    uint8_t *out;   /* OUT_BYTES of sealed datagrams */
    uint32_t out_used;
    struct run runs[MAX_RUNS];
    int run_count;
    /* Sends the runs, or keeps those that find no room. */
    void (*send_runs)(struct worker *worker);

    struct coalescer coalescer;
    void *context; /* for send_runs, and for the writer of the coalescer */
};

/* Returns false without memory; then nothing is left to free. */
bool worker_init(struct worker *worker, struct path *path, int reader);
void worker_free(struct worker *worker);

/* Seals a frame from the TUN and adds it to the runs.  The frame is changed in place. */
void outbound_frame_untrusted(struct worker *worker, uint8_t *frame, size_t length);

/* Seals a packet of the control plane into `to`; an empty packet is a keepalive.  `to` has room for
 * the padding and TRANSPORT_OVERHEAD.  Returns the datagram's length; 0 if no key may be used. */
size_t outbound_seal(struct worker *worker, struct peer *peer, const uint8_t *packet,
                     uint32_t length, uint8_t *to);

/* Returns whether another frame surely finds room in `out` and `runs`. */
static inline bool outbound_has_room(const struct worker *worker)
{
    /* Headers repeat for each segment, so that small segments more than double the bytes. */
    return worker->run_count < MAX_RUNS / 2 && worker->out_used < OUT_BYTES / 2;
}

/* Opens datagrams that came as one.  Each has `segment` bytes; the last may have fewer.  The bytes
 * are changed, and must stay until the coalescer is flushed. */
void inbound_datagrams_untrusted(struct worker *worker, uint8_t *bytes, size_t length,
                                 size_t segment, const struct endpoint *from);

#endif
