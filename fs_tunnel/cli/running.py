"""What ``up`` and ``serve`` share: start, tell, and with -f stay until the end."""

import signal
import time
from collections.abc import Sequence
from types import FrameType

import click

from fs_tunnel import lifecycle, uapi
from fs_tunnel.config import TunnelConfig
from fs_tunnel.errors import SystemChangeError
from fs_tunnel.linux.change import Change
from fs_tunnel.linux.journal import Journal
from fs_tunnel.linux.state import locked
from fs_tunnel.uapi import DeviceUpdate

FOREGROUND = click.option(
    "-f", "--foreground", is_flag=True, help="Stay until Ctrl-C or SIGTERM, then take it down."
)

_LOOK_EVERY = 0.2  # seconds


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that it undoes what Ctrl-C undoes."""


def run_tunnel(
    role: str,
    config: TunnelConfig,
    device: DeviceUpdate,
    plan: Sequence[Change],
    *,
    foreground: bool,
) -> None:
    """Bring the tunnel up, say so, and with ``foreground`` take it down at the end."""
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        is_fresh = lifecycle.bring_up(role, config, device, plan)
        said = "is up" if is_fresh else "was up already; its configuration was applied anew"
        click.echo(f"{config.name} {said}")
        if foreground:
            _stay(config.name, role)
    except (_Terminated, KeyboardInterrupt):
        lifecycle.take_down(config.name)
        click.echo(f"{config.name} is down")
    finally:
        signal.signal(signal.SIGTERM, previous)


def _stay(name: str, role: str) -> None:
    """Return when somebody else takes the tunnel down; SystemChangeError when the engine dies."""
    while uapi.is_answered(name):
        time.sleep(_LOOK_EVERY)
    with locked(name):  # a command that takes it down may be half-way
        was_taken_down = not Journal(name).is_open
    if was_taken_down:
        click.echo(f"{name} was taken down")
    elif role == "serve":
        lifecycle.take_down(name)
        raise SystemChangeError(f"the engine of {name} died; all was undone; start it again")
    else:
        raise SystemChangeError(
            f"the engine of {name} died; what belongs into the tunnel stays blocked: "
            f"fs-tunnel up again, or fs-tunnel down {name}"
        )


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated
