# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A probe is one way in which an application, or an attacker, may try to bypass the tunnel."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from tests.netns.topology import Namespace

UPLINK = "wire"
SAID = b"may nobody outside read this"
# No host has these addresses, but packets to them leave the client all the same.
FAR_V4, FAR_V6 = "203.0.113.77", "2001:db8:77::77"
_OTHER_V4 = "203.0.113.78"
_ICMP_ECHO = b"\x08\x00" + bytes(6)
_ICMPV6_ECHO = b"\x80\x00" + bytes(6)

Send = Callable[[Namespace], None]


@dataclass(frozen=True)
class Probe:
    """One way out of the client; ``port`` is 0 if the protocol has no ports."""

    name: str
    send: Send
    protocol: int
    destination: str
    port: int = 0
    from_box: bool = False  # the packet comes from a namespace that the client routes for

    def is_in(self, packet: Packet) -> bool:
        """Tell whether a captured packet belongs to this probe."""
        layer = packet.getlayer(IP) or packet.getlayer(IPv6)
        if layer is None or layer.dst != self.destination:
            return False
        if self.protocol == socket.IPPROTO_TCP:
            return TCP in packet and packet[TCP].dport == self.port
        if self.protocol == socket.IPPROTO_UDP:
            is_ours = UDP in packet and bytes(packet[UDP].payload) == SAID
            return is_ours and packet[UDP].dport == self.port
        return int(layer.proto if layer.version == 4 else layer.nh) == self.protocol


def udp(destination: str, port: int, *, device: str = "", source: str = "") -> Send:
    def send(home: Namespace) -> None:
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        with home.open_socket(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if device:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            if source:
                sock.bind((source, 0))
            sock.sendto(SAID, (destination, port))

    return send


def tcp(destination: str, port: int, *, device: str = "") -> Send:
    def send(home: Namespace) -> None:
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        with home.open_socket(family, socket.SOCK_STREAM) as sock:
            if device:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect((destination, port))

    return send


def _ping(destination: str) -> Send:
    def send(home: Namespace) -> None:
        is_v6 = ":" in destination
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if is_v6 else socket.IPPROTO_ICMP
        with home.open_socket(family, socket.SOCK_RAW, protocol) as sock:
            sock.sendto(_ICMPV6_ECHO if is_v6 else _ICMP_ECHO, (destination, 0))

    return send


TCP_, UDP_ = socket.IPPROTO_TCP, socket.IPPROTO_UDP


def probes(gateway: str, own: str) -> list[Probe]:
    """Return all probes for a client with the neighbour ``gateway`` and the address ``own``."""
    group, broadcast = "224.0.0.251", "255.255.255.255"
    return [
        Probe("TCP", tcp(FAR_V4, 80), TCP_, FAR_V4, 80),
        Probe("UDP", udp(FAR_V4, 9000), UDP_, FAR_V4, 9000),
        Probe("ping", _ping(FAR_V4), socket.IPPROTO_ICMP, FAR_V4),
        Probe("TCP v6", tcp(FAR_V6, 80), TCP_, FAR_V6, 80),
        Probe("UDP v6", udp(FAR_V6, 9000), UDP_, FAR_V6, 9000),
        Probe("ping v6", _ping(FAR_V6), socket.IPPROTO_ICMPV6, FAR_V6),
        Probe("DNS", udp(FAR_V4, 53), UDP_, FAR_V4, 53),
        Probe("DNS, TCP", tcp(FAR_V4, 53), TCP_, FAR_V4, 53),
        Probe("DNS, TLS", tcp(FAR_V4, 853), TCP_, FAR_V4, 853),
        Probe("DNS v6", udp(FAR_V6, 53), UDP_, FAR_V6, 53),
        Probe("bound UDP", udp(FAR_V4, 9001, device=UPLINK), UDP_, FAR_V4, 9001),
        Probe("bound TCP v6", tcp(FAR_V6, 9001, device=UPLINK), TCP_, FAR_V6, 9001),
        Probe("own source", udp(FAR_V4, 9002, source=own), UDP_, FAR_V4, 9002),
        Probe("neighbour", udp(gateway, 9003), UDP_, gateway, 9003),
        Probe("bound neighbour", tcp(gateway, 9004, device=UPLINK), TCP_, gateway, 9004),
        Probe("endpoint, UDP", udp(gateway, 51820), UDP_, gateway, 51820),
        Probe("endpoint, TCP", tcp(gateway, 51820), TCP_, gateway, 51820),
        Probe("multicast", udp(group, 5353, device=UPLINK), UDP_, group, 5353),
        Probe("broadcast", udp(broadcast, 9005, device=UPLINK), UDP_, broadcast, 9005),
        Probe("forwarded", udp(FAR_V4, 9006), UDP_, FAR_V4, 9006, from_box=True),
        Probe("forwarded v6", udp(FAR_V6, 9006), UDP_, FAR_V6, 9006, from_box=True),
        Probe("forwarded DNS", udp(_OTHER_V4, 53), UDP_, _OTHER_V4, 53, from_box=True),
    ]
