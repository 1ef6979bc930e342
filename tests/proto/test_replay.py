"""The replay window against a model that remembers everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.errors import ReplayDetected
from fs_tunnel.proto.replay import WINDOW, ReplayWindow


class Model:
    """What RFC 6479 promises, without its ring."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def accepts(self, counter: int) -> bool:
        return counter not in self.seen and counter > max(self.seen, default=-1) - WINDOW


def accepts(window: ReplayWindow, counter: int) -> bool:
    try:
        window.update(counter)
    except ReplayDetected:
        return False
    return True


# Steps of every size that matters: within a block, a block, the ring, and far beyond.
counters = st.lists(
    st.one_of(st.integers(0, 200), st.integers(0, 20_000), st.integers(2**63, 2**63 + 20_000)),
    max_size=200,
)


@given(counters)
def test_the_ring_is_the_model(sequence: list[int]) -> None:
    window, model = ReplayWindow(), Model()
    for counter in sequence:
        assert accepts(window, counter) is model.accepts(counter)
        if model.accepts(counter):
            model.seen.add(counter)


@given(counters, st.integers(0, 20_000))
def test_checking_changes_nothing(sequence: list[int], counter: int) -> None:
    window = ReplayWindow()
    for each in sequence:
        accepts(window, each)
    answers = set()
    for _ in range(2):
        try:
            window.check(counter)
            answers.add(True)
        except ReplayDetected:
            answers.add(False)
    assert len(answers) == 1
    assert accepts(window, counter) in answers


def test_a_jump_ahead_keeps_8128_behind_it() -> None:
    window = ReplayWindow()
    window.update(0)
    window.update(9000)
    window.update(9000 - 8000)
    for late in (9000 - 8192, 9000 - WINDOW, 0, 9000):
        with pytest.raises(ReplayDetected):
            window.update(late)
    window.update(9000 - WINDOW + 1)
