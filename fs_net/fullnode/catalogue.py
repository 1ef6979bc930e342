# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The interface through which the API and the page read what a full node knows.

Times are ms since the epoch. Amounts are base units of the market's token. Shares are parts of a
million.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fs_net.core.matching import Candidate, Match, Order, Wishes


@dataclass(frozen=True, slots=True)
class Token:
    """The token in which prices are shown."""

    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class ProviderView:
    """Everything that is known about a provider at present."""

    candidate: Candidate
    first_seen: int


@dataclass(frozen=True, slots=True)
class UptimePoint:
    """The share of the interval from ``start`` on in which the provider was live."""

    start: int
    share: int


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A price that holds from ``start`` on."""

    start: int
    per_gib: int
    per_hour: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """The network at one moment."""

    at: int
    providers: int  # providers with a valid record
    live: int  # providers with a recent heartbeat
    slots: int  # of live providers, as the free slots and the medians
    free_slots: int
    stake: int
    median_per_gib: int | None
    median_per_hour: int | None
    countries: tuple[tuple[str, int], ...]  # live providers in each country, the most first


class ChangeKind(StrEnum):
    """What happened to a provider."""

    RECORD = "record"  # it appeared, or its record or listing changed
    HEARTBEAT = "heartbeat"
    SILENT = "silent"  # its last heartbeat expired
    GONE = "gone"  # its record is no longer valid


@dataclass(frozen=True, slots=True)
class Change:
    """One change; ``version`` is the catalogue's version after it."""

    version: int
    kind: ChangeKind
    provider: bytes


class OrderState(StrEnum):
    """The state of a channel on the chain."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class OrderView:
    """A channel in which an account is payer or payee."""

    channel: bytes
    payer: bytes
    payee: bytes
    deposit: int
    claimed: int
    refunded: int
    state: OrderState
    opened_at: int  # ms


class Orders(Protocol):
    """The channels on the chain."""

    async def of(self, account: bytes) -> Sequence[OrderView]:
        """Return the channels in which the account pays or is paid, the latest first.

        They come from an index in memory.
        """
        ...


class Catalogue(Protocol):
    """Reads what was gathered. The plain methods answer from memory."""

    @property
    def version(self) -> int:
        """Rises with each change of an answer; ETags are made from it."""
        ...

    def search(self, wishes: Wishes, order: Order) -> Sequence[Match]:
        """Return all matching providers, ranked."""
        ...

    def providers(self) -> Sequence[Candidate]:
        """Return all providers with a valid record, silent ones too, sorted by address."""
        ...

    def provider(self, address: bytes) -> ProviderView | None:
        """Return one provider, or None if it is unknown."""
        ...

    def statistics(self) -> Statistics:
        """Return the present figures."""
        ...

    async def uptime(self, address: bytes, since: int, step: int) -> Sequence[UptimePoint]:
        """Return the uptime since then, in intervals of ``step`` ms.

        Intervals before the provider's first record are left out.
        """
        ...

    async def prices(self, address: bytes, since: int) -> Sequence[PricePoint]:
        """Return the price changes since then, and the price that was valid at that time."""
        ...

    async def history(self, since: int, step: int) -> Sequence[Statistics]:
        """Return the network's figures at the end of each interval since then."""
        ...

    def changes(self) -> AsyncIterator[Change]:
        """Yield all changes from now on; a slow listener gets only the latest of each provider."""
        ...
