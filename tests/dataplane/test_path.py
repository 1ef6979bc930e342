# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Each test is one promise that a packet path makes to the control plane and the pump."""

from ipaddress import ip_network

import pytest
from scapy.layers.inet import IP, TCP, UDP

from fs_tunnel.dataplane.offload import PLAIN
from fs_tunnel.proto.constants import MAX_QUEUED_HANDSHAKES, REJECT_AFTER_MESSAGES
from fs_tunnel.proto.messages import transport_header
from fs_tunnel.proto.path import (
    BecameActive,
    EndpointMoved,
    HandshakeReceived,
    HandshakesLost,
    HandshakeWanted,
    PacketWaits,
    SessionConfirmed,
)
from tests.dataplane.ends import (
    ALICE,
    BOB,
    ELSEWHERE,
    NOW,
    OURS,
    OVERHEAD,
    Ends,
    keys,
    packet,
    told,
)

# Packets.


def test_a_packet_crosses_and_is_counted(ends: Ends) -> None:
    alice, bob = ends
    alice.path.receive_packet(packet(), NOW)
    (datagram,) = alice.path.take_datagrams()
    assert tuple(datagram) == (alice.peer, BOB, None, datagram[3])
    assert datagram[3][:16] == transport_header(1, 0)
    bob.receive(datagram[3], source=ALICE)
    assert bob.delivered() == [packet()]
    length = 112 + OVERHEAD
    assert alice.path.counters(alice.peer) == (0, length, 0, 1)
    assert bob.path.counters(bob.peer) == (length, 0, 1, 0)
    assert (alice.path.take_datagrams(), bob.delivered()) == ([], [])
    assert not any(alice.path.drops().values())
    assert not any(bob.path.drops().values())


@pytest.mark.parametrize(
    ("mtu", "size", "padded"),
    [(0, 100, 112), (1420, 112, 112), (1420, 1417, 1420), (1420, 1420, 1420), (1420, 1421, 1424)],
)
def test_padding_stops_at_the_mtu(ends: Ends, mtu: int, size: int, padded: int) -> None:
    alice, bob = ends
    alice.path.set_mtu(mtu)
    (datagram,) = alice.send(packet(size))
    assert len(datagram) == padded + OVERHEAD
    bob.receive(datagram)
    assert bob.delivered() == [packet(size)]


def test_a_super_packet_crosses_in_segments(ends: Ends) -> None:
    alice, bob = ends
    whole = bytes(IP(src="10.0.0.1", dst="10.0.0.2", flags="DF") / TCP(flags="PA") / bytes(2500))
    header = (1).to_bytes(1, "little") * 2 + b"".join(
        number.to_bytes(2, "little") for number in (40, 1000, 20, 16)
    )
    alice.path.receive_frame(header + whole, NOW)
    datagrams = [each[3] for each in alice.path.take_datagrams()]
    assert len(datagrams) == 3
    for datagram in datagrams:
        bob.receive(datagram)
    assert [len(each) for each in bob.delivered()] == [1040, 1040, 540]


def test_a_frame_with_a_wrong_header_is_counted_and_not_sent(ends: Ends) -> None:
    alice, _ = ends
    alice.path.receive_frame(b"\1\1" + bytes(8) + packet(), NOW)
    alice.path.receive_frame(PLAIN[:5], NOW)
    assert alice.path.drops()["outbound_malformed"] == 2
    assert alice.path.take_datagrams() == []


# Refusals.


def test_an_outbound_packet_that_cannot_leave_is_counted_by_reason(ends: Ends) -> None:
    alice, _ = ends
    assert alice.send(b"\x45") == []
    assert alice.send(bytes(IP(dst="10.9.9.9") / UDP())) == []
    alice.path.set_up(False)
    assert alice.send(packet()) == []
    alice.path.set_endpoint(alice.peer, None, None)
    assert alice.send(packet()) == []
    assert alice.refused() == {
        "outbound_malformed": 1,
        "outbound_no_peer": 1,
        "interface_down": 1,
        "no_endpoint": 1,
    }
    assert alice.events() == []


