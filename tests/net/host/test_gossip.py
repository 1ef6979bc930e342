# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Gossip arrives in time, and bad gossip is blamed; without its setting, each test fails."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.host.exceptions import StreamFailure
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.score import PeerScorer, ScoreParams, TopicScoreParams

from fs_net.bridge import Decision
from fs_net.host_process import gossip, network_peer
from fs_net.host_process.gossip import GRAYLIST
from fs_net.host_process.network_peer import NetworkPeer
from tests.net.host.stage import (
    MESHSUB,
    TOPIC,
    Stage,
    address_of,
    eve,
    eventually,
    meshed,
    program_of,
    rpc,
    run,
)
from tests.walks import long
from tools.testing import patience


def with_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Make routers as before, except for one setting."""
    make = gossip.gossip_router

    def router() -> GossipSub:
        made = make()
        setattr(made, name, value)
        return made

    monkeypatch.setattr(gossip, "gossip_router", router)


def heartbeat_interval(folder: Path) -> float:
    """Return the time between two heartbeats of gossip, some seconds after the start."""

    async def main() -> float:
        alone = Stage(folder).node()
        router: Any = alone.gossip.router
        router.last_health_update = 0  # the next health update is due
        async with alone.running():
            await trio.sleep(1.5)
            return float(router.heartbeat_interval)

    return run(lambda: trio.run(main))


def test_gossip_keeps_its_pace(tmp_path: Path) -> None:
    assert heartbeat_interval(tmp_path) == 1


@long
def test_adaptive_gossip_would_slow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_setting(monkeypatch, "adaptive_gossip_enabled", True)
    assert heartbeat_interval(tmp_path) >= 30


def arrived(folder: Path, count: int) -> int:
    """Return how many of so many messages, published at once, a neighbour judged."""

    async def main() -> int:
        stage = Stage(folder)
        alice, bob = stage.node(), stage.node()
        async with alice.running(), bob.running():
            await meshed(alice, bob)
            async with trio.open_nursery() as nursery:
                for number in range(count):
                    nursery.start_soon(alice.publish, TOPIC, number.to_bytes(2, "big"))
            heard = program_of(bob).gossip
            await eventually(lambda: len(set(heard)) == count, 3)
            return len(set(heard))

    return run(lambda: trio.run(main))


def test_a_burst_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_peer, "_PACE", patience.seconds(network_peer._PACE))
    assert arrived(tmp_path, 120) == 120


@long
def test_without_a_pace_queues_overflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_peer, "_PACE", 0)
    assert arrived(tmp_path, 120) < 120


@long
def test_spam_protection_would_drop_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_setting(monkeypatch, "spam_protection_enabled", True)
    assert arrived(tmp_path, 120) < 120


def score_of_who_sends_rubbish(folder: Path) -> tuple[float, bool]:
    async def main() -> tuple[float, bool]:
        victim = Stage(folder).node()
        program_of(victim).decide = lambda _: Decision.REJECT
        async with victim.running(), eve() as attacker:
            stream = await attacker.open(victim)
            await stream.write(rpc(*(attacker.message(b"rubbish", number) for number in range(20))))
            await eventually(lambda: len(program_of(victim).gossip) >= 4)
            await trio.sleep(0.5)
            router: Any = victim.gossip.router
            return router.scorer.score(attacker.id, [TOPIC]), victim.gossip.is_graylisted(
                attacker.id
            )

    return run(lambda: trio.run(main))


def test_rubbish_lowers_a_score_until_nobody_listens(tmp_path: Path) -> None:
    score, is_graylisted = score_of_who_sends_rubbish(tmp_path)
    assert score < GRAYLIST / 4
    assert is_graylisted == (score <= GRAYLIST)


def test_the_sign_of_the_specification_would_reward_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = ScoreParams(p4_invalid_messages=TopicScoreParams(-10.0, 1000.0, 0.99))
    with_setting(monkeypatch, "scorer", PeerScorer(params))
    score, _ = score_of_who_sends_rubbish(tmp_path)
    assert score > 0


def test_what_is_ignored_is_nobodys_fault(tmp_path: Path) -> None:
    async def main() -> float:
        victim = Stage(tmp_path).node()
        program_of(victim).decide = lambda _: Decision.IGNORE
        async with victim.running(), eve() as attacker:
            stream = await attacker.open(victim)
            await stream.write(rpc(*(attacker.message(b"old", number) for number in range(20))))
            await eventually(lambda: victim.gossip.caught["ignored"] == 20)
            router: Any = victim.gossip.router
            return float(router.scorer.score(attacker.id, [TOPIC]))

    assert run(lambda: trio.run(main)) == 0


def kept_for_who_does_not_subscribe(folder: Path) -> int:
    async def main() -> int:
        stage = Stage(folder)
        full, provider = stage.node(), stage.node(is_full_node=False)
        async with full.running(), provider.running():
            await provider.connect(address_of(full), 10)
            await eventually(lambda: provider.host.get_id() in full.gossip.peers)
            for number in range(10):
                await full.publish(TOPIC, bytes([number]))
            router: Any = full.gossip.router
            return sum(map(len, router._pending_messages.values()))

    return run(lambda: trio.run(main))


def test_nothing_is_kept_for_providers(tmp_path: Path) -> None:
    assert kept_for_who_does_not_subscribe(tmp_path) == 0


@long
def test_the_usual_queue_would_keep_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_setting(monkeypatch, "_pending_messages", defaultdict(list))
    assert kept_for_who_does_not_subscribe(tmp_path) > 0


def test_a_provider_publishes_without_meshing(tmp_path: Path) -> None:
    async def main() -> tuple[list[bytes], list[bytes], Any]:
        stage = Stage(tmp_path)
        one, other, provider = stage.node(), stage.node(), stage.node(is_full_node=False)
        async with one.running(), other.running(), provider.running():
            await meshed(one, other)
            await provider.connect(address_of(one), 10)
            await eventually(
                lambda: one.host.get_id() in provider.gossip.peer_topics.get(TOPIC, ())
            )
            await provider.publish(TOPIC, b"record")
            await eventually(lambda: program_of(other).gossip)
            await one.publish(TOPIC, b"batch")
            await trio.sleep(0.5)
            router: Any = one.gossip.router
            is_meshed = provider.host.get_id() in router.mesh[TOPIC]
            return program_of(other).gossip, program_of(provider).gossip, is_meshed

    heard, heard_by_provider, is_meshed = run(lambda: trio.run(main))
    assert heard[0] == b"record" and b"batch" in heard
    assert heard_by_provider == [] and not is_meshed


def test_a_forged_message_is_not_even_judged(tmp_path: Path) -> None:
    async def main() -> list[bytes]:
        victim: NetworkPeer = Stage(tmp_path).node()
        async with victim.running(), eve() as attacker:
            stream = await attacker.open(victim)
            alice = victim.host.get_id().to_bytes()
            await stream.write(rpc(attacker.message(b"forged", from_id=alice)))
            await stream.write(rpc(attacker.message(b"forged", 2, data=b"changed")))
            await stream.write(rpc(attacker.message(b"good", 3)))
            await eventually(lambda: program_of(victim).gossip)
            await trio.sleep(0.3)
            return program_of(victim).gossip

    assert run(lambda: trio.run(main)) == [b"good"]


def test_peers_hear_each_other_when_one_of_two_connections_ends(tmp_path: Path) -> None:
    """The older one ends, on which each said that it subscribes, as after a break."""

    async def main() -> list[int]:
        stage = Stage(tmp_path)
        alice, bob = stage.node(), stage.node()
        async with alice.running(), bob.running():
            await meshed(alice, bob)
            network: Any = bob.host.get_network()
            (old,) = network.get_connections(alice.host.get_id())
            await network.dial_addr(
                bob.host.get_peerstore().addrs(alice.host.get_id())[0], alice.host.get_id()
            )
            await old.close()
            return [await hears(bob, alice), await hears(alice, bob)]

    assert run(lambda: trio.run(main)) == [True, True]


def test_a_stream_that_fails_once_is_opened_again(tmp_path: Path) -> None:
    """Pubsub by itself gives a peer up if the two do not agree on a protocol in time."""

    async def main() -> bool:
        stage = Stage(tmp_path)
        alice, bob = stage.node(), stage.node()
        host: Any = alice.host
        opened, failures = host.new_stream, iter(["response timed out after 10s", "reset"])

        async def new_stream(peer: ID, protocols: Any) -> Any:
            if MESHSUB in protocols and (why := next(failures, None)):
                raise StreamFailure("failed to open a stream") from MultiselectClientError(why)
            return await opened(peer, protocols)

        host.new_stream = new_stream
        async with alice.running(), bob.running():
            await meshed(alice, bob)
            return await hears(bob, alice)

    assert run(lambda: trio.run(main))


def test_who_does_not_gossip_is_not_asked_again(tmp_path: Path) -> None:
    async def main() -> int:
        alice = Stage(tmp_path).node()
        host: Any = alice.host
        opened = host.new_stream
        asked: list[str] = []

        async def new_stream(peer: ID, protocols: Any) -> Any:
            asked.extend(each for each in protocols if each == MESHSUB)
            return await opened(peer, protocols)

        host.new_stream = new_stream
        async with alice.running(), eve() as mute:
            await mute.meet(alice)
            assert await eventually(lambda: asked)
            await trio.sleep(1)  # the first pauses between two attempts are shorter
            return len(asked)

    assert run(lambda: trio.run(main)) == 1


async def hears(hearer: NetworkPeer, speaker: NetworkPeer) -> bool:
    """Whether what the speaker publishes arrives, once it has a mesh with the hearer."""
    messages = program_of(hearer).gossip
    if not await eventually(lambda: said_to(hearer.host.get_id(), speaker)):
        return False
    await speaker.publish(TOPIC, b"hello from " + speaker.host.get_id().to_bytes())
    return await eventually(lambda: messages)


def said_to(peer: ID, speaker: NetworkPeer) -> bool:
    """Whether the speaker has a stream to a peer that is open, and the peer in its mesh."""
    stream: Any = speaker.gossip.peers.get(peer)
    return (
        stream is not None
        and not stream.muxed_conn.is_closed
        and peer in speaker.router.mesh[TOPIC]
    )
