# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Timers that look at the traffic now and then act as if they had seen every packet."""

from dataclasses import dataclass
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fs_tunnel.proto.constants import KEEPALIVE_TIMEOUT, NEW_HANDSHAKE_AFTER
from fs_tunnel.proto.timers import IDLE, PeerTimers, Timer
from tests.proto.world import START, World, types
from tests.walks import examples

INITIATION, TRANSPORT = 1, 4


def without_jitter(seed: int = 0) -> World:
    world = World(seed)
    for side in world.sides:
        side.peer.timers._entropy = bytes
    world.handshake()
    world.history.clear()
    return world


@pytest.fixture
def world() -> World:
    return without_jitter()


def test_busy_peers_are_looked_at_every_10_s(world: World) -> None:
    looks = []
    look = world.alice.path.activity

    def counted(peer: int) -> object:
        looks.append(world.now)
        return look(peer)

    world.alice.path.activity = counted  # type: ignore[method-assign, assignment]
    for _ in range(1000):
        world.send(world.alice, b"x")
        world.wire.clear()
        world.send(world.bob, b"x")
        world.settle()
        world.advance(0.1)
    assert len(set(looks)) <= 100 / KEEPALIVE_TIMEOUT + 1


def test_a_deadline_counts_from_the_packet_and_not_from_the_look(world: World) -> None:
    world.advance(3)
    world.send(world.alice, b"nobody hears it")
    world.wire.clear()
    assert not world.alice.peer.timers.is_running(Timer.NEW_HANDSHAKE)  # it was not told of
    world.advance(NEW_HANDSHAKE_AFTER - 0.01)
    assert INITIATION not in types(world.wire)
    world.advance(0.01)
    assert types(world.wire) == [INITIATION]


def test_after_a_silence_nobody_looks_until_a_packet_comes(world: World) -> None:
    world.advance(60, honest=True)
    timers = world.alice.peer.timers
    assert not timers.is_running(Timer.LOOK)
    world.send(world.bob, b"x")
    world.settle()
    assert timers.is_running(Timer.LOOK)
    assert timers.is_running(Timer.SEND_KEEPALIVE)


def test_an_answer_within_the_same_tick_is_an_answer(world: World) -> None:
    world.advance(60, honest=True)
    for _ in range(3):
        world.send(world.bob, b"question")
        world.settle()
        world.send(world.alice, b"answer")
        world.settle()
        for side in world.sides:
            side.peer.look()
        alice, bob = world.alice.peer.timers, world.bob.peer.timers
        assert [each.is_running(Timer.NEW_HANDSHAKE) for each in (alice, bob)] == [True, False]
        assert [each.is_running(Timer.SEND_KEEPALIVE) for each in (alice, bob)] == [False, True]


def test_what_passed_before_the_interface_went_down_starts_nothing(world: World) -> None:
    alice = world.alice
    world.advance(60, honest=True)
    alice.path.receive_packet(b"", world.now)
    world.send(world.alice, b"x")
    alice.device.shut_down()
    alice.device.handle_events(world.now)
    alice.peer.look()
    assert alice.peer.timers.next_deadline() == IDLE


@dataclass(frozen=True)
class Step:
    """Somebody sends a packet, which comes or is lost, and time passes."""

    by_alice: bool
    is_lost: bool
    seconds: float


steps = st.lists(
    st.builds(
        Step, st.booleans(), st.booleans(), st.sampled_from([0.0, 0.2, 3.0, 9.9, 10.1, 16.0, 70.0])
    ),
    max_size=25,
)


# Whether a keepalive is repeated depends on what came before an answer, which a late look does not
# see: more than a needless keepalive does not come of it.
@patch.object(PeerTimers, "take_repeat", lambda _: False)
@given(schedule=steps, keepalive=st.sampled_from([0, 0, 4, 25]))
@settings(max_examples=examples(120))
def test_what_is_said_is_what_a_close_look_would_say(schedule: list[Step], keepalive: int) -> None:
    assert conversation(schedule, keepalive, closely=False) == conversation(
        schedule, keepalive, closely=True
    )


def conversation(
    schedule: list[Step], keepalive: int, *, closely: bool
) -> list[tuple[float, str, int, int]]:
    """When who said what; ``closely``: timers are brought up to date after every packet."""
    world = without_jitter()
    world.alice.peer.set_persistent_keepalive(keepalive, world.now)
    said: list[tuple[float, str, int, int]] = []

    def note() -> None:
        for each in world.history:
            moment = round(world.now - START, 6)
            said.append((moment, each.source.ip, each.type, len(each.data)))
        world.history.clear()
        if closely:
            for side in world.sides:
                side.peer.look()

    def deliver() -> None:
        note()
        while world.wire:
            world.arrive(world.wire.pop(0))
            note()

    deliver()
    for step in schedule:
        world.send(world.alice if step.by_alice else world.bob, b"data")
        note()
        if step.is_lost:
            world.wire.clear()
        deliver()
        until = world.now + step.seconds
        while (due := next_timer(world)) <= until:
            world.advance(max(0.0, due - world.now))
            deliver()
        world.now = until
    return said


def next_timer(world: World) -> float:
    return min(side.device.next_timer() or IDLE for side in world.sides)
