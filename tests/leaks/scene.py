# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A capture watches a client's uplink; behind the client is a box that it routes for.

box  172.30.0.2 --- 172.30.0.1  client  198.51.100.2 (wire) --- 198.51.100.1  provider --- web
"""

import contextlib
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from tests.leaks.probes import UPLINK, Probe, probes
from tests.netns.capture import Capture
from tests.netns.served import Served, expect_ok, served
from tests.netns.topology import Namespace, add_addresses, python_module, run
from tests.netns.waiting import wait_until

GATEWAY_V4, GATEWAY_V6 = "198.51.100.1", "2001:db8:3::1"
ENDPOINTS = {(GATEWAY_V4, 51820), (GATEWAY_V6, 51999)}  # the provider's endpoint, and another one
NETWORK_V4, NETWORK_V6 = "198.51.100.", "2001:db8:3::"
OTHER = "anything else"
# A host needs these messages of RFC 4861, and DHCP, to be on its link at all.
_NEIGHBOUR_DISCOVERY = range(133, 138)
_DHCP_PORTS = {67, 547}
_SETTLING = 0.3  # seconds; a delayed packet would leave within them


@dataclass
class Watched:
    """The scene; it counts the packets that leave the client."""

    served: Served
    box: Namespace
    host: str = "2"  # the last part of the client's addresses
    more: list[Probe] = field(default_factory=list)

    @property
    def probes(self) -> list[Probe]:
        return [*self.more, *probes(GATEWAY_V4, NETWORK_V4 + self.host)]

    @property
    def home(self) -> Namespace:
        return self.served.client.namespace

    def up(self, *options: str) -> None:
        self.served.up(self.served.client, *options)

    def down(self) -> None:
        self.served.down(self.home, self.served.client.conf)

    def move(self, host: str) -> None:
        """Give the client other addresses on its uplink, as another network would."""
        home, before, self.host = self.home, self.host, host
        for network, length, gateway in (
            (NETWORK_V4, 25, GATEWAY_V4),
            (NETWORK_V6, 64, GATEWAY_V6),
        ):
            home.ip("address", "del", f"{network}{before}/{length}", "dev", UPLINK)
            add_addresses(home, UPLINK, [f"{network}{host}/{length}"])
            home.ip("route", "replace", "default", "via", gateway, "dev", UPLINK)

    def engine(self) -> int:
        """Return the process id of the client's engine."""
        said = self.served.fs_tunnel(self.home, "status", "--json", self.served.client.conf)
        return int(json.loads(said.out)["tunnels"][0]["pid"])

    def seen(self, sent: Callable[[], None] | None = None) -> Counter[str]:
        """Send every probe, and count the packets of each that left in the clear.

        Packets that belong to no probe count as OTHER. ``sent`` sends the probes in another way.
        """
        with Capture(self.home, UPLINK) as uplink:
            (sent or self._send)()
            time.sleep(_SETTLING)
            packets = [
                _parse(frame.data) for frame in uplink.frames() if frame.outgoing and frame.data
            ]
        found: Counter[str] = Counter()
        for packet in packets:
            if packet is not None and not _belongs_outside(packet):
                names = [probe.name for probe in self.probes if probe.is_in(packet)]
                found[names[0] if names else OTHER] += 1
        return found

    def _send(self) -> None:
        for probe in self.probes:
            with contextlib.suppress(OSError):  # a refusal to send is a result, too
                probe.send(self.box if probe.from_box else self.home)

    def send_by(self, *place: str) -> None:
        """Let a program that ``run`` starts send all probes except the box's."""
        own = NETWORK_V4 + self.host
        sender = python_module("tests.leaks.send")
        # This is no work for ip netns exec, because it hides cgroups.
        run(
            *("nsenter", f"--net={self.home.path}", *self.served.command("run", *place)),
            *("--", *sender, GATEWAY_V4, own),
            env=self.served.env,
        )

    def lockdown(self, *arguments: str) -> None:
        expect_ok(self.served.fs_tunnel(self.home, "lockdown", *arguments))

    def seen_all(self, *, but: Probe | None = None) -> Counter[str]:
        """Count as ``seen`` does, until every probe has left; the probe ``but`` need not leave."""
        total: Counter[str] = Counter()

        def every_one() -> bool:
            total.update(self.seen())
            return all(total[probe.name] for probe in self.probes if probe != but)

        wait_until(every_one, what="every probe leaves")
        return total


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Build the scene without any tunnel."""
    with served(folder) as scene:
        client, topology = scene.client.namespace, scene.topology
        add_addresses(client, UPLINK, [f"{NETWORK_V6}2/64"])
        add_addresses(scene.provider, "lan2", [f"{GATEWAY_V6}/64"])
        client.ip("-6", "route", "add", "default", "via", GATEWAY_V6)
        box = topology.namespace("box")
        topology.link(
            *(client, "inner", ["172.30.0.1/24", "fd30::1/64"]),
            *(box, "inner", ["172.30.0.2/24", "fd30::2/64"]),
        )
        box.ip("route", "add", "default", "via", "172.30.0.1")
        box.ip("-6", "route", "add", "default", "via", "fd30::1")
        for version in ("ipv4", "ipv6"):
            client.sysctl(f"net/{version}/conf/all/forwarding", 1)
        yield Watched(scene, box)


def _parse(frame: bytes) -> Packet | None:
    kind = frame[12:14]
    if kind == b"\x08\x00":
        return IP(frame[14:])
    return IPv6(frame[14:]) if kind == b"\x86\xdd" else None


def _belongs_outside(packet: Packet) -> bool:
    """Tell whether a packet is the tunnel's own datagram, or keeps the link alive."""
    if UDP in packet:
        datagram = packet[UDP]
        is_wireguard = (packet.dst, datagram.dport) in ENDPOINTS
        payload = bytes(datagram.payload)
        is_wireguard = is_wireguard and payload[:4] in {bytes([n, 0, 0, 0]) for n in range(1, 5)}
        return is_wireguard or int(datagram.dport) in _DHCP_PORTS
    if IPv6 in packet and packet.nh == socket.IPPROTO_ICMPV6:
        return bytes(packet.payload)[0] in _NEIGHBOUR_DISCOVERY
    return False
