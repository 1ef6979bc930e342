# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel metrics``: what passes and what is refused, for Prometheus."""

import logging
import socket
import sys
from pathlib import Path

import click
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from fs_tunnel.cli.options.params import EndpointParam
from fs_tunnel.linux.process import usage_of
from fs_tunnel.linux.systemd import notify
from fs_tunnel.observe.metrics import registry
from fs_tunnel.observe.metrics_server import listen_tcp, listen_unix, serve
from fs_tunnel.observe.overview import Overview, look_at_all
from fs_tunnel.privileges import require_root
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint

log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--listen",
    "place",
    type=EndpointParam(),
    help="Serve http://ADDRESS:PORT/metrics until Ctrl-C.",
)
@click.option(
    "--socket",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Serve /metrics on a UNIX socket that only root can open.",
)
@click.option(
    "--allow-remote", is_flag=True, help="Allow --listen on an address that other hosts can reach."
)
def metrics(place: Endpoint | None, path: Path | None, allow_remote: bool) -> None:
    """Print or serve metrics for Prometheus.

    Metrics name peers by their public keys. They hold no addresses and no secrets.
    """
    require_root("fs-tunnel metrics")
    found = registry(_look, usage_of)
    if place and path:
        raise UsageError("--listen and --socket are two ways; give one of them")
    if place:
        _serve(listen_tcp(place, anywhere=allow_remote), found, f"http://{place}/metrics")
    elif path:
        try:
            _serve(listen_unix(path), found, str(path))
        finally:
            path.unlink(missing_ok=True)
    else:
        sys.stdout.write(generate_latest(found).decode())


def _serve(listener: socket.socket, found: CollectorRegistry, where: str) -> None:
    click.echo(f"serving metrics at {where}, until Ctrl-C")
    notify("READY=1")
    serve(listener, found)


def _look() -> list[Overview]:
    found, failures = look_at_all()
    for failure in failures:
        log.warning("%s", failure)
    return found
