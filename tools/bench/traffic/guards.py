# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The cost of protection: the engine's sandbox, and the kill switch around a full tunnel.

Three tunnels take short turns, so that other load on the machine affects all of them alike: one
without a sandbox, one with it, and one with the kill switch in addition.
"""

import contextlib
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from fs_tunnel.linux.firewall.kill_switch import KillSwitch, kill_switch_table
from fs_tunnel.linux.journal.plans import FIRST_MARK
from fs_tunnel.linux.routing.links import LINK_GROUP
from fs_wire.types import Endpoint
from tests.netns.topology import Pair
from tools.bench.figures import Sample
from tools.bench.peers import ALICE, Tunnel, WireGuard
from tools.bench.scenes import wired
from tools.bench.traffic import small, speed

TURNS = 4


def measure(vpn: WireGuard, folder: Path, *, program: Path, seconds: float) -> Sample:
    """Measure throughput and small packets, as ratios to the tunnel with one guard less."""
    off = {**vpn.engine.env, "FS_WG_SANDBOX": "off"}
    loose = WireGuard(replace(vpn.engine, env=off))
    with (
        wired("on") as net,
        wired("on") as other,
        loose.up(net, folder) as bare,
        vpn.up(other, folder) as confined,
    ):
        _prepare(confined)
        for tunnel in (bare, confined):
            speed.serve(tunnel.bob)
        turns = [("bare", bare), ("sandbox", confined), ("switch", confined)]
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for number in range(TURNS):
            for name, tunnel in turns if number % 2 else reversed(turns):
                switch = _kill_switch(tunnel, other) if name == "switch" else None
                with switch or contextlib.nullcontext():
                    tcp, _ = speed.tcp(tunnel.alice, tunnel.address, max(1.0, seconds / 4))
                    rate = small.measure(tunnel, program, min(0.5, seconds / 8), "paced")
                found[name, "tcp"].append(tcp)
                found[name, "small"].append(rate)
    medians = {key: statistics.median(each) for key, each in found.items()}
    for what in ("tcp", "small"):
        yield f"sandbox_{what}", medians["sandbox", what] / medians["bare", what]
        yield f"switch_{what}", medians["switch", what] / medians["sandbox", what]


def _prepare(tunnel: Tunnel) -> None:
    """Do what ``up`` would do: set a mark, and put the link into the tunnels' group."""
    ifname = _ifname(tunnel)
    tunnel.alice.run("wg", "set", ifname, "fwmark", str(FIRST_MARK))
    tunnel.alice.ip("link", "set", ifname, "group", str(LINK_GROUP))


def _ifname(tunnel: Tunnel) -> str:
    (link,) = json.loads(tunnel.alice.ip("-json", "link", "show", "type", "tun"))
    return str(link["ifname"])


@contextlib.contextmanager
def _kill_switch(tunnel: Tunnel, net: Pair) -> Iterator[None]:
    table = kill_switch_table(
        KillSwitch(
            name=_ifname(tunnel),
            mark=FIRST_MARK,
            addresses=(ip_interface(f"{ALICE}/24"),),
            endpoints=(Endpoint(net.bob_v4, 51820),),
        )
    )
    tunnel.alice.run("nft", "-f", "-", stdin=table.ruleset)
    try:
        yield
    finally:
        tunnel.alice.run("nft", "delete", "table", "inet", table.table)