def test_an_invalid_datagram_is_counted_by_reason_and_changes_nothing(ends: Ends) -> None:
    alice, bob = ends
    (datagram,) = alice.send(packet())
    for refused_datagram in (
        datagram[:31],
        b"\4\0\1\0" + datagram[4:],
        b"\4\0\0\0\7\0\0\0" + datagram[8:],
        datagram[:-1] + bytes([datagram[-1] ^ 1]),
        transport_header(1, REJECT_AFTER_MESSAGES) + datagram[16:],
    ):
        bob.receive(refused_datagram)
    bob.receive(datagram, NOW + 180)
    assert bob.refused() == {
        "malformed": 2,
        "unknown_index": 1,
        "not_authentic": 1,
        "session_expired": 2,
    }
    assert bob.path.endpoint(bob.peer) == (ALICE, None)
    assert bob.used() == 0
    assert bob.events() == []
    assert bob.path.activity(bob.peer) == (0.0, 0.0, 0.0, 0.0, False)


def test_a_replay_and_a_forged_replay_are_refused_for_their_own_reasons(ends: Ends) -> None:
    alice, bob = ends
    (datagram,) = alice.send(packet())
    bob.receive(datagram)
    bob.receive(datagram)
    bob.receive(datagram[:-1] + bytes([datagram[-1] ^ 1]))
    assert bob.refused() == {"replayed": 1, "not_authentic": 1}
    assert bob.delivered() == [packet()]
    assert bob.path.counters(bob.peer).rx_packets == 1


def test_an_inner_packet_must_be_valid_and_from_the_peers_networks(ends: Ends) -> None:
    alice, bob = ends
    for inner in (b"\x45" + bytes(15), packet(back=True)):
        datagram = alice.path.seal(alice.peer, inner, NOW)
        assert datagram is not None
        bob.receive(datagram)
    assert bob.refused() == {"inner_malformed": 1, "source_not_allowed": 1}
    assert bob.delivered() == []
    assert bob.path.counters(bob.peer).rx_packets == 2
    assert bob.path.endpoint(bob.peer) == (ELSEWHERE, None)


# Events of the path.


@pytest.mark.parametrize("data", [b"", b"\1", b"\1\0\0\0" + bytes(144), b"\5hello"])
def test_a_message_other_than_transport_goes_to_the_control_plane(ends: Ends, data: bytes) -> None:
    alice, _ = ends
    alice.path.receive_datagram(data, ELSEWHERE, OURS, NOW)
    assert alice.events() == told(HandshakeReceived(data, ELSEWHERE, OURS))
    assert alice.events() == []


def test_handshakes_wait_in_a_bounded_queue_and_are_taken_in_portions(ends: Ends) -> None:
    alice, _ = ends
    for number in range(MAX_QUEUED_HANDSHAKES + 10):
        alice.receive(b"\1" + number.to_bytes(2, "big"))
    # The native path holds fewer messages of one source.
    queued = MAX_QUEUED_HANDSHAKES + 10 - alice.refused()["handshake_queue_full"]
    assert 64 <= queued <= MAX_QUEUED_HANDSHAKES
    assert alice.events(0) == told(HandshakesLost())
    assert alice.events(0) == []
    taken = [*alice.events(3), *alice.events(MAX_QUEUED_HANDSHAKES)]
    assert taken == told(
        *(
            HandshakeReceived(b"\1" + number.to_bytes(2, "big"), ELSEWHERE, None)
            for number in range(queued)
        )
    )


def test_a_packet_waits_if_there_are_no_usable_keys(ends: Ends) -> None:
    alice, _ = ends
    assert alice.send(packet(), NOW + 180) == []
    assert alice.path.seal(alice.peer, packet(), NOW + 180) is None
    alice.path.use_keys(alice.peer, None)
    assert alice.send(packet(101)) == []
    alice.path.use_keys(alice.peer, 1)
    alice.path.remove_keys(1)
    assert alice.send(packet(102)) == []
    assert alice.events() == told(
        *(PacketWaits(alice.peer, packet(size)) for size in (100, 101, 102))
    )
    assert alice.used() == 0


