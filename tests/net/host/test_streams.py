# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Frames are read whole, however a transport ends its streams."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamEOF

from fs_net.host_process.streams import _Frames


class Stream:
    """Returns the given data piece by piece; None is the end."""

    def __init__(self, *parts: bytes | None) -> None:
        self._parts = list(parts)

    async def read(self, most: int) -> bytes:
        part = self._parts.pop(0) if self._parts else None
        if part is None:
            raise StreamEOF
        return part


def frame_of(*parts: bytes | None) -> bytes:
    stream: Any = Stream(*parts)
    next_frame: Callable[[], Any] = _Frames(cast(INetStream, stream), 100).next
    return cast(bytes, trio.run(next_frame))


@pytest.mark.parametrize(
    "parts",
    [
        (b"\0\0\0\x03abc", None),
        (b"\0\0", b"\0\x03a", b"bc"),
        (b"\0\0\0\x03a", None, b"bc"),  # the end of a QUIC stream can overtake its last data
        (None, b"\0\0\0\x03abc"),
    ],
)
def test_a_frame_is_whole(parts: tuple[bytes | None, ...]) -> None:
    assert frame_of(*parts) == b"abc"


def test_a_stream_that_ends_within_a_frame_has_none() -> None:
    with pytest.raises(EOFError):
        frame_of(b"\0\0\0\x03ab")
