/* The packet threads: each moves packets between one queue of the TUN and its own UDP sockets.
 *
 * A thread sleeps in epoll until one of them has something; the kernel spreads flows over the TUN's
 * queues and peers over the sockets, so that each flow keeps to one thread, and its order.
 */
#ifndef FS_PUMP_H
#define FS_PUMP_H

#include "worker.h"

/* Of one thread; the caller keeps them open until it has stopped. An absent socket is -1. */
struct pump_files {
    int tun, udp_v4, udp_v6;
};

/* What the kernel was found to lack while packets went. */
struct pump_findings {
    _Atomic uint64_t sends_refused_whole; /* UDP_SEGMENT failed, and the parts were sent */
};

struct pump;

/* Starts a thread; NULL with errno. */
struct pump *pump_start(struct path *path, struct pump_findings *findings, int reader,
                        struct pump_files files);

/* Stops and frees it. */
void pump_stop(struct pump *pump);

#endif
