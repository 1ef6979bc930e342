"""Tables, amounts and warnings, as people read them."""

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
    """Tell the user, on standard error, of what is no failure."""
    if is_json():
        log.warning("%s", message)
    else:
        click.echo(f"fs-tunnel: warning: {message}", err=True)


def tell_progress(message: str) -> None:
    """Tell the user, on standard error, what is waited for."""
    if not is_json():
        click.echo(f"{message} …", err=True)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def ago(moment: float | None) -> str:
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
