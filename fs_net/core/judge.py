# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Decides which records and heartbeats from the network are believed.

A judgement never raises: it is a verdict with a reason, which is counted. Cheap checks come first.
So a flood is refused before any signature is checked, and an item that is already known costs no
signature check either.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from fs_net.core.index import Index, Latest
from fs_net.core.records import (
    HEARTBEAT_LIFETIME,
    Heartbeat,
    ProviderRecord,
    Signed,
    SignedContent,
    T,
)
from fs_net.core.records import parse_untrusted as parse
from fs_net.core.standing import Standings
from fs_net.errors import Reason, Refused
from fs_net.ports import ChainView, Listing
from fs_wire.ratelimit import RateLimiter

MAX_SKEW = 10_000  # ms that a sender's clock may be ahead of ours
_PEER_RATE = 400.0  # items a second from one peer: a full node's batches for 2,000 providers
_PEER_BURST = 4000.0  # items of the first exchange with a full node


@dataclass(frozen=True, slots=True)
class Verdict(Generic[T]):
    """``said`` if the item was believed and taken, otherwise the reason; never both."""

    said: Signed[T] | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class _Kind(Generic[T]):
    """Records or heartbeats: where they are kept, and the check that returns the signer's key."""

    content: type[T]
    latest: Latest[T]
    check: Callable[[T, Listing, int], bytes]


def _nobody(_: SignedContent) -> None:
    """Ignore an item, if the caller does not want to hear about taken items."""


class Judge:
    """Checks what peers send, and puts good items into the index."""

    def __init__(
        self,
        index: Index,
        chain: ChainView,
        network: bytes,
        *,
        rate: float = _PEER_RATE,
        burst: float = _PEER_BURST,
        taken: Callable[[SignedContent], None] = _nobody,
    ) -> None:
        """``network`` is ``records.network_id``; ``rate`` and ``burst`` bound one peer's items.

        ``taken`` is called with each item that changed the index.
        """
        self.index, self._taken = index, taken
        self.refused: Counter[Reason] = Counter()
        self.standings = Standings()
        self._chain, self._network = chain, network
        self._records = _Kind(ProviderRecord, index.records, _check_record)
        self._heartbeats = _Kind(Heartbeat, index.heartbeats, _check_heartbeat)
        self._limiter = RateLimiter(rate, burst, max_sources=8192)

    def record(self, peer: bytes, raw: bytes, now: int) -> Verdict[ProviderRecord]:
        """Judge a signed record that ``peer`` sent; ``now`` is in ms since the epoch."""
        return self._judge(peer, raw, now, self._records)

    def heartbeat(self, peer: bytes, raw: bytes, now: int) -> Verdict[Heartbeat]:
        """Judge a signed heartbeat."""
        return self._judge(peer, raw, now, self._heartbeats)

    def blame(self, peer: bytes, reason: Reason, now: int) -> None:
        """Count a refusal that happened before anything could be judged."""
        self.refused[reason] += 1
        self.standings.blame(peer, reason, now / 1000)

    def is_banned(self, peer: bytes, now: int) -> bool:
        """Whether the peer broke so many rules that its connection should be closed."""
        return self.standings.is_banned(peer, now / 1000)

    def _judge(self, peer: bytes, raw: bytes, now: int, kind: _Kind[T]) -> Verdict[T]:
        try:
            return Verdict(self._believe(peer, raw, now, kind))
        except Refused as refused:
            self.blame(peer, refused.reason, now)
            return Verdict(reason=refused.reason)

    def _believe(self, peer: bytes, raw: bytes, now: int, kind: _Kind[T]) -> Signed[T]:
        seconds = now / 1000
        if self.standings.is_banned(peer, seconds):
            raise Refused(Reason.BANNED, "the sender broke too many rules; wait some minutes")
        if not self._limiter.allow(peer, seconds):
            raise Refused(Reason.RATE_LIMITED, "one peer sends too much; send less")
        said = parse(kind.content, raw)
        if said.content.sequence > now + MAX_SKEW:
            raise Refused(Reason.FUTURE, "signed in the future; set the clocks")
        listing = self._chain.listing(said.content.provider)
        if listing is None:
            raise Refused(Reason.UNSTAKED, "no stake of this provider is listed; stake first")
        key = kind.check(said.content, listing, now)
        if not kind.latest.would_change(said):
            raise Refused(Reason.STALE, "a later item is known; there is nothing to do")
        said.check(key, self._network)
        if not kind.latest.add(said, listing.stake):
            raise Refused(Reason.UNSTAKED, "others have more stake and there is no room; add stake")
        self._taken(said)
        return said


def signer_of(said: SignedContent, listing: Listing, now: int) -> bytes:
    """Return the key that must have signed the item.

    Raises Refused if the item has expired, or if the stake does not cover it.
    """
    if isinstance(said.content, ProviderRecord):
        return _check_record(said.content, listing, now)
    return _check_heartbeat(said.content, listing, now)


def _check_record(record: ProviderRecord, listing: Listing, now: int) -> bytes:
    if record.expires_at <= now:
        raise Refused(Reason.EXPIRED, "the record has expired; sign another")
    if record.slots > listing.slots:
        raise Refused(Reason.OVERSOLD, "more slots than the stake covers; add stake")
    return listing.node_key


def _check_heartbeat(heartbeat: Heartbeat, listing: Listing, now: int) -> bytes:
    if heartbeat.sequence + HEARTBEAT_LIFETIME <= now:
        raise Refused(Reason.EXPIRED, "the heartbeat is too old; set the clocks")
    if heartbeat.free_slots > listing.slots:
        raise Refused(Reason.OVERSOLD, "more free slots than the stake covers; add stake")
    return listing.heartbeat_key
