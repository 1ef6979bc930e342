# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Measured uptime against a model that remembers every look."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from fs_net.fullnode.uptime import BUCKET, DAY, Uptimes, average
from tests.net.world import NOW

BOB, CAROL = b"bob", b"carol"
START = NOW - NOW % (7 * DAY * BUCKET)
LOOKS = 5  # in a bucket
WEEK = 7 * DAY


class Model:
    """Remembers what each look of each bucket saw of each provider."""

    def __init__(self) -> None:
        self.seen: dict[bytes, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))

    def look(self, live: set[bytes], silent: set[bytes], now: int) -> None:
        if live:
            for provider in {*live, *silent, *self.seen}:
                self.seen[provider][now // BUCKET].append(provider in live)

    def bucket(self, provider: bytes, bucket: int) -> int:
        looks = self.seen[provider].get(bucket, [])
        return 1 + 254 * sum(looks) // len(looks) if looks else 0


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from([BOB, CAROL])),
            st.sampled_from([{BOB}, {BOB, CAROL}]),
            st.sampled_from([0, 1, BUCKET // 3, BUCKET, 2 * BUCKET, DAY * BUCKET, WEEK * BUCKET]),
        ),
        max_size=40,
    )
)
def test_figures_are_those_of_the_looks(looks: list[tuple[set[bytes], set[bytes], int]]) -> None:
    uptimes, model, now, known = Uptimes(), Model(), START, set[bytes]()
    for live, others, step in looks:
        now += step
        known |= live | others
        uptimes.look(live, known - live, now)
        model.look(live, known - live, now)
    last = now // BUCKET
    for provider in known:
        over = [model.bucket(provider, each) for each in range(last - WEEK + 1, last)]
        assert uptimes.share(provider) == average(over)
        week = [model.bucket(provider, each) for each in range(last - WEEK + 1, last + 1)]
        days = range(last // DAY - 8, last // DAY + 1)
        told = b"".join(uptimes.day(provider, day) for day in days)
        first = last - WEEK + 1 - days.start * DAY
        assert list(told[first : first + WEEK]) == week
        assert not any(told[:first] + told[first + WEEK :])


def test_a_week_is_remembered_and_no_more() -> None:
    uptimes, now = Uptimes(), START
    for bucket in range(3 * WEEK):
        now = START + bucket * BUCKET
        uptimes.look({BOB, CAROL} if bucket < 2 * WEEK else {CAROL}, {BOB}, now)
        if bucket == 2 * WEEK + WEEK // 2:
            share = uptimes.share(BOB)
            assert share is not None
            assert abs(share - 500_000) < 2_000
    for bucket in range(2):
        uptimes.look({CAROL}, set(), now + BUCKET * (1 + bucket))
    assert uptimes.share(BOB) is None  # it was silent for a week, so it is forgotten
    assert (uptimes.share(CAROL), len(uptimes)) == (1_000_000, 1)


def test_who_vanishes_is_silent() -> None:
    uptimes = Uptimes()
    for number in range(4 * LOOKS):
        now = START + number * BUCKET // LOOKS
        uptimes.look({BOB, CAROL} if number < 2 * LOOKS else {CAROL}, set(), now)
    uptimes.look({CAROL}, set(), START + 4 * BUCKET)
    assert uptimes.share(BOB) == 500_000
    assert uptimes.share(CAROL) == 1_000_000


def test_who_hears_nobody_is_cut_off_and_counts_nothing() -> None:
    uptimes = Uptimes()
    uptimes.look({BOB}, set(), START)
    uptimes.look(set(), {BOB}, START + 1000)
    assert uptimes.look({BOB}, set(), START + BUCKET)
    assert uptimes.share(BOB) == 1_000_000
    assert not uptimes.look(set(), {BOB}, START + BUCKET + 1)


def test_nothing_is_claimed_before_a_bucket_is_over() -> None:
    uptimes = Uptimes()
    uptimes.look({BOB}, set(), START)
    assert uptimes.share(BOB) is None
    assert uptimes.share(CAROL) is None


@given(st.integers(0, 10 * DAY), st.integers(0, 20 * DAY))
def test_an_earlier_run_is_taken_up(length: int, later: int) -> None:
    """The last week is taken up. Time that no full node measured stays unmeasured."""
    first, now = Uptimes(), START
    for bucket in range(length):
        now = START + bucket * BUCKET
        first.look({BOB}, {CAROL}, now)
    days = {
        (provider, day): shares
        for day in range(START // BUCKET // DAY, now // BUCKET // DAY + 1)
        for provider, shares in first.days(day)
    }
    second, then = Uptimes(), START + (length + later) * BUCKET
    for (provider, day), shares in days.items():
        second.restore(provider, day, shares, then)
    is_remembered = length > 0 and later < WEEK - 1
    assert second.share(BOB) == (1_000_000 if is_remembered else None)
    assert second.share(CAROL) == (0 if is_remembered else None)
