# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A call reaches all of a peer's endpoints, and one answer makes a session."""

from fs_tunnel.proto.constants import CALL_ANSWERED_FOR, MIN_CALL_INTERVAL
from fs_wire.types import Endpoint
from tests.proto.world import World

SEEN = Endpoint("203.0.113.7", 40000)


def test_a_call_goes_to_every_endpoint_and_any_answer_will_do() -> None:
    world = World()
    alice, bob = world.alice, world.bob
    wrong = Endpoint("203.0.113.1", 1)
    alice.peer.set_endpoint(wrong)
    assert not alice.peer.call([wrong, bob.endpoint, SEEN], world.now)
    world.collect()
    called = [each for each in world.wire if each.source == alice.endpoint]
    assert [each.destination for each in called] == [wrong, bob.endpoint, SEEN]
    assert len({each.data for each in called}) == 1
    world.settle()
    assert alice.peer.endpoint == bob.endpoint
    assert alice.peer.call([wrong], world.now)
    world.collect()
    assert not world.wire  # there is a session


def test_calls_are_not_sent_too_often() -> None:
    world = World()
    for _ in range(3):
        world.alice.peer.call([SEEN], world.now)
    assert len(world.alice.device.take_datagrams()) == 2  # where it was, and this one
    world.alice.peer.call([SEEN], world.now + 2 * MIN_CALL_INTERVAL)
    assert len(world.alice.device.take_datagrams()) == 2


def test_an_old_session_is_no_answer_to_a_call_and_stays_until_there_is_another() -> None:
    world = World()
    alice, bob = world.alice, world.bob
    alice.peer.call([bob.endpoint], world.now)
    world.collect()
    world.settle()
    world.now += CALL_ANSWERED_FOR - 1
    assert alice.peer.call([SEEN], world.now)
    world.now += 2
    assert not alice.peer.call([SEEN], world.now)
    world.collect()
    assert SEEN in {each.destination for each in world.wire}
    packet = world.send(alice, b"meanwhile")
    world.settle()
    assert bob.received == [packet]
    assert alice.peer.call([SEEN], world.now)


def test_both_call_at_once_and_have_one_session() -> None:
    world = World()
    for side in world.sides:
        side.peer.call([side.other.endpoint], world.now)
    world.collect()
    world.settle()
    packet = world.send(world.alice, b"through")
    world.settle()
    assert world.bob.received == [packet]
    for side in world.sides:
        assert side.peer.call([SEEN], world.now)
