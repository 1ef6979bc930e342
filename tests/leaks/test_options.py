# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Some options open a part of a tunnel; the rest must stay closed."""

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet

from tests.leaks.probes import FAR_V4, UPLINK, Probe, udp
from tests.leaks.scene import GATEWAY_V4, OTHER, Watched, watched
from tests.netns.capture import Capture
from tests.netns.topology import Namespace, add_addresses
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

LAN_GATEWAY, LAN_OWN = "192.168.7.1", "192.168.7.2"
SSH_PORT = 2222


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    """Let the provider serve, and make the uplink a private network, too."""
    with watched(tmp_path) as made:
        made.served.serve("--wan", "wan")
        add_addresses(made.home, UPLINK, [f"{LAN_OWN}/24"])
        add_addresses(made.served.provider, "lan2", [f"{LAN_GATEWAY}/24"])
        yield made


def udp_probe(destination: str, port: int = 9000) -> Probe:
    send = udp(destination, port)
    return Probe(f"{destination}:{port}", send, socket.IPPROTO_UDP, destination, port)


def names(seen: dict[str, int]) -> set[str]:
    return set(seen)


def probes(seen: dict[str, int]) -> set[str]:
    """Return the names of the probes that were seen; other traffic may leave, too."""
    return set(seen) - {OTHER}


def test_allow_lan_opens_only_private_networks_on_the_link(scene: Watched) -> None:
    here, far_away, dns = udp_probe(LAN_GATEWAY), udp_probe("10.1.2.3"), udp_probe(LAN_GATEWAY, 53)
    public = udp_probe(GATEWAY_V4, 9003)  # TunnelCrack: the network claims a public range
    scene.more = [here, far_away, dns, public]
    assert names(scene.seen()) >= {each.name for each in scene.more}

    scene.up()
    assert names(scene.seen()) == set()
    scene.up("--allow-lan")
    assert names(scene.seen()) == {here.name, "multicast", "broadcast"}
    with scene.served.provider.udp_socket(LAN_GATEWAY) as neighbour:
        neighbour.sendto(b"hello", (LAN_OWN, 9000))
    scene.up()
    assert names(scene.seen()) == set()


def test_exclude_opens_only_the_excluded_network(scene: Watched) -> None:
    excluded = udp_probe("203.0.113.99")
    scene.more = [excluded, udp_probe("203.0.113.98"), udp_probe("203.0.113.99", 53)]
    scene.up("--exclude", "203.0.113.99/32")
    assert names(scene.seen()) == {excluded.name}


def test_with_only_the_named_network_never_leaves_outside_the_tunnel(scene: Watched) -> None:
    free, chosen = udp_probe("203.0.113.98"), udp_probe("203.0.113.99")
    scene.more = [free, chosen]
    everything = probes(scene.seen_all())
    scene.up("--only", "203.0.113.99/32")
    assert probes(scene.seen_all(but=chosen)) == everything - {chosen.name}
    with Capture(scene.served.provider, scene.served.name) as inside:
        chosen.send(scene.home)
        wait_until(
            lambda: any(chosen.is_in(IP(packet)) for packet in inside.packets()),
            what="it comes out of the tunnel",
        )
    os.kill(scene.engine(), signal.SIGKILL)
    wait_until(lambda: not scene.home.has_link(scene.served.client.name), what="the TUN is gone")
    assert probes(scene.seen_all(but=chosen)) == everything - {chosen.name}
    scene.down()
    assert chosen.name in names(scene.seen_all())


def connects(source: Namespace, port: int) -> bool:
    with source.open_socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(("198.51.100.2", port))
            sock.sendall(b"hello")
            return sock.recv(5) == b"hello"
        except OSError:
            return False


def test_allow_inbound_admits_only_the_named_source_and_port(scene: Watched) -> None:
    outside = scene.served.provider
    for port in (SSH_PORT, 8080):
        scene.home.start("ncat", "--listen", "--keep-open", "--exec", "/bin/cat", str(port))
        wait_until(partial(connects, outside, port), what="ncat listens")
    scene.up()
    assert not connects(outside, SSH_PORT)
    scene.up("--allow-inbound", f"198.51.100.1/32:{SSH_PORT}")
    assert connects(outside, SSH_PORT)
    assert not connects(outside, 8080)
    assert names(scene.seen()) == set()
    scene.up("--allow-inbound", f"198.51.100.128/25:{SSH_PORT}")
    assert not connects(outside, SSH_PORT)


