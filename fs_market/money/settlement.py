# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Settlement for a payer: closes a channel in two steps if its payee does not close it.

The payer first requests the close, and ends the channel after the close window.
"""

from dataclasses import dataclass

from fs_market.chain.contracts import Channels
from fs_market.chain.sender import Sender
from fs_market.database import Database
from fs_market.money import voucher_book
from fs_market.money.voucher_book import Account


@dataclass(frozen=True, slots=True)
class Closing:
    """The state of a channel after a step."""

    state: str  # ``closed``, ``closing`` or ``not opened``
    at: int = 0  # the time of the next step, in seconds since the epoch; 0 if there is none


async def close_by_payer(
    journal: Database, channels: Channels, sender: Sender, account: Account, now: int
) -> Closing:
    """Do the next step of closing a channel; ``now`` is in seconds since the epoch.

    Raise ChainError if the step fails; the caller may repeat it.
    """
    channel, terms = account.channel, account.terms
    status = await channels.status(channel)
    if status is None:
        is_closed = await channels.is_closed(channel)
        # Nobody can open an expired channel.
        if is_closed or now > terms.expires_at:
            await journal.do(lambda db: voucher_book.note_closed(db, channel))
        return Closing("closed" if is_closed else "not opened")
    due = min(terms.expires_at, status.closes_at or terms.expires_at)
    if now >= due:
        await sender.carry_out(f"finalize:{channel.hex()}", channels.finalize(terms))
        if await channels.is_closed(channel):
            await journal.do(lambda db: voucher_book.note_closed(db, channel))
        return Closing("closed")
    if status.closes_at:
        return Closing("closing", due)
    await sender.carry_out(f"start-close:{channel.hex()}", channels.start_close(terms))
    return Closing("closing", min(terms.expires_at, now + terms.window))
