# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The parameters of a URL, for the API and the page."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fs_net.core.matching import Order, Wishes
from fs_net.core.records import Service
from fs_net.fullnode.catalogue import Token
from fs_net.fullnode.http.amounts import parse_amount
from fs_net.fullnode.http.problems import Problem

MAX_LIMIT = 200
MAX_DAYS = 90
_PERCENT = 10_000  # parts of a million

Letters = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Price = Annotated[str, StringConstraints(max_length=60)]
Port = Annotated[int, Field(ge=1, le=65535)]
ServiceName = Literal["exit", "relay"]

SERVICES: dict[ServiceName, Service] = {"exit": Service.EXIT, "relay": Service.RELAY}


class Search(BaseModel):
    """Which providers to return, and in which order; unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    country: tuple[Letters, ...] = Field(
        default=(),
        max_length=32,
        description="Two letters of ISO 3166-1. Repeat it to allow several countries.",
    )
    max_per_gib: Price | None = Field(
        default=None,
        description="Highest price of a GiB: `0.05`, or `0.05 USDC` with its unit.",
    )
    max_per_hour: Price | None = Field(default=None, description="Highest price of an hour.")
    min_uptime: float = Field(
        default=0, ge=0, le=100, description="Lowest measured uptime, in percent."
    )
    min_free_slots: int = Field(
        default=1,
        ge=0,
        le=2**32 - 1,
        description="Lowest number of free places. 0 also finds full and silent providers.",
    )
    service: tuple[ServiceName, ...] = Field(
        default=("exit",), max_length=2, description="Services that the provider must sell."
    )
    port: tuple[Port, ...] = Field(
        default=(), max_length=32, description="Destination ports that the provider must allow."
    )
    order: Order = Order.BEST
    skip: int = Field(default=0, ge=0, le=100_000)
    limit: int = Field(default=50, ge=1, le=MAX_LIMIT)

    def wishes(self, token: Token) -> Wishes:
        """Return the wishes in the form of ``core.matching``; Problem if a price is invalid."""
        services = Service(0)
        for name in self.service:
            services |= SERVICES[name]
        return Wishes(
            countries=frozenset(each.encode() for each in self.country),
            max_per_gib=_price("max_per_gib", self.max_per_gib, token),
            max_per_hour=_price("max_per_hour", self.max_per_hour, token),
            min_uptime=round(self.min_uptime * _PERCENT),
            min_free_slots=self.min_free_slots,
            services=services,
            ports=frozenset(self.port),
        )

    def words(self, **other: object) -> list[tuple[str, str]]:
        """Return the parameters that differ from the defaults, with ``other`` in place."""
        said = self.model_copy(update=other).model_dump(mode="json", exclude_defaults=True)
        return [
            (name, str(each))
            for name, value in said.items()
            for each in (value if isinstance(value, list) else [value])
        ]


class Span(BaseModel):
    """How far back a history goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(default=30, ge=1, le=MAX_DAYS)

    def since(self, now: int) -> int:
        """Return the start of the first interval, in ms."""
        step = self.step
        return (now // step + 1) * step - self.days * _DAY

    @property
    def step(self) -> int:
        """The length of an interval in ms; it gives fewer than a hundred intervals."""
        return next(each for each in _STEPS if self.days * _DAY // each < 100)


def _price(name: str, text: str | None, token: Token) -> int | None:
    if text is None:
        return None
    try:
        return parse_amount(text, token)
    except ValueError as error:
        raise Problem(422, f"{name}: {error}") from None


_HOUR = 3_600_000
_DAY = 24 * _HOUR
_STEPS = (_HOUR // 2, *(hours * _HOUR for hours in (1, 2, 3, 4, 6, 8, 12, 24)))
