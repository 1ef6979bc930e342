/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "tunnel.h"

#include <stdio.h>
#include <stdlib.h>

enum { COLLECTED_BYTES = 1 << 22, MTU = 1420 };

struct end alice, bob;

static void check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

void collect(struct collected *into, const void *bytes, size_t length)
{
    check(into->count < MAX_COLLECTED && into->used + length <= COLLECTED_BYTES, "room for more");
    memcpy(into->bytes + into->used, bytes, length);
    into->starts[into->count] = into->used;
    into->lengths[into->count++] = length;
    into->used += length;
}

static void keep_runs(struct worker *worker)
{
    struct end *end = worker->context;
    for (int i = 0; i < worker->run_count; i++) {
        const struct run *run = &worker->runs[i];
        check(run->count <= MAX_RUN_SEGMENTS && run->length <= MAX_UDP_PAYLOAD, "a run's limits");
        for (uint32_t at = 0; at < run->length; at += run->segment) {
            uint32_t left = run->length - at;
            collect(&end->sealed, worker->out + run->offset + at,
                    left < run->segment ? left : run->segment);
        }
    }
    worker->run_count = 0;
    worker->out_used = 0;
}

static void keep_frame(void *context, const struct iovec *pieces, int count)
{
    static uint8_t frame[MAX_FRAME];
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        check(length + pieces[i].iov_len <= sizeof(frame), "a frame's limit");
        memcpy(frame + length, pieces[i].iov_base, pieces[i].iov_len);
        length += pieces[i].iov_len;
    }
    collect(&((struct end *)context)->frames, frame, length);
}

static void make_end(struct end *end, uint8_t sending, uint8_t receiving)
{
    static const uint8_t everywhere[16];
    check(path_init(&end->path) && worker_init(&end->worker, &end->path, 0), "memory");
    end->worker.send_runs = keep_runs;
    end->worker.context = end;
    coalescer_init(&end->worker.coalescer, keep_frame, end);
    end->worker.coalescer.udp_allowed = true;
    end->peer = path_add_peer(&end->path);
    struct keypair *keypair = calloc(1, sizeof(*keypair));
    check(end->peer != NULL && keypair != NULL, "memory");
    keypair->peer = end->peer;
    keypair->local_index = keypair->remote_index = 1;
    memset(keypair->sending, sending, KEY_BYTES);
    memset(keypair->receiving, receiving, KEY_BYTES);
    check(path_add_keys(&end->path, keypair), "memory");
    atomic_store(&end->peer->current, keypair);
    end->peer->endpoint.remote.v4.sin_family = AF_INET;
    check(path_allow(&end->path, everywhere, 4, 0, end->peer), "memory");
    check(path_allow(&end->path, everywhere, 16, 0, end->peer), "memory");
    atomic_store(&end->path.up, true);
    atomic_store(&end->path.mtu, MTU);
    end->sealed.bytes = malloc(COLLECTED_BYTES);
    end->frames.bytes = malloc(COLLECTED_BYTES);
    check(end->sealed.bytes != NULL && end->frames.bytes != NULL, "memory");
}

static void empty(struct collected *collected)
{
    collected->count = 0;
    collected->used = 0;
}

static void empty_end(struct end *end)
{
    empty(&end->sealed);
    empty(&end->frames);
    struct event *event = events_take(&end->path.events, UINT32_MAX);
    while (event != NULL) {
        struct event *next = event->next;
        free(event);
        event = next;
    }
}

void tunnel_reset(void)
{
    if (alice.peer == NULL) {
        make_end(&alice, 1, 2);
        make_end(&bob, 2, 1);
    }
    empty_end(&alice);
    empty_end(&bob);
}

void tunnel_carry(void)
{
    struct endpoint from = {.remote.v4.sin_family = AF_INET};
    keep_runs(&alice.worker);
    /* Bob's packets must stay until they are written: one buffer for all. */
    for (int i = 0; i < alice.sealed.count; i++) {
        size_t length = alice.sealed.lengths[i];
        inbound_datagrams_untrusted(&bob.worker, alice.sealed.bytes + alice.sealed.starts[i],
                                    length, length, &from);
    }
    coalescer_flush(&bob.worker.coalescer);
}

void cut_all(const struct collected *frames, struct collected *packets)
{
    static uint8_t frame[MAX_FRAME];
    for (int i = 0; i < frames->count; i++) {
        struct cutter cutter;
        uint8_t *packet;
        uint32_t length;
        memcpy(frame, frames->bytes + frames->starts[i], frames->lengths[i]);
        check(cutter_begin_untrusted(&cutter, frame, frames->lengths[i]), "ours can be cut");
        while (cutter_next(&cutter, &packet, &length))
            collect(packets, packet, length);
    }
}

void compare_packets(const struct collected *expected, const struct collected *got)
{
    check(expected->count == got->count, "as many packets came out as went in");
    for (int i = 0; i < got->count; i++) {
        uint8_t *a = expected->bytes + expected->starts[i], *b = got->bytes + got->starts[i];
        check(expected->lengths[i] == got->lengths[i], "a packet keeps its length");
        if (a[0] >> 4 == 4)
            for (int at = 4; at < 12; at == 5 ? at = 10 : at++)
                b[at] = a[at];
        check(memcmp(a, b, got->lengths[i]) == 0, "a packet keeps its bytes");
    }
}
