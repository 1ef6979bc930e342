/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Where a peer is, and which address of ours it speaks to. */
#ifndef FS_ENDPOINT_H
#define FS_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* `family` is 0 while the address is not set. */
union address {
    sa_family_t family;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct endpoint {
    union address remote;
    bool has_local;
    uint32_t local_interface;
    uint8_t local[16]; /* of the same family as `remote` */
};

static inline socklen_t address_length(const union address *address)
{
    return address->family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

/* Endpoints are zeroed before they are filled, so that they compare as bytes. */
static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static inline void endpoint_forget_local(struct endpoint *endpoint)
{
    endpoint->has_local = false;
    endpoint->local_interface = 0;
    memset(endpoint->local, 0, sizeof(endpoint->local));
}

#endif
