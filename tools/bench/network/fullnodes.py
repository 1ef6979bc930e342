# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node with many providers: its speed and memory, and how soon a split network heals."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

from fs_net.bridge import Decision, Settings
from fs_net.core import batch
from fs_net.core.batch import Outbox
from fs_net.core.matching import Order, Wishes
from fs_net.core.records import HEARTBEAT_INTERVAL, SignedContent
from fs_net.fullnode.full_node import FullNode
from fs_net.fullnode.gatherer import Gatherer
from fs_net.fullnode.live import LiveCatalogue
from fs_net.fullnode.store import Store, parse_url
from tests.net.world import NETWORK, NOW, Chain, Provider, resident
from tools.bench.figures import Sample

PROVIDERS = 10_000
APART = 2_000  # records; each side has half of them
_PATIENCE = 120.0  # s
_LOOKS = HEARTBEAT_INTERVAL // 1000


def measure(folder: Path) -> Sample:
    """Measure; raises AssertionError if the full nodes do not agree in time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as other:
        taken, ranked, mib = other.submit(_gathered, folder / "gathered").result()
    yield "taken", taken
    yield "ranked", ranked
    yield "memory_providers", mib
    yield "converged", asyncio.run(_converged(folder))


def _gathered(folder: Path) -> tuple[float, float, float]:
    """Send each provider's record, then its heartbeats in 5 looks, with a store that writes."""
    folder.mkdir(parents=True)
    providers = [Provider(number) for number in range(1, PROVIDERS + 1)]
    chain = Chain({each.address: each.listing() for each in providers})
    records = [each.record(NOW) for each in providers]
    heartbeats = [each.heartbeat(NOW + 1000) for each in providers]
    before = resident(os.getpid())

    async def play() -> tuple[float, float, float]:
        async with Store(parse_url(f"sqlite:///{folder / 'store'}"), NETWORK) as store:
            gatherer = Gatherer(chain, NETWORK, rate=1e9, burst=1e9)
            catalogue = LiveCatalogue(gatherer, store)
            for data in _batches(records):
                gatherer.take_batch(b"peer", data, NOW)
            catalogue.look(NOW)
            await store.flush(NOW)
            began = time.process_time()
            for look in range(_LOOKS):
                for data in _batches(heartbeats[look::_LOOKS]):
                    assert gatherer.take_gossip(b"peer", data, NOW) is Decision.ACCEPT
                catalogue.look(NOW + 1000 * (look + 1))
                await store.flush(NOW)
            rate = len(heartbeats) / (time.process_time() - began)
            mib = (resident(os.getpid()) - before) / 2**20
            began = time.process_time()
            assert len(catalogue.search(Wishes(), Order.BEST)) == PROVIDERS
            return rate, 1000 * (time.process_time() - began), mib

    return asyncio.run(play())


async def _converged(folder: Path) -> float:
    """Return the seconds from connecting two halves of a network until all full nodes agree."""
    providers = [Provider(number) for number in range(1, APART + 1)]
    chain = Chain({each.address: each.listing() for each in providers})
    async with AsyncExitStack() as stack:
        nodes: list[FullNode] = []
        for name in ("a", "b", "c"):
            bootstrap = (await _address_of(nodes[1]),) if name == "c" else ()
            nodes.append(await _start(stack, folder / name, chain, bootstrap))
        a, b, c = nodes
        async with asyncio.timeout(_PATIENCE):
            while not (b.neighbours.connected and c.neighbours.connected):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            for node, part in ((a, providers[::2]), (b, providers[1::2])):
                for data in _batches([each.record(NOW) for each in part]):
                    node.gatherer.take_batch(b"provider", data, NOW)
            while _known(c) < APART // 2:  # noqa: ASYNC110 - other processes give no event
                await asyncio.sleep(0.05)
            address, began = await _address_of(a), time.monotonic()
            await b.host.connect(address)
            while min(map(_known, nodes)) < APART:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return time.monotonic() - began


async def _start(
    stack: AsyncExitStack, folder: Path, chain: Chain, bootstrap: tuple[str, ...]
) -> FullNode:
    folder.mkdir(parents=True)  # noqa: ASYNC240 - a local disk
    listen, topics = ("/ip4/127.0.0.1/tcp/0",), (batch.topic(NETWORK),)
    settings = Settings(str(folder), NETWORK, listen, bootstrap, True, topics)
    url = parse_url(f"sqlite:///{folder / 'store'}")
    store = await stack.enter_async_context(Store(url, NETWORK))
    return await stack.enter_async_context(FullNode(settings, chain, store, clock=lambda: NOW))


def _batches(said: Sequence[SignedContent]) -> list[bytes]:
    outbox = Outbox()
    for each in said:
        outbox.add(each)
    return list(outbox.drain())


def _known(node: FullNode) -> int:
    return len(node.gatherer.index.records)


async def _address_of(node: FullNode) -> str:
    return str((await node.host.info())["addresses"][0])
