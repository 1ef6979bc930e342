# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The native path and its twin do the same for any input.

A state machine plays the control plane, the TUN and the network for both at once. Alice's side
seals datagrams, and the machine keeps them. It delivers them to Bob late, twice, damaged or never.
"""

from dataclasses import dataclass
from ipaddress import ip_network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from fs_tunnel.dataplane.native import NativePath
from fs_tunnel.dataplane.offload import PLAIN
from fs_tunnel.dataplane.twin import Twin
from fs_tunnel.proto.path import (
    HandshakeReceived,
    HandshakesLost,
    Limits,
    LocalAddress,
    PathKeys,
)
from fs_wire.types import Endpoint
from tests.walks import examples

PLACES = (
    (Endpoint("192.0.2.1", 1000), LocalAddress(bytes([192, 0, 2, 9]), 2)),
    (Endpoint("192.0.2.1", 1000), None),
    (Endpoint("fe80::7", 2000, 3), LocalAddress(bytes(15) + b"\1", 1)),
)
NETWORKS = [
    ip_network(each)
    for each in (
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.0/24",
        "10.1.2.3/32",
        "::/0",
        "fd00::/16",
        "fd00:1::/32",
        "fd00:1::1/128",
    )
]
ADDRESSES = ["10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "192.0.2.77"]
ADDRESSES_V6 = ["fd00:1::1", "fd00:1::2", "fd00:9::9", "2001:db8::1"]
GATEWAY = (bytes([10, 1, 2, 3]), 443)
PAYLOAD = bytes(range(256)) * 6
OF_NO_PEER = (HandshakeReceived, HandshakesLost)


@dataclass
class Both:
    """One end of a tunnel as both implementations have it."""

    native: NativePath
    twin: Twin
    peers: list[tuple[int, int]]  # each peer's number in the native path and in the twin

    def say(self, name: str, peer: tuple[int, int], *arguments: object) -> None:
        """Call a method of both paths, and check that they return the same."""
        native = getattr(self.native, name)(peer[0], *arguments)
        twin = getattr(self.twin, name)(peer[1], *arguments)
        assert native == twin, name


def make() -> Both:
    both = Both(NativePath(), Twin(), [])
    both.peers = [(both.native.add_peer(), both.twin.add_peer()) for _ in range(2)]
    for path in (both.native, both.twin):
        path.set_mtu(1420)
        path.set_up(True)
    return both


@st.composite
def inner_packets(draw: st.DrawFn) -> bytes:
    addresses = st.sampled_from(draw(st.sampled_from([ADDRESSES, ADDRESSES_V6])))
    source, destination = draw(addresses), draw(addresses)
    header: Packet = (
        IPv6(src=source, dst=destination)
        if ":" in source
        else IP(src=source, dst=destination, flags="DF")
    )
    here, there = draw(st.sampled_from([443, 80])), draw(st.sampled_from([443, 80]))
    transport = (
        TCP(flags="A", sport=here, dport=there)
        if draw(st.booleans())
        else UDP(sport=here, dport=there)
    )
    packet = bytearray(bytes(header / transport / PAYLOAD[: draw(st.integers(0, 1300))]))
    if draw(st.integers(0, 7)) == 0:
        packet[draw(st.integers(0, min(39, len(packet) - 1)))] ^= 1 << draw(st.integers(0, 7))
    return bytes(packet)


def super_frame(size: int, count: int, last: int) -> bytes:
    """Make a frame of a TCP stream as the kernel hands it over."""
    payload = (PAYLOAD * 50)[: size * count + last]
    packet = bytes(IP(src="10.1.9.9", dst="10.1.2.3", flags="DF") / TCP(flags="PA") / payload)
    header = (1, 0, size, 20, 16)
    return bytes([1, 1]) + b"".join(n.to_bytes(2, "little") for n in header[1:]) + packet


class Agreement(RuleBasedStateMachine):
    """Two ends of a tunnel; each of them is a native path and a twin."""

    datagrams: Bundle[list[bytes]] = Bundle("datagrams")

    @initialize()
    def begin(self) -> None:
        self.alice, self.bob = make(), make()
        self.now = 1000.0
        self.indices = 0
        self.living: list[int] = []
        # The tunnel works at first, and the rules disturb it.
        for at_bob in (False, True):
            for network in NETWORKS:
                self.allow(at_bob, "1" in str(network), network)
            for peer in (0, 1):
                self.set_endpoint(at_bob, peer, PLACES[peer])
        for peer in (0, 1):
            self.shake_hands(peer, True, True)

    def ends(self) -> tuple[Both, Both]:
        return self.alice, self.bob

    # The control plane.

    @rule(peer=st.integers(0, 1), initiator=st.booleans(), confirmed=st.booleans())
    def shake_hands(self, peer: int, initiator: bool, confirmed: bool) -> None:
        self.indices += 1
        index, one, other = (
            self.indices,
            bytes([self.indices] * 32),
            bytes([~self.indices & 255] * 32),
        )
        for end, sending, receiving, first in (
            (self.alice, one, other, initiator),
            (self.bob, other, one, not initiator),
        ):
            keys = PathKeys(index, index, sending, receiving, first, self.now)
            numbers = end.peers[peer]
            end.native.add_keys(numbers[0], keys, confirmed=confirmed)
            end.twin.add_keys(numbers[1], keys, confirmed=confirmed)
            end.say("use_keys", numbers, index)
        self.living.append(index)

    @rule(data=st.data(), rarely=st.integers(0, 4))
    def forget_keys(self, data: st.DataObject, rarely: int) -> None:
        if self.living and rarely == 0:
            index = data.draw(st.sampled_from(self.living))
            self.living.remove(index)
            for end in self.ends():
                end.native.remove_keys(index)
                end.twin.remove_keys(index)

    @rule(at_bob=st.booleans(), peer=st.integers(0, 1), place=st.sampled_from([None, *PLACES * 3]))
    def set_endpoint(
        self, at_bob: bool, peer: int, place: tuple[Endpoint, LocalAddress | None] | None
    ) -> None:
        end = self.ends()[at_bob]
        end.say("set_endpoint", end.peers[peer], *(place or (None, None)))

    @rule(at_bob=st.booleans(), peer=st.integers(0, 1), network=st.sampled_from(NETWORKS))
    def allow(self, at_bob: bool, peer: int, network: object) -> None:
        end = self.ends()[at_bob]
        end.native.allow(network, end.peers[peer][0])  # type: ignore[arg-type]
        end.twin.allow(network, end.peers[peer][1])  # type: ignore[arg-type]

    @rule(at_bob=st.booleans(), network=st.sampled_from(NETWORKS))
    def disallow(self, at_bob: bool, network: object) -> None:
        end = self.ends()[at_bob]
        end.native.disallow(network)  # type: ignore[arg-type]
        end.twin.disallow(network)  # type: ignore[arg-type]

    @rule(
        at_bob=st.booleans(),
        peer=st.integers(0, 1),
        rate=st.sampled_from([0, 0, 0, 2000]),
        credit=st.sampled_from([0, 0, 0, 1, 50000]),
        low=st.sampled_from([0, 1000]),
    )
    def limit(self, at_bob: bool, peer: int, rate: int, credit: int, low: int) -> None:
        end = self.ends()[at_bob]
        limits = Limits(rate, rate, credit, low, GATEWAY)
        end.say("set_limits", end.peers[peer], limits)

    @rule(up=st.sampled_from([True, True, True, False]))
    def go_up_or_down(self, up: bool) -> None:
        self.alice.native.set_up(up)
        self.alice.twin.set_up(up)

    @rule(at_bob=st.booleans(), peer=st.integers(0, 1))
    def replace_peer(self, at_bob: bool, peer: int) -> None:
        end = self.ends()[at_bob]
        end.native.remove_peer(end.peers[peer][0])
        end.twin.remove_peer(end.peers[peer][1])
        end.peers[peer] = end.native.add_peer(), end.twin.add_peer()
        self.living.clear()
        for index in range(1, self.indices + 1):
            for other in self.ends():
                other.native.remove_keys(index)
                if index in other.twin._sessions:
                    other.twin.remove_keys(index)
        for network in NETWORKS:
            self.allow(at_bob, "1" in str(network), network)
        self.set_endpoint(at_bob, peer, PLACES[peer])
        self.shake_hands(0, True, False)
        self.shake_hands(1, True, True)

    @rule(at_bob=st.booleans(), peer=st.integers(0, 1))
    def tend(self, at_bob: bool, peer: int) -> None:
        end = self.ends()[at_bob]
        numbers = end.peers[peer]
        end.say("forget_local", numbers)
        end.say("take_received_more", numbers)
        end.say("rearm", numbers)
        end.say("watch", numbers)
        end.say("note_sent", numbers, self.now)
        end.say("note_received", numbers, self.now)

    @rule(seconds=st.sampled_from([0.01, 1.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    # Packets.

    @rule(target=datagrams, packet=inner_packets())
    def send(self, packet: bytes) -> list[bytes]:
        return self.send_frame(PLAIN + packet)

    @rule(
        target=datagrams,
        size=st.sampled_from([1, 100, 1000, 1368, 1380]),
        count=st.integers(1, 40),
        last=st.integers(1, 100),
    )
    def send_stream(self, size: int, count: int, last: int) -> list[bytes]:
        return self.send_frame(super_frame(size, count, min(size, last)))

    def send_frame(self, frame: bytes) -> list[bytes]:
        self.alice.native.receive_frame(frame, self.now)
        self.alice.twin.receive_frame(frame, self.now)
        native = [each[1:] for each in self.alice.native.take_datagrams()]
        assert native == [each[1:] for each in self.alice.twin.take_datagrams()]
        return [each[-1] for each in native]

    @rule(target=datagrams, peer=st.integers(0, 1), packet=st.one_of(st.just(b""), inner_packets()))
    def seal(self, peer: int, packet: bytes) -> list[bytes]:
        numbers = self.alice.peers[peer]
        native = self.alice.native.seal(numbers[0], packet, self.now)
        assert native == self.alice.twin.seal(numbers[1], packet, self.now)
        return [native or b""]

    @rule(datagrams=datagrams, place=st.sampled_from([*PLACES[:1] * 5, *PLACES]))
    def deliver(self, datagrams: list[bytes], place: tuple[Endpoint, LocalAddress | None]) -> None:
        """Deliver datagrams to the twin singly, and to the native path in one piece, like GRO."""
        for datagram in datagrams:
            self.bob.twin.receive_datagram(datagram, *place, self.now)
        if datagrams:
            self.bob.native.receive_datagram(
                b"".join(datagrams), *place, self.now, segment=len(datagrams[0])
            )

    @rule(
        datagrams=datagrams,
        place=st.sampled_from(PLACES),
        position=st.integers(0, 60),
        bit=st.integers(0, 7),
        which=st.integers(0, 40),
    )
    def deliver_damaged(
        self,
        datagrams: list[bytes],
        place: tuple[Endpoint, LocalAddress | None],
        position: int,
        bit: int,
        which: int,
    ) -> None:
        if which < len(datagrams) and position < len(datagrams[which]):
            damaged = bytearray(datagrams[which])
            damaged[position] ^= 1 << bit
            self.deliver([*datagrams[:which], bytes(damaged), *datagrams[which + 1 :]], place)

    @rule(noise=st.binary(max_size=200), place=st.sampled_from(PLACES))
    def deliver_noise(self, noise: bytes, place: tuple[Endpoint, LocalAddress | None]) -> None:
        self.deliver([noise], place)
        self.deliver([b"\4\0\0\0" + noise], place)

    # What must hold always.

    @invariant()
    def they_agree(self) -> None:
        for end in self.ends():
            names = dict(zip(*zip(*end.peers, strict=True), strict=True))
            assert end.native.take_frames() == end.twin.take_frames()
            for native, twin in zip(
                end.native.take_events(100), end.twin.take_events(100), strict=True
            ):
                assert type(native) is type(twin)
                if isinstance(native, OF_NO_PEER) or isinstance(twin, OF_NO_PEER):
                    assert native == twin
                else:
                    assert native[1:] == twin[1:]
                    assert names.get(native.peer) == twin.peer or native.peer not in names
            assert end.native.drops() == dict(end.twin.drops())
            for numbers in end.peers:
                end.say("counters", numbers)
                end.say("activity", numbers)
                end.say("endpoint", numbers)


Agreement.TestCase.settings = settings(max_examples=examples(150), stateful_step_count=40)
test_agreement = Agreement.TestCase
