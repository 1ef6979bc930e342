# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Connects to a socket of an engine, and explains why that fails."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fs_wire.errors import ControlError, NotRunningError


@contextmanager
def connected(ifname: str, path: Path, seconds: float, remedy: str) -> Iterator[socket.socket]:
    """Connect to the socket at ``path`` of the engine of ``ifname``.

    Each later call on the socket takes at most ``seconds``, too.  Raise NotRunningError if there is
    no such engine, and ControlError with the ``remedy`` if the engine cannot be reached.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError(
                f"{ifname} is not up; start it with fs-tunnel up or fs-tunnel serve"
            ) from None
        except OSError as error:
            raise ControlError(
                f"{ifname}'s engine cannot be reached: {error.strerror or error}; {remedy}"
            ) from None
        yield sock


def no_answer(ifname: str) -> ControlError:
    """Return the error for an engine that does not answer."""
    return ControlError(f"{ifname}'s engine did not answer; see its log, or restart the tunnel")
