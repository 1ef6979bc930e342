"""How a payer ends a channel whose payee does not: the wish first, and the end when it is due."""

from dataclasses import dataclass

from fs_market.chain.contracts import Channels
from fs_market.chain.sender import Sender
from fs_market.journal import Journal
from fs_market.money import voucher_book
from fs_market.money.voucher_book import Account


@dataclass(frozen=True, slots=True)
class Closing:
    """What has become of a channel; ``at`` is when to ask again, in Unix time, 0 for never."""

    state: str
    at: int = 0


async def close_by_payer(
    journal: Journal, channels: Channels, sender: Sender, account: Account, now: int
) -> Closing:
    """Take the next step towards its end. ChainError where it fails; it can be repeated."""
    channel, terms = account.channel, account.terms
    status = await channels.status(channel)
    if status is None:
        is_closed = await channels.is_closed(channel)
        # What was never opened can be opened no more once it has expired.
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
