# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Attacks on a full node: its index does not change, and the cost of an attack is bounded.

It is the full node that the product runs. The tests print the cost of each attack.
"""

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.kad_dht.pb.kademlia_pb2 import Message, Record
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from fs_net.core.batch import Outbox, topic
from fs_net.core.matching import Wishes
from fs_net.core.questions import Deliver, Find, Found, serialize
from fs_net.core.records import SignedContent, network_id
from fs_net.fullnode.full_node import FullNode
from fs_net.host_process.dht import name_of
from fs_net.host_process.dht_service import FULL_NODES
from fs_net.host_process.guards import dht_protocol
from fs_net.host_process.streams import MESSAGES, QUESTION
from tests.net.fullnode.scene import as_batch
from tests.net.fullnode.test_node import address_of, answer_of, full_node, provider_host
from tests.net.host.stage import MESHSUB, Eve, eve, eventually, rpc, run
from tests.net.world import HOUR, NETWORK, NOW, Chain, Provider, resident
from tools.testing import patience

GROWTH = 48 << 20  # bytes that an attack may cost
CPU = 20.0  # seconds of processor time that an attack may cost
KAD = dht_protocol(NETWORK)


class Target:
    """A full node with Bob's latest record and heartbeat, and his earlier items."""

    def __init__(self, address: str) -> None:
        self.info = info_from_p2p_addr(Multiaddr(address))
        self.port = int(address.split("/tcp/")[1].split("/", maxsplit=1)[0])
        self.bob = Provider(1)
        self.earlier = [self.bob.record(NOW), self.bob.record(NOW + 1)]
        self.latest = self.bob.record(NOW + 2)
        self.heartbeat = self.bob.heartbeat(NOW)

    async def hears(
        self, eve: Eve, protocol: TProtocol, data: bytes, *, close: bool = True
    ) -> None:
        await eve.say(self.info.peer_id, protocol, data, close=close)


async def fuzzed_frames(eve: Eve, full: Target) -> None:
    """Send random bytes, and good gossip with flipped bits, each on a new stream."""
    rng = random.Random(1)
    for number in range(60):
        good = bytearray(rpc(eve.message(b"data" * 20, number)))
        for _ in range(rng.randrange(1, 8)):
            good[rng.randrange(1, len(good))] ^= rng.randrange(1, 256)
        body = bytes(good) if number % 2 else encode_varint_prefixed(rng.randbytes(90))
        await full.hears(eve, MESHSUB, body)


async def huge_frames(eve: Eve, full: Target) -> None:
    """Send frames that announce gigabytes on every protocol, and a megabyte of gossip."""
    for protocol in (MESHSUB, MESSAGES, QUESTION, KAD):
        await full.hears(eve, protocol, b"\xff\xff\xff\xff\x7f" + bytes(1000))
    await full.hears(eve, MESHSUB, rpc(eve.message(bytes(1 << 20))))


async def slow_streams(eve: Eve, full: Target) -> None:
    """Begin streams and never end them, more than a peer may have."""
    for protocol in (MESSAGES, QUESTION, KAD):
        for _ in range(20):
            await full.hears(eve, protocol, b"\x05", close=False)


async def flood(eve: Eve, full: Target) -> None:
    """Send gossip and messages as fast as the connection takes them."""
    gossip = b"".join(rpc(eve.message(b"flood", number)) for number in range(3000))
    await full.hears(eve, MESHSUB, gossip)
    await full.hears(eve, MESSAGES, framed(full.heartbeat.raw) * 5000)


async def questions(eve: Eve, full: Target) -> None:
    """Ask more than is answered: searches, deliveries of rubbish, and invalid questions."""
    delivery = serialize(Deliver(as_batch(Provider(99).record())))
    for data in (serialize(Find.of(Wishes())), delivery, b"what?"):
        for _ in range(80):
            await full.hears(eve, QUESTION, framed(data), close=False)


async def forged(eve: Eve, full: Target) -> None:
    """Send items in Bob's name by another key, and items of a stranger without a stake."""
    crook = Provider(1)
    crook.keys = Provider(2).keys
    crook.announcer = Provider(2).announcer
    cheap = crook.record(NOW + 1000, price_per_gib=1)
    await tell(eve, full, (cheap, crook.heartbeat(NOW + 1000), Provider(99).record(NOW)))


async def replayed(eve: Eve, full: Target) -> None:
    """Send what Bob signed long ago, and what he signed for another market."""
    elsewhere = Provider(1, network_id(2, bytes(20)))
    long_ago = Provider(1)
    await tell(eve, full, full.earlier)
    await tell(eve, full, (long_ago.record(NOW - 20 * HOUR), long_ago.heartbeat(NOW - HOUR)))
    await tell(eve, full, (elsewhere.record(NOW + 500), elsewhere.heartbeat(NOW + 500)))


async def tell(eve: Eve, full: Target, said: Iterable[SignedContent]) -> None:
    """Send it as gossip, as a message, as a delivery, and to the DHT."""
    for number, each in enumerate(said):
        outbox = Outbox()
        outbox.add(each)
        (batch,) = outbox.drain()
        await full.hears(eve, MESHSUB, rpc(eve.message(batch, number)))
        await full.hears(eve, MESSAGES, framed(each.raw))
        await full.hears(eve, QUESTION, framed(serialize(Deliver(batch))))
        await put(eve, full, bytes(full.bob.keys.node.verify_key), each.raw)


