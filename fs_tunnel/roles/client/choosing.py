"""From what a user wants to the providers that have it, in the order in which they are asked."""

import sys
from dataclasses import dataclass
from pathlib import Path

from fs_market.core.money.prices import Price
from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_net.core.matching import Match, Order, Wishes
from fs_net.core.records import ProviderRecord, Service, Signed
from fs_tunnel.console.questions import choose_number
from fs_tunnel.console.text import say, tell_progress, warn
from fs_tunnel.roles.client import finding, offers
from fs_tunnel.roles.client.wishes import make_wishes
from fs_tunnel.roles.open_market import Market
from fs_wire.errors import UsageError

_SHOWN = 5
_MOST = 16  # with each of them the session has a key of its own
_ANYTHING = Wishes(min_free_slots=0, services=Service(0))


@dataclass(frozen=True, slots=True)
class Looking:
    """What ``market_options.wishes_options`` brought, but for the price, and ``--choose``."""

    countries: tuple[bytes, ...]
    min_uptime: int
    services: tuple[str, ...]
    ports: tuple[int, ...]
    order: str
    full_nodes: tuple[str, ...]
    choose: bool

    @property
    def is_particular(self) -> bool:
        """Whether it says more than whom to ask."""
        return bool(self.countries or self.min_uptime or self.services or self.ports or self.choose)


async def choose(
    market: Market,
    looking: Looking,
    most: Price,
    provider: Address | None,
    settings_file: Path | None,
    market_user: int,
) -> list[Signed[ProviderRecord]]:
    """The records of those that suit, the first to be asked first; of ``provider`` alone, if named.

    UsageError where none suits, NetError where nobody can be asked.
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
    """Who asks for nothing cannot be paid."""
    record = match.candidate.entry.record.content
    return record.price_per_gib + record.price_per_hour > 0


def _pick(shown: list[Match]) -> int:
    return choose_number("Which", len(shown)) - 1


def _nobody(provider: Address | None) -> MarketError:
    if provider is not None:
        return MarketError(
            f"no record of {provider} is found; it may be down: fs-tunnel market list --free 0"
        )
    return MarketError(
        "no provider suits; allow a higher price, more countries, or less uptime, "
        "which nobody knows of a recent provider"
    )
