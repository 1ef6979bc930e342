# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a user wants of a provider."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token
from fs_net.core.matching import Wishes
from fs_net.core.records import Service

SERVICES = {"exit": Service.EXIT, "relay": Service.RELAY}


def parse_price(text: str, token: Token) -> Price:
    """As ``Price.parse`` does, and an amount without a unit is one of the market's token."""
    parts = []
    for part in text.split(" + "):
        amount, slash, unit = part.partition("/")
        has_unit = not amount.strip().replace(".", "", 1).isdigit()
        parts.append(part if has_unit else f"{amount.strip()} {token.symbol}{slash}{unit}")
    return Price.parse(" + ".join(parts), token)


def make_wishes(
    countries: Sequence[bytes],
    max_price: Price | None,
    min_uptime: int,
    services: Sequence[str],
    ports: Sequence[int],
    free: int = 1,
) -> Wishes:
    """The wishes. Without a price, any price will do.

    If the price names only a part, per GiB or per hour, the other part must cost nothing.
    """
    return Wishes(
        frozenset(countries),
        max_price.per_gib if max_price else None,
        max_price.per_hour if max_price else None,
        min_uptime,
        free,
        reduce(or_, (SERVICES[each] for each in services), Service(0)) or Service.EXIT,
        frozenset(ports),
    )
