# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``market prepay`` buys a place for a plain WireGuard app, which can neither count nor sign.

One voucher pays for the place at once, and the place becomes a wg-quick file. Before money moves,
the start of the agent goes into the file ``NAME.json`` in ``prepaid``. A later command with that
name gets the same place and pays nothing more, until the provider says that it is over.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fs_market.core.money.prices import Price
from fs_market.core.money.units import HOUR, format_bytes, format_seconds
from fs_market.core.session.offers import STOP_BEFORE_EXPIRY
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import QuoteTerms
from fs_market.errors import MarketError
from fs_net.core.records import ProviderRecord, parse_untrusted
from fs_tunnel.config import check_name
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.console.text import say, warn
from fs_tunnel.linux.journal.state import state_directory
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.roles import open_market
from fs_tunnel.roles.client import keys
from fs_tunnel.roles.client.choosing import find_providers
from fs_tunnel.roles.client.deals import Deal, Payer, dealing_with, purse_of
from fs_tunnel.roles.client.places import Place, conf_lines, parse_place_untrusted
from fs_tunnel.roles.client.providers import Provider
from fs_tunnel.roles.client.purchase import Purchase
from fs_tunnel.roles.client.wishes import parse_price
from fs_tunnel.roles.conversation import senseless
from fs_tunnel.roles.market_files import MarketFiles, agent_user, unreadable
from fs_tunnel.roles.open_market import Market
from fs_tunnel.roles.starts import PrepayStart, Purse, User
from fs_wire.errors import UsageError
from fs_wire.failure import printable
from fs_wire.types import PublicKey


@dataclass(frozen=True, slots=True)
class Prepaid:
    """A prepaid place: the file that leads to it, and what ``--json`` says about it."""

    conf: str
    said: dict[str, Any]


def prepay(output: Path, theirs: PublicKey | None, purchase: Purchase) -> Prepaid:
    """Buy a place with the name of ``output``, or find the place that was bought by that name.

    ``theirs`` is the public key of an app that keeps its private key; None has both keys made here.
    """
    wallet = purchase.wallet_file or open_market.default_wallet()
    # An unprivileged agent must reach its books, and cannot enter root's home.
    parent = state_directory() if os.geteuid() == 0 else wallet.parent
    files = MarketFiles(check_name(output.stem), parent / "prepaid")
    begun = _read_begun(files)
    if begun is None and output.exists():
        raise UsageError(f"{output} exists already; name another file, or remove it")
    if begun is None and not (purchase.max_price and purchase.budget):
        raise UsageError("say the highest price, with --max-price, and what to pay, with --budget")
    purchase.check_wishes()
    return asyncio.run(_Prepaying(files, purchase, wallet, theirs).run(begun))


class _Prepaying:
    def __init__(
        self, files: MarketFiles, purchase: Purchase, wallet: Path, theirs: PublicKey | None
    ) -> None:
        self._files, self._purchase, self._wallet, self._theirs = files, purchase, wallet, theirs
        self._name = files.conf.stem

    async def run(self, begun: PrepayStart | None) -> Prepaid:
        """``begun`` is the start of the agent when money was about to move."""
        purchase, files = self._purchase, self._files
        user = agent_user(purchase.market_user)
        files.prepare(user)
        private = None if self._theirs else keys.private_key(files)
        key = PublicKey(public_key(private.raw)) if private else self._theirs
        assert key is not None
        if begun is not None and begun.dealing.purse.wireguard_key != key:
            raise UsageError(
                f"{self._name} was prepaid for another WireGuard key; name another --output"
            )
        async with open_market.opened(purchase.settings_file, purchase.rpc, self._wallet) as market:
            payer = Payer(
                *(self._wallet, purchase.password_file, self._max_price(market, begun)),
                *(purchase.lifetime, purchase.yes),
            )
            if begun is None:
                assert purchase.budget is not None
                budget = market.token.parse(purchase.budget).units
                purse = purse_of(files, market, payer.account, key, budget)
                providers = await self._providers(market, payer.max_price)
            else:
                say(
                    f"going on with the purchase of {self._name}; "
                    "name another --output to buy another place"
                )
                purse, providers = begun.dealing.purse, [_provider_of(begun)]
            agent = User(user.pw_uid, user.pw_gid)
            place, told = await self._first(
                [self._deal(each, agent, purse, payer, market) for each in providers]
            )
            conf = "\n".join(conf_lines(private, place, f"MTU = {place.mtu}")) + "\n"
            return Prepaid(conf, _described(place, told, market))

    def _max_price(self, market: Market, begun: PrepayStart | None) -> Price:
        if begun is not None:
            return begun.dealing.max_price
        assert self._purchase.max_price is not None
        return parse_price(self._purchase.max_price, market.token)

    async def _providers(self, market: Market, max_price: Price) -> list[Provider]:
        found, _ = await find_providers(market, self._purchase, max_price)
        # Both sides must call each other through NATs, and an app calls nobody.
        reachable = [each for each in found if not each.peer]
        if not reachable:
            raise MarketError(
                "all providers that suit are behind a NAT, where no WireGuard app can reach them; "
                "choose another"
            )
        return reachable

    def _deal(
        self, provider: Provider, user: User, purse: Purse, payer: Payer, market: Market
    ) -> "_PrepaidDeal":
        key, file = keys.session_key(self._files, provider)
        dealing = dealing_with(provider, file, user, purse, payer.max_price)
        return _PrepaidDeal(provider, dealing, key, payer, market, is_committed=False)

    async def _first(self, deals: list["_PrepaidDeal"]) -> tuple[Place, dict[str, Any]]:
        """The place of the first provider that has one. It asks no other once money moved."""
        for each in deals:
            try:
                told = await each.prepay(partial(self._files.write_start, each.start))
                if (why := told.get("failed")) is not None:
                    self._files.start.unlink(missing_ok=True)  # no voucher was signed
                    raise MarketError(printable(str(why)))
            except MarketError as error:
                if each.is_committed or each is deals[-1]:
                    raise
                warn(f"{each.provider.place}: {error}")
                continue
            if (reason := told.get("over")) is not None:
                self._files.forget_keys()
                raise MarketError(
                    f"the prepaid place {self._name} is over ({printable(str(reason))}), and its "
                    "keys are gone; repeat the command to buy another place"
                )
            return parse_place_untrusted(told, each.dealing.tunnel_key), told
        raise MarketError("no provider that suits says where it negotiates; widen the wishes")


