"""What a client buys: which quotes are authentic, which its user wants, and which are fair."""

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
    """Who pays, and what the user allows."""

    domain: Domain
    token: Address
    payer: Address
    session_key: SigningKey
    wireguard_key: PublicKey
    max_price: Price
    budget: int  # base units for the session
    node: Address | None = None  # the provider that was chosen; None: any
    max_tolerance_ppm: int = 50_000
    max_window_bytes: int = 256 << 20
    max_window_seconds: int = 60


def verify_quote_untrusted(config: ClientConfig, quote: Quote) -> None:
    """Refused where a quote is for another chain, or not by the node that it names."""
    offer = quote.terms
    here = (config.domain.chain_id, config.domain.contract, config.token)
    if (offer.chain_id, offer.channels, offer.token) != here:
        raise Refused(Reason.CHAIN, "a quote is for another chain; choose another provider")
    if config.node not in (None, offer.node):
        raise Refused(Reason.BAD_SIGNATURE, "a quote is by another node; connect again")
    verify_untrusted(offer_digest(config.domain, offer.digest), quote.signature, offer.node)


def reason_against(config: ClientConfig, offer: QuoteTerms) -> Reason | None:
    """Why the user would not have an offer; None where it is welcome."""
    if not offer.price.is_within(config.max_price) or offer.min_deposit > config.budget:
        return Reason.PRICE
    return None if _is_fair(config, offer) else Reason.TERMS


def _is_fair(config: ClientConfig, offer: QuoteTerms) -> bool:
    """Whether windows and tolerance are what a reasonable provider asks for."""
    return (
        offer.tolerance_ppm <= config.max_tolerance_ppm
        and 0 < offer.increment_bytes <= offer.max_window_bytes <= config.max_window_bytes
        and 0 < offer.increment_seconds <= offer.max_window_seconds
        and offer.max_window_seconds <= config.max_window_seconds
    )
