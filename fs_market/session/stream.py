"""Messages over one duplex: bounded in size, in time, and in what waits to be sent.

Who sends a message has a few seconds for each, whatever the speed of its bytes, so that nobody
holds a connection by trickling; who does not read is hung up on.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from fs_market.core.wire.framing import Unframer, frame
from fs_market.ports import Duplex, Route

_MOST_AT_ONCE = 8192  # bytes read; two messages of the largest size
_MAX_UNSENT = 64 << 10  # bytes
_WHOLE_WITHIN = 10.0  # seconds from a message's first byte to its last
_CONNECT_WITHIN = 10.0  # seconds
_PROBE_EVERY = 2  # seconds


class Stream:
    """One side of a connection."""

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._unframer = Unframer()

    async def receive(self, idle: float) -> list[bytes]:
        """The messages that came, at least one; TimeoutError after ``idle`` seconds without.

        ConnectionError where it has ended, by either side.
        MalformedMessage where what came is no frame: then the connection is of no more use.
        """
        clock = asyncio.get_running_loop().time
        deadline, has_begun = clock() + idle, False
        while True:
            async with asyncio.timeout_at(deadline):
                data = await self._duplex.read(_MOST_AT_ONCE)
            if not data:
                raise ConnectionResetError("the other side hung up")
            if messages := self._unframer.feed_untrusted(data):
                return messages
            if not has_begun:
                deadline, has_begun = min(deadline, clock() + _WHOLE_WITHIN), True

    def send(self, messages: Iterable[bytes]) -> None:
        """Have them sent; who leaves too much unread is hung up on.

        What is sent after the end is lost, as what is under way then.
        """
        self._duplex.write(b"".join(map(frame, messages)))
        if self._duplex.unsent > _MAX_UNSENT:
            self.abort()

    def abort(self) -> None:
        """End it at once."""
        self._duplex.abort()

    async def close(self) -> None:
        """End it when all is sent."""
        await self._duplex.close()


class Tcp:
    """A TCP connection as a duplex."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer_address = str(writer.get_extra_info("peername")[0])

    async def read(self, most: int) -> bytes:
        return await self._reader.read(most)

    def write(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    @property
    def unsent(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()


@dataclass(frozen=True, slots=True)
class TcpRoute:
    """The way to who listens on a port.

    ``is_probed``: where nothing else passes, the kernel asks every two seconds for a sign of life.
    """

    host: str
    port: int
    is_probed: bool = False

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"

    async def dial(self) -> Tcp:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=_MOST_AT_ONCE)
        if self.is_probed:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_EVERY)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY)
        return Tcp(reader, writer)


async def connect(route: Route) -> Stream:
    """A connection to a provider; OSError or TimeoutError where there is none."""
    async with asyncio.timeout(_CONNECT_WITHIN):
        return Stream(await route.dial())


async def take_over(sock: socket.socket) -> Stream:
    """A TCP connection that somebody else made."""
    return Stream(Tcp(*await asyncio.open_connection(sock=sock, limit=_MOST_AT_ONCE)))
