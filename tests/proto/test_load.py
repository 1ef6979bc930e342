# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A device under load, and what its settings leave behind."""

from ipaddress import IPv4Address, ip_network

from fs_tunnel.proto.constants import LOADED_ABOVE_QUEUED, LOADED_FOR, MAX_QUEUED_HANDSHAKES
from fs_tunnel.proto.cookie import CookieGenerator
from fs_tunnel.proto.messages import CookieReply, Initiation, parse_untrusted
from fs_tunnel.proto.ratelimit import BURST
from fs_wire.types import Endpoint, PrivateKey, PublicKey
from tests.proto.world import INITIATION, Datagram, World, ipv4_packet, types

EVE = Endpoint("198.51.100.66", 6666)


def eves_macs(world: World) -> CookieGenerator:
    """Eve knows Bob's public key, and so her MACs are right."""
    key = world.bob.device.public_key
    assert key is not None
    return CookieGenerator(key.raw)


def nonsense(number: int = 0) -> bytes:
    return Initiation(number, bytes(32), bytes(48), bytes(28)).to_bytes()


def fill(world: World, count: int) -> None:
    data = eves_macs(world).add_macs(nonsense(), world.now)
    for _ in range(count):
        world.bob.receive_datagram(data, EVE, world.now)


def test_a_cookie_lets_in_no_more_than_the_rate(world: World) -> None:
    bob, device, eve = world.bob, world.bob.device, eves_macs(world)
    fill(world, LOADED_ABOVE_QUEUED)
    bob.receive_datagram(eve.add_macs(nonsense(), world.now), EVE, world.now)
    (outgoing,) = device.take_datagrams()
    assert (outgoing.endpoint, outgoing.peer) == (EVE, None)
    reply = parse_untrusted(outgoing.data)
    assert isinstance(reply, CookieReply)
    eve.consume_reply(reply, world.now)
    for number in range(50):
        bob.receive_datagram(eve.add_macs(nonsense(number), world.now), EVE, world.now)
    assert device.queued_handshakes == LOADED_ABOVE_QUEUED + BURST
    assert device.drops["rate_limited"] == 50 - BURST
    assert device.take_datagrams() == []


def test_the_load_ends_a_second_after_the_queue_is_short(world: World) -> None:
    device = world.bob.device
    fill(world, LOADED_ABOVE_QUEUED + 1)
    device.process_handshakes(world.now)
    device.take_datagrams()
    for seconds, reply in ((0.0, True), (LOADED_FOR - 0.01, True), (LOADED_FOR, False)):
        before = device.queued_handshakes
        data = eves_macs(world).add_macs(nonsense(), world.now)
        world.bob.receive_datagram(data, EVE, world.now + seconds)
        assert bool(device.take_datagrams()) is reply
        assert device.queued_handshakes == before + (not reply)


def test_what_the_path_lost_is_load_too(world: World) -> None:
    """The control plane may be too slow to fill its own queue."""
    device = world.bob.device
    for _ in range(MAX_QUEUED_HANDSHAKES + 1):
        world.bob.path.receive_datagram(nonsense(), EVE, None, world.now)
    device.handle_events(world.now)
    device.process_handshakes(world.now)
    data = eves_macs(world).add_macs(nonsense(), world.now)
    world.bob.path.receive_datagram(data, EVE, None, world.now + LOADED_FOR - 0.01)
    device.handle_events(world.now + LOADED_FOR - 0.01, handshakes=MAX_QUEUED_HANDSHAKES)
    assert device.drops["cookie_demanded"] == 1


def test_the_queue_is_bounded_for_what_needs_no_cookie(world: World) -> None:
    """A cookie reply carries no mac1: anybody may send one."""
    device = world.bob.device
    data = CookieReply(7, bytes(24), bytes(32)).to_bytes()
    for _ in range(MAX_QUEUED_HANDSHAKES + 10):
        world.bob.receive_datagram(data, EVE, world.now)
    assert device.queued_handshakes == MAX_QUEUED_HANDSHAKES
    assert device.drops["handshake_queue_full"] == 10


