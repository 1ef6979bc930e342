# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The device as its peers see it: one test, one promise of WireGuard."""

from ipaddress import IPv4Address, ip_network

import pytest

from fs_tunnel.proto.constants import (
    LOADED_ABOVE_QUEUED,
    MAX_HANDSHAKE_ATTEMPTS,
    MAX_STAGED_PACKETS,
    REJECT_AFTER_MESSAGES,
)
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.proto.switch import KeyLogEntry
from fs_wire.errors import FlowShieldError
from fs_wire.types import Endpoint, PresharedKey, PrivateKey
from tests.proto.world import WALL_START_NS, Datagram, World, ipv4_packet, types

INITIATION, RESPONSE, COOKIE_REPLY, TRANSPORT = 1, 2, 3, 4
ELSEWHERE = Endpoint("203.0.113.9", 4242)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def connected(world: World) -> World:
    world.handshake()
    world.history.clear()
    return world


# The handshake.


def test_a_packet_makes_a_handshake_and_follows_it(world: World) -> None:
    packet = world.send(world.alice, b"hello")
    assert types(world.wire) == [INITIATION]
    world.settle()
    assert types(world.history) == [INITIATION, RESPONSE, TRANSPORT]
    assert world.bob.received == [packet]


def test_without_a_packet_the_initiator_confirms_with_a_keepalive(world: World) -> None:
    world.alice.peer.initiate_handshake(world.now)
    world.collect()
    world.settle()
    assert types(world.history) == [INITIATION, RESPONSE, TRANSPORT]
    assert len(world.history[-1].data) == 32
    assert world.bob.peer.latest_handshake_ns == WALL_START_NS


def test_staged_packets_leave_in_order_and_the_oldest_fall_out(world: World) -> None:
    sent = [world.send(world.alice, bytes([i])) for i in range(MAX_STAGED_PACKETS + 3)]
    world.settle()
    assert world.bob.received == sent[3:]
    assert world.alice.device.drops["staged_overflow"] == 3


def test_both_may_initiate_at_once(world: World) -> None:
    packets = world.send(world.alice, b"from alice"), world.send(world.bob, b"from bob")
    world.settle()
    assert (world.bob.received, world.alice.received) == ([packets[0]], [packets[1]])


def test_a_replayed_initiation_is_met_with_silence(world: World) -> None:
    world.handshake()
    initiation = world.history[0]
    before = len(world.history)
    world.advance(1)
    world.arrive(initiation)
    assert len(world.history) == before
    assert world.bob.device.drops["handshake_replayed"] == 1


def test_initiations_closer_than_20_ms_are_dropped(world: World) -> None:
    world.handshake()
    world.advance(0.01)
    world.alice.peer.initiate_handshake(world.now, is_retry=True)
    world.collect()
    world.settle()
    assert world.bob.device.drops["handshake_replayed"] == 1


def test_a_clock_set_back_does_not_lock_a_peer_out(world: World) -> None:
    """CVE-2021-46873, on the side of the initiator: stamps only grow within one run."""
    world.handshake()
    offsets = iter([10**18, -(10**18), -(10**18)])
    world.alice.device._switch.wall_time_ns = lambda: WALL_START_NS + next(offsets)
    world.advance(10)
    world.handshake()
    world.alice.device._switch.wall_time_ns = lambda: WALL_START_NS - 10**18
    world.advance(10)
    count = len(world.history)
    world.handshake()
    assert types(world.history[count:]) == [INITIATION, RESPONSE, TRANSPORT]


def test_removing_a_peer_forgets_a_poisoned_timestamp(world: World) -> None:
    """CVE-2021-46873, on the side of the responder."""
    world.alice.device._switch.wall_time_ns = lambda: WALL_START_NS + 10**18
    world.handshake()
    alice = World(0).alice  # the same keys after a restart, with the right time
    world.alice.device, world.alice.path = alice.device, alice.path
    world.advance(10)
    world.alice.device.come_up(world.now)
    world.handshake()
    assert world.bob.device.drops["handshake_replayed"] == 1
    peer = world.bob.peer
    world.bob.device.remove_peer(peer)
    world.bob.device.add_peer(peer.public_key).set_endpoint(world.alice.endpoint)
    world.advance(10)
    count = len(world.history)
    world.handshake()
    assert RESPONSE in types(world.history[count:])


