"""``market prepay``: a place for a plain WireGuard app, which can neither count nor sign.

It is paid for at once, by one voucher, and becomes a wg-quick file. What it is goes into a file of
its own before money moves, ``NAME.json`` in ``prepaid``: whoever asks again by that name gets the
same place, and pays nothing more, until its provider says that it is over.
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
from fs_tunnel.roles.client import buying
from fs_tunnel.roles.client.buying import Purchase
from fs_tunnel.roles.client.deals import Deal, Payer
from fs_tunnel.roles.client.places import Place, conf_lines, parse_place_untrusted
from fs_tunnel.roles.client.providers import Provider
from fs_tunnel.roles.client.wishes import parse_price
from fs_tunnel.roles.conversation import printable, senseless
from fs_tunnel.roles.market_files import MarketFiles, agent_user
from fs_tunnel.roles.open_market import Market
from fs_wire.errors import UsageError
from fs_wire.types import PublicKey


@dataclass(frozen=True, slots=True)
class Prepaid:
    """A place that is paid for: the file that leads to it, and what ``--json`` says of it."""

    conf: str
    said: dict[str, Any]


def prepay(output: Path, theirs: PublicKey | None, **options: Any) -> Prepaid:
    """Buy a place that is named as ``output`` is, or take up what was bought by that name.

    ``theirs``: the public key of who keeps the private one; None: make both.
    """
    purchase = Purchase.of(no_failover=True, **options)
    wallet = purchase.wallet_file or open_market.default_wallet()
    # An agent without rights must get to its books, and does not get into a home.
    parent = state_directory() if os.geteuid() == 0 else wallet.parent
    files = MarketFiles(check_name(output.stem), parent / "prepaid")
    begun = files.read_start()
    if begun is None and output.exists():
        raise UsageError(f"{output} is there already; name another file, or remove it")
    if begun is None and not (purchase.max_price and purchase.budget):
        raise UsageError("say what it may cost, with --max-price, and what to pay, with --budget")
    purchase.check_wishes()
    return asyncio.run(_Prepaying(files, purchase, wallet, theirs).run(begun))


class _Prepaying:
    def __init__(
        self, files: MarketFiles, purchase: Purchase, wallet: Path, theirs: PublicKey | None
    ) -> None:
        self._files, self._purchase, self._wallet, self._theirs = files, purchase, wallet, theirs
        self._name = files.conf.stem

    async def run(self, begun: dict[str, Any] | None) -> Prepaid:
        """``begun`` is how the agent was started when money was about to move."""
        purchase, files = self._purchase, self._files
        user = agent_user(purchase.market_user)
        files.prepare(user)
        private = None if self._theirs else buying.private_key(files)
        key = PublicKey(public_key(private.raw)) if private else self._theirs
        assert key is not None
        if begun is not None and begun["wireguard_key"] != key.to_base64():
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
                begun = {
                    **buying.start_of(files, user, market, payer.account),
                    "wireguard_key": key.to_base64(),
                    "budget": str(market.token.parse(purchase.budget).units),
                }
                providers = await self._providers(market, payer.max_price)
            else:
                say(
                    f"going on with what was begun as {self._name}; "
                    "name another --output to buy another place"
                )
                begun |= {"uid": user.pw_uid, "gid": user.pw_gid}
                providers = [_provider_of(begun)]
            place, told = await self._first(
                [self._deal(each, begun, payer, market) for each in providers]
            )
            conf = "\n".join(conf_lines(private, place, f"MTU = {place.mtu}")) + "\n"
            return Prepaid(conf, _described(place, told, market))

    def _max_price(self, market: Market, begun: dict[str, Any] | None) -> Price:
        if begun is not None:
            return Price(**begun["max_price"])
        assert self._purchase.max_price is not None
        return parse_price(self._purchase.max_price, market.token)

    async def _providers(self, market: Market, max_price: Price) -> list[Provider]:
        found, _ = await buying.find_providers(market, self._purchase, max_price)
        # Through NATs both sides have to call, and an app calls nobody.
        reachable = [each for each in found if not each.peer]
        if not reachable:
            raise MarketError(
                "whoever suits is behind a NAT, where no WireGuard app gets to; choose another"
            )
        return reachable

    def _deal(
        self, provider: Provider, start: dict[str, Any], payer: Payer, market: Market
    ) -> "_PrepaidDeal":
        key, named = buying.session_key(self._files, provider)
        start = {**start, **named, "host": provider.host, "port": provider.port}
        return _PrepaidDeal(provider, start, key, payer, market, is_committed=False)

    async def _first(self, deals: list["_PrepaidDeal"]) -> tuple[Place, dict[str, Any]]:
        """Of the first that has a place; no other is asked once money may have moved."""
        for each in deals:
            try:
                told = await each.prepay(partial(self._files.write_start, each.start))
                if (why := told.get("failed")) is not None:
                    self._files.start.unlink(missing_ok=True)  # nothing was promised
                    raise MarketError(printable(str(why)))
            except MarketError as error:
                if each.is_committed or each is deals[-1]:
                    raise
                warn(f"{each.provider.place}: {error}")
                continue
            if (reason := told.get("over")) is not None:
                self._files.forget_keys()
                raise MarketError(
                    f"what was prepaid as {self._name} is over ({printable(str(reason))}), and "
                    "forgotten; repeat the command to buy another place"
                )
            return parse_place_untrusted(told, each.start["tunnel_key"]), told
        raise MarketError("none of those that suit says where it negotiates; widen the wishes")


class _PrepaidDeal(Deal):
    """With one provider, who gets all at once."""

    async def prepay(self, note: Callable[[], None]) -> dict[str, Any]:
        """What the agent tells in the end; MarketError where that is nothing.

        ``note`` is called before money moves.
        """
        self._note = lambda _provider: note()
        told = await self._negotiate("prepaid", role="prepay")
        if not isinstance(told, dict):
            raise senseless()
        return told

    def _risk(self, offer: QuoteTerms, expires_at: int) -> str:
        amount = self._market.token.format(self._deposit)
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(expires_at - STOP_BEFORE_EXPIRY))
        return (
            f"{amount} buys {_worth(offer.price, self._deposit)}, until {until} at most\n"
            "Prepaying trusts the provider with the whole amount, not with one window: it has it "
            "as soon\nas you agree, whatever it serves, and what is not used is not paid back"
        )

    def _question(self, amount: str) -> str:
        return f"Pay {amount} ahead?"


def _worth(price: Price, amount: int) -> str:
    """What an amount buys: bytes, time, or whichever ends first."""
    parts = []
    if price.per_gib:
        parts.append(f"up to {format_bytes(price.bytes_within(amount, 0))}")
    if price.per_hour:
        lasting = format_seconds(amount * HOUR // price.per_hour)
        parts.append(f"up to {lasting}, and that clock runs from now on, used or not")
    return ", less for time: ".join(parts)


def _provider_of(begun: dict[str, Any]) -> Provider:
    """As it was when money was about to move."""
    node, record = begun["node"], begun["record"]
    return Provider(
        begun["host"],
        begun["port"],
        Address.parse(node) if node else None,
        parse_untrusted(ProviderRecord, bytes.fromhex(record)) if record else None,
    )


def _described(place: Place, told: dict[str, Any], market: Market) -> dict[str, Any]:
    """For ``--json``; MarketError where the agent tells what it cannot know."""
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
