# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Messages over one connection, with limits for size, time, and unsent bytes.

The other side has a few seconds for each message, so that it cannot hold a connection by sending
single bytes slowly.  If it does not read, we hang up.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from fs_market.core.wire.framing import Unframer, frame
from fs_market.core.wire.messages import Message, parse_untrusted, serialize
from fs_market.errors import MarketError
from fs_market.ports import Duplex, Route
from fs_wire.failure import REJECTED
from fs_wire.patience import patient

_MOST_AT_ONCE = 8192  # bytes in one read: two messages of the largest size
_MAX_UNSENT = 64 << 10  # bytes
_WHOLE_WITHIN = patient(10.0)  # seconds from a message's first byte to its last
_CONNECT_WITHIN = patient(10.0)  # seconds
_PROBE_EVERY = 2  # seconds


class Stream:
    """One side of a connection that carries messages."""

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._unframer = Unframer()

    async def receive(self, idle: float) -> list[bytes]:
        """Return the messages that came, at least one.

        Raise TimeoutError after ``idle`` seconds without a message, and ConnectionError if either
        side has ended the connection.  Raise MalformedMessage if the bytes are not framed; the
        connection is of no use then.
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
        """Send messages without waiting; hang up if the other side leaves too much unread.

        Messages are lost if the connection has ended.
        """
        self._duplex.write(b"".join(map(frame, messages)))
        if self._duplex.unsent > _MAX_UNSENT:
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self._duplex.abort()

    async def close(self) -> None:
        """End the connection when everything is sent."""
        await self._duplex.close()


class Tcp:
    """A TCP connection as a ``Duplex``."""

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
    """The way to a TCP port.

    If ``is_probed``, the kernel sends a keepalive every two seconds when nothing else passes.
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
    """Connect to a provider; raise OSError or TimeoutError if that fails."""
    async with asyncio.timeout(_CONNECT_WITHIN):
        return Stream(await route.dial())


async def ask_untrusted(route: Route, question: Message, within: float) -> Message:
    """Ask a provider one question over a connection of its own, and return the answer.

    Raise OSError or TimeoutError if no answer comes ``within`` so many seconds, and
    MalformedMessage if the answer is not a message.
    """
    async with asyncio.timeout(within):
        stream = await connect(route)
        try:
            stream.send([serialize(question)])
            answer, *_ = await stream.receive(within)
            return parse_untrusted(answer)
        finally:
            stream.abort()


def no_answer(route: Route, error: OSError) -> MarketError:
    """Return the error for a provider that does not answer."""
    match error:
        case ConnectionRefusedError():
            why = "the connection was refused"
        case TimeoutError():
            why = "no answer in time"
        case ConnectionResetError():
            why = "the other side hung up"
        case OSError() if error.errno in REJECTED:
            why = "this host has no way there; see fs-tunnel lockdown status"
        case _:
            why = "it cannot be reached"
    return MarketError(
        f"no provider answers at {route} ({why}); check the address, or choose another provider"
    )


async def take_over(sock: socket.socket) -> Stream:
    """Return the stream of a TCP connection that another process made."""
    return Stream(Tcp(*await asyncio.open_connection(sock=sock, limit=_MOST_AT_ONCE)))
