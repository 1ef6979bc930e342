# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a helper's child processes are told on their standard input when they start."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fs_tunnel.helper.records import Codec

MAX_START = 1 << 20  # bytes of one line
# -P: Python does not import from the directory in which root happens to be.
AGENT = (sys.executable, "-P", "-m", "fs_tunnel.roles.agent")
MOVER = (sys.executable, "-P", "-m", "fs_tunnel.roles.client.moving")
FORWARDER = (sys.executable, "-P", "-m", "fs_tunnel.helper.forwarder")

CODEC = Codec({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """An agent's first line. Its second line is its start, see ``fs_tunnel.roles.starts``.

    The agent ends when the process ``parent`` ends. ``sockets`` are descriptors that it inherits.
    """

    version: Literal[1] = 1
    parent: int
    sockets: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoverStart:
    """``name`` is the tunnel that lost its provider; ``why`` says how."""

    version: Literal[1] = 1
    parent: int
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderStart:
    """The forwarder answers DNS on ``addresses`` of ``ifname``, and denies names in ``blocked``."""

    version: Literal[1] = 1
    parent: int
    ifname: str
    addresses: tuple[str, ...]
    port: int
    blocked: tuple[str, ...]


def agent_input(start: bytes, sockets: Mapping[str, int]) -> bytes:
    """Both lines for an agent that this process starts; ``start`` is the second one."""
    launch = Launch(parent=os.getpid(), sockets=dict(sockets))
    return CODEC.to_line(launch) + start.rstrip(b"\n") + b"\n"