def test_the_initiator_wants_a_handshake_but_not_for_every_packet(ends: Ends) -> None:
    alice, bob = ends
    for end, back, wanted in ((alice, False, 2), (bob, True, 0)):
        end.send(packet(back=back), NOW + 119.9)
        assert end.events() == told(BecameActive(end.peer))
        for late in (120.0, 120.05, 120.09, 120.15):
            assert end.send(packet(back=back), NOW + late)
        assert end.events() == told(HandshakeWanted(end.peer)) * wanted


def test_an_initiator_that_only_receives_wants_one_handshake_for_each_session(ends: Ends) -> None:
    alice, bob = ends
    alice.path.add_keys(alice.peer, keys(2, is_alice=True), confirmed=True)
    bob.path.add_keys(bob.peer, keys(2, is_alice=False), confirmed=True)
    for index in (1, 2):
        bob.path.use_keys(bob.peer, index)
        alice.receive(bob.sealed(packet(back=True)), NOW + 164.9)
        assert told(HandshakeWanted(alice.peer))[0] not in alice.events()
        for _ in range(3):
            alice.receive(bob.sealed(packet(back=True)), NOW + 165)
        assert alice.events() == told(HandshakeWanted(alice.peer))


def test_the_first_packet_confirms_a_session(ends: Ends) -> None:
    alice, bob = ends
    alice.path.add_keys(alice.peer, keys(2, is_alice=True), confirmed=True)
    alice.path.use_keys(alice.peer, 2)
    bob.path.add_keys(bob.peer, keys(2, is_alice=False), confirmed=False)
    forged = transport_header(2, 0) + bytes(16)
    bob.receive(forged)
    assert bob.events() == []
    for _ in range(2):
        bob.receive(alice.sealed(packet()), source=ALICE)
    assert bob.events() == told(SessionConfirmed(bob.peer, 2), BecameActive(bob.peer))
    # Alice has proved that she has the keys, so Bob uses them.
    assert bob.send(packet(back=True))[0][4:8] == b"\2\0\0\0"


def test_the_endpoint_follows_the_peer_and_answers_leave_from_the_address_it_sent_to(
    ends: Ends,
) -> None:
    alice, bob = ends
    (datagram,) = alice.send(packet())
    bob.path.receive_datagram(datagram, ELSEWHERE, OURS, NOW)
    assert bob.events() == told(EndpointMoved(bob.peer), BecameActive(bob.peer))
    assert bob.path.endpoint(bob.peer) == (ELSEWHERE, OURS)
    bob.path.receive_packet(packet(back=True), NOW)
    assert [tuple(each[:3]) for each in bob.path.take_datagrams()] == [(bob.peer, ELSEWHERE, OURS)]
    (datagram,) = alice.send(packet())
    bob.path.receive_datagram(datagram, ELSEWHERE, OURS, NOW)
    assert bob.events() == []


# Time.


def test_activity_tells_when_packets_passed(ends: Ends) -> None:
    alice, bob = ends
    (first,), (second,) = alice.send(packet(), NOW + 1), alice.send(packet(), NOW + 2)
    assert alice.path.activity(alice.peer) == (NOW + 2, 0.0, NOW + 1, 0.0, False)
    bob.receive(first, NOW + 3)
    assert bob.path.activity(bob.peer) == (0.0, NOW + 3, 0.0, NOW + 3, False)
    bob.receive(second, NOW + 4)
    assert bob.path.activity(bob.peer) == (0.0, NOW + 4, 0.0, NOW + 3, True)
    (answer,) = bob.send(packet(back=True), NOW + 5)
    assert bob.path.activity(bob.peer) == (NOW + 5, NOW + 4, NOW + 5, 0.0, True)
    assert bob.path.take_received_more(bob.peer)
    assert not bob.path.take_received_more(bob.peer)
    alice.receive(answer, NOW + 6)
    assert alice.path.activity(alice.peer) == (NOW + 2, NOW + 6, 0.0, NOW + 6, False)


