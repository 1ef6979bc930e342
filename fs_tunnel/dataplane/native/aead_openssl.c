/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Seals and opens with OpenSSL's libcrypto, which runs on every processor. */
#include "aead.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct aead {
    EVP_CIPHER_CTX *sealing, *opening;
};

struct aead *aead_new(void)
{
    struct aead *aead = calloc(1, sizeof(*aead));
    if (aead == NULL)
        return NULL;
    aead->sealing = EVP_CIPHER_CTX_new();
    aead->opening = EVP_CIPHER_CTX_new();
    if (aead->sealing == NULL || aead->opening == NULL ||
        EVP_EncryptInit_ex(aead->sealing, EVP_chacha20_poly1305(), NULL, NULL, NULL) != 1 ||
        EVP_DecryptInit_ex(aead->opening, EVP_chacha20_poly1305(), NULL, NULL, NULL) != 1) {
        aead_free(aead);
        return NULL;
    }
    return aead;
}

void aead_free(struct aead *aead)
{
    if (aead == NULL)
        return;
    EVP_CIPHER_CTX_free(aead->sealing);
    EVP_CIPHER_CTX_free(aead->opening);
    free(aead);
}

const char *aead_name(void)
{
    return "libcrypto";
}

static void make_nonce(uint64_t counter, uint8_t nonce[12])
{
    for (int i = 0; i < 4; i++)
        nonce[i] = 0;
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

bool aead_seal(struct aead *aead, const uint8_t key[KEY_BYTES], uint64_t counter,
               const uint8_t *from, size_t length, uint8_t *to)
{
    uint8_t nonce[12];
    int written;
    make_nonce(counter, nonce);
    return EVP_EncryptInit_ex(aead->sealing, NULL, NULL, key, nonce) == 1 &&
           EVP_EncryptUpdate(aead->sealing, to, &written, from, (int)length) == 1 &&
           EVP_EncryptFinal_ex(aead->sealing, to + length, &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(aead->sealing, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, to + length) == 1;
}

bool aead_open(struct aead *aead, const uint8_t key[KEY_BYTES], uint64_t counter, uint8_t *bytes,
               size_t length)
{
    if (length < TAG_BYTES)
        return false;
    length -= TAG_BYTES;
    uint8_t nonce[12];
    int written;
    make_nonce(counter, nonce);
    return EVP_DecryptInit_ex(aead->opening, NULL, NULL, key, nonce) == 1 &&
           EVP_CIPHER_CTX_ctrl(aead->opening, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES,
                               bytes + length) == 1 &&
           EVP_DecryptUpdate(aead->opening, bytes, &written, bytes, (int)length) == 1 &&
           EVP_DecryptFinal_ex(aead->opening, bytes + length, &written) == 1;
}
