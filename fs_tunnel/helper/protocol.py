"""What passes over a helper's socket: one JSON object a line, each way.

    {"op": "do", "change": CHANGE}        make a change to the host, as a journal has it
    {"op": "undo", "change": CHANGE}      take one of these back
    {"op": "status"}                      its process, its changes, and what it supervises
    {"op": "configure", "settings": ...}  root alone: what the command that started it was told
    {"op": "dismiss"}                     root alone: have the market's agent finish, and end
    {"op": "leave"}                       root alone: end, and leave the tunnel to another helper

A reply holds ``"ok": true``, or ``"ok": false`` with ``"error"``.  A change is made only where its
kind is in ``MAY_BE_ASKED_FOR`` and it concerns this tunnel.  It is in force until it is taken back,
or the tunnel is; who asks again for what is in force is told that it is.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fs_tunnel.helper.settings import Settings, parse_settings_untrusted
from fs_tunnel.linux.firewall.nft import table_of
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.kinds import from_json
from fs_wire.errors import SystemChangeError, UsageError

MAX_REQUEST_BYTES = 16 << 10
MAX_CHANGES = 16  # in force at a time, of each tunnel
TOO_LONG = f"a request has at most {MAX_REQUEST_BYTES} bytes; send less"


@dataclass(frozen=True, slots=True)
class Do:
    """Make a change."""

    change: Change


@dataclass(frozen=True, slots=True)
class Undo:
    """Take a change back."""

    change: Change


@dataclass(frozen=True, slots=True)
class AskStatus:
    """Tell how things are."""


@dataclass(frozen=True, slots=True)
class Configure:
    """Take other settings."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Dismiss:
    """End the agent's business; the reply tells what it said last."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End, and let the tunnel be as it is."""


Request = Do | Undo | AskStatus | Configure | Dismiss | Leave


def _is_of_tunnel(change: Change, tunnel: str) -> bool:
    return isinstance(change, PermittedEndpoint) and change.table == table_of(tunnel)


# The kinds that a helper makes for others, each with what tells whether one is of its tunnel.
MAY_BE_ASKED_FOR: dict[type[Change], Callable[[Change, str], bool]] = {
    PermittedEndpoint: _is_of_tunnel
}


def parse_request_untrusted(line: bytes, *, tunnel: str, is_root: bool) -> Request:
    """A request to the helper of ``tunnel``; UsageError, with the reason, for any other."""
    if len(line) > MAX_REQUEST_BYTES:
        raise UsageError(TOO_LONG)
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    match request:
        case {"op": "do", "change": change, **rest} if not rest:
            return Do(_parse_change(change, tunnel))
        case {"op": "undo", "change": change, **rest} if not rest:
            return Undo(_parse_change(change, tunnel))
        case {"op": "status", **rest} if not rest:
            return AskStatus()
        case {"op": "configure" | "dismiss" | "leave" as op} if not is_root:
            raise UsageError(f"only root may ask for {op}; run fs-tunnel up or serve")
        case {"op": "configure", "settings": settings, **rest} if not rest:
            return Configure(parse_settings_untrusted(settings))
        case {"op": "dismiss", **rest} if not rest:
            return Dismiss()
        case {"op": "leave", **rest} if not rest:
            return Leave()
    raise UsageError("not understood; send op do, undo or status, on one line of JSON")


def render_reply(**members: Any) -> bytes:
    """The line that tells what came of a request."""
    return json.dumps({"ok": True, **members}).encode() + b"\n"


def render_refusal(error: Exception) -> bytes:
    """The line that tells why nothing came of it."""
    return json.dumps({"ok": False, "error": str(error)}).encode() + b"\n"


def _parse_change(value: object, tunnel: str) -> Change:
    if not isinstance(value, dict):
        raise UsageError("a change is an object, as a journal has it")
    try:
        change = from_json(json.dumps(value))
    except SystemChangeError:
        raise UsageError("no such change; send one as a journal has it") from None
    is_of_tunnel = MAY_BE_ASKED_FOR.get(type(change))
    if is_of_tunnel is None:
        known = ", ".join(kind.__name__ for kind in MAY_BE_ASKED_FOR)
        raise UsageError(f"a {type(change).__name__} is not for others to ask for; only {known}")
    if not is_of_tunnel(change, tunnel):
        raise UsageError(f"that change is not of {tunnel}; ask the helper of its own tunnel")
    return change
