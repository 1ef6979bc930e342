# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``up`` buys a place in a provider's tunnel, which becomes a wg-quick file.

It buys from the first provider that has a place, and opens channels with the next ones for later.
Unprivileged agents read all that strangers say (``deals``). ``steps`` shows how a purchase goes on.

Each provider gets an equal part of the budget, and ``up`` never begins more channels than there are
parts. Once you accept a quote there may be a channel, and only its provider can serve it.

A provider behind a NAT may turn out to be unreachable when its channel is open already. Its part of
the budget then stays in the channel, and ``up`` buys from the next provider.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_tunnel.config import check_name
from fs_tunnel.console.text import say, warn
from fs_tunnel.linux.journal.journal import Journal as TunnelJournal
from fs_tunnel.linux.journal.plans import Protection
from fs_tunnel.roles import open_market
from fs_tunnel.roles.client import choices, choosing, keys, places, standbys
from fs_tunnel.roles.client.budget import GET_BACK, has_part
from fs_tunnel.roles.client.deals import Payer
from fs_tunnel.roles.client.placing import place, stand_by
from fs_tunnel.roles.client.providers import places_of
from fs_tunnel.roles.client.purchase import Purchase
from fs_tunnel.roles.client.reaching import Unreachable, reach_of
from fs_tunnel.roles.client.standbys import StandBy, Standbys
from fs_tunnel.roles.client.steps import Bought, Found, Placed, Wanted
from fs_tunnel.roles.client.wishes import parse_price
from fs_tunnel.roles.market_files import MarketFiles, agent_user
from fs_tunnel.roles.open_market import Market
from fs_wire.errors import UsageError

DEFAULT_NAME = "paid"

Reach = Callable[[bool], None]
"""Finds the way to the provider; its argument says whether the tunnel was up before."""

BringUp = Callable[[str, str, Reach | None], None]
"""Brings up a tunnel by its file, by the file of its agent's start, and by how to reach it."""


def buy_tunnel(
    name: str | None, protection: Protection, purchase: Purchase, bring_up: BringUp
) -> None:
    """Bring up the tunnel of the first provider that has a place and can be reached.

    If the tunnel is up, or blocks, its settings are applied again. MarketError if no provider has
    a place.
    """
    name = check_name(name or DEFAULT_NAME)
    files = MarketFiles(name)
    if TunnelJournal(name).is_open:
        if files.read_start() is None or not files.conf.exists():
            raise UsageError(f"{name} is up, and was not bought; choose another name")
        if (known := standbys.read(files.standbys)) is not None:
            standbys.write(files.standbys, replace(known, protection=protection))
        bring_up(str(files.conf), str(files.start), reach_of(files))
        return
    if not purchase.max_price or not purchase.budget:
        raise UsageError("say the most that it may cost, with --max-price and --budget")
    purchase.check_wishes()
    bought = asyncio.run(_find_and_buy(Wanted(purchase, protection, files)))
    while True:
        try:
            bring_up(str(files.conf), str(files.start), _reach(bought))
        except Unreachable as error:
            bought = asyncio.run(_buy_again(pass_over(bought, error)))
        else:
            return


def pass_over(bought: Bought, error: Unreachable) -> Found:
    """Warn that the provider is passed over; MarketError if no other is left to buy from."""
    found = bought.passed_over()
    if not bought.others:
        if len(found.unreachable) < 2:
            raise error
        raise MarketError(
            f"{error.why}. You bought from {len(found.unreachable)} providers, and none of them "
            f"can be reached; {GET_BACK}"
        )
    heard = "its session is over" if error.is_over else "it did not hear that we leave"
    warn(f"{bought.provider.place} is passed over: {error.why}; {heard}; {GET_BACK}")
    return found


def _reach(bought: Bought) -> Reach | None:
    """How to reach the provider of the tunnel; None if its place leads there.

    The wallet is locked after that, because with ``-f`` this process lasts as long as the tunnel.
    """
    payer = bought.found.payer
    reach = reach_of(bought.found.wanted.files)
    if reach is None:
        payer.lock()
        return None

    def reach_or_note(was_there: bool) -> None:
        try:
            reach(was_there)
        except Unreachable as error:
            _note_unreachable(bought, is_over=error.is_over)
            raise
        payer.lock()

    return reach_or_note


def _note_unreachable(bought: Bought, *, is_over: bool) -> None:
    """Write it down before anything else happens: its channel has a part of the budget."""
    files = bought.found.wanted.files
    if bought.others:
        found = bought.passed_over()
        choices.write(files, found.records, bought.begun, found.unreachable)
        for each in (files.start, files.standbys):
            each.unlink(missing_ok=True)
    elif is_over:
        files.forget_keys()


async def _find_and_buy(wanted: Wanted) -> Bought:
    wanted.files.prepare(agent_user(wanted.purchase.market_user))
    async with _opened(wanted.purchase) as market:
        return await _buy(await _find(wanted, market), market)


async def _buy_again(found: Found) -> Bought:
    async with _opened(found.wanted.purchase) as market:
        return await _buy(found, market)


def _opened(purchase: Purchase) -> AbstractAsyncContextManager[Market]:
    wallet = purchase.wallet_file or open_market.default_wallet()
    return open_market.opened(purchase.settings_file, purchase.rpc, wallet)


async def _find(wanted: Wanted, market: Market) -> Found:
    """Look for providers, or go on with those of an interrupted purchase."""
    purchase, files, token = wanted.purchase, wanted.files, market.token
    assert purchase.max_price is not None
    assert purchase.budget is not None
    payer = Payer(
        purchase.wallet_file or open_market.default_wallet(),
        purchase.password_file,
        parse_price(purchase.max_price, token),
        purchase.lifetime,
        purchase.yes,
    )
    budget = token.parse(purchase.budget).units
    begun = choices.read(files)
    if begun.chosen is not None:
        records = begun.in_order
        chosen = Address(records[0].content.provider)
        say(f"going on with {chosen}, where a channel was begun")
        providers = tuple(each for record in records for each in places_of(record))
    else:
        found, suiting = await choosing.find_providers(market, purchase, payer.max_price)
        providers, records = tuple(found), tuple(suiting)
        if records:
            choices.write(files, records, passed_over=begun.passed_over)
    return Found(wanted, payer, budget, providers, records, unreachable=begun.passed_over)


async def _buy(found: Found, market: Market) -> Bought:
    placed = await place(found, market)
    return _keep(placed, await stand_by(placed))


def _keep(placed: Placed, waiting: tuple[StandBy, ...]) -> Bought:
    """Write the tunnel's files, its agent's start, and its standbys."""
    found, deals, chosen = placed.found, placed.deals, placed.deal.provider
    files = found.wanted.files
    others = [
        each
        for each in found.unasked(deals)
        if each.provider.name != chosen.name and has_part(each, deals, 0, placed.parts)
    ]
    begun = next((each.provider.record for each in others if each.is_committed), None)
    places.take(files, keys.private_key(files), placed.place, placed.dealing)
    standbys.write(files.standbys, Standbys(chosen.place, found.wanted.protection, waiting))
    return Bought(found, chosen, tuple(each.provider for each in others), begun)
