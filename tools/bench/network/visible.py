# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How long it takes until every full node shows a new provider.

Each full node is complete: its own network process, index and store, at the usual pace. It knows a
few others from its settings and finds the rest. The provider tells three of them.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from fs_net.bridge import Decision, Settings
from fs_net.core.batch import Outbox, topic
from fs_net.core.questions import Deliver, Delivered, parse_untrusted, serialize
from fs_net.fullnode.full_node import FullNode
from fs_net.fullnode.store import Store, parse_url
from fs_net.host import Host
from tests.net.world import HOUR, NETWORK, Chain, Provider, resident
from tools.bench.figures import Sample

NODES = 30
PROVIDERS = 10  # one after another
_TOLD = 3  # full nodes that each provider tells
_KNOWN = 3  # other full nodes that each full node knows at first
_PATIENCE = 120.0  # s
_LISTEN = ("/ip4/127.0.0.1/tcp/0",)


class Nobody:
    """Handlers of a provider, which ignores everything."""

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        return Decision.IGNORE

    def on_message(self, peer: bytes, message: bytes) -> None: ...

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        return b""


def measure(folder: Path) -> Sample:
    """Measure; raises TimeoutError if full nodes don't connect, or a provider is not seen."""
    until_half, until_all, memory = asyncio.run(_measure(folder))
    yield "visible_half", statistics.median(until_half)
    yield "visible", statistics.median(until_all)
    yield "visible_worst", max(until_all)
    yield "memory_node", statistics.mean(memory) / 2**20


async def _measure(folder: Path) -> tuple[list[float], list[float], list[int]]:
    providers = [Provider(number) for number in range(1, PROVIDERS + 1)]
    chain = Chain({each.address: each.listing() for each in providers})
    async with AsyncExitStack() as stack:
        nodes: list[FullNode] = []
        addresses: list[str] = []
        for number in range(NODES):
            known = tuple(dict.fromkeys((*addresses[:1], *addresses[1 - _KNOWN :])))
            node = await _full_node(stack, folder / f"node{number}", chain, known)
            nodes.append(node)
            addresses.append((await node.host.info())["addresses"][0])
        async with asyncio.timeout(_PATIENCE):
            while not all(len(each.neighbours.connected) >= 2 for each in nodes):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        settings = Settings(str(folder / "provider"), NETWORK, _LISTEN)
        host = Host(settings, Nobody())
        await host.start()
        stack.push_async_callback(host.close)
        told = [await host.connect(each) for each in addresses[-_TOLD:]]
        times = [await _seen(host, told, each, nodes) for each in providers]
        memory = [resident(each.host.pid) for each in nodes if each.host.pid]
    halves, wholes = zip(*times, strict=True)
    return list(halves), list(wholes), memory


async def _full_node(
    stack: AsyncExitStack, folder: Path, chain: Chain, known: tuple[str, ...]
) -> FullNode:
    folder.mkdir()  # noqa: ASYNC240 - a local disk
    settings = Settings(str(folder), NETWORK, _LISTEN, known, True, (topic(NETWORK),))
    store = await stack.enter_async_context(Store(parse_url(f"sqlite:///{folder / 'db'}"), NETWORK))
    return await stack.enter_async_context(FullNode(settings, chain, store))


async def _seen(
    host: Host, told: list[bytes], provider: Provider, nodes: list[FullNode]
) -> tuple[float, float]:
    """Return the seconds until half of the full nodes show the provider, and until all do."""
    now = time.time_ns() // 10**6
    outbox = Outbox()
    outbox.add(provider.record(now, HOUR))
    outbox.add(provider.heartbeat(now))
    (batch,) = outbox.drain()
    began, half = time.monotonic(), 0.0
    for peer in told:
        answer = parse_untrusted(await host.ask(peer, serialize(Deliver(batch))))
        assert isinstance(answer, Delivered), "the full node refuses the record"
    async with asyncio.timeout(_PATIENCE):
        while (count := sum(map(_shows(provider), nodes))) < len(nodes):
            if not half and 2 * count >= len(nodes):
                half = time.monotonic() - began
            await asyncio.sleep(0.02)
    whole = time.monotonic() - began
    return half or whole, whole


def _shows(provider: Provider) -> Callable[[FullNode], bool]:
    def shows(node: FullNode) -> bool:
        view = node.catalogue.provider(provider.address)
        return view is not None and view.candidate.entry.heartbeat is not None

    return shows
