# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Two full nodes come to hold the same records, and a liar costs the other side little."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fs_net.core.questions import (
    Compare,
    Compared,
    Delivered,
    Fetch,
    Message,
    Told,
    declined,
)
from fs_net.core.reconcile import Message as Ranges
from fs_net.core.reconcile import Range
from fs_net.errors import HostTimeout, Reason, Refused
from fs_net.fullnode.sync import Outcome
from fs_wire.schema import to_bytes
from tests.net.fullnode.scene import Node, as_batch, world
from tests.net.world import NOW, Chain, Provider
from tests.walks import examples

MANY = world(600)


def synchronize(
    alice: Node, bob: Node, lose: Callable[[int], bool] = lambda _: False
) -> tuple[Outcome, Counter[str]]:
    """Alice begins; ``lose`` says for each number whether that question stays unanswered."""
    asked: Counter[str] = Counter()

    async def ask(question: Message) -> Message:
        asked[type(question).__name__] += 1
        if lose(asked.total()):
            raise HostTimeout("no answer; try again")
        for node in (alice, bob):
            node.now += 67  # ms: 15 questions a second
        return bob.ask(alice.name, question)

    return asyncio.run(alice.sync.with_peer(bob.name, ask)), asked


def two(chain: Chain) -> tuple[Node, Node]:
    return Node(chain, b"alice"), Node(chain, b"bob")


@settings(max_examples=examples(25))
@given(st.data())
def test_both_hold_the_same_after_one_has_asked(data: st.DataObject) -> None:
    """They may have held anything before. The later version of a shared record wins."""
    chain, providers = MANY
    count = data.draw(st.integers(0, len(providers)))
    rng = data.draw(st.randoms(use_true_random=False))
    alice, bob = two(chain)
    best = {}
    for each in providers[:count]:
        for node in rng.choice([(alice,), (bob,), (alice, bob)]):
            record = each.record(NOW + rng.randrange(5))
            node.take(record)
            best[each.address] = record.raw
    outcome, asked = synchronize(alice, bob)
    assert alice.records() == bob.records() == set(best.values())
    assert synchronize(alice, bob) == (Outcome(), Counter(Compare=1))
    assert asked.total() < 60 + count / 8
    for node in (alice, bob):
        assert node.gatherer.judge.standings.blame_of(b"alice", NOW / 1000) == 0
        assert node.gatherer.judge.standings.blame_of(b"bob", NOW / 1000) == 0
    assert outcome.fetched + outcome.delivered <= count


def test_what_was_learnt_is_told_to_neighbours() -> None:
    chain, (carol, *_) = MANY
    alice, bob = two(chain)
    record = carol.record()
    bob.take(record)
    list(bob.gatherer.batches())
    assert synchronize(alice, bob)[0] == Outcome(fetched=1)
    assert list(alice.gatherer.batches()) == [as_batch(record)]


@pytest.mark.parametrize("lost", range(1, 7))
def test_an_answer_that_is_lost_is_made_up_for(lost: int) -> None:
    chain, providers = MANY
    alice, bob = two(chain)
    for number, each in enumerate(providers[:150]):
        (alice, bob)[number % 2].take(each.record())
    with pytest.raises(HostTimeout):
        synchronize(alice, bob, lambda number: number == lost)
    synchronize(alice, bob)
    assert alice.records() == bob.records()
    assert len(alice.records()) == 150


def test_another_view_of_the_chain_is_no_quarrel() -> None:
    """A record that only one side believes is tried once, and again only after ten minutes."""
    _, providers = MANY
    listings = {each.address: each.listing() for each in providers[:90]}
    alice = Node(Chain(dict(list(listings.items())[:60])), b"alice")
    bob = Node(Chain(dict(list(listings.items())[30:])), b"bob")
    for each in providers[:90]:
        (alice if each.address in alice.chain.listings else bob).take(each.record())
    for _ in range(20):
        synchronize(alice, bob)
    assert not alice.gatherer.judge.is_banned(b"bob", alice.now)
    assert not bob.gatherer.judge.is_banned(b"alice", bob.now)
    alice.chain.listings |= listings
    bob.chain.listings |= listings
    for node in (alice, bob):
        node.now += 11 * 60_000
    synchronize(alice, bob)
    assert alice.records() == bob.records()
    assert len(alice.records()) == 90


class Liar:
    """Says whatever keeps the other side busy."""

    def __init__(self, say: Callable[["Liar", Message], Message]) -> None:
        self.say, self.asked = say, 0
        self.provider = Provider(1)

    async def ask(self, question: Message) -> Message:
        self.asked += 1
        return self.say(self, question)


def _ids_without_end(liar: Liar, question: Message) -> Message:
    match question:
        case Compare():
            start = liar.asked * 32
            ids = tuple((start + n).to_bytes(16, "big") for n in range(32))
            return Compared(to_bytes(Ranges((Range(b"", b"", True, b"", ids),))))
        case Fetch():
            return Told(as_batch(liar.provider.record(NOW - 10**6)))
        case _:
            return Delivered((0,))


def _differences_without_end(liar: Liar, question: Message) -> Message:
    assert isinstance(question, Compare)
    other = liar.asked.to_bytes(16, "big")
    return Compared(to_bytes(Ranges((Range(b"", b"", False, other),))))


def _lacks_all_forever(liar: Liar, question: Message) -> Message:
    if isinstance(question, Compare):
        return Compared(to_bytes(Ranges((Range(b"", b"", True, b"", ()),))))
    return Delivered((0,) * 200)


def _wrong_answers(liar: Liar, question: Message) -> Message:
    return Delivered(()) if liar.asked > 1 else Compared(b"rubbish")


def _declines(liar: Liar, question: Message) -> Message:
    return declined(Reason.RATE_LIMITED)


@pytest.mark.parametrize(
    ("say", "most"),
    [
        (_ids_without_end, 10),
        (_differences_without_end, 48),
        (_lacks_all_forever, 8),
        (_wrong_answers, 1),
        (_declines, 1),
    ],
)
def test_a_liar_keeps_nobody_busy(say: Callable[[Liar, Message], Message], most: int) -> None:
    chain, providers = MANY
    alice = Node(chain, b"alice")
    alice.take(*(each.record() for each in providers[:300]))
    before, liar = alice.records(), Liar(say)
    for _ in range(2):
        try:
            asyncio.run(alice.sync.with_peer(b"liar", liar.ask))
        except Refused:
            break
    print(f"{say.__name__}: {liar.asked} questions")
    assert liar.asked <= most
    assert alice.records() == before
