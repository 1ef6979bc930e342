/* Cutting what the kernel hands over as one piece into packets that fit the MTU.
 *
 * A frame is a virtio_net_hdr and a packet, perhaps of many segments (TSO, USO), whose checksums
 * are for us to complete (Linux, include/uapi/linux/virtio_net.h).  It is cut in place: the header
 * of each segment is written over the tail of the one before, which must have been used by then.
 * No payload is moved.
 */
#ifndef FS_SEGMENT_H
#define FS_SEGMENT_H

#include "inner.h"

#include <linux/virtio_net.h>

/* Kernels since 6.2 cut UDP, too; their headers may be younger than ours. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
    FRAME_HEADER = sizeof(struct virtio_net_hdr),
    MAX_FRAME = FRAME_HEADER + MAX_PACKET,
    MAX_HEADERS = 128, /* of IP and transport: IPv6 with extensions is not offloaded beyond it */
};

struct cutter {
    struct inner inner; /* of the whole, for routing */
    uint8_t *packet;
    uint32_t length;  /* of the whole */
    uint32_t count;   /* of segments */
    uint32_t next;    /* segment */
    uint32_t headers; /* bytes before the payload; 0: there is nothing to cut */
    uint32_t transport;
    uint32_t size; /* of a segment's payload */
    bool tcp;
    uint8_t template[MAX_HEADERS];
};

/* Prepares a frame; false where its header contradicts its packet. A frame without offloads is one
 * segment. */
bool cutter_begin_untrusted(struct cutter *cutter, uint8_t *frame, size_t length);

/* The next segment; false after the last. */
bool cutter_next(struct cutter *cutter, uint8_t **packet, uint32_t *length);

#endif
