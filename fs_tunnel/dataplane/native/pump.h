/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The packet threads: each moves packets between one queue of the TUN and its own UDP sockets.
 *
 * A thread sleeps in epoll until one of these has data.  The kernel spreads flows over the TUN's
 * queues, and peers over the sockets.  So each flow stays on one thread, and keeps its order.
 */
#ifndef FS_PUMP_H
#define FS_PUMP_H

#include "worker.h"

/* The files of one thread; the caller keeps them open until it has stopped.  -1 is no socket. */
struct pump_files {
    int tun, udp_v4, udp_v6;
};

/* What the threads found out about the kernel. */
struct pump_findings {
    _Atomic uint64_t sends_refused_whole; /* UDP_SEGMENT failed, and datagrams went one by one */
};

struct pump;

/* Starts a thread, which is the `reader` of that number; returns NULL with errno. */
struct pump *pump_start(struct path *path, struct pump_findings *findings, int reader,
                        struct pump_files files);

/* Stops a thread and frees its pump. */
void pump_stop(struct pump *pump);

#endif
