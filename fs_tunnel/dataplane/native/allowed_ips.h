/* Cryptokey routing: which peer owns an address, by the longest prefix.
 *
 * A binary trie with compressed paths, a root for each family.  The control plane changes it by
 * single pointers while packet threads walk it; they see it before or after a change.
 */
#ifndef FS_ALLOWED_IPS_H
#define FS_ALLOWED_IPS_H

#include "epoch.h"

struct peer;
struct allowed_node;

struct allowed_ips {
    _Atomic(struct allowed_node *) v4, v6;
};

/* The owner of an address of 4 or 16 bytes; NULL where there is none. */
struct peer *allowed_ips_lookup(struct allowed_ips *table, const uint8_t *address, size_t bytes);

/* Gives a network to `peer`; a peer of NULL takes it away.  `before` gets who had it, or NULL.
 * False without memory: nothing changed then. */
bool allowed_ips_set(struct allowed_ips *table, struct epochs *epochs, const uint8_t *prefix,
                     size_t bytes, uint32_t length, struct peer *peer, struct peer **before);

/* Takes everything from `peer`. */
void allowed_ips_remove_peer(struct allowed_ips *table, struct epochs *epochs, struct peer *peer);

/* Frees all, when no reader is left. */
void allowed_ips_free(struct allowed_ips *table);

#endif
