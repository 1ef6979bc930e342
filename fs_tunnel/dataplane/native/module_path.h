/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The Python type `Path`: the tables of a packet path, its threads, and all methods of the type.
 *
 * A method is a row of PATH_METHODS and a small function `Path_NAME`.  module_path.c checks how
 * many arguments were given and finds the peer; the function reads the rest with `read_...`.
 */
#ifndef FS_MODULE_PATH_H
#define FS_MODULE_PATH_H

#include "module.h"
#include "pump.h"

enum { CONTROL_READER = MAX_READERS - 1 }; /* the last number; packet threads have the others */

typedef struct {
    PyObject_HEAD
    struct path path;
    struct worker worker;         /* without a thread: for packets that Python hands over */
    PyObject *datagrams, *frames; /* lists: what `worker` made, until Python takes it */
    struct pump *pumps[MAX_READERS];
    int pump_count;
    struct pump_findings findings;
    bool ready; /* `path` and `worker` must be freed */
} Path;

/* One call of a method. */
struct call {
    Path *self;
    struct peer *peer;      /* NULL unless the method is about a PEER */
    PyObject *const *given; /* the arguments; without the peer's number */
};

/* What a method is about: a PEER, whose number is its first argument, or the whole PATH. */
enum subject { PATH, PEER };

/* Name, subject, and how many arguments follow; their types are in _native.pyi. */
#define PATH_METHODS(ROW)                          \
    /* Peers: module_peers.c */                    \
    ROW(add_peer, PATH, 0)                         \
    ROW(remove_peer, PEER, 0)                      \
    ROW(endpoint, PEER, 0)                         \
    ROW(set_endpoint, PEER, 1)                     \
    ROW(forget_local, PEER, 0)                     \
    ROW(set_limits, PEER, 6)                       \
    ROW(counters, PEER, 0)                         \
    ROW(activity, PEER, 0)                         \
    ROW(watch, PEER, 0)                            \
    ROW(note_sent, PEER, 1)                        \
    ROW(note_received, PEER, 1)                    \
    ROW(rearm, PEER, 0)                            \
    ROW(take_received_more, PEER, 0)               \
    /* Keys and networks: module_keys.c */         \
    ROW(add_keys, PEER, 7)                         \
    ROW(use_keys, PEER, 1)                         \
    ROW(remove_keys, PATH, 1)                      \
    ROW(allow, PATH, 3)                            \
    ROW(disallow, PATH, 2)                         \
    /* Interface and threads: module_threads.c */  \
    ROW(set_up, PATH, 1)                           \
    ROW(set_mtu, PATH, 1)                          \
    ROW(start, PATH, 2)                            \
    ROW(stop, PATH, 0)                             \
    ROW(sends_refused_whole, PATH, 0)              \
    /* Events and drops: module_events.c */        \
    ROW(fileno, PATH, 0)                           \
    ROW(take_events, PATH, 1)                      \
    ROW(drops, PATH, 0)                            \
    /* Packets of Python's: module_packets.c */    \
    ROW(seal, PEER, 2)                             \
    ROW(not_sent, PATH, 2)                         \
    ROW(receive_frame, PATH, 2)                    \
    ROW(receive_datagrams, PATH, 4)                \
    ROW(take_datagrams, PATH, 0)                   \
    ROW(take_frames, PATH, 0)

#define DECLARE_METHOD(name, subject, arguments) PyObject *Path_##name(const struct call *call);
PATH_METHODS(DECLARE_METHOD)
#undef DECLARE_METHOD

/* Makes `self->worker` put its output into `datagrams` and `frames`. */
void path_keep_packets(Path *self);

#endif
