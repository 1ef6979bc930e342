# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A peer is dialled at the address that we were given, whatever else was heard about it."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

from fs_net.host_process import network_peer
from fs_net.host_process.gate import ClientGate
from fs_net.host_process.network_peer import NetworkPeer
from tests.net.host.stage import Stage, address_of, eventually, peer_of, run

DEAD = Multiaddr("/ip4/127.0.0.1/tcp/9")


def connects(alice: NetworkPeer, bob: NetworkPeer, before: str) -> bool:
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


def peer_of_dead(bob: NetworkPeer) -> PeerInfo:
    peer = peer_of(bob)
    peer.addrs[:] = [DEAD]
    return peer


@pytest.mark.parametrize(
    "before", ["heard of another address", "dialled it in vain", "dials another address"]
)
def test_a_peer_that_moved_is_reached(before: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert run(lambda: connects(stage.node(), stage.node(), before))


@pytest.mark.parametrize("is_named", [True, False])
def test_a_client_dials_nearby_only_whom_the_user_named(is_named: bool, tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def scene() -> bool:
        async def main() -> bool:
            bob = stage.node()
            async with bob.running():
                named = (address_of(bob),) if is_named else ()
                client = stage.node(is_full_node=False, listen=(), named=named)
                async with client.running():
                    with contextlib.suppress(SwarmException):
                        await client.host.connect(peer_of(bob))  # as its DHT would do
                    return bob.host.get_id() in client.host.get_connected_peers()

        return trio.run(main)

    assert run(scene) == is_named


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("/ip4/198.51.100.7/tcp/4001", True),
        ("/ip6/2001:db8::7/udp/4001/quic-v1", True),
        ("/ip4/192.168.1.1/tcp/80", False),
        ("/ip4/192.168.1.5/tcp/80", True),  # the user named it with another port
        ("/ip4/169.254.169.254/tcp/80", False),
        ("/ip4/100.64.0.1/tcp/80", False),
        ("/ip4/0.0.0.0/tcp/22", False),  # on Linux this address means this host
        ("/ip6/::1/tcp/22", False),
        ("/ip6/fd00::1/tcp/80", False),
        ("/ip6/::ffff:192.168.1.1/tcp/80", False),
        ("/dns4/node.example/tcp/4001", True),
        ("/dns4/other.example/tcp/4001", False),
        ("/dns6/node.example/tcp/4001", False),
        ("/ip4/192.168.1.1/tcp/80/p2p/12D3KooWJwktR4GFSBs35xkykSRwRLAk2MqPCtAmkeLdPy9rnMbR", False),
    ],
)
def test_what_is_near(address: str, is_allowed: bool) -> None:
    gate = ClientGate(["/ip4/192.168.1.5/tcp/4001", "/dns4/node.example/tcp/4001"])
    assert trio.run(gate.is_allowed, Multiaddr(address)) == is_allowed


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


def test_a_close_that_takes_long_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hung up does not wait for it, and all parts hear of the end."""
    monkeypatch.setattr(network_peer, "_JUDGEMENT", 0.01)

    async def main() -> tuple[bool, bool]:
        stage = Stage(tmp_path)
        alice, bob = stage.node(), stage.node()
        host: Any = alice.host
        disconnect = host.disconnect

        async def slow(peer: ID) -> None:
            await trio.sleep(0.3)
            await disconnect(peer)

        host.disconnect = slow
        async with alice.running(), bob.running():
            await bob.connect(address_of(alice), 10)
            assert await eventually(lambda: bob.host.get_id() in alice.gossip.peers)
            await alice.disconnect(bob.host.get_id().to_bytes())
            is_waited_for = not alice.host.get_connected_peers()
            return is_waited_for, await eventually(lambda: not alice.gossip.peers)

    assert run(lambda: trio.run(main)) == (False, True)
