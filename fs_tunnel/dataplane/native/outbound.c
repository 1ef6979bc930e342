/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* From the TUN to UDP: routes packets, seals them, and gathers them into runs. */
#include "worker.h"

#include <stdlib.h>

enum { PADDING = 16, MIN_RENEWAL_GAP_MS = 100 };

/* Rounds up to a multiple of 16, but not past the MTU (paper, section 5.4.6). */
static uint32_t padded_length(const struct path *path, uint32_t length)
{
    uint32_t padded = (length + PADDING - 1) & ~(uint32_t)(PADDING - 1);
    uint32_t mtu = atomic_load_explicit(&path->mtu, memory_order_relaxed);
    return mtu != 0 && length <= mtu && mtu < padded ? mtu : padded;
}

static void write_header(uint8_t *to, const struct keypair *keypair, uint64_t counter)
{
    const uint8_t type[4] = {TRANSPORT_TYPE};
    memcpy(to, type, 4);
    for (int i = 0; i < 4; i++)
        to[4 + i] = (uint8_t)(keypair->remote_index >> (8 * i));
    for (int i = 0; i < 8; i++)
        to[8 + i] = (uint8_t)(counter >> (8 * i));
}

/* Takes `count` counters of a keypair; returns the first, or UINT64_MAX if they have run out. */
static uint64_t take_counters(struct keypair *keypair, uint32_t count)
{
    uint64_t first = atomic_fetch_add_explicit(&keypair->counter, count, memory_order_relaxed);
    if (first > REJECT_AFTER_MESSAGES - count) {
        /* Give them back, so that the counter can never wrap around. */
        atomic_fetch_sub_explicit(&keypair->counter, count, memory_order_relaxed);
        return UINT64_MAX;
    }
    return first;
}

/* Either side renews keys after many messages, the initiator after some time too (section 6.2). */
static void ask_for_renewal(struct worker *worker, struct peer *peer, struct keypair *keypair,
                            uint64_t sent)
{
    double now = worker->now;
    if (sent <= REKEY_AFTER_MESSAGES &&
        !(keypair->is_initiator && now - keypair->created >= REKEY_AFTER_TIME))
        return;
    double said = load_time(&peer->renewal_wanted_at);
    if (said != 0 && now - said < MIN_RENEWAL_GAP_MS / 1000.0)
        return;
    store_time(&peer->renewal_wanted_at, now);
    path_tell(worker->path, HANDSHAKE_WANTED, peer, 0);
}

static struct keypair *usable_keypair(const struct worker *worker, struct peer *peer)
{
    struct keypair *keypair = atomic_load_explicit(&peer->current, memory_order_acquire);
    return keypair != NULL && keypair_is_fresh(keypair, worker->now) ? keypair : NULL;
}

/* Returns the run that a datagram of `size` bytes to `peer` belongs to; NULL if there is no room.
 * Frames of one peer come in a row, so only the last run can take it. */
static struct run *run_for(struct worker *worker, struct peer *peer,
                           const struct endpoint *endpoint, uint32_t size)
{
    if (worker->run_count > 0) {
        struct run *run = &worker->runs[worker->run_count - 1];
        if (run->peer == peer && run->length == run->count * run->segment &&
            size <= run->segment && run->count < MAX_RUN_SEGMENTS &&
            run->length + size <= MAX_UDP_PAYLOAD && endpoint_equal(&run->endpoint, endpoint))
            return run;
    }
    if (worker->run_count == MAX_RUNS)
        return NULL;
    struct run *run = &worker->runs[worker->run_count++];
    *run = (struct run){
        .peer = peer, .endpoint = *endpoint, .offset = worker->out_used, .segment = size};
    return run;
}

/* Without a session, the control plane stages the packets, one by one. */
static void wait_for_session(struct worker *worker, struct peer *peer, struct cutter *cutter)
{
    uint8_t *packet;
    uint32_t length;
    struct event event = {.kind = PACKET_WAITS, .peer = peer->number};
    while (cutter_next(cutter, &packet, &length))
        if (!events_push(&worker->path->events, &event, packet, length))
            drops_add(&worker->path->drops, DROP_STAGED_OVERFLOW, 1);
}

/* Seals one segment into `out`.  Its padding may overwrite the payload of the next segment, whose
 * bytes are put back afterwards. */
static bool seal_segment(struct worker *worker, struct keypair *keypair, uint64_t counter,
                         uint8_t *packet, uint32_t length, uint32_t padded)
{
    uint8_t *to = worker->out + worker->out_used, kept[PADDING];
    uint32_t padding = padded - length;
    memcpy(kept, packet + length, padding);
    memset(packet + length, 0, padding);
    write_header(to, keypair, counter);
    bool sealed = aead_seal(worker->aead, keypair->sending, counter, packet, padded,
                            to + TRANSPORT_HEADER);
    memcpy(packet + length, kept, padding);
    return sealed;
}

