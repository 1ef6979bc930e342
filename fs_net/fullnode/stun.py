"""A full node tells who asks where it is seen from (STUN Binding over UDP).

It is no amplifier: an answer is never larger than its request, and one source is answered a few
times a second at most.  It keeps nothing but these counts.
"""

import asyncio
from collections import Counter
from ipaddress import ip_address
from typing import Any

from fs_tunnel.types import Endpoint
from fs_wire import stun
from fs_wire.errors import Malformed
from fs_wire.ratelimit import RateLimiter

_RATE, _BURST = 4.0, 16.0  # answers a second to one address of IPv4, or network of IPv6
_MAX_SOURCES = 65536
_MAX_UNSENT = 64 << 10  # bytes


class StunServer(asyncio.DatagramProtocol):
    """Answers on one socket."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._limiter = RateLimiter(_RATE, _BURST, _MAX_SOURCES)
        self._transport: Any = None  # the type has no get_write_buffer_size, which all have

    @classmethod
    async def start(cls, address: str, port: int = stun.PORT) -> "StunServer":
        """Serve from here on; OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        _, server = await loop.create_datagram_endpoint(cls, local_addr=(address, port))
        return server

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        """Serve no longer."""
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
