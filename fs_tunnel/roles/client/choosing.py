# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Chooses providers: from what a user asks for to the providers that have it, in asking order."""

import sys
from pathlib import Path

from fs_market.core.money.prices import Price
from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_net.core.matching import Match, Order, Wishes
from fs_net.core.records import ProviderRecord, Service, Signed
from fs_tunnel.console.questions import choose_number
from fs_tunnel.console.text import say, tell_progress, warn
from fs_tunnel.roles.client import finding, offers
from fs_tunnel.roles.client.providers import Provider, parse_provider, places_of
from fs_tunnel.roles.client.purchase import Looking, Purchase
from fs_tunnel.roles.client.wishes import make_wishes
from fs_tunnel.roles.open_market import Market
from fs_wire.errors import UsageError

_SHOWN = 5
_MOST = 16  # the session with each of them needs a key of its own
_ANYTHING = Wishes(min_free_slots=0, services=Service(0))


async def find_providers(
    market: Market, purchase: Purchase, max_price: Price
) -> tuple[list[Provider], list[Signed[ProviderRecord]]]:
    """The providers that the user names, or else those that suit; and the records of those found.

    Both lists begin with the best one.
    """
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


async def choose(
    market: Market,
    looking: Looking,
    most: Price,
    provider: Address | None,
    settings_file: Path | None,
    market_user: int,
) -> list[Signed[ProviderRecord]]:
    """The records of the providers that suit, or of ``provider`` alone, in asking order.

    It raises UsageError if none suits, and NetError if no full node can be asked.
    """
    if looking.choose and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("no terminal to choose at; leave out --choose to take the first")
    wishes = _ANYTHING
    if provider is None:
        wishes = make_wishes(
            looking.countries, most, looking.min_uptime, looking.services, looking.ports
        )
    query = finding.Query(wishes, Order(looking.order), looking.full_nodes, provider)
    found = await finding.search(
        query, market.chain, market.settings, settings_file, market_user, tell_progress
    )
    for each in offers.oddities(found):
        warn(each)
    matches = [each for each in found.matches if _has_price(each)]
    if not matches:
        raise _nobody(provider)
    say(offers.short_table(matches, _SHOWN, market.token))
    first = _pick(matches[:_SHOWN]) if looking.choose else 0
    ranked = [each.candidate.entry.record for each in matches[:_MOST]]
    return [ranked[first], *ranked[:first], *ranked[first + 1 :]]


def _has_price(match: Match) -> bool:
    """A provider that asks for nothing cannot be paid."""
    record = match.candidate.entry.record.content
    return record.price_per_gib + record.price_per_hour > 0


def _pick(shown: list[Match]) -> int:
    return choose_number("Which", len(shown)) - 1


def _nobody(provider: Address | None) -> MarketError:
    if provider is not None:
        return MarketError(
            f"there is no record of {provider}; if it is offline, fs-tunnel market "
            "list --free 0 shows it"
        )
    return MarketError(
        "no provider matches; allow a higher price, more countries or less uptime (a recent "
        "provider has none yet)"
    )
