# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client's choice of quotes: which are authentic, which the user wants, and which are fair."""

from dataclasses import dataclass

from fs_market.core.money.prices import Price
from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import Quote, QuoteTerms, offer_digest
from fs_market.core.wire.signatures import SigningKey, verify_untrusted
from fs_market.errors import Reason, Refused
from fs_wire.types import PublicKey


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """The client's keys, and the user's limits."""

    domain: Domain
    token: Address
    payer: Address
    session_key: SigningKey
    wireguard_key: PublicKey
    max_price: Price
    budget: int  # base units for the session
    node: Address | None = None  # the node key of the chosen provider; None: any provider
    max_tolerance_ppm: int = 50_000
    max_window_bytes: int = 256 << 20
    max_window_seconds: int = 60


def verify_quote_untrusted(config: ClientConfig, quote: Quote) -> None:
    """Raise Refused if a quote is for another chain, or has no signature of its node key."""
    offer = quote.terms
    here = (config.domain.chain_id, config.domain.contract, config.token)
    if (offer.chain_id, offer.channels, offer.token) != here:
        raise Refused(Reason.CHAIN, "a quote is for another chain; choose another provider")
    if config.node not in (None, offer.node):
        raise Refused(Reason.BAD_SIGNATURE, "a quote is by another provider; connect again")
    verify_untrusted(offer_digest(config.domain, offer.digest), quote.signature, offer.node)


def reason_against(config: ClientConfig, offer: QuoteTerms) -> Reason | None:
    """Return the reason why an offer does not suit the user; None if it suits."""
    if not Price.of(offer).is_within(config.max_price) or offer.min_deposit > config.budget:
        return Reason.PRICE
    return None if _is_fair(config, offer) else Reason.TERMS


def _is_fair(config: ClientConfig, offer: QuoteTerms) -> bool:
    """Whether the windows and the tolerance are those of a reasonable provider."""
    return (
        offer.tolerance_ppm <= config.max_tolerance_ppm
        and 0 < offer.increment_bytes <= offer.max_window_bytes <= config.max_window_bytes
        and 0 < offer.increment_seconds <= offer.max_window_seconds
        and offer.max_window_seconds <= config.max_window_seconds
    )
