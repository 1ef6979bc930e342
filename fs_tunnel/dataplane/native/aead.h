/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* ChaCha20-Poly1305 (RFC 8439) with WireGuard's nonce: four zero bytes, then the counter.
 *
 * There is a file for each of two libraries; setup.py chooses one of them.
 */
#ifndef FS_AEAD_H
#define FS_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_BYTES = 32, TAG_BYTES = 16 };

/* The state of one thread; threads must not share it. */
struct aead;

/* Returns NULL without memory, or if the library refuses this processor. */
struct aead *aead_new(void);
void aead_free(struct aead *aead);

/* The library's name, as `fs-tunnel --version` shows it. */
const char *aead_name(void);

/* Seals `length` bytes; `to` gets `length + TAG_BYTES` bytes, and must not overlap `from`. */
bool aead_seal(struct aead *aead, const uint8_t key[KEY_BYTES], uint64_t counter,
               const uint8_t *from, size_t length, uint8_t *to);

/* Opens `length` bytes in place, tag included.  Returns false if the tag does not verify: do not
 * use the contents of `bytes` then. */
bool aead_open(struct aead *aead, const uint8_t key[KEY_BYTES], uint64_t counter, uint8_t *bytes,
               size_t length);

#endif