class _PrepaidDeal(Deal):
    """A deal with one provider, which gets all money at once."""

    @property
    def start(self) -> PrepayStart:
        """The start of its agent."""
        return PrepayStart(dealing=self.dealing, host=self.provider.host, port=self.provider.port)

    async def prepay(self, note: Callable[[], None]) -> dict[str, Any]:
        """What the agent says in the end; MarketError if it says nothing.

        ``note`` is called before money moves.
        """
        self._note = lambda _provider: note()
        told = await self._negotiate("prepaid", self.start)
        if not isinstance(told, dict):
            raise senseless()
        return told

    def _risk(self, offer: QuoteTerms, expires_at: int) -> str:
        amount = self._market.token.format(self._deposit)
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(expires_at - STOP_BEFORE_EXPIRY))
        return (
            f"{amount} buys {_worth(Price.of(offer), self._deposit)}, until {until} at most\n"
            "Prepaying trusts the provider with the whole amount, not with one credit window. The "
            "provider\ngets it as soon as you agree, and what you do not use is not paid back"
        )

    def _question(self, amount: str) -> str:
        return f"Pay {amount} ahead?"


def _worth(price: Price, amount: int) -> str:
    """What an amount buys: bytes, time, or both until the first ends."""
    parts = []
    if price.per_gib:
        parts.append(f"up to {format_bytes(price.bytes_within(amount, 0))}")
    if price.per_hour:
        lasting = format_seconds(amount * HOUR // price.per_hour)
        parts.append(f"up to {lasting}, and that clock runs from now on, used or not")
    return ", less for time: ".join(parts)


def _read_begun(files: MarketFiles) -> PrepayStart | None:
    begun = files.read_start()
    if begun is not None and not isinstance(begun, PrepayStart):
        raise unreadable(files.start)
    return begun


def _provider_of(begun: PrepayStart) -> Provider:
    """The provider as it was when money was about to move."""
    record = begun.dealing.record
    return Provider(
        begun.host,
        begun.port,
        begun.dealing.node,
        parse_untrusted(ProviderRecord, record) if record else None,
    )


def _described(place: Place, told: dict[str, Any], market: Market) -> dict[str, Any]:
    """For ``--json``; MarketError if the agent says what it cannot know."""
    token = market.token
    try:
        price = Price(int(told["per_gib"]), int(told["per_hour"]))
        paid = int(told["paid"])
        return {
            "node": str(Address.parse(str(told["node"]))),
            "channel": "0x" + bytes.fromhex(str(told["channel"])).hex(),
            "endpoint": str(place.endpoint),
            "paid": amount_json(paid, token),
            "price": price.format(token),
            "bytes": price.bytes_within(paid, 0) if price.per_gib else None,
            "seconds": paid * HOUR // price.per_hour if price.per_hour else None,
            "usable_until": int(told["expires_at"]) - STOP_BEFORE_EXPIRY,
        }
    except (KeyError, ValueError, TypeError, UsageError):
        raise senseless() from None
