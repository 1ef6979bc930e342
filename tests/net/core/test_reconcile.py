# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Two different sides converge, with traffic in proportion to the difference."""

import random
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fs_net.core.reconcile import MAX_MESSAGE, Message, Range, Snapshot
from fs_net.core.records import ID_LEN
from fs_net.errors import Refused
from fs_wire.schema import to_bytes
from tests.walks import examples


def ids(numbers: range | set[int]) -> set[bytes]:
    return {sha256(number.to_bytes(8, "big")).digest()[:ID_LEN] for number in numbers}


def reconcile(ours: set[bytes], theirs: set[bytes]) -> tuple[int, int]:
    """Compare until both hold the same; return the bytes of all messages, and the rounds."""
    traffic, times = 0, 0
    while times == 0 or ours != theirs:
        sides = [(Snapshot(ours), ours, theirs), (Snapshot(theirs), theirs, ours)]
        message: bytes | None = sides[0][0].opening()
        turn, times = 1, times + 1
        while message is not None:
            assert len(message) <= MAX_MESSAGE
            traffic += len(message)
            snapshot, mine, others = sides[turn]
            step = snapshot.answer_untrusted(message)
            others.update(step.they_lack)
            mine.update(step.we_lack)
            message, turn = step.answer, 1 - turn
        assert times < 50
    return traffic, times


@settings(max_examples=examples(60))
@given(st.integers(0, 2**32), st.integers(0, 3000), st.integers(0, 200), st.integers(0, 200))
def test_both_sides_converge(seed: int, common: int, ours: int, theirs: int) -> None:
    base = random.Random(seed).randrange(2**40)
    shared = ids(range(base, base + common))
    a = shared | ids(range(base + 10**6, base + 10**6 + ours))
    b = shared | ids(range(base + 2 * 10**6, base + 2 * 10**6 + theirs))
    everything = a | b
    reconcile(a, b)
    assert a == b == everything


def test_traffic_is_that_of_the_difference() -> None:
    costs = {}
    for difference in (0, 1, 10, 100):
        a, b = ids(range(10_000)), ids(range(difference, 10_000))
        costs[difference], _ = reconcile(a, b)
    print(f"bytes to compare 10,000 by how many differ: {costs}")
    assert costs[0] < 64
    assert costs[1] < 4_000
    assert costs[10] < 30_000
    assert costs[100] < 150_000  # the ids alone would take 160,000 bytes


def test_who_has_nothing_gets_everything() -> None:
    a, b = ids(range(20_000)), set[bytes]()
    reconcile(a, b)
    assert len(b) == 20_000
    a, b = set[bytes](), ids(range(20_000))
    reconcile(a, b)
    assert len(a) == 20_000


@given(st.binary(max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    try:
        Snapshot(ids(range(50))).answer_untrusted(data)
    except Refused:
        return
    assert data == to_bytes(Message(()))


def test_ranges_that_repeat_are_refused() -> None:
    """Each repeated range would cost a walk over everything that we hold."""
    everything = Range(b"", b"", False, bytes(ID_LEN))
    with pytest.raises(Refused):
        Snapshot(ids(range(50))).answer_untrusted(to_bytes(Message((everything,) * 2)))
    backwards = Range(b"\x02", b"\x01", False, bytes(ID_LEN))
    with pytest.raises(Refused):
        Snapshot(ids(range(50))).answer_untrusted(to_bytes(Message((backwards,))))


@settings(max_examples=examples(40))
@given(st.integers(0, 2000), st.integers(0, 40), st.integers(0, 40))
def test_who_asks_learns_what_either_lacks(common: int, ours: int, theirs: int) -> None:
    """The asked side keeps no state and learns nothing."""
    shared = ids(range(common))
    a, b = shared | ids(range(10**6, 10**6 + ours)), shared | ids(range(10**7, 10**7 + theirs))
    asking, asked = Snapshot(a), Snapshot(b)
    message: bytes | None = asking.opening()
    we_lack, they_lack = set[bytes](), set[bytes]()
    questions = 0
    while message is not None:
        questions += 1
        answer = asked.answer_untrusted(message, is_asked=True).answer
        if answer is None:
            break
        assert len(answer) <= MAX_MESSAGE
        step = asking.answer_untrusted(answer)
        we_lack.update(step.we_lack)
        they_lack.update(step.they_lack)
        message = step.answer
    assert questions <= 8
    assert we_lack <= b - a
    assert they_lack <= a - b
    if ours + theirs <= 30:  # so many ids fit into one exchange
        assert (we_lack, they_lack) == (b - a, a - b)
    assert bool(we_lack or they_lack) == (a != b)
