# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Thousands of peers: their cost for an engine, and for the only client that is active."""

import os
import time
from ipaddress import ip_network
from pathlib import Path

from fs_wire import uapi
from fs_wire.types import Endpoint, PublicKey
from fs_wire.uapi_client import UapiClient
from tests.netns.peers import running
from tests.netns.topology import Topology
from tools.bench import machine
from tools.bench.figures import Sample
from tools.bench.peers import Tunnel, WireGuard
from tools.bench.scenes import wired
from tools.bench.traffic import speed


def measure_load(vpn: WireGuard, _: Path, *, count: int) -> Sample:
    """Configure ``count`` peers, each with an IPv4 network, an IPv6 network and an endpoint."""
    with (
        Topology() as topology,
        running(vpn.engine, topology.namespace("many"), ("10.66.0.1/24",)) as server,
    ):
        if server.process is None:
            raise AssertionError("an engine in the foreground is our process")
        client = UapiClient(server.ifname)
        before = machine.memory_mib(server.process.pid, "VmRSS")
        started = time.monotonic()
        client.set(uapi.DeviceUpdate(peers=idle_peers(count)))
        loaded = time.monotonic()
        shown = len(client.get().peers)
        listed = time.monotonic()
        if shown != count:
            raise ValueError(f"{vpn.name} has {shown} peers after {count} were set")
        after = machine.memory_mib(server.process.pid, "VmRSS")
        yield "load_seconds", loaded - started
        yield "list_seconds", listed - loaded
        yield "memory_many", after
        yield "memory_each", (after - before) * 1024 / count


def measure_among_idle(vpn: WireGuard, folder: Path, *, count: int, seconds: float) -> Sample:
    """Run one TCP stream to a provider: without idle peers, twice with them, and without again.

    So slow changes on the machine affect both figures alike.
    """
    peers = idle_peers(count)
    with wired("on") as net, vpn.up(net, folder) as tunnel:
        speed.serve(tunnel.bob)
        provider = UapiClient(_interface(tunnel))

        def rate() -> float:
            return speed.tcp(tunnel.alice, tunnel.address, seconds)[0]

        speed.tcp(tunnel.alice, tunnel.address, 1)  # warm up the path
        alone = rate()
        provider.set(uapi.DeviceUpdate(peers=peers))
        among_idle = rate() + rate()
        gone = tuple(uapi.PeerUpdate(each.public_key, remove=True) for each in peers)
        provider.set(uapi.DeviceUpdate(peers=gone))
        alone += rate()
        yield "alone", alone / 2
        yield "among_idle", among_idle / 2
        yield "idle_ratio", among_idle / alone


def idle_peers(count: int) -> tuple[uapi.PeerUpdate, ...]:
    """Make peers that never send anything."""
    return tuple(map(_peer, range(count)))


def _peer(number: int) -> uapi.PeerUpdate:
    high, low = divmod(number, 256)
    networks = (f"10.67.{high}.{low}/32", f"fd67::{high:x}:{low:x}/128")
    return uapi.PeerUpdate(
        PublicKey(os.urandom(32)),
        endpoint=Endpoint("192.0.2.1", 1024 + number % 60000),
        replace_allowed_ips=True,
        allowed_ips=tuple(uapi.AllowedIPChange(ip_network(each)) for each in networks),
    )


def _interface(tunnel: Tunnel) -> str:
    """Return the name of the TUN in bob's namespace."""
    shown = tunnel.bob.ip("-o", "link", "show", "type", "tun")
    return shown.split(":")[1].strip()
