# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Full nodes on loopback: all learn what one hears, even after a partition."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fs_net.bridge import Settings
from fs_net.core import batch
from fs_net.core.matching import Wishes
from fs_net.core.questions import (
    Deliver,
    Delivered,
    Find,
    Found,
    Message,
    parse_untrusted,
    serialize,
)
from fs_net.errors import HostFailed, HostTimeout
from fs_net.fullnode.full_node import FullNode, Pace
from fs_net.fullnode.store import Store, parse_url
from fs_net.host import Host
from tests.net.fullnode.scene import as_batch, world
from tests.net.test_host import Program
from tests.net.world import HOUR, NETWORK, NOW, Chain, Provider
from tools.testing import patience

QUICK = Pace(look=0.1, write=0.2, meet=0.2, search=1.0, compare=1.0)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), patience.seconds(120)))


async def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(patience.seconds(seconds)):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.02)


@asynccontextmanager
async def full_node(
    folder: Path, chain: Chain, *bootstrap: str, pace: Pace = QUICK
) -> AsyncIterator[FullNode]:
    """Run a full node whose clock stands still."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - of a disk that is near
    listen = ("/ip4/127.0.0.1/tcp/0",)
    topics = (batch.topic(NETWORK),)
    settings = Settings(str(folder), NETWORK, listen, bootstrap, True, topics)
    url = parse_url(f"sqlite:///{folder / 'store'}")
    async with (
        Store(url, NETWORK) as store,
        FullNode(settings, chain, store, pace, clock=lambda: NOW) as node,
    ):
        yield node


@asynccontextmanager
async def provider_host(folder: Path) -> AsyncIterator[Host]:
    host = Host(Settings(str(folder), NETWORK, ("/ip4/127.0.0.1/tcp/0",)), Program())
    await host.start()
    try:
        yield host
    finally:
        await host.close()


async def answer_of(node: FullNode, host: Host, question: Message) -> Message:
    """Ask as real peers do, who dial and ask again if no answer comes; the scene has a deadline."""
    while True:
        with contextlib.suppress(HostFailed, HostTimeout):
            await host.connect(await address_of(node))
            return parse_untrusted(await host.ask(node.host.peer, serialize(question)))
        await asyncio.sleep(0.1)


async def address_of(node: FullNode) -> str:
    return str((await node.host.info())["addresses"][0])


def known(node: FullNode) -> set[bytes]:
    return {each.provider for each in node.catalogue.providers()}


def test_what_a_provider_tells_one_is_known_to_all(tmp_path: Path) -> None:
    async def scene() -> None:
        chain, (bob,) = world(1)
        async with (
            full_node(tmp_path / "a", chain) as a,
            full_node(tmp_path / "b", chain, await address_of(a)) as b,
            provider_host(tmp_path / "bob") as host,
        ):
            await eventually(lambda: a.neighbours.connected and b.neighbours.connected)
            await host.connect(await address_of(a))
            question = serialize(Deliver(as_batch(bob.record())))
            answer = parse_untrusted(await host.ask(a.host.peer, question))
            assert answer == Delivered((0,))
            await host.send(a.host.peer, bob.heartbeat(free=3).raw)
            await eventually(lambda: b.catalogue.statistics().free_slots == 3)
            await host.connect(await address_of(b))
            found = parse_untrusted(await host.ask(b.host.peer, serialize(Find.of(Wishes()))))
            assert isinstance(found, Found)
            assert [found.total, found.hits[0].record] == [1, as_record(b, bob)]

    play(scene)


def as_record(node: FullNode, provider: Provider) -> bytes:
    record = node.gatherer.index.records.get(provider.address)
    assert record is not None
    return record.raw


def test_a_partition_heals(tmp_path: Path) -> None:
    """Each side hears of other providers, and of a later record of one shared provider."""

    async def scene() -> None:
        chain, providers = world(120)
        async with (
            full_node(tmp_path / "a", chain) as a,
            full_node(tmp_path / "b", chain) as b,
            full_node(tmp_path / "c", chain, await address_of(b)) as c,
        ):
            await eventually(lambda: b.neighbours.connected and c.neighbours.connected)
            for number, bob in enumerate(providers):
                side = (a, b, c)[number % 3]
                side.gatherer.take_batch(b"bob", as_batch(bob.record()), NOW)
            both, later = providers[0], providers[0].record(NOW + 2)
            b.gatherer.take_batch(b"bob", as_batch(later), NOW)
            await eventually(lambda: len(known(b)) == len(known(c)) == 81)
            assert len(known(a)) == 40
            await b.host.connect(await address_of(a))
            await eventually(lambda: len(known(a)) == len(known(b)) == len(known(c)) == 120)
            for node in (a, b, c):
                assert node.gatherer.index.records.get(both.address) == later

            # The connection breaks once more, and is opened again without help.
            await a.host.disconnect(b.host.peer)
            await eventually(lambda: b.host.peer in a.neighbours.connected)

    play(scene)


def test_what_was_taken_is_there_after_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        chain, providers = world(3)
        bob, carol, dave = providers
        async with full_node(tmp_path / "a", chain) as a:
            said = [each.record(lifetime=HOUR) for each in providers]
            a.gatherer.take_batch(b"bob", as_batch(*said), NOW)
            peer = a.host.peer
        del chain.listings[carol.address]
        async with full_node(tmp_path / "a", chain) as a:
            assert a.host.peer == peer
            assert known(a) == {bob.address, dave.address}

    play(scene)


def test_the_dht_stores_for_whoever_is_listed(tmp_path: Path) -> None:
    """A restarted network process does the same."""

    async def scene() -> None:
        chain, (bob, carol) = world(2)
        del chain.listings[carol.address]

        async def is_found(each: Provider) -> bool:
            key = bytes(each.keys.node.verify_key)
            async with provider_host(tmp_path / "bob") as bob, provider_host(tmp_path / "c") as c:
                for host in (bob, c):
                    await host.connect(await address_of(a))
                is_stored = await bob.put_record(key, each.record().raw, 2)
                is_found = await c.get_record(key, 2) is not None
                assert is_found or not is_stored
                return is_found

        async with provider_host(tmp_path / "alone") as alone:
            key = bytes(bob.keys.node.verify_key)
            assert not await alone.put_record(key, bob.record().raw, 2)
        async with full_node(tmp_path / "a", chain) as a:
            await eventually(lambda: a._listed)
            assert await is_found(bob)
            assert a.host.pid
            os.kill(a.host.pid, signal.SIGKILL)
            await eventually(lambda: a.host.starts == 2)
            await a.host.wait_ready()
            assert await is_found(bob)
            assert not await is_found(carol)
            chain.listings[carol.address] = carol.listing()
            await eventually(lambda: len(a._listed) == 2)
            assert await is_found(carol)

    play(scene)
