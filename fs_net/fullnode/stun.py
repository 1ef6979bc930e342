# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A STUN server: it tells a sender from which address its datagrams arrive (STUN Binding over UDP).

It cannot be used as an amplifier. An answer is never larger than its request, and each source gets
only a few answers a second. It keeps nothing but these counts.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

from fs_net.core.punch import hosts_of
from fs_wire import stun
from fs_wire.errors import Malformed
from fs_wire.ratelimit import RateLimiter
from fs_wire.types import Endpoint

log = logging.getLogger(__name__)

_RATE, _BURST = 4.0, 16.0  # answers a second to one IPv4 address or IPv6 /64
_MAX_SOURCES = 65536
_MAX_UNSENT = 64 << 10  # bytes


class StunServer(asyncio.DatagramProtocol):
    """Answers on one socket."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._limiter = RateLimiter(_RATE, _BURST, _MAX_SOURCES)
        self._transport: Any = None  # its declared type lacks get_write_buffer_size

    @classmethod
    async def start(cls, address: str, port: int = stun.PORT) -> "StunServer":
        """Start to serve; raises OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        _, server = await loop.create_datagram_endpoint(cls, sock=sock)
        return server

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        """Stop serving."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[Any, ...]) -> None:
        address, port = source[0].partition("%")[0], source[1]
        packed = ip_address(address).packed
        try:
            transaction = stun.parse_request_untrusted(data)
        except Malformed:
            self.counts["malformed"] += 1
            return
        if not self._limiter.allow(packed[:8], asyncio.get_running_loop().time()):
            self.counts["rate limited"] += 1
            return
        if self._transport.get_write_buffer_size() > _MAX_UNSENT:
            self.counts["congested"] += 1
            return
        self._transport.sendto(stun.answer(transaction, Endpoint(address, port)), source)
        self.counts["answered"] += 1


@asynccontextmanager
async def answering(listen: Iterable[str], port: int = stun.PORT) -> AsyncIterator[None]:
    """Serve on the addresses in these multiaddrs; if a port is taken, warn and go on."""
    servers: list[StunServer] = []
    try:
        for host in hosts_of(listen):
            try:
                servers.append(await StunServer.start(host, port))
            except OSError as error:
                log.warning(
                    "no STUN on %s port %d: %s; peers behind a NAT must ask other full nodes",
                    *(host, port, error.strerror or error),
                )
        yield
    finally:
        for each in servers:
            each.close()
