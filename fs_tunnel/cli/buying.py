"""``up`` buys: a place in a provider's tunnel is paid for, and becomes a wg-quick file.

What comes from strangers is read by the agent, which has no rights; here are the wallet, and the
user, who is asked before money moves. What the agent wants signed is looked at again.

Where the network named several providers, the next is asked when one has no place, until a quote
is accepted: from then on there is a channel, or may be, and only its provider can serve it.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from fs_market import voucher_book
from fs_market import wallet as keystores
from fs_market.core.channels import Terms, channel_id, channels_domain
from fs_market.core.ethereum import Address
from fs_market.core.messages import Quote, offer_digest
from fs_market.core.prices import Price
from fs_market.core.schema import from_bytes_untrusted
from fs_market.core.signatures import SigningKey, verify_untrusted
from fs_market.core.units import format_bytes, parse_seconds
from fs_market.errors import AmountError, MarketError
from fs_market.sender import Patience, Sender
from fs_market.voucher_book import Side
from fs_net.core.records import ProviderRecord, Signed
from fs_tunnel.cli import choices, money
from fs_tunnel.cli.choosing import Looking, choose
from fs_tunnel.cli.conversation import conversation, senseless
from fs_tunnel.cli.market_files import MarketFiles, agent_user, write_private
from fs_tunnel.cli.money import Market
from fs_tunnel.cli.providers import Provider, parse_provider, places_of
from fs_tunnel.cli.text import warn
from fs_tunnel.cli.wishes import parse_price
from fs_tunnel.config import check_name, load
from fs_tunnel.errors import UsageError
from fs_tunnel.linux.journal import Journal as TunnelJournal
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.types import Endpoint, PrivateKey, PublicKey

DEFAULT_NAME = "paid"
_PATIENCE = Patience(poll=0.5)
_KEEPALIVE = 25  # seconds


@dataclass(frozen=True, slots=True)
class Purchase:
    """What ``market_options.buying_options`` brought."""

    provider: str | None
    looking: Looking
    max_price: str | None
    budget: str | None
    lifetime: str
    market_user: int
    wallet_file: Path | None
    password_file: Path | None
    settings_file: Path | None
    rpc: str | None
    yes: bool


def buy(name: str | None, **options: Any) -> MarketFiles:
    """Return the files of a tunnel that is paid for; nothing is bought where it is up or blocks."""
    looking = Looking(**{each: options.pop(each) for each in Looking.__slots__})
    purchase = Purchase(looking=looking, **options)
    name = check_name(name or DEFAULT_NAME)
    files = MarketFiles(name)
    if TunnelJournal(name).is_open:
        if files.read_start() is None or not files.conf.exists():
            raise UsageError(f"{name} is up, and not bought; choose another name")
        return files
    if not purchase.max_price or not purchase.budget:
        raise UsageError("say what it may cost, with --max-price and --budget")
    if purchase.provider and looking.is_particular:
        raise UsageError("--provider names one already; leave it out, or the other wishes")
    asyncio.run(_Purchasing(files, purchase).run())
    return files


class _Purchasing:
    def __init__(self, files: MarketFiles, purchase: Purchase) -> None:
        self._files, self._purchase = files, purchase
        self._wallet = purchase.wallet_file or money.default_wallet()
        self._account = keystores.address_of(self._wallet)
        self._records: list[Signed[ProviderRecord]] = []  # of all that suit
        self._quote: Quote | None = None
        self._deposit = 0

    async def run(self) -> None:
        user = agent_user(self._purchase.market_user)
        self._files.prepare(user)
        private, session_key = self._keys()
        purchase = self._purchase
        async with money.opened(purchase.settings_file, purchase.rpc, self._wallet) as market:
            assert purchase.max_price is not None
            assert purchase.budget is not None
            token = market.token
            self._most = parse_price(purchase.max_price, token)
            self._budget = token.parse(purchase.budget).units
            self._session_key = session_key.address
            providers = await self._providers(market)
            start = {
                "uid": user.pw_uid,
                "gid": user.pw_gid,
                "books": str(self._files.books),
                "session_key_file": str(self._files.session_key),
                "token": {
                    "symbol": token.symbol,
                    "decimals": token.decimals,
                    "address": str(token.address),
                },
                "chain_id": market.settings.chain_id,
                "channels": str(market.settings.channels),
                "genesis": market.chain.genesis.hex(),
                "payer": str(self._account),
                "wireguard_key": PublicKey(public_key(private.raw)).to_base64(),
                "budget": str(self._budget),
            }
            start, place = await self._buy_of_one(providers, start, market)
        self._write(private, place)
        self._files.write_start(
            {
                **start,
                "role": "client",
                "gateway": str(ip_address(place["gateway"])),
                "payment_port": place["payment_port"],
                "provider_key": place["wireguard_key"],
            }
        )

    async def _providers(self, market: Market) -> list[Provider]:
        """Where to negotiate, the best first."""
        purchase = self._purchase
        begun = choices.read(self._files)
        if begun.chosen is not None:
            self._records = list(begun.records)
            chosen = begun.records[begun.chosen]
            click.echo(
                f"going on with {Address(chosen.content.provider)}, where a channel was begun"
            )
            return places_of(chosen)
        if purchase.provider is not None and not purchase.provider.startswith("0x"):
            return [parse_provider(purchase.provider)]
        wanted = Address.parse(purchase.provider) if purchase.provider is not None else None
        self._records = await choose(
            *(market, purchase.looking, self._most, wanted),
            *(purchase.settings_file, purchase.market_user),
        )
        choices.write(self._files, self._records)
        return [place for record in self._records for place in places_of(record)]

    async def _buy_of_one(
        self, providers: Sequence[Provider], start: dict[str, Any], market: Market
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The place in the tunnel of the first that has one, and with what it was bought."""
        failure = MarketError("none of those that suit says where it negotiates; widen the wishes")
        for provider in providers:
            self._provider, self._quote = provider, None
            try:
                self._max_price = _at_most(self._most, provider.record)
                bought = {
                    **start,
                    "max_price": {
                        "per_gib": self._max_price.per_gib,
                        "per_hour": self._max_price.per_hour,
                    },
                    "node": str(provider.node) if provider.node else None,
                    "record": provider.record.raw.hex() if provider.record else None,
                }
                place = await self._negotiate(bought, market)
                self._check_place(place)
            except MarketError as error:
                if self._quote is not None or len(providers) == 1:
                    raise
                warn(f"{provider.host} port {provider.port}: {error}")
                failure = error
            else:
                return bought, place
        raise failure

    def _keys(self) -> tuple[PrivateKey, SigningKey]:
        """Keys for this session alone; those of one that was cut short are used again."""
        files = self._files
        if not files.session_key.exists():
            keystores.write_once(files.session_key, secrets.token_hex(32).encode() + b"\n")
        if not files.conf.exists():
            key = PrivateKey(secrets.token_bytes(32))
            write_private(files.conf, f"[Interface]\nPrivateKey = {key.to_base64()}\n".encode())
        secret = keystores.parse_secret(money.read_secret(files.session_key))
        return load(files.conf).interface.private_key, SigningKey(secret)

    async def _negotiate(self, start: dict[str, Any], market: Market) -> dict[str, Any]:
        """Hold the agent's conversation with it; the place in the tunnel."""
        where = {"host": self._provider.host, "port": self._provider.port}
        async with conversation({**start, **where, "role": "negotiate"}) as agent:
            async for said in agent.hear():
                match said:
                    case {"quote": str(quote)}:
                        accepted = await self._consider(bytes.fromhex(quote), market)
                        agent.say({"accept": accepted})
                    case {"open": {"terms": str(terms), "deposit": str(deposit)}}:
                        await self._open(bytes.fromhex(terms), int(deposit), market)
                        agent.say({"opened": True})
                    case {"configured": dict(place)}:
                        return place
                    case _:
                        raise senseless()
        raise MarketError("the agent ended while it negotiated; see the system's log")

    async def _consider(self, raw: bytes, market: Market) -> dict[str, Any] | None:
        """Show what it costs, and have it wanted."""
        quote = from_bytes_untrusted(Quote, raw)
        offer, token, settings = quote.terms, market.token, market.settings
        self._deposit = deposit = self._budget
        if not offer.price.is_within(self._max_price) or offer.min_deposit > deposit:
            raise MarketError("the agent took a quote beyond the limits; update this program")
        if self._provider.node not in (None, offer.node):
            raise MarketError("the agent took another node's quote; update this program")
        domain = channels_domain(settings.chain_id, settings.channels)
        verify_untrusted(offer_digest(domain, offer.digest), quote.signature, offer.node)
        click.echo(
            f"provider {offer.node}: {offer.price.format(token)}, paid to {offer.payee}\n"
            f"at risk at first: {format_bytes(offer.increment_bytes)} or "
            f"{offer.increment_seconds} s"
        )
        ready = await market.channels.balance_of(self._account)
        if ready < deposit:
            raise UsageError(
                f"{token.format(ready)} lies ready for channels, and {token.format(deposit)} is "
                f"wanted; fs-tunnel wallet deposit {token.format(deposit - ready)}"
            )
        money.ask(
            f"Open a channel with {token.format(deposit)} of {self._account}? "
            "What is not used comes back.",
            is_given=self._purchase.yes,
        )
        self._quote = quote
        if self._provider.record is not None:
            choices.write(self._files, self._records, self._provider.record)
        lasting = parse_seconds(self._purchase.lifetime)
        return {
            "deposit": str(deposit),
            "expires_at": int(time.time()) + max(lasting, offer.close_window + 1800),
            "salt": secrets.token_hex(32),
        }

    async def _open(self, raw: bytes, deposit: int, market: Market) -> None:
        """Have the channel opened, if it is what was agreed upon; once, whatever happened."""
        terms = from_bytes_untrusted(Terms, raw)
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
        password = money.read_password(self._purchase.password_file)
        key = await keystores.unlock(self._wallet, password)
        sender = Sender(market.chain, market.journal, key, settings.fees, _PATIENCE)
        receipt = await sender.carry_out(
            f"open:{channel.hex()}", market.channels.open(terms, deposit)
        )
        fee = money.coin_text(receipt.gas_used * receipt.gas_price)
        click.echo(
            f"channel 0x{channel.hex()} is open, with {market.token.format(deposit)}\n"
            f"gas: {receipt.gas_used}, for {fee} of the chain's coin"
        )

    def _check(self, terms: Terms, deposit: int) -> None:
        quote = self._quote
        if (
            quote is None
            or deposit != self._deposit
            or (terms.payer, terms.session_key) != (self._account, self._session_key)
            or (terms.payee, terms.order) != (quote.terms.payee, quote.terms.digest)
        ):
            raise MarketError("the agent wants another channel than was agreed; it was not opened")

    def _check_place(self, place: dict[str, Any]) -> None:
        """It is the tunnel that the provider's record names."""
        record = self._provider.record
        if record and place["wireguard_key"] != record.content.wireguard_key.to_base64():
            raise MarketError("the provider gives a place in another tunnel than its record names")

    def _write(self, private: PrivateKey, place: dict[str, Any]) -> None:
        """The wg-quick file; all that comes from the provider is parsed on its way into it."""
        addresses = [ip_address(each) for each in place["addresses"]]
        dns = [str(ip_address(each)) for each in place["dns"]]
        endpoint = Endpoint.parse(place["endpoint"])
        outside = ip_address(endpoint.ip)
        if not addresses or outside.is_loopback or outside.is_multicast or outside.is_unspecified:
            raise MarketError("the provider gives no place in its tunnel; choose another")
        lines = [
            "[Interface]",
            f"PrivateKey = {private.to_base64()}",
            f"Address = {', '.join(f'{each}/{each.max_prefixlen}' for each in addresses)}",
            *([f"DNS = {', '.join(dns)}"] if dns else []),
            "[Peer]",
            f"PublicKey = {PublicKey.from_base64(place['wireguard_key']).to_base64()}",
            f"Endpoint = {endpoint}",
            "AllowedIPs = 0.0.0.0/0, ::/0",
            f"PersistentKeepalive = {_KEEPALIVE}",
        ]
        write_private(self._files.conf, "\n".join(lines).encode() + b"\n")


def _at_most(limit: Price, record: Signed[ProviderRecord] | None) -> Price:
    """No more than the user allows, and than the provider says that it asks; MarketError for 0."""
    if record is None:
        return limit
    said = record.content
    try:
        return Price(
            min(limit.per_gib, said.price_per_gib), min(limit.per_hour, said.price_per_hour)
        )
    except AmountError:
        raise MarketError("it asks for nothing, and cannot be paid; choose another") from None
