/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Cryptokey routing: which peer owns an address, by the longest prefix.
 *
 * It is a binary trie with compressed paths, with a root for each address family.  The control
 * plane makes each change by one pointer while packet threads walk the trie.  So a thread sees the
 * trie either before or after the change.
 */
#ifndef FS_ALLOWED_IPS_H
#define FS_ALLOWED_IPS_H

#include "epoch.h"

struct peer;
struct allowed_node;

struct allowed_ips {
    _Atomic(struct allowed_node *) v4, v6;
};

/* Returns the owner of an address of 4 or 16 bytes; NULL if it has none. */
struct peer *allowed_ips_lookup(struct allowed_ips *table, const uint8_t *address, size_t bytes);

/* Gives a network to `peer`; a `peer` of NULL takes it away.  `before` gets the owner before, or
 * NULL. Returns false without memory; then nothing has changed. */
bool allowed_ips_set(struct allowed_ips *table, struct epochs *epochs, const uint8_t *prefix,
                     size_t bytes, uint32_t length, struct peer *peer, struct peer **before);

/* Takes all networks from `peer`. */
void allowed_ips_remove_peer(struct allowed_ips *table, struct epochs *epochs, struct peer *peer);

/* Frees the whole trie; call it when no reader is left. */
void allowed_ips_free(struct allowed_ips *table);

#endif
