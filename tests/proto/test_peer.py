# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""One peer's promises that only time, loss or Eve bring to light."""

import os

from fs_tunnel.proto.cookie import CookieGenerator
from fs_tunnel.proto.messages import Initiation, Response
from fs_tunnel.proto.noise import NoiseIKpsk2, StaticKeys
from fs_tunnel.proto.path import EndpointMoved, LocalAddress
from fs_wire.types import Endpoint, PublicKey
from tests.proto.world import (
    ELSEWHERE,
    INITIATION,
    RESPONSE,
    TRANSPORT,
    Datagram,
    Side,
    World,
    ipv4_packet,
    types,
)

NEVER_ANSWERED = 200.0  # seconds: after these, an initiator has given up


def indices(side: Side) -> int:
    return len(side.device._switch.indices)


def public(side: Side) -> bytes:
    assert side.device.public_key is not None
    return side.device.public_key.raw


def said_by(world: World, side: Side) -> list[int]:
    return types([each for each in world.history if each.source == side.endpoint])


# Which packets a peer believes.


def test_an_initiation_in_alices_name_moves_nobody(connected: World) -> None:
    """Eve knows both public keys, which is enough for all but the payload."""
    alice, bob = connected.alice, connected.bob
    bob.peer.set_endpoint(alice.endpoint)
    before = bob.peer.counters.rx_bytes
    noise = NoiseIKpsk2(b"WireGuard v1 zx2c4 Jason@zx2c4.com", public(bob))
    disguise = StaticKeys(os.urandom(32), public(alice))
    parts = noise.write_initiation(
        disguise, public(bob), os.urandom(32), os.urandom(32), b"\xff" * 12
    )
    forged = CookieGenerator(public(bob)).add_macs(Initiation(7, *parts).to_bytes(), 0)
    connected.arrive(Datagram(forged, ELSEWHERE, bob.endpoint))
    assert bob.device.drops == {"handshake_not_authentic": 1}
    assert (bob.peer.endpoint, bob.peer.counters.rx_bytes) == (alice.endpoint, before)
    assert connected.wire == []


def test_a_replayed_initiation_moves_nobody(world: World) -> None:
    world.handshake()
    initiation = world.history[0]
    world.advance(1)
    world.arrive(Datagram(initiation.data, ELSEWHERE, world.bob.endpoint))
    assert world.bob.device.drops == {"handshake_replayed": 1}
    assert world.bob.peer.endpoint == world.alice.endpoint


def test_a_response_in_bobs_name_moves_nobody_and_spoils_nothing(world: World) -> None:
    packet = world.send(world.alice, b"x")
    initiation = world.wire.pop()
    index = int.from_bytes(initiation.data[4:8], "little")
    forged = Response(9, index, StaticKeys.from_private(os.urandom(32)).public, bytes(16))
    data = CookieGenerator(public(world.alice)).add_macs(forged.to_bytes(), 0)
    world.arrive(Datagram(data, ELSEWHERE, world.alice.endpoint))
    assert world.alice.device.drops == {"handshake_not_authentic": 1}
    assert world.alice.peer.endpoint == world.bob.endpoint
    assert world.alice.peer.counters.rx_bytes == 0
    world.arrive(initiation)
    world.settle()
    assert world.bob.received == [packet]


def test_a_response_does_not_come_to_a_session(connected: World) -> None:
    """The index is that of a finished handshake: not even its keys are looked at."""
    alice = connected.alice
    session = alice.peer._sessions.current
    assert session is not None
    response = Response(9, session.local_index, bytes(32), bytes(16)).to_bytes()
    data = CookieGenerator(public(alice)).add_macs(response, 0)
    connected.arrive(Datagram(data, ELSEWHERE, alice.endpoint))
    assert alice.device.drops == {"unknown_index": 1}


# What is freed.


def test_indices_are_those_of_living_sessions(world: World) -> None:
    for _ in range(5):
        world.handshake()
        world.advance(10)
    assert (indices(world.alice), indices(world.bob)) == (2, 2)
    world.advance(3 * 180 + 1)
    assert (indices(world.alice), indices(world.bob)) == (0, 0)


def test_indices_of_unanswered_initiations_are_freed(world: World) -> None:
    world.send(world.alice, b"x")
    world.advance(60)
    assert indices(world.alice) == 1
    world.advance(NEVER_ANSWERED + 3 * 180)
    assert indices(world.alice) == 0


def test_indices_of_unconfirmed_sessions_are_freed(world: World) -> None:
    for _ in range(5):
        world.alice.peer.initiate_handshake(world.now, is_retry=True)
        world.collect()
        world.arrive(world.wire.pop())
        world.wire.clear()
        world.advance(1)
    assert indices(world.bob) == 1


