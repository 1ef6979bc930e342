"""``up`` buys: a place in a provider's tunnel is paid for, and becomes a wg-quick file.

It is bought of the first that has one; with those who follow, channels are opened for later. What
comes from strangers is read by agents, which have no rights (``deals``).

Each has an equal part of the budget, and more channels than parts are never begun: where a quote
was accepted, there is a channel, or may be, and only its provider can serve it.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fs_market import voucher_book
from fs_market import wallet as keystores
from fs_market.core.ethereum import Address
from fs_market.core.signatures import SigningKey
from fs_market.errors import MarketError
from fs_market.voucher_book import Side
from fs_net.core.records import ProviderRecord, Signed
from fs_tunnel.cli import choices, finding, money, places, standbys
from fs_tunnel.cli.choosing import Looking, choose
from fs_tunnel.cli.deals import Deal, Payer
from fs_tunnel.cli.market_files import MarketFiles, agent_user, write_private
from fs_tunnel.cli.money import Market
from fs_tunnel.cli.places import Place
from fs_tunnel.cli.providers import Provider, parse_provider, places_of
from fs_tunnel.cli.reaching import relay_endpoint
from fs_tunnel.cli.standbys import StandBy, Standbys
from fs_tunnel.cli.text import warn
from fs_tunnel.cli.wishes import parse_price
from fs_tunnel.config import check_name, load
from fs_tunnel.errors import FlowShieldError, UsageError
from fs_tunnel.linux.journal import Journal as TunnelJournal
from fs_tunnel.linux.plans import Protection
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.types import PrivateKey, PublicKey

DEFAULT_NAME = "paid"
_MOST_PLACES = 3  # of one tunnel, with those who stand by


@dataclass(frozen=True, slots=True)
class Purchase:
    """What ``market_options.buying_options`` brought."""

    providers: tuple[str, ...]
    no_failover: bool
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


def buy(name: str | None, protection: Protection, **options: Any) -> MarketFiles:
    """Return the files of a tunnel that is paid for; nothing is bought where it is up or blocks.

    ``protection`` is what the tunnel is to have wherever it moves.
    """
    looking = Looking(**{each: options.pop(each) for each in Looking.__slots__})
    purchase = Purchase(looking=looking, **options)
    name = check_name(name or DEFAULT_NAME)
    files = MarketFiles(name)
    if TunnelJournal(name).is_open:
        if files.read_start() is None or not files.conf.exists():
            raise UsageError(f"{name} is up, and not bought; choose another name")
        found = standbys.read(files.standbys)
    elif not purchase.max_price or not purchase.budget:
        raise UsageError("say what it may cost, with --max-price and --budget")
    elif purchase.providers and looking.is_particular:
        raise UsageError("--provider names one already; leave it out, or the other wishes")
    else:
        found = asyncio.run(_Purchasing(files, purchase).run())
    if found is not None:
        standbys.write(files.standbys, found.protected(protection))
    return files


class _Purchasing:
    """Finds a place with one provider, and channels with those who stand by."""

    def __init__(self, files: MarketFiles, purchase: Purchase) -> None:
        self._files, self._purchase = files, purchase
        self._records: list[Signed[ProviderRecord]] = []  # of all that suit

    async def run(self) -> Standbys:
        purchase, files = self._purchase, self._files
        user = agent_user(purchase.market_user)
        files.prepare(user)
        private = self._private_key()
        wallet = purchase.wallet_file or money.default_wallet()
        async with money.opened(purchase.settings_file, purchase.rpc, wallet) as market:
            assert purchase.max_price is not None
            assert purchase.budget is not None
            token = market.token
            price = parse_price(purchase.max_price, token)
            payer = Payer(wallet, purchase.password_file, price, purchase.lifetime, purchase.yes)
            budget = token.parse(purchase.budget).units
            providers = await self._providers(market, payer)
            most = 1 if purchase.no_failover else _MOST_PLACES
            # Whom only full nodes pass us on to can be the first, and nobody who stands by.
            ready = {each.name for each in providers if not each.peer}
            most = max(1, min(most, len(ready) + any(each.peer for each in providers)))
            start = {
                "uid": user.pw_uid,
                "gid": user.pw_gid,
                "books": str(files.books),
                "token": {
                    "symbol": token.symbol,
                    "decimals": token.decimals,
                    "address": str(token.address),
                },
                "chain_id": market.settings.chain_id,
                "channels": str(market.settings.channels),
                "genesis": market.chain.genesis.hex(),
                "payer": str(payer.account),
                "wireguard_key": PublicKey(public_key(private.raw)).to_base64(),
                "budget": str(budget // most),
                "network": finding.network_of(market.settings).hex(),
                "relays": self._relays(),
            }
            accounts = await market.journal.do(
                lambda db: voucher_book.open_accounts(db, Side.PAYER)
            )
            known = {each.terms.session_key for each in accounts}
            deals: list[Deal] = []
            for provider in providers:
                try:
                    deals.append(self._deal(provider, start, payer, market, known))
                except MarketError as error:
                    if len(providers) == 1:
                        raise
                    warn(f"{provider.place}: {error}")
            chosen, place = await _first_place(deals, most, self._note)
            waiting, names = [], {chosen.provider.name}
            for deal in deals[deals.index(chosen) + 1 :]:
                if deal.provider.peer or deal.provider.name in names:
                    continue
                if not _has_part(deal, deals, len(names), most):
                    continue
                if found := await _stand_by(deal):
                    waiting.append(found)
                    names.add(deal.provider.name)
        places.take(files, private, place, chosen.start)
        return Standbys(chosen.provider.place, waiting=tuple(waiting))

    async def _providers(self, market: Market, payer: Payer) -> list[Provider]:
        """Where to negotiate, the best first."""
        purchase, begun = self._purchase, choices.read(self._files)
        if begun.chosen is not None:
            chosen = begun.records[begun.chosen]
            click.echo(
                f"going on with {Address(chosen.content.provider)}, where a channel was begun"
            )
            self._records = [chosen, *begun.runners_up]
            return [place for record in self._records for place in places_of(record)]
        found: list[Provider] = []
        for each in dict.fromkeys(purchase.providers or (None,)):
            if each is not None and not each.startswith("0x"):
                found.append(parse_provider(each))
                continue
            wanted = Address.parse(each) if each is not None else None
            records = await choose(
                *(market, purchase.looking, payer.max_price, wanted),
                *(purchase.settings_file, purchase.market_user),
            )
            self._records += records
            found += [place for record in records for place in places_of(record)]
        if self._records:
            choices.write(self._files, self._records)
        return found

    def _relays(self) -> list[str]:
        """Full nodes that may pass us on to a provider, and say where our tunnel is seen."""
        looking, settings_file = self._purchase.looking, self._purchase.settings_file
        known = looking.full_nodes or finding.known_full_nodes(settings_file)
        return [each for each in known if relay_endpoint(each) is not None]

    def _note(self, provider: Provider) -> None:
        """With this one, and no other, a channel is about to be opened."""
        if provider.record is not None:
            choices.write(self._files, self._records, provider.record)

    def _deal(
        self,
        provider: Provider,
        start: dict[str, Any],
        payer: Payer,
        market: Market,
        known: Collection[Address],
    ) -> Deal:
        """With a key for this session alone; that of one that was cut short is used again."""
        file = self._files.session_key_of(provider.name)
        if not file.exists():
            keystores.write_once(file, secrets.token_hex(32).encode() + b"\n")
        key = SigningKey(keystores.parse_secret(money.read_secret(file)))
        start = {**start, "session_key_file": str(file)}
        is_committed = key.address in known
        return Deal(provider, start, key.address, payer, market, is_committed=is_committed)

    def _private_key(self) -> PrivateKey:
        """For this tunnel alone, wherever it moves; that of one that was cut short again."""
        conf = self._files.conf
        if not conf.exists():
            key = PrivateKey(secrets.token_bytes(32))
            write_private(conf, f"[Interface]\nPrivateKey = {key.to_base64()}\n".encode())
        return load(conf).interface.private_key


async def _first_place(
    deals: Sequence[Deal], most: int, note: Callable[[Provider], None]
) -> tuple[Deal, Place]:
    """Of the first that has one; MarketError where none does, or the budget lies in channels."""
    for each in deals:
        try:
            return each, await each.buy_place(note)
        except MarketError as error:
            following = next(iter(deals[deals.index(each) + 1 :]), None)
            if following is None or not _has_part(following, deals, 0, most):
                raise
            warn(f"{each.provider.place}: {error}")
    raise MarketError("none of those that suit says where it negotiates; widen the wishes")


def _has_part(deal: Deal, deals: Sequence[Deal], taken: int, most: int) -> bool:
    """Whether a part of the budget is there for this one: its own from before, or a free one."""
    committed = {each.provider.name for each in deals if each.is_committed}
    return taken < most and (deal.provider.name in committed or len(committed) < most)


async def _stand_by(deal: Deal) -> StandBy | None:
    """One that stands by from here on; None, with a warning, where it does not."""
    try:
        return await deal.reserve()
    except (FlowShieldError, click.Abort) as error:
        warn(f"{deal.provider.place} does not stand by: {error or 'it is not wanted'}")
        return None
