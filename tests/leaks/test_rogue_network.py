# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A network lies about routes, by the DHCP and the router advertisements of real daemons.

The client believes each lie, as the control shows. Traffic of the tunnel still stays in it.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from tests.leaks.probes import FAR_V4, FAR_V6, UPLINK
from tests.leaks.scene import Watched, watched
from tests.netns.capture import Capture
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

# A DHCP client runs this script for option 121 (RFC 3442).
SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address replace "$ip/$mask" dev "$interface"
set -- $staticroutes
while [ $# -ge 2 ]; do
    ip route replace "$1" via "$2" dev "$interface"
    shift 2
done
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path) as made:
        made.served.serve("--wan", "wan")
        yield made


def ask_for_lease(scene: Watched, folder: Path) -> None:
    script = folder / "lease"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    scene.home.run(
        *("busybox", "udhcpc", "-i", UPLINK, "-n", "-q", "-f", "-t", "10", "-T", "1"),
        *("-O", "staticroutes", "-s", str(script)),
    )


def offer_leases(scene: Watched, folder: Path) -> None:
    """Offer routes that are more specific than the tunnel's, by option 121 (TunnelVision)."""
    scene.served.provider.start(
        *("dnsmasq", "--no-daemon", "--port=0", "--conf-file=/dev/null", "--user=root"),
        *("--interface=lan2", "--bind-interfaces", f"--dhcp-leasefile={folder / 'leases'}"),
        "--dhcp-range=198.51.100.50,198.51.100.60,255.255.255.128,1h",
        "--dhcp-option=121,203.0.113.0/24,198.51.100.1,0.0.0.0/1,198.51.100.1,128.0.0.0/1,198.51.100.1",
    )


def test_routes_from_a_dhcp_server_lead_no_packet_outside(scene: Watched, tmp_path: Path) -> None:
    home = scene.home
    offer_leases(scene, tmp_path)
    scene.up()
    ask_for_lease(scene, tmp_path)
    assert "203.0.113.0/24 via 198.51.100.1" in home.ip("route")
    assert "0.0.0.0/1 via 198.51.100.1" in home.ip("route")
    with Capture(scene.served.provider, scene.served.name) as inside:
        assert scene.seen() == {}
        packets = [IP(packet) for packet in inside.packets() if packet[0] >> 4 == 4]
    assert any(packet.dst == FAR_V4 for packet in packets), "it went through the tunnel"
    scene.down()
    assert scene.seen_all()["UDP"], "the control: they are in force"


def test_routes_from_router_advertisements_lead_no_packet_outside(
    scene: Watched, tmp_path: Path
) -> None:
    home, provider = scene.home, scene.served.provider
    conf = tmp_path / "radvd.conf"
    conf.write_text(
        "interface lan2 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; "
        "AdvDefaultPreference high; "
        "prefix 2001:db8:66::/64 { AdvOnLink on; AdvAutonomous on; }; "
        "route 2001:db8:77::/64 { AdvRoutePreference high; }; };\n"
    )
    provider.sysctl("net/ipv6/conf/all/forwarding", 1)
    for key, value in (("accept_ra", 2), ("accept_ra_rt_info_max_plen", 64)):
        home.sysctl(f"net/ipv6/conf/{UPLINK}/{key}", value)
    scene.up()
    provider.start(
        *("radvd", "--nodaemon", "--config", str(conf), "--pidfile", str(tmp_path / "radvd.pid")),
        *("--logmethod", "stderr"),
        stderr=subprocess.DEVNULL,
    )
    wait_until(
        lambda: "2001:db8:77::/64 via fe80::" in home.ip("-6", "route"),
        what="the advertisement is believed",
    )
    with Capture(scene.served.provider, scene.served.name) as inside:
        assert scene.seen() == {}
        packets = [IPv6(packet) for packet in inside.packets() if packet[0] >> 4 == 6]
    assert any(packet.dst == FAR_V6 for packet in packets), "it went through the tunnel"
    scene.down()
    assert scene.seen_all()["UDP v6"]
