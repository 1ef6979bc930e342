# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's books: its count, the vouchers for it, and the credit of the client.

The books also make receipts.  They offer one at the end of an epoch, and the next only after the
client has signed it.
"""

from dataclasses import replace

from fs_market.core.money.accounting import ANY, CLOSED, Increment, SetLimits, Usage, Window
from fs_market.core.money.books import Books
from fs_market.core.money.prices import Price
from fs_market.core.money.records import ProviderRecord
from fs_market.core.wire.channels import Voucher
from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.messages import ReceiptOffer, Statement
from fs_market.core.wire.receipts import (
    BUCKETS,
    EPOCH_SECONDS,
    FIRST_RECEIPT,
    Receipt,
    bucket_of,
    pack_rates,
    receipt_digest,
)
from fs_market.core.wire.signatures import SigningKey


class ProviderBooks(Books[ProviderRecord]):
    """Begins with the record of an earlier process, or of a channel that was just found."""

    __slots__ = (
        *("_increment", "_journalled", "_price", "_rate_from", "_rates", "_second_from"),
        *("_was_suspended", "deposit", "is_final", "window"),
    )

    def __init__(self, record: ProviderRecord) -> None:
        super().__init__(record)
        offer = record.quote.terms
        self.deposit = 0  # base units of the channel on the chain
        self.is_final = False  # whether the opening is final; until then, credit is one increment
        self._price = Price.of(offer)
        self._journalled = record.meter.usage
        self._increment = Increment(
            offer.increment_bytes,
            offer.increment_seconds,
            offer.max_window_bytes,
            offer.max_window_seconds,
        )
        self.window = Window.first(self._increment, record.paid)
        self._rate_from: tuple[float, int] | None = None  # a time, and the bytes until then
        self._rates = [0] * BUCKETS
        self._second_from = record.meter.usage  # the usage that the histogram covers
        self._was_suspended = False  # in this epoch

    @property
    def paid(self) -> int:
        """Base units of the highest voucher."""
        return self.record.paid

    def pass_time(self, milliseconds: int) -> None:
        """Add time in which service was given; whole seconds enter the receipt's histogram."""
        super().pass_time(milliseconds)
        usage, since = self.usage, self._second_from
        if seconds := usage.seconds - since.seconds:
            self._rates[bucket_of((usage.bytes - since.bytes) // seconds)] += seconds
            self._second_from = usage

    def note_journalled(self) -> None:
        """Note that the record of this moment goes to the disk."""
        self._journalled = self.usage

    @property
    def is_record_old(self) -> bool:
        """Whether a crash would lose the counts of a third of a window.

        That is less than the half of a window that is left when credit is low.
        """
        behind = self._cost(self.usage) - self._cost(self._journalled)
        return 3 * behind >= self.window.exposure(self._price)

    # Credit.

    def take_voucher(self, voucher: Voucher, now: float, round_trip: float) -> None:
        """Take a verified voucher: more is paid, and the window may grow."""
        self.change(voucher=(voucher,))
        self._grow(self.paid, now, round_trip)

    def note_use(self, now: float, round_trip: float) -> None:
        """Let the window grow with the use of money that was paid ahead.

        A client that pays all at once sends no further vouchers, with which the window could grow.
        So the use of its money counts as a payment.
        """
        used, exposure = self._cost(self.usage), self.window.exposure(self._price)
        if self._ahead < exposure:
            return
        if self.window.grown_at > used:
            self.window = replace(self.window, grown_at=used)
        elif used - self.window.grown_at >= exposure:
            self._grow(used, now, round_trip)

    def _grow(self, settled: int, now: float, round_trip: float) -> None:
        """Let the window grow if it may; ``settled`` base units are paid for used service."""
        used = self.usage.bytes
        rate = 0.0
        if self._rate_from is not None and now > self._rate_from[0]:
            rate = (used - self._rate_from[1]) / (now - self._rate_from[0])
        self._rate_from = (now, used)
        if self.is_final:
            self.window = self.window.after_payment(
                settled, self._price, self._increment, rate, round_trip
            )

    @property
    def is_paid(self) -> bool:
        """Whether the client has paid for everything, as far as the deposit reaches."""
        return self.paid >= min(self._cost(self.usage), self.deposit)

    @property
    def is_paid_ahead(self) -> bool:
        """Whether the client has paid ahead: by more than the largest window.

        A client that pays by its count is never so far ahead.  A smaller difference may come from a
        crash, after which our count is behind the vouchers.
        """
        offer = self.record.quote.terms
        largest = Window(offer.max_window_bytes, offer.max_window_seconds)
        return self._ahead > largest.exposure(self._price)

    @property
    def _ahead(self) -> int:
        """Base units that are paid but not used."""
        return self.paid - self._cost(self.usage)

    @property
    def is_spent(self) -> bool:
        """Whether the vouchers have used up the deposit of the channel."""
        return self.paid >= self.deposit

    @property
    def has_credit(self) -> bool:
        """Whether service may go on for another second."""
        return self.limits.credit != CLOSED

    @property
    def is_credit_low(self) -> bool:
        """Whether half of the window or less is left, so that the client should pay."""
        return self._most - self.usage.bytes <= self.window.bytes // 2

    @property
    def limits(self) -> SetLimits:
        """The engine's limits: the peer stops at the end of credit.

        The engine tells us when half a window is left.
        """
        credit = self.record.meter.engine_credit(self._most)
        return SetLimits(credit, 0 if credit in (ANY, CLOSED) else self.window.bytes // 2)

    @property
    def _most(self) -> int:
        """The total of bytes at which credit ends, until the next look at the clock.

        Credit reaches one window beyond the paid amount, and at most one window beyond the
        journalled count.  So a crash cannot lose more than one window of counts, even if the client
        has paid ahead.
        """
        counted = min(self.paid, self._cost(self._journalled))
        ahead = min(counted + self.window.exposure(self._price), self.deposit)
        return self._price.bytes_within(ahead, self.usage.seconds + 1)

    def _cost(self, usage: Usage) -> int:
        return self._price.cost(usage.bytes, usage.seconds)

    def statement(self, channel: bytes, *, suspended: bool, final: bool) -> Statement:
        """Return the statement for the client; ``channel`` is 32 bytes."""
        usage, window = self.usage, self.window
        return Statement(
            *(channel, usage.up, usage.down, usage.seconds, self.paid),
            *(window.bytes, window.seconds, suspended, final),
        )

    # Receipts.

    def note_suspension(self) -> None:
        """Note that credit ended, so that this epoch was not limited by demand alone."""
        self._was_suspended = True

    def is_epoch_over(self, *, final: bool) -> bool:
        """Whether a receipt is due; a ``final`` receipt is due for any traffic or time."""
        if self.record.offer:
            return False
        usage, last = self.usage, self._last
        if final:
            return (usage.up, usage.down, usage.seconds) != (last.up, last.down, last.seconds)
        return usage.seconds - last.seconds >= EPOCH_SECONDS

    def offer_receipt(self, node_key: SigningKey, domain: Domain, channel: bytes) -> None:
        """Sign the receipt of the epoch that ends now, and put it into the record."""
        usage, signed = self.usage, self.record.receipt
        receipt = Receipt(
            channel,
            signed[0].epoch + 1 if signed else 0,
            receipt_digest(domain, signed[0]) if signed else FIRST_RECEIPT,
            *(usage.up, usage.down, usage.seconds, pack_rates(self._rates)),
            demand_limited=not self._was_suspended,
        )
        self._rates = [0] * BUCKETS
        self._was_suspended = False
        signature = node_key.sign(receipt_digest(domain, receipt))
        self.change(offer=(ReceiptOffer(receipt, signature),))

    @property
    def _last(self) -> Receipt:
        signed = self.record.receipt
        return signed[0] if signed else _NOTHING


_NOTHING = Receipt(FIRST_RECEIPT, 0, FIRST_RECEIPT, 0, 0, 0, FIRST_RECEIPT, demand_limited=True)
