"""The engine's second socket: what WireGuard's UAPI has no keys for.

One JSON object a line, each way, over ``IFNAME.control`` in the run directory:

    {"op": "status"}    counters per peer, drops by reason
    {"op": "stop"}      remove the interface and exit

A reply holds ``"ok": true``, or ``"ok": false`` with ``"error"``.
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fs_tunnel.errors import ControlError, NotRunningError
from fs_tunnel.unix_socket import listen_privately

Reply = dict[str, Any]
SCHEMA = 1
_MAX_REQUEST_BYTES = 64 << 10
_MAX_REPLY_BYTES = 64 << 20
_CLIENT_DEADLINE = 5.0  # seconds


def run_directory() -> Path:
    """Where sockets and journals live: FS_TUNNEL_RUN_DIR, or /run/fs-tunnel."""
    return Path(os.environ.get("FS_TUNNEL_RUN_DIR", "/run/fs-tunnel"))


def socket_path(ifname: str) -> Path:
    return run_directory() / f"{ifname}.control"


def request(ifname: str, op: str) -> Reply:
    """Ask an engine, and wait for its reply.

    NotRunningError where there is no such engine; ControlError where it refuses or stays silent.
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
        try:
            sock.sendall(json.dumps({"op": op}).encode() + b"\n")
            with sock.makefile("rb") as stream:
                line = stream.readline(_MAX_REPLY_BYTES)
            reply = json.loads(line)
        except (OSError, ValueError, RecursionError):  # the last one: JSON nested too deep
            raise ControlError(
                f"{ifname}'s engine did not answer; see its log, or restart the tunnel"
            ) from None
    if not isinstance(reply, dict) or not reply.get("ok"):
        raise ControlError(f"{ifname}'s engine refused {op}; restart the tunnel")
    return reply


def status(ifname: str) -> Reply:
    """Counters of one engine: ``peers`` by public key, ``drops`` by reason."""
    return request(ifname, "status")


def listen(ifname: str) -> socket.socket:
    """Make the socket of an interface, for root alone; SystemChangeError where it cannot be."""
    path = socket_path(ifname)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return listen_privately(path)


async def serve(listener: socket.socket, answer: Callable[[str], Reply]) -> asyncio.Server:
    """Answer requests; ``answer`` gets the op, and raises KeyError for one it does not know."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(answer_untrusted(line, answer)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client went away, or its line was too long: nobody is left to tell
        finally:
            writer.close()

    return await asyncio.start_unix_server(converse, sock=listener, limit=_MAX_REQUEST_BYTES)


def answer_untrusted(line: bytes, answer: Callable[[str], Reply]) -> Reply:
    try:
        op = json.loads(line)["op"]
        return {"ok": True, "schema": SCHEMA, **answer(op)}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"ok": False, "error": 'not understood; send {"op": "status"} or {"op": "stop"}'}
