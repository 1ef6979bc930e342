# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Alice and Bob, each a ``Device`` and its ``Twin``, on a wire that is the test's.

Time stands still until ``advance``; entropy comes from a seed; every datagram is an object that a
test, or Eve, may deliver, keep, change, repeat or lose.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network
from struct import pack

from fs_tunnel.dataplane.twin import Twin
from fs_tunnel.proto import constants
from fs_tunnel.proto.device import Device
from fs_tunnel.proto.path import LocalAddress, Outgoing
from fs_tunnel.proto.peer import Peer
from fs_wire.types import Endpoint, PrivateKey

INITIATION, RESPONSE, COOKIE_REPLY, TRANSPORT = 1, 2, 3, 4
ELSEWHERE = Endpoint("203.0.113.9", 4242)
START = 1_000_000.0
WALL_START_NS = 1_700_000_000 * 10**9


@dataclass(frozen=True)
class Datagram:
    """One datagram on the wire, from one endpoint to another."""

    data: bytes
    source: Endpoint
    destination: Endpoint

    @property
    def type(self) -> int:
        return self.data[0]


@dataclass
class Side:
    """One end: a device and its packets, its place on the wire, its address in the tunnel."""

    name: str
    device: Device
    path: Twin
    endpoint: Endpoint
    inner: IPv4Address
    received: list[bytes] = field(default_factory=list)
    other: "Side" = field(init=False, repr=False)

    @property
    def peer(self) -> Peer:
        """The other side, as this one sees it."""
        (peer,) = self.device.peers.values()
        return peer

    def receive_packet(self, packet: bytes, now: float) -> None:
        """A packet comes from the TUN."""
        self.path.receive_packet(packet, now)
        self.device.handle_events(now)

    def receive_datagram(
        self, data: bytes, source: Endpoint, now: float, local: LocalAddress | None = None
    ) -> None:
        """A datagram comes from UDP."""
        self.path.receive_datagram(data, source, local, now)
        self.device.handle_events(now)

    def take_datagrams(self, now: float) -> list[Outgoing]:
        """Let the device act on what its packets did; then all that is to be sent, in order."""
        self.device.handle_events(now)
        return self.path.take_datagrams() + self.device.take_datagrams()


class World:
    """Two sides that know each other, a clock, and a wire."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.wire: list[Datagram] = []
        self.history: list[Datagram] = []
        self.alice = self._side("alice", "192.0.2.1", "10.0.0.1")
        self.bob = self._side("bob", "192.0.2.2", "10.0.0.2")
        self.alice.other, self.bob.other = self.bob, self.alice
        for side in self.sides:
            public_key = side.other.device.public_key
            assert public_key is not None
            peer = side.device.add_peer(public_key)
            peer.set_endpoint(side.other.endpoint)
            side.device.allow(peer, ip_network(f"{side.other.inner}/32"))
            side.device.come_up(self.now)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.alice, self.bob

    def wall_ns(self) -> int:
        return WALL_START_NS + int((self.now - START) * 1e9)

    def send(self, side: Side, payload: bytes) -> bytes:
        """Hand a packet to a side's TUN; returns the packet."""
        packet = ipv4_packet(side.inner, side.other.inner, payload)
        side.receive_packet(packet, self.now)
        self.collect()
        return packet

    def arrive(self, datagram: Datagram, *, handshakes: bool = True) -> None:
        """Deliver a datagram to whoever has its destination address; others lose it."""
        for side in self.sides:
            if side.endpoint == datagram.destination:
                side.receive_datagram(datagram.data, datagram.source, self.now)
                if handshakes:
                    side.device.process_handshakes(self.now)
        self.collect()

    def collect(self) -> None:
        """Put what the devices said onto the wire, and what they delivered into ``received``."""
        for side in self.sides:
            for outgoing in side.take_datagrams(self.now):
                datagram = Datagram(outgoing.data, side.endpoint, outgoing.endpoint)
                self.wire.append(datagram)
                self.history.append(datagram)
            side.received += side.path.take_packets()

    def settle(self) -> None:
        """An honest network: deliver all, in order, until nobody says anything."""
        while self.wire:
            self.arrive(self.wire.pop(0))

    def advance(self, seconds: float, *, honest: bool = False) -> None:
        """Let time pass, and every timer on the way act at its moment."""
        until = self.now + seconds
        while True:
            due = [t for side in self.sides if (t := side.device.next_timer()) is not None]
            moment = min([*due, until])
            if moment >= until and until not in due:
                break
            self.now = max(self.now, moment)
            self._handle_timers(honest)
            if moment >= until:
                break
        self.now = until
        self._handle_timers(honest)

    def handshake(self) -> None:
        """Give both sides a fresh session, on an honest network."""
        self.alice.peer.initiate_handshake(self.now)
        self.collect()
        self.settle()

    def _handle_timers(self, honest: bool) -> None:
        for side in self.sides:
            side.device.handle_timers(self.now)
        self.collect()
        if honest:
            self.settle()

    def _side(self, name: str, outer: str, inner: str) -> Side:
        path = Twin()
        device = Device(entropy=self.random.randbytes, wall_time_ns=self.wall_ns, path=path)
        device.set_private_key(PrivateKey(self.random.randbytes(32)))
        return Side(name, device, path, Endpoint(outer, 51820), IPv4Address(inner))


def ipv4_packet(source: IPv4Address, destination: IPv4Address, payload: bytes) -> bytes:
    """A UDP-less IPv4 packet of protocol 253 (for experiments, RFC 3692)."""
    length = 20 + len(payload)
    header = pack(
        "!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 253, 0, source.packed, destination.packed
    )
    return header + payload


def types(datagrams: list[Datagram]) -> list[int]:
    """The message types, in order."""
    return [datagram.type for datagram in datagrams]


def every(seconds: float, total: float) -> Iterator[int]:
    """Count the steps of ``seconds`` in ``total``."""
    yield from range(int(total / seconds))


RECOVERY_BOUND = constants.NEW_HANDSHAKE_AFTER + 2 * (constants.REKEY_TIMEOUT + 1)
