"""What a full node knows, as its API and its page read it.

Times are ms since the epoch, amounts base units of the market's token, shares parts of a million.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fs_net.core.matching import Candidate, Match, Order, Wishes


@dataclass(frozen=True, slots=True)
class Token:
    """In what prices are shown."""

    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class ProviderView:
    """All that is known of a provider at present."""

    candidate: Candidate
    first_seen: int


@dataclass(frozen=True, slots=True)
class UptimePoint:
    """Of an interval that began at ``start``: the share of it in which heartbeats were heard."""

    start: int
    share: int


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A price, from ``start`` on."""

    start: int
    per_gib: int
    per_hour: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """The network at one moment."""

    at: int
    providers: int  # with a record that holds
    live: int  # heard lately
    slots: int  # of the live ones
    free_slots: int
    stake: int
    median_per_gib: int | None  # of the live ones
    median_per_hour: int | None
    countries: tuple[tuple[str, int], ...]  # live providers in each, the most first


class ChangeKind(StrEnum):
    """What happened to a provider."""

    RECORD = "record"  # it is there, or says something else than before
    HEARTBEAT = "heartbeat"
    SILENT = "silent"  # no heartbeat any more
    GONE = "gone"  # nor a record


@dataclass(frozen=True, slots=True)
class Change:
    """One of them; ``version`` is the catalogue's after it."""

    version: int
    kind: ChangeKind
    provider: bytes


class OrderState(StrEnum):
    """A channel's, by the chain."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class OrderView:
    """A channel that an account pays or is paid by."""

    channel: bytes
    payer: bytes
    payee: bytes
    deposit: int
    claimed: int
    refunded: int
    state: OrderState
    opened_at: int  # ms


class Orders(Protocol):
    """Channels as the chain has them."""

    async def of(self, account: bytes) -> Sequence[OrderView]:
        """Those that the account pays or is paid by, the latest first; from an index in memory."""
        ...


class Catalogue(Protocol):
    """Reading what was gathered.  The plain functions answer from memory."""

    @property
    def version(self) -> int:
        """Rises with whatever changes an answer; what ETags are made of."""
        ...

    def search(self, wishes: Wishes, order: Order) -> Sequence[Match]:
        """All that suit, ranked."""
        ...

    def providers(self) -> Sequence[Candidate]:
        """All with a record that holds, silent ones too, by address."""
        ...

    def provider(self, address: bytes) -> ProviderView | None:
        """One of them."""
        ...

    def statistics(self) -> Statistics:
        """At present."""
        ...

    async def uptime(self, address: bytes, since: int, step: int) -> Sequence[UptimePoint]:
        """Since then, in intervals of ``step`` ms; nothing of what was before its first record."""
        ...

    async def prices(self, address: bytes, since: int) -> Sequence[PricePoint]:
        """Its price changes since then, with the one that held at that time."""
        ...

    async def history(self, since: int, step: int) -> Sequence[Statistics]:
        """The network at the end of each interval since then."""
        ...

    def changes(self) -> AsyncIterator[Change]:
        """All from now on; a listener that is too slow is told the latest of each provider."""
        ...
