# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The contents of the page's tables, map and plots, as text that is ready to be shown."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fs_net.core.matching import Candidate, Match, Order
from fs_net.fullnode.catalogue import Statistics, Token
from fs_net.fullnode.http.amounts import decimal, format_amount, places_of
from fs_net.fullnode.http.countries import countries, name_of
from fs_net.fullnode.http.describe import PERCENT, checksummed, services_of
from fs_net.fullnode.http.plots import Points, percent, radius
from fs_net.fullnode.http.query import Search

_MOST_PLACES = 6  # decimals of a price in a column; its title shows all decimals
_NOTHING = "\N{EN DASH}"
_GIBS, _HOURS = 100, 24  # the budget of a command pays for these
_GIBS_AHEAD = 10  # the budget of ``market prepay`` pays for these


@dataclass(frozen=True, slots=True)
class Row:
    """A provider in the list."""

    address: str
    short: str
    state: str  # live, full or silent
    code: str
    country: str
    is_verified: bool
    per_gib: str
    per_hour: str
    exact: str
    uptime: str
    free: int
    slots: int
    stake: str
    services: tuple[str, ...]
    score: str
    terms: str  # the options for price and budget
    terms_ahead: str  # the same options for ``market prepay``


@dataclass(frozen=True, slots=True)
class Circle:
    """A country on the map."""

    code: str
    name: str
    x: float
    y: float
    radius: float
    providers: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The network in figures."""

    live: int
    providers: int
    countries: int
    free_slots: int
    slots: int
    per_gib: str
    per_hour: str
    stake: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One plot of the network's history."""

    title: str
    latest: str
    top: str
    points: Points


def rows(found: Sequence[Match], token: Token) -> list[Row]:
    """Make the rows; the prices of one column have equally many decimals."""
    records = [each.candidate.entry.record.content for each in found]
    gib_places = _places((each.price_per_gib for each in records), token)
    hour_places = _places((each.price_per_hour for each in records), token)
    return [_row(each, token, gib_places, hour_places) for each in found]


def alone(candidate: Candidate) -> Match:
    """Make a match from a candidate that is compared with no other."""
    return Match(candidate, 0, {})


def command(row: Row) -> str:
    """Return the command that buys a tunnel from this provider."""
    return f"fs-tunnel up --provider {row.address} {row.terms}"


def prepay_command(row: Row) -> str:
    """Return the command that pays this provider in advance, for an app that cannot pay."""
    return f"fs-tunnel market prepay --provider {row.address} {row.terms_ahead} --qr"


def discovery_command(search: Search, found: Sequence[Match], token: Token) -> str:
    """Return the command that buys from the best of these providers, at no more than they cost."""
    records = [each.candidate.entry.record.content for each in found]
    wishes = search.wishes(token)
    per_gib, per_hour = wishes.max_per_gib, wishes.max_per_hour
    if per_gib is None:
        per_gib = max(each.price_per_gib for each in records)
    if per_hour is None:
        per_hour = max(each.price_per_hour for each in records)
    words = ["fs-tunnel up", *(f"--country {code}" for code in search.country)]
    words += [f"--service {name}" for name in search.service if search.service != ("exit",)]
    words += [f"--to-port {port}" for port in search.port]
    words += [f"--min-uptime {search.min_uptime:g}%"] if search.min_uptime else []
    words += [f"--order {search.order.value}"] if search.order is not Order.BEST else []
    words.append(_terms(per_gib, per_hour, token))
    return " ".join(words)


def summary(found: Statistics, token: Token) -> Summary:
    """Return the figures above the map and the plots."""
    return Summary(
        live=found.live,
        providers=found.providers,
        countries=len(found.countries),
        free_slots=found.free_slots,
        slots=found.slots,
        per_gib=_median(found.median_per_gib, token),
        per_hour=_median(found.median_per_hour, token),
        stake=whole(found.stake, token),
    )


def circles(found: Statistics, chosen: Sequence[str]) -> list[Circle]:
    """Return the circles, the chosen countries last, so that no other circle covers them."""
    known = countries()
    most = max((count for _, count in found.countries), default=1)
    return [
        Circle(code, known[code].name, known[code].x, known[code].y, radius(count, most), count)
        for code, count in sorted(found.countries, key=lambda each: each[0] in chosen)
        if code in known
    ]


