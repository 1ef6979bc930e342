/* The tables of the packet path: written by the control plane alone, read by packet threads. */
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
    atomic_bool udp_frames; /* the kernel takes USO */
    double clock_scale; /* how many seconds of the device pass in one */

    /* The control plane's: peers by number, with gaps. */
    struct peer **peers;
    uint32_t peer_slots;
    uint32_t serial; /* of the latest peer: what is said of one that is gone concerns no other */
};

bool path_init(struct path *path);
void path_free(struct path *path);

/* The control plane's operations.  NULL or false without memory. */
struct peer *path_add_peer(struct path *path);
struct peer *path_peer(const struct path *path, uint64_t number);
void path_remove_peer(struct path *path, struct peer *peer);
bool path_add_keys(struct path *path, struct keypair *keypair);
void path_use_keys(struct peer *peer, struct keypair *keypair);
void path_remove_keys(struct path *path, struct keypair *keypair);
bool path_allow(struct path *path, const uint8_t *prefix, size_t bytes, uint32_t length,
                struct peer *peer);
void path_set_exempt(struct path *path, struct peer *peer, const struct exempt *exempt);

/* What both directions do with a peer that a packet went to or came from. */
void path_note_sent(struct path *path, struct peer *peer, bool data, double now);
void path_note_received(struct path *path, struct peer *peer, bool data, double now);
void path_confirm_keys(struct path *path, struct keypair *keypair);
void path_tell(struct path *path, enum event_kind kind, const struct peer *peer, uint32_t index);

/* Seconds of the device's clock; it goes on during suspend, and tests may scale it. */
double path_now(const struct path *path);

/* Whether `bytes` more may pass a peer's credit; tells once when it runs low. */
bool path_has_credit(struct path *path, struct peer *peer, uint64_t bytes);

#endif