def test_up_refuses_to_cut_off_a_user_who_came_by_ssh(scene: Watched) -> None:
    client = scene.served.client
    ssh = {"SSH_CONNECTION": f"198.51.100.1 40000 198.51.100.2 {SSH_PORT}"}

    def up(*options: str) -> tuple[int, str]:
        words: tuple[str | Path, ...] = ("up", *options, client.conf)
        done = scene.served.fs_tunnel(scene.home, *words, env=ssh, is_forked=False)
        return done.code, done.err

    code, said = up()
    assert code == 2
    assert f"--allow-inbound 198.51.100.1/32:{SSH_PORT}, or --force" in said
    assert not scene.home.has_link(client.name)
    for options in (
        ["--allow-inbound", f"198.51.100.1/32:{SSH_PORT}"],
        ["--exclude", "198.51.100.0/25"],
        ["--only", "203.0.113.99/32"],
        ["--force"],
    ):
        assert up(*options) == (0, "")
    assert up("--only", "198.51.100.0/24")[0] == 2


def is_reset(packet: Packet) -> bool:
    return TCP in packet and "R" in packet[TCP].flags


def test_a_packet_to_the_tunnels_address_gets_no_answer_on_the_uplink(scene: Watched) -> None:
    """CVE-2019-14899: an answer to a packet for the tunnel's address would betray it."""

    def is_answered() -> bool:
        inside, gateway = scene.served.client.v4, scene.served.provider
        ping(gateway, LAN_OWN)  # the gateway learns the client's link address
        with Capture(scene.home, UPLINK) as uplink:
            syn_ack = TCP(sport=80, dport=40000, flags="SA", seq=secrets.randbits(32))
            with gateway.open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                raw.sendto(bytes(IP(src=GATEWAY_V4, dst=inside) / syn_ack), (inside, 0))
                ping(gateway, LAN_OWN)
            return any(is_reset(IP(packet)) for packet in uplink.packets())

    scene.served.provider.ip("route", "add", f"{scene.served.client.v4}/32", "via", LAN_OWN)
    scene.up("--exclude", "198.51.100.0/25", "--no-kill-switch")
    assert is_answered(), "without the kill switch, it is answered"
    scene.up("--exclude", "198.51.100.0/25", "--allow-lan")
    assert not is_answered()


def ping(source: Namespace, destination: str) -> None:
    source.start("ping", "-n", "-c", "1", "-W", "1", destination).wait()


def test_a_more_specific_route_leads_no_packet_outside(scene: Watched) -> None:
    """TunnelVision, CVE-2024-3661: a DHCP server adds a more specific route."""
    probe = udp_probe(FAR_V4, 9007)
    scene.more = [probe]
    scene.home.ip("route", "add", "203.0.113.0/24", "via", GATEWAY_V4)
    assert probe.name in scene.seen()
    scene.up()
    with Capture(scene.served.provider, scene.served.name) as inside:
        assert names(scene.seen()) == set()
        assert any(probe.is_in(IP(packet)) for packet in inside.packets() if packet[0] >> 4 == 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "203.0.113.0/24", "--allow-lan"], "--only leaves all else outside"),
        (["--no-kill-switch", "--allow-inbound", "0.0.0.0/0:22"], "part of the kill switch"),
        (["--exclude", "203.0.113.0"], ""),
        (["--exclude", "nonsense"], "is no network"),
        (["--allow-inbound", "10.0.0.0/8"], "is no such place"),
        (["--allow-inbound", "10.0.0.0/8:0"], "is no such place"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    scene: Watched, options: list[str], said: str
) -> None:
    done = scene.served.fs_tunnel(scene.home, "up", *options, scene.served.client.conf)
    assert done.code == (2 if said else 0)
    assert said in done.err
