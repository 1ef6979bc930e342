/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Two ends of a tunnel in one process, for the fuzz targets: what alice seals, bob opens. */
#ifndef FS_FUZZ_TUNNEL_H
#define FS_FUZZ_TUNNEL_H

#include "worker.h"

enum { MAX_COLLECTED = 4096 };

/* Packets or frames that came out, in one buffer. */
struct collected {
    uint8_t *bytes;
    size_t used, starts[MAX_COLLECTED], lengths[MAX_COLLECTED];
    int count;
};

struct end {
    struct path path;
    struct worker worker;
    struct peer *peer;
    struct collected sealed, frames;
};

extern struct end alice, bob;

/* Both ends, made once; their collections are emptied. */
void tunnel_reset(void);

/* Hand what alice sealed to bob, and let him write his frames. */
void tunnel_carry(void);

void collect(struct collected *into, const void *bytes, size_t length);

/* Cuts frames into packets; aborts where one of ours cannot be cut. */
void cut_all(const struct collected *frames, struct collected *packets);

/* Aborts where packets differ in more than their IPv4 identification and header checksum. */
void compare_packets(const struct collected *expected, const struct collected *got);

#endif
