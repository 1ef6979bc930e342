"""A peer is dialled where we are told that it is, whatever was heard of it before."""

from pathlib import Path

import pytest
import trio
import trio.testing
from libp2p.network.exceptions import SwarmException
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

from fs_net.host_process.node import Node
from tests.net.host.stage import Stage, address_of, peer_of, run

DEAD = Multiaddr("/ip4/127.0.0.1/tcp/9")


def connects(alice: Node, bob: Node, before: str) -> bool:
    async def main() -> bool:
        async with alice.running(), bob.running():
            peer = bob.host.get_id()
            store = alice.host.get_peerstore()
            if before == "heard of another address":
                store.add_addrs(peer, [DEAD], 100)
            if before == "dialled it in vain":
                with pytest.raises(SwarmException):
                    await alice.connect(f"{DEAD}/p2p/{peer}", 20)
            if before == "dials another address":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(alice._dial, peer_of_dead(bob))
                    await trio.testing.wait_all_tasks_blocked()
                    await alice.connect(address_of(bob), 20)
            else:
                await alice.connect(address_of(bob), 20)
            return peer in alice.host.get_connected_peers()

    return trio.run(main)


def peer_of_dead(bob: Node) -> PeerInfo:
    peer = peer_of(bob)
    peer.addrs[:] = [DEAD]
    return peer


@pytest.mark.parametrize(
    "before", ["heard of another address", "dialled it in vain", "dials another address"]
)
def test_a_peer_that_moved_is_reached(before: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert run(lambda: connects(stage.node(), stage.node(), before))


def test_of_several_addresses_one_that_answers_is_enough(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def scene() -> bool:
        async def main() -> bool:
            alice, bob = stage.node(), stage.node()
            async with alice.running(), bob.running():
                peer = peer_of(bob)
                peer.addrs.insert(0, DEAD)
                await alice._dial(peer)
                return peer.peer_id in alice.host.get_connected_peers()

        return trio.run(main)

    assert run(scene)
