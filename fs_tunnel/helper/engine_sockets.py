"""Connections to an engine for a process that may not make them.

An engine answers root alone, and tells who somebody is by who connected (SO_PEERCRED). So an agent
is given connections to one engine, and not the right to make any: when they break, as when the
engine ends, it ends too.
"""

import socket

from fs_tunnel import control, uapi


def connect_as_root(name: str, *, with_uapi: bool) -> dict[str, socket.socket]:
    """``control``, ``events``, and ``uapi`` for who moves peers; OSError without an engine."""
    paths = {"control": control.socket_path(name), "events": control.socket_path(name)}
    if with_uapi:
        paths["uapi"] = uapi.socket_path(name)
    made: dict[str, socket.socket] = {}
    try:
        for use, path in paths.items():
            made[use] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            made[use].connect(str(path))
    except OSError:
        for each in made.values():
            each.close()
        raise
    return made
