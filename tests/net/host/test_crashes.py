# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""No message of one peer may end a host; without its guard, each case does."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from libp2p.pubsub.pubsub import Pubsub
from libp2p.utils import encode_varint_prefixed

from fs_net.host_process import guards
from fs_net.host_process.gossip import GuardedPubsub
from fs_net.host_process.network_peer import NetworkPeer
from tests.net.host.stage import Eve, Stage, program_of, rpc, run, survives

Attack = Callable[[NetworkPeer, Eve], Awaitable[None]]


async def malformed_protobuf(victim: NetworkPeer, eve: Eve) -> None:
    stream = await eve.open(victim)
    await stream.write(encode_varint_prefixed(b"\xff\xff\xff\xff"))
    await trio.sleep(0.3)


async def bad_public_key(victim: NetworkPeer, eve: Eve) -> None:
    stream = await eve.open(victim)
    said = eve.message(b"data", from_id=b"\x12\x20" + bytes(32), key=b"\x08\x63\x12\x01\x00")
    await stream.write(rpc(said))
    await trio.sleep(0.3)


async def end_of_stream(victim: NetworkPeer, eve: Eve) -> None:
    stream = await eve.open(victim, "/flowshield/messages/1")
    await stream.write(b"\x00\x00")
    await stream.close()
    await trio.sleep(0.3)


async def failing_judge(victim: NetworkPeer, eve: Eve) -> None:
    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    program_of(victim).decide = fail
    stream = await eve.open(victim)
    await stream.write(rpc(eve.message(b"data")))
    await trio.sleep(0.3)


def without_stream_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "guard_streams", lambda *_: None)


def without_push_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedPubsub, "push_msg", Pubsub.push_msg)


CASES: dict[str, tuple[Attack, Callable[[pytest.MonkeyPatch], None]]] = {
    "malformed protobuf": (malformed_protobuf, without_stream_guard),
    "end of stream": (end_of_stream, without_stream_guard),
    "bad public key": (bad_public_key, without_push_guard),
    "failing judge": (failing_judge, without_push_guard),
}


@pytest.mark.parametrize(("attack", "remove_guard"), CASES.values(), ids=CASES)
def test_a_host_survives(
    attack: Attack, remove_guard: Callable[[pytest.MonkeyPatch], None], tmp_path: Path
) -> None:
    def scene() -> None:
        victim = Stage(tmp_path).node()
        assert survives(victim, attack)
        assert victim.caught.total() + victim.gossip.caught.total() >= 1  # counted

    run(scene)


@pytest.mark.parametrize(("attack", "remove_guard"), CASES.values(), ids=CASES)
def test_it_would_not_without_its_guard(
    attack: Attack,
    remove_guard: Callable[[pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remove_guard(monkeypatch)
    assert not run(lambda: survives(Stage(tmp_path).node(), attack))