def choices(found: Statistics, search: Search) -> list[tuple[str, str, int]]:
    """Return the countries with live providers, and the chosen ones, sorted by name."""
    counts = dict.fromkeys(search.country, 0) | dict(found.countries)
    return sorted(
        ((code, name_of(code), count) for code, count in counts.items()), key=lambda each: each[1]
    )


def country_bars(found: Statistics) -> list[tuple[str, str, int, float]]:
    """Return each country's letters, name, live providers, and share of the largest count."""
    most = max((count for _, count in found.countries), default=1)
    return [(code, name_of(code), count, count / most) for code, count in found.countries]


def curves(moments: Sequence[Statistics], token: Token) -> list[Curve]:
    """Return the plots for which there is a history."""
    prices = [(each.at, each.median_per_gib) for each in moments if each.median_per_gib is not None]
    found = [
        _curve("Live providers", [(each.at, each.live) for each in moments], _count),
        _curve("Free places", [(each.at, each.free_slots) for each in moments], _count),
        _curve("Median price of a GiB", prices, lambda units: format_amount(units, token)),
        _curve(
            "Stake",
            [(each.at, each.stake) for each in moments],
            lambda units: whole(units, token),
        ),
    ]
    return [each for each in found if each is not None]


def _row(found: Match, token: Token, gib_places: int, hour_places: int) -> Row:
    candidate = found.candidate
    record, heartbeat = candidate.entry.record.content, candidate.entry.heartbeat
    address = checksummed(record.provider)
    code = candidate.country.decode("ascii")
    state = "silent" if heartbeat is None else "live" if candidate.free_slots else "full"
    per_gib, per_hour = (
        format_amount(units, token) for units in (record.price_per_gib, record.price_per_hour)
    )
    return Row(
        address=address,
        short=f"{address[:8]}…{address[-6:]}",
        state=state,
        code=code,
        country=name_of(code),
        is_verified=bool(candidate.listing.verified_country),
        per_gib=decimal(_ceil(record.price_per_gib, token), token, gib_places),
        per_hour=decimal(_ceil(record.price_per_hour, token), token, hour_places),
        exact=f"{per_gib}/GiB + {per_hour}/h",
        uptime=_NOTHING if candidate.uptime is None else percent(candidate.uptime),
        free=candidate.free_slots,
        slots=record.slots,
        stake=whole(candidate.listing.stake, token),
        services=services_of(record.services),
        score=f"{found.score / PERCENT:.0f}",
        terms=_terms(record.price_per_gib, record.price_per_hour, token),
        terms_ahead=_terms(record.price_per_gib, record.price_per_hour, token, _GIBS_AHEAD),
    )


def whole(units: int, token: Token) -> str:
    """Write whole tokens, rounded down, in groups of three digits."""
    return f"{units // 10**token.decimals:,} {token.symbol}"


def _count(number: int) -> str:
    return f"{number:,}"


def _terms(per_gib: int, per_hour: int, token: Token, gibs: int = _GIBS) -> str:
    parts = ((per_gib, "GiB"), (per_hour, "h"))
    price = " + ".join(f"{format_amount(units, token)}/{unit}" for units, unit in parts if units)
    budget = gibs * per_gib + _HOURS * per_hour or 10**token.decimals
    return f"--max-price {shlex.quote(price)} --budget {shlex.quote(format_amount(budget, token))}"


def aligned(amounts: Sequence[int], token: Token) -> list[str]:
    """Write a column of amounts with equally many decimals."""
    places = max((places_of(each, token) for each in amounts), default=0)
    return [f"{decimal(each, token, places)} {token.symbol}" for each in amounts]


def _places(units: Iterable[int], token: Token) -> int:
    return max((places_of(_ceil(each, token), token) for each in units), default=0)


def _ceil(units: int, token: Token) -> int:
    """Round up to the decimals that are shown, so that no price looks lower than it is."""
    step: int = 10 ** max(0, token.decimals - _MOST_PLACES)
    return -(-units // step) * step


def _median(units: int | None, token: Token) -> str:
    return _NOTHING if units is None else format_amount(_ceil(units, token), token)


def _curve(title: str, points: Points, text: Callable[[int], str]) -> Curve | None:
    if len(points) < 2:
        return None
    return Curve(title, text(points[-1][1]), text(max(value for _, value in points)), points)
