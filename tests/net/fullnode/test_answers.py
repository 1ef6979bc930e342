# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a full node answers, and how the cost of strangers' questions is bounded."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_net.core.batch import Batch
from fs_net.core.judge import MAX_SKEW
from fs_net.core.matching import Order, Wishes
from fs_net.core.questions import (
    MAX_BYTES,
    MAX_FETCHED,
    MAX_FOUND,
    UNMEASURED,
    Compare,
    Compared,
    Declined,
    Deliver,
    Delivered,
    Fetch,
    Find,
    Found,
    Told,
    declined,
    parse_untrusted,
    serialize,
)
from fs_net.core.reconcile import Message, Range, Snapshot
from fs_net.core.records import ID_LEN, PortRange
from fs_net.errors import Reason
from fs_wire.schema import from_bytes_untrusted, to_bytes
from tests.net.fullnode.scene import Node, as_batch, world
from tests.net.world import ALICE, EVE, HOUR, NOW, Provider


def records_of(answer: object) -> tuple[bytes, ...]:
    assert isinstance(answer, Told)
    return from_bytes_untrusted(Batch, answer.batch, MAX_BYTES).records


def test_records_are_compared_fetched_and_delivered() -> None:
    chain, (bob, carol) = world(2)
    node = Node(chain)
    held, offered = bob.record(), carol.record()
    node.take(held)
    compared = node.ask(ALICE, Compare(Snapshot([offered.id]).opening()))
    assert isinstance(compared, Compared)
    step = Snapshot([offered.id]).answer_untrusted(compared.message)
    assert (step.we_lack, step.they_lack) == ([held.id], [offered.id])
    assert records_of(node.ask(ALICE, Fetch((held.id, held.id, bytes(ID_LEN))))) == (held.raw,)
    batch = as_batch(held, offered)
    assert node.ask(ALICE, Deliver(batch)) == Delivered.of([Reason.STALE, None])
    assert node.records() == {held.raw, offered.raw}
    same = Snapshot([held.id, offered.id]).opening()
    assert node.ask(ALICE, Compare(same)) == Compared(b"")


def test_what_expires_at_once_is_not_compared() -> None:
    chain, (bob,) = world(1)
    node = Node(chain)
    node.take(bob.record(NOW, MAX_SKEW + 1000))
    node.now = NOW + 1000
    assert node.ask(ALICE, Compare(Snapshot([]).opening())) == Compared(b"")


def test_providers_are_found_in_parts() -> None:
    chain, providers = world(MAX_FOUND + 3)
    node = Node(chain)
    node.take(*(each.record(price_per_gib=10**15 + n) for n, each in enumerate(providers)))
    assert node.ask(ALICE, Find.of(Wishes())) == Found((), MAX_FOUND + 3 - len(providers))
    node.take(*(each.heartbeat() for each in providers))
    first, rest = node.ask(ALICE, Find.of(Wishes())), node.ask(ALICE, Find.of(Wishes(), MAX_FOUND))
    assert isinstance(first, Found)
    assert isinstance(rest, Found)
    assert (len(first.hits), len(rest.hits), first.total) == (MAX_FOUND, 3, MAX_FOUND + 3)
    assert {each.record for each in (*first.hits, *rest.hits)} == node.records()
    assert first.hits[0].uptime == UNMEASURED
    assert first.hits[0].heartbeat


def test_what_is_no_question_is_declined_and_blamed() -> None:
    node = Node(world(1)[0])
    for wrong in (b"", b"rubbish", bytes(MAX_BYTES + 1), serialize(Compared(b""))):
        answer = parse_untrusted(node.answers.answer(EVE, wrong, NOW))
        assert isinstance(answer, Declined)
    assert node.gatherer.judge.standings.blame_of(EVE, NOW / 1000) >= 40
    overlapping = Message((Range(b"", b"", False, b""), Range(b"", b"", False, b"")))
    assert node.ask(EVE, Compare(to_bytes(overlapping))) == declined(Reason.MALFORMED)


def test_who_is_banned_is_answered_nothing() -> None:
    chain, (bob,) = world(1)
    node = Node(chain)
    for _ in range(10):
        node.answers.answer(EVE, b"rubbish", NOW)
    assert node.gatherer.banned() == {EVE}
    assert node.ask(EVE, Deliver(as_batch(bob.record()))) == declined(Reason.BANNED)
    assert node.records() == set()


def test_who_asks_says_by_what_to_rank() -> None:
    chain, (bob, carol) = world(2)
    chain.listings[carol.address] = carol.listing(stake=10**6)
    node = Node(chain)
    said = [bob.record(price_per_gib=1), carol.record()]
    node.take(*said, bob.heartbeat(), carol.heartbeat())
    for order, first in ((Order.PRICE, 0), (Order.STAKE, 1)):
        found = node.ask(ALICE, Find.of(Wishes(), order=order))
        assert isinstance(found, Found)
        assert found.hits[0].record == said[first].raw


@pytest.mark.parametrize("question", [Compare(Snapshot([]).opening()), Find.of(Wishes())])
def test_what_costs_much_is_bounded_for_each_and_for_all(question: Compare | Find) -> None:
    """One peer asks in a loop, and then more peers than an honest network has."""
    node = Node(world(1)[0])
    refused = declined(Reason.RATE_LIMITED)
    alone = sum(node.ask(EVE, question) != refused for _ in range(199))
    node = Node(world(1)[0])
    crowd = sum(
        node.ask(number.to_bytes(4, "big"), question) != refused
        for number in range(1000)
        for _ in range(2)
    )
    print(f"{type(question).__name__}: {alone} at once of one peer, {crowd} of 1,000")
    assert alone <= 100
    assert crowd <= 200
    node.now += 1000
    assert node.ask(ALICE, question) != refused  # a second later there is room


def test_a_loop_of_questions_ends_in_a_ban() -> None:
    node = Node(world(1)[0])
    for _ in range(300):
        node.ask(EVE, Find.of(Wishes()))
    assert node.gatherer.banned() == {EVE}


def test_a_fetch_of_everything_is_one_batch() -> None:
    chain, providers = world(MAX_FETCHED)
    node = Node(chain)
    ports = tuple(PortRange(each, each) for each in range(16))
    records = [each.record(refused_ports=ports) for each in providers]
    node.take(*records)
    node.held.snapshot(NOW)
    answer = node.ask(EVE, Fetch(tuple(each.id for each in records)))
    assert set(records_of(answer)) == node.records()


def test_rubbish_that_is_delivered_moves_nothing() -> None:
    chain, (bob, _) = world(2)
    node = Node(chain)
    good = bob.record(NOW + 5)
    node.take(good)
    rng = random.Random(1)
    crook = Provider(2)
    crook.announcer = Provider(99).announcer
    for number in range(200):
        bad = bytearray(as_batch(bob.record(NOW + 10 + number)))
        bad[rng.randrange(len(bad) - 300, len(bad))] ^= rng.randrange(1, 256)
        for data in (bytes(bad), as_batch(crook.record()), rng.randbytes(500)):
            peer = rng.randbytes(4)
            answer = node.ask(peer, Deliver(data))
            assert isinstance(answer, Delivered)
            assert 0 not in answer.codes
    assert node.records() == {good.raw}


@given(st.binary(max_size=200))
def test_whatever_is_asked_has_an_answer(question: bytes) -> None:
    node = Node(world(1)[0])
    parse_untrusted(node.answers.answer(EVE, question, NOW + HOUR))
