"""The primitives of WireGuard, each one call: X25519, two AEADs, and BLAKE2s in four roles.

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
    """Return 32 random bytes as an X25519 private key (RFC 7748, section 5)."""
    return bytes([raw[0] & 248]) + raw[1:31] + bytes([raw[31] & 127 | 64])


def public_key(private: bytes) -> bytes:
    """The X25519 public key, 32 bytes, of a private one."""
    return bindings.crypto_scalarmult_base(private)


def dh(private: bytes, public: bytes) -> bytes:
    """X25519; AuthenticationFailed where ``public`` is a point of low order."""
    try:
        return bindings.crypto_scalarmult(private, public)
    except CryptoError:
        raise AuthenticationFailed("a public key of low order was offered") from None


def aead_seal(key: bytes, counter: int, plaintext: bytes, ad: bytes) -> bytes:
    """ChaCha20-Poly1305 of RFC 8439: the ciphertext and its tag of 16 bytes."""
    return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
        plaintext, ad, _nonce(0, counter), key
    )


def aead_open(key: bytes, counter: int, ciphertext: bytes, ad: bytes) -> bytes:
    """The inverse of ``aead_seal``; AuthenticationFailed for a tag that does not verify."""
    try:
        return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
            ciphertext, ad, _nonce(0, counter), key
        )
    except (CryptoError, ValueError):  # ValueError: too short to hold a tag
        raise AuthenticationFailed("a message's tag does not verify") from None


def xaead_seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """XChaCha20-Poly1305, with a random nonce of 24 bytes (draft-irtf-cfrg-xchacha-03)."""
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, ad, nonce, key)


def xaead_open(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    """The inverse of ``xaead_seal``; AuthenticationFailed for a tag that does not verify."""
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, ad, nonce, key)
    except (CryptoError, ValueError):
        raise AuthenticationFailed("a cookie's tag does not verify") from None


def hash32(*parts: bytes) -> bytes:
    """BLAKE2s of the parts in a row, 32 bytes."""
    return blake2s(b"".join(parts)).digest()


def mac16(key: bytes, *parts: bytes) -> bytes:
    """Keyed BLAKE2s, 16 bytes."""
    return blake2s(b"".join(parts), key=key, digest_size=16).digest()


def hmac32(key: bytes, *parts: bytes) -> bytes:
    """HMAC with BLAKE2s, 32 bytes: the hash function's own keyed mode is not this."""
    return hmac.digest(key, b"".join(parts), "blake2s256")


def kdf1(key: bytes, data: bytes) -> bytes:
    """HKDF's first output (Noise, section 4.3)."""
    return hmac32(hmac32(key, data), b"\x01")


def kdf2(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    """HKDF's first two outputs."""
    secret = hmac32(key, data)
    first = hmac32(secret, b"\x01")
    return first, hmac32(secret, first, b"\x02")


def kdf3(key: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    """HKDF's first three outputs."""
    secret = hmac32(key, data)
    first = hmac32(secret, b"\x01")
    second = hmac32(secret, first, b"\x02")
    return first, second, hmac32(secret, second, b"\x03")
