# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Alice and Bob are packet paths, and each is the other's only peer; a test plays the wire."""

from dataclasses import dataclass
from ipaddress import ip_network

from scapy.layers.inet import IP, UDP

from fs_tunnel.dataplane.offload import segment
from fs_tunnel.proto.path import LocalAddress, PathEvent, PathKeys
from fs_wire.types import Endpoint
from tests.dataplane.implementations import MakePath, PumpedPath

NOW = 1000.0
ALICE, BOB = Endpoint("192.0.2.1", 1), Endpoint("2001:db8::2", 2)
ELSEWHERE = Endpoint("203.0.113.9", 4242)
OURS = LocalAddress(bytes([192, 0, 2, 77]), 3)
OVERHEAD = 32  # bytes that a transport message adds to its packet


def packet(size: int = 100, *, back: bool = False) -> bytes:
    """Make a packet of ``size`` bytes from Alice to Bob, or in the other direction."""
    source, destination = ("10.0.0.2", "10.0.0.1") if back else ("10.0.0.1", "10.0.0.2")
    return bytes(IP(src=source, dst=destination) / UDP(sport=1, dport=2) / bytes(size - 28))


Told = list[tuple[str, PathEvent]]


def told(*events: PathEvent) -> Told:
    """Return events with their names, because events of different kinds can be equal as tuples."""
    return [(type(event).__name__, event) for event in events]


@dataclass
class End:
    """A packet path whose only peer is the other end."""

    path: PumpedPath
    peer: int
    place: Endpoint

    def send(self, packet: bytes, now: float = NOW) -> list[bytes]:
        """Send a packet from the TUN, and return its datagrams."""
        self.path.receive_packet(packet, now)
        return [each[3] for each in self.path.take_datagrams()]

    def sealed(self, packet: bytes, now: float = NOW) -> bytes:
        (datagram,) = self.send(packet, now)
        return datagram

    def receive(self, datagram: bytes, now: float = NOW, source: Endpoint = ELSEWHERE) -> None:
        self.path.receive_datagram(datagram, source, None, now)

    def delivered(self) -> list[bytes]:
        return [packet for frame in self.path.take_frames() for packet in segment(frame)]

    def events(self, handshakes: int = 100) -> "Told":
        return told(*self.path.take_events(handshakes))

    def used(self) -> int:
        counters = self.path.counters(self.peer)
        return counters.rx_bytes + counters.tx_bytes

    def refused(self) -> dict[str, int]:
        return {reason: count for reason, count in self.path.drops().items() if count}


Ends = tuple[End, End]


def new_end(make_path: MakePath, place: Endpoint, other: Endpoint, inner: str) -> End:
    path = make_path()
    peer = path.add_peer()
    path.set_endpoint(peer, other, None)
    path.allow(ip_network(inner), peer)
    path.set_up(True)
    return End(path, peer, place)


def keys(index: int, *, is_alice: bool, created: float = NOW) -> PathKeys:
    one, other = bytes([index]) * 32, bytes([255 - index]) * 32
    if not is_alice:
        one, other = other, one
    return PathKeys(index, index, one, other, is_initiator=is_alice, created=created)
