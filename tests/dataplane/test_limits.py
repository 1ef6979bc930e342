# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A path limits each peer's rate and credit, except towards the gateway."""

from scapy.layers.inet import IP, TCP, UDP

from fs_tunnel.dataplane.rows import MIN_BURST
from fs_tunnel.proto.path import BecameActive, CreditLow, Limits
from tests.dataplane.ends import BOB, NOW, OVERHEAD, Ends, packet, told


def test_a_rate_allows_a_burst_of_one_second(ends: Ends) -> None:
    alice, bob = ends
    wire = 1408 + OVERHEAD
    alice.path.set_limits(alice.peer, Limits(tx_rate=200 * wire))
    bob.path.set_limits(bob.peer, Limits(rx_rate=100 * wire))
    datagrams = [datagram for _ in range(300) for datagram in alice.send(packet(1408))]
    assert len(datagrams) == 200
    assert alice.refused() == {"rate_limited_sending": 100}
    for datagram in datagrams:
        bob.receive(datagram)
    assert len(bob.delivered()) == 100
    assert bob.refused() == {"rate_limited_receiving": 100}
    # Each direction has its own rate, and a tenth of a second allows a tenth.
    assert len(bob.send(packet(1408, back=True))) == 1
    assert sum(len(alice.send(packet(1408), NOW + 0.1)) for _ in range(30)) == 20
    assert sum(len(alice.send(packet(1408), NOW + 9)) for _ in range(300)) == 200
    assert alice.path.seal(alice.peer, b"", NOW + 9) is not None
    # Used allowance stays used until the rate changes.
    alice.path.set_limits(alice.peer, Limits(tx_rate=200 * wire, credit=10**9))
    assert alice.send(packet(1408), NOW + 9) == []
    alice.path.set_limits(alice.peer, Limits())
    assert sum(len(alice.send(packet(1408), NOW + 9)) for _ in range(300)) == 300


def test_even_a_low_rate_allows_a_whole_frame_of_the_kernel(ends: Ends) -> None:
    """The kernel hands over a whole frame, which would never fit into a second's allowance."""
    alice, _ = ends
    alice.path.set_limits(alice.peer, Limits(tx_rate=10_000))
    wire = 1408 + OVERHEAD
    assert sum(len(alice.send(packet(1408))) for _ in range(200)) == MIN_BURST // wire
    assert sum(len(alice.send(packet(1408), NOW + 1)) for _ in range(200)) == 10_000 // wire
    assert sum(len(alice.send(packet(1408), NOW + 99)) for _ in range(200)) == MIN_BURST // wire


def test_credit_counts_both_directions_and_an_event_warns_before_it_ends(ends: Ends) -> None:
    alice, bob = ends
    wire = 112 + OVERHEAD
    alice.path.set_limits(alice.peer, Limits(credit=4 * wire, credit_low=2 * wire))
    low = told(CreditLow(alice.peer))
    for number, expected in ((1, told(BecameActive(alice.peer))), (2, []), (3, low), (4, [])):
        if number % 2:
            alice.sealed(packet(112))
        else:
            alice.receive(bob.sealed(packet(112, back=True)), source=BOB)
        assert alice.used() == number * wire
        assert alice.events() == expected
    assert alice.send(packet(112)) == []
    alice.receive(bob.sealed(packet(112, back=True)), source=BOB)
    assert alice.refused() == {"no_credit": 2}
    assert len(alice.delivered()) == 2
    assert alice.events() == []
    # Keepalives pass without credit, and more credit lets packets pass again.
    assert alice.path.seal(alice.peer, b"", NOW) is not None
    alice.path.set_limits(alice.peer, Limits(credit=20 * wire, credit_low=2 * wire))
    assert len(alice.send(packet(112))) == 1


GATEWAY = (bytes([10, 0, 0, 1]), 8080)  # on Alice's side


def gateway_packet(*, back: bool, port: int = 8080, fragment: int = 0, udp: bool = False) -> bytes:
    """Make a packet between Bob and a port of the gateway, which is on Alice's side."""
    ip = IP(src="10.0.0.2", dst="10.0.0.1", frag=fragment)
    layer = UDP if udp else TCP
    if back:
        return bytes(ip / layer(sport=5, dport=port))
    return bytes(IP(src="10.0.0.1", dst="10.0.0.2", frag=fragment) / layer(sport=port, dport=5))


def test_the_gateway_can_be_reached_without_credit(ends: Ends) -> None:
    alice, bob = ends
    alice.path.set_limits(alice.peer, Limits(credit=1, exempt=GATEWAY))
    assert len(alice.send(gateway_packet(back=False))) == 1
    alice.receive(bob.sealed(gateway_packet(back=True)))
    assert alice.delivered() == [gateway_packet(back=True)]
    for port, fragment, udp in ((8081, 0, False), (8080, 100, False), (8080, 0, True)):
        out = gateway_packet(back=False, port=port, fragment=fragment, udp=udp)
        back = gateway_packet(back=True, port=port, fragment=fragment, udp=udp)
        assert alice.send(out) == []
        alice.receive(bob.sealed(back))
    assert alice.delivered() == []
    assert alice.refused() == {"no_credit": 6}
