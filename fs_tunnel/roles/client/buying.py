"""``up`` buys: a place in a provider's tunnel is paid for, and becomes a wg-quick file.

It is bought of the first that has one; with those who follow, channels are opened for later. What
comes from strangers is read by agents, which have no rights (``deals``).

Each has an equal part of the budget, and more channels than parts are never begun: where a quote
was accepted, there is a channel, or may be, and only its provider can serve it.

Whether a provider behind a NAT can be reached shows when its tunnel is there, and its channel open.
Where it cannot, that part of the budget stays with it, and the place is bought of the next.
"""

import asyncio
import pwd
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fs_market.core.money.prices import Price
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError
from fs_market.money import voucher_book
from fs_market.money import wallet as keystores
from fs_market.money.voucher_book import Side
from fs_net.core.records import ProviderRecord, Signed
from fs_tunnel.config import check_name, load
from fs_tunnel.console import questions
from fs_tunnel.console.text import say, warn
from fs_tunnel.linux.journal.journal import Journal as TunnelJournal
from fs_tunnel.linux.journal.plans import Protection
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.roles import open_market
from fs_tunnel.roles.client import choices, finding, places, standbys
from fs_tunnel.roles.client.choosing import Looking, choose
from fs_tunnel.roles.client.deals import Deal, Payer
from fs_tunnel.roles.client.places import Place
from fs_tunnel.roles.client.providers import Provider, parse_provider, places_of
from fs_tunnel.roles.client.reaching import Unreachable, reach_of, relay_endpoint
from fs_tunnel.roles.client.standbys import StandBy, Standbys
from fs_tunnel.roles.client.wishes import parse_price
from fs_tunnel.roles.market_files import MarketFiles, agent_user, write_private
from fs_tunnel.roles.open_market import Market
from fs_wire.errors import FlowShieldError, UsageError
from fs_wire.types import PrivateKey, PublicKey