def test_a_preshared_key_must_match_and_a_changed_one_counts(world: World) -> None:
    key = PresharedKey(bytes(range(32)))
    world.alice.peer.preshared_key = key
    world.send(world.alice, b"wrong")
    world.settle()
    assert world.bob.received == []
    assert world.alice.device.drops["handshake_not_authentic"] == 1
    world.bob.peer.preshared_key = key
    world.advance(12, honest=True)
    assert len(world.bob.received) == 1


def test_a_forged_response_leaves_the_handshake_pending(world: World) -> None:
    world.send(world.alice, b"x")
    world.arrive(world.wire.pop())
    response = world.wire.pop()
    forged = bytearray(response.data)
    forged[20] ^= 1
    world.alice.receive_datagram(bytes(forged), response.source, world.now)
    world.alice.device.process_handshakes(world.now)
    assert world.alice.device.drops["bad_mac1"] == 1
    world.arrive(response)
    world.settle()
    assert len(world.bob.received) == 1


def test_session_indices_are_random(world: World) -> None:
    seen = set()
    for _ in range(4):
        world.history.clear()
        world.handshake()
        seen.add(world.history[0].data[4:8])
        world.advance(10)
    assert len(seen) == 4
    assert not {bytes([n, 0, 0, 0]) for n in range(16)} & seen


# Timers: WireGuard paper, section 6.


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


# Transport.


def test_a_packet_is_padded_to_16_but_not_past_the_mtu(connected: World) -> None:
    device = connected.alice.device
    device.mtu = 1420
    for payload, padded in [(0, 32), (12, 32), (13, 48), (1389, 1420), (1400, 1420)]:
        packet = connected.send(connected.alice, bytes(payload))
        assert len(connected.wire.pop().data) == 32 + max(padded, len(packet))


def test_padding_is_removed(connected: World) -> None:
    packets = [connected.send(connected.alice, bytes(n)) for n in range(33)]
    connected.settle()
    assert connected.bob.received == packets


def test_a_replayed_or_flipped_packet_is_dropped_and_counted(connected: World) -> None:
    connected.send(connected.alice, b"once")
    (datagram,) = connected.wire
    connected.settle()
    connected.arrive(datagram)
    flipped = bytearray(datagram.data)
    flipped[8] += 1  # a counter not seen before
    connected.arrive(Datagram(bytes(flipped), datagram.source, datagram.destination))
    assert len(connected.bob.received) == 1
    assert connected.bob.device.drops == {"replayed": 1, "not_authentic": 1}


def test_only_a_peers_own_addresses_come_out(connected: World) -> None:
    lie = ipv4_packet(connected.bob.inner, connected.bob.inner, b"I am you")
    connected.alice.peer.send_packet(lie, connected.now)
    connected.collect()
    connected.settle()
    assert connected.bob.received == []
    assert connected.bob.device.drops["source_not_allowed"] == 1


@pytest.mark.parametrize("inner", [b"\x45" + bytes(7), b"\x00" * 40, b"\x60" + bytes(30)])
def test_a_packet_that_lies_about_itself_is_dropped(connected: World, inner: bytes) -> None:
    connected.alice.peer.send_packet(inner, connected.now)
    connected.collect()
    connected.settle()
    assert connected.bob.received == []
    assert connected.bob.device.drops["inner_malformed"] == 1


def test_the_more_specific_prefix_of_another_peer_wins(connected: World) -> None:
    device = connected.alice.device
    device.allow(connected.alice.peer, ip_network("0.0.0.0/0"))
    carol = device.add_peer(World(1).alice.device.public_key)  # type: ignore[arg-type]
    device.allow(carol, ip_network("10.9.0.0/16"))
    packet = ipv4_packet(connected.alice.inner, IPv4Address("10.9.1.1"), b"")
    connected.alice.receive_packet(packet, connected.now)
    assert device.drops["no_endpoint"] == 1  # Carol has none: the packet was hers


