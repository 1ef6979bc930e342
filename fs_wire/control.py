# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The engine's control socket: requests that WireGuard's UAPI has no keys for, and their client.

Each side sends one JSON object in a line, over ``IFNAME.control`` in the run directory:

    {"op": "status"}    tell counters and limits of each peer, drops by reason, the packet path
    {"op": "count"}     tell ``rx_bytes`` and ``tx_bytes`` of one ``peer``; 0 if there is none
    {"op": "limit"}     limit a ``peer``, named by its key; any of these members may follow:
                          ``rx_rate``, ``tx_rate``   bytes per second; 0: without limit
                          ``credit``                 the most of ``credit_used``; 0: without limit
                          ``credit_low``             bytes left when the event ``credit_low`` comes
                          ``exempt``                 TCP ADDRESS:PORT, open without credit, or null
    {"op": "admit"}     add a ``peer`` with these ``addresses``, a list; it keeps a session it has
    {"op": "remove"}    remove a ``peer``; nothing happens if there is no such peer
    {"op": "greet"}     open a session with every peer that has an endpoint but no session
    {"op": "observe"}   ask these STUN ``servers``, a list of ADDRESS:PORT, for the address under
                          which they see the tunnel's socket; the answers are events
    {"op": "call"}      send one initiation to several ``endpoints`` of a ``peer``, to get through
                          NATs; ``has_session`` tells of a session, and then nothing is sent
    {"op": "watch"}     send events over this connection from now on, too
    {"op": "stop"}      remove the interface and exit

A reply holds ``"ok": true``, or ``"ok": false`` with ``"error"``.  An event has no ``ok``:

    {"event": "credit_low", "peer": KEY, "credit": BYTES, "credit_used": BYTES}
    {"event": "endpoint_moved", "peer": KEY, "endpoint": "ADDRESS:PORT"}    also for the first one
    {"event": "observed", "server": "ADDRESS:PORT", "endpoint": "ADDRESS:PORT"}

If a client reads its events too slowly, the engine hangs up.  The client has lost events then, and
asks for the status again.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fs_wire.engine_socket import connected, no_answer
from fs_wire.errors import ControlError
from fs_wire.patience import patient
from fs_wire.types import PublicKey

Message = dict[str, Any]
SCHEMA = 1
_MAX_REPLY_BYTES = 64 << 20
_CLIENT_DEADLINE = patient(5.0)  # seconds


def run_directory() -> Path:
    """Return the directory of sockets and journals: FS_TUNNEL_RUN_DIR, or /run/fs-tunnel."""
    return Path(os.environ.get("FS_TUNNEL_RUN_DIR", "/run/fs-tunnel"))


def socket_path(ifname: str) -> Path:
    """Return the path of the control socket of a tunnel's engine."""
    return run_directory() / f"{ifname}.control"


def helper_path(ifname: str) -> Path:
    """Return the path of the socket of a tunnel's helper."""
    return run_directory() / f"{ifname}.helper"


class Connection:
    """A conversation with one engine."""

    def __init__(self, ifname: str, sock: socket.socket) -> None:
        self._ifname = ifname
        self._socket = sock
        self._lines = sock.makefile("rb")

    def request(self, op: str, **members: Any) -> Message:
        """Send a request, and return the reply.

        Raise ControlError if the engine refuses, or does not answer in time.
        """
        try:
            self._socket.sendall(json.dumps({"op": op, **members}).encode() + b"\n")
            reply = self._read()
        except OSError:
            raise no_answer(self._ifname) from None
        if reply.get("ok") is not True:
            why = reply.get("error") or "restart the tunnel"
            raise ControlError(f"{self._ifname}'s engine refused {op}: {why}")
        return reply

    def events(self) -> Iterator[Message]:
        """Ask for events, and yield them as they come, without a time limit.

        Raise ControlError if the engine ends, or if we left too many events unread.
        """
        self.request("watch")
        self._socket.settimeout(None)
        return self._read_events()

    def _read_events(self) -> Iterator[Message]:
        while True:
            try:
                event = self._read()
            except OSError:
                raise no_answer(self._ifname) from None
            yield event

    def _read(self) -> Message:
        try:
            message = json.loads(self._lines.readline(_MAX_REPLY_BYTES))
        except (ValueError, RecursionError):  # RecursionError: the JSON is nested too deep
            raise no_answer(self._ifname) from None
        if not isinstance(message, dict):
            raise no_answer(self._ifname)
        return message


@contextmanager
def connect(ifname: str) -> Iterator[Connection]:
    """Connect to an engine.

    Raise NotRunningError if there is no such engine, and ControlError if it cannot be reached.
    """
    remedy = "run as root, and check FS_TUNNEL_RUN_DIR"
    with connected(ifname, socket_path(ifname), _CLIENT_DEADLINE, remedy) as sock:
        yield Connection(ifname, sock)


def status(ifname: str) -> Message:
    """Return an engine's status, with ``peers`` by public key and ``drops`` by reason.

    Errors as in ``connect`` and ``Connection.request``.
    """
    with connect(ifname) as connection:
        return connection.request("status")


def greet(ifname: str) -> None:
    """Have an engine open a session with every peer whose endpoint it knows; errors as above."""
    with connect(ifname) as connection:
        connection.request("greet")


def limit(ifname: str, peer: PublicKey, **limits: int | str | None) -> None:
    """Limit a peer; ``limits`` are the members of the ``limit`` request; errors as above."""
    with connect(ifname) as connection:
        connection.request("limit", peer=peer.to_base64(), **limits)
