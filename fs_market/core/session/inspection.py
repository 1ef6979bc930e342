# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's checks of a message, the cheapest first.

Comparisons come first.  Then ``may_check`` says whether the sender may cost us one more check of a
signature.  The signature itself comes last.  Every method raises Refused if a check fails.
"""

from collections.abc import Callable

from fs_market.core.money.provider_books import ProviderBooks
from fs_market.core.money.records import ProviderRecord
from fs_market.core.money.vouchers import screen_untrusted
from fs_market.core.money.vouchers import verify_untrusted as verify_voucher_untrusted
from fs_market.core.session.offers import (
    ProviderConfig,
    screen_order_untrusted,
    verify_quote_untrusted,
)
from fs_market.core.wire.channels import Voucher
from fs_market.core.wire.messages import (
    Close,
    Order,
    QuoteRequest,
    ReceiptAcceptance,
    screen_close_untrusted,
    session_digest,
    verify_close_untrusted,
)
from fs_market.core.wire.receipts import receipt_digest
from fs_market.core.wire.signatures import check_form, verify_untrusted
from fs_market.errors import Reason, Refused


class Inspector:
    """Checks the messages of one session."""

    def __init__(self, config: ProviderConfig, may_check: Callable[[float], bool]) -> None:
        self._config, self._may_check = config, may_check

    def allow(self, now: float) -> None:
        """Take one of the signatures that the sender may have us make or check."""
        if not self._may_check(now):
            raise Refused(Reason.RATE_LIMITED, "too many signatures to check; ask less often")

    def request_untrusted(self, request: QuoteRequest, now: float) -> None:
        """Check a request for a quote; to sign a quote costs as much as to check one."""
        domain = self._config.domain
        if (request.chain_id, request.channels) != (domain.chain_id, domain.contract):
            raise Refused(Reason.CHAIN, "we are paid on another chain; choose another provider")
        self.allow(now)

    def first_order_untrusted(
        self, order: Order, channel: bytes, unix_time: int, now: float
    ) -> None:
        """Check the order that begins a session."""
        screen_order_untrusted(self._config, order, unix_time)
        check_form(order.signature)
        self.allow(now)
        verify_quote_untrusted(self._config, order.quote)
        self._verify_order_untrusted(order, channel)

    def order_untrusted(
        self, order: Order, channel: bytes, record: ProviderRecord, now: float
    ) -> None:
        """Check an order that resumes a session."""
        if order.wireguard_key != record.wireguard_key:
            raise Refused(Reason.FOREIGN_KEY, "the channel has another WireGuard key; use it")
        if order.number <= record.order:
            raise Refused(Reason.REPLAYED, "this order was taken before; sign another")
        check_form(order.signature)
        self.allow(now)
        self._verify_order_untrusted(order, channel)

    def voucher_untrusted(
        self, voucher: Voucher, channel: bytes, books: ProviderBooks, now: float
    ) -> None:
        """Check a voucher for ``channel``."""
        screen_untrusted(voucher, channel, books.deposit, books.paid)
        self.allow(now)
        verify_voucher_untrusted(voucher, self._config.domain, books.record.terms.session_key)

    def acceptance_untrusted(
        self, acceptance: ReceiptAcceptance, books: ProviderBooks, now: float
    ) -> None:
        """Check the client's signature of the receipt on offer."""
        offered = books.record.offer
        if not offered or offered[0].receipt.epoch != acceptance.epoch:
            raise Refused(Reason.BAD_RECEIPT, "a signature is for no receipt on offer; ignore it")
        check_form(acceptance.signature)
        self.allow(now)
        digest = receipt_digest(self._config.domain, offered[0].receipt)
        verify_untrusted(digest, acceptance.signature, books.record.terms.session_key)

    def close_untrusted(self, close: Close, books: ProviderBooks, now: float) -> None:
        """Check the client's close."""
        screen_close_untrusted(close, books.paid)
        self.allow(now)
        verify_close_untrusted(close, self._config.domain, books.record.terms.session_key)

    def _verify_order_untrusted(self, order: Order, channel: bytes) -> None:
        digest = session_digest(self._config.domain, channel, order.wireguard_key, order.number)
        verify_untrusted(digest, order.signature, order.terms.session_key)
