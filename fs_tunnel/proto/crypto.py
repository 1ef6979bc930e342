# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The primitives of WireGuard, one function each: X25519, two AEADs, and BLAKE2s in four roles.

Keys and hashes have 32 bytes.

Source: WireGuard paper, section 5.4; RFC 7748, RFC 8439, RFC 7693, RFC 2104.
"""

import hmac
from hashlib import blake2s
from struct import Struct

from nacl import bindings
from nacl.exceptions import CryptoError

from fs_tunnel.proto.errors import AuthenticationFailed

_nonce = Struct("<IQ").pack  # 4 zero bytes, then the counter


def clamp(raw: bytes) -> bytes:
    """Make an X25519 private key of 32 random bytes (RFC 7748, section 5)."""
    return bytes([raw[0] & 248]) + raw[1:31] + bytes([raw[31] & 127 | 64])


def public_key(private: bytes) -> bytes:
    """Return the X25519 public key of a private one."""
    return bindings.crypto_scalarmult_base(private)


def dh(private: bytes, public: bytes) -> bytes:
    """Return the secret that X25519 yields for our private and the other side's public key.

    Raise AuthenticationFailed if ``public`` is a point of low order.
    """
    try:
        return bindings.crypto_scalarmult(private, public)
    except CryptoError:
        raise AuthenticationFailed("a public key is a point of low order") from None


def aead_seal(key: bytes, counter: int, plaintext: bytes, ad: bytes) -> bytes:
    """Seal with ChaCha20-Poly1305 (RFC 8439): return the ciphertext and its tag of 16 bytes.

    ``ad`` is authenticated, and is not part of the result.
    """
    return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
        plaintext, ad, _nonce(0, counter), key
    )


def aead_open(key: bytes, counter: int, ciphertext: bytes, ad: bytes) -> bytes:
    """Undo ``aead_seal``; raise AuthenticationFailed if the tag does not verify."""
    try:
        return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
            ciphertext, ad, _nonce(0, counter), key
        )
    except (CryptoError, ValueError):  # ValueError: too short to hold a tag
        raise AuthenticationFailed("a message's tag does not verify") from None


def xaead_seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """Seal with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) and a random nonce of 24 bytes.

    Return the ciphertext and its tag of 16 bytes.
    """
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, ad, nonce, key)


def xaead_open(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    """Undo ``xaead_seal``; raise AuthenticationFailed if the tag does not verify."""
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, ad, nonce, key)
    except (CryptoError, ValueError):
        raise AuthenticationFailed("a cookie's tag does not verify") from None


def hash32(*parts: bytes) -> bytes:
    """Return the BLAKE2s hash of the parts, joined."""
    return blake2s(b"".join(parts)).digest()


def mac16(key: bytes, *parts: bytes) -> bytes:
    """Return the keyed BLAKE2s hash of the parts, joined: 16 bytes."""
    return blake2s(b"".join(parts), key=key, digest_size=16).digest()


def hmac32(key: bytes, *parts: bytes) -> bytes:
    """Return the HMAC of the parts, joined, with BLAKE2s; this is not BLAKE2s's own keyed mode."""
    return hmac.digest(key, b"".join(parts), "blake2s256")


def kdf1(key: bytes, data: bytes) -> bytes:
    """Return HKDF's first output (Noise, section 4.3)."""
    return hmac32(hmac32(key, data), b"\x01")


def kdf2(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Return HKDF's first two outputs."""
    secret = hmac32(key, data)
    first = hmac32(secret, b"\x01")
    return first, hmac32(secret, first, b"\x02")


def kdf3(key: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return HKDF's first three outputs."""
    secret = hmac32(key, data)
    first = hmac32(secret, b"\x01")
    second = hmac32(secret, first, b"\x02")
    return first, second, hmac32(secret, second, b"\x03")
