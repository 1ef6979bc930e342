# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Follows the events of contracts, also across a reorganisation of the chain.

The follower remembers every block that is not final, with its hash.  If the chain replaces such a
block, the follower first takes back the old block's events.  Then it tells the new block's events.
It asks for final blocks in spans.  A caller that stores ``base`` together with its own state can go
on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fs_market.chain.answers import Block, Log
from fs_market.chain.chain import Chain
from fs_market.core.wire.ethereum import Address
from fs_market.errors import DeepReorg, NodeRefused

_SPAN = 1000  # blocks in one request: chain nodes limit it
_WINDOW_AT_ONCE = 64  # blocks that one poll follows one by one


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of one poll, in the order in which they apply.

    ``undone`` has the latest event first; ``seen`` and ``final`` have the oldest first.
    """

    undone: tuple[Log, ...] = ()
    seen: tuple[Log, ...] = ()
    final: tuple[Log, ...] = ()


class Follower:
    """Tells each event when it is seen, when it is final, and if it is undone."""

    def __init__(
        self, chain: Chain, addresses: Sequence[Address], topics: Sequence[bytes], base: Block
    ) -> None:
        """Begin after ``base``, which is a final block.

        ``topics`` are the first topics of the wanted events, 32 bytes each.
        """
        self._chain, self._addresses, self._topics = chain, tuple(addresses), tuple(topics)
        self.base = base
        self._window: list[tuple[Block, tuple[Log, ...]]] = []

    async def poll(self) -> Changes:
        """Return the changes since the last poll.

        Raise DeepReorg if the chain took back a final block, or another ChainError.  After an
        error, the next poll tells everything.
        """
        before = self.base, self._window.copy()
        try:
            return await self._poll()
        except BaseException:
            self.base, self._window = before
            raise

    async def _poll(self) -> Changes:
        head = await self._chain.head()
        undone = await self._take_back(head)
        seen, final = await self._catch_up(head)
        if self.base.number >= self._final_number(head) or self._window:
            seen += await self._extend(head)
        final += self._finalize(head)
        return Changes(undone, seen, final)

    async def _take_back(self, head: Block) -> tuple[Log, ...]:
        undone: list[Log] = []
        while self._window:
            block, logs = self._window[-1]
            if block.number <= head.number and await self._is_in_chain(block):
                return tuple(undone)
            undone.extend(reversed(logs))
            self._window.pop()
        if self.base.number > head.number:
            # This chain node is behind the others, and will catch up.
            return tuple(undone)
        if not await self._is_in_chain(self.base):
            raise DeepReorg(
                f"the chain took back block {self.base.number}, which was final; "
                "raise confirmations, and read the chain again"
            )
        return tuple(undone)

    async def _is_in_chain(self, block: Block) -> bool:
        found = await self._chain.block(block.number)
        return found is not None and found.hash == block.hash

    async def _catch_up(self, head: Block) -> tuple[tuple[Log, ...], tuple[Log, ...]]:
        """Read one span of final blocks, whose events are seen and final at once."""
        last = min(self._final_number(head), self.base.number + _SPAN)
        if self._window or last <= self.base.number:
            return (), ()
        end = await self._chain.block(last)
        if end is None:
            return (), ()
        logs = await self._chain.logs(self.base.number + 1, last, self._addresses, self._topics)
        self.base = end
        return logs, logs

    async def _extend(self, head: Block) -> tuple[Log, ...]:
        seen: list[Log] = []
        tip = self._window[-1][0] if self._window else self.base
        last = min(head.number, tip.number + _WINDOW_AT_ONCE)
        for number in range(tip.number + 1, last + 1):
            # If the chain changes at this moment, the next poll takes back what is gone.
            block = await self._chain.block(number)
            if block is None or block.parent_hash != tip.hash:
                break
            try:
                logs = await self._chain.logs_of(block, self._addresses, self._topics)
            except NodeRefused:
                break
            self._window.append((block, logs))
            seen.extend(logs)
            tip = block
        return tuple(seen)

    def _finalize(self, head: Block) -> tuple[Log, ...]:
        final: list[Log] = []
        while self._window and self._window[0][0].number <= self._final_number(head):
            self.base, logs = self._window.pop(0)
            final.extend(logs)
        return tuple(final)

    def _final_number(self, head: Block) -> int:
        return head.number - self._chain.confirmations + 1
