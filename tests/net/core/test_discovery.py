# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a client believes about several full nodes, if some of them lie."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_net.core.discovery import (
    GRACE,
    MAX_CANDIDATES,
    MAX_PAGES,
    Discovery,
    Listings,
    Outcome,
    providers_of,
)
from fs_net.core.index import Entry
from fs_net.core.matching import MILLION, Candidate, Order, Wishes, match
from fs_net.core.questions import MAX_FOUND, UNMEASURED, Found, Hit
from fs_net.core.records import HEARTBEAT_LIFETIME, sign
from fs_net.errors import Reason
from tests.net.world import ALICE, EVE, NETWORK, NOW, Provider

CAROL = b"carol's peer id"
LONG_AGO, LATELY = NOW - 3 * GRACE, NOW - 2 * GRACE


def listed(*providers: Provider) -> Listings:
    chain = Listings()
    chain.learn({each.address: each.listing() for each in providers})
    return chain


def hit(provider: Provider, at: int = LATELY, uptime: int = UNMEASURED, **said: Any) -> Hit:
    """Return what the provider signed at that time, whatever it signed since."""
    then = Provider(int.from_bytes(provider.address, "big"))
    return Hit(then.record(at, **said).raw, then.heartbeat(NOW - 1).raw, uptime)


def tell(search: Discovery, node: bytes, hits: list[Hit], now: int = NOW) -> None:
    """Answer all questions of ``search`` to a full node with these hits."""
    while (question := search.question(node, now)) is not None:
        page = tuple(hits[question.skip :][:MAX_FOUND])
        search.take(node, Found(page, len(hits)), now)


def search(chain: Listings, wishes: Wishes = Wishes(), order: Order = Order.BEST) -> Discovery:  # noqa: B008 - it is frozen
    return Discovery(wishes, order, NETWORK, chain)


def addresses(outcome: Outcome) -> set[bytes]:
    return {each.candidate.provider for each in outcome.matches}


_DEEDS = st.sampled_from(["show", "withhold", "older", "forge"])


@given(
    st.integers(1, 5).flatmap(
        lambda count: st.lists(
            st.lists(_DEEDS, min_size=count, max_size=count), min_size=0, max_size=4
        ).map(lambda liars: [["show"] * count, *liars])
    ),
    st.randoms(),
)
def test_one_honest_node_suffices_and_each_liar_is_named(
    nodes: list[list[str]], chance: object
) -> None:
    """The other full nodes may do anything, and may be heard in any order."""
    crowd = [Provider(number + 1) for number in range(len(nodes[0]))]
    before = [hit(each, LONG_AGO, price_per_gib=1) for each in crowd]
    after = [hit(each) for each in crowd]
    forged = [
        replace(true, record=sign(each.record(NOW).content, Provider(99).keys.node, NETWORK).raw)
        for each, true in zip(crowd, after, strict=True)
    ]
    answers: dict[bytes, list[Hit]] = {}
    for number, deeds in enumerate(nodes):
        kinds = {"show": after, "older": before, "forge": forged}
        answers[bytes([number])] = [
            kinds[deed][place] for place, deed in enumerate(deeds) if deed in kinds
        ]
    looked = search(listed(*crowd))
    for node in sorted(answers, key=lambda _: chance.random()):  # type: ignore[attr-defined]
        tell(looked, node, answers[node])
    outcome = looked.outcome(NOW)
    assert {each.candidate.entry.record.raw for each in outcome.matches} == {
        each.record for each in after
    }
    for report in outcome.reports:
        deeds = nodes[report.node[0]]
        absent = {crowd[i].address for i, deed in enumerate(deeds) if deed in ("withhold", "forge")}
        assert set(report.missing) == absent
        assert set(report.older) == {crowd[i].address for i, d in enumerate(deeds) if d == "older"}
        lies = deeds.count("forge")
        assert report.refused == ({Reason.BAD_SIGNATURE: lies} if lies else {})
        assert report.is_suspect is (set(deeds) != {"show"})


