# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Settlement for a payee: decides when to turn a voucher into money, and does it.

A transaction costs the same for a voucher of any amount, so the settler waits until the amount is
worth the cost.  It does not wait until the payer can take everything back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any, TypeVar

from fs_market.chain.contracts import Channels
from fs_market.chain.sender import Sender
from fs_market.core.wire.channels import ChannelStatus
from fs_market.database import Database
from fs_market.errors import ChainError
from fs_market.money import voucher_book
from fs_market.money.voucher_book import Account, Side

log = logging.getLogger(__name__)

_ASKED_AT_ONCE = 16  # channels whose status is asked at the same time
Result = TypeVar("Result")


class Action(Enum):
    """The payee's next action on a channel."""

    WAIT = "wait"
    REDEEM = "redeem"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class SettlementPolicy:
    """The rules for when an amount is worth a transaction."""

    threshold: int  # base units: a smaller amount has to wait
    fee_share: Fraction = Fraction(1, 50)  # the largest part of an amount that gas may cost
    margin: int = 3600  # seconds before the channel's end, when the last chance begins


def decide(
    status: ChannelStatus,
    promised: int,
    expires_at: int,
    fee: int,
    now: int,
    policy: SettlementPolicy,
    *,
    is_session_over: bool,
) -> Action:
    """Return the payee's next action on a channel.

    ``promised`` is the total of the latest voucher in base units; the contract pays no more than
    the deposit.  ``fee`` is the price of one transaction in base units.  ``now`` and ``expires_at``
    are in seconds since the epoch.
    """
    due = min(promised, status.deposit) - status.claimed
    if due <= 0:
        return Action.WAIT
    is_worth_it = due >= policy.threshold and fee <= due * policy.fee_share
    if now >= end_of(status, expires_at) - policy.margin:
        is_worth_it = due > fee  # it is the last chance
    if not is_worth_it:
        return Action.WAIT
    # A close ends a session, and with it what the payer goes on to promise.
    return Action.CLOSE if is_session_over or now >= expires_at else Action.REDEEM


def end_of(status: ChannelStatus, expires_at: int) -> int:
    """Return the time from which the payer can take everything back, in seconds since the epoch."""
    return min(expires_at, status.closes_at or expires_at)


class Settler:
    """Settles the channels in a journal.

    It goes on after a crash at any step, because the journal has the vouchers, and every
    transaction has an intent of its own.
    """

    def __init__(
        self,
        journal: Database,
        channels: Channels,
        sender: Sender,
        policy: SettlementPolicy,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal, self._channels, self._sender = journal, channels, sender
        self._policy, self._clock = policy, clock
        self._few = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def resume(self) -> None:
        """Finish the transactions that a crash interrupted; failed ones are decided again later."""
        try:
            await self._sender.finish_all()
        except ChainError as error:
            log.warning("%s", error)

    async def settle_due(
        self, fee: int, is_session_over: Callable[[bytes], bool] = lambda _channel: False
    ) -> dict[bytes, Action]:
        """Do the next action on each channel of ours, and return the actions.

        All transactions are sent, the most urgent first, and then awaited together: so all are
        final when one would be.  ``fee`` is the price of one transaction in base units.  Raise
        ChainError if an action failed, after all were tried; the caller may call again.
        """
        accounts = await self._journal.do(lambda db: voucher_book.open_accounts(db, Side.PAYEE))
        failures: list[ChainError] = []
        looks = [self._status(account) for account in accounts]
        looked = list(zip(accounts, await _together(looks, failures), strict=True))
        done: dict[bytes, Action] = {}
        due: list[tuple[int, Account]] = []
        for account, status in looked:
            if isinstance(status, ChannelStatus):
                action = self._decide(account, status, fee, is_session_over(account.channel))
                done[account.channel] = action
                if action is not Action.WAIT:
                    due.append((end_of(status, account.terms.expires_at), account))
            elif status is None:
                done[account.channel] = Action.WAIT
        due.sort(key=lambda each: each[0])
        steps = [self._step(account, done[account.channel]) for _, account in due]
        for (_, account), ending in zip(due, await _together(steps, failures), strict=True):
            if ending is not None:
                del done[account.channel]
        if failures:
            raise failures[0]
        return done

    async def _status(self, account: Account) -> ChannelStatus | None:
        async with self._few:
            status = await self._channels.status(account.channel)
            if status is None:
                await self._note_end(account)
            return status

    def _decide(self, account: Account, status: ChannelStatus, fee: int, is_over: bool) -> Action:
        now, expires_at = int(self._clock()), account.terms.expires_at
        return decide(
            *(status, account.promised, expires_at, fee, now, self._policy), is_session_over=is_over
        )

    async def _step(self, account: Account, action: Action) -> None:
        try:
            await (self.close(account) if action is Action.CLOSE else self.redeem(account))
        except ChainError as error:
            log.warning("channel %s: %s", account.channel.hex(), error)
            raise

    async def redeem(self, account: Account) -> None:
        """Redeem the latest voucher, and leave the channel open."""
        assert account.voucher is not None
        intent = f"redeem:{account.channel.hex()}:{account.voucher.cumulative}"
        await self._sender.carry_out(intent, self._channels.redeem(account.terms, account.voucher))

    async def close(self, account: Account) -> None:
        """Redeem the latest voucher and close the channel; the rest returns to the payer."""
        status = await self._channels.status(account.channel)
        if status is not None:
            call = self._channels.close_by_payee(account.terms, status.claimed, account.voucher)
            await self._sender.carry_out(f"close:{account.channel.hex()}", call)
        await self._note_end(account)

    async def _note_end(self, account: Account) -> None:
        if await self._channels.is_closed(account.channel):
            await self._journal.do(lambda db: voucher_book.note_closed(db, account.channel))


async def _together(
    works: Iterable[Coroutine[Any, Any, Result]], failures: list[ChainError]
) -> list[Result | ChainError]:
    """Await all, beginning them in this order; add the ChainErrors to ``failures``."""
    endings = await asyncio.gather(*works, return_exceptions=True)
    results: list[Result | ChainError] = []
    for ending in endings:
        if isinstance(ending, ChainError):
            failures.append(ending)
        elif isinstance(ending, BaseException):
            raise ending
        results.append(ending)
    return results
