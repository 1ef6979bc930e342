# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Eve is a WireGuard peer that says whatever a test wants; she is written from the paper alone.

Her handshakes come from noiseprotocol, her MACs from hashlib, and her cookies from libsodium. She
shares no code with the engine under test. So both agree only if both follow the specification
(WireGuard paper, section 5.4). With keys that the server knows, Eve is an honest but peculiar peer.
Without them she is an attacker.
"""

import base64
import hashlib
import secrets
import struct
import time
from dataclasses import dataclass
from typing import Protocol

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_scalarmult_base,
)
from noise.connection import Keypair, NoiseConnection

INITIATION, RESPONSE, COOKIE_REPLY, TRANSPORT = 1, 2, 3, 4
INITIATION_BYTES, RESPONSE_BYTES, COOKIE_REPLY_BYTES = 148, 92, 64
REJECT_AFTER_MESSAGES = 2**64 - 2**13 - 1
TAI64N_BASE = (1 << 62) + 10


class Cipher(Protocol):
    """The cipher that noiseprotocol returns for each direction."""

    def encrypt(self, k: None, n: int, ad: bytes, plaintext: bytes) -> bytes: ...
    def decrypt(self, k: None, n: int, ad: bytes, ciphertext: bytes) -> bytes: ...


class Identity:
    """A static key and the server's public key; initiations and cookies are made from them."""

    def __init__(self, server_public: bytes, *, psk: bytes = bytes(32)) -> None:
        self._private = secrets.token_bytes(32)
        self._public = crypto_scalarmult_base(self._private)
        self.server_public = server_public
        self._psk = psk

    @property
    def public(self) -> str:
        """Return the public key in base64, as ``wg`` writes it."""
        return base64.b64encode(self._public).decode()

    def initiation(
        self,
        *,
        at: float | None = None,
        reserved: bytes = bytes(3),
        cookie: bytes | None = None,
    ) -> "Initiation":
        """Make an initiation that is valid unless an argument spoils it.

        ``at`` is its timestamp in unix seconds; the default is the present time. ``reserved``
        replaces the three zero bytes. ``cookie`` adds a MAC2.
        """
        noise = NoiseConnection.from_name(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
        noise.set_prologue(b"WireGuard v1 zx2c4 Jason@zx2c4.com")
        noise.set_psks(psk=self._psk)
        noise.set_as_initiator()
        noise.set_keypair_from_private_bytes(Keypair.STATIC, self._private)
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, self.server_public)
        noise.start_handshake()
        index = secrets.randbits(32)
        head = bytes([INITIATION]) + reserved + struct.pack("<I", index)
        body = head + bytes(noise.write_message(tai64n(time.time() if at is None else at)))
        message = add_macs(body, self.server_public, cookie)
        assert len(message) == INITIATION_BYTES
        return Initiation(noise, index, message)

    def set_psk(self, psk: str) -> None:
        self._psk = base64.b64decode(psk)

    def open_cookie(self, reply: bytes, to: "Initiation") -> bytes:
        """Open the cookie that the server sent in reply to our message (section 5.4.7)."""
        key = hashlib.blake2s(b"cookie--" + self.server_public).digest()
        return crypto_aead_xchacha20poly1305_ietf_decrypt(reply[32:], to.mac1, reply[8:32], key)

    def seal_cookie(self, cookie: bytes, message: bytes) -> bytes:
        """Make our cookie reply to an initiation that the server sent us."""
        key = hashlib.blake2s(b"cookie--" + self._public).digest()
        nonce = secrets.token_bytes(24)
        sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(cookie, mac1_of(message), nonce, key)
        return struct.pack("<I", COOKIE_REPLY) + message[4:8] + nonce + sealed

    def is_mac1_for_us(self, message: bytes) -> bool:
        """Tell whether a handshake message carries the MAC1 that we, its receiver, demand."""
        key = hashlib.blake2s(b"mac1----" + self._public).digest()
        return mac1_of(message) == keyed_mac(key, message[:-32])

    @staticmethod
    def is_mac2_of(cookie: bytes, message: bytes) -> bool:
        """Tell whether a handshake message proves that its sender knows ``cookie``."""
        return mac2_of(message) == keyed_mac(cookie, message[:-16])


@dataclass
class Initiation:
    """An initiation, with the state that is needed to read the response."""

    noise: NoiseConnection
    index: int
    message: bytes

    @property
    def mac1(self) -> bytes:
        return mac1_of(self.message)

    def is_answered_by(self, data: bytes) -> bool:
        named = data[8:12] == struct.pack("<I", self.index)
        return data[:4] == struct.pack("<I", RESPONSE) and len(data) == RESPONSE_BYTES and named

    def is_refused_by(self, data: bytes) -> bool:
        """Tell whether ``data`` has the shape of a cookie reply to this message."""
        head = struct.pack("<II", COOKIE_REPLY, self.index)
        return data[:8] == head and len(data) == COOKIE_REPLY_BYTES

    def finish(self, response: bytes) -> "Session":
        """Return the session that a response opens; raise InvalidTag if it is not authentic."""
        assert not self.noise.read_message(response[12:60]), "a response has no payload"
        protocol = self.noise.noise_protocol
        (remote_index,) = struct.unpack_from("<I", response, 4)
        return Session(
            self.index,
            remote_index,
            protocol.cipher_state_encrypt.cipher,
            protocol.cipher_state_decrypt.cipher,
        )


@dataclass
class Session:
    """A session's transport keys; a test chooses the counters."""

    local_index: int
    remote_index: int
    sealer: Cipher
    opener: Cipher
    next_counter: int = 0

    def seal(self, inner: bytes, *, counter: int | None = None, index: int | None = None) -> bytes:
        """Seal ``inner``, padded to 16 bytes; the default is the session's next counter."""
        if counter is None:
            counter, self.next_counter = self.next_counter, self.next_counter + 1
        head = struct.pack(
            "<IIQ", TRANSPORT, self.remote_index if index is None else index, counter
        )
        padded = inner + bytes(-len(inner) % 16)
        return head + self.sealer.encrypt(None, counter, b"", padded)

    def is_for_us(self, data: bytes) -> bool:
        return data[:8] == struct.pack("<II", TRANSPORT, self.local_index)

    def open(self, message: bytes) -> bytes:
        """Return the padded packet in the server's message, or raise InvalidTag for a forgery."""
        (counter,) = struct.unpack_from("<Q", message, 8)
        return self.opener.decrypt(None, counter, b"", message[16:])


def tai64n(unix_seconds: float) -> bytes:
    """Convert a unix time to TAI64N: seconds and nanoseconds, big-endian."""
    seconds, fraction = divmod(unix_seconds, 1)
    return struct.pack(">QI", TAI64N_BASE + int(seconds), int(fraction * 10**9))


def add_macs(body: bytes, receiver_public: bytes, cookie: bytes | None = None) -> bytes:
    """Append MAC1 and MAC2 (section 5.4.4); MAC2 is zero without a cookie."""
    with_mac1 = body + keyed_mac(hashlib.blake2s(b"mac1----" + receiver_public).digest(), body)
    return with_mac1 + (bytes(16) if cookie is None else keyed_mac(cookie, with_mac1))


def mac1_of(message: bytes) -> bytes:
    return message[-32:-16]


def mac2_of(message: bytes) -> bytes:
    return message[-16:]


def keyed_mac(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2s(data, key=key, digest_size=16).digest()
