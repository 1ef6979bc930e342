# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Buys from one provider.

The agent speaks to the provider. The wallet is here, and so is the user. So this module checks what
the agent asks for, shows it, and asks the user before money moves.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fs_market.chain.sender import Patience, Sender
from fs_market.core.money.prices import Price
from fs_market.core.money.units import format_bytes, parse_seconds
from fs_market.core.wire.channels import Terms, channel_id, channels_domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import Quote, QuoteTerms, offer_digest
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.core.wire.signatures import verify_untrusted
from fs_market.errors import AmountError, MarketError
from fs_market.money import voucher_book
from fs_market.money import wallet as keystores
from fs_market.money.voucher_book import Side
from fs_market.money.wallet import Wallet
from fs_net.core.records import ProviderRecord, Signed
from fs_tunnel.console import amounts, questions
from fs_tunnel.console.text import say
from fs_tunnel.linux.firewall.permitted_endpoint import check_host
from fs_tunnel.roles.client.places import Place, parse_place_untrusted
from fs_tunnel.roles.client.providers import Provider
from fs_tunnel.roles.client.standbys import StandBy
from fs_tunnel.roles.conversation import conversation, senseless
from fs_tunnel.roles.market_files import MarketFiles
from fs_tunnel.roles.open_market import Market
from fs_tunnel.roles.starts import Dealing, NegotiateStart, OrderStart, PrepayStart, Purse, User
from fs_wire.errors import UsageError
from fs_wire.types import PublicKey

_PATIENCE = Patience(poll=0.5)


@dataclass(eq=False, slots=True)
class Payer:
    """Who pays, and within which limits. The wallet is unlocked once, and only if money moves."""

    wallet: Path
    password_file: Path | None
    max_price: Price
    lifetime: str
    is_agreed: bool
    _key: Wallet | None = field(default=None, repr=False)

    @property
    def account(self) -> Address:
        return keystores.address_of(self.wallet)

    async def unlock(self) -> Wallet:
        """Ask for the password; WrongPassword if it is another one."""
        if self._key is None:
            password = questions.read_password(self.password_file)
            self._key = await keystores.unlock(self.wallet, password)
        return self._key

    def lock(self) -> None:
        """Forget the unlocked wallet, once no more money is to move."""
        self._key = None


