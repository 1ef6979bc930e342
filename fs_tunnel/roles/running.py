# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What ``up`` and ``serve`` share: they bring a tunnel up, and leave a helper behind.

With ``-f`` the command does the helper's work itself, until the tunnel ends.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from fs_tunnel import leftovers, lifecycle, privileges, settings
from fs_tunnel.config import TunnelConfig, permission_warning
from fs_tunnel.console import questions
from fs_tunnel.console.text import say, warn
from fs_tunnel.helper import resolver
from fs_tunnel.helper.client import HelperClient, hand_over
from fs_tunnel.helper.service import run as run_helper
from fs_tunnel.helper.settings import Settings
from fs_tunnel.linux.journal import hooks
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.journal.plans import Protection, Surroundings, client_plan
from fs_tunnel.linux.systemd import notify
from fs_wire.errors import (
    ControlError,
    FlowShieldError,
    NotRunningError,
    SystemChangeError,
)
from fs_wire.types import PublicKey
from fs_wire.uapi import DeviceUpdate

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stopped(BaseException):
    """A signal as an exception, so that all changes are undone on the way."""


def read_config(verb: str, conf: str, *, allow_hooks: bool) -> TunnelConfig:
    """Read the configuration that ``conf`` names, and warn if other users can read it."""
    privileges.require_net_admin(f"fs-tunnel {verb}")
    config = settings.read(conf)
    warning = permission_warning(Path(config.source))
    if warning is not None:
        warn(warning)
    hooks.check_allowed(config, allowed=allow_hooks)
    return config


def client_tunnel(
    config: TunnelConfig, protection: Protection
) -> tuple[DeviceUpdate, list[Change]]:
    """What a client's engine must know, and what the tunnel changes on the host."""
    endpoints = settings.resolve(config)
    mark = settings.choose_mark(config, protection)
    around = Surroundings(
        mtu=settings.mtu_for(endpoints.values(), mark),
        mark=mark,
        endpoints=tuple(endpoints.values()),
    )
    device = settings.device_update(config, endpoints, port=None, mark=mark)
    return device, client_plan(config, around, protection)


def run_tunnel(
    role: str,
    config: TunnelConfig,
    device: DeviceUpdate,
    plan: Sequence[Change],
    helper: Settings,
    *,
    foreground: bool,
    keeps: Callable[[PublicKey], bool] | None = None,
    reach: Callable[[bool], None] | None = None,
) -> None:
    """Bring the tunnel up, say so, and leave a helper, or with ``foreground`` do its work.

    ``keeps``: see ``lifecycle.bring_up``. ``reach`` finds the way to the other side; its argument
    says whether the tunnel was up, or blocked, before. If it was not and ``reach`` fails, the
    tunnel is taken down.
    """
    is_fresh = False
    was_open = Journal(config.name).is_open
    with _stoppable():
        try:
            is_fresh = lifecycle.bring_up(role, config, device, plan, keeps=keeps)
            if reach is not None:
                _reach_or_end(config.name, reach, was_open=was_open)
            helper = _as_far_as_possible(config.name, helper)
            if not foreground:
                _hand_over(config.name, helper)
            said = "is up" if is_fresh else "was up already; its configuration was applied again"
            say(f"{config.name} {said}")
            if foreground:
                _stay(config.name, helper)
        except _Stopped:
            if foreground or is_fresh:
                notify("STOPPING=1")
                lifecycle.take_down(config.name)
                say(f"{config.name} is down")
            if not foreground:
                raise questions.Declined from None


def _reach_or_end(name: str, reach: Callable[[bool], None], *, was_open: bool) -> None:
    try:
        reach(was_open)
    except FlowShieldError:
        # A tunnel that blocked before goes on blocking.
        if not was_open:
            lifecycle.take_down(name)
        raise


def _as_far_as_possible(name: str, helper: Settings) -> Settings:
    """Leave out the resolver if another program answers DNS already: clients use that one then."""
    if helper.resolver is None or _is_resolving(name):
        return helper
    try:
        resolver.check_port_is_free(helper.resolver)
    except SystemChangeError as error:
        _warn(error)
        return replace(helper, resolver=None)
    return helper


def _is_resolving(name: str) -> bool:
    try:
        return HelperClient(name).status()["resolver"] is not None
    except (NotRunningError, ControlError):
        return False


def _hand_over(name: str, helper: Settings) -> None:
    try:
        hand_over(name, helper)
    except FlowShieldError as error:
        # This leaves no gap. If the engine ends, a command does what the helper would do.
        _warn(error)


def _warn(error: FlowShieldError) -> None:
    warn(f"{error}")


def _stay(name: str, helper: Settings) -> None:
    """Return when another command takes the tunnel down; SystemChangeError if the engine dies."""
    with suppress(NotRunningError, ControlError):
        HelperClient(name).leave()
    heard = _heard()
    try:
        end = run_helper(
            name, helper, ready=lambda: notify("READY=1"), endings=heard, is_daemon=False
        )
    finally:
        _ignore(heard)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
    match end:
        case None:
            raise _Stopped
        case leftovers.End.CLOSED:
            raise SystemChangeError(
                f"the engine of {name} died; the tunnel's traffic stays blocked: "
                f"fs-tunnel up again, or fs-tunnel down {name}"
            )
        case leftovers.End.UNDONE:
            raise SystemChangeError(
                f"the engine of {name} died, and all changes are undone; start the tunnel again"
            )
    say(f"{name} was taken down")


def _heard() -> list[signal.Signals]:
    # A parent may have us ignore a signal, as nohup does. It stays ignored.
    return [each for each in _ENDINGS if signal.getsignal(each) is not signal.SIG_IGN]


def _ignore(signals: Iterable[signal.Signals]) -> None:
    for each in signals:
        signal.signal(each, signal.SIG_IGN)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let one signal raise _Stopped, and ignore further ones, so that they disturb no clean-up."""
    heard = _heard()
    before = {each: signal.getsignal(each) for each in heard}

    def stop(_signal: int, _frame: FrameType | None) -> None:
        _ignore(heard)
        raise _Stopped

    try:
        for each in heard:
            signal.signal(each, stop)
        yield
    finally:
        for each in heard:
            signal.signal(each, before[each])
