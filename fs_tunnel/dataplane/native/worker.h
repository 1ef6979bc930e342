/* What one packet thread works with; the control plane has one of its own, without a thread.
 *
 * outbound.c seals what comes from the TUN into `runs`, inbound.c opens datagrams and joins them
 * into frames.  Where runs and frames go is said by two functions, so that the same code serves a
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
    MAX_UDP_PAYLOAD = 65507, /* of IPv4; one send with UDP_SEGMENT is held to it, too */
    MAX_RUN_SEGMENTS = 64,   /* UDP_MAX_SEGMENTS of all kernels; younger ones allow 128 */
    MAX_RUNS = 256,
    OUT_BYTES = 8 * 65536,
};

/* Datagrams of equal length to one peer, the last perhaps shorter: one send. */
struct run {
    struct peer *peer;
    struct endpoint endpoint;
    uint32_t offset, length; /* in `out` */
    uint32_t segment, count;
    bool whole; /* it goes with UDP_SEGMENT, as the latest call decided */
};

struct worker {
    struct path *path;
    int reader; /* its number among the epochs' readers */
    struct aead *aead;
    double now;

    uint8_t *frame; /* what is read from the TUN: MAX_FRAME, and room for padding */
    uint8_t *out;   /* OUT_BYTES of sealed datagrams */
    uint32_t out_used;
    struct run runs[MAX_RUNS];
    int run_count;
    /* Sends the runs from `first` on; returns how many are done with, sent or not. */
    void (*send_runs)(struct worker *worker);

    struct coalescer coalescer;
    void *context; /* of the two functions */
};

/* False without memory. */
bool worker_init(struct worker *worker, struct path *path, int reader);
void worker_free(struct worker *worker);

/* Seals a frame from the TUN, which is changed in place, and adds it to the runs. */
void outbound_frame_untrusted(struct worker *worker, uint8_t *frame, size_t length);

/* Seals a packet of the control plane's (empty: a keepalive) into `to`, which has room for its
 * padding and TRANSPORT_OVERHEAD.  Returns the datagram's length; 0 where no key may be used. */
size_t outbound_seal(struct worker *worker, struct peer *peer, const uint8_t *packet,
                     uint32_t length, uint8_t *to);

/* Whether another frame surely finds room in `out` and `runs`. */
static inline bool outbound_has_room(const struct worker *worker)
{
    /* Headers repeat for each segment: small ones double the bytes and more. */
    return worker->run_count < MAX_RUNS / 2 && worker->out_used < OUT_BYTES / 2;
}

/* Opens datagrams that came as one: all of `segment` bytes, but the last.  Their bytes are changed,
 * and must stay until the coalescer is flushed. */
void inbound_datagrams_untrusted(struct worker *worker, uint8_t *bytes, size_t length,
                                 size_t segment, const struct endpoint *from);

#endif
