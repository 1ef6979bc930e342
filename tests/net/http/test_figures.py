# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Amounts, decimals and plots, as people see them."""

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_net.core.matching import Order
from fs_net.fullnode.catalogue import Token, UptimePoint
from fs_net.fullnode.http import plots, rows
from fs_net.fullnode.http.amounts import MAX_AMOUNT, decimal, format_amount, parse_amount
from fs_net.fullnode.http.countries import MAP_HEIGHT, MAP_WIDTH, countries, name_of
from fs_net.fullnode.http.query import Search
from tests.net.http.fair import COUNTRIES, TOKEN, fair
from tests.net.http.stage import needed
from tools import world_map

TOKENS = st.builds(Token, st.just("USDC"), st.integers(0, 36))


@given(st.integers(0, MAX_AMOUNT), TOKENS)
def test_an_amount_is_read_as_it_was_written(units: int, token: Token) -> None:
    text = format_amount(units, token)
    assert parse_amount(text, token) == units
    assert parse_amount(text.split(" ")[0], token) == units


@given(st.text(max_size=70), TOKENS)
def test_what_is_no_amount_is_refused(text: str, token: Token) -> None:
    try:
        units = parse_amount(text, token)
    except ValueError:
        return
    assert 0 <= units <= MAX_AMOUNT
    assert text.replace(".", "").split()[0].isascii()


@given(st.integers(0, MAX_AMOUNT), st.integers(0, 8))
def test_a_column_has_its_points_below_each_other(units: int, places: int) -> None:
    text = decimal(units, Token("USDC", 6), places)
    assert len(text.partition(".")[2]) >= places


def test_every_country_is_on_the_map() -> None:
    for each in countries().values():
        assert re.fullmatch("[A-Z]{2}", each.code)
        assert 0 <= each.x <= MAP_WIDTH
        assert 0 <= each.y <= MAP_HEIGHT or each.code in ("AQ", "BV", "GS", "HM")
    assert {each.decode() for each in COUNTRIES} <= set(countries())
    assert name_of("DE") == "Germany"
    assert name_of("ZZ") == "ZZ"


def test_the_map_is_what_the_tool_draws() -> None:
    needed(world_map.PACKAGES / "world-atlas")
    for file, text in world_map.drawn().items():
        assert file.read_text() == text, f"python -m tools.world_map makes another {file.name}"
    assert (MAP_WIDTH, MAP_HEIGHT) == (world_map.WIDTH, world_map.HEIGHT)


@pytest.mark.parametrize(
    ("share", "text"),
    [(1_000_000, "100.00 %"), (999_999, "99.99 %"), (5_000, "0.50 %"), (0, "0.00 %")],
)
def test_a_percentage_is_never_rounded_up(share: int, text: str) -> None:
    assert plots.percent(share) == text


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, MAX_AMOUNT)), max_size=9))
def test_a_plot_stays_within_its_frame(found: list[tuple[int, int]]) -> None:
    points = sorted(found)
    drawing = plots.line(points, 10**6 + 1, is_stepped=True)
    if not points:
        assert drawing == ""
        return
    places = re.findall(r"[ML]([\d.-]+) ([\d.-]+)", drawing)
    assert len(places) == 2 * len(points)
    for x, y in places:
        assert 0 <= float(x) <= 600
        assert 0 <= float(y) <= 120


@given(st.dictionaries(st.integers(0, 40), st.integers(0, 1_000_000), max_size=40))
def test_a_strip_has_a_bar_for_each_interval(shares: dict[int, int]) -> None:
    points = [UptimePoint(1000 + 10 * each, shares[each]) for each in sorted(shares)]
    drawing = plots.uptime_strip(points, 1000, 1405, 10)
    bars = re.findall(r'<rect class="(\w+)" x="\d+" y="(\d+)"', drawing)
    assert len(bars) == 41
    for index, (level, top) in enumerate(bars):
        assert (level == "unknown") == (index not in shares)
        assert 0 <= int(top) <= 40


def test_a_command_says_what_was_searched_for() -> None:
    catalogue, _ = fair(300)
    search = Search(
        country=("DE", "NL", "GB"),
        max_per_gib="0.09",
        min_uptime=99.5,
        service=("exit", "relay"),
        port=(443,),
        order=Order.PRICE,
    )
    found = catalogue.search(search.wishes(TOKEN), search.order)
    words = shlex.split(rows.discovery_command(search, found, TOKEN))
    assert found
    dearest = max(each.candidate.entry.record.content.price_per_hour for each in found)
    assert words[:8] == [
        "fs-tunnel",
        "up",
        *["--country", "DE", "--country", "NL", "--country", "GB"],
    ]
    assert words[8:18] == [
        *("--service", "exit", "--service", "relay", "--to-port", "443"),
        *("--min-uptime", "99.5%", "--order", "price"),
    ]
    price = f"0.09 USDC/GiB + {format_amount(dearest, TOKEN)}/h"
    budget = format_amount(9 * 10**6 + 24 * dearest, TOKEN)
    assert words[18:] == ["--max-price", price, "--budget", budget]


def test_a_command_pays_ahead_for_ten_gib_and_a_day() -> None:
    catalogue, providers = fair(3)
    view = catalogue.provider(providers[0].address)
    assert view is not None
    (row,) = rows.rows([rows.alone(view.candidate)], TOKEN)
    offer = view.candidate.entry.record.content
    words = shlex.split(rows.prepay_command(row))
    assert words[:5] == ["fs-tunnel", "market", "prepay", "--provider", row.address]
    budget = 10 * offer.price_per_gib + 24 * offer.price_per_hour
    assert words[5:] == ["--max-price", row.exact, "--budget", format_amount(budget, TOKEN), "--qr"]


@given(st.lists(st.integers(0, MAX_AMOUNT), min_size=1, max_size=9), TOKENS)
def test_amounts_of_a_column_end_alike(amounts: list[int], token: Token) -> None:
    lengths = {len(each.partition(".")[2]) for each in rows.aligned(amounts, token)}
    assert len(lengths) == 1
