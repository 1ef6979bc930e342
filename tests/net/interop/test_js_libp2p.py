# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""js-libp2p, another implementation, in our network: gossip, DHT and questions, in both directions.

Each side dials the other, over TCP with Noise and Yamux, and over QUIC. The peer checks the
signatures of gossip and of records by itself (``peer.mjs``).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import base58
import pytest

from fs_net.bridge import Settings
from fs_net.core.batch import Outbox, topic
from fs_net.core.records import Heartbeat, ProviderRecord, Signed
from fs_net.errors import Reason
from fs_net.host import Host
from fs_net.host_process.dht import name_of
from fs_net.host_process.guards import dht_protocol
from fs_net.host_process.streams import MESSAGES, QUESTION
from tests.net.full_node import FullNode
from tests.net.interop.js_peer import JsPeer, js_peer
from tests.net.world import NETWORK, NOW, Provider
from tools.testing import patience

LISTEN = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
TOPIC = topic(NETWORK)


class Meeting:
    """One of our full nodes and a js-libp2p peer, connected."""

    def __init__(self, host: Host, full: FullNode, js: JsPeer) -> None:
        self.host, self.full, self.js = host, full, js
        self.our_name = base58.b58encode(host.peer).decode()
        self.js_id = base58.b58decode(js.peer)

    @property
    def node_key(self) -> bytes:
        return bytes(self.full.bob.keys.node.verify_key)

    async def meshed(self) -> None:
        """Wait until gossip passes in both directions."""
        await eventually(self._js_meshed)
        await eventually(self._we_meshed)

    async def _js_meshed(self) -> bool:
        return self.our_name in (await self.js.call("info"))["mesh"]

    async def _we_meshed(self) -> bool:
        return self.js_id in (await self.host.info())["mesh"].get(TOPIC, ())


@asynccontextmanager
async def host(folder: Path, full: FullNode) -> AsyncIterator[Host]:
    made = Host(Settings(str(folder), NETWORK, LISTEN, (), True, (TOPIC,)), full)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def address_of(host: Host, transport: str) -> str:
    addresses: list[str] = (await host.info())["addresses"]
    return next(each for each in addresses if f"/{transport}/" in each)


