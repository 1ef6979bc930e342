/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The Internet checksum (RFC 1071), over native words: the sum does not depend on byte order. */
#ifndef FS_CHECKSUM_H
#define FS_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Adds `length` bytes to a sum.  Of several pieces, only the last may have an odd length. */
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t length);

/* Returns the sum in sixteen bits, in the byte order of memory; it is not complemented. */
uint16_t checksum_fold(uint64_t sum);

#endif
