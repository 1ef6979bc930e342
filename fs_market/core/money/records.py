# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The record of a session: each side writes it to its journal and goes on from it after a crash.

The journal keeps one record for each channel; a later record replaces the earlier ones.
"""

from dataclasses import dataclass
from typing import Annotated

from fs_market.core.money.accounting import NOTHING_COUNTED, Meter
from fs_market.core.wire.channels import Terms, Voucher
from fs_market.core.wire.messages import Quote, ReceiptOffer
from fs_market.core.wire.receipts import Receipt
from fs_market.core.wire.schema import U32, BaseUnits, Flag, ListOf, Record, WireGuardKey

# Each of these tuples holds one item, or none.
LastReceipt = Annotated[tuple[Receipt, ...], ListOf(Record(Receipt), 1)]
LastVoucher = Annotated[tuple[Voucher, ...], ListOf(Record(Voucher), 1)]
LastOffer = Annotated[tuple[ReceiptOffer, ...], ListOf(Record(ReceiptOffer), 1)]


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A client goes on from this, and knows what it promised."""

    quote: Quote
    terms: Terms
    deposit: BaseUnits
    wireguard_key: WireGuardKey
    is_open: Flag = False
    is_over: Flag = False
    orders: U32 = 0  # how many orders the client has sent
    promised: BaseUnits = 0
    meter: Meter = NOTHING_COUNTED
    receipt: LastReceipt = ()  # the last receipt that the client signed


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """A provider goes on from this, and can ask the chain for its money."""

    quote: Quote
    terms: Terms
    wireguard_key: WireGuardKey
    order: U32 = 0  # the number of the last order that the provider took
    is_closing: Flag = False
    is_over: Flag = False
    meter: Meter = NOTHING_COUNTED
    voucher: LastVoucher = ()  # the highest voucher
    receipt: LastReceipt = ()  # the last receipt that both sides signed
    offer: LastOffer = ()  # the next receipt, which the client has not signed yet

    @property
    def paid(self) -> int:
        """Base units of the highest voucher."""
        return self.voucher[0].cumulative if self.voucher else 0
