# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""WireGuard's handshake with one peer: what its messages carry, and when they are believed.

The verbs are those of other implementations: ``create_initiation``, ``consume_initiation``,
``create_response``, ``consume_response``.  Source: WireGuard paper, sections 5.4.2 to 5.4.5.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fs_tunnel.proto.constants import IDENTIFIER, MIN_INITIATION_INTERVAL
from fs_tunnel.proto.crypto import dh
from fs_tunnel.proto.errors import AuthenticationFailed, ReplayDetected
from fs_tunnel.proto.messages import Initiation, Response
from fs_tunnel.proto.noise import NoiseIKpsk2, StaticKeys

Entropy = Callable[[int], bytes]  # returns as many random bytes as it is asked for


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The result of a handshake: two keys of 32 bytes, and the session index of each side."""

    sending: bytes
    receiving: bytes
    local_index: int
    remote_index: int
    is_initiator: bool

    def __repr__(self) -> str:
        return (
            f"SessionKeys(local_index={self.local_index:#x}, remote_index={self.remote_index:#x})"
        )


@dataclass(frozen=True, slots=True)
class OpenedInitiation:
    """An initiation that names its sender, who is not authenticated yet."""

    noise: NoiseIKpsk2
    remote_static: bytes
    message: Initiation


def open_initiation(local: StaticKeys, message: Initiation) -> OpenedInitiation:
    """Decrypt the sender's static key.

    Raise AuthenticationFailed if the initiation was not meant for us.
    """
    noise = NoiseIKpsk2(IDENTIFIER, local.public)
    remote_static = noise.read_initiation_static(
        local, message.unencrypted_ephemeral, message.encrypted_static
    )
    return OpenedInitiation(noise, remote_static, message)


class Handshake:
    """The handshake state of one peer."""

    __slots__ = (
        "local",
        "remote",
        "preshared",
        "local_index",
        "_static_static",
        "_initiated",
        "_latest_timestamp",
        "_latest_consumed",
    )

    def __init__(self, local: StaticKeys | None, remote: bytes, preshared: bytes) -> None:
        """``local`` is our identity; None while the interface has no private key.

        ``remote`` is the peer's public key, ``preshared`` the secret of both: 32 bytes each.
        """
        self.local = local
        self.remote = remote
        self.preshared = preshared
        self.local_index: int | None = None  # of the initiation that waits for its response
        self._static_static: bytes | None = None
        self._initiated: NoiseIKpsk2 | None = None
        self._latest_timestamp = bytes(12)
        self._latest_consumed = float("-inf")

    @property
    def ephemeral(self) -> bytes | None:
        """Our private ephemeral key of the pending initiation; for the debugging key log only."""
        return self._initiated.ephemeral if self._initiated else None

    def create_initiation(self, local_index: int, timestamp: bytes, entropy: Entropy) -> Initiation:
        """Return an initiation, which replaces a pending one.  The caller adds the MACs.

        Raise AuthenticationFailed if the peer's public key is a point of low order.
        """
        local = self._identity()
        noise = NoiseIKpsk2(IDENTIFIER, self.remote)
        unencrypted_ephemeral, encrypted_static, encrypted_timestamp = noise.write_initiation(
            local, self.remote, self._shared(), entropy(32), timestamp
        )
        self._initiated, self.local_index = noise, local_index
        return Initiation(local_index, unencrypted_ephemeral, encrypted_static, encrypted_timestamp)

    def consume_initiation(self, opened: OpenedInitiation, now: float) -> None:
        """Authenticate an initiation of this peer, and remember its timestamp.

        Raise AuthenticationFailed if it is forged.  Raise ReplayDetected if its timestamp is not
        later than the latest accepted one, or if it comes less than 20 ms after that one did.
        """
        timestamp = opened.noise.read_initiation_payload(
            self._shared(), opened.message.encrypted_timestamp
        )
        if timestamp <= self._latest_timestamp:
            raise ReplayDetected("an initiation's timestamp is not later than the latest accepted")
        if now - self._latest_consumed < MIN_INITIATION_INTERVAL:
            raise ReplayDetected("initiations of one peer come faster than 50 a second")
        self._latest_timestamp = timestamp
        self._latest_consumed = now

    def create_response(
        self, opened: OpenedInitiation, local_index: int, entropy: Entropy
    ) -> tuple[Response, SessionKeys, bytes]:
        """Answer a consumed initiation.

        Return the response, without MACs; the session's keys; and our private ephemeral key, for
        the debugging key log.
        """
        noise, remote_index = opened.noise, opened.message.sender
        unencrypted_ephemeral, encrypted_nothing = noise.write_response(
            self.remote, self.preshared, entropy(32), b""
        )
        receiving, sending = noise.split()
        keys = SessionKeys(sending, receiving, local_index, remote_index, is_initiator=False)
        response = Response(local_index, remote_index, unencrypted_ephemeral, encrypted_nothing)
        return response, keys, noise.ephemeral

    def consume_response(self, message: Response) -> SessionKeys:
        """Complete the pending handshake, and return the session's keys.

        Raise AuthenticationFailed, which leaves the handshake pending.
        """
        if self._initiated is None or message.receiver != self.local_index:
            raise AuthenticationFailed("a response answers no pending initiation")
        noise = self._initiated.copy()
        noise.read_response(
            self._identity(),
            self.preshared,
            message.unencrypted_ephemeral,
            message.encrypted_nothing,
        )
        sending, receiving = noise.split()
        keys = SessionKeys(sending, receiving, message.receiver, message.sender, is_initiator=True)
        self.forget_initiation()
        return keys

    def forget_initiation(self) -> None:
        """Drop the pending initiation, because it was answered or is too old to keep."""
        self._initiated = self.local_index = None

    def set_local(self, local: StaticKeys | None) -> None:
        """Take over our changed identity, and forget everything derived from the old one."""
        self.local, self._static_static = local, None
        self.forget_initiation()

    def _shared(self) -> bytes:
        # Computed at first use: loading 10,000 peers must not cost 10,000 scalar multiplications.
        if self._static_static is None:
            self._static_static = dh(self._identity().private, self.remote)
        return self._static_static

    def _identity(self) -> StaticKeys:
        if self.local is None:
            raise AuthenticationFailed("the interface has no private key; set one")
        return self.local
