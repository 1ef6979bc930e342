/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "path.h"

#include <stdlib.h>
#include <time.h>

enum { FIRST_SLOTS = 16 };

bool path_init(struct path *path)
{
    memset(path, 0, sizeof(*path));
    epochs_init(&path->epochs);
    path->clock_scale = 1.0;
    return events_init(&path->events);
}

static void free_keypair(void *thing)
{
    struct keypair *keypair = thing;
    explicit_bzero(keypair, sizeof(*keypair));
    free(keypair);
}

static void free_peer(void *thing)
{
    struct peer *peer = thing;
    free(atomic_load(&peer->exempt));
    free(peer);
}

void path_free(struct path *path)
{
    for (uint32_t i = 0; i < path->peer_slots; i++)
        if (path->peers[i] != NULL)
            path_remove_peer(path, path->peers[i]);
    epoch_reclaim(&path->epochs);
    allowed_ips_free(&path->allowed_ips);
    index_table_free(&path->indices);
    events_free(&path->events);
    free(path->peers);
}

struct peer *path_add_peer(struct path *path)
{
    uint32_t slot = 0;
    while (slot < path->peer_slots && path->peers[slot] != NULL)
        slot++;
    if (slot == path->peer_slots) {
        uint32_t slots = path->peer_slots == 0 ? FIRST_SLOTS : 2 * path->peer_slots;
        struct peer **grown = reallocarray(path->peers, slots, sizeof(*grown));
        if (grown == NULL)
            return NULL;
        memset(grown + path->peer_slots, 0, (slots - path->peer_slots) * sizeof(*grown));
        path->peers = grown;
        path->peer_slots = slots;
    }
    struct peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    peer->number = (uint64_t)++path->serial << 32 | slot;
    atomic_init(&peer->watched, true);
    atomic_init(&peer->credit, UINT64_MAX);
    path->peers[slot] = peer;
    return peer;
}

static uint32_t slot_of(uint64_t number)
{
    return (uint32_t)number;
}

struct peer *path_peer(const struct path *path, uint64_t number)
{
    uint32_t slot = slot_of(number);
    struct peer *peer = slot < path->peer_slots ? path->peers[slot] : NULL;
    return peer != NULL && peer->number == number ? peer : NULL;
}

void path_remove_peer(struct path *path, struct peer *peer)
{
    if (peer->networks > 0)
        allowed_ips_remove_peer(&path->allowed_ips, &path->epochs, peer);
    while (peer->keypairs != NULL)
        path_remove_keys(path, peer->keypairs);
    path->peers[slot_of(peer->number)] = NULL;
    epoch_retire(&path->epochs, peer, free_peer);
    epoch_reclaim(&path->epochs);
}

bool path_add_keys(struct path *path, struct keypair *keypair)
{
    if (!index_table_add(&path->indices, &path->epochs, keypair->local_index, keypair))
        return false;
    keypair->sibling = keypair->peer->keypairs;
    keypair->peer->keypairs = keypair;
    return true;
}

void path_use_keys(struct peer *peer, struct keypair *keypair)
{
    lock_take(&peer->current_lock);
    atomic_store_explicit(&peer->current, keypair, memory_order_release);
    lock_give(&peer->current_lock);
}

/* The first packet under a responder's keys proves that the other side has them, so we use them
 * too. The control plane may remove them at this very moment. */
void path_confirm_keys(struct path *path, struct keypair *keypair)
{
    struct peer *peer = keypair->peer;
    if (!atomic_exchange(&keypair->unconfirmed, false))
        return;
    lock_take(&peer->current_lock);
    if (!keypair->removed)
        atomic_store_explicit(&peer->current, keypair, memory_order_release);
    lock_give(&peer->current_lock);
    path_tell(path, SESSION_CONFIRMED, peer, keypair->local_index);
}

void path_remove_keys(struct path *path, struct keypair *keypair)
{
    struct peer *peer = keypair->peer;
    struct keypair **link = &peer->keypairs;
    while (*link != keypair)
        link = &(*link)->sibling;
    *link = keypair->sibling;
    lock_take(&peer->current_lock);
    keypair->removed = true;
    if (atomic_load(&peer->current) == keypair)
        atomic_store(&peer->current, NULL);
    lock_give(&peer->current_lock);
    index_table_remove(&path->indices, keypair->local_index);
    epoch_retire(&path->epochs, keypair, free_keypair);
    epoch_reclaim(&path->epochs);
}

bool path_allow(struct path *path, const uint8_t *prefix, size_t bytes, uint32_t length,
                struct peer *peer)
{
    struct peer *before;
    if (!allowed_ips_set(&path->allowed_ips, &path->epochs, prefix, bytes, length, peer, &before))
        return false;
    if (before != NULL)
        before->networks--;
    if (peer != NULL)
        peer->networks++;
    epoch_reclaim(&path->epochs);
    return true;
}

void path_set_exempt(struct path *path, struct peer *peer, const struct exempt *exempt)
{
    struct exempt *before =
        atomic_exchange_explicit(&peer->exempt, (struct exempt *)exempt, memory_order_acq_rel);
    if (before != NULL)
        epoch_retire(&path->epochs, before, free);
}

void path_tell(struct path *path, enum event_kind kind, const struct peer *peer, uint32_t index)
{
    struct event event = {.kind = kind, .peer = peer->number, .index = index};
    (void)events_push(&path->events, &event, NULL, 0);
}

static void tell_if_watched(struct path *path, struct peer *peer)
{
    if (atomic_load_explicit(&peer->watched, memory_order_relaxed) &&
        atomic_exchange(&peer->watched, false))
        path_tell(path, BECAME_ACTIVE, peer, 0);
}

void path_note_sent(struct path *path, struct peer *peer, bool data, double now)
{
    store_time(&peer->latest_sent, now);
    if (load_time(&peer->unanswered_received) != 0)
        store_time(&peer->unanswered_received, 0);
    if (data && load_time(&peer->unanswered_sent) == 0)
        store_time(&peer->unanswered_sent, now);
    tell_if_watched(path, peer);
}

void path_note_received(struct path *path, struct peer *peer, bool data, double now)
{
    store_time(&peer->latest_received, now);
    if (load_time(&peer->unanswered_sent) != 0)
        store_time(&peer->unanswered_sent, 0);
    if (data) {
        if (load_time(&peer->unanswered_received) == 0)
            store_time(&peer->unanswered_received, now);
        else if (!atomic_load_explicit(&peer->received_more, memory_order_relaxed))
            atomic_store_explicit(&peer->received_more, true, memory_order_relaxed);
    }
    tell_if_watched(path, peer);
}

bool path_has_credit(struct path *path, struct peer *peer, uint64_t bytes)
{
    uint64_t credit = load_count(&peer->credit);
    if (credit == UINT64_MAX)
        return true;
    uint64_t used = load_count(&peer->rx_bytes) + load_count(&peer->tx_bytes) + bytes;
    if ((used > credit || credit - used < load_count(&peer->credit_low)) &&
        !atomic_exchange(&peer->credit_is_low, true))
        path_tell(path, CREDIT_LOW, peer, 0);
    return used <= credit;
}

double path_now(const struct path *path)
{
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return ((double)time.tv_sec + (double)time.tv_nsec * 1e-9) * path->clock_scale;
}
