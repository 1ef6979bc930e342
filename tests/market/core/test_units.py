# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Amounts as people write them, exactly."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.money.units import (
    MAX_AMOUNT,
    Amount,
    Token,
    format_bytes,
    format_seconds,
    format_wait,
    parse_bytes,
    parse_seconds,
)
from fs_market.core.wire.ethereum import ZERO_ADDRESS, Address
from fs_market.errors import AmountError
from tests.vectors import load

USDC = Token("USDC", 6, ZERO_ADDRESS)
WHOLE = Token("POINT", 0, ZERO_ADDRESS)


@pytest.mark.parametrize(
    ("text", "units", "shown"),
    [
        ("1 USDC", 1_000_000, "1 USDC"),
        ("1.250000 USDC", 1_250_000, "1.25 USDC"),
        ("0.000001 USDC", 1, "0.000001 USDC"),
        ("0 USDC", 0, "0 USDC"),
        ("1.2500000000 USDC", 1_250_000, "1.25 USDC"),
        ("007 USDC", 7_000_000, "7 USDC"),
    ],
)
def test_an_amount_is_read_and_shown(text: str, units: int, shown: str) -> None:
    amount = USDC.parse(text)
    assert amount.units == units
    assert str(amount) == shown == USDC.format(units)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "USDC", " USDC", "1USDC", "1 usdc", "1 EUR", "-1 USDC", "+1 USDC", "1e3 USDC"),
        *("1. USDC", ".5 USDC", "1.0000001 USDC", "1_000 USDC", "1,5 USDC", "1  USDC", "1 USDC "),
        *("٣ USDC", "1.2.3 USDC", "nan USDC", "inf USDC", f"{MAX_AMOUNT} USDC", "9" * 5000),
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match=r"USDC"):
        USDC.parse(text)


@given(st.integers(0, MAX_AMOUNT), st.integers(0, 36))
def test_every_amount_survives_its_text(units: int, decimals: int) -> None:
    token = Token("T", decimals, ZERO_ADDRESS)
    assert token.parse(token.format(units)).units == units


def test_amounts_of_one_token_add_up_and_compare() -> None:
    one, two = Amount(1, USDC), Amount(2, USDC)
    assert one + one == two
    assert str(one - two) == "-0.000001 USDC"
    assert one < two <= two
    with pytest.raises(AmountError, match="cannot be added"):
        _ = one + Amount(1, WHOLE)
    with pytest.raises(AmountError, match="cannot be added"):
        _ = one < Amount(2, WHOLE)


@pytest.mark.parametrize(
    ("symbol", "decimals"),
    [("A B", 6), ("\x1b[31m", 6), ("A" * 17, 6), ("", 6), ("A", -1), ("A", 37)],
)
def test_a_token_with_a_strange_name_is_refused(symbol: str, decimals: int) -> None:
    with pytest.raises(AmountError):
        Token(symbol, decimals, ZERO_ADDRESS)


@pytest.mark.parametrize(
    ("text", "count", "shown"),
    [
        ("10 GiB", 10 << 30, "10.00 GiB"),
        ("1.5 MiB", 3 << 19, "1.50 MiB"),
        ("1023 B", 1023, "1023 B"),
        ("0 B", 0, "0 B"),
        ("2 TiB", 2 << 40, "2.00 TiB"),
        ("1.999 KiB", None, ""),
    ],
)
def test_traffic(text: str, count: int | None, shown: str) -> None:
    if count is None:
        with pytest.raises(AmountError, match="10 GiB"):
            parse_bytes(text)
        return
    assert parse_bytes(text) == count
    assert format_bytes(count) == shown


def test_traffic_is_rounded_down() -> None:
    assert format_bytes((2 << 20) - 1) == "1.99 MiB"


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("2 h", 7200, "2 h"),
        ("90 min", 5400, "1 h 30 min"),
        ("0.5 d", 43200, "12 h"),
        ("0 s", 0, "0 s"),
        ("61 s", 61, "1 min 1 s"),
    ],
)
def test_time(text: str, seconds: int, shown: str) -> None:
    assert parse_seconds(text) == seconds
    assert format_seconds(seconds) == shown


@pytest.mark.parametrize("text", ["1", "h", "1 week", "-1 h", "0.0001 s", f"{2**63} s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match="2 h"):
        parse_seconds(text)


# EIP-55, "Test Cases".
CHECKSUMMED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", CHECKSUMMED)
def test_an_address_with_a_checksum(text: str) -> None:
    assert str(Address.parse(text)) == text
    assert Address.parse(text.lower()) == Address.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "0x", CHECKSUMMED[0][2:], CHECKSUMMED[0] + "00", CHECKSUMMED[3].swapcase()),
        *(CHECKSUMMED[3].replace("5aAe", "5AAe"), "0x " + "ab" * 19 + "a", "0x" + "g" * 40),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match="copy"):
        Address.parse(text)


def test_addresses_of_the_vectors_have_their_checksums() -> None:
    for case in load("channels")["channels"]:
        assert str(Address.parse(case["contract"])) == case["contract"]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("0,05 FST", "write a point for the comma: 1.5 FST"),
        ("-5 FST", "it has to be above 0, such as 1.5 FST"),
        ("0.1234567 FST", "FST has 6 decimals at most"),
        ("x FST", "such as 1.5 FST"),
        ("5 USDC", "write 1.5 FST"),
    ],
)
def test_what_is_wrong_with_an_amount_is_said(text: str, remedy: str) -> None:
    with pytest.raises(AmountError, match=re.escape(remedy)):
        Token("FST", 6, ZERO_ADDRESS).parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3601, "1 h 1 min"),
        (20 * 86400 + 23 * 3600 + 59 * 60 + 41, "21 d"),
        (86401, "1 d 1 h"),
    ],
)
def test_a_wait_is_rounded_up(seconds: int, text: str) -> None:
    assert format_wait(seconds) == text
