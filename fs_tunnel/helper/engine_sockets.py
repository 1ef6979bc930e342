# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Connections to an engine for an agent, which may not connect by itself.

An engine answers root alone, and SO_PEERCRED tells it who made a connection. So root makes the
connections to one engine for the agent. The agent ends when they break, for example when the engine
ends. They lead to the control socket, which tells no key, while UAPI would.
"""

import socket

from fs_wire import control


def connect_as_root(name: str) -> dict[str, socket.socket]:
    """Make the connections ``control`` and ``events``; OSError if there is no engine."""
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
