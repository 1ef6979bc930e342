# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The catalogue compared with what was gathered; the test moves its clock."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fs_net.core.matching import Candidate, Order, Wishes, match
from fs_net.core.records import HEARTBEAT_LIFETIME
from fs_net.fullnode.catalogue import Catalogue, Change, ChangeKind, PricePoint, Statistics
from fs_net.fullnode.live import LiveCatalogue, Remembered
from fs_net.fullnode.uptime import BUCKET, DAY
from tests.net.fullnode.scene import Node, world
from tests.net.world import HOUR, NOW, Chain, Provider
from tests.walks import examples

MILLION = 1_000_000
EVENTS = "record", "heartbeat", "time", "unstake", "stake", "nothing"


class Past:
    """A store in memory."""

    def __init__(self) -> None:
        self.records: dict[bytes, Remembered] = {}
        self.prices: dict[bytes, list[PricePoint]] = {}
        self.days: dict[tuple[bytes, int], bytes] = {}
        self.statistics: list[Statistics] = []

    def note_record(self, provider: bytes, sequence: int, raw: bytes, first_seen: int) -> None:
        self.records[provider] = Remembered(raw, first_seen)

    def note_price(self, provider: bytes, price: PricePoint) -> None:
        self.prices.setdefault(provider, []).append(price)

    def note_uptime(self, provider: bytes, day: int, shares: bytes) -> None:
        self.days[provider, day] = shares

    def note_statistics(self, statistics: Statistics) -> None:
        self.statistics.append(statistics)

    async def read_uptime(self, provider: bytes, first_day: int) -> dict[int, bytes]:
        return {
            day: shares
            for (whose, day), shares in self.days.items()
            if whose == provider and day >= first_day
        }

    async def read_prices(self, provider: bytes, since: int) -> list[PricePoint]:
        return self.prices.get(provider, [])

    async def read_statistics(self, since: int, step: int) -> list[Statistics]:
        return [each for each in self.statistics if each.at >= since]


class Scene:
    """The catalogue of a full node; ``pass_time`` looks as often as a real full node does."""

    def __init__(self, chain: Chain, now: int = NOW) -> None:
        self.node, self.past = Node(chain), Past()
        self.node.now = now
        self.catalogue = LiveCatalogue(self.node.gatherer, self.past)
        self.catalogue.restore((), now)
        self.changes: Sequence[Change] = ()
        self._listener = self.catalogue.listeners.add()

    def look(self) -> list[tuple[ChangeKind, bytes]]:
        """Return the changes of this look, as a listener hears them."""
        self.catalogue.look(self.node.now)
        told = list(self._listener._waiting.values())
        self._listener._waiting.clear()
        assert all(each.version == self.catalogue.version for each in told)
        return [(each.kind, each.provider) for each in told]

    def pass_time(self, ms: int, *alive: Provider) -> None:
        end = self.node.now + ms
        while self.node.now < end:
            self.node.now = min(end, self.node.now + 5000)
            self.node.take(*(each.heartbeat(self.node.now) for each in alive))
            self.look()


def test_a_provider_comes_speaks_falls_silent_and_goes() -> None:
    chain, (bob,) = world(1)
    scene = Scene(chain)
    catalogue: Catalogue = scene.catalogue
    scene.node.take(bob.record())
    versions = [catalogue.version]
    assert scene.look() == [(ChangeKind.RECORD, bob.address)]
    versions.append(catalogue.version)
    assert catalogue.search(Wishes(), Order.BEST) == []
    scene.node.take(bob.heartbeat())
    assert scene.look() == [(ChangeKind.HEARTBEAT, bob.address)]
    versions.append(catalogue.version)
    assert len(catalogue.search(Wishes(), Order.BEST)) == 1
    assert scene.look() == []
    assert catalogue.version == versions[-1]
    scene.node.now += HEARTBEAT_LIFETIME + 1000
    assert scene.look() == [(ChangeKind.SILENT, bob.address)]
    versions.append(catalogue.version)
    scene.node.now += HOUR
    assert scene.look() == [(ChangeKind.GONE, bob.address)]
    versions.append(catalogue.version)
    assert versions == sorted(set(versions))
    assert catalogue.provider(bob.address) is None
    assert catalogue.providers() == []


