# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Debian's ``wg-quick`` brings tunnels up and down with our engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.exchange import BOB_INSIDE
from tests.netns.capture import Capture
from tests.netns.peers import (
    UAPI_DIR,
    WIREGUARD_GO,
    Engine,
    KeyPair,
    Peer,
    link_mtu,
    running,
    script_for,
)
from tests.netns.topology import (
    CommandFailed,
    Namespace,
    Triangle,
    add_masquerade,
    run,
    unique_name,
)
from tests.netns.topology import triangle as make_triangle
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

PORT = 51820


@contextmanager
def provider() -> Iterator[tuple[Triangle, Peer]]:
    """Start a provider that forwards to the web and does not know its client yet."""
    with (
        make_triangle() as net,
        running(WIREGUARD_GO, net.provider, BOB_INSIDE) as server,
    ):
        net.provider.sysctl("net/ipv4/ip_forward", 1)
        net.provider.sysctl("net/ipv6/conf/all/forwarding", 1)
        add_masquerade(net.provider, "wan", v6=True)
        yield net, server


class Quick:
    """A configuration file; a call runs wg-quick on it inside a namespace."""

    def __init__(self, namespace: Namespace, engine: Engine, directory: Path) -> None:
        self._namespace = namespace
        self.ifname = unique_name("quick")
        self.path = directory / f"{self.ifname}.conf"
        self._env = {"WG_QUICK_USERSPACE_IMPLEMENTATION": str(script_for(engine, directory))}

    def write(self, text: str) -> None:
        self.path.touch(mode=0o600)
        self.path.write_text(text)

    def __call__(self, verb: str) -> str:
        return self._namespace.run("wg-quick", verb, str(self.path), env=self._env)

    def is_up(self) -> bool:
        return self._namespace.has_link(self.ifname)


def configuration(
    keys: KeyPair, server: Peer, endpoint: str, allowed_ips: str, extra: str = ""
) -> str:
    return (
        "[Interface]\n"
        f"PrivateKey = {keys.private}\n"
        "Address = 10.66.0.1/24, fd66::1/64\n"
        f"{extra}"
        "[Peer]\n"
        f"PublicKey = {server.keys.public}\n"
        f"Endpoint = {endpoint}:{PORT}\n"
        f"AllowedIPs = {allowed_ips}\n"
    )


def test_traffic_passes_after_up_and_nothing_is_left_after_down(
    engine: Engine, tmp_path: Path
) -> None:
    with provider() as (net, server):
        keys, quick = KeyPair.generate(), Quick(net.client, engine, tmp_path)
        server.add_peer(keys.public, allowed_ips=["10.66.0.1/32", "fd66::1/128"])
        quick.write(configuration(keys, server, net.provider_v4, "10.66.0.0/24, fd66::/64"))
        before = state(net.client)
        for _ in range(2):
            quick("up")
            assert link_mtu(net.client, quick.ifname) == 1420
            for address in (server.v4, server.v6):
                net.client.run("ping", "-n", "-c", "1", "-w", "15", address)
            with pytest.raises(CommandFailed, match="already exists"):
                quick("up")
            quick("down")
            wait_until(lambda: not net.client.pids(), what="the engine ended")
            assert not (UAPI_DIR / f"{quick.ifname}.sock").exists()
            assert state(net.client) == before


def test_all_traffic_goes_through_a_full_tunnel(engine: Engine, tmp_path: Path) -> None:
    with provider() as (net, server):
        keys, quick = KeyPair.generate(), Quick(net.client, engine, tmp_path)
        server.add_peer(keys.public, allowed_ips=["10.66.0.1/32", "fd66::1/128"])
        quick.write(configuration(keys, server, net.provider_v4, "0.0.0.0/0, ::/0"))
        before = state(net.client)
        with Capture(net.client, "lan") as clear:
            quick("up")
            for address in (net.web_v4, net.web_v6):
                net.client.run("ping", "-n", "-c", "3", "-i", "0.05", "-w", "15", address)
            seen = {each.destination if each.outgoing else each.source for each in clear.udp()}
            assert seen == {(net.provider_v4, PORT)}
            pings = [packet for packet in clear.packets() if is_ping(packet)]
            assert pings == []

            quick("down")
            assert state(net.client) == before
            # The control: without the tunnel, the capture sees the same ping.
            net.client.run("ping", "-n", "-c", "1", "-w", "15", net.web_v4)
            assert any(is_ping(packet) for packet in clear.packets())


def test_hooks_mtu_listen_port_and_save_config_work(engine: Engine, tmp_path: Path) -> None:
    """``SaveConfig`` writes what ``wg showconf`` says of our engine."""
    with provider() as (net, server):
        keys, quick = KeyPair.generate(), Quick(net.client, engine, tmp_path)
        marker = tmp_path / "post-up"
        extra = (
            f"MTU = 1300\nListenPort = 41820\nPostUp = wg show %i listen-port > {marker}\n"
            "SaveConfig = true\n"
        )
        quick.write(configuration(keys, server, net.provider_v4, "10.66.0.0/24", extra))
        quick("up")
        assert link_mtu(net.client, quick.ifname) == 1300
        assert marker.read_text().strip() == "41820"
        added = KeyPair.generate().public
        run("wg", "set", quick.ifname, "peer", added, "allowed-ips", "10.66.0.9/32")
        quick("down")
        saved = quick.path.read_text()
        assert f"PublicKey = {added}" in saved and "ListenPort = 41820" in saved
        quick("up")
        assert set(run("wg", "show", quick.ifname, "peers").split()) == {added, server.keys.public}
        quick("down")


def test_a_failed_up_leaves_no_change(engine: Engine, tmp_path: Path) -> None:
    with provider() as (net, server):
        keys, quick = KeyPair.generate(), Quick(net.client, engine, tmp_path)
        before = state(net.client)
        wrong = configuration(keys, server, net.provider_v4, "10.66.0.0/24", "MTU = 10\n")
        quick.write(wrong)
        with pytest.raises(CommandFailed):
            quick("up")
        wait_until(lambda: not net.client.pids(), what="the engine ended")
        assert state(net.client) == before


def state(namespace: Namespace) -> str:
    """Return the addresses, routes and rules of both families, and the firewall's ruleset."""
    parts = [namespace.ip("-o", "address", "show")]
    for family in ("-4", "-6"):
        parts += [
            namespace.ip(family, "rule"),
            namespace.ip(family, "route", "show", "table", "all"),
        ]
    parts.append(namespace.run("nft", "list", "ruleset"))
    return "\n".join(parts)


def is_ping(packet: bytes) -> bool:
    """Tell whether a packet is an echo request of either family."""
    v4 = packet[:1] == b"\x45" and packet[9] == 1 and packet[20] == 8
    v6 = packet[:1] == b"\x60" and packet[6] == 58 and packet[40] == 128
    return v4 or v6
