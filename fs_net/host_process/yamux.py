# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A Yamux that limits what a peer may send.

py-libp2p only logs if a peer exceeds its window. It also keeps the data of a reset stream for
another minute. So one connection could fill a gigabyte in seconds.

py-libp2p also lets a deadline end a write between its encryption and its sending. Noise counts the
messages, so the peer could read nothing of that connection any more.
"""

import trio
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from fs_wire.patience import patient

_WRITTEN_WITHIN = patient(10.0)  # s; a peer that takes longer for one frame does not read
MOST_HELD = 1 << 20  # bytes of one connection that wait to be read


def bound_yamux() -> None:
    """Bound the connections of this process, because the library names its own class in one place.

    Windows keep their size: otherwise reading would let each grow to 16 MiB.
    """
    yamux.MAX_WINDOW_SIZE = yamux.DEFAULT_WINDOW_SIZE
    muxer_multistream.Yamux = BoundedYamux  # type: ignore[attr-defined]


class TooMuchHeld(trio.TooSlowError):
    """One side sent more than the other reads; Yamux passes no other kind of error on."""


class BoundedYamux(Yamux):
    """Ends a connection on which too much waits, and drops data that nobody will read.

    A frame is written whole, even if who wrote it has given up; or the connection ends.
    """

    async def _write_frame(self, data: bytes) -> None:
        async with self._write_lock:
            with trio.move_on_after(_WRITTEN_WITHIN) as writing:
                writing.shield = True
                await self.secured_conn.write(data)
            if writing.cancelled_caught:
                await self.secured_conn.close()
                raise TooMuchHeld("the peer does not read")
        await trio.lowlevel.checkpoint()

    async def _read_data_body(self, length: int) -> bytes:
        if sum(map(len, self.stream_buffers.values())) + length > MOST_HELD:
            raise TooMuchHeld(f"{length} bytes more")
        return await super()._read_data_body(length)

    def _finalize_stream_locked(self, stream: YamuxStream, *, fully_closed: bool) -> None:
        if fully_closed and stream.reset_received:
            self.stream_buffers.pop(stream.stream_id, None)
        super()._finalize_stream_locked(stream, fully_closed=fully_closed)
