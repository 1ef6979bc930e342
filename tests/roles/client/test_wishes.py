# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a user may write about the wanted provider."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_market.errors import AmountError
from fs_net.core.records import Service
from fs_tunnel.cli.options.params import Country, Percent
from fs_tunnel.roles.client.wishes import make_wishes, parse_price

TOKEN = Token("FST", 6, Address(bytes(20)))


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("0.10/GiB", Price(100_000, 0)),
        ("0.10 FST/GiB", Price(100_000, 0)),
        ("1/h", Price(0, 10**6)),
        ("0.10/GiB + 0.01 FST/h", Price(100_000, 10_000)),
        ("0.10 FST/GiB + 0.01/h", Price(100_000, 10_000)),
    ],
)
def test_an_amount_without_a_unit_is_of_the_markets_token(text: str, price: Price) -> None:
    assert parse_price(text, TOKEN) == price


@pytest.mark.parametrize(
    "text", ["0.10", "0.10 FST", "0.10/MiB", "1 USDC/GiB", "/GiB", "./GiB", "-1/GiB", "1..2/GiB"]
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_price(text, TOKEN)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_what_is_written_is_read(per_gib: int, per_hour: int) -> None:
    if per_gib or per_hour:
        price = Price(per_gib, per_hour)
        assert parse_price(price.format(TOKEN), TOKEN) == price
        assert parse_price(price.format(TOKEN).replace(" FST", ""), TOKEN) == price


@pytest.mark.parametrize(
    ("text", "parts"),
    [("99%", 990_000), ("99.95 %", 999_500), ("100%", 10**6), ("0%", 0), ("7.1234%", 71_234)],
)
def test_shares_are_parts_of_a_million(text: str, parts: int) -> None:
    assert Percent().convert(text, None, None) == parts


@pytest.mark.parametrize("text", ["99", "0.99", "%", "101%", "100.1%", "-1%", "9 9%", "99%%", "x%"])
def test_a_share_needs_its_sign(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Percent().convert(text, None, None)


def test_countries_are_two_letters() -> None:
    assert Country().convert("de", None, None) == b"DE"
    for text in ("DEU", "D", "", "D1", "ÄÖ"):
        with pytest.raises(click.BadParameter, match="two letters"):
            Country().convert(text, None, None)


def test_a_price_that_names_a_part_lets_nothing_else_cost() -> None:
    wishes = make_wishes([b"DE", b"FR"], Price(5, 0), 7, ["relay"], [25], 3)
    assert (wishes.max_per_gib, wishes.max_per_hour) == (5, 0)
    assert (wishes.countries, wishes.ports) == (frozenset({b"DE", b"FR"}), frozenset({25}))
    assert (wishes.min_uptime, wishes.min_free_slots) == (7, 3)
    assert wishes.services is Service.RELAY
    anything = make_wishes([], None, 0, [], [])
    assert (anything.max_per_gib, anything.max_per_hour) == (None, None)
    assert anything.services is Service.EXIT
    assert make_wishes([], None, 0, ["exit", "relay"], []).services == 3
