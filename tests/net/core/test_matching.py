# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which providers match a client's wishes, and in which order."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_net.core.index import Entry
from fs_net.core.matching import (
    MILLION,
    Candidate,
    Facet,
    Order,
    Wishes,
    best_weights,
    match,
    suits,
)
from fs_net.core.records import PortRange, Service
from tests.net.world import Provider


def candidate(
    number: int, *, free: int = 7, stake: int = 1000, uptime: int | None = None, **said: Any
) -> Candidate:
    provider = Provider(number)
    heartbeat = provider.heartbeat(free=free) if free else None
    return Candidate(Entry(provider.record(**said), heartbeat), provider.listing(stake), uptime)


def test_each_wish_is_a_filter() -> None:
    alice = candidate(1, uptime=900_000, refused_ports=(PortRange(25, 25),))
    assert suits(alice, Wishes())
    for wish in (
        Wishes(countries=frozenset({b"FR"})),
        Wishes(max_per_gib=10**16 - 1),
        Wishes(max_per_hour=10**15 - 1),
        Wishes(min_uptime=900_001),
        Wishes(min_free_slots=8),
        Wishes(services=Service.EXIT | Service(4)),
        Wishes(ports=frozenset({443, 25})),
    ):
        assert not suits(alice, wish), wish
    assert suits(
        alice,
        Wishes(
            frozenset({b"DE", b"FR"}), 10**16, 10**15, 900_000, 7, Service.RELAY, frozenset({26})
        ),
    )


def test_a_silent_provider_suits_nobody_who_wants_a_place() -> None:
    silent = candidate(1, free=0)
    assert not suits(silent, Wishes())
    assert suits(silent, Wishes(min_free_slots=0))


def test_what_verifiers_found_counts_more_than_a_claim() -> None:
    claimed = candidate(1)
    found = replace(claimed, listing=replace(claimed.listing, verified_country=b"FR"))
    assert not suits(found, Wishes(countries=frozenset({b"DE"})))
    assert match([found], Wishes())[0].facets[Facet.VERIFIED] == 0
    honest = replace(claimed, listing=replace(claimed.listing, verified_country=b"DE"))
    assert match([honest], Wishes())[0].facets[Facet.VERIFIED] == MILLION


@pytest.mark.parametrize(
    ("order", "first"),
    [(Order.PRICE, 1), (Order.UPTIME, 2), (Order.CAPACITY, 3), (Order.STAKE, 4)],
)
def test_each_order_has_its_own_best(order: Order, first: int) -> None:
    several = [
        candidate(1, price_per_gib=1),
        candidate(2, uptime=999_999),
        candidate(3, free=50),
        candidate(4, stake=10**6),
    ]
    ranked = match(several, Wishes(), order)
    assert len(ranked) == 4
    assert ranked[0].candidate.provider == Provider(first).address


_CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.integers(1, 2**64),
        free=st.integers(0, 100),
        stake=st.integers(0, 10**24),
        uptime=st.none() | st.integers(0, MILLION),
        price_per_gib=st.integers(0, 10**24),
        price_per_hour=st.integers(0, 10**24),
    ),
    max_size=8,
    unique_by=lambda each: each.provider,
)


@given(_CANDIDATES, st.sampled_from(Order), st.randoms())
def test_a_ranking_does_not_depend_on_the_order_of_hearing(
    several: list[Candidate], order: Order, chance: object
) -> None:
    ranked = match(several, Wishes(min_free_slots=0), order)
    shuffled = sorted(several, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert match(shuffled, Wishes(min_free_slots=0), order) == ranked
    for each in ranked:
        assert set(each.facets) == set(Facet)
        assert all(0 <= part <= MILLION for part in each.facets.values())
        assert 0 <= each.score <= MILLION


def test_better_in_one_facet_and_equal_in_all_others_is_first() -> None:
    plain: dict[str, Any] = {"price_per_gib": 100, "price_per_hour": 0}
    better = [
        candidate(9, price_per_gib=99, price_per_hour=0),
        candidate(9, uptime=600_000, **plain),
        candidate(9, free=8, **plain),
        candidate(9, stake=1001, **plain),
    ]
    for each in better:
        ranked = match([candidate(1, **plain), each], Wishes())
        assert ranked[0].candidate is each
    assert sum(weight for _, weight in best_weights()) == 100
