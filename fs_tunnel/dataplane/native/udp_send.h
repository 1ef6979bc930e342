/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Sends runs of datagrams: whole, with UDP_SEGMENT, or one by one if the route refuses that. */
#ifndef FS_UDP_SEND_H
#define FS_UDP_SEND_H

#include "pump.h"

/* Sends the runs of a worker in order, and returns true when none is left.  Returns false if the
 * buffer of a socket is full; the rest waits in `runs`.  A datagram that the kernel refuses is
 * dropped and counted. */
bool udp_send_runs(struct worker *worker, const struct pump_files *files,
                   struct pump_findings *findings);

#endif
