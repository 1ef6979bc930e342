# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The protocol of a helper's socket: one JSON object a line, each way.

    {"op": "do", "change": CHANGE}        make a change to the host, written as in a journal
    {"op": "undo", "change": CHANGE}      take such a change back
    {"op": "status"}                      tell the helper's process, changes and children
    {"op": "configure", "settings": ...}  root alone: replace the helper's settings
    {"op": "dismiss"}                     root alone: have the market's agent finish and end
    {"op": "leave"}                       root alone: end, so that another helper can start

A reply has ``"ok": true``, or ``"ok": false`` with ``"error"``. The helper makes a change only if
its kind is in ``MAY_BE_ASKED_FOR`` and it concerns this tunnel. The change is in force until it is
taken back, or until the tunnel is down. A repeated request for it succeeds and changes nothing.
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
MAX_CHANGES = 16  # in force at a time, for each tunnel
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
    """Tell how the helper and its children are doing."""


@dataclass(frozen=True, slots=True)
class Configure:
    """Replace the settings."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Have the agent finish and end; the reply has its last report."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End, and leave the tunnel as it is."""


Request = Do | Undo | AskStatus | Configure | Dismiss | Leave


def _is_of_tunnel(change: Change, tunnel: str) -> bool:
    return isinstance(change, PermittedEndpoint) and change.table == table_of(tunnel)


# The kinds that a helper makes for others, and a check that a change is of the helper's tunnel.
MAY_BE_ASKED_FOR: dict[type[Change], Callable[[Change, str], bool]] = {
    PermittedEndpoint: _is_of_tunnel
}


def parse_request_untrusted(line: bytes, *, tunnel: str, is_root: bool) -> Request:
    """A request to the helper of ``tunnel``; UsageError, with the reason, for anything else."""
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
    raise UsageError(
        "the helper knows no such request; send op do, undo or status, on one line of JSON"
    )


def render_reply(**members: Any) -> bytes:
    """The reply to a request that succeeded."""
    return json.dumps({"ok": True, **members}).encode() + b"\n"


def render_refusal(error: Exception) -> bytes:
    """The reply to a request that failed."""
    return json.dumps({"ok": False, "error": str(error)}).encode() + b"\n"


def _parse_change(value: object, tunnel: str) -> Change:
    if not isinstance(value, dict):
        raise UsageError("a change is an object, as a journal has it")
    try:
        change = from_json(json.dumps(value))
    except SystemChangeError:
        raise UsageError("no such change; write it as a journal does") from None
    is_of_tunnel = MAY_BE_ASKED_FOR.get(type(change))
    if is_of_tunnel is None:
        known = ", ".join(kind.__name__ for kind in MAY_BE_ASKED_FOR)
        raise UsageError(
            f"an agent may not ask for a {type(change).__name__}, but only for {known}"
        )
    if not is_of_tunnel(change, tunnel):
        raise UsageError(f"that change is not one of {tunnel}; ask the helper of its own tunnel")
    return change