def test_a_peer_key_of_low_order_is_counted_and_leaks_nothing(world: World) -> None:
    peer = world.alice.device.add_peer(PublicKey(bytes(32)))
    peer.set_endpoint(ELSEWHERE)
    for _ in range(3):
        peer.send_packet(b"x", world.now)
        world.now += 10
    assert world.alice.device.drops["unusable_peer_key"] == 3
    assert indices(world.alice) == 0
    assert world.alice.device.take_datagrams() == []


# Retries.


def test_who_gave_up_tries_as_long_again(world: World) -> None:
    tries = []
    for _ in range(2):
        world.send(world.alice, b"x")
        world.advance(NEVER_ANSWERED)
        tries.append(said_by(world, world.alice).count(INITIATION))
        world.history.clear()
    assert tries == [19, 19]
    assert world.alice.device.drops["handshake_gave_up"] == 2


def test_an_answer_makes_the_next_retries_as_many(world: World) -> None:
    world.send(world.alice, b"x")
    world.advance(60)
    world.wire[:] = world.wire[-1:]
    world.settle()
    world.history.clear()
    world.bob.device.shut_down()
    world.alice.peer.initiate_handshake(world.now)
    world.advance(NEVER_ANSWERED)
    assert said_by(world, world.alice).count(INITIATION) == 19


def test_what_waited_is_dropped_with_the_last_retry(world: World) -> None:
    world.send(world.alice, b"stale")
    world.advance(NEVER_ANSWERED)
    world.wire.clear()
    world.handshake()
    assert world.bob.received == []


def test_giving_up_ends_the_keepalive_that_was_due(connected: World) -> None:
    connected.advance(70)
    connected.alice.peer.initiate_handshake(connected.now)
    connected.advance(94.5)
    connected.wire.clear()
    connected.collect()
    connected.send(connected.bob, b"data")
    connected.arrive(connected.wire.pop())
    connected.history.clear()
    connected.advance(8)
    assert connected.alice.device.drops["handshake_gave_up"] == 1
    connected.history.clear()
    connected.advance(7)
    assert said_by(connected, connected.alice) == []


def test_giving_up_does_not_make_keys_live_longer(connected: World) -> None:
    connected.advance(400)
    connected.send(connected.alice, b"x")
    connected.advance(135)
    assert connected.alice.device.drops["handshake_gave_up"] == 1
    connected.advance(10)  # 545 s after the session began
    assert indices(connected.alice) == 0


def test_a_settled_endpoint_ends_the_search_for_others(connected: World) -> None:
    alice, moved = connected.alice, Endpoint("198.51.100.7", 7)
    connected.send(connected.bob, b"x")
    connected.arrive(Datagram(connected.wire.pop().data, ELSEWHERE, alice.endpoint))
    connected.advance(200)
    connected.send(alice, b"anybody?")
    connected.advance(12)
    assert {each.destination for each in connected.wire} >= {ELSEWHERE, connected.bob.endpoint}
    connected.wire.clear()
    alice.peer.set_endpoint(moved)
    connected.advance(30)
    assert {each.destination for each in connected.wire if each.source == alice.endpoint} == {moved}


def test_the_first_endpoint_and_every_other_one_is_told(world: World) -> None:
    """A provider does not know where its clients are until they call."""
    provider = world.bob.device
    (peer,) = provider.peers.values()
    world.bob.path.set_endpoint(peer.number, ELSEWHERE, None)
    world.handshake()
    notices = provider.take_notices()
    assert notices == [(peer, EndpointMoved(peer.number))]
    assert peer.endpoint == world.alice.endpoint
    world.advance(130, honest=True)
    world.send(world.alice, b"under other keys")
    world.settle()
    assert provider.take_notices() == []


def test_a_peer_is_greeted_where_there_is_no_session(world: World) -> None:
    alice = world.alice.peer
    alice.greet(world.now)
    alice.greet(world.now)
    world.collect()
    assert types(world.wire) == [INITIATION]  # one initiation, however often
    world.settle()
    assert world.bob.peer.counters.rx_packets == 2  # and the keepalive that confirms it
    alice.greet(world.now)
    world.collect()
    assert world.wire == []
    world.send(world.bob, b"at once")
    assert types(world.wire) == [TRANSPORT]


# Timers.


def test_data_while_a_keepalive_is_due_is_acknowledged_again(connected: World) -> None:
    alice = connected.alice
    for _ in range(2):
        connected.send(connected.bob, b"data")
        connected.settle()
        connected.advance(5)
    assert said_by(connected, alice) == [TRANSPORT]
    connected.advance(9.9)
    assert said_by(connected, alice) == [TRANSPORT]
    connected.advance(0.2)
    assert said_by(connected, alice) == [TRANSPORT] * 2
    connected.advance(60)
    assert said_by(connected, alice) == [TRANSPORT] * 2


