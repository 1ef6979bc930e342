# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A frame that was encrypted is sent, or the peer could decrypt nothing after it."""

from typing import Any

import pytest
import trio
import trio.testing
from libp2p.peer.id import ID

from fs_net.host_process import yamux
from fs_net.host_process.yamux import BoundedYamux, TooMuchHeld
from tools.testing import patience


class Secured:
    """A secured connection that has encrypted a frame, and waits for the socket."""

    def __init__(self) -> None:
        self.encrypted, self.sent, self.is_closed = 0, 0, False
        self.begun, self.is_writable = trio.Event(), trio.Event()

    async def write(self, _: bytes) -> None:
        self.encrypted += 1
        self.begun.set()
        await self.is_writable.wait()
        self.sent += 1

    async def close(self) -> None:
        self.is_closed = True


def test_who_gives_up_leaves_no_frame_behind() -> None:
    async def main() -> None:
        secured: Any = Secured()
        muxer, giving_up = BoundedYamux(secured, ID(b"peer"), True), trio.CancelScope()

        async def write() -> None:
            with giving_up:
                await muxer._write_frame(bytes(12))

        with trio.fail_after(patience.seconds(5)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await secured.begun.wait()
                giving_up.cancel()
                await trio.testing.wait_all_tasks_blocked()
                secured.is_writable.set()
        assert (secured.encrypted, secured.sent) == (1, 1)
        assert giving_up.cancelled_caught and not secured.is_closed

    trio.run(main)


def test_a_peer_that_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "_WRITTEN_WITHIN", 0.01)

    async def main() -> None:
        secured: Any = Secured()
        with pytest.raises(TooMuchHeld):
            await BoundedYamux(secured, ID(b"peer"), True)._write_frame(bytes(12))
        assert secured.is_closed

    trio.run(main)
