/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Seals and opens with Intel's IPsec multi-buffer library, the fastest on x86-64 (its job API). */
#include "aead.h"

#include <intel-ipsec-mb.h>
#include <stdlib.h>
#include <string.h>

struct aead {
    IMB_MGR *manager;
};

struct aead *aead_new(void)
{
    struct aead *aead = calloc(1, sizeof(*aead));
    if (aead == NULL)
        return NULL;
    aead->manager = alloc_mb_mgr(0);
    if (aead->manager == NULL) {
        free(aead);
        return NULL;
    }
    init_mb_mgr_auto(aead->manager, NULL);
    if (imb_get_errno(aead->manager) != 0) {
        aead_free(aead);
        return NULL;
    }
    return aead;
}

void aead_free(struct aead *aead)
{
    if (aead == NULL)
        return;
    free_mb_mgr(aead->manager);
    free(aead);
}

const char *aead_name(void)
{
    return "ipsec-mb";
}

/* The library computes a tag in both directions, and compares none.  A job of this algorithm is
 * done when submit returns, so the buffers can be used again at once. */
static bool run(struct aead *aead, IMB_CIPHER_DIRECTION direction, const uint8_t *key,
                uint64_t counter, const uint8_t *from, size_t length, uint8_t *to, uint8_t *tag)
{
    uint8_t nonce[12] = {0};
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
    IMB_JOB *job = IMB_GET_NEXT_JOB(aead->manager);
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->cipher_direction = direction;
    job->chain_order =
        direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = job->dec_keys = key;
    job->key_len_in_bytes = KEY_BYTES;
    job->iv = nonce;
    job->iv_len_in_bytes = sizeof(nonce);
    job->u.CHACHA20_POLY1305.aad = NULL;
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
    job->src = from;
    job->dst = to;
    job->cipher_start_src_offset_in_bytes = job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = length;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = TAG_BYTES;
    const IMB_JOB *done = IMB_SUBMIT_JOB_NOCHECK(aead->manager);
    return done == job && done->status == IMB_STATUS_COMPLETED;
}

bool aead_seal(struct aead *aead, const uint8_t key[KEY_BYTES], uint64_t counter,
               const uint8_t *from, size_t length, uint8_t *to)
{
    return run(aead, IMB_DIR_ENCRYPT, key, counter, from, length, to, to + length);
}

bool aead_open(struct aead *aead, const uint8_t key[KEY_BYTES], uint64_t counter, uint8_t *bytes,
               size_t length)
{
    if (length < TAG_BYTES)
        return false;
    length -= TAG_BYTES;
    uint8_t tag[TAG_BYTES];
    if (!run(aead, IMB_DIR_DECRYPT, key, counter, bytes, length, bytes, tag))
        return false;
    /* In constant time, so that the time does not tell how many bytes of a forged tag are right. */
    uint8_t difference = 0;
    for (int i = 0; i < TAG_BYTES; i++)
        difference |= tag[i] ^ bytes[length + (size_t)i];
    return difference == 0;
}