def test_each_session_is_renewed_while_receiving(connected: World) -> None:
    for _ in range(3):
        connected.history.clear()
        connected.advance(166, honest=True)
        assert said_by(connected, connected.alice) == []
        connected.send(connected.bob, b"data")
        connected.settle()
        assert said_by(connected, connected.alice) == [INITIATION, TRANSPORT]


def test_a_renewal_is_repeated_by_its_timer_and_not_by_packets(connected: World) -> None:
    connected.advance(166)
    for expected in ([INITIATION], []):
        connected.advance(5.0)  # less than the timer takes with its jitter
        connected.wire.clear()
        connected.history.clear()
        connected.send(connected.bob, b"data")
        connected.arrive(connected.wire.pop())
        assert said_by(connected, connected.alice) == expected
    connected.advance(0.334)
    assert said_by(connected, connected.alice) == [INITIATION]


def test_answers_leave_from_where_the_peer_spoke_to(connected: World) -> None:
    alice, ours = connected.alice, LocalAddress(bytes([192, 0, 2, 77]), 3)
    connected.send(connected.bob, b"x")
    datagram = connected.wire.pop()
    alice.receive_datagram(datagram.data, datagram.source, connected.now, ours)
    alice.peer.send_packet(b"answer", connected.now)
    assert [each.local for each in alice.device.take_datagrams()] == [ours]
    # Nothing comes back: our address may be gone, so the host shall choose another one.
    alice.device.handle_timers(connected.now + 16)
    taken = alice.device.take_datagrams()
    assert [(each.data[0], each.local) for each in taken] == [(INITIATION, None)]


# Settings, and the end.


def test_a_keepalive_that_was_on_opens_no_path_again(connected: World) -> None:
    alice = connected.alice
    for seconds, sent in ((25, [TRANSPORT]), (20, []), (0, []), (25, [TRANSPORT])):
        alice.peer.set_persistent_keepalive(seconds, connected.now)
        assert [each.data[0] for each in alice.device.take_datagrams()] == sent


def test_a_keepalive_does_not_wait_beside_a_packet(world: World) -> None:
    packet = world.send(world.alice, b"x")
    for _ in range(3):
        world.alice.peer.send_keepalive(world.now)
    world.settle()
    assert world.bob.received == [packet]
    assert types(world.history) == [INITIATION, RESPONSE, TRANSPORT]


def test_a_peer_that_is_removed_or_down_is_silent_for_ever(connected: World) -> None:
    for side in connected.sides:
        side.peer.set_persistent_keepalive(25, connected.now)
    connected.collect()
    connected.settle()
    connected.alice.device.remove_peer(connected.alice.peer)
    connected.bob.device.shut_down()
    connected.history.clear()
    connected.advance(1000)
    assert connected.history == []
    assert connected.alice.device.drops == connected.bob.device.drops == {}


def test_what_was_under_way_ends_with_the_interface(connected: World) -> None:
    alice = connected.alice
    connected.advance(200)
    connected.send(alice, b"stale")
    connected.arrive(connected.wire.pop())
    (response,) = connected.wire
    alice.device.shut_down()
    assert indices(alice) == 0
    alice.device.come_up(connected.now)
    connected.wire.clear()
    connected.arrive(response)
    assert alice.device.drops == {"unknown_index": 1}
    connected.advance(1)
    connected.handshake()
    packet = connected.send(alice, b"fresh")
    connected.settle()
    assert connected.bob.received == [packet]


def test_a_packet_does_not_wait_for_an_interface_that_is_down(world: World) -> None:
    alice = world.alice.device
    alice.shut_down()
    world.send(world.alice, b"into the void")
    assert alice.drops == {"interface_down": 1}
    alice.come_up(world.now)
    world.handshake()
    assert world.bob.received == []


def test_what_the_shell_could_not_send_is_uncounted(connected: World) -> None:
    alice = connected.alice
    connected.advance(10)
    before = alice.peer.counters
    alice.receive_packet(ipv4_packet(alice.inner, connected.bob.inner, b""), connected.now)
    alice.peer.send_keepalive(connected.now)
    alice.peer.initiate_handshake(connected.now)
    unsent = alice.take_datagrams(connected.now)
    assert [each.data[0] for each in unsent] == [TRANSPORT, TRANSPORT, INITIATION]
    assert alice.peer.counters != before
    for outgoing in unsent:
        alice.device.not_sent(outgoing)
    assert alice.peer.counters == before
