# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which providers match a client's wishes, the best first, and why.

Full nodes, the page and clients rank with this code. So they give the same ranking for the same
facts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import mul

from fs_net.core.index import Entry
from fs_net.core.records import Service
from fs_net.ports import Listing

MILLION = 1_000_000
_STAKE_FOR_ALL = 10  # times the median stake; more stake does not raise the score


class Order(StrEnum):
    """The sort key of the matches; equal matches are sorted by address."""

    BEST = "best"
    PRICE = "price"
    UPTIME = "uptime"
    CAPACITY = "capacity"
    STAKE = "stake"


class Facet(StrEnum):
    """The parts of a score; ``_WEIGHTS`` holds their weights in percent."""

    PRICE = "price"  # the lowest price of all matches, divided by this price
    UPTIME = "uptime"  # the measured uptime; one half if nobody has measured it
    CAPACITY = "capacity"  # the share of slots that are free
    STAKE = "stake"  # what the provider has at stake
    VERIFIED = "verified"  # verifiers found the provider in the country that it claims


_WEIGHTS = {
    Facet.PRICE: 40,
    Facet.UPTIME: 30,
    Facet.CAPACITY: 10,
    Facet.STAKE: 10,
    Facet.VERIFIED: 10,
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client wants; prices are base units of the market's token, and None allows any."""

    countries: frozenset[bytes] = frozenset()  # ISO 3166-1; empty: any country
    max_per_gib: int | None = None
    max_per_hour: int | None = None
    min_uptime: int = 0  # parts of a million
    min_free_slots: int = 1
    services: Service = Service.EXIT
    ports: frozenset[int] = frozenset()  # destination ports that the provider must allow


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider's data; ``uptime`` is in parts of a million, or None if nobody measured it."""

    entry: Entry
    listing: Listing
    uptime: int | None = None

    @property
    def provider(self) -> bytes:
        """The provider's address, 20 bytes."""
        return self.entry.record.content.provider

    @property
    def country(self) -> bytes:
        """The country that verifiers found, otherwise the country that the provider claims."""
        return self.listing.verified_country or self.entry.record.content.claimed_country

    @property
    def free_slots(self) -> int:
        """The number of free slots; zero while the provider is silent."""
        return self.entry.heartbeat.content.free_slots if self.entry.heartbeat else 0


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate that matches; ``score`` and each facet are parts of a million."""

    candidate: Candidate
    score: int
    facets: dict[Facet, int]


def suits(candidate: Candidate, wishes: Wishes) -> bool:
    """Whether a candidate meets all wishes; a silent provider has no free slots."""
    record = candidate.entry.record.content
    return (
        (not wishes.countries or candidate.country in wishes.countries)
        and (wishes.max_per_gib is None or record.price_per_gib <= wishes.max_per_gib)
        and (wishes.max_per_hour is None or record.price_per_hour <= wishes.max_per_hour)
        and (candidate.uptime or 0) >= wishes.min_uptime
        and candidate.free_slots >= wishes.min_free_slots
        and record.services & wishes.services == wishes.services
        and not any(
            refused.first <= port <= refused.last
            for refused in record.refused_ports
            for port in wishes.ports
        )
    )


def match(
    candidates: Iterable[Candidate], wishes: Wishes, order: Order = Order.BEST
) -> list[Match]:
    """Return the candidates that match, sorted, each with the facets of its score."""
    suiting = [each for each in candidates if suits(each, wishes)]
    if not suiting:
        return []
    cheapest = min(map(_price, suiting))
    stakes = sorted(each.listing.stake for each in suiting)
    enough = max(1, _STAKE_FOR_ALL * stakes[len(stakes) // 2])
    matches = [_rate(each, cheapest, enough) for each in suiting]
    matches.sort(key=lambda each: each.candidate.entry.record.content.provider)
    matches.sort(key=_RANKS[order])
    return matches


def _rate(candidate: Candidate, cheapest: int, enough: int) -> Match:
    record, listing = candidate.entry.record.content, candidate.listing
    price, verified = record.price_per_gib + record.price_per_hour, listing.verified_country
    facets = {
        Facet.PRICE: cheapest * MILLION // price if price else MILLION,
        Facet.UPTIME: MILLION // 2 if candidate.uptime is None else candidate.uptime,
        Facet.CAPACITY: min(candidate.free_slots, record.slots) * MILLION // record.slots,
        Facet.STAKE: min(listing.stake, enough) * MILLION // enough,
        Facet.VERIFIED: MILLION if verified and verified == record.claimed_country else 0,
    }
    score = sum(map(mul, facets.values(), _WEIGHTS.values())) // 100
    return Match(candidate, score, facets)


def _price(candidate: Candidate) -> int:
    """The price of an hour with one GiB of traffic: one figure for both prices."""
    record = candidate.entry.record.content
    return record.price_per_gib + record.price_per_hour


_RANKS: dict[Order, Callable[[Match], int]] = {
    Order.BEST: lambda found: -found.score,
    Order.PRICE: lambda found: _price(found.candidate),
    Order.UPTIME: lambda found: -(found.candidate.uptime or 0),
    Order.CAPACITY: lambda found: -found.candidate.free_slots,
    Order.STAKE: lambda found: -found.candidate.listing.stake,
}


def best_weights() -> Sequence[tuple[Facet, int]]:
    """The weight of each facet in percent, for programs that show it."""
    return tuple(_WEIGHTS.items())
