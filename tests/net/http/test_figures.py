"""Amounts, places and plots, as people see them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_net.fullnode.catalogue import Token, UptimePoint
from fs_net.fullnode.http import plots
from fs_net.fullnode.http.amounts import MAX_AMOUNT, decimal, format_amount, parse_amount
from fs_net.fullnode.http.countries import MAP_HEIGHT, MAP_WIDTH, countries, name_of
from tests.net.http.fair import COUNTRIES
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
