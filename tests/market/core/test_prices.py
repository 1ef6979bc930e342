# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The cost of service, to the base unit."""

from fractions import Fraction
from hashlib import sha256
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.money.prices import MAX_PRICE, UNLIMITED, Price
from fs_market.core.money.units import GIB, Token
from fs_market.core.wire.ethereum import ZERO_ADDRESS
from fs_market.errors import AmountError

USDC = Token("USDC", 6, ZERO_ADDRESS)

prices = st.tuples(
    st.one_of(st.integers(0, 10**6), st.integers(0, MAX_PRICE)),
    st.one_of(st.integers(0, 10**6), st.integers(0, MAX_PRICE)),
).filter(any).map(lambda pair: Price(*pair))  # fmt: skip
traffic = st.integers(0, 2**50)
durations = st.integers(0, 10**8)


@pytest.mark.parametrize(
    ("price", "used", "seconds", "cost"),
    [
        (Price(1_000_000, 0), GIB, 10**6, 1_000_000),
        (Price(1_000_000, 0), 1 << 20, 0, 976),  # 976.56 for 1 MiB
        (Price(1_000_000, 0), 1024 << 20, 0, 1_000_000),  # a GiB costs more than 1024 * 976
        (Price(0, 3600), 10**9, 1, 1),
        (Price(1, 1), GIB // 2, 1800, 1),  # two halves make one
        (Price(1, 0), GIB - 1, 0, 0),
    ],
)
def test_a_cost(price: Price, used: int, seconds: int, cost: int) -> None:
    assert price.cost(used, seconds) == cost


@given(prices, traffic, durations)
def test_the_cost_is_the_formula(price: Price, used: int, seconds: int) -> None:
    exact = Fraction(used * price.per_gib, 2**30) + Fraction(seconds * price.per_hour, 3600)
    assert price.cost(used, seconds) == floor(exact)


@given(prices, st.integers(0, 2**60), durations)
def test_credit_is_what_can_be_afforded_and_no_byte_more(
    price: Price, amount: int, seconds: int
) -> None:
    most = price.bytes_within(amount, seconds)
    if most >= 0:
        assert price.cost(most, seconds) <= amount
        if most < UNLIMITED:
            assert price.cost(most + 1, seconds) > amount
    else:
        assert price.cost(0, seconds) > amount


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("0.05 USDC/GiB", Price(50_000, 0)),
        ("0.01 USDC/h", Price(0, 10_000)),
        ("0.05 USDC/GiB + 0.01 USDC/h", Price(50_000, 10_000)),
    ],
)
def test_a_price_is_read_and_shown(text: str, price: Price) -> None:
    assert Price.parse(text, USDC) == price
    assert price.format(USDC) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "0.05", "0.05 USDC", "0.05 USDC/GB", "0.05 EUR/GiB", "0 USDC/GiB", "-1 USDC/h"),
        *("1 USDC/GiB + 1 USDC/GiB", "1 USDC/GiB +", f"{10**14} USDC/h"),
    ],
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        Price.parse(text, USDC)


def test_a_price_is_within_another_where_both_parts_are() -> None:
    assert Price(1, 2).is_within(Price(1, 2))
    assert not Price(2, 0).is_within(Price(1, 9))
    assert not Price(1, 3).is_within(Price(9, 2))


def test_a_price_list_has_a_digest_of_its_own() -> None:
    prices = [Price(1, 2), Price(2, 1), Price(0, 12), Price(12, 0)]
    assert len({each.list_digest for each in prices}) == len(prices)
    assert Price(1, 2).list_digest == sha256(b"\x82\x01\x02").digest()


def test_a_price_in_another_unit_is_refused_with_the_right_ones() -> None:
    with pytest.raises(AmountError, match="token is USDC and its units are GiB and h"):
        Price.parse("0.05 USDC/GB", USDC)
