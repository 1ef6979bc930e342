# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The demo's judge of frames must not take anything else for WireGuard."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tools import wire

PORT = 51820


def classify(packet: Packet) -> str:
    return wire.classify(bytes(Ether() / packet), PORT)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"\x01\0\0\0" + bytes(144), wire.INITIATION),
        (b"\x02\0\0\0" + bytes(88), wire.RESPONSE),
        (b"\x03\0\0\0" + bytes(60), wire.COOKIE),
        (b"\x04\0\0\0" + bytes(28), wire.DATA),
        (b"\x04\0\0\0" + bytes(1448), wire.DATA),
        (b"\x01\0\0\0" + bytes(143), wire.OTHER),
        (b"\x04\0\0\0" + bytes(27), wire.OTHER),
        (b"\x04\0\0\x01" + bytes(28), wire.OTHER),
        (b"\x05\0\0\0" + bytes(28), wire.OTHER),
        (b"GET / HTTP/1.1\r\n\r\n", wire.OTHER),
        (b"", wire.OTHER),
    ],
)
@pytest.mark.parametrize("ip", [IP(), IPv6()], ids=["v4", "v6"])
def test_a_datagram_is_wireguard_by_type_reserved_bytes_and_length(
    ip: Packet, payload: bytes, kind: str
) -> None:
    assert classify(ip / UDP(sport=4000, dport=PORT) / Raw(payload)) == kind
    assert classify(ip / UDP(sport=PORT, dport=4000) / Raw(payload)) == kind


def test_other_ports_and_protocols_are_something_else() -> None:
    data = Raw(b"\x04\0\0\0" + bytes(28))
    assert classify(IP() / UDP(sport=4000, dport=53) / data) == wire.OTHER
    assert classify(IP() / TCP(sport=PORT, dport=PORT) / data) == wire.OTHER
    assert classify(IP() / ICMP() / data) == wire.OTHER


def test_neighbours_are_counted_apart() -> None:
    assert classify(ARP()) == wire.NEIGHBOURS
    assert classify(IPv6() / ICMPv6ND_NS()) == wire.NEIGHBOURS
    report = IPv6() / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLReport2()
    assert classify(report) == wire.NEIGHBOURS


@pytest.mark.parametrize("size", range(0, 60, 7))
def test_a_frame_that_was_cut_is_something_else(size: int) -> None:
    frame = bytes(Ether() / IP() / UDP(sport=PORT, dport=PORT) / Raw(b"\x04\0\0\0" + bytes(28)))
    assert wire.classify(frame[:size], PORT) == wire.OTHER


def test_the_report_counts_frames_and_bytes() -> None:
    data = bytes(Ether() / IP() / UDP(sport=PORT, dport=PORT) / Raw(b"\x04\0\0\0" + bytes(28)))
    counted = wire.report([data, data, bytes(Ether() / ARP())], PORT)
    assert counted.frames == {wire.DATA: 2, wire.NEIGHBOURS: 1}
    assert counted.wireguard == 2
    assert counted.wireguard_octets == 2 * len(data)
