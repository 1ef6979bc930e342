"""Connections to an engine for a process that may not make them.

An engine answers root alone, and tells who somebody is by who connected (SO_PEERCRED). So an agent
is given connections to one engine, and not the right to make any: when they break, as when the
engine ends, it ends too.  They lead to the control socket, which tells no key; UAPI does.
"""

import socket

from fs_wire import control


def connect_as_root(name: str) -> dict[str, socket.socket]:
    """``control`` and ``events``; OSError without an engine."""
    made: dict[str, socket.socket] = {}
    try:
        for use in ("control", "events"):
            made[use] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            made[use].connect(str(control.socket_path(name)))
    except OSError:
        for each in made.values():
            each.close()
        raise
    return made
