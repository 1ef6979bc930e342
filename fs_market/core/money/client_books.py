"""A client's books: what it counted, what the provider claims, and what is to be paid for it.

Where the provider counts more, as datagrams were lost on the way, it is paid up to the tolerance of
the quote; where even a window in flight does not explain a claim, it lies.  Where it confirms less
and less of what we count, payment stops one window ahead of what was confirmed.
"""

from dataclasses import replace
from typing import Any

from fs_market.core.money.accounting import ANY, CLOSED, Tolerance, Usage, Window
from fs_market.core.session.records import ClientRecord
from fs_market.core.session.session import SetLimits
from fs_market.core.wire.messages import QuoteTerms, Statement
from fs_market.errors import Reason, Refused

_SECONDS_ASTRAY = 2  # by which clocks and rounding may differ, beside the window


class ClientBooks:
    """Begins with the record of an earlier process, or of a channel to be opened."""

    __slots__ = ("_adopts", "_budget", "_price", "_tolerance", "record", "statement")

    def __init__(self, record: ClientRecord, budget: int) -> None:
        """``budget`` base units are the most that is ever paid, whatever the channel holds."""
        self.record = record
        self.statement: Statement | None = None  # the provider's latest
        self._budget = budget
        self._price = record.quote.terms.price
        self._tolerance = Tolerance(record.quote.terms.tolerance_ppm)
        self._adopts = record.is_open

    def change(self, **changes: Any) -> None:
        """Replace fields of the record."""
        self.record = replace(self.record, **changes)

    @property
    def offer(self) -> QuoteTerms:
        return self.record.quote.terms

    @property
    def promised(self) -> int:
        """Base units that were signed for."""
        return self.record.promised

    @property
    def usage(self) -> Usage:
        return self.record.meter.usage

    @property
    def window(self) -> Window:
        """The credit window as the provider last gave it, within what was agreed upon."""
        offer, statement = self.offer, self.statement
        if statement is None:
            return Window(offer.increment_bytes, offer.increment_seconds)
        return Window(
            min(statement.window_bytes, offer.max_window_bytes),
            min(statement.window_seconds, offer.max_window_seconds),
        )

    def read(self, up: int, down: int) -> None:
        """The engine's counters, as they are."""
        self.change(meter=self.record.meter.read(up, down))

    def pass_time(self, milliseconds: int) -> None:
        """So much more time of service."""
        if milliseconds:
            self.change(meter=self.record.meter.pass_time(milliseconds))

    # Claims of the provider.

    def take_statement_untrusted(self, statement: Statement) -> None:
        """Believe a statement, or raise Refused (COUNTS_DISAGREE)."""
        self.check_paid_untrusted(statement)
        before, self.statement = self.statement, statement
        if self._adopts:
            self._adopt(statement)
        try:
            self.check_counts(statement.up + statement.down, statement.seconds)
        except Refused:
            self.statement = before
            raise

    def check_paid_untrusted(self, statement: Statement) -> None:
        """Refused (COUNTS_DISAGREE) where more is said to be paid than was promised."""
        if statement.paid > self.promised:
            raise _disagree("a voucher that was never signed")

    def check_counts(self, total_bytes: int, seconds: int) -> None:
        """Refused (COUNTS_DISAGREE) where even a window in flight does not explain a claim."""
        window, own = self.window, self.usage
        if self._tolerance.is_exceeded(own.bytes, total_bytes, window.bytes):
            raise _disagree(f"{total_bytes} bytes where {own.bytes} were counted")
        if self._tolerance.is_exceeded(own.seconds, seconds, window.seconds + _SECONDS_ASTRAY):
            raise _disagree(f"{seconds} seconds where {own.seconds} were counted")

    def _adopt(self, statement: Statement) -> None:
        """After a crash, what was counted since the last record is lost: believe one window."""
        self._adopts = False
        own, window = self.usage, self.window
        down = min(max(0, statement.down - own.down), window.bytes)
        up = min(max(0, statement.up - own.up), window.bytes - down)
        seconds = min(max(0, statement.seconds - own.seconds), window.seconds)
        usage = Usage(own.up + up, own.down + down, own.milliseconds + 1000 * seconds)
        self.change(meter=replace(self.record.meter, usage=usage))

    # Money.

    @property
    def cap(self) -> int:
        """The most that is ever paid, in base units."""
        return min(self.record.deposit, self._budget)

    @property
    def step(self) -> int:
        """Half of a window: by then the next voucher is on its way before credit ends."""
        return max(1, self.window.exposure(self._price) // 2)

    @property
    def due(self) -> int:
        """Base units for all that is to be paid for since the start."""
        own, window, claim = self.usage, self.window, self.statement
        claimed_bytes, claimed_seconds = 0, 0
        if claim is not None:
            claimed_bytes, claimed_seconds = claim.up + claim.down, claim.seconds
            if claim.final:  # nothing is in flight any more
                window = Window(0, 0)
        payable = self._tolerance.payable
        cost = self._price.cost(
            payable(own.bytes, claimed_bytes, window.bytes),
            payable(own.seconds, claimed_seconds, window.seconds),
        )
        return min(cost, self.cap)

    @property
    def amount_to_promise(self) -> int | None:
        """What the next voucher is to say; None while none is due."""
        claim = self.statement
        is_urgent = claim is not None and (claim.suspended or claim.final)
        due = self.due
        step = 1 if is_urgent or due == self.cap else self.step
        return due if due - self.promised >= step else None

    @property
    def limits(self) -> SetLimits:
        """The engine stops at the budget, and wakes us when half a window is owed."""
        seconds = self.usage.seconds
        most = self._price.bytes_within(self.cap, seconds)
        credit = self.record.meter.engine_credit(most)
        if credit in (ANY, CLOSED):
            return SetLimits(credit, 0)
        next_payment = self._price.bytes_within(self.promised + self.step - 1, seconds) + 1
        return SetLimits(credit, max(0, min(most - next_payment, most)))

    @property
    def is_starving(self) -> bool:
        """All is paid that may be, the provider has it, and yet gives no service."""
        claim = self.statement
        return claim is not None and claim.suspended and claim.paid == self.promised == self.due


def _disagree(claim: str) -> Refused:
    return Refused(Reason.COUNTS_DISAGREE, f"the provider claims {claim}; choose another provider")
