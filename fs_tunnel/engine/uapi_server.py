# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Serve WireGuard's cross-platform UAPI socket for an engine.

Source: https://www.wireguard.com/xplatform/.  Requests end with an empty line; a connection may
carry several.  Only root can open the socket.  Still, we bound and parse requests like any other
input.
"""

import asyncio
import socket
from collections.abc import Callable

from fs_wire import uapi
from fs_wire.errors import SystemChangeError
from fs_wire.unix_socket import is_ours_or_roots, listen_privately

MAX_REQUEST_BYTES = 64 << 20  # a configuration of 10,000 peers takes about 4 MiB


def listen(ifname: str) -> socket.socket:
    """Make ``wireguard/IFNAME.sock`` in the run directory, for root alone.

    SystemChangeError if another engine answers on it; we replace the socket of a dead one.
    """
    path = uapi.socket_path(ifname)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        else:
            raise SystemChangeError(f"{ifname} is already up; take it down first")
    return listen_privately(path)


async def serve(listener: socket.socket, answer: Callable[[str], str]) -> asyncio.Server:
    """Answer requests; ``answer`` gets one without its empty line, and returns the whole reply."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not is_ours_or_roots(writer):
            writer.close()
            return
        try:
            while True:
                request = await reader.readuntil(b"\n\n")
                writer.write(answer(request[:-1].decode("utf-8", "replace")).encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client left, or sent more than any configuration needs
        finally:
            writer.close()

    return await asyncio.start_unix_server(converse, sock=listener, limit=MAX_REQUEST_BYTES)