@given(st.integers(0, 70), st.sampled_from(Order))
def test_pages_add_up_to_the_ranking_of_all(count: int, order: Order) -> None:
    crowd = [Provider(number + 1) for number in range(count)]
    looked = search(listed(*crowd), order=order)
    hits = [hit(each, price_per_gib=1 + each.address[-1] % 7) for each in crowd]
    tell(looked, ALICE, hits)
    known = Discovery(Wishes(), order, NETWORK, listed(*crowd))
    for place in range(0, count, MAX_FOUND):
        known.take(EVE, Found(tuple(hits[place:][:MAX_FOUND]), count), NOW)
    outcome = looked.outcome(NOW)
    assert outcome.matches == known.outcome(NOW).matches
    assert len(outcome.matches) == count
    (report,) = outcome.reports
    assert (report.shown, report.total, report.is_complete) == (count, count, True)


def test_the_ranking_is_that_of_matching() -> None:
    cheap, reliable = Provider(1), Provider(2)
    looked = search(listed(cheap, reliable), order=Order.UPTIME)
    tell(looked, ALICE, [hit(cheap, price_per_gib=1), hit(reliable, uptime=MILLION)])
    outcome = looked.outcome(NOW)
    expected = match(
        [
            Candidate(each.candidate.entry, each.candidate.listing, each.candidate.uptime)
            for each in outcome.matches
        ],
        Wishes(),
        Order.UPTIME,
    )
    assert outcome.matches == expected
    assert outcome.matches[0].candidate.provider == reliable.address


def test_a_node_without_end_is_left_after_some_pages() -> None:
    bob = Provider(1)
    looked, asked = search(listed(bob)), 0
    while looked.question(EVE, NOW) is not None:
        asked += 1
        looked.take(EVE, Found((hit(bob),) * MAX_FOUND, 1 << 31), NOW)
        if asked > MAX_PAGES:
            break
    assert asked <= MAX_PAGES
    (report,) = looked.outcome(NOW).reports
    assert not report.is_complete and report.total == 1 << 31


def test_who_sends_rubbish_is_asked_no_more() -> None:
    looked = search(listed())
    looked.take(EVE, Found((Hit(b"rubbish", b"", 0),) * MAX_FOUND, 1000), NOW)
    assert looked.question(EVE, NOW) is None
    assert looked.question(ALICE, NOW) is not None
    refused = looked.outcome(NOW).reports[0].refused
    assert refused[Reason.MALFORMED] == 10  # the rest was not judged


def test_an_empty_page_ends_it_whatever_total_is_claimed() -> None:
    bob = Provider(1)
    looked = search(listed(bob))
    tell(looked, ALICE, [hit(bob)])
    looked.take(EVE, Found((), 1000), NOW)
    assert looked.question(EVE, NOW) is None
    assert looked.outcome(NOW).reports[1].missing == (bob.address,)


def test_who_did_not_tell_all_is_not_blamed_for_what_is_missing() -> None:
    crowd = [Provider(number + 1) for number in range(MAX_FOUND + 1)]
    looked = search(listed(*crowd))
    tell(looked, ALICE, [hit(each) for each in crowd])
    looked.take(EVE, Found(tuple(hit(each) for each in crowd[:MAX_FOUND]), 1000), NOW)
    report = looked.outcome(NOW).reports[1]
    assert not report.is_complete and not report.is_suspect


@pytest.mark.parametrize("age", [0, GRACE - 1, GRACE])
def test_what_has_just_been_said_need_not_be_known_everywhere(age: int) -> None:
    bob, dave = Provider(1), Provider(2)
    looked = search(listed(bob, dave))
    tell(looked, ALICE, [hit(bob, NOW - age), hit(dave, NOW - age)])
    tell(looked, EVE, [hit(bob, LONG_AGO)])
    outcome = looked.outcome(NOW)
    assert len(outcome.matches) == 2
    assert outcome.reports[1].is_suspect is (age == GRACE)


def test_a_provider_that_is_dead_is_not_missed() -> None:
    bob = Provider(1)
    looked = search(listed(bob))
    tell(looked, ALICE, [hit(bob)])
    tell(looked, EVE, [])
    assert looked.outcome(NOW).reports[1].missing == (bob.address,)
    later = NOW + HEARTBEAT_LIFETIME
    assert looked.outcome(later).matches == []
    assert not looked.outcome(later).reports[1].is_suspect


