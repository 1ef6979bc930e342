/* What packet threads tell the control plane: bounded queues and an eventfd.
 *
 * Handshakes have queues of their own, so that a flood of them crowds out nothing else; one for each
 * of several groups of sources, taken from in turn, so that who floods from one place crowds out
 * few.
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

/* Packets, which are large, wait only while there is room for them among the others. */
enum {
    HANDSHAKE_QUEUES = 64,
    MAX_HANDSHAKES_QUEUED = 64, /* in each */
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
    struct event *loss;                /* HANDSHAKES_LOST; NULL: none was */
    uint32_t handshakes_waiting, turn; /* in all queues; which one is next */
    uint32_t salt;                     /* who shares a queue with whom cannot be foreseen */
};

/* False with errno. */
bool events_init(struct events *events);
void events_free(struct events *events);

/* Queues one; false where the queue is full, or there is no memory.  The first handshake that finds
 * no room leaves HANDSHAKES_LOST, which comes after those that found some. */
bool events_push(struct events *events, const struct event *event, const uint8_t *data,
                 size_t length);

/* Takes all others and at most `handshakes` handshakes, as a list for the caller to free. */
struct event *events_take(struct events *events, uint32_t handshakes);

#endif