def test_who_loses_its_stake_goes_at_the_next_sweep_and_comes_back() -> None:
    chain, (bob,) = world(1)
    scene = Scene(chain)
    scene.node.take(bob.record(), bob.heartbeat())
    scene.look()
    listing = chain.listings.pop(bob.address)
    scene.node.now += 5000
    assert scene.look() == [(ChangeKind.GONE, bob.address)]
    chain.listings[bob.address] = replace(listing, stake=5)
    scene.node.now += 5000
    assert scene.look() == [(ChangeKind.RECORD, bob.address)]
    chain.listings[bob.address] = replace(listing, stake=6)
    scene.node.now += 5000
    assert scene.look() == [(ChangeKind.RECORD, bob.address)]
    view = scene.catalogue.provider(bob.address)
    assert view is not None
    assert view.candidate.listing.stake == 6
    assert view.first_seen == NOW


@settings(max_examples=examples(40))
@given(st.data())
def test_answers_are_those_that_are_made_anew(data: st.DataObject) -> None:
    """Whatever happens in between, a cached answer is never older than its version."""
    chain, providers = world(5)
    scene, told = Scene(chain), dict[int, object]()
    catalogue = scene.catalogue
    for _ in range(data.draw(st.integers(1, 15))):
        bob = data.draw(st.sampled_from(providers))
        what = data.draw(st.sampled_from(EVENTS))
        if what == "record":
            scene.node.take(bob.record(scene.node.now, price_per_gib=data.draw(st.integers(0, 9))))
        elif what == "heartbeat":
            scene.node.take(bob.heartbeat(scene.node.now, data.draw(st.integers(0, 50))))
        elif what == "time":
            scene.node.now += data.draw(st.sampled_from([1000, 5000, HEARTBEAT_LIFETIME, HOUR]))
        elif what == "unstake":
            chain.listings.pop(bob.address, None)
        elif what == "stake":
            chain.listings[bob.address] = bob.listing(data.draw(st.integers(1, 9)))
        scene.look()
        wishes = Wishes(max_per_gib=data.draw(st.sampled_from([None, 4])))
        found = list(catalogue.search(wishes, Order.BEST))
        everybody = catalogue.providers()
        assert found == match(everybody, wishes, Order.BEST)
        assert [each.provider for each in everybody] == sorted(each.provider for each in everybody)
        figures = catalogue.statistics()
        assert figures.providers == len(everybody)
        assert figures.live == sum(each.entry.heartbeat is not None for each in everybody)
        said = (list(everybody), figures)
        assert told.setdefault(catalogue.version, said) == said
    scene.node.now += 5000
    scene.look()
    assert {each.provider for each in catalogue.providers()} == {
        each.address
        for each in providers
        if scene.node.gatherer.candidate(each.address, scene.node.now)
    }


def test_statistics_are_of_who_is_live() -> None:
    chain, (bob, carol, dave) = world(3)
    scene = Scene(chain)
    scene.node.take(
        bob.record(price_per_gib=5, slots=10),
        carol.record(price_per_gib=9, slots=20, claimed_country=b"FR"),
        dave.record(price_per_gib=1),
        bob.heartbeat(free=4),
        carol.heartbeat(free=5),
    )
    scene.look()
    assert scene.catalogue.statistics() == Statistics(
        at=NOW,
        providers=3,
        live=2,
        slots=30,
        free_slots=9,
        stake=3000,
        median_per_gib=5,
        median_per_hour=10**15,
        countries=(("DE", 1), ("FR", 1)),
    )


