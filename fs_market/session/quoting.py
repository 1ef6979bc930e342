"""Asking a provider what it costs, without buying."""

import asyncio

from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import (
    Quote,
    QuoteRequest,
    Refusal,
    offer_digest,
    parse_untrusted,
    serialize,
)
from fs_market.core.wire.signatures import verify_untrusted
from fs_market.errors import MarketError, Reason, Refused
from fs_market.ports import Route
from fs_market.session.stream import connect

_ANSWER_WITHIN = 10.0  # seconds


async def ask_for_quote(route: Route, domain: Domain, node: Address | None) -> Quote:
    """Its quote, which is authentic; MarketError where there is none.

    ``node`` is whose it has to be; None: anybody's.
    """
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            stream = await connect(route)
            try:
                stream.send([serialize(QuoteRequest(domain.chain_id, domain.contract))])
                (message, *_) = map(parse_untrusted, await stream.receive(_ANSWER_WITHIN))
            finally:
                await stream.close()
    except (OSError, TimeoutError) as error:
        raise MarketError(
            f"no provider answers at {route} ({error or 'no answer'}); "
            "check the address, or choose another"
        ) from None
    if isinstance(message, Refusal):
        raise MarketError(f"the provider refuses: {message.reason.text}; choose another")
    if not isinstance(message, Quote):
        raise MarketError("the provider answers with no quote; choose another")
    offer = message.terms
    if node not in (None, offer.node):
        raise Refused(Reason.BAD_SIGNATURE, "a quote is by another node; check the address")
    verify_untrusted(offer_digest(domain, offer.digest), message.signature, offer.node)
    return message
