# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The catalogue of a full node: the present comes from memory, the past from a store.

It looks at gathered items once a second, so answers are up to a second old. Each answer is computed
once for everybody who asks in that second.
"""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Protocol

from fs_net.core.matching import Candidate, Match, Order, Wishes, match
from fs_net.core.records import ProviderRecord, Signed
from fs_net.fullnode.catalogue import (
    Change,
    ChangeKind,
    PricePoint,
    ProviderView,
    Statistics,
    UptimePoint,
)
from fs_net.fullnode.gatherer import Gatherer
from fs_net.fullnode.listeners import Listeners
from fs_net.fullnode.uptime import BUCKET, DAY, Uptimes, average

_SWEEP = 5_000  # ms between looks at all providers
_SAMPLE = 300_000  # ms between entries of the network's history
_PRICE_STEP = 60_000  # ms with one price, so that constant changes cannot fill the store
_MAX_RANKINGS = 64
_MAX_SEEN = 131_072
_MAX_POINTS = 2_000  # in one answer about the past


class Past(Protocol):
    """What a store does for the catalogue: it takes notes at once, and reads on demand."""

    def note_record(self, provider: bytes, sequence: int, raw: bytes, first_seen: int) -> None:
        """Note the latest record."""
        ...

    def note_price(self, provider: bytes, price: PricePoint) -> None:
        """Note a price that holds from its start on."""
        ...

    def note_uptime(self, provider: bytes, day: int, shares: bytes) -> None:
        """Note a day in the form of ``uptime.Uptimes.day``."""
        ...

    def note_statistics(self, statistics: Statistics) -> None:
        """Note the network's figures at a moment."""
        ...

    async def read_uptime(self, provider: bytes, first_day: int) -> dict[int, bytes]:
        """Return the days from the first day on."""
        ...

    async def read_prices(self, provider: bytes, since: int) -> list[PricePoint]:
        """Return the changes since then, and the last change before."""
        ...

    async def read_statistics(self, since: int, step: int) -> list[Statistics]:
        """Return the last figures of each interval of ``step`` ms since then, in order of time."""
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an earlier run knew about a provider."""

    raw: bytes  # its record
    first_seen: int


class LiveCatalogue:
    """A ``catalogue.Catalogue``; call ``look`` about once a second."""

    def __init__(self, gatherer: Gatherer, past: Past) -> None:
        self.uptimes = Uptimes()
        self.listeners = Listeners()
        self._gatherer, self._past = gatherer, past
        self._candidates: dict[bytes, Candidate] = {}
        self._first_seen: dict[bytes, int] = {}
        self._prices: dict[bytes, tuple[int, int]] = {}
        self._version, self._now = 0, 0
        self._swept_at, self._sampled_at = 0, 0
        self._is_stale = False  # whether the cached answers must be made again
        self._rankings: dict[tuple[Wishes, Order], list[Match]] = {}
        self._in_order: list[Candidate] | None = None
        self._statistics: Statistics | None = None

    @property
    def version(self) -> int:
        return self._version

    def restore(self, remembered: Sequence[Remembered], now: int) -> None:
        """Begin with the records of an earlier run."""
        self._gatherer.restore((each.raw for each in remembered), now)
        by_raw = {each.raw: each.first_seen for each in remembered}
        for record in self._gatherer.index.records:
            said = record.content
            self._first_seen[said.provider] = by_raw.get(record.raw, now)
            self._prices[said.provider] = said.price_per_gib, said.price_per_hour
        self._sampled_at = now
        self.look(now)

    def look(self, now: int) -> None:
        """Take note of what was gathered; ``now`` is in ms since the epoch."""
        self._now = now
        changes = self._update(self._gatherer.changed())
        if now - self._swept_at >= _SWEEP:
            changes += self._sweep()
        if self._is_stale:
            self._turn_over()
        for kind, provider in changes:
            self.listeners.tell(Change(self._version, kind, provider))
        if now - self._sampled_at >= _SAMPLE:
            self._sampled_at = now
            self._past.note_statistics(replace(self.statistics(), at=now))

    def search(self, wishes: Wishes, order: Order) -> Sequence[Match]:
        found = self._rankings.get((wishes, order))
        if found is None:
            if len(self._rankings) >= _MAX_RANKINGS:
                del self._rankings[next(iter(self._rankings))]
            found = match(self._candidates.values(), wishes, order)
            self._rankings[wishes, order] = found
        return found

    def providers(self) -> Sequence[Candidate]:
        if self._in_order is None:
            self._in_order = [self._candidates[each] for each in sorted(self._candidates)]
        return self._in_order

    def provider(self, address: bytes) -> ProviderView | None:
        candidate = self._candidates.get(address)
        if candidate is None:
            return None
        return ProviderView(candidate, self._first_seen.get(address, self._now))

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = statistics_of(self._candidates.values(), self._now)
        return self._statistics

    async def uptime(self, address: bytes, since: int, step: int) -> Sequence[UptimePoint]:
        """Leave out intervals without a measurement; ``step`` is rounded down to whole buckets."""
        step = max(1, step // BUCKET)
        last = self._now // BUCKET
        first = max(since // BUCKET, last - step * _MAX_POINTS)
        first -= first % step
        days = await self._past.read_uptime(address, first // DAY)
        for day in range(last // DAY - 6, last // DAY + 1):
            if any(shares := self.uptimes.day(address, day)):
                days[day] = shares
        points = []
        for start in range(first, last + 1, step):
            within = [
                days[bucket // DAY][bucket % DAY]
                for bucket in range(start, min(start + step, last + 1))
                if bucket // DAY in days
            ]
            if (share := average(within)) is not None:
                points.append(UptimePoint(start * BUCKET, share))
        return points

    async def prices(self, address: bytes, since: int) -> Sequence[PricePoint]:
        return (await self._past.read_prices(address, since))[-_MAX_POINTS:]

    async def history(self, since: int, step: int) -> Sequence[Statistics]:
        """Return the last figures of each interval that has some, and the present figures."""
        step = max(step, 1)
        since = max(since, self._now - step * _MAX_POINTS)
        ends = {each.at // step: each for each in await self._past.read_statistics(since, step)}
        ends[self._now // step] = self.statistics()
        return [ends[each] for each in sorted(ends)]

    def changes(self) -> AsyncIterator[Change]:
        return self.listeners.add()

    def _update(self, providers: Collection[bytes]) -> list[tuple[ChangeKind, bytes]]:
        """Look at some providers; return how they changed since the last look."""
        return [(kind, each) for each in providers if (kind := self._update_one(each))]

    def _update_one(self, provider: bytes) -> ChangeKind | None:
        before = self._candidates.get(provider)
        uptime = self.uptimes.share(provider)
        found = self._gatherer.candidate(provider, self._now, uptime)
        if found is None:
            if before is None:
                return None
            del self._candidates[provider]
            self._prices.pop(provider, None)
            self._is_stale = True
            return ChangeKind.GONE
        kind = _difference(before, found)
        if kind is not None or (before and before.uptime != uptime):
            self._candidates[provider] = found
            self._is_stale = True
        if kind is ChangeKind.RECORD:
            self._note(found.entry.record)
        return kind

    def _sweep(self) -> list[tuple[ChangeKind, bytes]]:
        """Look at all providers: time has passed, and the chain may have changed."""
        self._swept_at = self._now
        self._gatherer.expire(self._now)
        everybody = self._gatherer.changed().union(self._candidates)
        everybody.update(each.content.provider for each in self._gatherer.index.records)
        changes = self._update(everybody)
        live = {key for key, each in self._candidates.items() if each.entry.heartbeat}
        if self.uptimes.look(live, self._candidates.keys() - live, self._now):
            self._note_uptimes()
        return changes

    def _note_uptimes(self) -> None:
        """Note the bucket that ended, which may have been the last of its day."""
        day = (self._now - BUCKET) // (BUCKET * DAY)
        for provider, shares in self.uptimes.days(day):
            self._past.note_uptime(provider, day, shares)

    def _note(self, record: Signed[ProviderRecord]) -> None:
        said = record.content
        if len(self._first_seen) >= _MAX_SEEN:
            del self._first_seen[next(iter(self._first_seen))]
        first_seen = self._first_seen.setdefault(said.provider, self._now)
        self._past.note_record(said.provider, said.sequence, record.raw, first_seen)
        price = said.price_per_gib, said.price_per_hour
        if self._prices.get(said.provider) != price:
            self._prices[said.provider] = price
            start = said.sequence - said.sequence % _PRICE_STEP
            self._past.note_price(said.provider, PricePoint(start, *price))

    def _turn_over(self) -> None:
        self._is_stale = False
        self._version += 1
        self._rankings.clear()
        self._in_order = self._statistics = None


def _difference(before: Candidate | None, found: Candidate) -> ChangeKind | None:
    if before is None or before.entry.record is not found.entry.record:
        return ChangeKind.RECORD
    if before.listing != found.listing:
        return ChangeKind.RECORD
    if before.entry.heartbeat is found.entry.heartbeat:
        return None
    return ChangeKind.HEARTBEAT if found.entry.heartbeat else ChangeKind.SILENT


def statistics_of(candidates: Collection[Candidate], now: int) -> Statistics:
    """Return the figures of a network with these candidates, at ``now`` in ms."""
    live = [each for each in candidates if each.entry.heartbeat]
    records = [each.entry.record.content for each in live]
    countries = Counter(each.country.decode() for each in live)
    return Statistics(
        at=now,
        providers=len(candidates),
        live=len(live),
        slots=sum(each.slots for each in records),
        free_slots=sum(each.free_slots for each in live),
        stake=sum(each.listing.stake for each in candidates),
        median_per_gib=median_low(each.price_per_gib for each in records) if live else None,
        median_per_hour=median_low(each.price_per_hour for each in records) if live else None,
        countries=tuple(sorted(countries.items(), key=lambda each: (-each[1], each[0]))),
    )