def test_uptime_is_measured_ranked_by_and_kept() -> None:
    chain, (bob, carol) = world(2)
    start = NOW - NOW % (DAY * BUCKET)
    scene = Scene(chain, start)
    scene.node.take(*(each.record(start, 5 * HOUR) for each in (bob, carol)))
    scene.pass_time(2 * BUCKET, bob, carol)
    scene.pass_time(2 * BUCKET, carol)
    scene.pass_time(10_000, carol)
    catalogue = scene.catalogue
    uptimes = {each.provider: each.uptime for each in catalogue.providers()}
    assert uptimes[carol.address] == MILLION
    # A provider counts as live for 30 s after its last heartbeat.
    measured = uptimes[bob.address]
    assert measured is not None
    assert abs(measured - (MILLION // 2 + MILLION // 40)) < MILLION // 50
    (only,) = catalogue.search(Wishes(min_uptime=900_000), Order.UPTIME)
    assert only.candidate.provider == carol.address
    points = asyncio.run(catalogue.uptime(bob.address, 0, BUCKET))
    assert [point.start for point in points] == [start + n * BUCKET for n in range(5)]
    assert [point.share for point in points[:2]] == [MILLION, MILLION]
    assert points[3].share == 0
    (whole,) = asyncio.run(catalogue.uptime(bob.address, start, DAY * BUCKET))
    assert whole.start == start
    assert set(scene.past.days) == {
        (bob.address, start // BUCKET // DAY),
        (carol.address, start // BUCKET // DAY),
    }


def test_prices_are_noted_when_they_change_and_once_a_minute() -> None:
    chain, (bob,) = world(1)
    minute = NOW - NOW % 60_000
    scene = Scene(chain, minute)
    for when, price in ((0, 5), (1, 5), (60_000, 6), (60_001, 7), (60_002, 6), (180_000, 6)):
        scene.node.now = minute + when
        scene.node.take(bob.record(scene.node.now, price_per_gib=price, price_per_hour=1))
        scene.look()
    starts = [(each.start - minute, each.per_gib) for each in scene.past.prices[bob.address]]
    assert starts == [(0, 5), (60_000, 6), (60_000, 7), (60_000, 6)]
    assert asyncio.run(scene.catalogue.prices(bob.address, 0)) == scene.past.prices[bob.address]


def test_a_restart_takes_up_what_was_and_notes_nothing_twice() -> None:
    chain, (bob, carol) = world(2)
    first = Scene(chain)
    first.node.take(bob.record(NOW, price_per_gib=5), carol.record())
    first.look()
    del chain.listings[carol.address]
    second = Scene(chain)
    second.catalogue.restore(list(first.past.records.values()), NOW + 1000)
    view = second.catalogue.provider(bob.address)
    assert view is not None
    assert view.first_seen == NOW
    assert second.catalogue.provider(carol.address) is None
    assert second.past.prices == {}
    second.node.now = NOW + 2000
    second.node.take(bob.record(NOW + 2000, price_per_gib=6))
    second.look()
    assert [each.per_gib for each in second.past.prices[bob.address]] == [6]
    assert second.past.records[bob.address].first_seen == NOW


def test_the_history_of_the_network_has_the_last_of_each_interval() -> None:
    chain, (bob,) = world(1)
    start = NOW - NOW % HOUR
    scene = Scene(chain, start)
    scene.node.take(bob.record(start, 10 * HOUR))
    scene.pass_time(2 * HOUR + 10_000, bob)
    told = asyncio.run(scene.catalogue.history(0, HOUR))
    assert [each.at // HOUR - start // HOUR for each in told] == [0, 1, 2]
    assert [each.live for each in told] == [1, 1, 1]
    assert told[-1] == scene.catalogue.statistics()


def test_who_listens_hears_all_and_the_slow_hear_the_latest() -> None:
    chain, (bob, carol) = world(2)
    scene = Scene(chain)

    async def play() -> None:
        quick, slow = scene.catalogue.changes(), scene.catalogue.changes()
        scene.node.take(bob.record(), carol.record())
        scene.look()
        assert {(await anext(quick)).provider for _ in range(2)} == {bob.address, carol.address}
        scene.node.take(bob.heartbeat(NOW + 1))
        scene.look()
        assert (await anext(quick)).kind is ChangeKind.HEARTBEAT
        waiting = asyncio.ensure_future(anext(quick))
        await asyncio.sleep(0)
        assert not waiting.done()
        scene.node.take(carol.heartbeat(NOW + 1))
        scene.look()
        assert (await waiting).provider == carol.address
        told = [await anext(slow) for _ in range(2)]
        # Later heartbeats do not hide that the record changed.
        assert {(each.kind, each.provider) for each in told} == {
            (ChangeKind.RECORD, bob.address),
            (ChangeKind.RECORD, carol.address),
        }
        assert max(each.version for each in told) == scene.catalogue.version

    asyncio.run(play())


def test_who_does_not_listen_any_more_is_forgotten() -> None:
    chain, _ = world(1)
    scene = Scene(chain)
    before = len(scene.catalogue.listeners)
    listener = scene.catalogue.changes()
    assert len(scene.catalogue.listeners) == before + 1
    del listener
    assert len(scene.catalogue.listeners) == before


def test_a_ranking_is_made_once_for_all_who_ask() -> None:
    chain, (bob,) = world(1)
    scene = Scene(chain)
    scene.node.take(bob.record(), bob.heartbeat())
    scene.look()
    catalogue = scene.catalogue
    found = catalogue.search(Wishes(), Order.BEST)
    assert catalogue.search(Wishes(), Order.BEST) is found
    assert catalogue.search(Wishes(), Order.PRICE) is not found
    for price in range(1000):
        catalogue.search(Wishes(max_per_gib=price), Order.BEST)
    assert len(catalogue._rankings) <= 64
    assert isinstance(found[0].candidate, Candidate)
