# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The program's side of a session with a peer: a stream of bytes in both directions.

Bytes that the program has not read stay in the network process, which then stops reading from the
peer. Bytes that the peer has not read wait here, up to a bound.
"""

import asyncio
import contextlib
from typing import Any, Protocol

from fs_net.bridge import SESSION_CHUNK
from fs_net.errors import NetError

MAX_UNSENT = 128 << 10  # bytes
_SENT_WITHIN = 35.0  # s for a chunk; the network process gives up earlier
_CLOSED_WITHIN = 2.0  # s


class Call(Protocol):
    """Calls a method of the network process; raises NetError if the call fails."""

    async def __call__(self, name: str, *arguments: Any, within: float | None = ...) -> Any: ...


class Session:
    """One side of a session; ``peer`` is the libp2p id that the other side has proved."""

    def __init__(self, peer: bytes, number: int, call: Call) -> None:
        self.peer = peer
        self._number, self._call = number, call
        self._held = b""
        self._reading: asyncio.Task[bytes] | None = None
        self._unsent = bytearray()
        self._sending: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def read(self, most: int) -> bytes:
        """Read up to ``most`` bytes, or none after the end; raises OSError if the session broke.

        A cancelled read loses no bytes.
        """
        if not self._held:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
                self._reading.add_done_callback(_note)
            self._held = await asyncio.shield(self._reading)
            self._reading = None
        data, self._held = self._held[:most], self._held[most:]
        return data

    def write(self, data: bytes) -> None:
        """Queue data to be sent; the session ends if the peer leaves too much unread.

        Data that is written after the end, or is still queued then, is lost.
        """
        if self._ending is not None:
            return
        self._unsent += data
        if len(self._unsent) > MAX_UNSENT:
            self.abort()
        elif self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    @property
    def unsent(self) -> int:
        """The number of bytes that wait to be sent to the peer."""
        return len(self._unsent)

    def abort(self) -> None:
        """End the session at once."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end("session_abort"))
            self._unsent.clear()  # a reader learns of the end from the network process

    async def close(self) -> None:
        """End the session when everything is sent, or after two seconds."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=_CLOSED_WITHIN)
        if self._ending is None:
            self._ending = asyncio.create_task(self._end("session_close"))
        await asyncio.wait({self._ending}, timeout=_CLOSED_WITHIN)

    async def _read(self) -> bytes:
        try:
            data = await self._call("session_read", self._number, within=None)
        except NetError as error:
            raise ConnectionResetError(f"the session ended: {error}") from None
        assert isinstance(data, bytes)
        return data

    async def _send(self) -> None:
        while self._unsent:
            chunk = bytes(self._unsent[:SESSION_CHUNK])
            try:
                await self._call("session_write", self._number, chunk, within=_SENT_WITHIN)
            except NetError:
                return self.abort()
            del self._unsent[:SESSION_CHUNK]
        return None

    async def _end(self, how: str) -> None:
        with contextlib.suppress(NetError):
            await self._call(how, self._number, within=_SENT_WITHIN)


def _note(task: "asyncio.Task[bytes]") -> None:
    """Consume the error of a read that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
