# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Packets through a device: what comes out on the other side, and where answers go."""

from ipaddress import IPv4Address, ip_network

import pytest

from tests.proto.world import ELSEWHERE, Datagram, World, ipv4_packet

# Packets.


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
