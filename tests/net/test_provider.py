# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider among full nodes, all with real network processes on loopback."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fs_net.bridge import Settings
from fs_net.core.records import ProviderRecord
from fs_net.errors import Reason
from fs_net.provider import ProviderNode, Standing
from fs_net.session import Session
from tests.net.gatherer import Gatherer, address_of, full_node
from tests.net.world import NETWORK, Chain, Provider
from tools.testing import patience


class Scene:
    """A provider whose stake is listed, and its standing in the network."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.chain = folder, Chain()
        self.bob = Provider(1)
        self.chain.listings[self.bob.address] = self.bob.listing()
        self.free, self.price = 7, 10**16

    def offer(self, peer_key: bytes) -> tuple[ProviderRecord, int]:
        said = replace(self.bob.offer, peer_key=peer_key, price_per_gib=self.price)
        return said, self.free

    def gatherer(self) -> Gatherer:
        return Gatherer(self.chain)

    @asynccontextmanager
    async def provider(self, *chosen: str, relayed: bool = False) -> AsyncIterator[ProviderNode]:
        settings = Settings(str(self.folder / "provider"), NETWORK, ("/ip4/127.0.0.1/tcp/0",))
        node = ProviderNode(
            settings,
            chosen,
            self.bob.keys,
            self.offer,
            entropy=os.urandom,
            relayed=relayed,
            on_session=echo_reversed,
        )
        running = asyncio.create_task(node.run())
        try:
            yield node
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def echo_reversed(session: Session) -> None:
    session.write((await session.read(16))[::-1])
    await session.close()


async def eventually(
    condition: Callable[[], object], seconds: float = 30, *, node: ProviderNode | None = None
) -> None:
    """Wait for a condition; if it does not come true, tell how ``node`` stands."""
    try:
        async with asyncio.timeout(patience.seconds(seconds)):
            while not condition():  # noqa: ASYNC110 - other processes give no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        standing = node and (node.standing, await node.host.info())
        raise AssertionError(f"not in time; the provider: {standing}") from None


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), patience.seconds(120)))


def test_a_full_node_has_its_record_and_hears_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def main() -> None:
        alice = scene.gatherer()
        async with full_node(tmp_path / "alice", alice) as host:
            async with scene.provider(await address_of(host)) as node:
                await eventually(lambda: alice.heartbeats >= 1)
                entry = alice.entry(scene.bob.address)
                assert entry is not None
                assert entry.heartbeat is not None
                assert entry.record.content.peer_key == node.host.peer[-32:]
                assert entry.heartbeat.content.free_slots == 7
                assert node.standing == Standing(node.host.peer, 1, 1, None, 0, "")
                stored = bytes(scene.bob.keys.node.verify_key)
                deadline = asyncio.get_running_loop().time() + 20
                while await host.get_record(stored) != entry.record.raw:
                    assert asyncio.get_running_loop().time() < deadline
                first = entry.record.content.sequence
            scene.price += 1
            async with scene.provider(await address_of(host)):
                await eventually(lambda: sequence(alice, scene) > first)
            assert int((tmp_path / "provider" / "sequence").read_text()) > first

    play(main)


def test_another_full_node_takes_over_and_a_dead_process_is_replaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def main() -> None:
        alice, carol = scene.gatherer(), scene.gatherer()
        async with contextlib.AsyncExitStack() as stack:
            dying = await stack.enter_async_context(contextlib.AsyncExitStack())
            first = await dying.enter_async_context(full_node(tmp_path / "a", alice))
            address = await address_of(first)
            # Only Alice knows Carol, so the provider finds Carol in the DHT.
            await stack.enter_async_context(full_node(tmp_path / "c", carol, (address,)))
            async with scene.provider(address) as node:
                await eventually(lambda: alice.heartbeats and carol.heartbeats, 60)
                await dying.aclose()
                heard = carol.heartbeats
                await eventually(lambda: node.standing.connected == 1, node=node)
                await eventually(lambda: carol.heartbeats > heard, node=node)
                assert node.host.pid is not None
                os.kill(node.host.pid, signal.SIGKILL)
                heard = carol.heartbeats
                await eventually(
                    lambda: node.host.starts == 2 and carol.heartbeats > heard + 1, node=node
                )
                assert node.standing.failure == ""

    play(main)


def test_why_it_is_refused_is_known(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def main() -> None:
        alice = scene.gatherer()
        scene.chain.listings.clear()
        async with (
            full_node(tmp_path / "alice", alice) as host,
            scene.provider(await address_of(host)) as node,
        ):
            await eventually(lambda: node.standing.reason)
            assert node.standing.reason is Reason.UNSTAKED
            assert node.standing.taken_by == 0
            assert alice.heartbeats == 0

    play(main)


def test_a_full_node_passes_circuits_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def main() -> None:
        alice = scene.gatherer()
        async with (
            full_node(tmp_path / "alice", alice) as host,
            scene.provider(await address_of(host), relayed=True) as node,
        ):
            await eventually(lambda: node.standing.reservations == 1)

    play(main)


def test_who_comes_over_libp2p_is_served(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def main() -> None:
        alice = scene.gatherer()
        async with (
            full_node(tmp_path / "alice", alice) as host,
            scene.provider(await address_of(host)) as node,
        ):
            await eventually(lambda: node.standing.taken_by)
            session = await host.open_session(node.host.peer)
            session.write(b"abc")
            assert await session.read(3) == b"cba"

    play(main)


def sequence(gatherer: Gatherer, scene: Scene) -> int:
    entry = gatherer.entry(scene.bob.address)
    return entry.record.content.sequence if entry else 0