# Roaming.


def test_the_endpoint_follows_an_authentic_packet(connected: World) -> None:
    connected.send(connected.alice, b"from a new place")
    datagram = connected.wire.pop()
    connected.arrive(Datagram(datagram.data, ELSEWHERE, datagram.destination))
    assert connected.bob.peer.endpoint == ELSEWHERE


def test_the_endpoint_stays_for_what_is_not_authentic(connected: World) -> None:
    connected.send(connected.alice, b"x")
    datagram = connected.wire.pop()
    connected.arrive(datagram)
    for data in [datagram.data, datagram.data[:-1] + b"\0", b"hello"]:
        connected.arrive(Datagram(data, ELSEWHERE, connected.bob.endpoint))
    assert connected.bob.peer.endpoint == connected.alice.endpoint
    assert sum(connected.bob.device.drops.values()) == 3


def test_the_endpoint_follows_an_authentic_packet_that_is_dropped(connected: World) -> None:
    """WireGuard's netns.sh checks it: where a packet comes from is told by its tag alone."""
    lie = ipv4_packet(connected.bob.inner, connected.bob.inner, b"")
    connected.alice.peer.send_packet(lie, connected.now)
    connected.collect()
    connected.arrive(Datagram(connected.wire.pop().data, ELSEWHERE, connected.bob.endpoint))
    assert connected.bob.device.drops["source_not_allowed"] == 1
    assert connected.bob.peer.endpoint == ELSEWHERE


def test_staged_packets_go_to_where_the_confirmation_came_from(world: World) -> None:
    """Bob waits for a session; Alice moves between her initiation and her first packet."""
    world.alice.peer.initiate_handshake(world.now)
    world.collect()
    world.arrive(world.wire.pop())
    packet = world.send(world.bob, b"waits")
    world.arrive(world.wire.pop(0))
    confirmation = world.wire.pop()
    world.arrive(Datagram(confirmation.data, ELSEWHERE, confirmation.destination))
    assert [each.destination for each in world.wire] == [ELSEWHERE]
    world.arrive(Datagram(world.wire.pop().data, world.bob.endpoint, world.alice.endpoint))
    assert world.alice.received == [packet]


def test_where_both_were_lured_away_retries_lead_back(connected: World) -> None:
    """Eve forwards one packet each way, and leaves: both would talk to her for ever."""
    for side in connected.sides:
        connected.send(side, b"x")
        datagram = connected.wire.pop()
        connected.arrive(Datagram(datagram.data, ELSEWHERE, side.other.endpoint))
    assert {side.peer.endpoint for side in connected.sides} == {ELSEWHERE}
    connected.wire.clear()
    connected.send(connected.alice, b"anybody?")
    connected.advance(21, honest=True)
    assert connected.alice.peer.endpoint == connected.bob.endpoint
    packet = connected.send(connected.alice, b"there you are")
    connected.settle()
    assert connected.bob.received[-1] == packet


# Load.


def test_under_load_a_cookie_is_asked_for_and_given(world: World) -> None:
    world.send(world.alice, b"x")
    initiation = world.wire.pop()
    bob, device = world.bob, world.bob.device
    for _ in range(LOADED_ABOVE_QUEUED + 10):
        bob.receive_datagram(b"\1" + bytes(147), ELSEWHERE, world.now)
        bob.receive_datagram(initiation.data, ELSEWHERE, world.now)
    assert device.queued_handshakes == LOADED_ABOVE_QUEUED
    world.collect()
    assert types(world.wire) == [COOKIE_REPLY] * 10
    assert device.drops["cookie_demanded"] == 10
    device.shut_down()
    device.come_up(world.now)
    world.arrive(Datagram(world.wire[0].data, ELSEWHERE, world.alice.endpoint))
    assert world.alice.peer.endpoint == world.bob.endpoint  # a cookie moves nobody

    # The cookie names Eve's address, so Alice's next initiation is refused once more...
    world.wire.clear()
    world.advance(0.5)
    world.alice.peer.initiate_handshake(world.now, is_retry=True)
    world.collect()
    world.arrive(world.wire.pop())
    assert types(world.wire) == [COOKIE_REPLY]
    # ... and the cookie of her own address lets her in.
    world.arrive(world.wire.pop())
    world.alice.peer.initiate_handshake(world.now, is_retry=True)
    world.collect()
    world.settle()
    assert len(world.bob.received) == 1


