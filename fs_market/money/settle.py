# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Settlement for a payee: decides when to turn a voucher into money, and does it.

A transaction costs the same for a voucher of any amount, so the settler waits until the amount is
worth the cost.  It does not wait until the payer can take everything back.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from fs_market.chain.contracts import Channels
from fs_market.chain.sender import Sender
from fs_market.core.wire.channels import ChannelStatus
from fs_market.database import Database
from fs_market.errors import ChainError, Displaced, Reverted, StillPending
from fs_market.money import voucher_book
from fs_market.money.voucher_book import Account, Side

log = logging.getLogger(__name__)


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
    end = min(expires_at, status.closes_at or expires_at)
    if now >= end - policy.margin:
        # At the last chance, any amount above the fee is worth it.
        return Action.CLOSE if due > fee else Action.WAIT
    if not is_worth_it:
        return Action.WAIT
    return Action.CLOSE if is_session_over else Action.REDEEM


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

    async def resume(self) -> None:
        """Finish the transactions that a crash interrupted; failed ones are decided again later."""
        try:
            await self._sender.finish_all()
        except (Displaced, Reverted) as error:
            log.warning("%s", error)

    async def settle_due(
        self, fee: int, is_session_over: Callable[[bytes], bool] = lambda _channel: False
    ) -> dict[bytes, Action]:
        """Do the next action on each channel of ours, and return the actions.

        ``fee`` is the price of one transaction in base units.  Raise ChainError if an action
        failed, after all were tried; the caller may call again.
        """
        accounts = await self._journal.do(lambda db: voucher_book.open_accounts(db, Side.PAYEE))
        done: dict[bytes, Action] = {}
        failure: ChainError | None = None
        for account in accounts:
            try:
                done[account.channel] = await self._settle(
                    account, fee, is_over=is_session_over(account.channel)
                )
            except StillPending:
                raise
            except ChainError as error:
                log.warning("channel %s: %s", account.channel.hex(), error)
                failure = error
        if failure is not None:
            raise failure
        return done

    async def _settle(self, account: Account, fee: int, *, is_over: bool) -> Action:
        status = await self._channels.status(account.channel)
        if status is None:
            await self._note_end(account)
            return Action.WAIT
        action = decide(
            status,
            account.promised,
            account.terms.expires_at,
            fee,
            int(self._clock()),
            self._policy,
            is_session_over=is_over,
        )
        if action is Action.REDEEM:
            await self.redeem(account)
        elif action is Action.CLOSE:
            await self.close(account)
        return action

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
