# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The replay window decides as a model does that remembers everything."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fs_tunnel.dataplane.replay import BLOCK_BITS, RING_BITS, WINDOW, ReplayWindow
from fs_tunnel.proto.errors import ReplayDetected


class Model:
    """A replay window with the promises of RFC 6479, but without its ring."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def accepts(self, counter: int) -> bool:
        return counter not in self.seen and counter >= max(self.seen, default=-1) - WINDOW


def accepts(window: ReplayWindow, counter: int) -> bool:
    try:
        window.update(counter)
    except ReplayDetected:
        return False
    return True


# Steps lead from the latest counter forwards and back to every edge: of a bit, a block, the window
# and the ring, and far beyond. Counters from the whole range would hardly ever meet an edge.
EDGES = (0, BLOCK_BITS, WINDOW - BLOCK_BITS, WINDOW, RING_BITS, 2 * RING_BITS, 2**40)
steps = st.builds(
    lambda sign, edge, off: sign * edge + off,
    st.sampled_from((-1, 1)),
    st.sampled_from(EDGES),
    st.integers(-3, 3),
)


@st.composite
def sequences(draw: st.DrawFn) -> list[int]:
    """Draw a sequence of counters as they might arrive."""
    latest = draw(st.sampled_from((0, 5, 2**63)))
    sequence = [latest]
    for step in draw(st.lists(steps, max_size=60)):
        counter = max(0, latest + step)
        sequence.append(counter)
        latest = max(latest, counter)
    return sequence


counters = sequences()


@given(counters)
@example([5, RING_BITS + 6, RING_BITS + 5])
def test_the_window_accepts_what_the_model_accepts(sequence: list[int]) -> None:
    window, model = ReplayWindow(), Model()
    for counter in sequence:
        assert accepts(window, counter) is model.accepts(counter)
        if model.accepts(counter):
            model.seen.add(counter)


@given(counters, steps)
def test_a_check_does_not_change_the_window(sequence: list[int], step: int) -> None:
    window, model = ReplayWindow(), Model()
    for each in sequence:
        accepts(window, each)
        model.seen.add(each)
    counter = max(0, max(sequence) + step)
    for _ in range(2):
        if model.accepts(counter):
            window.check(counter)
        else:
            with pytest.raises(ReplayDetected):
                window.check(counter)
    assert accepts(window, counter) is model.accepts(counter)


def test_the_window_reaches_8128_back_after_a_jump_ahead() -> None:
    window = ReplayWindow()
    window.update(0)
    window.update(9000)
    window.update(9000 - 8000)
    for late in (9000 - 8192, 9000 - 8129, 0, 9000):
        with pytest.raises(ReplayDetected):
            window.update(late)
    window.update(9000 - 8128)


@pytest.mark.parametrize("rounds", [1, 2, 1000])
def test_a_block_of_the_ring_is_cleared_in_each_round(rounds: int) -> None:
    window = ReplayWindow()
    for counter in range(BLOCK_BITS):
        window.update(counter)
    start = rounds * RING_BITS
    for counter in reversed(range(start, start + BLOCK_BITS)):
        window.update(counter)


# The window must reach as far as that of the Linux driver and wireguard-go. One side of a tunnel
# must not refuse what the other side may still deliver.
LIMIT = 8128 + 1
REACH = [
    *[(0, True), (1, True), (1, False), (9, True), (8, True), (7, True), (7, False)],
    *[(LIMIT, True), (LIMIT - 1, True), (LIMIT - 1, False), (LIMIT - 2, True)],
    *[(2, True), (2, False), (LIMIT + 16, True), (3, False), (LIMIT + 16, False)],
    *[(4 * LIMIT, True), (3 * LIMIT + 1, True), (10, False), (3 * LIMIT, False)],
    *[(3 * LIMIT - 1, False), (3 * LIMIT + 2, True), (3 * LIMIT + 1, False), (0, False)],
]


def test_the_window_reaches_as_far_as_that_of_other_implementations() -> None:
    window = ReplayWindow()
    for counter, fresh in REACH:
        assert accepts(window, counter) is fresh, counter


@pytest.mark.parametrize("first", [0, 1, 63, 64])
def test_a_full_window_may_arrive_in_either_direction(first: int) -> None:
    whole = range(first, first + WINDOW + 1)
    for order in (whole, reversed(whole)):
        window = ReplayWindow()
        assert all(accepts(window, counter) for counter in order)
        assert not any(accepts(window, counter) for counter in whole)
