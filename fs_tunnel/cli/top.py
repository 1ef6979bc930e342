# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel top``: what passes through each tunnel right now."""

import json
import time
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

import click

from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.tunnels import find
from fs_tunnel.console.text import ago, align, human_bytes
from fs_tunnel.privileges import require_root
from fs_tunnel.settings import tunnel_name

SCHEMA = 1
_COLUMNS = ("TUNNEL", "PEER", "ENDPOINT", "IN", "OUT", "PACKETS IN", "PACKETS OUT", "HANDSHAKE")
_COUNTED = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")


class Rates(NamedTuple):
    """Of one peer, by the second."""

    tunnel: str
    peer: str
    endpoint: str | None
    latest_handshake: float | None  # Unix time
    rx_bytes: float
    tx_bytes: float
    rx_packets: float
    tx_packets: float


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON each time.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    help="Seconds between two updates.",
)
@click.option("--times", type=click.IntRange(min=1), help="Stop after this many updates.")
@click.argument("name", required=False, shell_complete=complete_conf)
def top(as_json: bool, interval: float, times: int | None, name: str | None) -> None:
    """Show live traffic, the busiest peer first, until Ctrl-C.

    Exits with 3 if no tunnel is up.
    """
    require_root("fs-tunnel top")
    wanted = tunnel_name(name) if name is not None else None
    before, looked = find(wanted), time.monotonic()
    for turn in count(1):
        time.sleep(interval)
        after, now = find(wanted), time.monotonic()
        rates = compare(before, after, now - looked)
        if as_json:
            peers = [each._asdict() for each in rates]
            click.echo(json.dumps({"schema": SCHEMA, "time": time.time(), "peers": peers}))
        else:
            click.clear()
            click.echo(to_table(rates))
        if turn == times:
            return
        before, looked = after, now


def compare(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], seconds: float
) -> list[Rates]:
    """What passed between two looks, by the second, the busiest first.

    A peer that was not there before, or has been made anew since, is counted from zero.
    """
    earlier = {(name, peer["public_key"]): peer for name, peer in _peers(before)}
    found = []
    for name, peer in _peers(after):
        old = earlier.get((name, peer["public_key"]), {})
        if any(peer.get(each, 0) < old.get(each, 0) for each in _COUNTED):
            old = {}
        passed = ((peer.get(each, 0) - old.get(each, 0)) / seconds for each in _COUNTED)
        found.append(
            Rates(name, peer["public_key"], peer["endpoint"], peer["latest_handshake"], *passed)
        )
    return sorted(found, key=lambda each: each.rx_bytes + each.tx_bytes, reverse=True)


def to_table(rates: Sequence[Rates]) -> str:
    rows = [
        (
            each.tunnel,
            each.peer,
            each.endpoint or "-",
            _per_second(each.rx_bytes),
            _per_second(each.tx_bytes),
            f"{each.rx_packets:,.0f}/s",
            f"{each.tx_packets:,.0f}/s",
            ago(each.latest_handshake),
        )
        for each in rates
    ]
    return "\n".join(align([_COLUMNS, *rows])) if rows else "no peers"


def _peers(tunnels: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(tunnel["name"], peer) for tunnel in tunnels for peer in tunnel["peers"]]


def _per_second(amount: float) -> str:
    return f"{human_bytes(round(amount))}/s"
