# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's quotes, and the checks of an order.

A provider keeps nothing between a quote and its order, because an order brings the quote along.
The cheapest checks come first, and the signatures come last.
"""

from dataclasses import dataclass

from fs_market.core.money.accounting import Increment
from fs_market.core.money.prices import Price
from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import Order, Quote, QuoteTerms, offer_digest
from fs_market.core.wire.signatures import SigningKey, verify_untrusted
from fs_market.errors import Reason, Refused

STOP_BEFORE_EXPIRY = 600  # seconds; to redeem takes a transaction


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """The provider's offer, its account and its key."""

    domain: Domain
    token: Address
    payee: Address
    node_key: SigningKey  # signs quotes and receipts
    price: Price
    increment: Increment
    tolerance_ppm: int  # see QuoteTerms
    close_window: int  # seconds
    min_deposit: int  # base units
    quote_seconds: int  # how long a client may order a quote


def make_quote(config: ProviderConfig, unix_time: int, nonce: bytes) -> Quote:
    """Sign an offer that is valid from ``unix_time`` on; ``nonce`` is 32 random bytes."""
    domain, price, increment = config.domain, config.price, config.increment
    terms = QuoteTerms(
        *(domain.chain_id, domain.contract, config.token, config.payee, config.node_key.address),
        *(price.per_gib, price.per_hour),
        *(increment.bytes, increment.seconds, increment.max_bytes, increment.max_seconds),
        *(config.tolerance_ppm, config.close_window, config.min_deposit),
        *(unix_time + config.quote_seconds, nonce),
    )
    return Quote(terms, config.node_key.sign(offer_digest(domain, terms.digest)))


def screen_order_untrusted(config: ProviderConfig, order: Order, unix_time: int) -> None:
    """Raise Refused if an order is bad in any respect but its signatures."""
    offer, terms, domain = order.quote.terms, order.terms, config.domain
    ours = (domain.chain_id, domain.contract, config.token)
    if (offer.chain_id, offer.channels, offer.token) != ours:
        raise Refused(Reason.CHAIN, "a quote is for another chain; ask us for a quote")
    names = (config.payee, config.node_key.address)
    if (offer.payee, offer.node) != names or unix_time > offer.valid_until:
        raise Refused(Reason.STALE_QUOTE, "a quote is not ours, or is too old; ask for another")
    agreed = (offer.payee, offer.close_window, offer.digest)
    if (terms.payee, terms.window, terms.order) != agreed:
        raise Refused(Reason.TERMS, "a channel is not for this quote; open one with its digest")
    if terms.expires_at <= unix_time + STOP_BEFORE_EXPIRY:
        raise Refused(Reason.TERMS, "a channel expires too soon; open one for longer")


def verify_quote_untrusted(config: ProviderConfig, quote: Quote) -> None:
    """Raise Refused (BAD_SIGNATURE) if we never made this quote."""
    digest = offer_digest(config.domain, quote.terms.digest)
    verify_untrusted(digest, quote.signature, config.node_key.address)
