# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""An attacker asks a running full node: its index does not change, and its memory is bounded."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from fs_net.core.matching import Wishes
from fs_net.core.questions import (
    MAX_BYTES,
    MAX_FETCHED,
    Compare,
    Deliver,
    Fetch,
    Find,
    Found,
    Message,
    serialize,
)
from fs_net.core.reconcile import Snapshot
from fs_net.core.records import ID_LEN
from fs_net.fullnode.full_node import FullNode
from fs_net.host_process.streams import QUESTION
from tests.net.fullnode.scene import as_batch, as_batches, world
from tests.net.fullnode.test_node import (
    address_of,
    answer_of,
    full_node,
    known,
    play,
    provider_host,
)
from tests.net.host.stage import eve, run
from tests.net.world import NOW, Provider, resident

GROWTH = 32 << 20  # bytes for the program, and as many for its network process
COUNT = 150  # questions of an attack
HELD = 200  # records


def fetches() -> Iterator[Message]:
    """Ask for as many records as a question may name; some exist and some do not."""
    rng = random.Random(1)
    while True:
        yield Fetch(tuple(rng.randbytes(ID_LEN) for _ in range(MAX_FETCHED)))


def comparisons() -> Iterator[Message]:
    """Compare without end."""
    rng = random.Random(2)
    while True:
        yield Compare(Snapshot([rng.randbytes(ID_LEN) for _ in range(500)]).opening())


def deliveries() -> Iterator[Message]:
    """Deliver items that nobody signed, and items of strangers."""
    rng = random.Random(3)
    crook = Provider(1)
    crook.announcer = Provider(1001).announcer
    while True:
        yield Deliver(as_batch(crook.record(NOW + 100), crook.heartbeat()))
        yield Deliver(as_batch(*(Provider(rng.randrange(10**6, 10**9)).record() for _ in range(9))))
        yield Deliver(rng.randbytes(30_000))


def searches() -> Iterator[Message]:
    """Search with a new filter each time, so that no ranking is cached."""
    for price in range(10**9):
        yield Find.of(Wishes(max_per_gib=10**17 + price))


ATTACKS = {each.__name__: each for each in (fetches, comparisons, deliveries, searches)}


def attacked(name: str, address: str) -> None:
    async def main() -> None:
        peer = info_from_p2p_addr(Multiaddr(address))
        questions = ATTACKS[name]()
        async with eve() as attacker:
            await attacker.host.connect(peer)
            for _ in range(COUNT):
                question = serialize(next(questions))
                framed = len(question).to_bytes(4, "big") + question
                await attacker.say(peer.peer_id, QUESTION, framed)
            rubbish = bytes(MAX_BYTES)
            framed = len(rubbish).to_bytes(4, "big") + rubbish
            await attacker.say(peer.peer_id, QUESTION, framed)

    run(lambda: trio.run(main))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_moves_nothing(name: str, tmp_path: Path) -> None:
    async def scene() -> None:
        chain, providers = world(HELD)
        async with (
            full_node(tmp_path / "full", chain) as node,
            provider_host(tmp_path / "alice") as alice,
        ):
            for data in as_batches(*(each.record() for each in providers)):
                node.gatherer.take_batch(b"friend", data, NOW)
            before = resident(os.getpid()), resident(_pid(node))
            records = {each.raw for each in node.gatherer.index.records}
            address = await address_of(node)
            await asyncio.to_thread(attacked, name, address)
            grown = resident(os.getpid()) - before[0], resident(_pid(node)) - before[1]
            print(f"{name}: {grown[0] >> 20} and {grown[1] >> 20} MiB more")
            print(f"  refused: {dict(node.gatherer.judge.refused)}")
            assert node.host.starts == 1  # it was never restarted
            assert max(grown) < GROWTH
            assert {each.raw for each in node.gatherer.index.records} == records
            assert known(node) == {each.address for each in providers}
            answer = await answer_of(node, alice, Find.of(Wishes(min_free_slots=0)))
            assert isinstance(answer, Found)
            assert answer.total == HELD

    play(scene)


def _pid(node: FullNode) -> int:
    assert node.host.pid is not None
    return node.host.pid
