# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A search on loopback: real hosts, full nodes of which some lie, and a chain in memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from fs_net.bridge import Decision, Settings
from fs_net.core import batch
from fs_net.core.discovery import GRACE, Discovery, Listings, Outcome
from fs_net.core.matching import Order, Wishes
from fs_net.core.records import sign
from fs_net.discovery import Search
from fs_net.errors import NetError, Reason
from fs_net.fullnode.full_node import FullNode as RealFullNode
from fs_net.fullnode.full_node import Pace
from fs_net.fullnode.store import Store, parse_url
from fs_net.host import Host
from fs_net.ports import Listing
from tests.net.answering import LISTEN, FullNode, serving
from tests.net.fullnode.scene import as_batch
from tests.net.world import NETWORK, Chain, Provider
from tools.testing import patience


def now() -> int:
    return time.time_ns() // 1_000_000


class Asked:
    """The chain, and the questions that it was asked."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.looked_up: list[bytes] = []
        self.scans = 0

    async def listings(self, providers: Sequence[bytes]) -> Mapping[bytes, Listing | None]:
        self.looked_up += providers
        return {each: self._chain.listing(each) for each in providers}

    async def all_listings(self) -> Mapping[bytes, Listing]:
        self.scans += 1
        return self._chain.listings


class Nobody:
    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        return Decision.IGNORE

    def on_message(self, peer: bytes, message: bytes) -> None: ...

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        return b""


class Scene:
    """Three providers; each full node that is made knows all of them."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder, self._stack, self._count = folder, stack, 0
        self.crowd = [Provider(number) for number in (1, 2, 3)]
        self.chain = Chain({each.address: each.listing() for each in self.crowd})
        at = now() - 2 * GRACE
        self.before = [each.record(at - GRACE) for each in self.crowd]
        self.records = [
            each.record(at, price_per_gib=number * 10**15)
            for number, each in enumerate(self.crowd, 1)
        ]
        self.asked = Asked(self.chain)
        self.progress: list[str] = []

    async def full_node(self, bootstrap: Sequence[str] = ()) -> tuple[FullNode, Host, str]:
        self._count += 1
        node = FullNode(self.chain, now, NETWORK)
        node.give(
            [each.raw for each in self.records],
            [each.heartbeat(now()).raw for each in self.crowd],
        )
        folder = self._folder / str(self._count)
        host, address = await self._stack.enter_async_context(
            serving(folder, node, bootstrap=bootstrap)
        )
        return node, host, address

    async def search(
        self,
        named: Sequence[str],
        wishes: Wishes = Wishes(),  # noqa: B008 - it is frozen
        *,
        only_named: bool = True,
        find: bytes = b"",
    ) -> tuple[Search, Outcome]:
        self._count += 1
        folder = str(self._folder / str(self._count))
        settings = Settings(folder, NETWORK, (), max_connections=50, named=tuple(named))
        host = Host(settings, Nobody())
        await host.start()
        try:
            listings = Listings()
            discovery = Discovery(wishes, Order.PRICE, NETWORK, listings)
            search = Search(host, discovery, listings, self.asked, Random(1))
            if find:
                await search.find(find, named)
            else:
                await search.run(named, only_named=only_named, tell=self.progress.append)
            return search, discovery.outcome(now())
        finally:
            await host.close()


