# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""When a provider counts as lost: after silence only, and never after our own sleep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.session.liveness import LOOK_EVERY, SILENT_AFTER, Liveness

START = 1000.0


def test_it_is_lost_after_its_silence_and_comes_back_by_one_byte() -> None:
    provider = Liveness(START)
    for second in range(int(SILENT_AFTER)):
        provider.look(7, START + second)
        assert not provider.is_lost
    provider.look(7, START + SILENT_AFTER)
    assert provider.is_lost
    provider.look(8, START + SILENT_AFTER + 1)
    assert not provider.is_lost
    assert provider.silence == 0


def test_an_engine_that_counts_anew_was_heard() -> None:
    provider = Liveness(START)
    for second in range(5):
        provider.look(900, START + second)
    provider.look(0, START + 5)
    assert provider.silence == 0


@pytest.mark.parametrize("slept", [3.5 * LOOK_EVERY, 3600.0])
def test_whoever_slept_has_not_listened(slept: float) -> None:
    provider = Liveness(START)
    provider.look(7, START)
    provider.look(7, START + slept)
    assert provider.silence == 0


@given(st.lists(st.tuples(st.floats(0.01, 10.0), st.booleans()), max_size=60))
def test_it_is_lost_just_when_it_was_silent_through_looks_without_a_gap(
    looks: list[tuple[float, bool]],
) -> None:
    provider, now, received, quiet = Liveness(START), START, 0, 0.0
    provider.look(received, now)
    for after, speaks in looks:
        now += after
        received += speaks
        provider.look(received, now)
        quiet = 0.0 if speaks or after > 3 * LOOK_EVERY else quiet + after
        assert provider.silence == pytest.approx(quiet)
        assert provider.is_lost == (provider.silence >= SILENT_AFTER)
