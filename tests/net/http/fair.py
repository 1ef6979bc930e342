# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A catalogue in memory: many providers in many countries, with a past made from their names."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from fs_net.core.index import Entry
from fs_net.core.matching import Candidate, Match, Order, Wishes, match
from fs_net.core.records import PortRange, Service
from fs_net.fullnode.catalogue import (
    Change,
    ChangeKind,
    OrderState,
    OrderView,
    PricePoint,
    ProviderView,
    Statistics,
    Token,
    UptimePoint,
)
from fs_net.fullnode.live import statistics_of
from tests.net.world import HOUR, NOW, Provider

TOKEN = Token("USDC", 6)
DAY = 24 * HOUR
COUNTRIES = (
    *(b"DE", b"DE", b"DE", b"DE", b"NL", b"NL", b"NL", b"FR", b"FR", b"GB", b"GB", b"SE", b"CH"),
    *(b"FI", b"PL", b"ES", b"IT", b"RO", b"IS", b"NO", b"AT", b"CZ", b"US", b"US", b"US", b"US"),
    *(b"CA", b"CA", b"BR", b"AR", b"CL", b"MX", b"JP", b"JP", b"SG", b"SG", b"KR", b"IN", b"AU"),
    *(b"NZ", b"ZA", b"KE", b"NG", b"AE", b"TR", b"HK", b"TW", b"UA", b"PT", b"BE"),
)


@dataclass
class Fair:
    """A ``Catalogue``; tests change it by ``hear``, ``silence`` and ``drop``."""

    now: int = NOW
    version: int = 1
    candidates: dict[bytes, Candidate] = field(default_factory=dict)
    first_seen: dict[bytes, int] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    _listeners: list[asyncio.Queue[Change]] = field(default_factory=list)

    def add(self, provider: Provider, candidate: Candidate, known_for: int = 40 * DAY) -> None:
        self.candidates[provider.address] = candidate
        self.first_seen[provider.address] = self.now - known_for
        self._tell(ChangeKind.RECORD, provider.address)

    def hear(self, provider: Provider, free: int) -> None:
        self._change(provider, provider.heartbeat(self.now, free))
        self._tell(ChangeKind.HEARTBEAT, provider.address)

    def silence(self, provider: Provider) -> None:
        self._change(provider, None)
        self._tell(ChangeKind.SILENT, provider.address)

    def drop(self, provider: Provider) -> None:
        del self.candidates[provider.address]
        self._tell(ChangeKind.GONE, provider.address)

    def search(self, wishes: Wishes, order: Order) -> Sequence[Match]:
        self.asked["search"] += 1
        return match(self.candidates.values(), wishes, order)

    def providers(self) -> Sequence[Candidate]:
        return [self.candidates[each] for each in sorted(self.candidates)]

    def provider(self, address: bytes) -> ProviderView | None:
        found = self.candidates.get(address)
        return ProviderView(found, self.first_seen[address]) if found else None

    def statistics(self) -> Statistics:
        return statistics_of(self.candidates.values(), self.now)

    async def uptime(self, address: bytes, since: int, step: int) -> Sequence[UptimePoint]:
        self.asked["uptime"] += 1
        drawn = random.Random(address)
        missed = 25 * (1_000_000 - (self.candidates[address].uptime or 0))
        begin = max(since, self.first_seen[address])
        return [
            UptimePoint(start, max(0, 1_000_000 - int(drawn.random() ** 24 * missed)))
            for start in range(since, self.now, step)
            if start >= begin
        ]

    async def prices(self, address: bytes, since: int) -> Sequence[PricePoint]:
        drawn = random.Random(address)
        record = self.candidates[address].entry.record.content
        later = sorted(drawn.randint(since, self.now) for _ in range(drawn.randint(0, 5)))
        starts, shares = [self.first_seen[address], *later], [drawn.randint(70, 140) for _ in later]
        return [
            PricePoint(
                start, record.price_per_gib * share // 100, record.price_per_hour * share // 100
            )
            for start, share in zip(starts, [*shares, 100], strict=True)
        ]

    async def history(self, since: int, step: int) -> Sequence[Statistics]:
        drawn, everybody = random.Random(1), list(self.candidates.values())
        share, moments = 0.45, []
        for at in range(since + step, self.now + 1, step):
            share = min(1.0, share + drawn.uniform(-0.015, 0.028))
            moments.append(statistics_of(everybody[: max(1, int(len(everybody) * share))], at))
        return moments

    async def changes(self) -> AsyncIterator[Change]:
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    @property
    def listened_to(self) -> bool:
        """Whether a listener reads ``changes``."""
        return bool(self._listeners)

    def _change(self, provider: Provider, heartbeat: object) -> None:
        found = self.candidates[provider.address]
        entry = Entry(found.entry.record, heartbeat)  # type: ignore[arg-type]
        self.candidates[provider.address] = replace(found, entry=entry)

    def _tell(self, kind: ChangeKind, provider: bytes) -> None:
        self.version += 1
        for queue in self._listeners:
            queue.put_nowait(Change(self.version, kind, provider))


