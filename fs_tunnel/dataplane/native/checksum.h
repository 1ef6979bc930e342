/* The Internet checksum (RFC 1071), over native words: its sum does not depend on byte order. */
#ifndef FS_CHECKSUM_H
#define FS_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Adds `length` bytes to a sum; only the last piece of several may have an odd length. */
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t length);

/* Sixteen bits, as they stand in memory; not complemented. */
uint16_t checksum_fold(uint64_t sum);

#endif
