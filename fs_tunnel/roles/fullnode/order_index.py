# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""An index in memory of all channels, from the final events of ``Channels``.

It shows nothing that is not final, so that it never takes anything back. If the chain itself takes
back final blocks, the index reads everything again.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fs_market.chain.answers import Log
from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels
from fs_market.chain.follower import Follower
from fs_market.errors import ChainError, DeepReorg
from fs_net.fullnode.catalogue import OrderState, OrderView

if TYPE_CHECKING:
    from fs_market.chain.abi import Event

log = logging.getLogger(__name__)

_EVENTS = "Opened", "ToppedUp", "Redeemed", "Closing", "Closed"
_POLL = 5.0  # s


class OrderIndex:
    """An ``fs_net.fullnode.catalogue.Orders``; ``refresh`` reads on."""

    def __init__(self, chain: Chain, channels: Channels, since: int = 1) -> None:
        """``since`` is the first block that can have a channel."""
        self._chain, self._channels, self._since = chain, channels, since
        self._topics = [channels.topic(each) for each in _EVENTS]
        self._follower: Follower | None = None
        self._forget()

    async def of(self, account: bytes) -> Sequence[OrderView]:
        """The channels in which the account pays or is paid, the latest first."""
        return [self._orders[each] for each in reversed(self._by_account.get(account, ()))]

    async def refresh(self) -> None:
        """Read on to the last final block; it raises ChainError as ``Chain`` does."""
        final = (await self._chain.head()).number - self._chain.confirmations + 1
        if final < 0:
            return
        self._follower = follower = self._follower or await self._begin()
        try:
            while True:
                before = follower.base.number
                self._untaken.extend((await follower.poll()).final)
                while self._untaken:
                    await self._take(self._untaken[0])
                    self._untaken.popleft()
                if not before < follower.base.number < final:
                    return
        except DeepReorg:
            self._forget()
            raise

    async def follow(self, poll: float = _POLL) -> None:
        """Refresh again and again. If the chain node fails, the index stays as it was."""
        while True:
            try:
                await self.refresh()
            except ChainError as error:
                log.warning("orders stay as they were: %s", error)
            await asyncio.sleep(poll)

    def _forget(self) -> None:
        self._follower = None
        self._orders: dict[bytes, OrderView] = {}
        self._by_account: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._untaken: deque[Log] = deque()
        self._block_time: tuple[int, int] = (-1, 0)  # of the block that was asked for last

    async def _begin(self) -> Follower:
        base = await self._chain.block(self._since - 1)
        if base is None:
            raise ChainError("the chain has no block before since; mend since in [contracts]")
        return Follower(self._chain, [self._channels.address], self._topics, base)

    async def _take(self, said: Log) -> None:
        event = self._channels.event(said)
        channel = event.args["channelId"]
        if event.name == "Opened":
            await self._open(channel, event)
        elif channel in self._orders:
            self._orders[channel] = _changed(self._orders[channel], event)

    async def _open(self, channel: bytes, event: "Event") -> None:
        payer, payee = event.args["payer"].raw, event.args["payee"].raw
        self._orders[channel] = OrderView(
            channel=channel,
            payer=payer,
            payee=payee,
            deposit=event.args["amount"],
            claimed=0,
            refunded=0,
            state=OrderState.OPEN,
            opened_at=await self._time_of(event.log.block_number),
        )
        for account in {payer, payee}:
            self._by_account[account].append(channel)

    async def _time_of(self, number: int) -> int:
        if self._block_time[0] != number:
            block = await self._chain.block(number)
            if block is None:
                raise ChainError(
                    "the chain node lacks a block that it named; use another chain node"
                )
            self._block_time = number, block.timestamp * 1000
        return self._block_time[1]


def _changed(order: OrderView, event: "Event") -> OrderView:
    args = event.args
    match event.name:
        case "ToppedUp":
            return replace(order, deposit=order.deposit + args["amount"])
        case "Redeemed":
            return replace(order, claimed=args["cumulative"])
        case "Closing":
            return replace(order, state=OrderState.CLOSING)
        case _:
            return replace(
                order,
                claimed=args["claimed"],
                refunded=args["refunded"],
                state=OrderState.CLOSED,
            )