async def dht_flood(eve: Eve, full: Target) -> None:
    """Send records of keys without a stake, forged records, and services that nobody has."""
    for number in range(2, 150):
        crook = Provider(number)
        await put(eve, full, bytes(crook.keys.node.verify_key), crook.record().raw)
        await put(eve, full, bytes(full.bob.keys.node.verify_key), crook.record().raw)
        for key in (FULL_NODES.encode(), number.to_bytes(32, "big")):
            said = Message(type=Message.MessageType.ADD_PROVIDER, key=key)
            peer = said.providerPeers.add()
            peer.id = eve.id.to_bytes()
            peer.addrs.append(Multiaddr("/ip4/192.0.2.1/tcp/1").to_bytes())
            await full.hears(eve, KAD, encode_varint_prefixed(said.SerializeToString()))


async def put(eve: Eve, full: Target, node_key: bytes, value: bytes) -> None:
    name = name_of(node_key).encode()
    said = Message(
        type=Message.MessageType.PUT_VALUE, key=name, record=Record(key=name, value=value)
    )
    await full.hears(eve, KAD, encode_varint_prefixed(said.SerializeToString()))


async def silent_connections(eve: Eve, full: Target) -> None:
    """Open as many as a host has descriptors for, from one address."""
    with ExitStack() as stack:
        for _ in range(300):
            with contextlib.suppress(OSError):
                place = "127.0.0.2", 0
                knock = socket.create_connection(("127.0.0.1", full.port), 1, source_address=place)
                stack.enter_context(knock)
        await trio.sleep(2)


async def names(first: Eve, full: Target) -> None:
    """Use many ids one after another, each without a record."""
    for _ in range(60):
        async with eve() as somebody:
            with contextlib.suppress(Exception):
                await somebody.host.connect(full.info)
                await somebody.host.disconnect(full.info.peer_id)


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


Attack = Callable[[Eve, Target], Awaitable[None]]
ATTACKS: list[Attack] = [
    fuzzed_frames,
    huge_frames,
    slow_streams,
    flood,
    questions,
    forged,
    replayed,
    dht_flood,
    silent_connections,
    names,
]


def attacked(attack: Attack, full: Target) -> None:
    async def main() -> None:
        async with eve(topic(NETWORK)) as attacker:
            await attacker.host.connect(full.info)
            await attack(attacker, full)
            await trio.sleep(0.5)

    run(lambda: trio.run(main))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_moves_nothing(attack: Attack, tmp_path: Path) -> None:
    async def scene() -> None:
        bob = Provider(1)
        async with full_node(tmp_path / "full", Chain({bob.address: bob.listing()})) as node:
            target = Target(await address_of(node))
            node.gatherer.take_batch(b"bob", as_batch(target.latest, target.heartbeat), NOW)
            pid = node.host.pid
            assert pid is not None
            memory, cpu, our_cpu = resident(pid), cpu_of(pid), time.process_time()
            await asyncio.to_thread(attacked, attack, target)
            memory, cpu = resident(pid) - memory, cpu_of(pid) - cpu
            our_cpu = time.process_time() - our_cpu
            counters = (await node.host.info())["counters"]
            print(f"{attack.__name__}: {memory / 2**20:.1f} MiB more of {resident(pid) >> 20}")
            print(f"  {cpu:.1f} s of the processor for libp2p, {our_cpu:.1f} s for us")
            print(f"  counted: {counters}, refused: {dict(node.gatherer.judge.refused)}")
            assert node.host.starts == 1  # it was never restarted
            assert memory < GROWTH
            assert cpu + our_cpu < CPU
            index = node.gatherer.index
            assert [each.raw for each in index.records] == [target.latest.raw]
            assert [each.raw for each in index.heartbeats] == [target.heartbeat.raw]
            await still_serves(tmp_path, node, target)

    asyncio.run(asyncio.wait_for(scene(), patience.seconds(120)))


async def still_serves(folder: Path, node: FullNode, target: Target) -> None:
    async with provider_host(folder / "alice") as alice:
        found = await answer_of(node, alice, Find.of(Wishes()))
        assert isinstance(found, Found)
        assert [each.record for each in found.hits] == [target.latest.raw]
        key = bytes(target.bob.keys.node.verify_key)
        await alice.put_record(key, target.latest.raw, 3)
        assert await alice.get_record(key, 3) == target.latest.raw


def test_who_forges_is_hung_up_on(tmp_path: Path) -> None:
    async def main(full: Target) -> bool:
        async with eve(topic(NETWORK)) as attacker:
            await attacker.host.connect(full.info)
            forged = Provider(2).announcer.heartbeat(full.bob.address, 1, NOW).raw
            await full.hears(attacker, MESSAGES, framed(forged) * 15, close=False)
            there = attacker.host.get_connected_peers
            return await eventually(lambda: full.info.peer_id not in there())

    async def scene() -> None:
        bob = Provider(1)
        async with full_node(tmp_path / "full", Chain({bob.address: bob.listing()})) as node:
            target = Target(await address_of(node))
            assert await asyncio.to_thread(run, lambda: trio.run(main, target))

    asyncio.run(asyncio.wait_for(scene(), patience.seconds(60)))


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