DEFAULT_NAME = "paid"
_MOST_PLACES = 3  # of one tunnel, with those who stand by
_COMES_BACK = "comes back by fs-tunnel market settle, once no tunnel is in use"


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the options of ``market_options`` brought."""

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

    @classmethod
    def of(cls, **options: Any) -> Self:
        """Of all that was given, what belongs to the search apart."""
        looking = Looking(**{each: options.pop(each) for each in Looking.__slots__})
        return cls(looking=looking, **options)

    def check_wishes(self) -> None:
        """UsageError where a provider is named, and looked for."""
        if self.providers and self.looking.is_particular:
            raise UsageError("--provider names one already; leave it out, or the other wishes")


class Buying:
    """Buys of one provider after the other, until the tunnel of one can be reached."""

    def __init__(self, name: str | None, protection: Protection, **options: Any) -> None:
        """``protection`` is what the tunnel is to have wherever it moves."""
        self._purchase = Purchase.of(**options)
        self._name, self._protection = check_name(name or DEFAULT_NAME), protection
        self._files = MarketFiles(self._name)
        self._payer: Payer | None = None
        self._providers: list[Provider] = []  # where to negotiate, the best first
        self._records: list[Signed[ProviderRecord]] = []  # of all that suit
        self._failed: list[Provider] = []  # who is not asked again
        self._passed_over: list[Signed[ProviderRecord]] = []  # bought of, and out of reach
        self._chosen: Deal | None = None
        self._others: list[Deal] = []  # of whom it can be bought instead, the best first

    def buy(self) -> MarketFiles:
        """Return the files of a tunnel that is paid for; one that is up or blocks is left alone.

        MarketError where nobody has a place.
        """
        purchase, files = self._purchase, self._files
        if TunnelJournal(self._name).is_open:
            if files.read_start() is None or not files.conf.exists():
                raise UsageError(f"{self._name} is up, and not bought; choose another name")
            found = standbys.read(files.standbys)
        elif not purchase.max_price or not purchase.budget:
            raise UsageError("say what it may cost, with --max-price and --budget")
        else:
            purchase.check_wishes()
            found = asyncio.run(self._run())
        if found is not None:
            standbys.write(files.standbys, found.protected(self._protection))
        return files

    def reach(self) -> Callable[[bool], None] | None:
        """What reaches the provider of the tunnel that was bought; see ``reaching.reach_of``.

        Who is out of reach is passed over before Unreachable is raised.
        """
        reach = reach_of(self._files)
        if reach is None:
            self._lock()
            return None

        def reach_or_pass_over(was_there: bool) -> None:
            try:
                reach(was_there)
            except Unreachable as error:
                self._pass_over(error)
                raise
            self._lock()

        return reach_or_pass_over

    def go_on(self, error: Unreachable) -> None:
        """Say why the one before was passed over; MarketError where nobody is left to buy of."""
        if not self._others or self._chosen is None:
            if len(self._passed_over) < 2:
                raise error
            raise MarketError(
                f"{error.why}. {len(self._passed_over)} were bought of, and none is reached: what "
                f"lies in their channels {_COMES_BACK}"
            )
        heard = "its session is over" if error.is_over else "it did not hear that we leave"
        warn(
            f"{self._chosen.provider.place} is passed over: {error.why}; {heard}, and what lies in "
            f"its channel {_COMES_BACK}"
        )

    def _lock(self) -> None:
        """With ``-f`` this process lasts as long as the tunnel."""
        if self._payer is not None:
            self._payer.lock()

    def _pass_over(self, error: Unreachable) -> None:
        """Write it down before anything else happens: its channel has a part of the budget."""
        assert self._chosen is not None
        record = self._chosen.provider.record
        assert record is not None  # a peer is known by its record alone
        self._passed_over.append(record)
        if self._others:
            begun = next((each.provider.record for each in self._others if each.is_committed), None)
            choices.write(self._files, self._records, begun, self._passed_over)
            for each in (self._files.start, self._files.standbys):
                each.unlink(missing_ok=True)
        elif error.is_over:
            self._files.forget_keys()

    async def _run(self) -> Standbys:
        purchase, files = self._purchase, self._files
        user = agent_user(purchase.market_user)
        files.prepare(user)
        private = private_key(files)
        wallet = purchase.wallet_file or open_market.default_wallet()
        async with open_market.opened(purchase.settings_file, purchase.rpc, wallet) as market:
            assert purchase.max_price is not None
            assert purchase.budget is not None
            token = market.token
            price = parse_price(purchase.max_price, token)
            payer = self._payer = self._payer or Payer(
                wallet, purchase.password_file, price, purchase.lifetime, purchase.yes
            )
            budget = token.parse(purchase.budget).units
            if not self._providers:
                self._providers = await self._find(market, payer)
            most = 1 if purchase.no_failover else _parts(self._providers)
            deals = await self._deals(market, payer, user, private, budget // most)
            parts = most - len(self._passed_over)
            chosen, place = await self._first_place(deals, parts)
            waiting, names = [], {chosen.provider.name}
            for deal in deals[deals.index(chosen) + 1 :]:
                if deal.provider.peer or deal.provider.name in names:
                    continue
                if not _has_part(deal, deals, len(names), parts):
                    continue
                if found := await _stand_by(deal):
                    waiting.append(found)
                    names.add(deal.provider.name)
        self._chosen = chosen
        self._others = [
            each
            for each in self._unasked(deals)
            if each.provider.name != chosen.provider.name and _has_part(each, deals, 0, parts)
        ]
        places.take(files, private, place, chosen.start)
        return Standbys(chosen.provider.place, waiting=tuple(waiting))

    async def _deals(
        self,
        market: Market,
        payer: Payer,
        user: pwd.struct_passwd,
        private: PrivateKey,
        part: int,
    ) -> list[Deal]:
        """One with each who is not passed over, for so many base units, the best first."""
        start = {
            **start_of(self._files, user, market, payer.account),
            "wireguard_key": PublicKey(public_key(private.raw)).to_base64(),
            "budget": str(part),
            "network": finding.network_of(market.settings).hex(),
            "relays": self._relays(),
        }
        known = await _known_keys(market)
        passed_over = {str(Address(each.content.provider)) for each in self._passed_over}
        deals: list[Deal] = []
        for provider in self._providers:
            if provider.name in passed_over:
                continue
            try:
                deals.append(self._deal(provider, start, payer, market, known))
            except MarketError as error:
                if len(self._providers) == 1:
                    raise
                warn(f"{provider.place}: {error}")
        return deals

    async def _first_place(self, deals: Sequence[Deal], parts: int) -> tuple[Deal, Place]:
        """Of the first that has one; MarketError where none does, or no part is left for it."""
        last: tuple[Deal, MarketError] | None = None
        for each in self._unasked(deals):
            if not _has_part(each, deals, 0, parts):
                continue
            if last is not None:
                _warn_of(*last)
            try:
                return each, await each.buy_place(self._note)
            except MarketError as error:
                self._failed.append(each.provider)
                last = each, error
        is_committed = any(each.is_committed for each in deals)
        if self._passed_over and not is_committed:
            self._files.forget_keys()
        rest = f"what lies in channels {_COMES_BACK}"
        if last is None:
            raise MarketError(f"none of those that suit is left to buy of; {rest}")
        deal, why = last
        asked = len(self._failed) + len(self._passed_over)
        if asked == 1:
            raise why
        raise MarketError(
            f"none of {asked} has a place; the last, {deal.provider.place}: {why}"
            + (f". Also, {rest}" if is_committed or self._passed_over else "")
        )

    def _unasked(self, deals: Sequence[Deal]) -> list[Deal]:
        return [each for each in deals if each.provider not in self._failed]

    async def _find(self, market: Market, payer: Payer) -> list[Provider]:
        """Where to negotiate, the best first."""
        purchase, begun = self._purchase, choices.read(self._files)
        self._passed_over = list(begun.passed_over)
        if begun.chosen is not None:
            self._records = list(begun.in_order)
            chosen = Address(self._records[0].content.provider)
            say(f"going on with {chosen}, where a channel was begun")
            return [place for record in self._records for place in places_of(record)]
        found, self._records = await find_providers(market, purchase, payer.max_price)
        if self._records:
            choices.write(self._files, self._records, passed_over=self._passed_over)
        return found

    def _relays(self) -> list[str]:
        """Full nodes that may pass us on to a provider, and say where our tunnel is seen."""
        looking, settings_file = self._purchase.looking, self._purchase.settings_file
        known = looking.full_nodes or finding.known_full_nodes(settings_file)
        return [each for each in known if relay_endpoint(each) is not None]

    def _note(self, provider: Provider) -> None:
        """With this one, and no other, a channel is about to be opened."""
        if provider.record is not None:
            choices.write(self._files, self._records, provider.record, self._passed_over)

    def _deal(
        self,
        provider: Provider,
        start: dict[str, Any],
        payer: Payer,
        market: Market,
        known: Collection[Address],
    ) -> Deal:
        key, named = session_key(self._files, provider)
        is_committed = key in known
        return Deal(provider, {**start, **named}, key, payer, market, is_committed=is_committed)


def start_of(
    files: MarketFiles, user: pwd.struct_passwd, market: Market, payer: Address
) -> dict[str, Any]:
    """What an agent is told of its user, its books, and where and by whom money is paid."""
    token = market.token
    return {
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
        "payer": str(payer),
    }


async def _known_keys(market: Market) -> set[Address]:
    """The session keys for which channels were opened, or nearly."""
    accounts = await market.journal.do(lambda db: voucher_book.open_accounts(db, Side.PAYER))
    return {each.terms.session_key for each in accounts}


async def find_providers(
    market: Market, purchase: Purchase, max_price: Price
) -> tuple[list[Provider], list[Signed[ProviderRecord]]]:
    """Those that are named, or else suit, the best first, and the records of those found."""
    found: list[Provider] = []
    all_records: list[Signed[ProviderRecord]] = []
    for each in dict.fromkeys(purchase.providers or (None,)):
        if each is not None and not each.startswith("0x"):
            found.append(parse_provider(each))
            continue
        wanted = Address.parse(each) if each is not None else None
        records = await choose(
            *(market, purchase.looking, max_price, wanted),
            *(purchase.settings_file, purchase.market_user),
        )
        all_records += records
        found += [place for record in records for place in places_of(record)]
    return found, all_records


def session_key(files: MarketFiles, provider: Provider) -> tuple[Address, dict[str, str]]:
    """A key for this session alone, and how its agent is told where it lies.

    That of a session that was cut short is used again.
    """
    file = files.session_key_of(provider.name)
    if not file.exists():
        keystores.write_once(file, secrets.token_hex(32).encode() + b"\n")
    key = SigningKey(keystores.parse_secret(questions.read_secret(file)))
    return key.address, {"session_key_file": str(file)}


def private_key(files: MarketFiles) -> PrivateKey:
    """For this tunnel alone, wherever it moves; that of one that was cut short again."""
    if not files.conf.exists():
        key = PrivateKey(secrets.token_bytes(32))
        write_private(files.conf, f"[Interface]\nPrivateKey = {key.to_base64()}\n".encode())
    return load(files.conf).interface.private_key


def _parts(providers: Sequence[Provider]) -> int:
    """Into how many parts the budget goes.

    Whom only full nodes pass us on to can be the first, and nobody who stands by.  Where it is out
    of reach, the next needs a part, also where that one is no other.
    """
    names = {each.name for each in providers}
    ready = {each.name for each in providers if not each.peer}
    parts = max(len(ready) + (len(ready) < len(names)), min(2, len(names)))
    return max(1, min(_MOST_PLACES, parts))


def _warn_of(deal: Deal, error: MarketError) -> None:
    rest = f"; what lies in its channel {_COMES_BACK}" if deal.is_committed else ""
    warn(f"{deal.provider.place} is passed over: {error}{rest}")


def _has_part(deal: Deal, deals: Sequence[Deal], taken: int, parts: int) -> bool:
    """Whether a part of the budget is there for this one: its own from before, or a free one."""
    committed = {each.provider.name for each in deals if each.is_committed}
    return taken < parts and (deal.provider.name in committed or len(committed) < parts)


async def _stand_by(deal: Deal) -> StandBy | None:
    """One that stands by from here on; None, with a warning, where it does not."""
    try:
        return await deal.reserve()
    except (FlowShieldError, questions.Declined) as error:
        warn(f"{deal.provider.place} does not stand by: {error or 'it is not wanted'}")
        return None
