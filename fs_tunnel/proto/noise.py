# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s: the two handshake messages and the keys they yield.

    IKpsk2:
      <- s
      ...
      -> e, es, s, ss
      <- e, ee, se, psk

Payloads and prologue are arguments, so that tests can replay the vectors of any implementation;
``handshake`` says what WireGuard puts into them.  Keys have 32 bytes.  Source: the Noise Protocol
Framework, revision 34, sections 5, 7.5 and 9.
"""

from dataclasses import dataclass
from typing import Self

from fs_tunnel.proto.constants import CONSTRUCTION
from fs_tunnel.proto.crypto import (
    aead_open,
    aead_seal,
    dh,
    hash32,
    kdf1,
    kdf2,
    kdf3,
    public_key,
)

_INITIAL_CHAINING_KEY = hash32(CONSTRUCTION)  # the name is longer than a hash, so it is hashed


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """An X25519 key pair that outlives sessions: the identity of one side."""

    private: bytes
    public: bytes

    @classmethod
    def from_private(cls, private: bytes) -> Self:
        """Return the pair that a private key belongs to."""
        return cls(private, public_key(private))

    def __repr__(self) -> str:
        return "StaticKeys(hidden)"


class NoiseIKpsk2:
    """One handshake, seen from one side, which calls each of its steps at most once.

    Any ``read_*`` raises AuthenticationFailed if the message is forged.  The object is then
    spoiled: throw it away.
    """

    __slots__ = ("_chaining_key", "_hash", "_key", "_ephemeral", "_remote_ephemeral")

    def __init__(self, prologue: bytes, responder_static: bytes) -> None:
        self._chaining_key = _INITIAL_CHAINING_KEY
        self._hash = hash32(_INITIAL_CHAINING_KEY, prologue)
        self._key = b""
        self._ephemeral = b""
        self._remote_ephemeral = b""
        self._mix_hash(responder_static)

    @property
    def ephemeral(self) -> bytes:
        """Our ephemeral private key; for the debugging key log only."""
        return self._ephemeral

    # -> e, es, s, ss

    def write_initiation(
        self,
        local: StaticKeys,
        remote: bytes,
        static_static: bytes,
        ephemeral: bytes,
        payload: bytes,
    ) -> tuple[bytes, bytes, bytes]:
        """Return our ephemeral key, our encrypted static key and the encrypted payload.

        They have 32 bytes, 48 bytes and 16 bytes more than the payload.
        """
        ephemeral_public = self._write_ephemeral(ephemeral)
        self._mix_key(dh(ephemeral, remote))
        encrypted_static = self._encrypt_and_hash(local.public)
        self._mix_key(static_static)
        return ephemeral_public, encrypted_static, self._encrypt_and_hash(payload)

    def read_initiation_static(
        self, local: StaticKeys, ephemeral_public: bytes, encrypted_static: bytes
    ) -> bytes:
        """Return the initiator's static public key, which says whose pre-shared key to use."""
        self._read_ephemeral(ephemeral_public)
        self._mix_key(dh(local.private, ephemeral_public))
        return self._decrypt_and_hash(encrypted_static)

    def read_initiation_payload(self, static_static: bytes, encrypted_payload: bytes) -> bytes:
        """Return the payload.  This authenticates the initiator's static key."""
        self._mix_key(static_static)
        return self._decrypt_and_hash(encrypted_payload)

    # <- e, ee, se, psk

    def write_response(
        self, remote: bytes, preshared: bytes, ephemeral: bytes, payload: bytes
    ) -> tuple[bytes, bytes]:
        """Return our ephemeral key and the encrypted payload, which is 16 bytes longer."""
        ephemeral_public = self._write_ephemeral(ephemeral)
        self._mix_key(dh(ephemeral, self._remote_ephemeral))
        self._mix_key(dh(ephemeral, remote))
        self._mix_key_and_hash(preshared)
        return ephemeral_public, self._encrypt_and_hash(payload)

    def read_response(
        self,
        local: StaticKeys,
        preshared: bytes,
        ephemeral_public: bytes,
        encrypted_payload: bytes,
    ) -> bytes:
        """Return the payload.  This authenticates the responder."""
        self._read_ephemeral(ephemeral_public)
        self._mix_key(dh(self._ephemeral, ephemeral_public))
        self._mix_key(dh(local.private, ephemeral_public))
        self._mix_key_and_hash(preshared)
        return self._decrypt_and_hash(encrypted_payload)

    def split(self) -> tuple[bytes, bytes]:
        """Return the transport keys: that which the initiator sends with, then the responder's."""
        return kdf2(self._chaining_key, b"")

    def copy(self) -> "NoiseIKpsk2":
        """Return a second object at the same step, which a forged message may spoil."""
        twin = object.__new__(NoiseIKpsk2)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    # The symmetric state: section 5.2.

    def _write_ephemeral(self, ephemeral: bytes) -> bytes:
        self._ephemeral = ephemeral
        ephemeral_public = public_key(ephemeral)
        self._mix_ephemeral(ephemeral_public)
        return ephemeral_public

    def _read_ephemeral(self, ephemeral_public: bytes) -> None:
        self._remote_ephemeral = ephemeral_public
        self._mix_ephemeral(ephemeral_public)

    def _mix_ephemeral(self, ephemeral_public: bytes) -> None:
        # A handshake with a pre-shared key mixes "e" into the key too: section 9.2.
        self._mix_hash(ephemeral_public)
        self._chaining_key = kdf1(self._chaining_key, ephemeral_public)

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hash32(self._hash, data)

    def _mix_key(self, secret: bytes) -> None:
        self._chaining_key, self._key = kdf2(self._chaining_key, secret)

    def _mix_key_and_hash(self, secret: bytes) -> None:
        self._chaining_key, mixed, self._key = kdf3(self._chaining_key, secret)
        self._mix_hash(mixed)

    def _encrypt_and_hash(self, plaintext: bytes) -> bytes:
        # In this pattern each key seals one message, so the counter is always zero.
        ciphertext = aead_seal(self._key, 0, plaintext, self._hash)
        self._mix_hash(ciphertext)
        return ciphertext

    def _decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        plaintext = aead_open(self._key, 0, ciphertext, self._hash)
        self._mix_hash(ciphertext)
        return plaintext
