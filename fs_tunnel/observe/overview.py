# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""List the tunnels and their states, from journals and engines.

The engine's control socket shows only public keys of peers, so no secret passes here.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.routing.links import Unreachable
from fs_tunnel.proto.constants import REJECT_AFTER_TIME
from fs_wire import control
from fs_wire.errors import ControlError, NotRunningError

# By role; an engine that another program started has no role.
STATES = {
    "up": ("connected", "connecting", "blocked", "dead"),
    "serve": ("serving", "dead"),
    "engine": ("running", "dead"),
}
_NS_PER_S = 1_000_000_000


class Overview(NamedTuple):
    """One tunnel: ``state`` is one of STATES[role]; ``engine``, its status, may be None."""

    name: str
    role: str
    state: str
    engine: control.Message | None


def look_at_all() -> tuple[list[Overview], list[ControlError]]:
    """The tunnels with a journal or an engine of ours, and the errors of those that fail."""
    names = {path.stem for path in control.run_directory().glob("*.control")} | set(journalled())
    found, failures = [], []
    for name in sorted(names):
        try:
            overview = _look_at(name)
        except ControlError as error:
            # If one engine hangs, we still show the others.
            failures.append(error)
            continue
        if overview is not None:
            found.append(overview)
    return found, failures


def has_session(latest_handshakes_ns: Iterable[int]) -> bool:
    """Whether the latest handshake with some peer, in Unix time, is young enough to carry data."""
    oldest = time.time() - REJECT_AFTER_TIME
    return any(each / _NS_PER_S > oldest for each in latest_handshakes_ns)


def _look_at(name: str) -> Overview | None:
    """One tunnel; None for a socket that an engine left behind."""
    journal = Journal(name)
    role = journal.header.role if journal.header else "engine"
    if role not in STATES:  # the journal is damaged
        role = "engine"
    try:
        engine = control.status(name)
    except NotRunningError:
        if not journal.is_open:
            return None
        is_closed = any(isinstance(change, Unreachable) for change in journal.in_force())
        return Overview(name, role, "blocked" if is_closed else "dead", None)
    if role != "up":
        return Overview(name, role, STATES[role][0], engine)
    handshakes = (peer["latest_handshake_ns"] for peer in engine["peers"].values())
    return Overview(name, role, "connected" if has_session(handshakes) else "connecting", engine)