def test_a_flood_ends_in_bounded_memory_and_leaves_sessions_alone(connected: World) -> None:
    connected.advance(10)
    connected.alice.peer.initiate_handshake(connected.now)
    connected.collect()
    initiation = connected.wire.pop()
    bob, device = connected.bob, connected.bob.device
    for _ in range(20_000):
        bob.receive_datagram(initiation.data, ELSEWHERE, connected.now)
    assert device.queued_handshakes == LOADED_ABOVE_QUEUED
    assert device.drops["cookie_demanded"] == 20_000 - LOADED_ABOVE_QUEUED
    packet = connected.send(connected.alice, b"in the middle of it")
    bob.receive_datagram(connected.wire.pop(0).data, connected.alice.endpoint, connected.now)
    assert bob.path.take_packets() == [packet]


# Settings.


def test_counters_are_those_of_the_wire(connected: World) -> None:
    for n in range(10):
        connected.send(connected.alice, bytes(n * 100))
        connected.settle()
    alice, bob = connected.alice.peer, connected.bob.peer
    assert (alice.counters.tx_bytes, alice.counters.tx_packets) == (
        bob.counters.rx_bytes,
        bob.counters.rx_packets,
    )
    assert (bob.counters.tx_bytes, bob.counters.tx_packets) == (
        alice.counters.rx_bytes,
        alice.counters.rx_packets,
    )
    assert alice.counters.tx_packets == 12  # an initiation, a keepalive, ten packets
    assert alice.counters.tx_bytes - 148 - 32 == sum(len(each.data) for each in connected.history)


def test_our_own_key_is_no_peer() -> None:
    device = World().alice.device
    assert device.public_key is not None
    with pytest.raises(FlowShieldError, match="our own key"):
        device.add_peer(device.public_key)


def test_a_peer_that_becomes_us_is_removed(world: World) -> None:
    device = world.alice.device
    device.set_private_key(world.bob.device.private_key)
    assert device.peers == {}
    assert device.allowed_ips.lookup(world.bob.inner.packed) is None


def test_a_changed_identity_ends_sessions(connected: World) -> None:
    connected.alice.device.set_private_key(PrivateKey(bytes(range(32))))
    connected.send(connected.alice, b"x")
    assert types(connected.wire) == [INITIATION]
    connected.settle()
    assert connected.bob.device.drops["unknown_peer"] == 1


def test_a_removed_peer_is_unknown(connected: World) -> None:
    connected.send(connected.alice, b"x")
    connected.bob.device.remove_peer(connected.bob.peer)
    connected.settle()
    assert connected.bob.device.drops["unknown_index"] == 1
    assert connected.bob.device.allowed_ips.lookup(connected.alice.inner.packed) is None


def test_a_device_that_is_down_sends_nothing() -> None:
    world = World()
    device = world.alice.device
    device.shut_down()
    world.alice.peer.set_persistent_keepalive(25, world.now)
    world.send(world.alice, b"")
    assert (world.wire, device.next_timer()) == ([], None)
    device.come_up(world.now)
    assert len(device.take_datagrams()) == 1


def test_a_device_without_a_key_drops_and_counts() -> None:
    world = World()
    world.send(world.alice, b"x")
    device = world.bob.device
    device.set_private_key(None)
    world.settle()
    assert device.drops == {"no_private_key": 1}


def test_a_key_log_holds_what_decrypts_a_handshake(world: World) -> None:
    entries: list[KeyLogEntry] = []
    world.alice.device.log_keys_to(entries.append)
    world.handshake()
    (entry,) = entries
    assert world.alice.device.private_key is not None
    assert entry.local_static == world.alice.device.private_key.raw
    assert entry.remote_static == world.alice.peer.public_key.raw
    assert public_key(entry.local_ephemeral) == world.history[0].data[8:40]
