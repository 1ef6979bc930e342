# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Serves the application on a socket, inside a loop that is already running."""

import asyncio
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fs_net.core.sources import source_of
from fs_net.fullnode.http.settings import ServerSettings

_MAX_CONNECTIONS = 1024
_MAX_EACH = 64  # connections of one source, if there is no proxy in front
_HEAD_DEADLINE = 10.0  # seconds from a connection to its first complete request
_KEEP_ALIVE = 30  # seconds
_BACKLOG = 256
_GRACE = 2  # seconds to finish the answers that are being sent at the end


def listen(address: str, port: int) -> socket.socket:
    """Make a socket for ``serve``; OSError if the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


async def serve(app: ASGIApp, listener: socket.socket, settings: ServerSettings) -> None:
    """Serve until cancelled; signals stay with the caller."""
    server = _Server(
        uvicorn.Config(
            app,
            http=_bounded_protocol(is_proxied=settings.proxy is not None),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=settings.proxy is not None,
            forwarded_allow_ips=settings.proxy,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
    )
    running = asyncio.ensure_future(server.serve([listener]))
    try:
        await asyncio.shield(running)
    finally:
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bounded_protocol(*, is_proxied: bool) -> type[HttpToolsProtocol]:
    """A protocol that bounds the connections of one source, and ends idle ones."""
    held: Counter[str] = Counter()

    class Bounded(HttpToolsProtocol):
        _source = ""
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            peer = transport.get_extra_info("peername")
            self._source = source_of(peer[0]) if isinstance(peer, tuple) else ""
            held[self._source] += 1
            super().connection_made(transport)
            if held[self._source] > _MAX_EACH and not is_proxied:
                transport.abort()
                return
            self._deadline = asyncio.get_running_loop().call_later(_HEAD_DEADLINE, transport.abort)

        def on_headers_complete(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            held[self._source] -= 1
            if not held[self._source]:
                del held[self._source]
            super().connection_lost(exc)

    return Bounded
