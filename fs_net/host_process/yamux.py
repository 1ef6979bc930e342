"""Yamux that holds a peer to what it may send.

py-libp2p only logs that a peer exceeds its window, and keeps what a stream that was reset had
received for another minute: one connection fills a gigabyte in seconds.
"""

import trio
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

MOST_HELD = 1 << 20  # bytes of one connection that wait to be read


def bound_yamux() -> None:
    """Let this process's connections be bounded; the library names its class where it makes one.

    Windows stay as they are: reading would let them grow to 16 MiB each.
    """
    yamux.MAX_WINDOW_SIZE = yamux.DEFAULT_WINDOW_SIZE
    muxer_multistream.Yamux = BoundedYamux  # type: ignore[attr-defined]


class TooMuchHeld(trio.TooSlowError):
    """The peer sent more than is read; Yamux passes no other kind on."""


class BoundedYamux(Yamux):
    """Ends a connection on which too much waits, and forgets what nobody will read."""

    async def _read_data_body(self, length: int) -> bytes:
        if sum(map(len, self.stream_buffers.values())) + length > MOST_HELD:
            raise TooMuchHeld(f"{length} bytes more")
        return await super()._read_data_body(length)

    def _finalize_stream_locked(self, stream: YamuxStream, *, fully_closed: bool) -> None:
        if fully_closed and stream.reset_received:
            self.stream_buffers.pop(stream.stream_id, None)
        super()._finalize_stream_locked(stream, fully_closed=fully_closed)
