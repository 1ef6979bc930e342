# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Watches the channels of the served clients on the chain."""

import asyncio
import logging
from collections.abc import AsyncIterator

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels
from fs_market.chain.follower import Follower
from fs_market.core.wire.channels import ChannelStatus
from fs_market.errors import ChainError, DeepReorg

log = logging.getLogger(__name__)

_TOPICS = ("ToppedUp", "Redeemed", "Closing", "Closed", "Opened")


class ChannelWatch:
    """Follows the events of the contract, and reads a channel again after an event about it."""

    def __init__(self, chain: Chain, channels: Channels, *, every: float) -> None:
        """Look at the chain ``every`` so many seconds."""
        self._chain, self._channels, self._every = chain, channels, every
        self._followed: dict[bytes, ChannelStatus] = {}

    async def status(self, channel: bytes) -> ChannelStatus | None:
        """Return a channel's status at this moment; None if it is not open.  Raise ChainError."""
        return await self._channels.status(channel)

    def follow(self, channel: bytes, status: ChannelStatus) -> None:
        """Watch a channel whose status is known."""
        self._followed[channel] = status

    def forget(self, channel: bytes) -> None:
        """Stop watching a channel."""
        self._followed.pop(channel, None)

    async def changes(self) -> AsyncIterator[tuple[bytes, ChannelStatus | None]]:
        """Yield each watched channel with its new status, or with None if it is gone.

        If the chain node does not answer, the watch asks again.
        """
        follower: Follower | None = None
        while True:
            try:
                if follower is None:
                    follower = await self._follower()
                found = await follower.poll()
                logs = (*found.undone, *found.seen, *found.final)
                touched = {log.topics[1] for log in logs if len(log.topics) > 1}
                for channel in self._suspects(touched):
                    status = await self.status(channel)
                    if channel in self._followed and status != self._followed[channel]:
                        if status is not None:
                            self._followed[channel] = status
                        yield channel, status
            except DeepReorg as error:
                log.error("%s", error)
                follower = None
            except ChainError as error:
                log.warning("the chain node gives no events: %s", error)
            await asyncio.sleep(self._every)

    def _suspects(self, touched: set[bytes]) -> list[bytes]:
        return [
            channel
            for channel, status in self._followed.items()
            if channel in touched or not status.is_final
        ]

    async def _follower(self) -> Follower:
        head = await self._chain.head()
        base = await self._chain.block(max(0, head.number - self._chain.confirmations + 1))
        topics = [self._channels.topic(each) for each in _TOPICS]
        return Follower(self._chain, [self._channels.address], topics, base or head)
