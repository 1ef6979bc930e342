# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The client of WireGuard's UAPI socket; ``uapi`` has the words."""

import socket
import time
from contextlib import AbstractContextManager

from fs_wire import uapi
from fs_wire.engine_socket import connected, no_answer
from fs_wire.errors import ControlError, NotRunningError
from fs_wire.patience import patient
from fs_wire.uapi import DeviceStatus, DeviceUpdate, UapiError, parse_get, render_set

_DEADLINE = patient(5.0)  # seconds for an answer
_SET_DEADLINE = 30.0  # seconds for a change; 10,000 peers take one second on a fast machine
_MAX_REPLY_BYTES = 64 << 20


def is_answered(ifname: str) -> bool:
    """Whether an engine listens on the socket of this interface."""
    try:
        with _connected(ifname, _DEADLINE):
            return True
    except (ControlError, NotRunningError):
        return False


class UapiClient:
    """Talks to the engine of one interface, over a connection for each request.

    A request raises NotRunningError if there is no engine, and ControlError if the engine cannot be
    reached, or does not answer in time.
    """

    def __init__(self, ifname: str) -> None:
        self._ifname = ifname

    def get(self) -> DeviceStatus:
        """Return the state of the interface."""
        return parse_get(self._request("get=1\n\n", _DEADLINE))

    def set(self, update: DeviceUpdate) -> None:
        """Change the interface; raise UapiError with the engine's errno if it refuses."""
        self._request(f"set=1\n{render_set(update)}\n", _SET_DEADLINE)

    def _request(self, request: str, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        with _connected(self._ifname, seconds) as sock:
            try:
                sock.sendall(request.encode())
                reply = _receive_reply(sock, deadline)
            except OSError:
                raise no_answer(self._ifname) from None
        text, _, number = reply.rpartition("errno=")
        if int(number):
            raise UapiError(abs(int(number)))  # the numbers of wireguard-go are negative, as ours
        return text


def _connected(ifname: str, seconds: float) -> AbstractContextManager[socket.socket]:
    return connected(ifname, uapi.socket_path(ifname), seconds, "run as root")


def _receive_reply(sock: socket.socket, deadline: float) -> str:
    """Read a reply up to its empty line; raise OSError if it is incomplete, or takes too long."""
    reply = bytearray()
    while not reply.endswith(b"\n\n"):
        # A timeout of zero would mean not to wait at all, and fail with another error.
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = sock.recv(1 << 20)
        reply += chunk
        if not chunk or len(reply) > _MAX_REPLY_BYTES:
            raise OSError("the reply is incomplete")
    text = reply.decode("ascii", "replace").strip("\n")
    if not text.rpartition("errno=")[2].removeprefix("-").isdigit():
        raise OSError("the reply has no errno")
    return text
