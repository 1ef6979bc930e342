"""What ``up`` and ``serve`` share: read, start, tell, and with -f stay until the end."""

import select
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from fs_tunnel import lifecycle, settings
from fs_tunnel.config import TunnelConfig, permission_warning
from fs_tunnel.errors import SystemChangeError
from fs_tunnel.linux import hooks
from fs_tunnel.linux.change import Change
from fs_tunnel.linux.systemd import notify
from fs_tunnel.uapi import DeviceUpdate

FOREGROUND = click.option(
    "-f", "--foreground", is_flag=True, help="Stay until Ctrl-C or SIGTERM, then take it down."
)
ALLOW_HOOKS = click.option(
    "--allow-hooks",
    is_flag=True,
    help="Run PreUp, PostUp, PreDown and PostDown, if only root can have written them.",
)

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stopped(BaseException):
    """A signal, as an exception, so that whatever was made is undone on the way."""


def read_config(verb: str, conf: str, *, allow_hooks: bool) -> TunnelConfig:
    """The configuration that ``conf`` names, if we may use it; a warning where others can."""
    lifecycle.require_net_admin(f"fs-tunnel {verb}")
    config = settings.read(conf)
    warning = permission_warning(Path(config.source))
    if warning is not None:
        click.echo(f"fs-tunnel: warning: {warning}", err=True)
    hooks.check_allowed(config, allowed=allow_hooks)
    return config


def run_tunnel(
    role: str,
    config: TunnelConfig,
    device: DeviceUpdate,
    plan: Sequence[Change],
    *,
    foreground: bool,
) -> None:
    """Bring the tunnel up, say so, and with ``foreground`` take it down at the end."""
    with _stoppable():
        try:
            is_fresh = lifecycle.bring_up(role, config, device, plan)
            said = "is up" if is_fresh else "was up already; its configuration was applied anew"
            click.echo(f"{config.name} {said}")
            if foreground:
                notify("READY=1")
                _stay(config.name)
        except _Stopped:
            if not foreground:
                raise click.Abort from None
            notify("STOPPING=1")
            lifecycle.take_down(config.name)
            click.echo(f"{config.name} is down")


def _stay(name: str) -> None:
    """Return when somebody else takes the tunnel down; SystemChangeError when the engine dies."""
    with lifecycle.engine_process(name) as engine:
        poll = select.poll()
        poll.register(engine, select.POLLIN)
        poll.poll()
    match lifecycle.after_the_end(name):
        case lifecycle.End.TAKEN_DOWN:
            click.echo(f"{name} was taken down")
        case lifecycle.End.CLOSED:
            raise SystemChangeError(
                f"the engine of {name} died; what belongs into the tunnel stays blocked: "
                f"fs-tunnel up again, or fs-tunnel down {name}"
            )
        case lifecycle.End.UNDONE:
            raise SystemChangeError(f"the engine of {name} died; all was undone; start it again")


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let one signal raise _Stopped; what follows it then is not to be disturbed."""
    # Who started us with a signal ignored, as nohup does, wants it to stay so.
    before = {each: signal.getsignal(each) for each in _ENDINGS}
    heard = [each for each, handler in before.items() if handler is not signal.SIG_IGN]

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped

    try:
        for each in heard:
            signal.signal(each, stop)
        yield
    finally:
        for each in heard:
            signal.signal(each, before[each])
