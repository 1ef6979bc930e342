# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Gets a place from the first provider that has one, and channels with those that stand by."""

from dataclasses import replace

from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_market.money import voucher_book
from fs_market.money.voucher_book import Side
from fs_tunnel.console import questions
from fs_tunnel.console.text import warn
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.roles.client import choices, finding, keys
from fs_tunnel.roles.client.budget import GET_BACK, has_part, parts_of
from fs_tunnel.roles.client.deals import Deal, dealing_with, purse_of
from fs_tunnel.roles.client.providers import Provider
from fs_tunnel.roles.client.purchase import Purchase
from fs_tunnel.roles.client.reaching import relay_endpoint
from fs_tunnel.roles.client.standbys import StandBy
from fs_tunnel.roles.client.steps import Found, Placed
from fs_tunnel.roles.market_files import agent_user
from fs_tunnel.roles.open_market import Market
from fs_tunnel.roles.starts import User
from fs_wire.errors import FlowShieldError
from fs_wire.types import PublicKey


async def place(found: Found, market: Market) -> Placed:
    """Buy a place from the first provider that has one.

    It raises MarketError if no provider has one, or if no part of the budget is left for it.
    """
    most = 1 if found.wanted.purchase.no_failover else parts_of(found.providers)
    deals = await _deals(found, market, most)
    return await _first_place(found, deals, most - len(found.unreachable))


async def stand_by(placed: Placed) -> tuple[StandBy, ...]:
    """Open channels with the providers that follow, as long as parts of the budget are left."""
    deals, waiting, names = placed.deals, [], {placed.deal.provider.name}
    for deal in deals[deals.index(placed.deal) + 1 :]:
        if deal.provider.peer or deal.provider.name in names:
            continue
        if not has_part(deal, deals, len(names), placed.parts):
            continue
        try:
            waiting.append(await deal.reserve())
        except (FlowShieldError, questions.Declined) as error:
            warn(f"{deal.provider.place} does not stand by: {error or 'you declined'}")
        else:
            names.add(deal.provider.name)
    return tuple(waiting)


async def _deals(found: Found, market: Market, most: int) -> tuple[Deal, ...]:
    """A deal for one of ``most`` parts of the budget with each provider that may be reachable."""
    files, payer = found.wanted.files, found.payer
    user = agent_user(found.wanted.purchase.market_user)
    tunnel_key = PublicKey(public_key(keys.private_key(files).raw))
    purse = purse_of(files, market, payer.account, tunnel_key, found.budget // most)
    network = finding.network_of(market.settings)
    relays = _relays(found.wanted.purchase)
    known = await _known_keys(market)
    unreachable = {str(Address(each.content.provider)) for each in found.unreachable}
    deals: list[Deal] = []
    for provider in found.providers:
        if provider.name in unreachable:
            continue
        key, file = keys.session_key(files, provider)
        try:
            dealing = dealing_with(
                *(provider, file, User(user.pw_uid, user.pw_gid), purse, payer.max_price),
                network=network,
                relays=relays,
            )
        except MarketError as error:
            if len(found.providers) == 1:
                raise
            warn(f"{provider.place}: {error}")
            continue
        deals.append(Deal(provider, dealing, key, payer, market, is_committed=key in known))
    return tuple(deals)


def _relays(purchase: Purchase) -> tuple[str, ...]:
    """Full nodes that may lead to a provider, and that say where they see our tunnel."""
    known = purchase.looking.full_nodes or finding.known_full_nodes(purchase.settings_file)
    return tuple(each for each in known if relay_endpoint(each) is not None)


async def _known_keys(market: Market) -> set[Address]:
    """The session keys for which a channel was opened, or may have been."""
    accounts = await market.journal.do(lambda db: voucher_book.open_accounts(db, Side.PAYER))
    return {each.terms.session_key for each in accounts}


async def _first_place(found: Found, deals: tuple[Deal, ...], parts: int) -> Placed:
    files = found.wanted.files

    def note(provider: Provider) -> None:
        """Write down that a channel with this provider is about to be opened."""
        if provider.record is not None:
            choices.write(files, found.records, provider.record, found.unreachable)

    failed = list(found.failed)
    last: tuple[Deal, MarketError] | None = None
    for each in found.unasked(deals):
        if not has_part(each, deals, 0, parts):
            continue
        if last is not None:
            _warn_of(*last)
        try:
            given, dealing = await each.buy_place(note)
        except MarketError as error:
            failed.append(each.provider)
            last = each, error
        else:
            asked = replace(found, failed=tuple(failed))
            return Placed(asked, deals, parts, each, given, dealing)
    has_channels = bool(found.unreachable) or any(each.is_committed for each in deals)
    if found.unreachable and not any(each.is_committed for each in deals):
        files.forget_keys()
    if last is None:
        raise MarketError(f"no other provider that suits is left to buy from; {GET_BACK}")
    deal, why = last
    count = len(failed) + len(found.unreachable)
    if count == 1:
        raise why
    raise MarketError(
        f"none of {count} providers has a place; the last one, {deal.provider.place}: {why}"
        + (f"; {GET_BACK}" if has_channels else "")
    )


def _warn_of(deal: Deal, error: MarketError) -> None:
    rest = f"; {GET_BACK}" if deal.is_committed else ""
    warn(f"{deal.provider.place} is passed over: {error}{rest}")
