# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Meters, windows and tolerance, each on its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.money.accounting import (
    A_PACKET,
    ANY,
    CLOSED,
    NOTHING_COUNTED,
    Increment,
    Meter,
    Stopwatch,
    Tolerance,
    Usage,
    Window,
)
from fs_market.core.money.prices import UNLIMITED, Price

MIB = 1 << 20
PRICE = Price(1024, 0)  # one base unit for a MiB
INCREMENT = Increment(MIB, 1, 32 * MIB, 8)
counters = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.booleans()))


@given(counters)
def test_a_meter_counts_over_restarts_of_the_engine(steps: list[tuple[int, int, bool]]) -> None:
    meter, up, down = NOTHING_COUNTED, 0, 0
    total = [0, 0]
    for more_up, more_down, restarts in steps:
        if restarts:  # a peer that is added again is read before anything passes
            up, down = 0, 0
            meter = meter.read(0, 0)
        up, down = up + more_up, down + more_down
        total = [total[0] + more_up, total[1] + more_down]
        meter = meter.read(up, down)
    assert [meter.usage.up, meter.usage.down] == total


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 2**40))
def test_the_engines_credit_ends_where_the_total_does(old: int, up: int, more: int) -> None:
    meter = Meter(Usage(up=old)).read(up, 0)
    total = meter.usage.bytes + more
    credit = meter.engine_credit(total)
    assert credit == (CLOSED if more < A_PACKET else up + more)
    assert credit != ANY
    assert meter.engine_credit(UNLIMITED) == ANY


def test_a_stopwatch_loses_no_part_of_a_millisecond() -> None:
    watch = Stopwatch()
    assert watch.take(5.0) == 0
    watch.start(10.0)
    watch.start(11.0)  # it is running already
    assert sum(watch.take(10.0 + n * 0.0003) for n in range(1, 10_001)) in (2999, 3000)
    assert watch.take(1.0) == 0  # a clock that went back
    watch.stop()
    assert watch.take(100.0) == 0


def test_a_window_doubles_for_each_window_that_was_paid() -> None:
    window, sizes = Window.first(INCREMENT), []
    for paid in range(1, 101):
        window = window.after_payment(paid, PRICE, INCREMENT, rate=1e9, round_trip=0.1)
        sizes.append(window.bytes // MIB)
        # Nobody risks more than was paid before, except for the first increment.
        assert window.exposure(PRICE) <= paid + 1
    assert sizes[:8] == [2, 2, 4, 4, 4, 4, 8, 8]
    assert max(sizes) == 32
    assert window.seconds == 8


@pytest.mark.parametrize(("rate", "most"), [(0, MIB), (10 * MIB, 4 * MIB), (1e12, 32 * MIB)])
def test_a_window_holds_four_times_what_is_under_way(rate: float, most: int) -> None:
    window = Window.first(INCREMENT)
    for paid in range(1, 1000):
        window = window.after_payment(paid, PRICE, INCREMENT, rate, round_trip=0.1)
    assert window.bytes == most


def test_even_the_cheapest_service_risks_one_unit() -> None:
    assert Window(1, 1).exposure(Price(1, 0)) == 1


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**9))
def test_nothing_is_paid_beyond_the_tolerance_or_a_window_ahead(
    own: int, claimed: int, window: int
) -> None:
    tolerance = Tolerance(10_000)
    payable = tolerance.payable(own, claimed, window)
    assert payable <= own + own // 100
    assert payable <= max(own, claimed)
    if claimed <= own:
        assert payable == min(own, claimed + window)
    if not tolerance.is_exceeded(own, claimed, window):
        assert claimed - payable <= window