static void seal_all(struct worker *worker, struct peer *peer, struct keypair *keypair,
                     struct cutter *cutter, const struct endpoint *endpoint)
{
    uint32_t count = cutter->count;
    uint64_t counter = take_counters(keypair, count), bytes = 0, packets = 0;
    if (counter == UINT64_MAX) {
        wait_for_session(worker, peer, cutter);
        return;
    }
    uint8_t *packet;
    uint32_t length;
    for (; cutter_next(cutter, &packet, &length); counter++) {
        uint32_t padded = padded_length(worker->path, length);
        uint32_t size = padded + TRANSPORT_OVERHEAD;
        struct run *run = worker->out_used + size <= OUT_BYTES
                              ? run_for(worker, peer, endpoint, size)
                              : NULL;
        if (run == NULL) {
            worker->send_runs(worker);
            run = worker->out_used + size <= OUT_BYTES ? run_for(worker, peer, endpoint, size)
                                                       : NULL;
        }
        if (run == NULL || !seal_segment(worker, keypair, counter, packet, length, padded)) {
            drops_add(&worker->path->drops, DROP_SEND_FAILED, 1);
            if (run != NULL && run->count == 0)
                worker->run_count--;
            continue;
        }
        worker->out_used += size;
        run->length += size;
        run->count++;
        bytes += size;
        packets++;
    }
    add_count(&peer->tx_bytes, bytes);
    add_count(&peer->tx_packets, packets);
    path_note_sent(worker->path, peer, true, worker->now);
    ask_for_renewal(worker, peer, keypair, counter);
}

/* Whether a peer's limits let a frame pass.  Its bytes count as on the wire, without padding. */
static bool within_limits(struct worker *worker, struct peer *peer, const struct cutter *cutter)
{
    uint32_t wire =
        cutter->length + (cutter->count - 1) * cutter->headers + cutter->count * TRANSPORT_OVERHEAD;
    if (!path_has_credit(worker->path, peer, wire)) {
        const struct exempt *exempt = atomic_load_explicit(&peer->exempt, memory_order_acquire);
        if (exempt == NULL || !exempt_matches(exempt, cutter->packet, &cutter->inner, true)) {
            drops_add(&worker->path->drops, DROP_NO_CREDIT, cutter->count);
            return false;
        }
    }
    if (!bucket_take(&peer->sending, wire, worker->now)) {
        drops_add(&worker->path->drops, DROP_RATE_LIMITED_SENDING, cutter->count);
        return false;
    }
    return true;
}

void outbound_frame_untrusted(struct worker *worker, uint8_t *frame, size_t length)
{
    struct path *path = worker->path;
    struct cutter cutter;
    if (!cutter_begin_untrusted(&cutter, frame, length)) {
        drops_add(&path->drops, DROP_OUTBOUND_MALFORMED, 1);
        return;
    }
    struct peer *peer = allowed_ips_lookup(&path->allowed_ips, cutter.inner.destination,
                                           cutter.inner.address_bytes);
    if (peer == NULL) {
        drops_add(&path->drops, DROP_OUTBOUND_NO_PEER, cutter.count);
        return;
    }
    lock_take(&peer->endpoint_lock);
    struct endpoint endpoint = peer->endpoint;
    lock_give(&peer->endpoint_lock);
    if (endpoint.remote.family == 0) {
        drops_add(&path->drops, DROP_NO_ENDPOINT, cutter.count);
        return;
    }
    if (!atomic_load_explicit(&path->up, memory_order_relaxed)) {
        drops_add(&path->drops, DROP_INTERFACE_DOWN, cutter.count);
        return;
    }
    if (!within_limits(worker, peer, &cutter))
        return;
    struct keypair *keypair = usable_keypair(worker, peer);
    if (keypair == NULL)
        wait_for_session(worker, peer, &cutter);
    else
        seal_all(worker, peer, keypair, &cutter, &endpoint);
}

size_t outbound_seal(struct worker *worker, struct peer *peer, const uint8_t *packet,
                     uint32_t length, uint8_t *to)
{
    struct keypair *keypair = usable_keypair(worker, peer);
    if (keypair == NULL)
        return 0;
    uint64_t counter = take_counters(keypair, 1);
    if (counter == UINT64_MAX)
        return 0;
    uint32_t padded = padded_length(worker->path, length);
    memset(worker->frame, 0, padded);
    if (length > 0)
        memcpy(worker->frame, packet, length);
    write_header(to, keypair, counter);
    if (!aead_seal(worker->aead, keypair->sending, counter, worker->frame, padded,
                   to + TRANSPORT_HEADER))
        return 0;
    add_count(&peer->tx_bytes, padded + TRANSPORT_OVERHEAD);
    add_count(&peer->tx_packets, 1);
    path_note_sent(worker->path, peer, length > 0, worker->now);
    ask_for_renewal(worker, peer, keypair, counter + 1);
    return padded + TRANSPORT_OVERHEAD;
}