def test_handshakes_are_worked_off_in_portions(world: World) -> None:
    device = world.bob.device
    fill(world, 10)
    device.process_handshakes(world.now, budget=3)
    assert device.queued_handshakes == 7
    assert device.drops["handshake_not_authentic"] == 3
    device.process_handshakes(world.now)
    assert device.queued_handshakes == 0


def test_a_cookie_reply_moves_nobody(world: World) -> None:
    world.send(world.alice, b"x")
    initiation = world.wire.pop()
    fill(world, LOADED_ABOVE_QUEUED)
    world.arrive(initiation, handshakes=False)
    reply = next(each for each in world.wire if each.destination == world.alice.endpoint)
    world.arrive(Datagram(reply.data, EVE, world.alice.endpoint))
    assert world.alice.device.drops == {}
    assert world.alice.peer.endpoint == world.bob.endpoint


# Who owns an address, and what is counted.


def test_a_peer_may_not_speak_for_another_peer(connected: World) -> None:
    device, carols = connected.bob.device, IPv4Address("10.0.0.3")
    device.allow(device.add_peer(PublicKey(b"\7" * 32)), ip_network(f"{carols}/32"))
    lie = ipv4_packet(carols, connected.bob.inner, b"I am Carol")
    connected.alice.peer.send_packet(lie, connected.now)
    connected.collect()
    connected.settle()
    assert connected.bob.received == []
    assert device.drops == {"source_not_allowed": 1}


def test_what_has_no_peer_or_is_no_packet_is_counted(connected: World) -> None:
    alice, device = connected.alice, connected.alice.device
    nowhere = IPv4Address("192.0.2.99")
    alice.receive_packet(ipv4_packet(alice.inner, nowhere, b""), connected.now)
    alice.receive_packet(b"\x45", connected.now)
    assert device.drops == {"outbound_no_peer": 1, "outbound_malformed": 1}
    assert alice.take_datagrams(connected.now) == []


# Settings.


def test_a_removed_peer_gets_no_answer_and_owns_nothing(world: World) -> None:
    world.send(world.alice, b"x")
    bob = world.bob.device
    bob.remove_peer(world.bob.peer)
    world.arrive(world.wire.pop())
    assert world.wire == []
    assert bob.drops == {"unknown_peer": 1}
    world.bob.receive_packet(ipv4_packet(world.bob.inner, world.alice.inner, b""), world.now)
    assert bob.drops["outbound_no_peer"] == 1


def test_the_same_identity_again_changes_nothing(connected: World) -> None:
    for side in connected.sides:
        side.device.set_private_key(side.device.private_key)
    packet = connected.send(connected.alice, b"still here")
    connected.settle()
    assert connected.bob.received == [packet]
    assert INITIATION not in types(connected.history)


def test_what_waited_for_another_identity_is_forgotten(world: World) -> None:
    fill(world, 10)
    world.bob.device.set_private_key(PrivateKey(bytes(range(32))))
    assert world.bob.device.queued_handshakes == 0


def test_an_interface_that_went_down_has_no_session_when_it_comes_up(connected: World) -> None:
    device = connected.alice.device
    device.shut_down()
    device.come_up(connected.now)
    connected.send(connected.alice, b"x")
    assert types(connected.wire) == [INITIATION]


def test_a_deadline_that_was_passed_over_does_not_stay_due(connected: World) -> None:
    """The owner sleeps until ``next_timer``: a time that never leaves would keep it awake."""
    device, peer = connected.alice.device, connected.alice.peer
    peer.set_persistent_keepalive(25, connected.now)
    connected.send(connected.alice, b"x")
    for _ in range(200):
        due = device.next_timer()
        assert due is not None
        connected.now = max(connected.now, due)
        device.handle_timers(connected.now)
        after = device.next_timer()
        assert after is None or after > connected.now
