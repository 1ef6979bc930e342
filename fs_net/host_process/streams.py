# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Our two protocols on libp2p streams: a series of messages, and one question with its answer.

Messages carry a provider's heartbeats to a few full nodes, and nobody forwards them. Both protocols
bound what a peer may send, how long it may take, and how many streams it may hold.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID

from fs_net.host_process.guards import reset
from fs_wire.patience import patient
from fs_wire.ratelimit import RateLimiter

MESSAGES = TProtocol("/flowshield/messages/1")
QUESTION = TProtocol("/flowshield/question/1")

MAX_MESSAGE = 1024  # bytes
MAX_QUESTION = 64 * 1024
_HEADER = 4
_READ = 4096  # bytes
_STREAMS_EACH = 2  # open streams of one peer and protocol
_STREAMS = 4096  # open streams of all peers
_SILENCE = 60.0  # s between messages; a heartbeat comes every 5
_PATIENCE = patient(10.0)  # s for one message that has begun, or for a whole question
_RATE, _BURST = 20.0, 100.0  # messages a second of one peer

OnMessage = Callable[[bytes, bytes], None]
OnQuestion = Callable[[bytes, bytes], Awaitable[bytes]]


class Streams:
    """Serves both protocols, and uses them to reach other peers."""

    def __init__(self, host: IHost, on_message: OnMessage, on_question: OnQuestion) -> None:
        self._host, self._on_message, self._on_question = host, on_message, on_question
        self.refused: Counter[str] = Counter()
        self._open: Counter[tuple[TProtocol, ID]] = Counter()
        self._limiter = RateLimiter(_RATE, _BURST, max_sources=8192)
        self._outgoing: dict[ID, INetStream] = {}
        host.set_stream_handler(MESSAGES, self._bounded(MESSAGES, self._read_messages))
        host.set_stream_handler(QUESTION, self._bounded(QUESTION, self._answer))

    async def send(self, peer: ID, message: bytes) -> None:
        """Send one message, and keep the stream; any error closes the stream and is raised."""
        stream = self._outgoing.pop(peer, None) or await self._host.new_stream(peer, [MESSAGES])
        try:
            await stream.write(_framed(message))
        except BaseException:
            await reset(stream)
            raise
        previous, self._outgoing[peer] = self._outgoing.get(peer), stream
        if previous is not None:
            await reset(previous)

    async def ask(self, peer: ID, question: bytes) -> bytes:
        """Ask one question and return the answer; raises EOFError if none comes."""
        stream = await self._host.new_stream(peer, [QUESTION])
        try:
            await stream.write(_framed(question))
            answer = await _Frames(stream, MAX_QUESTION).next()
        except BaseException:
            await reset(stream)
            raise
        await stream.close()
        return answer

    def forget(self, peer: ID) -> None:
        """Forget the stream to a peer if the stream's connection has ended."""
        stream: Any = self._outgoing.get(peer)
        if stream is not None and stream.muxed_conn.is_closed:
            del self._outgoing[peer]

    def _bounded(
        self, protocol: TProtocol, handle: Callable[[INetStream], Awaitable[None]]
    ) -> Callable[[INetStream], Awaitable[None]]:
        async def handler(stream: INetStream) -> None:
            key = protocol, stream.muxed_conn.peer_id
            if self._open[key] >= _STREAMS_EACH or self._open.total() >= _STREAMS:
                self.refused["too many streams"] += 1
                await reset(stream)
                return
            self._open[key] += 1
            try:
                await handle(stream)
            finally:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]

        return handler

    async def _read_messages(self, stream: INetStream) -> None:
        peer, frames = stream.muxed_conn.peer_id, _Frames(stream, MAX_MESSAGE)
        while True:
            with trio.move_on_after(_SILENCE) as silence:
                await frames.wait()
            if silence.cancelled_caught:
                return await self._refuse(stream, "silent")
            with trio.move_on_after(_PATIENCE) as patience:
                message = await frames.next()
            if patience.cancelled_caught:
                return await self._refuse(stream, "slow")
            if self._limiter.allow(peer, trio.current_time()):
                self._on_message(peer.to_bytes(), message)
            else:
                self.refused["rate limited"] += 1

    async def _answer(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        with trio.move_on_after(_PATIENCE) as patience:
            question = await _Frames(stream, MAX_QUESTION).next()
            if not self._limiter.allow(peer, trio.current_time()):
                return await self._refuse(stream, "rate limited")
            await stream.write(_framed(await self._on_question(peer.to_bytes(), question)))
            await stream.close()
        if patience.cancelled_caught:
            return await self._refuse(stream, "slow")
        return None

    async def _refuse(self, stream: INetStream, why: str) -> None:
        self.refused[why] += 1
        await reset(stream)


class TooLong(Exception):
    """The frame is longer than its protocol allows."""


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(_HEADER, "big") + message


class _Frames:
    """Cuts a stream into frames of at most ``most`` bytes."""

    def __init__(self, stream: INetStream, most: int) -> None:
        self._stream, self._most = stream, most
        self._held = bytearray()

    async def wait(self) -> None:
        """Wait until a frame has begun; raises EOFError if the stream ended."""
        while not self._held:
            await self._read()

    async def next(self) -> bytes:
        """Return a whole frame; TooLong if its header claims too much, EOFError if none comes."""
        length = int.from_bytes(await self._take(_HEADER), "big")
        if length > self._most:
            raise TooLong(f"{length} bytes")
        return await self._take(length)

    async def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            await self._read()
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    async def _read(self) -> None:
        # Over QUIC, the first read can report the end although data came together with it.
        read = await self._read_once() or await self._read_once()
        if not read:
            raise EOFError("the stream ended")
        self._held += read

    async def _read_once(self) -> bytes:
        try:
            return await self._stream.read(_READ)
        except StreamEOF:
            return b""
