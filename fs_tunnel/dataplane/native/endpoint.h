/* Where a peer is, and the address of ours that it speaks to. */
#ifndef FS_ENDPOINT_H
#define FS_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The `sin_family` of an unset one is 0. */
union address {
    sa_family_t family;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct endpoint {
    union address remote;
    bool has_local;
    uint32_t local_interface;
    uint8_t local[16]; /* of the remote's family */
};

static inline socklen_t address_length(const union address *address)
{
    return address->family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

/* Structures are zeroed when made, so that they compare as bytes. */
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