def test_nodes_that_measure_differently_do_not_disagree() -> None:
    """The median counts, and no full node's own measurement filters the answers."""
    bob = Provider(1)
    for said, suits in (((990_000, 999_000, 0), True), ((990_000, 0, 0), False)):
        looked = search(listed(bob), Wishes(min_uptime=980_000))
        for node, uptime in zip((ALICE, CAROL, EVE), said, strict=True):
            question = looked.question(node, NOW)
            assert question is not None and question.min_uptime == 0
            tell(looked, node, [hit(bob, uptime=uptime)])
        outcome = looked.outcome(NOW)
        assert addresses(outcome) == ({bob.address} if suits else set())
        assert not any(each.is_suspect for each in outcome.reports)


def test_two_nodes_that_measured_differently_are_believed_the_less() -> None:
    bob = Provider(1)
    looked = search(listed(bob))
    tell(looked, ALICE, [hit(bob, uptime=900_000)])
    tell(looked, EVE, [hit(bob, uptime=MILLION)])
    assert looked.outcome(NOW).matches[0].candidate.uptime == 900_000


def test_an_uptime_beyond_all_time_is_no_uptime() -> None:
    bob = Provider(1)
    looked = search(listed(bob))
    tell(looked, EVE, [hit(bob, uptime=MILLION + 1)])
    outcome = looked.outcome(NOW)
    assert outcome.matches[0].candidate.uptime is None
    assert outcome.reports[0].refused == {Reason.MALFORMED: 1}


def test_a_heartbeat_of_another_does_not_make_a_provider_live() -> None:
    bob, dave = Provider(1), Provider(2)
    looked = search(listed(bob, dave))
    tell(looked, EVE, [Hit(bob.record(LATELY).raw, dave.heartbeat(NOW).raw, UNMEASURED)])
    outcome = looked.outcome(NOW)
    assert outcome.matches == []
    assert outcome.reports[0].refused == {Reason.MALFORMED: 1}


def test_what_the_chain_does_not_list_is_no_candidate() -> None:
    eve = Provider(666)
    chain = listed()
    looked = search(chain)
    found = Found((hit(eve), Hit(b"rubbish", b"", 0)), 2)
    assert chain.unknown(providers_of(found)) == [eve.address]
    chain.learn({eve.address: None})
    assert chain.unknown([eve.address]) == []
    looked.take(EVE, found, NOW)
    assert looked.outcome(NOW).matches == []
    assert looked.outcome(NOW).reports[0].refused[Reason.UNSTAKED] == 1


def test_what_does_not_suit_is_left_out_and_no_lie() -> None:
    french = Provider(1)
    looked = search(listed(french), Wishes(countries=frozenset({b"DE"})))
    tell(looked, ALICE, [hit(french, claimed_country=b"FR")])
    tell(looked, EVE, [])
    outcome = looked.outcome(NOW)
    assert outcome.matches == []
    assert not any(each.is_suspect for each in outcome.reports)


def test_the_dht_alone_gives_records_of_the_silent() -> None:
    bob, eve = Provider(1), Provider(666)
    looked = search(listed(bob))
    said = bob.record(LATELY)
    looked.take_record(said.raw, NOW)
    looked.take_record(eve.record(LATELY).raw, NOW)
    looked.take_record(b"rubbish", NOW)
    outcome = looked.outcome(NOW)
    (found,) = outcome.matches
    assert found.candidate.entry == Entry(said, None)
    assert outcome.reports == []
    # A full node's answer is compared with the record in the DHT.
    tell(looked, EVE, [hit(bob, LONG_AGO)])
    assert looked.outcome(NOW).reports[0].older == (bob.address,)


def test_memory_is_bounded() -> None:
    crowd = [Provider(number + 1) for number in range(MAX_CANDIDATES + MAX_FOUND)]
    looked = search(listed(*crowd))
    looked.take(ALICE, Found(tuple(hit(each) for each in crowd), len(crowd)), NOW)
    assert len(looked.outcome(NOW).matches) == MAX_CANDIDATES
