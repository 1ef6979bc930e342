/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* What packet threads tell the control plane: bounded queues and an eventfd.
 *
 * Handshake messages have queues of their own, so that a flood of them crowds out no other event.
 * Sources are spread over these queues, and the queues are emptied in turns.  So a flood from one
 * source crowds out only the few sources that share its queue.
 */
#ifndef FS_EVENTS_H
#define FS_EVENTS_H

#include "endpoint.h"

#include <pthread.h>
#include <stddef.h>

enum event_kind {
    HANDSHAKE_RECEIVED, /* data, endpoint */
    PACKET_WAITS,       /* peer, data */
    HANDSHAKE_WANTED,   /* peer */
    SESSION_CONFIRMED,  /* peer, index */
    BECAME_ACTIVE,      /* peer */
    ENDPOINT_MOVED,     /* peer */
    CREDIT_LOW,         /* peer */
    HANDSHAKES_LOST,    /* nothing */
};

/* Events other than handshakes share one queue; packets are large, so fewer of them may wait. */
enum {
    HANDSHAKE_QUEUES = 64,
    MAX_HANDSHAKES_QUEUED = 64, /* in each of the queues */
    MAX_PACKETS_QUEUED = 4096,
    MAX_EVENTS_QUEUED = 65536,
};

struct event {
    struct event *next;
    enum event_kind kind;
    uint64_t peer;
    uint32_t index;
    struct endpoint endpoint;
    size_t length;
    uint8_t data[];
};

struct event_queue {
    struct event *first, **end;
    uint32_t length;
};

struct events {
    pthread_mutex_t mutex;
    int fd; /* readable while something waits */
    struct event_queue others, handshakes[HANDSHAKE_QUEUES];
    struct event *loss;                /* HANDSHAKES_LOST; NULL if none was lost */
    uint32_t handshakes_waiting, turn; /* in all queues; the queue that is next */
    uint32_t salt;                     /* nobody can foresee which sources share a queue */
};

/* Returns false with errno. */
bool events_init(struct events *events);
void events_free(struct events *events);

/* Queues a copy of an event, with `data`.  Returns false if the queue is full or there is no
 * memory. The first handshake that finds no room leaves HANDSHAKES_LOST, which is taken after the
 * others. */
bool events_push(struct events *events, const struct event *event, const uint8_t *data,
                 size_t length);

/* Takes at most `handshakes` handshakes, and all other events.  Returns a list, whose events the
 * caller frees. */
struct event *events_take(struct events *events, uint32_t handshakes);

#endif
