# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel status``: what is up, or blocks, and how it is doing."""

import json
import time
from collections.abc import Sequence
from typing import Any

import click

from fs_tunnel.cli import lockdown
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.spending import summary
from fs_tunnel.cli.tunnels import find
from fs_tunnel.console.text import ago, align, human_bytes
from fs_tunnel.privileges import require_root
from fs_tunnel.settings import tunnel_name
from fs_wire.errors import NotRunningError

SCHEMA = 1
_COLUMNS = ("PEER", "ENDPOINT", "ALLOWED IPS", "HANDSHAKE", "RECEIVED", "SENT")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON; its schema has a version.")
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.argument("name", required=False, shell_complete=complete_conf)
def status(as_json: bool, watch: bool, name: str | None) -> None:
    """Show the tunnels that are up or blocked, or only the tunnel NAME.

    A blocked tunnel has lost its engine and holds this host's traffic back. Exits with 3 if there
    is no tunnel.
    """
    require_root("fs-tunnel status")
    wanted = tunnel_name(name) if name is not None else None
    while True:
        lock = lockdown.look()
        try:
            tunnels = find(wanted)
        except NotRunningError:
            if wanted is None and lock["on"]:
                raise NotRunningError(f"no tunnel is up; {lockdown.describe(lock)}") from None
            raise
        if watch and not as_json:
            click.clear()
        said = [*map(_to_table, tunnels), *([lockdown.describe(lock)] if lock["on"] else [])]
        click.echo(_to_json(tunnels, lock) if as_json else "\n\n".join(said))
        if not watch:
            return
        time.sleep(1)


def _to_json(tunnels: Sequence[dict[str, Any]], lock: dict[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, "tunnels": tunnels, "lockdown": lock})


def _to_table(tunnel: dict[str, Any]) -> str:
    name = tunnel["name"]
    if tunnel["state"] == "blocked":
        return (
            f"{name}  blocked: the engine has ended, and the tunnel's traffic is held back; "
            f"fs-tunnel up again, or fs-tunnel down {name}"
        )
    head = f"{name}  {tunnel['role'] or 'engine'}"
    head += f"  {tunnel['state']}" if tunnel["state"] else ""
    head += f"  port {tunnel['listen_port'] or '-'}"
    head += f"  key {tunnel['public_key'] or 'none'}"
    rows = [
        (
            peer["public_key"],
            peer["endpoint"] or "-",
            _some(peer["allowed_ips"]),
            ago(peer["latest_handshake"]),
            human_bytes(peer["rx_bytes"]),
            human_bytes(peer["tx_bytes"]),
        )
        for peer in tunnel["peers"]
    ]
    lines = [head, *align([_COLUMNS, *rows])] if rows else [head, "no peers"]
    lines.extend(
        f"limits of {peer['public_key']}: " + ", ".join(said)
        for peer in tunnel["peers"]
        if (said := _describe_limits(peer))
    )
    if path := tunnel.get("packet_path"):
        lines.append("packet path: " + ", ".join(_describe_path(path)))
    if market := tunnel.get("market"):
        lines.append(summary(market))
    if resolver := tunnel.get("resolver"):
        lines.append(f"resolver: {resolver['failure']}; it is started again by itself")
    if "sandbox" in tunnel and (missing := _describe_sandbox(tunnel["sandbox"])):
        lines.append("sandbox: " + missing)
    if drops := tunnel.get("drops"):
        lines.append("dropped: " + ", ".join(f"{n} {why}" for why, n in sorted(drops.items())))
    return "\n".join(lines)


def _describe_limits(peer: dict[str, Any]) -> list[str]:
    """What a peer may use, where that is not everything."""
    limits = peer.get("limits") or {}
    said = [
        f"{human_bytes(limits[rate])}/s {way}"
        for rate, way in (("rx_rate", "in"), ("tx_rate", "out"))
        if limits.get(rate)
    ]
    if credit := limits.get("credit"):
        left = max(0, credit - peer["credit_used"])
        said.append(f"{human_bytes(left)} of {human_bytes(credit)} left")
    if exempt := limits.get("exempt"):
        said.append(f"{exempt} without credit")
    return said


def _describe_path(path: dict[str, Any]) -> list[str]:
    """Which form serves, and what it has to do without."""
    if path["form"] == "python":
        return ["Python"]
    threads = path["threads"]
    said = ["native", path["aead"], f"{threads} thread{'s' if threads != 1 else ''}"]
    if not path["tun_offload"]["tcp"]:
        said.append("no TCP offload of the TUN")
    if not path["tun_offload"]["udp"]:
        said.append("no UDP offload of the TUN (Linux 6.2 has it)")
    if not path["udp_gro"]:
        said.append("datagrams come one by one")
    if refused := path["gso_refused"]:
        said.append(f"{refused} sends went in parts, as their way has a smaller MTU")
    return said


def _describe_sandbox(sandbox: dict[str, Any] | None) -> str:
    """What is missing of it."""
    if sandbox is None:
        return "off"
    missing = [name for name in ("seccomp", "landlock") if not sandbox[name]]
    return f"without {' and '.join(missing)}" if missing else ""


def _some(networks: Sequence[str]) -> str:
    shown = ", ".join(networks[:3])
    return f"{shown} and {len(networks) - 3} more" if len(networks) > 3 else shown or "-"
