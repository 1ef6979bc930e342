# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tables, amounts and warnings for people."""

import logging
import time
from collections.abc import Sequence

import click

from fs_tunnel.observe.logs import is_json

log = logging.getLogger(__name__)


def say(message: str) -> None:
    """Print a line for the user on standard output."""
    click.echo(message)


def warn(message: str) -> None:
    """Warn the user on standard error; the command goes on."""
    if is_json():
        log.warning("%s", message)
    else:
        click.echo(f"fs-tunnel: warning: {message}", err=True)


def tell_progress(message: str) -> None:
    """Tell the user on standard error what the command waits for."""
    if not is_json():
        click.echo(f"{message} …", err=True)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def ago(moment: float | None) -> str:
    """How long ago a Unix time was, in words."""
    if moment is None:
        return "never"
    seconds = max(0, int(time.time() - moment))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def counted(number: int, what: str) -> str:
    """``1 client``, ``2 clients``."""
    return f"{number} {what}{'s' * (number != 1)}"


def human_bytes(count: int) -> str:
    """A count of bytes with a unit: 1536 is ``1.5 KiB``."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
