/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The tables of the packet path.  Only the control plane writes them; packet threads read them. */
#ifndef FS_PATH_H
#define FS_PATH_H

#include "allowed_ips.h"
#include "drops.h"
#include "epoch.h"
#include "events.h"
#include "index_table.h"
#include "peer.h"

struct path {
    struct epochs epochs;
    struct events events;
    struct index_table indices;
    struct allowed_ips allowed_ips;
    struct drops drops;
    atomic_bool up;
    _Atomic uint32_t mtu;
    atomic_bool udp_frames; /* the kernel takes UDP segmentation offload (USO) */
    double clock_scale; /* seconds of the device's clock that pass in a real second */

    /* For the control plane only: peers by slot; NULL for a free slot. */
    struct peer **peers;
    uint32_t peer_slots;
    uint32_t serial; /* of the latest peer; part of its number, so that no number comes again */
};

/* Returns false with errno. */
bool path_init(struct path *path);
void path_free(struct path *path);

/* Operations of the control plane.  They return NULL or false without memory; then nothing has
 * changed.  `path_peer` returns NULL if there is no such peer. */
struct peer *path_add_peer(struct path *path);
struct peer *path_peer(const struct path *path, uint64_t number);
void path_remove_peer(struct path *path, struct peer *peer);
bool path_add_keys(struct path *path, struct keypair *keypair);
void path_use_keys(struct peer *peer, struct keypair *keypair);
void path_remove_keys(struct path *path, struct keypair *keypair);
bool path_allow(struct path *path, const uint8_t *prefix, size_t bytes, uint32_t length,
                struct peer *peer);
void path_set_exempt(struct path *path, struct peer *peer, const struct exempt *exempt);

/* Note that a packet, with or without `data`, was sent to a peer or received from it. */
void path_note_sent(struct path *path, struct peer *peer, bool data, double now);
void path_note_received(struct path *path, struct peer *peer, bool data, double now);

/* Seals with a responder's keys from now on: the first packet under them has come. */
void path_confirm_keys(struct path *path, struct keypair *keypair);

/* Tells the control plane of an event without data. */
void path_tell(struct path *path, enum event_kind kind, const struct peer *peer, uint32_t index);

/* Returns the device's clock in seconds.  It goes on during suspend, and tests can scale it. */
double path_now(const struct path *path);

/* Returns whether a peer has credit for `bytes` more; tells once that it runs low. */
bool path_has_credit(struct path *path, struct peer *peer, uint64_t bytes);

#endif
