# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel debug``: what a report of a defect needs."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import click

from fs_tunnel.console.private_file import write_privately
from fs_tunnel.observe.bundle import pack
from fs_tunnel.observe.diagnosis import gather
from fs_tunnel.privileges import require_root


@click.group()
def debug() -> None:
    """Collect what a bug report needs."""


@debug.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write. Default: a name made from the time.",
)
def bundle(output: Path | None) -> None:
    """Write a redacted report about this host and its tunnels.

    The report is a .tar.gz that only you can read. It never holds private or pre-shared keys.
    Public keys, addresses and host names are replaced by pseudonyms, which differ in every bundle.
    """
    require_root("fs-tunnel debug bundle")
    folder = f"fs-tunnel-debug-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    path = output or Path(f"{folder}.tar.gz")
    write_privately(path, pack(gather(), key=secrets.token_bytes(32), folder=folder))
    click.echo(f"{path} is written; look through it before you send it")
