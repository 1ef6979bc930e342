# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A plain DNS forwarder: the resolver of a provider whose host has no dnsmasq.

It sends each question to the servers in /etc/resolv.conf, from a port and with an id of its own. It
denies the names on a list, keeps nothing, and listens on the tunnel alone. It gives up all rights
before it reads the first question.

Its ``ForwarderStart`` comes on its standard input.
"""

import asyncio
import secrets
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from fs_tunnel.helper.dns_messages import (
    NO_SUCH_NAME,
    SERVER_FAILURE,
    Query,
    answer_untrusted,
    is_blocked,
    parse_query_untrusted,
    reply,
    with_id,
)
from fs_tunnel.helper.starts import CODEC, ForwarderStart
from fs_tunnel.proto.errors import MalformedMessage
from fs_wire.unprivileged import become_nobody

_RESOLV_CONF = Path("/etc/resolv.conf")
_PATIENCE = 3.0  # seconds for one server
_IDLE = 10.0  # seconds for which a connection may be silent
_MAX_AT_ONCE, _MAX_OF_ONE_CLIENT = 512, 32
_MAX_SERVERS = 3  # as in resolv.conf(5)
_PORT = 53

_Ask = Callable[[str, bytes], Awaitable[bytes]]


def servers(text: str, *, but: Iterable[str]) -> list[str]:
    """The servers that a resolv.conf names, without the addresses in ``but``."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and words[1] not in but:
            with suppress(ValueError):
                found.append(str(ip_address(words[1])))
    return found[:_MAX_SERVERS]


@dataclass
class Forwarder:
    """Answers queries; ``upstream`` returns the servers to ask."""

    blocked: frozenset[str]
    upstream: Callable[[], list[str]]
    port: int = _PORT

    async def answer(self, data: bytes, ask: _Ask) -> bytes | None:
        """The reply to what a client sent; None if it deserves no reply."""
        try:
            query = parse_query_untrusted(data)
        except MalformedMessage:
            return None
        if is_blocked(query.name, self.blocked):
            return reply(query, NO_SUCH_NAME)
        for server in self.upstream():
            with suppress(OSError, TimeoutError, MalformedMessage, asyncio.IncompleteReadError):
                async with asyncio.timeout(_PATIENCE):
                    return await self._ask(query, server, ask)
        return reply(query, SERVER_FAILURE)

    async def over_udp(self, server: str, data: bytes) -> bytes:
        """Ask from a new port, which the kernel chooses at random."""
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            loop = asyncio.get_running_loop()
            sock.connect((server, self.port))
            await loop.sock_sendall(sock, data)
            return await loop.sock_recv(sock, 0xFFFF)

    async def over_tcp(self, server: str, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(server, self.port)
        try:
            writer.write(len(data).to_bytes(2, "big") + data)
            return await _read_message(reader)
        finally:
            writer.close()

    async def _ask(self, query: Query, server: str, ask: _Ask) -> bytes:
        number = secrets.randbelow(1 << 16)
        return answer_untrusted(query, number, await ask(server, with_id(query, number)))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, forwarder: Forwarder, load: "_Load") -> None:
        self._forwarder, self._load = forwarder, load

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._load.start(addr[0], lambda: self._answer(data, addr))

    async def _answer(self, data: bytes, addr: tuple[Any, ...]) -> None:
        answer = await self._forwarder.answer(data, self._forwarder.over_udp)
        if answer is not None:
            self._transport.sendto(answer, addr)


class _Load:
    """Counts the queries in progress, and drops those beyond the limits."""

    def __init__(self) -> None:
        self._by_client: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, client: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Start the work if the limits allow it, and return whether they do."""
        if len(self._tasks) >= _MAX_AT_ONCE or self._by_client[client] >= _MAX_OF_ONE_CLIENT:
            return False
        self._by_client[client] += 1
        task = asyncio.ensure_future(self._run(client, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, client: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            with suppress(OSError):
                await work()
        finally:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]


async def _converse(
    forwarder: Forwarder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        while True:
            async with asyncio.timeout(_IDLE):
                data = await _read_message(reader)
            answer = await forwarder.answer(data, forwarder.over_tcp)
            if answer is None:
                break
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        pass  # the client went away or is silent
    finally:
        writer.close()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


async def serve(
    forwarder: Forwarder, datagrams: Iterable[socket.socket], streams: Iterable[socket.socket]
) -> None:
    """Answer on bound sockets, for ever."""
    loop, load = asyncio.get_running_loop(), _Load()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        if not load.start(client, lambda: _converse(forwarder, reader, writer)):
            writer.close()

    for each in datagrams:
        await loop.create_datagram_endpoint(lambda: _Datagrams(forwarder, load), sock=each)
    for each in streams:
        await asyncio.start_server(connected, sock=each)
    await asyncio.Event().wait()


def _bound(ifname: str, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, ifname.encode())
    sock.bind((address, port))
    sock.setblocking(False)
    return sock


def main() -> None:
    """Open the ports, give up all rights, and serve."""
    start = CODEC.from_line(ForwarderStart, sys.stdin.buffer.read())
    datagrams, streams = (
        [_bound(start.ifname, address, start.port, kind) for address in start.addresses]
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    )
    become_nobody(start.parent)

    def upstream() -> list[str]:
        try:
            return servers(_RESOLV_CONF.read_text(errors="replace"), but=start.addresses)
        except OSError:
            return []

    asyncio.run(serve(Forwarder(frozenset(start.blocked), upstream), datagrams, streams))


if __name__ == "__main__":
    main()
