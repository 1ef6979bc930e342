# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The timers of a device as its peers see them: section 6 of the WireGuard paper."""

import pytest

from fs_tunnel.proto.constants import MAX_HANDSHAKE_ATTEMPTS, REJECT_AFTER_MESSAGES
from tests.proto.world import INITIATION, RESPONSE, TRANSPORT, World, types


def test_the_initiator_rekeys_after_120_s_of_sending(connected: World) -> None:
    connected.advance(119, honest=True)
    connected.send(connected.alice, b"early")
    connected.settle()
    assert INITIATION not in types(connected.history)
    connected.advance(1.5, honest=True)
    connected.send(connected.alice, b"late")
    assert types(connected.wire) == [TRANSPORT, INITIATION]


def test_the_responder_does_not_rekey_at_120_s(connected: World) -> None:
    connected.advance(121)
    connected.send(connected.bob, b"x")
    assert types(connected.wire) == [TRANSPORT]


def test_an_initiator_that_only_receives_rekeys_at_165_s(connected: World) -> None:
    connected.advance(166)
    connected.send(connected.bob, b"x")
    connected.settle()
    assert INITIATION in types(connected.history)


def test_a_key_of_180_s_is_refused(connected: World) -> None:
    connected.send(connected.alice, b"late")
    late = connected.wire.pop()
    connected.advance(180)
    connected.arrive(late)
    assert connected.bob.received == []
    assert connected.bob.device.drops["session_expired"] == 1
    connected.wire.clear()
    connected.send(connected.bob, b"x")
    assert types(connected.wire) == [INITIATION]


def test_hours_of_traffic_renew_keys_without_losing_a_packet(world: World) -> None:
    sent = []
    for _ in range(4 * 3600 // 10):
        sent.append(world.send(world.alice, b"tick"))
        world.settle()
        world.advance(10, honest=True)
    assert world.bob.received == sent
    # A new session every 120 s, or at the first packet after it.
    assert types(world.history).count(RESPONSE) == pytest.approx(4 * 3600 / 120, abs=3)


def test_an_unanswered_initiation_is_repeated_for_90_s(world: World) -> None:
    world.send(world.alice, b"anybody there?")
    world.advance(300)
    count = types(world.history).count(INITIATION)
    assert count == 1 + MAX_HANDSHAKE_ATTEMPTS == 19
    assert world.alice.device.drops["handshake_gave_up"] == 1
    world.send(world.alice, b"once more")
    assert types(world.history).count(INITIATION) == count + 1


def test_retries_are_5_s_apart_and_jittered(world: World) -> None:
    world.send(world.alice, b"x")
    moments = []
    for _ in range(5):
        due = world.alice.device.next_timer()
        assert due is not None
        moments.append(due - world.now)
        world.advance(due - world.now)
    assert all(5.0 <= gap < 5.334 for gap in moments)
    assert len(set(moments)) > 1


def test_received_data_is_acknowledged_within_10_s_and_once(connected: World) -> None:
    connected.advance(1)
    connected.send(connected.alice, b"x")
    connected.settle()
    connected.history.clear()
    connected.advance(9.9, honest=True)
    assert connected.history == []
    connected.advance(0.2, honest=True)
    assert [len(each.data) for each in connected.history] == [32]
    # No ping-pong: a keepalive is not answered by a keepalive.
    connected.advance(60, honest=True)
    assert len(connected.history) == 1


def test_an_answer_takes_the_place_of_the_keepalive(connected: World) -> None:
    connected.advance(1)
    connected.send(connected.alice, b"question")
    connected.settle()
    connected.send(connected.bob, b"answer")
    connected.settle()
    connected.history.clear()
    connected.advance(20, honest=True)
    assert [each.source for each in connected.history] == [connected.alice.endpoint]


def test_silence_after_sending_makes_a_new_handshake_after_15_s(connected: World) -> None:
    connected.send(connected.alice, b"x")
    connected.wire.clear()
    connected.advance(14.9)
    assert INITIATION not in types(connected.history)
    connected.advance(0.5)
    assert INITIATION in types(connected.history)


def test_keys_are_erased_after_540_s(connected: World) -> None:
    connected.wire.clear()
    assert len(connected.alice.device._switch.indices) == 1
    connected.advance(541)
    connected.wire.clear()
    assert len(connected.alice.device._switch.indices) == 0
    assert connected.alice.device.next_timer() is None


def test_persistent_keepalive_opens_the_path_and_keeps_it(world: World) -> None:
    world.alice.peer.set_persistent_keepalive(25, world.now)
    world.collect()
    world.settle()
    assert types(world.history) == [INITIATION, RESPONSE, TRANSPORT]
    world.history.clear()
    world.advance(101, honest=True)
    assert types(world.history) == [TRANSPORT] * 4
    world.alice.peer.set_persistent_keepalive(0, world.now)
    world.history.clear()
    world.advance(100, honest=True)
    assert world.history == []


def test_messages_run_out_before_the_counter_does(connected: World) -> None:
    alice = connected.alice
    (session,) = alice.path._sessions.values()
    session.keypair.sending_counter = REJECT_AFTER_MESSAGES - 1
    connected.advance(10)
    packet = connected.send(connected.alice, b"the last one")
    assert types(connected.wire) == [TRANSPORT, INITIATION]
    connected.wire.pop()
    connected.settle()
    assert connected.bob.received == [packet]
    connected.send(connected.alice, b"one too many")
    assert TRANSPORT not in types(connected.wire)