def fair(count: int, now: int = NOW) -> tuple[Fair, list[Provider]]:
    """Make so many providers; some are silent, some full, some verified."""
    built, providers = Fair(now), []
    for number in range(1, count + 1):
        drawn = random.Random(number)
        provider = Provider(number)
        provider.address = drawn.randbytes(20)
        providers.append(provider)
        country = drawn.choice(COUNTRIES)
        slots = drawn.choice((8, 16, 32, 50, 100, 250))
        record = provider.record(
            now - drawn.randint(1, 20) * HOUR // 30,
            provider=provider.address,
            price_per_gib=drawn.randint(8, 90) * 1000,
            price_per_hour=drawn.choice((0, 500, 1000, 2000, 5000)),
            slots=slots,
            claimed_country=country,
            services=Service.EXIT | (Service.RELAY if drawn.random() < 0.3 else 0),
            refused_ports=(PortRange(25, 25),) if drawn.random() < 0.6 else (),
        )
        silent = drawn.random() < 0.08
        free = 0 if drawn.random() < 0.07 else drawn.randint(1, slots)
        heartbeat = None if silent else provider.heartbeat(now - drawn.randint(0, 5000), free)
        listing = replace(
            provider.listing(drawn.randint(5, 400) * 100 * 10**6),
            slots=slots,
            verified_country=country if drawn.random() < 0.4 else b"",
        )
        uptime = None if number % 29 == 0 else 1_000_000 - int(drawn.expovariate(1 / 6000))
        built.add(
            provider,
            Candidate(Entry(record, heartbeat), listing, uptime),
            known_for=drawn.randint(2, 60) * DAY,
        )
    return built, providers


@dataclass
class Book:
    """``Orders`` that the test sets."""

    held: dict[bytes, list[OrderView]] = field(default_factory=dict)

    async def of(self, account: bytes) -> Sequence[OrderView]:
        return self.held.get(account, [])


def orders_of(account: bytes, providers: Sequence[Provider], now: int = NOW) -> list[OrderView]:
    """Make some channels that the account pays, and some that pay it."""
    drawn = random.Random(account)
    found = []
    for index, provider in enumerate(providers):
        deposit = drawn.randint(1, 20) * 10**6
        state = (OrderState.OPEN, OrderState.CLOSED, OrderState.CLOSING)[index % 3]
        claimed = drawn.randint(0, deposit)
        pays = index % 4 != 3
        found.append(
            OrderView(
                channel=drawn.randbytes(32),
                payer=account if pays else provider.address,
                payee=provider.address if pays else account,
                deposit=deposit,
                claimed=claimed,
                refunded=deposit - claimed if state is OrderState.CLOSED else 0,
                state=state,
                opened_at=now - index * 3 * DAY,
            )
        )
    return found
