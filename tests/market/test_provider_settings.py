# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's settings are read strictly, and every mistake is named with its key."""

from pathlib import Path
from typing import Any

import pytest

from fs_market.core.money.accounting import Increment
from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_market.provider_settings import parse_provider
from fs_market.settings import read_provider
from fs_wire.errors import ConfigError
from fs_wire.types import Endpoint

TOKEN = Token("USDC", 6, Address(bytes(20)))
SECTION: dict[str, Any] = {
    "listen": "192.0.2.1:4700",
    "endpoint": "192.0.2.1:51820",
    "price": "0.05 USDC/GiB + 0.01 USDC/h",
    "key_file": "account.key",
    "node_key_file": "node.key",
}


def test_what_is_not_said_has_a_default() -> None:
    sold = parse_provider(SECTION, "market.toml")
    assert sold.listen == Endpoint("192.0.2.1", 4700)
    assert sold.price_in(TOKEN) == Price(50_000, 10_000)
    assert sold.increment == Increment(1 << 20, 5, 256 << 20, 30)
    assert sold.tolerance_ppm == 10_000
    assert sold.amounts_in(TOKEN) == (1, 1, 0)
    said = parse_provider({**SECTION, "min_deposit": "0.5 USDC", "settle_above": "1 USDC"}, "")
    assert said.amounts_in(TOKEN) == (500_000, 1_000_000, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("listen", "192.0.2.1"),
        ("listen", None),
        ("endpoint", "provider.example:51820"),
        ("price", 5),
        ("payment_port", 0),
        ("payment_port", "4701"),
        ("clients", 10_001),
        ("clients", True),
        ("window", "2 GiB"),
        ("window", "0 B"),
        ("max_window", "1 KiB"),
        ("tolerance_percent", 6),
        ("close_window", "soon"),
        ("rate", "fast"),
        ("colour", "blue"),
        ("country", "de"),
        ("country", "DEU"),
        ("services", []),
        ("services", ["tor"]),
        ("services", "exit"),
        ("refused_ports", ["25-"]),
        ("refused_ports", ["139-135"]),
        ("refused_ports", [65536]),
        ("refused_ports", [-1]),
        ("refused_ports", [True]),
        ("refused_ports", [["25"]]),
        ("refused_ports", list(range(17))),
        ("sales", "provider.example:4700"),
        ("relay", 1),
    ],
)
def test_a_mistake_is_named(key: str, value: object) -> None:
    section = {**SECTION, key: value}
    if value is None:
        del section[key]
    with pytest.raises(ConfigError) as caught:
        parse_provider(section, "market.toml")
    assert caught.value.source == "market.toml"
    assert "window" if key == "max_window" else key in str(caught.value.key)


def test_what_it_says_of_itself() -> None:
    sold = parse_provider(
        {
            **SECTION,
            "country": "DE",
            "services": ["exit", "relay"],
            "refused_ports": [25, "135-139"],
        },
        "",
    )
    assert (sold.country, sold.services) == ("DE", ("exit", "relay"))
    assert sold.refused_ports == ((25, 25), (135, 139))
    assert parse_provider(SECTION, "").refused_ports == ((25, 25),)


@pytest.mark.parametrize(
    ("said", "reached"),
    [
        ({}, ["192.0.2.1:4700"]),
        ({"listen": "0.0.0.0:4700"}, ["192.0.2.1:4700"]),
        ({"listen": "[::]:4700"}, ["192.0.2.1:4700"]),
        ({"listen": "10.0.0.5:4700", "sales": "192.0.2.9:4800"}, ["192.0.2.9:4800"]),
        ({"relay": True}, []),
        ({"relay": True, "sales": "192.0.2.9:4800"}, ["192.0.2.9:4800"]),
    ],
)
def test_where_others_reach_it(said: dict[str, Any], reached: list[str]) -> None:
    sold = parse_provider({**SECTION, "endpoint": "192.0.2.1:51820", **said}, "")
    assert [str(each) for each in sold.negotiates_at] == reached


def test_a_file_without_the_section_sells_nothing(tmp_path: Path) -> None:
    file = tmp_path / "market.toml"
    file.write_text("[chain]\n")
    with pytest.raises(ConfigError, match="write what you sell"):
        read_provider(file)
