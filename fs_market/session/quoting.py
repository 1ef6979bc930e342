# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Asks a provider for a quote, without buying."""

from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import (
    Quote,
    QuoteRequest,
    Refusal,
    offer_digest,
)
from fs_market.core.wire.signatures import verify_untrusted
from fs_market.errors import MarketError, Reason, Refused
from fs_market.ports import Route
from fs_market.session.stream import ask_untrusted, no_answer
from fs_wire.patience import patient

_ANSWER_WITHIN = patient(10.0)  # seconds


async def ask_for_quote(route: Route, domain: Domain, node: Address | None) -> Quote:
    """Return a provider's quote after a check of its signature.

    ``node`` is the address of the expected node key; None accepts any provider.  Raise MarketError
    if no quote comes, and Refused if its signature is wrong.
    """
    question = QuoteRequest(domain.chain_id, domain.contract)
    try:
        message = await ask_untrusted(route, question, _ANSWER_WITHIN)
    except (OSError, TimeoutError) as error:
        raise no_answer(route, error) from None
    if isinstance(message, Refusal):
        raise MarketError(
            f"the provider gives no quote: {message.reason.text}; choose another provider"
        )
    if not isinstance(message, Quote):
        raise MarketError("the provider's answer is not a quote; choose another provider")
    offer = message.terms
    if node not in (None, offer.node):
        raise Refused(Reason.BAD_SIGNATURE, "a quote is by another provider; check the address")
    verify_untrusted(offer_digest(domain, offer.digest), message.signature, offer.node)
    return message
