# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A Yamux that limits what a peer may send.

py-libp2p only logs if a peer exceeds its window. It also keeps the data of a reset stream for
another minute. So one connection could fill a gigabyte in seconds.
"""

import trio
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

MOST_HELD = 1 << 20  # bytes of one connection that wait to be read


def bound_yamux() -> None:
    """Bound the connections of this process, because the library names its own class in one place.

    Windows keep their size: otherwise reading would let each grow to 16 MiB.
    """
    yamux.MAX_WINDOW_SIZE = yamux.DEFAULT_WINDOW_SIZE
    muxer_multistream.Yamux = BoundedYamux  # type: ignore[attr-defined]


class TooMuchHeld(trio.TooSlowError):
    """The peer sent more than is read; Yamux passes no other kind of error on."""


class BoundedYamux(Yamux):
    """Ends a connection on which too much waits, and drops data that nobody will read."""

    async def _read_data_body(self, length: int) -> bytes:
        if sum(map(len, self.stream_buffers.values())) + length > MOST_HELD:
            raise TooMuchHeld(f"{length} bytes more")
        return await super()._read_data_body(length)

    def _finalize_stream_locked(self, stream: YamuxStream, *, fully_closed: bool) -> None:
        if fully_closed and stream.reset_received:
            self.stream_buffers.pop(stream.stream_id, None)
        super()._finalize_stream_locked(stream, fully_closed=fully_closed)
