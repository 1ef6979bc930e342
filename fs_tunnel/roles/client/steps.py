# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The steps of a purchase. Each step is a value that does not change.

Wanted ── find ──▶ Found ── place ──▶ Placed ── keep ──▶ Bought
                     ▲                                     │
                     └────── pass over a provider ─────────┘
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fs_net.core.records import ProviderRecord, Signed
from fs_tunnel.linux.journal.plans import Protection
from fs_tunnel.roles.client.deals import Deal, Payer
from fs_tunnel.roles.client.places import Place
from fs_tunnel.roles.client.providers import Provider
from fs_tunnel.roles.client.purchase import Purchase
from fs_tunnel.roles.market_files import MarketFiles
from fs_tunnel.roles.starts import Dealing


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user wants. The tunnel keeps ``protection`` wherever it moves."""

    purchase: Purchase
    protection: Protection
    files: MarketFiles


@dataclass(frozen=True, slots=True)
class Found:
    """Providers to buy from, the best first, and those that gave no tunnel.

    ``failed`` refused or did not answer; ``unreachable`` have a channel, and no way leads to them.
    """

    wanted: Wanted
    payer: Payer
    budget: int  # base units
    providers: tuple[Provider, ...]
    records: tuple[Signed[ProviderRecord], ...]
    failed: tuple[Provider, ...] = ()
    unreachable: tuple[Signed[ProviderRecord], ...] = ()

    def unasked(self, deals: Sequence[Deal]) -> list[Deal]:
        """The deals with providers that did not fail."""
        return [each for each in deals if each.provider not in self.failed]


@dataclass(frozen=True, slots=True)
class Placed:
    """The provider of ``deal`` gave a place; ``parts`` of the budget are left, with its own."""

    found: Found
    deals: tuple[Deal, ...]
    parts: int
    deal: Deal
    place: Place
    dealing: Dealing


@dataclass(frozen=True, slots=True)
class Bought:
    """The tunnel of ``provider`` is paid for, and its files are written.

    ``others`` can take its place; ``begun`` is the first of them that has a channel already.
    """

    found: Found
    provider: Provider
    others: tuple[Provider, ...]
    begun: Signed[ProviderRecord] | None

    def passed_over(self) -> Found:
        """The step to go back to if no way leads to the provider."""
        record = self.provider.record
        assert record is not None  # only the record of a peer says how to reach it
        return replace(self.found, unreachable=(*self.found.unreachable, record))
