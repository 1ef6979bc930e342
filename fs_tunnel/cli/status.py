"""``fs-tunnel status``: what is up, and how it is doing."""

import json
import time
from collections.abc import Sequence
from typing import Any

import click

from fs_tunnel import control, uapi
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.errors import ControlError, NotRunningError
from fs_tunnel.lifecycle import require_root
from fs_tunnel.linux.journal import Journal
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.settings import tunnel_name
from fs_tunnel.types import PublicKey
from fs_tunnel.uapi import DeviceStatus, UapiClient

SCHEMA = 1
_OF_OUR_ENGINE = ("pid", "up", "mtu", "drops", "packet_path", "sandbox")
_NS_PER_S = 1_000_000_000
_COLUMNS = ("PEER", "ENDPOINT", "ALLOWED IPS", "HANDSHAKE", "RECEIVED", "SENT")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, of a schema with a version.")
@click.option("--watch", is_flag=True, help="Repeat every second until Ctrl-C.")
@click.argument("name", required=False, shell_complete=complete_conf)
def status(as_json: bool, watch: bool, name: str | None) -> None:
    """Show the tunnels that are up, or the one of that NAME.

    Exits with 3 where there is none.
    """
    require_root("fs-tunnel status")
    wanted = tunnel_name(name) if name is not None else None
    while True:
        tunnels = [_look(wanted)] if wanted else _all()
        if not tunnels:
            raise NotRunningError("no tunnel is up; start one with fs-tunnel up or serve")
        if watch and not as_json:
            click.clear()
        click.echo(_to_json(tunnels) if as_json else "\n\n".join(map(_to_table, tunnels)))
        if not watch:
            return
        time.sleep(1)


def _all() -> list[dict[str, Any]]:
    tunnels = []
    for name in _found():
        try:
            tunnels.append(_look(name))
        except NotRunningError:
            pass  # it went down while we looked, or left its socket behind when it died
        except ControlError as error:
            # One engine that hangs does not hide the others.
            click.echo(f"fs-tunnel: warning: {error}", err=True)
    return tunnels


def _found() -> list[str]:
    directory = uapi.socket_path("any").parent
    return sorted(path.stem for path in directory.glob("*.sock"))


def _look(name: str) -> dict[str, Any]:
    """One tunnel as the JSON schema has it: no secret is in it."""
    device = UapiClient(name).get()
    journal = Journal(name)
    tunnel: dict[str, Any] = {
        "name": name,
        "role": journal.header.role if journal.header else None,
        "config": journal.header.source if journal.header else None,
        "public_key": _public_key(device),
        "listen_port": device.listen_port,
        "fwmark": device.fwmark,
        "peers": [
            {
                "public_key": peer.public_key.to_base64(),
                "has_preshared_key": peer.preshared_key is not None,
                "endpoint": str(peer.endpoint) if peer.endpoint else None,
                "allowed_ips": [str(network) for network in peer.allowed_ips],
                "latest_handshake": peer.last_handshake_ns / _NS_PER_S or None,
                "rx_bytes": peer.rx_bytes,
                "tx_bytes": peer.tx_bytes,
                "persistent_keepalive": peer.persistent_keepalive,
            }
            for peer in device.peers
        ],
    }
    try:
        engine = control.status(name)
    except NotRunningError:
        return tunnel  # another implementation's engine
    tunnel |= {key: engine[key] for key in _OF_OUR_ENGINE}
    for peer in tunnel["peers"]:
        # It may have been added since we asked.
        known = engine["peers"].get(peer["public_key"], {})
        peer |= {key: known.get(key, 0) for key in ("rx_packets", "tx_packets", "credit_used")}
        peer["limits"] = known.get("limits")
    return tunnel


def _public_key(device: DeviceStatus) -> str | None:
    if device.private_key is None:
        return None
    return PublicKey(public_key(device.private_key.raw)).to_base64()


def _to_json(tunnels: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"schema": SCHEMA, "tunnels": tunnels})


def _to_table(tunnel: dict[str, Any]) -> str:
    head = f"{tunnel['name']}  {tunnel['role'] or 'engine'}  port {tunnel['listen_port'] or '-'}"
    head += f"  key {tunnel['public_key'] or 'none'}"
    rows = [
        (
            peer["public_key"],
            peer["endpoint"] or "-",
            _some(peer["allowed_ips"]),
            _ago(peer["latest_handshake"]),
            human_bytes(peer["rx_bytes"]),
            human_bytes(peer["tx_bytes"]),
        )
        for peer in tunnel["peers"]
    ]
    lines = [head, *_align([_COLUMNS, *rows])] if rows else [head, "no peers"]
    lines.extend(
        f"limits of {peer['public_key']}: " + ", ".join(said)
        for peer in tunnel["peers"]
        if (said := _describe_limits(peer))
    )
    if path := tunnel.get("packet_path"):
        lines.append("packet path: " + ", ".join(_describe_path(path)))
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


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _some(networks: Sequence[str]) -> str:
    shown = ", ".join(networks[:3])
    return f"{shown} and {len(networks) - 3} more" if len(networks) > 3 else shown or "-"


def _ago(moment: float | None) -> str:
    """A Unix time as people say it."""
    if moment is None:
        return "never"
    seconds = max(0, int(time.time() - moment))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def human_bytes(count: int) -> str:
    """1536 as ``1.5 KiB``."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
