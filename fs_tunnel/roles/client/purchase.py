# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a user who buys a tunnel asks for."""

from dataclasses import dataclass
from pathlib import Path

from fs_wire.errors import UsageError


@dataclass(frozen=True, slots=True)
class Looking:
    """What a provider must have, apart from its price; which full nodes to ask; how to choose."""

    countries: tuple[bytes, ...]
    min_uptime: int
    services: tuple[str, ...]
    ports: tuple[int, ...]
    order: str
    full_nodes: tuple[str, ...]
    choose: bool

    @property
    def is_particular(self) -> bool:
        """Whether it says more than which full nodes to ask."""
        return bool(self.countries or self.min_uptime or self.services or self.ports or self.choose)


@dataclass(frozen=True, slots=True)
class Purchase:
    """From which providers to buy, for how much, and who pays.

    ``max_price`` and ``budget`` are texts, because only the chain says what the token is.
    """

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

    def check_wishes(self) -> None:
        """UsageError if it names a provider and also says what to look for."""
        if self.providers and self.looking.is_particular:
            raise UsageError("--provider names one already; leave it out, or the other wishes")
