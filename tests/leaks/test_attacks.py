# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full tunnel resists attackers on the uplink and users without rights.

Each attack has a control in which it succeeds.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP

from tests.leaks.probes import FAR_V4, UPLINK
from tests.leaks.scene import GATEWAY_V4, Watched, watched
from tests.netns.capture import Capture

pytestmark = pytest.mark.netns

NOBODY = "65534"
SEND_TO_ENDPOINT = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    try:
        udp.sendto(b"unmarked", ({GATEWAY_V4!r}, 51820))
    except OSError:
        pass
with socket.socket() as tcp:
    tcp.setblocking(False)
    tcp.connect_ex(({GATEWAY_V4!r}, 51820))
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path) as made:
        made.served.serve("--wan", "wan")
        yield made


def test_a_user_without_rights_does_not_reach_the_endpoint_in_the_clear(scene: Watched) -> None:
    """TunnelCrack, CVE-2023-36673: no packet to the server's address leaves in the clear."""

    def leaves() -> set[int]:
        with Capture(scene.home, UPLINK) as uplink:
            scene.home.run(
                *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
                *(sys.executable, "-c", SEND_TO_ENDPOINT),
            )
            found = [IP(frame.data[14:]) for frame in uplink.frames() if frame.outgoing]
        return {
            packet.proto
            for packet in found
            if packet.dst == GATEWAY_V4 and (packet.proto == 6 or b"unmarked" in bytes(packet))
        }

    assert leaves() == {6, 17}, "the control"
    scene.up()
    assert leaves() == set()


def test_a_network_that_claims_the_destinations_range_gets_no_packet(scene: Watched) -> None:
    """TunnelCrack, CVE-2023-36672: the destination looks like a neighbour to the host."""
    scene.home.ip("address", "add", "203.0.113.50/24", "dev", UPLINK)
    there = ("lladdr", "02:00:00:00:00:77", "dev", UPLINK)
    scene.home.ip("neighbour", "add", FAR_V4, *there)
    assert scene.seen()["UDP"], "the control"
    scene.up()
    with Capture(scene.served.provider, scene.served.name) as inside:
        assert scene.seen() == {}
        assert any(
            IP(packet).dst == FAR_V4 for packet in inside.packets() if packet[0] >> 4 == 4
        ), "it went through the tunnel"


def test_the_host_does_not_answer_arp_for_the_tunnels_address(scene: Watched) -> None:
    """The first step of CVE-2019-14899 is to ask by ARP for the tunnel's address."""
    scene.up()
    tunnels = scene.served.client.v4

    def is_told() -> bool:
        asked = ("busybox", "arping", "-c", "2", "-w", "3", "-I", "lan2", "-s", GATEWAY_V4)
        with Capture(scene.home, UPLINK) as uplink:
            scene.served.provider.start(*asked, tunnels, stdout=subprocess.DEVNULL).wait()
            frames = list(uplink.frames())
        requests = [each for each in frames if each.data[12:14] == b"\x08\x06"]
        assert any(not each.outgoing for each in requests), "it was asked"
        return any(each.outgoing for each in requests)

    assert not is_told()
    scene.home.sysctl("net/ipv4/conf/all/arp_ignore", 0)
    assert is_told(), "the control"
