/* Sending runs of datagrams: whole with UDP_SEGMENT where the path takes it, else one by one. */
#ifndef FS_UDP_SEND_H
#define FS_UDP_SEND_H

#include "pump.h"

/* Sends the runs of a worker, in order; true when none is left.  False: a socket's buffer is full,
 * and the rest waits in `runs`.  What the kernel refuses is dropped and counted. */
bool udp_send_runs(struct worker *worker, const struct pump_files *files,
                   struct pump_findings *findings);

#endif
