/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "checksum.h"

#include <string.h>

/* Sanitized builds have no clones: code that chooses one runs before the sanitizers are set up. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define FOR_SEVERAL_PROCESSORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_SEVERAL_PROCESSORS
#endif

/* Adds words of four bytes into eight bytes, which takes 2^32 words without overflow.  The compiler
 * vectorises the loop. */
FOR_SEVERAL_PROCESSORS
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t length)
{
    uint64_t words = 0;
    size_t whole = length & ~(size_t)3;
    for (size_t i = 0; i < whole; i += 4) {
        uint32_t word;
        memcpy(&word, bytes + i, sizeof(word));
        words += word;
    }
    uint8_t rest[4] = {0};
    for (size_t i = whole; i < length; i++)
        rest[i - whole] = bytes[i];
    uint32_t word;
    memcpy(&word, rest, sizeof(word));
    words += word;
    return sum + (words & 0xffffffff) + (words >> 32);
}

uint16_t checksum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}