@asynccontextmanager
async def scene_in(folder: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield Scene(folder, stack)


def play(folder: Path, act: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(patience.seconds(90)), scene_in(folder) as scene:
            await act(scene)

    asyncio.run(main())


def test_several_are_asked_and_each_liar_is_named(tmp_path: Path) -> None:
    """One withholds a provider. Another shows a replaced record, and forges a cheaper one."""

    async def act(scene: Scene) -> None:
        honest, _, first = await scene.full_node()
        honest.uptimes[scene.crowd[0].address] = 998_000
        withholding, _, second = await scene.full_node()
        withholding.lie = lambda hits: hits[2:]
        forging, _, third = await scene.full_node()
        cheaper = replace(scene.records[1].content, price_per_gib=1, sequence=now())
        forged = sign(cheaper, Provider(99).keys.node, NETWORK)
        forging.lie = lambda hits: [
            replace(hits[0], record=scene.before[0].raw),
            replace(hits[1], record=forged.raw),
            hits[2],
        ]
        search, outcome = await scene.search([first, second, third])
        assert [each.candidate.entry.record for each in outcome.matches] == scene.records
        assert outcome.matches[0].candidate.uptime == 998_000
        reports = {search.names[each.node]: each for each in outcome.reports}
        assert set(reports) == {first, second, third}
        assert not reports[first].is_suspect
        assert set(reports[second].missing) == {each.address for each in scene.crowd[:2]}
        assert reports[third].older == (scene.crowd[0].address,)
        assert reports[third].refused == {Reason.BAD_SIGNATURE: 1}
        assert sorted(scene.asked.looked_up) == [each.address for each in scene.crowd]
        assert scene.asked.scans == 0 and not search.used_dht

    play(tmp_path, act)


def test_wishes_and_order_travel(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        node, _, address = await scene.full_node()
        wishes = Wishes(max_per_gib=2 * 10**15, min_uptime=500_000)
        node.uptimes = {scene.crowd[1].address: 600_000, scene.crowd[2].address: 900_000}
        _, outcome = await scene.search([address], wishes)
        (found,) = outcome.matches
        assert found.candidate.provider == scene.crowd[1].address
        (asked,) = node.asked
        assert asked.order is Order.PRICE
        assert asked.wishes == replace(wishes, min_uptime=0)

    play(tmp_path, act)


def test_others_are_found_through_the_one_that_is_named(tmp_path: Path) -> None:
    """It withholds all providers, but still serves the DHT's full nodes."""

    async def act(scene: Scene) -> None:
        lying, _, first = await scene.full_node()
        lying.lie = lambda _: []
        honest, _, _ = await scene.full_node([first])
        while not honest.asked:  # a full node announces itself in the DHT when it has met another
            search, outcome = await scene.search([first], only_named=False)
        assert len(outcome.matches) == 3
        assert len(honest.asked) == 1
        (report,) = [each for each in outcome.reports if search.names[each.node] == first]
        assert len(report.missing) == 3

    play(tmp_path, act)


def test_a_node_that_is_dead_or_mute_holds_up_nobody(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        _, _, good = await scene.full_node()
        mute, _, second = await scene.full_node()
        mute.declines = True
        _, gone, third = await scene.full_node()
        await gone.close()
        search, outcome = await scene.search([good, second, third])
        assert len(outcome.matches) == 3
        assert set(search.failed) == {second, third}
        assert search.failed[second] == "it declined to answer"
        assert len(outcome.reports) == 1

    play(tmp_path, act)


async def looked_up(scene: Scene, address: str, provider: Provider) -> Outcome:
    """Search for one provider until it is found: a lookup in the DHT may end before its answer."""
    while True:
        _, outcome = await scene.search([address], find=provider.address)
        if outcome.matches:
            return outcome


def test_where_no_full_node_answers_the_dht_does(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        mute, host, address = await scene.full_node()
        mute.declines = True
        other, _, _ = await scene.full_node([address])
        other.declines = True
        for provider, record in zip(scene.crowd[:2], scene.records[:2], strict=True):
            key = bytes(provider.keys.node.verify_key)
            while await host.get_record(key, 3) is None:
                await host.put_record(key, record.raw, 3)
        search, outcome = await scene.search([address], only_named=False)
        assert search.used_dht and scene.asked.scans == 1
        assert [each.candidate.entry.record for each in outcome.matches] == scene.records[:2]
        assert all(each.candidate.entry.heartbeat is None for each in outcome.matches)
        # Search for only one of them, by its address.
        outcome = await looked_up(scene, address, scene.crowd[1])
        (found,) = outcome.matches
        assert found.candidate.entry.record == scene.records[1]
        _, outcome = await scene.search([address], find=b"\x09" * 20)
        assert outcome.matches == []

    play(tmp_path, act)


def test_it_is_said_where_nobody_is_reached(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        _, gone, address = await scene.full_node()
        await gone.close()
        with pytest.raises(NetError, match=r"no full node can be reached .*--full-node"):
            await scene.search([address])

    play(tmp_path, act)


def test_a_full_node_of_ours_answers_page_by_page_in_the_order_that_is_wanted(
    tmp_path: Path,
) -> None:
    """It knows forty providers, and shows thirty-two at a time."""

    async def act(scene: Scene) -> None:
        crowd = [Provider(number) for number in range(1, 41)]
        scene.chain.listings.update({each.address: each.listing() for each in crowd})
        topics = (batch.topic(NETWORK),)
        folder = tmp_path / "real"
        settings = Settings(str(folder), NETWORK, LISTEN, (), True, topics)
        url = parse_url(f"sqlite:///{tmp_path / 'store'}")
        async with (
            Store(url, NETWORK) as store,
            RealFullNode(settings, scene.chain, store, Pace(look=0.1)) as node,
        ):
            for number, each in enumerate(crowd):
                dear = each.record(now() - 2 * GRACE, price_per_gib=(number * 7 % 40 + 1) * 10**15)
                node.gatherer.take_batch(b"them", as_batch(dear, each.heartbeat(now())), now())
            while len(node.catalogue.providers()) < 40:  # noqa: ASYNC110 - it needs another look
                await asyncio.sleep(0.02)
            address = (await node.host.info())["addresses"][0]
            _, outcome = await scene.search([address])
        prices = [each.candidate.entry.record.content.price_per_gib for each in outcome.matches]
        assert prices == [number * 10**15 for number in range(1, 41)]
        (report,) = outcome.reports
        assert report.is_complete and not report.is_suspect

    play(tmp_path, act)
