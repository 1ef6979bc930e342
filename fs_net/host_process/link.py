# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The network process's end of the socketpair, on trio."""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio

from fs_net.bridge import Kind, Unpacker, pack
from fs_wire.failure import describe

_QUEUE = 4096  # frames that wait for the program
_READ = _BATCH = 65536  # bytes
_MAX_CAUSES = 4

Method = Callable[..., Awaitable[Any]]


class Link:
    """Calls the program and serves its calls; messages that cannot wait are dropped and counted."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._unpacker = Unpacker()
        self._frames: list[list[Any]] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[int, trio.Event] = {}
        self._results: dict[int, Any] = {}
        self._to_send, self._sending = trio.open_memory_channel[bytes](_QUEUE)
        self.dropped: Counter[str] = Counter()

    async def receive(self) -> list[Any] | None:
        """Return the next frame, or None if the program is gone."""
        while not self._frames:
            data = await self._stream.receive_some(_READ)
            if not data:
                return None
            self._frames = self._unpacker.feed_untrusted(bytes(data))
        return self._frames.pop(0)

    async def serve(self, methods: Mapping[str, Method]) -> None:
        """Answer the program's calls, each in its own task, until the program is gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all)
            while (frame := await self.receive()) is not None:
                if frame[0] == Kind.CALL:
                    nursery.start_soon(self._answer, methods, *frame[1:4])
                elif frame[0] == Kind.RESULT and frame[1] in self._waiting:
                    self._results[frame[1]] = frame[2]
                    self._waiting[frame[1]].set()
            nursery.cancel_scope.cancel()

    async def call(self, name: str, *arguments: Any, deadline: float) -> Any:
        """Return the program's answer, or None if none comes within ``deadline`` seconds."""
        number, answered = next(self._numbers), trio.Event()
        self._waiting[number] = answered
        try:
            with trio.move_on_after(deadline):
                await self._to_send.send(pack(Kind.CALL, number, name, list(arguments)))
                await answered.wait()
            return self._results.pop(number, None)
        finally:
            del self._waiting[number]

    def tell(self, name: str, *arguments: Any) -> None:
        """Tell the program something, or drop the message if the program is too slow."""
        try:
            self._to_send.send_nowait(pack(Kind.TELL, name, list(arguments)))
        except trio.WouldBlock:
            self.dropped[name] += 1

    async def _answer(
        self, methods: Mapping[str, Method], number: int, name: str, arguments: list[Any]
    ) -> None:
        try:
            answer = pack(Kind.RESULT, number, await methods[name](*arguments))
        except Exception as error:  # noqa: BLE001 - any exception of libp2p is a failed call
            answer = pack(Kind.FAILURE, number, _with_causes(error))
        await self._to_send.send(answer)

    async def _send_all(self) -> None:
        async for frame in self._sending:
            frames = bytearray(frame)
            while len(frames) < _BATCH:
                try:
                    frames += self._sending.receive_nowait()
                except trio.WouldBlock:
                    break
            await self._stream.send_all(bytes(frames))


def _with_causes(error: BaseException) -> str:
    """Describe an error and what caused it: libp2p's own words often name the step alone."""
    texts: list[str] = []
    each: BaseException | None = error
    while each is not None and len(texts) < _MAX_CAUSES:
        texts.append(describe(each))
        each = each.__cause__
    return ", because of ".join(texts)
