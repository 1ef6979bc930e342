# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The replay window of a session, which remembers the counters of received messages.

It is a ring of bits.  As the window moves, whole blocks are cleared, so that no bit is ever
shifted.  Source: RFC 6479.
"""

from fs_tunnel.proto.errors import ReplayDetected

BLOCK_BITS = 64
RING_BITS = 8192
WINDOW = RING_BITS - BLOCK_BITS  # how far behind the latest counter a message may be

_BLOCKS = RING_BITS // BLOCK_BITS


class ReplayWindow:
    """Tells fresh counters from those that were seen or are too old."""

    __slots__ = ("_latest", "_blocks")

    def __init__(self) -> None:
        self._latest = -1
        self._blocks = [0] * _BLOCKS

    def check(self, counter: int) -> None:
        """Raise ReplayDetected if a counter was seen or is too old; change nothing."""
        if counter > self._latest:
            return
        if self._latest - counter > WINDOW:
            raise ReplayDetected("a counter is too far behind")
        if self._blocks[counter // BLOCK_BITS % _BLOCKS] >> counter % BLOCK_BITS & 1:
            raise ReplayDetected("a counter was seen before")

    def update(self, counter: int) -> None:
        """Check the counter of an authentic message, and remember it.

        Raise ReplayDetected as ``check`` does.
        """
        self.check(counter)
        block = counter // BLOCK_BITS
        if counter > self._latest:
            before = self._latest // BLOCK_BITS
            for passed in range(before + 1, min(block, before + _BLOCKS) + 1):
                self._blocks[passed % _BLOCKS] = 0
            self._latest = counter
        self._blocks[block % _BLOCKS] |= 1 << counter % BLOCK_BITS
