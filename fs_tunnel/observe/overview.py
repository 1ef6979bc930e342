"""What runs, and how it is doing, as journals and engines tell it.

The engine's control socket knows no key but those of peers, so that no secret passes here.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.routing.links import Unreachable
from fs_tunnel.proto.constants import REJECT_AFTER_TIME
from fs_wire import control
from fs_wire.errors import ControlError, NotRunningError

# By role; an engine that was started by somebody else has none.
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
    """The tunnels that have a journal or an engine of ours, and what could not be asked."""
    names = {path.stem for path in control.run_directory().glob("*.control")} | set(journalled())
    found, failures = [], []
    for name in sorted(names):
        try:
            overview = _look_at(name)
        except ControlError as error:
            # One engine that hangs does not hide the others.
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
    if role not in STATES:  # of a damaged journal
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