class Deal:
    """A deal with one provider. It checks again what the provider's agent asks for, and does it."""

    def __init__(
        self,
        provider: Provider,
        dealing: Dealing,
        session_key: Address,
        payer: Payer,
        market: Market,
        *,
        is_committed: bool,
    ) -> None:
        """``is_committed``: a channel with this session key was opened, or may have been."""
        self.provider, self.dealing = provider, dealing
        self._session_key, self._payer, self._market = session_key, payer, market
        self._quote: Quote | None = None
        self._deposit = dealing.purse.budget
        self._note: Callable[[Provider], None] = lambda _provider: None
        self.is_committed = is_committed

    async def buy_place(self, note: Callable[[Provider], None]) -> tuple[Place, Dealing]:
        """The place, and the dealing by which to pay for it; MarketError if there is none.

        ``note`` is called before money moves.
        """
        self._note = note
        told = await self._negotiate("configured", self._start(only_reserves=False))
        dealing = self.dealing
        if self.provider.peer:
            dealing = replace(dealing, relay=_relay_untrusted(told, dealing.relays))
        return parse_place_untrusted(told, dealing.tunnel_key), dealing

    async def reserve(self) -> StandBy:
        """Open a channel with the provider, for later; MarketError if that fails."""
        address = await self._negotiate("reserved", self._start(only_reserves=True))
        if not isinstance(address, str):
            raise senseless()
        check_host(address, self.provider.port)
        start = OrderStart(dealing=self.dealing)
        return StandBy(self.provider.place, address, self.provider.port, start)

    def _start(self, *, only_reserves: bool) -> NegotiateStart:
        return NegotiateStart(
            dealing=self.dealing,
            host=self.provider.host,
            port=self.provider.port,
            only_reserves=only_reserves,
        )

    async def _negotiate(self, end: str, start: NegotiateStart | PrepayStart) -> Any:
        """Have an agent negotiate, and return what it says under the name ``end``."""
        async with conversation(start) as agent:
            async for said in agent.hear():
                match said:
                    case {"quote": str(quote)}:
                        agent.say({"accept": await self._consider(bytes.fromhex(quote))})
                    case {"open": {"terms": str(terms), "deposit": str(deposit)}}:
                        await self._open(bytes.fromhex(terms), int(deposit))
                        agent.say({"opened": True})
                    case {**told} if end in told:
                        return told[end]
                    case _:
                        raise senseless()
        raise MarketError("the agent ended while it negotiated; see the system's log")

    async def _consider(self, raw: bytes) -> dict[str, Any] | None:
        """Show what the place costs, and ask whether the user wants it."""
        quote = from_bytes_untrusted(Quote, raw)
        offer, market, deposit = quote.terms, self._market, self._deposit
        token, payer = market.token, self._payer
        if not Price.of(offer).is_within(self.dealing.max_price) or offer.min_deposit > deposit:
            raise MarketError("the agent took a quote beyond the limits; update this program")
        if self.provider.node not in (None, offer.node):
            raise MarketError("the agent took another provider's quote; update this program")
        domain = channels_domain(market.settings.chain_id, market.settings.channels)
        verify_untrusted(offer_digest(domain, offer.digest), quote.signature, offer.node)
        expires_at = int(time.time()) + max(
            parse_seconds(payer.lifetime), offer.close_window + 1800
        )
        say(
            f"provider {offer.node}: {Price.of(offer).format(token)}, paid to {offer.payee}\n"
            + self._risk(offer, expires_at)
        )
        ready = await market.channels.balance_of(payer.account)
        if ready < deposit:
            raise UsageError(
                f"a channel needs {token.format(deposit)}, and {token.format(ready)} is deposited; "
                f"run fs-tunnel wallet deposit {token.format(deposit - ready)}"
            )
        questions.ask(
            self._question(f"{token.format(deposit)} of {payer.account}"),
            is_given=payer.is_agreed,
        )
        self._quote, self.is_committed = quote, True
        self._note(self.provider)
        return {
            "deposit": str(deposit),
            "expires_at": expires_at,
            "salt": secrets.token_hex(32),
        }

    def _risk(self, offer: QuoteTerms, expires_at: int) -> str:
        """What the user may lose; shown before the question. ``expires_at`` is a Unix time."""
        return (
            f"at risk at first: {format_bytes(offer.increment_bytes)} or "
            f"{offer.increment_seconds} s"
        )

    def _question(self, amount: str) -> str:
        return f"Open a channel with {amount}? You get back what you do not use."

    async def _open(self, raw: bytes, deposit: int) -> None:
        """Open the channel that the user agreed to. Repeated calls open it once."""
        self.is_committed = True
        terms, market = from_bytes_untrusted(Terms, raw), self._market
        settings = market.settings
        channel = channel_id(channels_domain(settings.chain_id, settings.channels), terms)
        known = await market.journal.do(lambda db: voucher_book.account(db, channel))
        if known is None:
            self._check(terms, deposit)
            await market.journal.do(
                lambda db: voucher_book.add_channel(db, channel, Side.PAYER, terms)
            )
        if await market.channels.status(channel) is not None:
            return
        key = await self._payer.unlock()
        sender = Sender(market.chain, market.journal, key, settings.fees, _PATIENCE)
        receipt = await sender.carry_out(
            f"open:{channel.hex()}", market.channels.open(terms, deposit)
        )
        fee = amounts.coin_text(receipt.gas_used * receipt.gas_price)
        say(
            f"channel 0x{channel.hex()} is open, with {market.token.format(deposit)}\n"
            f"gas: {receipt.gas_used}, for {fee} of the chain's coin"
        )

    def _check(self, terms: Terms, deposit: int) -> None:
        quote = self._quote
        if (
            quote is None
            or deposit != self._deposit
            or (terms.payer, terms.session_key) != (self._payer.account, self._session_key)
            or (terms.payee, terms.order) != (quote.terms.payee, quote.terms.digest)
        ):
            raise MarketError(
                "the agent wants another channel than you agreed to; it was not opened; "
                "update this program"
            )


def purse_of(
    files: MarketFiles, market: Market, payer: Address, tunnel_key: PublicKey, budget: int
) -> Purse:
    """What a tunnel's agents pay from; ``budget`` is for one provider, in base units."""
    return Purse(
        books=files.books,
        token=market.token,
        chain_id=market.settings.chain_id,
        channels=market.settings.channels,
        genesis=market.chain.genesis,
        payer=payer,
        wireguard_key=tunnel_key,
        budget=budget,
    )


def dealing_with(
    provider: Provider,
    session_key_file: Path,
    user: User,
    purse: Purse,
    limit: Price,
    *,
    network: bytes = b"",
    relays: tuple[str, ...] = (),
) -> Dealing:
    """What agents are told of the dealing with a provider; MarketError if it cannot be paid.

    ``limit`` is the highest price that the user allows.
    """
    record = provider.record
    return Dealing(
        user=user,
        purse=purse,
        session_key_file=session_key_file,
        max_price=_at_most(limit, record),
        node=provider.node,
        record=record.raw if record else None,
        tunnel_key=record.content.wireguard_key if record else None,
        peer=provider.peer,
        network=network,
        relays=relays,
    )


def _relay_untrusted(told: object, relays: tuple[str, ...]) -> str:
    """The full node that led to the provider."""
    match told:
        case {"relay": str(relay)} if relay in relays:
            return relay
    raise senseless()


def _at_most(limit: Price, record: Signed[ProviderRecord] | None) -> Price:
    """The lower of the user's limit and the provider's price; MarketError if that is 0."""
    if record is None:
        return limit
    said = record.content
    try:
        return Price(
            min(limit.per_gib, said.price_per_gib), min(limit.per_hour, said.price_per_hour)
        )
    except AmountError:
        raise MarketError(
            "the provider asks for nothing, so that it cannot be paid; choose another"
        ) from None
