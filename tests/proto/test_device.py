# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The device as its peers see it: one test, one promise of WireGuard."""

import pytest

from fs_tunnel.proto.constants import (
    LOADED_ABOVE_QUEUED,
    MAX_STAGED_PACKETS,
)
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.proto.switch import KeyLogEntry
from fs_wire.errors import FlowShieldError
from fs_wire.types import PresharedKey, PrivateKey
from tests.proto.world import (
    COOKIE_REPLY,
    ELSEWHERE,
    INITIATION,
    RESPONSE,
    TRANSPORT,
    WALL_START_NS,
    Datagram,
    World,
    types,
)

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