def test_a_keepalive_is_an_answer_and_needs_none(ends: Ends) -> None:
    alice, bob = ends
    bob.receive(alice.sealed(packet(), NOW + 1), NOW + 1)
    keepalive = bob.path.seal(bob.peer, b"", NOW + 2)
    assert keepalive is not None
    assert len(keepalive) == OVERHEAD
    assert bob.path.activity(bob.peer) == (NOW + 2, NOW + 1, 0.0, 0.0, False)
    alice.receive(keepalive, NOW + 3)
    assert alice.path.activity(alice.peer) == (NOW + 1, NOW + 3, 0.0, 0.0, False)
    assert alice.delivered() == []
    assert alice.path.counters(alice.peer).rx_packets == 1


def test_messages_beside_the_path_count_as_answers_too(ends: Ends) -> None:
    alice, bob = ends
    bob.receive(alice.sealed(packet(), NOW + 1), NOW + 1)
    bob.path.note_sent(bob.peer, NOW + 2)
    alice.path.note_received(alice.peer, NOW + 2)
    assert bob.path.activity(bob.peer) == (NOW + 2, NOW + 1, 0.0, 0.0, False)
    assert alice.path.activity(alice.peer) == (NOW + 1, NOW + 2, 0.0, 0.0, False)


def test_a_timer_that_fired_begins_again_with_the_next_data(ends: Ends) -> None:
    alice, _ = ends
    alice.send(packet(), NOW + 1)
    alice.path.rearm(alice.peer)
    assert alice.path.activity(alice.peer).unanswered_sent == 0.0
    alice.send(packet(), NOW + 2)
    assert alice.path.activity(alice.peer).unanswered_sent == NOW + 2


def test_an_event_tells_of_the_first_packet_after_a_silence(ends: Ends) -> None:
    alice, bob = ends
    active = told(BecameActive(alice.peer))
    for _ in range(2):
        alice.send(packet())
    assert alice.events() == active
    alice.path.watch(alice.peer)
    alice.path.note_sent(alice.peer, NOW)
    alice.path.note_received(alice.peer, NOW)
    assert alice.events() == []
    alice.path.seal(alice.peer, b"", NOW)
    assert alice.events() == active
    alice.path.watch(alice.peer)
    alice.receive(bob.sealed(packet(back=True)), source=BOB)
    assert alice.events() == active


# Tables.


def test_a_datagram_that_could_not_be_sent_is_taken_off_the_counters(ends: Ends) -> None:
    alice, _ = ends
    (datagram,) = alice.send(packet())
    alice.path.not_sent(alice.peer, len(datagram))
    assert alice.path.counters(alice.peer) == (0, 0, 0, 0)


def test_a_removed_peer_leaves_nothing_behind(ends: Ends) -> None:
    alice, bob = ends
    (datagram,) = bob.send(packet(back=True))
    alice.path.remove_peer(alice.peer)
    alice.receive(datagram)
    assert alice.send(packet()) == []
    assert alice.refused() == {"unknown_index": 1, "outbound_no_peer": 1}
    number = alice.path.add_peer()
    assert alice.path.counters(number) == (0, 0, 0, 0)
    assert alice.path.endpoint(number) == (None, None)


def test_a_network_can_go_from_one_peer_to_another(ends: Ends) -> None:
    alice, _ = ends
    carol = alice.path.add_peer()
    alice.path.allow(ip_network("10.0.0.2/32"), carol)
    assert alice.send(packet()) == []
    assert alice.refused() == {"no_endpoint": 1}
    alice.path.disallow(ip_network("10.0.0.2/32"))
    alice.path.disallow(ip_network("10.0.0.2/32"))
    assert alice.send(packet()) == []
    assert alice.refused() == {"no_endpoint": 1, "outbound_no_peer": 1}
    alice.path.allow(ip_network("10.0.0.0/8"), alice.peer)
    assert len(alice.send(packet())) == 1
