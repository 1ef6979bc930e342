# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Count the frames of a capture: WireGuard by type, address resolution, and everything else.

A frame counts as WireGuard if it is a whole UDP datagram of the tunnel's port, and its payload is a
WireGuard message. That means: one of the four message types, reserved bytes of zero, and a length
that the type allows (the WireGuard paper, 5.4).
"""

import socket
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

INITIATION, RESPONSE, COOKIE, DATA = "initiation", "response", "cookie reply", "data"
WIREGUARD_KINDS = (INITIATION, RESPONSE, COOKIE, DATA)
NEIGHBOURS = "ARP and neighbour discovery"
OTHER = "other"

_ETHERNET_HEADER = 14
_IPV6_HEADER = 40
_UDP_HEADER = 8
_ETHERTYPE_IPV4, _ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
# RFC 4861 (router and neighbour solicitation and advertisement, redirect), RFC 3810 (MLDv2 report)
_NEIGHBOUR_TYPES = frozenset({133, 134, 135, 136, 137, 143})
_IPV6_HOP_BY_HOP = 0  # comes before the ICMPv6 header of an MLD report
_FIXED_SIZES = {1: (INITIATION, 148), 2: (RESPONSE, 92), 3: (COOKIE, 64)}
_DATA_TYPE, _DATA_OVERHEAD = 4, 32


@dataclass
class WireReport:
    """The number of frames and bytes of each kind."""

    frames: Counter[str] = field(default_factory=Counter)
    octets: Counter[str] = field(default_factory=Counter)

    @property
    def wireguard(self) -> int:
        """The number of WireGuard frames of any type."""
        return sum(self.frames[kind] for kind in WIREGUARD_KINDS)

    @property
    def wireguard_octets(self) -> int:
        """The bytes of all WireGuard frames, with their Ethernet headers."""
        return sum(self.octets[kind] for kind in WIREGUARD_KINDS)


def report(frames: Iterable[bytes], port: int) -> WireReport:
    """Count Ethernet frames by their kind; ``port`` is the tunnel's UDP port."""
    made = WireReport()
    for frame in frames:
        kind = classify(frame, port)
        made.frames[kind] += 1
        made.octets[kind] += len(frame)
    return made


def classify(frame: bytes, port: int) -> str:
    """Return the kind of one Ethernet frame: a WireGuard type, NEIGHBOURS or OTHER."""
    if len(frame) < _ETHERNET_HEADER:
        return OTHER
    (ethertype,) = struct.unpack_from("!H", frame, 12)
    if ethertype == _ETHERTYPE_ARP:
        return NEIGHBOURS
    packet = frame[_ETHERNET_HEADER:]
    if ethertype == _ETHERTYPE_IPV4 and len(packet) >= 20:
        return _of_transport(packet[9], packet[(packet[0] & 15) * 4 :], port)
    if ethertype == _ETHERTYPE_IPV6 and len(packet) >= _IPV6_HEADER:
        protocol, rest = packet[6], packet[_IPV6_HEADER:]
        if protocol == _IPV6_HOP_BY_HOP and len(rest) >= 8:
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8 :]
        if protocol == socket.IPPROTO_ICMPV6 and rest and rest[0] in _NEIGHBOUR_TYPES:
            return NEIGHBOURS
        return _of_transport(protocol, rest, port)
    return OTHER


def _of_transport(protocol: int, segment: bytes, port: int) -> str:
    if protocol != socket.IPPROTO_UDP or len(segment) < _UDP_HEADER:
        return OTHER
    source, destination, length = struct.unpack_from("!HHH", segment)
    if port not in (source, destination) or not _UDP_HEADER <= length <= len(segment):
        return OTHER
    return _of_payload(segment[_UDP_HEADER:length])


def _of_payload(payload: bytes) -> str:
    if len(payload) < 4 or payload[1:4] != b"\0\0\0":
        return OTHER
    if payload[0] in _FIXED_SIZES:
        kind, size = _FIXED_SIZES[payload[0]]
        return kind if len(payload) == size else OTHER
    if payload[0] == _DATA_TYPE and len(payload) >= _DATA_OVERHEAD:
        return DATA
    return OTHER
