"""A provider's books: what it counted, what was promised for it, and how far it goes on credit.

Receipts come from here, too: at the end of an epoch one is offered, and nothing else is until the
client has signed it.
"""

from dataclasses import replace
from typing import Any

from fs_market.core.money.accounting import ANY, CLOSED, Increment, Usage, Window
from fs_market.core.money.receipts import (
    BUCKETS,
    EPOCH_SECONDS,
    FIRST_RECEIPT,
    Receipt,
    bucket_of,
    pack_rates,
    receipt_digest,
)
from fs_market.core.money.vouchers import Voucher
from fs_market.core.session.records import ProviderRecord
from fs_market.core.session.session import SetLimits
from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.messages import ReceiptOffer, Statement
from fs_market.core.wire.signatures import SigningKey


class ProviderBooks:
    """Begins with the record of an earlier process, or of a channel that was just found."""

    __slots__ = (
        *("_increment", "_journalled", "_price", "_rate_from", "_rates", "_second_from"),
        *("_was_suspended", "deposit", "is_final", "record", "window"),
    )

    def __init__(self, record: ProviderRecord) -> None:
        offer = record.quote.terms
        self.record = record
        self.deposit = 0  # base units; what the chain says
        self.is_final = False  # of the opening: until then, credit is one increment
        self._price = offer.price
        self._journalled = record.meter.usage
        self._increment = Increment(
            offer.increment_bytes,
            offer.increment_seconds,
            offer.max_window_bytes,
            offer.max_window_seconds,
        )
        self.window = Window.first(self._increment, record.paid)
        self._rate_from: tuple[float, int] | None = None  # when so many bytes had passed
        self._rates = [0] * BUCKETS
        self._second_from = record.meter.usage  # what the histogram has accounted for
        self._was_suspended = False  # in this epoch

    def change(self, **changes: Any) -> None:
        """Replace fields of the record."""
        self.record = replace(self.record, **changes)

    @property
    def paid(self) -> int:
        """Base units of the best voucher."""
        return self.record.paid

    @property
    def usage(self) -> Usage:
        return self.record.meter.usage

    def read(self, up: int, down: int) -> None:
        """The engine's counters, as they are."""
        self.change(meter=self.record.meter.read(up, down))

    def pass_time(self, milliseconds: int) -> None:
        """So much more time of service; whole seconds enter the histogram."""
        if milliseconds:
            self.change(meter=self.record.meter.pass_time(milliseconds))
        usage, since = self.usage, self._second_from
        if seconds := usage.seconds - since.seconds:
            self._rates[bucket_of((usage.bytes - since.bytes) // seconds)] += seconds
            self._second_from = usage

    def note_journalled(self) -> None:
        """The record of now goes to the disk."""
        self._journalled = self.usage

    @property
    def is_record_old(self) -> bool:
        """Whether a crash would lose a third of a window of counts: less than is left when low."""
        behind = self._cost(self.usage) - self._cost(self._journalled)
        return 3 * behind >= self.window.exposure(self._price)

    # Credit.

    def take_voucher(self, voucher: Voucher, now: float, round_trip: float) -> None:
        """A voucher that was verified: more is paid, and the window may grow."""
        self.change(voucher=(voucher,))
        self._grow(self.paid, now, round_trip)

    def note_use(self, now: float, round_trip: float) -> None:
        """Of what was paid ahead, what is used counts as if it were paid by now.

        Who pays all at once sends no voucher with which the window could grow.
        """
        used, exposure = self._cost(self.usage), self.window.exposure(self._price)
        if self._ahead < exposure:
            return
        if self.window.grown_at > used:
            self.window = replace(self.window, grown_at=used)
        elif used - self.window.grown_at >= exposure:
            self._grow(used, now, round_trip)

    def _grow(self, settled: int, now: float, round_trip: float) -> None:
        """``settled`` base units are paid, and for what was used."""
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
        """All that was counted is paid, or as much of it as the deposit can pay for."""
        return self.paid >= min(self._cost(self.usage), self.deposit)

    @property
    def is_paid_ahead(self) -> bool:
        """More is paid than used, by what nobody who counts is ever ahead: the largest window.

        After a crash, a record may be behind a voucher by so much.
        """
        offer = self.record.quote.terms
        largest = Window(offer.max_window_bytes, offer.max_window_seconds)
        return self._ahead > largest.exposure(self._price)

    @property
    def _ahead(self) -> int:
        """Base units that are paid and not used."""
        return self.paid - self._cost(self.usage)

    @property
    def is_spent(self) -> bool:
        """Nothing more could be paid for from this channel."""
        return self.paid >= self.deposit

    @property
    def has_credit(self) -> bool:
        """Whether service may go on for another second."""
        return self.limits.credit != CLOSED

    @property
    def is_credit_low(self) -> bool:
        """Whether it is time for the client to pay, if it has not seen that itself."""
        return self._most - self.usage.bytes <= self.window.bytes // 2

    @property
    def limits(self) -> SetLimits:
        """The engine stops where credit ends, and wakes us when half a window is left."""
        credit = self.record.meter.engine_credit(self._most)
        return SetLimits(credit, 0 if credit in (ANY, CLOSED) else self.window.bytes // 2)

    @property
    def _most(self) -> int:
        """The total of bytes that credit reaches to, until the next look at the clock.

        One window beyond what is paid, and beyond what a crash would leave of our counts: who pays
        ahead cannot have us forget more.
        """
        counted = min(self.paid, self._cost(self._journalled))
        ahead = min(counted + self.window.exposure(self._price), self.deposit)
        return self._price.bytes_within(ahead, self.usage.seconds + 1)

    def _cost(self, usage: Usage) -> int:
        return self._price.cost(usage.bytes, usage.seconds)

    def statement(self, channel: bytes, *, suspended: bool, final: bool) -> Statement:
        """What to tell the client."""
        usage, window = self.usage, self.window
        return Statement(
            *(channel, usage.up, usage.down, usage.seconds, self.paid),
            *(window.bytes, window.seconds, suspended, final),
        )

    # Receipts.

    def note_suspension(self) -> None:
        """Credit ended, so that demand is not all that limits this epoch."""
        self._was_suspended = True

    def is_epoch_over(self, *, final: bool) -> bool:
        """Whether a receipt is to be offered; ``final``: for whatever there is."""
        if self.record.offer:
            return False
        usage, last = self.usage, self._last
        if final:
            return (usage.up, usage.down, usage.seconds) != (last.up, last.down, last.seconds)
        return usage.seconds - last.seconds >= EPOCH_SECONDS

    def offer_receipt(self, node_key: SigningKey, domain: Domain, channel: bytes) -> None:
        """Put the receipt of the epoch that ends now into the record, signed."""
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
