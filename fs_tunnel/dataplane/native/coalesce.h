/* Joining consecutive packets of one flow into one frame, which the kernel takes as one piece.
 *
 * What may be joined: TCP segments without other flags than ACK (and PSH on the last), or UDP
 * datagrams; of the same flow, with the same headers but for sequence, lengths and checksums; not
 * fragmented, without IP options or extension headers, with DF on IPv4; contiguous; each with as
 * much payload as the first, but the last, which may have less; and with checksums that verify,
 * for the kernel does not see them any more.  Everything else stays a frame of its own, unchanged.
 *
 * Nothing is copied: a frame is a list of pieces, and the packets must stay until it is written.
 */
#ifndef FS_COALESCE_H
#define FS_COALESCE_H

#include "inner.h"
#include "segment.h"

#include <sys/uio.h>

enum { MAX_PIECES = 128 };

/* Takes one frame: a header of FRAME_HEADER bytes, then the packet. */
typedef void (*frame_writer)(void *context, const struct iovec *pieces, int count);

struct coalescer {
    frame_writer write;
    void *context;
    bool udp_allowed; /* whether the kernel takes USO */
    /* The group that is open; count 0: there is none. */
    int count; /* of packets */
    bool joinable, verified, tcp;
    struct inner first;
    uint8_t *packet;                   /* the first one's bytes */
    uint32_t transport, headers, size; /* offsets in it; bytes of its payload */
    uint32_t length;                   /* of the frame's packet so far */
    uint32_t next_sequence;
    struct virtio_net_hdr vnet;
    struct iovec pieces[1 + MAX_PIECES];
};

void coalescer_init(struct coalescer *coalescer, frame_writer write, void *context);

/* Adds a packet that was parsed; writes what it cannot be joined to.  Its bytes may be changed. */
void coalescer_add(struct coalescer *coalescer, uint8_t *packet, const struct inner *inner);

/* Writes what is left. */
void coalescer_flush(struct coalescer *coalescer);

#endif
