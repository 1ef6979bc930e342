/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* From UDP to the TUN: opens datagrams, checks them, and joins their packets into frames. */
#include "worker.h"

static uint32_t read_le32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint64_t read_le64(const uint8_t *bytes)
{
    return read_le32(bytes) | (uint64_t)read_le32(bytes + 4) << 32;
}

/* An authentic message moves the endpoint, whatever is in it: all implementations do so. */
static void follow_endpoint(struct worker *worker, struct peer *peer, const struct endpoint *from)
{
    lock_take(&peer->endpoint_lock);
    bool moved = !endpoint_equal(&peer->endpoint, from);
    if (moved)
        peer->endpoint = *from;
    lock_give(&peer->endpoint_lock);
    if (moved && !atomic_exchange(&peer->moved, true))
        path_tell(worker->path, ENDPOINT_MOVED, peer, 0);
}

/* An initiator that only receives renews its keys before they are rejected (section 6.2). */
static void ask_for_renewal(struct worker *worker, struct keypair *keypair)
{
    if (keypair->is_initiator && worker->now - keypair->created >= REKEY_WHEN_RECEIVING_AFTER &&
        !atomic_exchange(&keypair->renewal_wanted, true))
        path_tell(worker->path, HANDSHAKE_WANTED, keypair->peer, 0);
}

/* Whether a peer's limits let a packet in whose datagram has `wire` bytes. */
static bool within_limits(struct worker *worker, struct peer *peer, const uint8_t *packet,
                          const struct inner *inner, uint32_t wire)
{
    /* The datagram has been counted already. */
    if (!path_has_credit(worker->path, peer, 0)) {
        const struct exempt *exempt = atomic_load_explicit(&peer->exempt, memory_order_acquire);
        if (exempt == NULL || !exempt_matches(exempt, packet, inner, false)) {
            drops_add(&worker->path->drops, DROP_NO_CREDIT, 1);
            return false;
        }
    }
    if (!bucket_take(&peer->receiving, wire, worker->now)) {
        drops_add(&worker->path->drops, DROP_RATE_LIMITED_RECEIVING, 1);
        return false;
    }
    return true;
}

/* Returns the keypair that may open a datagram; if there is none, counts why and returns NULL. */
static struct keypair *find_keypair(struct worker *worker, const uint8_t *datagram,
                                    struct keypair *latest, uint64_t counter)
{
    uint32_t index = read_le32(datagram + 4);
    struct keypair *keypair = latest != NULL && latest->local_index == index
                                  ? latest
                                  : index_table_get(&worker->path->indices, index);
    if (keypair == NULL) {
        drops_add(&worker->path->drops, DROP_UNKNOWN_INDEX, 1);
        return NULL;
    }
    if (!keypair_is_fresh(keypair, worker->now) || counter >= REJECT_AFTER_MESSAGES) {
        drops_add(&worker->path->drops, DROP_SESSION_EXPIRED, 1);
        return NULL;
    }
    return keypair;
}

static void deliver(struct worker *worker, struct peer *peer, uint8_t *packet, uint32_t size,
                    uint32_t wire)
{
    struct path *path = worker->path;
    struct inner inner;
    if (!inner_parse_untrusted(packet, size, &inner)) {
        drops_add(&path->drops, DROP_INNER_MALFORMED, 1);
        return;
    }
    if (allowed_ips_lookup(&path->allowed_ips, inner.source, inner.address_bytes) != peer) {
        drops_add(&path->drops, DROP_SOURCE_NOT_ALLOWED, 1);
        return;
    }
    if (within_limits(worker, peer, packet, &inner, wire))
        coalescer_add(&worker->coalescer, packet, &inner);
}

/* Opens one transport message; returns its keypair if it is authentic and was not seen before. */
static struct keypair *open_transport(struct worker *worker, uint8_t *datagram, uint32_t length,
                                      struct keypair *latest, const struct endpoint *from)
{
    struct path *path = worker->path;
    if (length < TRANSPORT_OVERHEAD || (datagram[1] | datagram[2] | datagram[3]) != 0) {
        drops_add(&path->drops, DROP_MALFORMED, 1);
        return NULL;
    }
    uint64_t counter = read_le64(datagram + 8);
    struct keypair *keypair = find_keypair(worker, datagram, latest, counter);
    if (keypair == NULL)
        return NULL;
    if (!aead_open(worker->aead, keypair->receiving, counter, datagram + TRANSPORT_HEADER,
                   length - TRANSPORT_HEADER)) {
        drops_add(&path->drops, DROP_NOT_AUTHENTIC, 1);
        return NULL;
    }
    lock_take(&keypair->window_lock);
    bool fresh = replay_update(&keypair->window, counter);
    lock_give(&keypair->window_lock);
    if (!fresh) {
        drops_add(&path->drops, DROP_REPLAYED, 1);
        return NULL;
    }
    struct peer *peer = keypair->peer;
    uint32_t size = length - TRANSPORT_OVERHEAD;
    add_count(&peer->rx_bytes, length);
    add_count(&peer->rx_packets, 1);
    if (keypair != latest) /* one source, one keypair: the first datagram stands for all */
        follow_endpoint(worker, peer, from);
    if (atomic_load_explicit(&keypair->unconfirmed, memory_order_relaxed))
        path_confirm_keys(path, keypair);
    ask_for_renewal(worker, keypair);
    path_note_received(path, peer, size > 0, worker->now);
    if (size > 0)
        deliver(worker, peer, datagram + TRANSPORT_HEADER, size, length);
    return keypair;
}

void inbound_datagrams_untrusted(struct worker *worker, uint8_t *bytes, size_t length,
                                 size_t segment, const struct endpoint *from)
{
    struct keypair *latest = NULL;
    for (size_t offset = 0; offset < length || length == 0; offset += segment) {
        size_t size = length - offset < segment ? length - offset : segment;
        uint8_t *datagram = bytes + offset;
        if (size > 0 && datagram[0] == TRANSPORT_TYPE) {
            struct keypair *keypair =
                open_transport(worker, datagram, (uint32_t)size, latest, from);
            if (keypair != NULL)
                latest = keypair;
        } else {
            struct event event = {.kind = HANDSHAKE_RECEIVED, .endpoint = *from};
            if (!events_push(&worker->path->events, &event, datagram, size))
                drops_add(&worker->path->drops, DROP_HANDSHAKE_QUEUE_FULL, 1);
        }
        if (length == 0)
            break;
    }
}
