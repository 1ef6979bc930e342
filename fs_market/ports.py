# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Protocols for the engines and connections that the market needs; ``fs_tunnel`` has them."""

from collections.abc import AsyncIterator
from typing import Protocol

from fs_wire.types import Endpoint, IPAddress, PublicKey


class Duplex(Protocol):
    """A connection that carries bytes in both directions."""

    async def read(self, most: int) -> bytes:
        """Return 1 to ``most`` bytes, or none after the end.  A cancelled call loses no bytes.

        Raise OSError if the connection broke.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send bytes without waiting; after the end of the connection they are lost."""
        ...

    @property
    def unsent(self) -> int:
        """The number of bytes that wait for the other side to read."""
        ...

    def abort(self) -> None:
        """End the connection at once."""
        ...

    async def close(self) -> None:
        """End the connection when everything is sent, or after a moment."""
        ...


class Route(Protocol):
    """A way to a provider; messages show its text after "at"."""

    async def dial(self) -> Duplex:
        """Connect to the provider; raise OSError or TimeoutError if that fails."""
        ...


class Engine(Protocol):
    """The engine of one tunnel, for an agent that meters its peers.

    Every method raises OSError if the engine is gone.  The agent ends then, and its helper starts
    it again with another engine.  A method raises EngineRefused if the engine refuses it for this
    peer.
    """

    async def add_peer(self, peer: PublicKey, addresses: tuple[IPAddress, ...]) -> None:
        """Add a peer with these addresses; a peer that is there keeps its session."""
        ...

    async def remove_peer(self, peer: PublicKey) -> None:
        """Remove a peer; nothing happens if the engine does not have it."""
        ...

    async def count(self, peer: PublicKey) -> tuple[int, int]:
        """Return the bytes received from and sent to a peer since it was added.

        Both are 0 if the engine does not have the peer.
        """
        ...

    async def limit(
        self, peer: PublicKey, *, credit: int, credit_low: int, exempt: Endpoint | None, rate: int
    ) -> None:
        """Limit a peer; ``fs_wire.control`` explains the limits of the ``limit`` request."""
        ...

    def low_credits(self) -> AsyncIterator[PublicKey]:
        """Yield each peer when its credit is about to end."""
        ...
