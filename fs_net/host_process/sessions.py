# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Sessions: bytes in both directions on a libp2p stream, as fast as the program reads.

The program reads by one call at a time. So bytes that it does not take stay with the peer: Yamux's
window fills, and nothing gathers on the bridge. Each write ends when the stream has taken it.
"""

import contextlib
import math
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.exceptions import StreamFailure
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.transport.quic.stream import QUICStream

from fs_net.bridge import SESSION_CHUNK
from fs_net.host_process.guards import reset

SESSION = TProtocol("/flowshield/session/1")

_OF_ONE_PEER, _INCOMING, _OPENED = 4, 256, 64  # sessions: of a peer, incoming, opened by us
_SILENCE = 600.0  # s without a byte in either direction; a client in service speaks each minute
_STALL = 30.0  # s for a chunk that the peer does not read
_AGAIN = 0.5  # s until the second try to open a stream
_FAREWELL = 2.0  # s for the peer to end its direction too

OnSession = Callable[[bytes, int], Awaitable[bool]]


@dataclass(eq=False)
class _Session:
    stream: INetStream
    is_incoming: bool
    last: float  # s of trio's clock, when the last byte passed
    ended: trio.Event = field(default_factory=trio.Event)
    reading: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def peer(self) -> ID:
        return self.stream.muxed_conn.peer_id


class Sessions:
    """Accepts and opens sessions; the program knows each by a number."""

    def __init__(self, host: IHost, on_session: OnSession) -> None:
        """``on_session`` returns whether the program takes the session."""
        self._host, self._on_session = host, on_session
        self._sessions: dict[int, _Session] = {}
        self.refused: Counter[str] = Counter()
        host.set_stream_handler(SESSION, self._take)

    async def open(self, peer: bytes, deadline: float) -> int:
        """Open a session with a connected peer; return its number."""
        if sum(not each.is_incoming for each in self._sessions.values()) >= _OPENED:
            raise RuntimeError("too many sessions are open")
        if ID(peer) not in self._host.get_connected_peers():
            # Otherwise libp2p would dial any address that the peer claims to have.
            raise RuntimeError("no connection to the peer")
        with trio.fail_after(deadline):
            try:
                stream = await self._host.new_stream(ID(peer), [SESSION])
            except StreamFailure:  # a circuit may just have given way to a direct connection
                await trio.sleep(_AGAIN)
                stream = await self._host.new_stream(ID(peer), [SESSION])
        return self._add(stream, is_incoming=False)[0]

    async def read(self, number: int) -> bytes:
        """Return some bytes, or none after the peer's end; only one reader at a time."""
        session = self._sessions[number]
        with trio.CancelScope() as session.reading:
            try:
                data = await session.stream.read(SESSION_CHUNK)
            except StreamEOF:
                data = b""
            session.last = trio.current_time()
            return data
        raise EOFError("the session ended")

    async def write(self, number: int, data: bytes) -> None:
        """Wait until the stream has taken the data; the session ends if the peer does not read."""
        session = self._sessions[number]
        try:
            with trio.fail_after(_STALL):
                await session.stream.write(data)
        except BaseException:
            self.refused["stalled"] += 1
            await self._end(number)
            raise
        session.last = trio.current_time()

    async def close(self, number: int) -> None:
        """End the session when all data is sent."""
        session = self._sessions.get(number)
        if session is None:
            return
        with trio.move_on_after(_FAREWELL):
            with contextlib.suppress(Exception):  # the peer may have ended the session first
                await session.stream.close()
                while await session.stream.read(SESSION_CHUNK):
                    pass
        await self._end(number)  # close() has closed our direction only

    async def abort(self, number: int) -> None:
        """End the session at once."""
        if number in self._sessions:
            await self._end(number)

    async def end_silent(self) -> None:
        """End the sessions on which nothing passed for long; call this now and then."""
        before = trio.current_time() - _SILENCE
        for number in [each for each, session in self._sessions.items() if session.last < before]:
            self.refused["silent"] += 1
            await self._end(number)

    async def _take(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        incoming = [each for each in self._sessions.values() if each.is_incoming]
        is_one_more = sum(each.peer == peer for each in incoming) >= _OF_ONE_PEER
        if is_one_more or len(incoming) >= _INCOMING:
            self.refused["too many sessions"] += 1
            await reset(stream)
            return
        number, session = self._add(stream, is_incoming=True)
        if await self._on_session(peer.to_bytes(), number):
            await session.ended.wait()
        else:
            self.refused["not served"] += 1
            await self._end(number)

    def _add(self, stream: INetStream, *, is_incoming: bool) -> tuple[int, _Session]:
        # It is random, so that it differs from the numbers of an earlier process.
        number = secrets.randbits(63)
        muxed = cast(NetStream, stream).muxed_stream
        if isinstance(muxed, QUICStream):
            muxed.READ_TIMEOUT = math.inf  # libp2p would reset after 30 s; ``end_silent`` decides
        session = self._sessions[number] = _Session(stream, is_incoming, trio.current_time())
        return number, session

    async def _end(self, number: int) -> None:
        session = self._sessions.get(number)
        self._forget(number)
        if session is not None:
            await reset(session.stream)

    def _forget(self, number: int) -> None:
        session = self._sessions.pop(number, None)
        if session is not None:
            session.reading.cancel()
            session.ended.set()
