# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client's books: its own count, the provider's claims, and the amount to pay.

If datagrams were lost on the way, the provider counts more than the client.  The client pays for
them up to the tolerance of the quote.  If even a window in flight does not explain a claim, the
provider lies.  If the provider confirms less than the client counts, the client's payments stop one
window ahead of the confirmed count.
"""

from dataclasses import replace

from fs_market.core.money.accounting import ANY, CLOSED, SetLimits, Tolerance, Usage, Window
from fs_market.core.money.books import Books
from fs_market.core.money.prices import Price
from fs_market.core.money.records import ClientRecord
from fs_market.core.wire.messages import QuoteTerms, Statement
from fs_market.errors import Reason, Refused

_SECONDS_ASTRAY = 2  # clocks and rounding may differ by this, in addition to the window


class ClientBooks(Books[ClientRecord]):
    """Begins with the record of an earlier process, or of a channel that is to be opened."""

    __slots__ = ("_adopts", "_budget", "_price", "_tolerance", "statement")

    def __init__(self, record: ClientRecord, budget: int) -> None:
        """The client never pays more than ``budget`` base units, whatever the channel holds."""
        super().__init__(record)
        self.statement: Statement | None = None  # the provider's latest
        self._budget = budget
        self._price = Price.of(record.quote.terms)
        self._tolerance = Tolerance(record.quote.terms.tolerance_ppm)
        self._adopts = record.is_open

    @property
    def offer(self) -> QuoteTerms:
        """The provider's offer, which the client accepted."""
        return self.record.quote.terms

    @property
    def promised(self) -> int:
        """Base units that the client has signed for, in total."""
        return self.record.promised

    @property
    def window(self) -> Window:
        """The provider's latest credit window, but no larger than the offer allows."""
        offer, statement = self.offer, self.statement
        if statement is None:
            return Window(offer.increment_bytes, offer.increment_seconds)
        return Window(
            min(statement.window_bytes, offer.max_window_bytes),
            min(statement.window_seconds, offer.max_window_seconds),
        )

    # Claims of the provider.

    def take_statement_untrusted(self, statement: Statement) -> None:
        """Accept a statement, or raise Refused (COUNTS_DISAGREE)."""
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
        """Raise Refused (COUNTS_DISAGREE) if a statement says more paid than was promised."""
        if statement.paid > self.promised:
            raise _disagree("a voucher that was never signed")

    def check_counts(self, total_bytes: int, seconds: int) -> None:
        """Raise Refused (COUNTS_DISAGREE) if even a window in flight does not explain a claim."""
        window, own = self.window, self.usage
        if self._tolerance.is_exceeded(own.bytes, total_bytes, window.bytes):
            raise _disagree(f"{total_bytes} bytes, but this side counted {own.bytes}")
        if self._tolerance.is_exceeded(own.seconds, seconds, window.seconds + _SECONDS_ASTRAY):
            raise _disagree(f"{seconds} seconds, but this side counted {own.seconds}")

    def _adopt(self, statement: Statement) -> None:
        """Believe one window of the provider's first statement after a crash.

        The client lost the counts since its last record.
        """
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
        """The most that the client ever pays, in base units."""
        return min(self.record.deposit, self._budget)

    @property
    def step(self) -> int:
        """The amount after which the client pays: the base units of half a window.

        So the next voucher arrives before credit ends.
        """
        return max(1, self.window.exposure(self._price) // 2)

    @property
    def due(self) -> int:
        """Base units that the client has to pay in total, since the session began."""
        own, window, claim = self.usage, self.window, self.statement
        claimed_bytes, claimed_seconds = 0, 0
        if claim is not None:
            claimed_bytes, claimed_seconds = claim.up + claim.down, claim.seconds
            if claim.final:  # nothing is in flight after the last count
                window = Window(0, 0)
        payable = self._tolerance.payable
        cost = self._price.cost(
            payable(own.bytes, claimed_bytes, window.bytes),
            payable(own.seconds, claimed_seconds, window.seconds),
        )
        return min(cost, self.cap)

    @property
    def amount_to_promise(self) -> int | None:
        """The total in base units for the next voucher; None while no voucher is due."""
        claim = self.statement
        is_urgent = claim is not None and (claim.suspended or claim.final)
        due = self.due
        step = 1 if is_urgent or due == self.cap else self.step
        return due if due - self.promised >= step else None

    @property
    def limits(self) -> SetLimits:
        """The engine's limits: it stops at the budget, and tells when half a window is owed."""
        seconds = self.usage.seconds
        most = self._price.bytes_within(self.cap, seconds)
        credit = self.record.meter.engine_credit(most)
        if credit in (ANY, CLOSED):
            return SetLimits(credit, 0)
        next_payment = self._price.bytes_within(self.promised + self.step - 1, seconds) + 1
        return SetLimits(credit, max(0, min(most - next_payment, most)))

    @property
    def is_starving(self) -> bool:
        """Whether the provider has all the money that the client may pay, but does not serve."""
        claim = self.statement
        return claim is not None and claim.suspended and claim.paid == self.promised == self.due


def _disagree(claim: str) -> Refused:
    return Refused(Reason.COUNTS_DISAGREE, f"the provider claims {claim}; choose another provider")
