"""What a crash must not take: the record of a session, from which either side goes on.

Kept under the channel's name; the latest replaces those before.
"""

from dataclasses import dataclass
from typing import Annotated

from fs_market.core.money.accounting import NOTHING_COUNTED, Meter
from fs_market.core.money.channels import Terms
from fs_market.core.money.receipts import Receipt
from fs_market.core.money.vouchers import Voucher
from fs_market.core.wire.messages import Quote, ReceiptOffer
from fs_market.core.wire.schema import U32, BaseUnits, Flag, ListOf, Record, WireGuardKey

# None or one.
LastReceipt = Annotated[tuple[Receipt, ...], ListOf(Record(Receipt), 1)]
LastVoucher = Annotated[tuple[Voucher, ...], ListOf(Record(Voucher), 1)]
LastOffer = Annotated[tuple[ReceiptOffer, ...], ListOf(Record(ReceiptOffer), 1)]


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """What a client needs to go on, and to know what it promised."""

    quote: Quote
    terms: Terms
    deposit: BaseUnits
    wireguard_key: WireGuardKey
    is_open: Flag = False
    is_over: Flag = False
    orders: U32 = 0  # so many were sent
    promised: BaseUnits = 0
    meter: Meter = NOTHING_COUNTED
    receipt: LastReceipt = ()  # the last that we signed


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """What a provider needs to go on, and to be paid."""

    quote: Quote
    terms: Terms
    wireguard_key: WireGuardKey
    order: U32 = 0  # the number of the last that was taken
    is_closing: Flag = False
    is_over: Flag = False
    meter: Meter = NOTHING_COUNTED
    voucher: LastVoucher = ()  # the best
    receipt: LastReceipt = ()  # the last that both signed
    offer: LastOffer = ()  # the next, which the client has not signed yet

    @property
    def paid(self) -> int:
        return self.voucher[0].cumulative if self.voucher else 0
