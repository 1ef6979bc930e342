"""The engine's second socket: what WireGuard's UAPI has no keys for, and how to ask for it.

One JSON object a line, each way, over ``IFNAME.control`` in the run directory:

    {"op": "status"}    counters and limits per peer, drops by reason, the packet path
    {"op": "count"}     ``rx_bytes`` and ``tx_bytes`` of one ``peer``; 0 where there is none
    {"op": "limit"}     change what a peer may use; with ``peer``, its key, and any of
                          ``rx_rate``, ``tx_rate``   bytes a second; 0: any
                          ``credit``                 up to which ``credit_used`` may go; 0: any
                          ``credit_low``             bytes left when ``credit_low`` is told
                          ``exempt``                 TCP ADDRESS:PORT, open without credit, or null
    {"op": "admit"}     let a ``peer`` in with these ``addresses``, a list; a session it has goes on
    {"op": "remove"}    cut a ``peer`` off; nothing happens where there is none
    {"op": "greet"}     open a session with every peer that has an endpoint and no session
    {"op": "observe"}   ask these ``servers`` of STUN, a list of ADDRESS:PORT, where they see the
                          tunnel's own socket; answers are events
    {"op": "call"}      send one initiation to several ``endpoints`` of a ``peer``, to get through
                          NATs; ``has_session`` says whether there is a session, and nothing is sent
    {"op": "watch"}     from now on, this connection is told of events, too
    {"op": "stop"}      remove the interface and exit

A reply holds ``"ok": true``, or ``"ok": false`` with ``"error"``.  An event has no ``ok``:

    {"event": "credit_low", "peer": KEY, "credit": BYTES, "credit_used": BYTES}
    {"event": "endpoint_moved", "peer": KEY, "endpoint": "ADDRESS:PORT"}    the first one, too
    {"event": "observed", "server": "ADDRESS:PORT", "endpoint": "ADDRESS:PORT"}

Who reads its events too slowly is hung up on: it lost some, and asks for the status again.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fs_wire.errors import ControlError, NotRunningError
from fs_wire.types import PublicKey

Message = dict[str, Any]
SCHEMA = 1
_MAX_REPLY_BYTES = 64 << 20
_CLIENT_DEADLINE = 5.0  # seconds


def run_directory() -> Path:
    """Where sockets and journals live: FS_TUNNEL_RUN_DIR, or /run/fs-tunnel."""
    return Path(os.environ.get("FS_TUNNEL_RUN_DIR", "/run/fs-tunnel"))


def socket_path(ifname: str) -> Path:
    return run_directory() / f"{ifname}.control"


def helper_path(ifname: str) -> Path:
    """The socket of a tunnel's helper; ``helper.protocol`` says what passes there."""
    return run_directory() / f"{ifname}.helper"


class Connection:
    """A conversation with one engine."""

    def __init__(self, ifname: str, sock: socket.socket) -> None:
        self._ifname = ifname
        self._socket = sock
        self._lines = sock.makefile("rb")

    def request(self, op: str, **members: Any) -> Message:
        """Ask, and return the reply; ControlError where the engine refuses or stays silent."""
        try:
            self._socket.sendall(json.dumps({"op": op, **members}).encode() + b"\n")
            reply = self._read()
        except OSError:
            raise self._no_answer() from None
        if reply.get("ok") is not True:
            why = reply.get("error") or "restart the tunnel"
            raise ControlError(f"{self._ifname}'s engine refused {op}: {why}")
        return reply

    def events(self) -> Iterator[Message]:
        """Ask for events, and return them as they come, for as long as it takes.

        ControlError when the engine ends, or when too many were left unread.
        """
        self.request("watch")
        self._socket.settimeout(None)
        return self._read_events()

    def _read_events(self) -> Iterator[Message]:
        while True:
            try:
                event = self._read()
            except OSError:
                raise self._no_answer() from None
            yield event

    def _read(self) -> Message:
        try:
            message = json.loads(self._lines.readline(_MAX_REPLY_BYTES))
        except (ValueError, RecursionError):  # the last one: JSON nested too deep
            raise self._no_answer() from None
        if not isinstance(message, dict):
            raise self._no_answer()
        return message

    def _no_answer(self) -> ControlError:
        return ControlError(
            f"{self._ifname}'s engine did not answer; see its log, or restart the tunnel"
        )


@contextmanager
def connect(ifname: str) -> Iterator[Connection]:
    """A connection to an engine.

    NotRunningError where there is no such engine; ControlError where it cannot be reached.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_CLIENT_DEADLINE)
        try:
            sock.connect(str(socket_path(ifname)))
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError(
                f"{ifname} is not up; start it with fs-tunnel up or fs-tunnel serve"
            ) from None
        except OSError as error:
            raise ControlError(
                f"{ifname}'s engine cannot be reached: {error.strerror or error}; "
                "run as root, and check FS_TUNNEL_RUN_DIR"
            ) from None
        yield Connection(ifname, sock)


def status(ifname: str) -> Message:
    """One engine: ``peers`` by public key, ``drops`` by reason, and more; errors as above."""
    with connect(ifname) as connection:
        return connection.request("status")


def greet(ifname: str) -> None:
    """Have an engine open a session with every peer whose endpoint it knows; errors as above."""
    with connect(ifname) as connection:
        connection.request("greet")


def limit(ifname: str, peer: PublicKey, **limits: int | str | None) -> None:
    """Change what a peer may use: the members of the ``limit`` request; errors as above."""
    with connect(ifname) as connection:
        connection.request("limit", peer=peer.to_base64(), **limits)
