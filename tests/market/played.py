# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A simulated engine and chain, for agents whose sockets and journals are real."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fs_market.core.money.accounting import CLOSED
from fs_market.core.wire.channels import ChannelStatus
from fs_wire.types import Endpoint, IPAddress, PublicKey


@dataclass
class PlayedEngine:
    """An engine whose traffic the tests make."""

    peers: dict[PublicKey, tuple[IPAddress, ...]] = field(default_factory=dict)
    counters: dict[PublicKey, tuple[int, int]] = field(default_factory=dict)
    credit: dict[PublicKey, int] = field(default_factory=dict)
    low: dict[PublicKey, int] = field(default_factory=dict)
    exempt: dict[PublicKey, Endpoint | None] = field(default_factory=dict)
    told: "asyncio.Queue[PublicKey]" = field(default_factory=asyncio.Queue)

    async def add_peer(self, peer: PublicKey, addresses: tuple[IPAddress, ...]) -> None:
        self.peers[peer] = addresses
        self.counters.setdefault(peer, (0, 0))

    async def remove_peer(self, peer: PublicKey) -> None:
        self.peers.pop(peer, None)
        self.counters.pop(peer, None)

    async def count(self, peer: PublicKey) -> tuple[int, int]:
        return self.counters.get(peer, (0, 0))

    async def limit(
        self, peer: PublicKey, *, credit: int, credit_low: int, exempt: Endpoint | None, rate: int
    ) -> None:
        assert rate == 0
        self.credit[peer], self.low[peer], self.exempt[peer] = credit, credit_low, exempt

    async def low_credits(self) -> AsyncIterator[PublicKey]:
        while True:
            yield await self.told.get()

    def pass_bytes(self, peer: PublicKey, count: int) -> int:
        """Pass bytes to the peer, up to ``count`` and as far as its credit allows."""
        rx, tx = self.counters.get(peer, (0, 0))
        room = self.credit.get(peer, CLOSED) - rx - tx
        passed = count if self.credit.get(peer) == 0 else max(0, min(count, room))
        self.counters[peer] = (rx, tx + passed)
        if room - passed < self.low.get(peer, 0):
            self.told.put_nowait(peer)
        return passed


@dataclass
class PlayedChain:
    """Reports what a ``ChannelWatch`` would report."""

    known: dict[bytes, ChannelStatus] = field(default_factory=dict)
    said: "asyncio.Queue[tuple[bytes, ChannelStatus | None]]" = field(default_factory=asyncio.Queue)

    async def status(self, channel: bytes) -> ChannelStatus | None:
        return self.known.get(channel)

    def follow(self, channel: bytes, status: ChannelStatus) -> None:
        pass

    def forget(self, channel: bytes) -> None:
        pass

    async def changes(self) -> AsyncIterator[tuple[bytes, ChannelStatus | None]]:
        while True:
            yield await self.said.get()
