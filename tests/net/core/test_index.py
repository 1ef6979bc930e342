# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Full nodes that heard the same agree, in whatever order they heard it; memory is bounded."""

from dataclasses import replace
from functools import reduce
from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st

from fs_net.core.index import Index, Latest
from fs_net.core.records import HEARTBEAT_LIFETIME, MAX_RECORD_LIFETIME, Heartbeat, Signed
from tests.net.world import NOW, Provider
from tests.walks import examples

MOST = 3
STAKES = {number: 10 * (number % 3) for number in range(6)}  # some of them have equal stake


def said(provider: int, sequence: int, free: int) -> Signed[Heartbeat]:
    content = Heartbeat(provider.to_bytes(20, "big"), sequence, 0, free)
    return Signed(content, bytes([provider, sequence, free]))


SAID = st.builds(said, st.integers(0, 5), st.integers(0, 5), st.integers(0, 2))


def index_of(*heard: list[Signed[Heartbeat]]) -> Latest[Heartbeat]:
    """Return an index that heard all of this in this order."""
    latest: Latest[Heartbeat] = Latest(100, MOST)
    for each in chain(*heard):
        latest.add(each, STAKES[int.from_bytes(each.content.provider, "big")])
    return latest


def held(latest: Latest[Heartbeat]) -> list[bytes]:
    return sorted(each.raw for each in latest)


def merged(*parts: Latest[Heartbeat]) -> list[bytes]:
    return held(index_of(*(list(each) for each in parts)))


Heard = st.lists(SAID, max_size=12)


@settings(max_examples=examples(300))
@given(Heard, Heard, Heard)
def test_merging_is_commutative_associative_and_idempotent(
    a: list[Signed[Heartbeat]], b: list[Signed[Heartbeat]], c: list[Signed[Heartbeat]]
) -> None:
    x, y, z = index_of(a), index_of(b), index_of(c)
    assert merged(x, y) == merged(y, x)
    assert merged(index_of(list(x), list(y)), z) == merged(x, index_of(list(y), list(z)))
    assert merged(x, x) == held(x)
    # Merging two indexes gives the same result as hearing everything in one.
    assert merged(x, y, z) == held(index_of(a, b, c)) == held(index_of(c, b, a))


@given(st.permutations([said(p, s, f) for p in range(5) for s in range(2) for f in range(2)]))
def test_the_order_of_hearing_does_not_matter(heard: list[Signed[Heartbeat]]) -> None:
    assert held(index_of(heard)) == held(index_of(sorted(heard, key=lambda each: each.raw)))


@given(Heard, Heard, st.integers(0, 120))
def test_forgetting_and_merging_may_swap(
    a: list[Signed[Heartbeat]], b: list[Signed[Heartbeat]], now: int
) -> None:
    """This holds if the index has room; otherwise forgetting makes room."""
    few = [[each for each in heard if each.content.provider[-1] < MOST] for heard in (a, b)]
    both = index_of(*few)
    both.expire(now)
    apart = [index_of(heard) for heard in few]
    for each in apart:
        each.expire(now)
    fresh = [each for each in index_of(*map(list, apart)) if each.content.sequence + 100 > now]
    assert held(both) == sorted(each.raw for each in fresh)


def test_those_with_most_stake_stay() -> None:
    index = index_of([said(provider, 0, 0) for provider in range(6)])
    stakes = sorted((STAKES[each.content.provider[-1]] for each in index), reverse=True)
    assert len(index) == MOST
    assert stakes == [20, 20, 10]


def test_an_equivocation_is_settled_alike_everywhere() -> None:
    one, other = said(1, 1, 1), said(1, 1, 2)
    assert held(index_of([one, other])) == held(index_of([other, one])) == [other.raw]


def test_a_silent_provider_has_no_heartbeat_and_an_expired_one_no_entry() -> None:
    provider, index = Provider(1), Index()
    index.records.add(provider.record(NOW, lifetime=60_000), 1)
    index.heartbeats.add(provider.heartbeat(NOW), 1)
    alive = index.entry(provider.address, NOW + HEARTBEAT_LIFETIME)
    assert alive is not None and alive.heartbeat is not None  # one ms after its record
    silent = index.entry(provider.address, NOW + HEARTBEAT_LIFETIME + 1)
    assert silent is not None and silent.heartbeat is None
    assert index.entry(provider.address, NOW + 60_000) is None
    index.expire(NOW + MAX_RECORD_LIFETIME - 1)
    assert len(index.records) == 1 and not len(index.heartbeats)
    index.expire(NOW + MAX_RECORD_LIFETIME)
    assert not len(index.records)


def test_replacing_keeps_one_of_each() -> None:
    latest = index_of([said(1, sequence, 0) for sequence in range(6)])
    assert len(latest) == 1
    assert reduce(lambda _, each: each.content.sequence, latest, 0) == 5
    assert replace(said(1, 5, 0)).raw in held(latest)