async def eventually(condition: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with asyncio.timeout(patience.seconds(20)):
        while not await condition():  # noqa: ASYNC110 - another process gives no event
            await asyncio.sleep(0.05)


def play(
    folder: Path, way: tuple[str, str], scene: Callable[[Meeting], Coroutine[Any, Any, None]]
) -> None:
    """Connect the two over a transport, dialled by one of them, and run the scene."""
    dialler, transport = way

    async def main() -> None:
        full = FullNode()
        async with host(folder / "full", full) as ours, js_peer(dht_protocol(NETWORK)) as js:
            if dialler == "js":
                await js.call("dial", await address_of(ours, transport))
            else:
                await ours.connect(js.address(transport))
            await scene(Meeting(ours, full, js))

    asyncio.run(asyncio.wait_for(main(), patience.seconds(90)))


def batch_of(*said: Signed[ProviderRecord] | Signed[Heartbeat]) -> bytes:
    outbox = Outbox()
    for each in said:
        outbox.add(each)
    return next(outbox.drain())


WAYS = pytest.mark.parametrize(
    "way",
    [("js", "tcp"), ("ours", "tcp"), ("js", "udp"), ("ours", "udp")],
    ids=lambda way: f"{way[0]} dials over {'QUIC' if way[1] == 'udp' else 'TCP'}",
)
TCP = ("js", "tcp")


@WAYS
def test_it_connects_and_is_identified(way: tuple[str, str], tmp_path: Path) -> None:
    async def scene(met: Meeting) -> None:
        [connection] = (await met.js.call("info"))["connected"]
        assert connection["peer"] == met.our_name
        assert connection["direction"] == ("outbound" if way[0] == "js" else "inbound")
        if way[1] == "tcp":
            assert (connection["encryption"], connection["muxer"]) == ("/noise", "/yamux/1.0.0")
        else:
            assert "/quic-v1" in connection["address"]
        wanted = {"/meshsub/1.1.0", dht_protocol(NETWORK), MESSAGES, QUESTION}

        async def identified() -> bool:
            try:
                return wanted <= set(await met.js.call("protocols", met.our_name))
            except AssertionError:  # it does not know the peer yet
                return False

        await eventually(identified)
        assert await met.js.call("ping", met.our_name) >= 0

    play(tmp_path, way, scene)


@WAYS
def test_questions_are_answered_both_ways(way: tuple[str, str], tmp_path: Path) -> None:
    long = bytes(range(256)) * 200  # longer than a frame of Yamux, Noise or QUIC

    async def scene(met: Meeting) -> None:
        for _ in range(5):
            assert await met.js.call("ask", met.our_name, long.hex()) == long.hex()
            assert await met.host.ask(met.js_id, long) == long[::-1]

    play(tmp_path, way, scene)


@WAYS
def test_batches_pass_both_ways(way: tuple[str, str], tmp_path: Path) -> None:
    async def scene(met: Meeting) -> None:
        await met.meshed()
        bob, index = met.full.bob, met.full.index
        record, heartbeat = bob.record(NOW + 5), bob.heartbeat(NOW + 6)
        assert met.our_name in await met.js.call("publish", batch_of(record, heartbeat).hex())

        async def taken() -> bool:
            return index.heartbeats.get(bob.address) == heartbeat

        await eventually(taken)
        assert index.records.get(bob.address) == record
        ours = batch_of(bob.heartbeat(NOW + 7))
        await met.host.publish(TOPIC, ours)
        wanted = {"event": "gossip", "topic": TOPIC, "from": met.our_name, "data": ours.hex()}

        async def heard() -> bool:
            return wanted in met.js.gossip

        await eventually(heard)

    play(tmp_path, way, scene)


def test_what_it_forges_is_refused(tmp_path: Path) -> None:
    async def scene(met: Meeting) -> None:
        await met.meshed()
        crook = Provider(2)
        crook.address = met.full.bob.address
        crook.offer = met.full.bob.offer
        await met.js.call("publish", batch_of(crook.record(NOW + 100), crook.heartbeat(NOW)).hex())

        async def refused() -> bool:
            return met.full.judge.refused[Reason.BAD_SIGNATURE] == 2

        await eventually(refused)
        assert met.full.index.records.get(met.full.bob.address) == met.full.later

    play(tmp_path, TCP, scene)


async def in_the_dht(met: Meeting) -> None:
    """Wait until our record can be put: who has just connected is not known to serve the DHT."""

    async def is_known() -> bool:
        return bool((await met.host.info())["dht"])

    await eventually(is_known)


@WAYS
def test_records_are_found_both_ways(way: tuple[str, str], tmp_path: Path) -> None:
    async def scene(met: Meeting) -> None:
        name = name_of(met.node_key)
        await in_the_dht(met)
        assert await met.host.put_record(met.node_key, met.full.record.raw)
        found = await met.js.call("get", name)
        assert {each["record"] for each in found} == {met.full.record.raw.hex()}

        async def stored() -> bool:
            return met.our_name in await met.js.call("put", name, met.full.later.raw.hex())

        await eventually(stored)
        assert await met.host.get_record(met.node_key) == met.full.later.raw
        async with host(tmp_path / "client", FullNode()) as client:
            # It knows only the full node, and js-libp2p only through the full node.
            await client.connect(await address_of(met.host, "tcp"))
            assert await client.get_record(met.node_key) == met.full.later.raw

    play(tmp_path, way, scene)


def test_it_cannot_put_another_record_in_the_place_of_ours(tmp_path: Path) -> None:
    async def scene(met: Meeting) -> None:
        forged = Provider(2).record(NOW + 100).raw
        await in_the_dht(met)
        assert await met.host.put_record(met.node_key, met.full.record.raw)
        with pytest.raises(AssertionError):
            assert met.our_name in await met.js.call("put", name_of(met.node_key), forged.hex())
        assert await met.host.get_record(met.node_key) == met.full.record.raw

    play(tmp_path, TCP, scene)
