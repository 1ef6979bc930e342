/* ChaCha20-Poly1305 (RFC 8439) with WireGuard's nonce: four zero bytes, then the counter.
 *
 * Two libraries can do it; which one is chosen when this is built (setup.py).
 */
#ifndef FS_AEAD_H
#define FS_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_BYTES = 32, TAG_BYTES = 16 };

/* What one thread needs; never shared between threads. */
struct aead;

/* NULL without memory, or where the library refuses this processor. */
struct aead *aead_new(void);
void aead_free(struct aead *aead);
const char *aead_name(void);

/* Seals `length` bytes; `to` gets `length + TAG_BYTES`, and must not overlap `from`. */
bool aead_seal(struct aead *aead, const uint8_t key[KEY_BYTES], uint64_t counter,
               const uint8_t *from, size_t length, uint8_t *to);

/* Opens `length` bytes in place, the tag included.  False where the tag does not verify: what is
 * in `bytes` is then not to be used. */
bool aead_open(struct aead *aead, const uint8_t key[KEY_BYTES], uint64_t counter, uint8_t *bytes,
               size_t length);

#endif
