# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""From which of the found providers a tunnel is bought, and in which order."""

import asyncio
from typing import Any

import click
import pytest

from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_net.core.index import Entry
from fs_net.core.matching import Candidate, Order, Wishes, match
from fs_net.core.records import Service
from fs_tunnel.roles.client import choosing, finding
from fs_tunnel.roles.client.choosing import choose
from fs_tunnel.roles.client.finding import Finding, NodeSaid, Query
from fs_tunnel.roles.client.purchase import Looking
from fs_wire.errors import UsageError
from tests.net.world import Provider

ANYBODY = Looking((), 0, (), (), "price", (), choose=False)
HONEST = NodeSaid("/a", 2, 2, True, (), (), {})


class Market:
    token = Token("FST", 6, Address(bytes(20)))
    chain = settings = None


class Scene:
    """Takes the place of a search that finds providers with these prices."""

    def __init__(self, prices: list[int]) -> None:
        self.asked: list[Query] = []
        self._prices = prices

    async def search(self, query: Query, *_: Any) -> Finding:
        self.asked.append(query)
        found = [
            Candidate(Entry(each.record(price_per_gib=price), each.heartbeat()), each.listing())
            for number, price in enumerate(self._prices, 1)
            for each in [Provider(number)]
        ]
        return Finding(match(found, Wishes(), Order.PRICE), [HONEST] * 2, {}, used_dht=False)

    def choose(self, looking: Looking = ANYBODY, provider: Address | None = None) -> list[int]:
        """Return the numbers of the providers to ask, in their order."""
        market: Any = Market()
        records = asyncio.run(choose(market, looking, Price(10**18, 10**17), provider, None, 0))
        return [int.from_bytes(each.content.provider, "big") for each in records]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene([30, 10, 20])
    monkeypatch.setattr(finding, "search", made.search)
    return made


def test_the_first_is_asked_first_and_the_others_follow(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scene.choose() == [2, 3, 1]
    assert "cheapest of 3" in capsys.readouterr().out
    (query,) = scene.asked
    assert (query.wishes.max_per_gib, query.wishes.max_per_hour) == (10**18, 10**17)
    assert query.order is Order.PRICE and query.provider is None


def test_the_chosen_one_comes_before_them(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Looking((), 0, (), (), "price", (), choose=True)
    with pytest.raises(UsageError, match="leave out --choose"):
        scene.choose(looking)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "prompt", lambda *_, **__: 3)
    assert scene.choose(looking) == [1, 2, 3]


def test_one_that_is_named_is_whatever_it_is(scene: Scene) -> None:
    address = Address(bytes(20))
    scene.choose(provider=address)
    (query,) = scene.asked
    assert query.provider == address
    assert query.wishes.services == Service(0) and query.wishes.min_free_slots == 0


def test_where_nobody_is_found_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([])
    monkeypatch.setattr(finding, "search", scene.search)
    with pytest.raises(MarketError, match="no provider matches"):
        scene.choose()
    with pytest.raises(MarketError, match="no record of 0x"):
        scene.choose(provider=Address(bytes(20)))


def test_a_price_is_above_nothing() -> None:
    def found(per_gib: int, per_hour: int) -> bool:
        record = Provider(1).record(price_per_gib=per_gib, price_per_hour=per_hour)
        candidate = Candidate(Entry(record, Provider(1).heartbeat()), Provider(1).listing())
        return choosing._has_price(match([candidate], Wishes())[0])

    assert found(1, 0) and found(0, 1)
    assert not found(0, 0)


def test_no_more_are_kept_than_have_a_use(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Scene(list(range(1, 101)))
    monkeypatch.setattr(finding, "search", many.search)
    assert many.choose() == list(range(1, 17))
