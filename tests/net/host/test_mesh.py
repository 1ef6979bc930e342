# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A crowd in the mesh neither displaces the peers that we chose nor hides their gossip."""

from contextlib import AsyncExitStack
from pathlib import Path

import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from fs_net.host_process.network_peer import NetworkPeer
from tests.net.host.stage import (
    MESHSUB,
    TOPIC,
    Eve,
    Stage,
    address_of,
    eve,
    eventually,
    program_of,
    run,
)
from tests.walks import long

CROWD = 20  # more than a mesh holds
ASKS = encode_varint_prefixed(
    rpc_pb2.RPC(
        subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=TOPIC)],
        control=rpc_pb2.ControlMessage(graft=[rpc_pb2.ControlGraft(topicID=TOPIC)]),
    ).SerializeToString()
)


async def crowd(stack: AsyncExitStack, victim: NetworkPeer) -> list[Eve]:
    """Make peers that ask to join the mesh and forward nothing."""
    came = [await stack.enter_async_context(eve()) for _ in range(CROWD)]

    async def swallow(stream: INetStream) -> None:
        await trio.sleep_forever()

    for each in came:
        each.host.set_stream_handler(MESHSUB, swallow)
        stream = await each.open(victim)
        await stream.write(ASKS)
    return came


def surrounded(folder: Path) -> tuple[int, bool, list[bytes]]:
    """Return the mesh's size, whether the chosen peer is in it, and what was heard from it."""

    async def main() -> tuple[int, bool, list[bytes]]:
        stage = Stage(folder)
        victim, friend = stage.node(), stage.node()
        async with victim.running(), friend.running(), AsyncExitStack() as stack:
            await crowd(stack, victim)
            mesh = victim.router.mesh
            assert await eventually(lambda: len(mesh.get(TOPIC, ())) >= 6)
            await victim.connect(address_of(friend), 10)
            friend_id = friend.host.get_id()
            await eventually(lambda: friend_id in mesh[TOPIC], 5)
            for _ in range(3):
                await trio.sleep(1)  # s, in which heartbeats prune
            victim_id = victim.host.get_id()
            await eventually(lambda: victim_id in friend.router.mesh[TOPIC], 3)
            await friend.publish(TOPIC, b"batch")
            await eventually(lambda: program_of(victim).gossip, 3)
            return len(mesh[TOPIC]), friend_id in mesh[TOPIC], program_of(victim).gossip

    return run(lambda: trio.run(main))


def test_who_was_chosen_has_a_place_in_a_crowd(tmp_path: Path) -> None:
    size, is_there, heard = surrounded(tmp_path)
    assert size <= 13
    assert is_there
    assert heard == [b"batch"]


@long
def test_who_was_chosen_is_not_pruned_and_would_be(tmp_path: Path) -> None:
    def scene() -> None:
        router = Stage(tmp_path).node().router
        crowd = {ID.from_pubkey(create_new_key_pair().public_key) for _ in range(15)}
        assert router.pubsub is not None
        router.pubsub.peer_topics[TOPIC] = router.mesh[TOPIC] = crowd
        chosen = GossipSub._select_peers_for_pruning(router, TOPIC, 9)[0]
        router.choose(chosen)
        pruned = router._select_peers_for_pruning(TOPIC, 9)
        assert len(set(pruned) & crowd - {chosen}) == 9

    run(scene)


def test_a_full_mesh_takes_nobody_who_asks(tmp_path: Path) -> None:
    async def main() -> tuple[int, bool]:
        router = Stage(tmp_path).node().router
        crowd = [ID.from_pubkey(create_new_key_pair().public_key) for _ in range(20)]
        router.mesh[TOPIC] = set()
        router.choose(crowd[-1])
        pruned: list[ID] = []

        async def prune(topic: str, to_peer: ID, do_px: bool, is_unsubscribe: bool) -> None:
            pruned.append(to_peer)

        router.emit_prune = prune  # type: ignore[method-assign]
        for peer in crowd:
            await router.handle_graft(rpc_pb2.ControlGraft(topicID=TOPIC), peer)
        assert pruned == crowd[12:-1]
        return len(router.mesh[TOPIC]), crowd[-1] in router.mesh[TOPIC]

    assert run(lambda: trio.run(main)) == (13, True)
