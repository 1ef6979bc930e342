/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "events.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

static void queue_init(struct event_queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
    queue->length = 0;
}

bool events_init(struct events *events)
{
    for (int i = 0; i < HANDSHAKE_QUEUES; i++)
        queue_init(&events->handshakes[i]);
    queue_init(&events->others);
    events->handshakes_waiting = events->turn = 0;
    events->loss = NULL;
    if (getrandom(&events->salt, sizeof(events->salt), 0) != sizeof(events->salt))
        return false;
    pthread_mutex_init(&events->mutex, NULL);
    events->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return events->fd >= 0;
}

static void free_list(struct event *event)
{
    while (event != NULL) {
        struct event *next = event->next;
        free(event);
        event = next;
    }
}

void events_free(struct events *events)
{
    for (int i = 0; i < HANDSHAKE_QUEUES; i++)
        free_list(events->handshakes[i].first);
    free_list(events->others.first);
    free_list(events->loss);
    if (events->fd >= 0)
        close(events->fd);
    pthread_mutex_destroy(&events->mutex);
}

/* A source is an IPv4 address or an IPv6 /64, as in proto/ratelimit.py. */
static struct event_queue *queue_of(struct events *events, const struct event *event)
{
    const union address *remote = &event->endpoint.remote;
    uint32_t words[2] = {0}, hash = events->salt;
    if (event->kind != HANDSHAKE_RECEIVED)
        return &events->others;
    if (remote->family == AF_INET)
        memcpy(words, &remote->v4.sin_addr, 4);
    else
        memcpy(words, &remote->v6.sin6_addr, 8);
    for (int i = 0; i < 2; i++)
        hash = (hash ^ words[i]) * 0x9e3779b1u ^ hash >> 15;
    return &events->handshakes[hash >> 26];
}

bool events_push(struct events *events, const struct event *event, const uint8_t *data,
                 size_t length)
{
    bool handshake = event->kind == HANDSHAKE_RECEIVED;
    struct event_queue *queue = queue_of(events, event);
    uint32_t most = handshake                     ? MAX_HANDSHAKES_QUEUED
                    : event->kind == PACKET_WAITS ? MAX_PACKETS_QUEUED
                                                  : MAX_EVENTS_QUEUED;
    struct event *copy = malloc(sizeof(*copy) + length);
    if (copy == NULL)
        return false;
    *copy = *event;
    copy->next = NULL;
    copy->length = length;
    if (length > 0)
        memcpy(copy->data, data, length);

    pthread_mutex_lock(&events->mutex);
    bool room = queue->length < most;
    bool wake = events->handshakes_waiting + events->others.length == 0;
    if (room) {
        *queue->end = copy;
        queue->end = &copy->next;
        queue->length++;
        events->handshakes_waiting += handshake;
    } else if (handshake && events->loss == NULL) {
        copy->kind = HANDSHAKES_LOST;
        copy->length = 0;
        events->loss = copy;
        copy = NULL;
    }
    pthread_mutex_unlock(&events->mutex);
    if (!room)
        free(copy);
    else if (wake)
        eventfd_write(events->fd, 1);
    return room;
}

struct event *events_take(struct events *events, uint32_t handshakes)
{
    eventfd_t ignored;
    pthread_mutex_lock(&events->mutex);
    (void)eventfd_read(events->fd, &ignored);
    struct event *taken = events->others.first, **end = events->others.end;
    if (taken == NULL)
        end = &taken;
    queue_init(&events->others);
    for (; handshakes > 0 && events->handshakes_waiting > 0; events->turn++) {
        struct event_queue *queue = &events->handshakes[events->turn % HANDSHAKE_QUEUES];
        struct event *event = queue->first;
        if (event == NULL)
            continue;
        handshakes--;
        events->handshakes_waiting--;
        queue->first = event->next;
        queue->length--;
        if (queue->first == NULL)
            queue->end = &queue->first;
        event->next = NULL;
        *end = event;
        end = &event->next;
    }
    *end = events->loss;
    events->loss = NULL;
    if (events->handshakes_waiting > 0)
        eventfd_write(events->fd, 1); /* there is more */
    pthread_mutex_unlock(&events->mutex);
    return taken;
}
