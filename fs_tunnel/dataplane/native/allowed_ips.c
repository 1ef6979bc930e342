/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "allowed_ips.h"

#include <stdlib.h>
#include <string.h>

/* A node without an owner joins two branches. */
struct allowed_node {
    _Atomic(struct allowed_node *) child[2];
    _Atomic(struct peer *) peer;
    uint32_t length; /* of the prefix, in bits */
    uint8_t prefix[16];
};

typedef _Atomic(struct allowed_node *) link_t;

static uint32_t bit_at(const uint8_t *address, uint32_t position)
{
    return address[position / 8] >> (7 - position % 8) & 1u;
}

/* Returns how many leading bits two addresses share, but no more than `most`. */
static uint32_t common_bits(const uint8_t *a, const uint8_t *b, uint32_t most)
{
    uint32_t bits = 0;
    while (bits < most) {
        uint32_t different = (uint32_t)(a[bits / 8] ^ b[bits / 8]);
        if (different != 0) {
            bits += (uint32_t)__builtin_clz(different) - 24;
            break;
        }
        bits += 8;
    }
    return bits < most ? bits : most;
}

static link_t *root_of(struct allowed_ips *table, size_t bytes)
{
    return bytes == 4 ? &table->v4 : &table->v6;
}

struct peer *allowed_ips_lookup(struct allowed_ips *table, const uint8_t *address, size_t bytes)
{
    struct peer *found = NULL;
    uint32_t bits = (uint32_t)bytes * 8;
    struct allowed_node *node =
        atomic_load_explicit(root_of(table, bytes), memory_order_acquire);
    while (node != NULL && common_bits(node->prefix, address, node->length) == node->length) {
        struct peer *peer = atomic_load_explicit(&node->peer, memory_order_acquire);
        if (peer != NULL)
            found = peer;
        if (node->length == bits)
            break;
        node = atomic_load_explicit(&node->child[bit_at(address, node->length)],
                                    memory_order_acquire);
    }
    return found;
}

static struct allowed_node *make_node(const uint8_t *prefix, size_t bytes, uint32_t length,
                                      struct peer *peer)
{
    struct allowed_node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return NULL;
    node->length = length;
    memcpy(node->prefix, prefix, bytes);
    atomic_init(&node->peer, peer);
    return node;
}

/* Takes out a node that has no owner and fewer than two branches. */
static void prune(link_t *link, struct epochs *epochs)
{
    struct allowed_node *node = atomic_load(link);
    struct allowed_node *left = atomic_load(&node->child[0]), *right = atomic_load(&node->child[1]);
    if (atomic_load(&node->peer) != NULL || (left != NULL && right != NULL))
        return;
    atomic_store_explicit(link, left != NULL ? left : right, memory_order_release);
    epoch_retire(epochs, node, free);
}

static struct peer *take_away(link_t *link, struct epochs *epochs, const uint8_t *prefix,
                              uint32_t length)
{
    link_t *parent = NULL;
    struct allowed_node *node;
    while ((node = atomic_load(link)) != NULL && node->length < length) {
        parent = link;
        link = &node->child[bit_at(prefix, node->length)];
    }
    if (node == NULL || node->length != length ||
        common_bits(node->prefix, prefix, length) != length)
        return NULL;
    struct peer *before = atomic_exchange(&node->peer, NULL);
    prune(link, epochs);
    if (parent != NULL)
        prune(parent, epochs); /* it may have joined this node and another */
    return before;
}

bool allowed_ips_set(struct allowed_ips *table, struct epochs *epochs, const uint8_t *prefix,
                     size_t bytes, uint32_t length, struct peer *peer, struct peer **before)
{
    link_t *link = root_of(table, bytes);
    *before = NULL;
    if (peer == NULL) {
        *before = take_away(link, epochs, prefix, length);
        return true;
    }
    struct allowed_node *node;
    uint32_t common = 0;
    while ((node = atomic_load(link)) != NULL) {
        uint32_t most = node->length < length ? node->length : length;
        common = common_bits(node->prefix, prefix, most);
        if (common < node->length)
            break; /* the new prefix branches off above this node, or is above it */
        if (node->length == length) {
            *before = atomic_exchange(&node->peer, peer);
            return true;
        }
        link = &node->child[bit_at(prefix, node->length)];
    }
    struct allowed_node *made = make_node(prefix, bytes, length, peer);
    if (made == NULL)
        return false;
    struct allowed_node *top = made;
    if (node != NULL && common == length) {
        atomic_init(&made->child[bit_at(node->prefix, length)], node);
    } else if (node != NULL) {
        top = make_node(prefix, bytes, common, NULL);
        if (top == NULL) {
            free(made);
            return false;
        }
        atomic_init(&top->child[bit_at(prefix, common)], made);
        atomic_init(&top->child[bit_at(node->prefix, common)], node);
    }
    atomic_store_explicit(link, top, memory_order_release);
    return true;
}

/* The recursion is no deeper than a prefix has bits. */
static void remove_below(link_t *link, struct epochs *epochs, struct peer *peer)
{
    struct allowed_node *node = atomic_load(link);
    if (node == NULL)
        return;
    remove_below(&node->child[0], epochs, peer);
    remove_below(&node->child[1], epochs, peer);
    if (atomic_load(&node->peer) == peer)
        atomic_store_explicit(&node->peer, NULL, memory_order_release);
    prune(link, epochs);
}

void allowed_ips_remove_peer(struct allowed_ips *table, struct epochs *epochs, struct peer *peer)
{
    remove_below(&table->v4, epochs, peer);
    remove_below(&table->v6, epochs, peer);
}

static void free_below(struct allowed_node *node)
{
    if (node == NULL)
        return;
    free_below(atomic_load(&node->child[0]));
    free_below(atomic_load(&node->child[1]));
    free(node);
}

void allowed_ips_free(struct allowed_ips *table)
{
    free_below(atomic_load(&table->v4));
    free_below(atomic_load(&table->v6));
    atomic_store(&table->v4, NULL);
    atomic_store(&table->v6, NULL);
}
