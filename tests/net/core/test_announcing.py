# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which full nodes a provider tells what, and when; with any full nodes and any order of events."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fs_net.core.announcer import Announcer
from fs_net.core.announcing import (
    ASK_EVERY,
    BEAT_EVERY,
    RECORD_LIFETIME,
    RESERVATIONS,
    WANTED,
    Action,
    Announcing,
    Ask,
    Beat,
    Dial,
    Leave,
    Reserve,
    Search,
    Store,
)
from fs_net.core.batch import Batch
from fs_net.core.questions import Deliver, parse_untrusted
from fs_net.core.records import Heartbeat, ProviderRecord, Signed
from fs_net.core.records import parse_untrusted as parse_signed
from fs_net.errors import Reason
from fs_wire.schema import from_bytes_untrusted
from tests.net.core.bob import Bob, address
from tests.net.world import NETWORK, NOW, Provider
from tests.walks import examples

CHOSEN = ("alice", "carol")
STRANGERS = tuple(f"stranger{number}" for number in range(12))


def delivered(ask: Ask) -> tuple[Signed[ProviderRecord], Signed[Heartbeat]]:
    question = parse_untrusted(ask.question)
    assert isinstance(question, Deliver)
    batch = from_bytes_untrusted(Batch, question.batch, 1 << 16)
    return (
        parse_signed(ProviderRecord, batch.records[0]),
        parse_signed(Heartbeat, batch.heartbeats[0]),
    )


def only(kind: type[Action], actions: list[Action]) -> list[Action]:
    return [each for each in actions if isinstance(each, kind)]


def test_a_full_node_that_answers_no_question_is_dialled_ever_more_seldom() -> None:
    bob, dials = Bob("alice"), list[float]()
    while bob.now < 1000 + 3600:
        while wanted := bob.wants():
            for action in wanted:
                if isinstance(action, Ask):
                    bob.core.lost("alice", bob.now)
                else:
                    dials += [bob.now] if isinstance(action, Dial) else []
                    bob.succeed(action)
        bob.wait(1)
    pauses = [round(later - earlier) for earlier, later in itertools.pairwise(dials)]
    assert pauses[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert set(pauses[7:]) == {300}


def test_record_and_heartbeat_are_signed_by_their_keys() -> None:
    bob = Bob("alice")
    (ask,) = only(Ask, bob.settle())
    assert isinstance(ask, Ask)
    record, heartbeat = delivered(ask)
    record.check(bytes(bob.provider.keys.node.verify_key), NETWORK)
    heartbeat.check(bytes(bob.provider.keys.heartbeat.verify_key), NETWORK)
    assert heartbeat.content.record == record.content.sequence
    assert heartbeat.content.free_slots == 7
    assert record.content.expires_at == record.content.sequence + RECORD_LIFETIME


def test_heartbeats_go_to_all_who_take_the_record_and_to_nobody_else() -> None:
    bob = Bob("alice", "carol")
    for dial in only(Dial, bob.wants()):
        bob.succeed(dial)
    alice, carol = only(Ask, bob.wants())
    bob.succeed(alice)
    bob.succeed(carol, Reason.UNSTAKED, Reason.UNSTAKED)
    for _ in range(3):
        (beat,) = only(Beat, bob.wants())
        assert isinstance(beat, Beat)
        assert isinstance(alice, Ask)
        assert beat.peer == alice.peer
        bob.core.beaten(beat.node)
        assert only(Beat, bob.wants()) == []
        bob.wait(BEAT_EVERY)
    assert bob.core.describe() == (1, 2, Reason.UNSTAKED)


def test_what_was_heard_of_already_is_taken() -> None:
    bob = Bob("alice")
    bob.succeed(bob.wants()[0])
    (ask,) = only(Ask, bob.wants())
    bob.succeed(ask, Reason.STALE, None)
    assert bob.core.describe() == (1, 1, None)


@pytest.mark.parametrize("reason", [Reason.BANNED, Reason.RATE_LIMITED, Reason.MALFORMED])
def test_who_takes_nothing_at_all_is_left_alone_for_long(reason: Reason) -> None:
    bob = Bob("alice")
    bob.succeed(bob.wants()[0])
    (ask,) = only(Ask, bob.wants())
    assert bob.succeed(ask, reason) == [Leave(b"alice")]
    bob.wait(500)
    assert only(Dial, bob.wants()) == []
    bob.wait(101)
    assert only(Dial, bob.wants()) == [Dial("alice", address("alice"))]


def test_who_refuses_what_others_take_gives_its_place_away() -> None:
    bob = Bob("alice", "carol")
    for dial in only(Dial, bob.wants()):
        bob.succeed(dial)
    left: list[Action] = []
    for _ in range(12):
        for ask in only(Ask, bob.wants()):
            assert isinstance(ask, Ask)
            reason = Reason.UNSTAKED if ask.node == "carol" else None
            left += bob.succeed(ask, reason, reason)
        bob.wait(30)
    assert left == [Leave(b"carol")]


def test_where_all_refuse_they_are_asked_again() -> None:
    bob = Bob("alice")
    bob.succeed(bob.wants()[0])
    for _ in range(8):
        (ask,) = only(Ask, bob.wants())
        assert bob.succeed(ask, Reason.UNSTAKED, Reason.UNSTAKED) == []
        bob.wait(60)
    (ask,) = only(Ask, bob.wants())
    bob.succeed(ask)
    assert bob.core.describe() == (1, 1, None)


def test_after_a_word_about_clocks_the_record_is_signed_anew() -> None:
    bob = Bob("alice")
    bob.succeed(bob.wants()[0])
    (first,) = only(Ask, bob.wants())
    bob.succeed(first, Reason.FUTURE, Reason.FUTURE)
    bob.wait(60)
    (second,) = only(Ask, bob.wants())
    assert isinstance(first, Ask)
    assert isinstance(second, Ask)
    assert delivered(second)[0].content.sequence > delivered(first)[0].content.sequence


def test_a_change_is_told_at_once_and_a_record_before_it_expires() -> None:
    bob = Bob("alice")
    bob.settle()
    bob.core.offer(replace(bob.offer, price_per_gib=5), 7)
    wanted = bob.settle()
    assert len(only(Ask, wanted)) == len(only(Store, wanted)) == 1
    bob.core.offer(replace(bob.offer, price_per_gib=5), 6)  # a free slot does not change the record
    assert only(Ask, bob.settle()) == []
    sequences = []
    for _ in range(RECORD_LIFETIME // 1000 // int(ASK_EVERY)):
        bob.wait(ASK_EVERY)
        for ask in only(Ask, bob.settle()):
            assert isinstance(ask, Ask)
            record = delivered(ask)[0].content
            assert record.expires_at > NOW + int(bob.now * 1000) + RECORD_LIFETIME // 2 - 1000
            sequences.append(record.sequence)
    assert len(set(sequences)) == 3


def test_all_addresses_are_tried_before_it_waits() -> None:
    bob = Bob()
    bob.core.found({"dora": [address("dora", 1), address("dora", 2)]}, bob.now)
    for number in (1, 2):
        assert only(Dial, bob.wants()) == [Dial("dora", address("dora", number))]
        bob.core.lost("dora", bob.now)
    assert only(Dial, bob.wants()) == []
    bob.wait(5)
    assert only(Dial, bob.wants()) == [Dial("dora", address("dora", 1))]


def test_a_place_is_kept_for_whom_the_user_chose() -> None:
    """The slot stays, whatever the number and names of strangers."""
    bob = Bob("alice")
    bob.core.found({each: [address(each)] for each in STRANGERS}, bob.now)
    (first, *_) = dialled = only(Dial, bob.wants())
    assert isinstance(first, Dial)
    assert first.node == "alice"
    assert len(dialled) == WANTED
    bob.core.lost("alice", bob.now)
    assert only(Dial, bob.wants()) == []  # no fourth stranger is dialled
    bob.wait(10)
    assert only(Dial, bob.wants()) == [Dial("alice", address("alice"))]


def test_strangers_are_chosen_by_a_secret() -> None:
    def chosen(secret: bytes) -> set[str]:
        core = Announcing(Announcer(Provider(1).keys, NETWORK), (), secret)
        core.offer(Provider(1).offer, 1)
        core.found({each: [address(each)] for each in STRANGERS}, 0.0)
        return {each.node for each in core.next_actions(0.0, NOW) if isinstance(each, Dial)}

    assert len({frozenset(chosen(bytes([number]))) for number in range(8)}) > 1


def test_a_restarted_process_is_told_all_again() -> None:
    bob = Bob("alice")
    bob.settle()
    bob.core.restarted(bob.now)
    wanted = bob.settle()
    assert [len(only(kind, wanted)) for kind in (Dial, Ask, Store)] == [1, 1, 1]


def test_behind_a_nat_some_full_nodes_pass_circuits_on() -> None:
    bob = Bob("alice", "carol", "dora", relayed=True)
    wanted = bob.settle()
    assert len(only(Reserve, wanted)) == bob.core.reservations == RESERVATIONS
    bob.wait(1201)
    assert len(only(Reserve, bob.settle())) == RESERVATIONS
    reserved = {each.node for each in only(Reserve, wanted) if isinstance(each, Reserve)}
    bob.core.lost(next(iter(reserved)), bob.now)
    assert len(only(Reserve, bob.settle())) == 1
    assert only(Reserve, Bob("alice").settle()) == []


class Anything(RuleBasedStateMachine):
    """Full nodes appear, die, lie and return in any order, and no bound is ever exceeded."""

    def __init__(self) -> None:
        super().__init__()
        self.bob = Bob(*CHOSEN, relayed=True)
        self.pending: list[Action] = []
        self.placed: set[str] = set()
        self.takes: set[str] = set()
        self.beaten_at = 0.0
        self.sequence = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 31.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.bob.wait(seconds)
        self.look()

    @rule()
    def to_the_timer(self) -> None:
        due = self.bob.core.next_timer(self.bob.now)
        assert self.bob.now < due <= self.bob.now + ASK_EVERY
        self.bob.now = due
        self.look()

    @precondition(lambda self: Search() in self.pending)
    @rule(nodes=st.sets(st.sampled_from(STRANGERS + CHOSEN)))
    def a_search_ends(self, nodes: set[str]) -> None:
        self.pending.remove(Search())
        self.bob.core.found({each: [address(each, 9)] for each in nodes}, self.bob.now)

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), reason=st.sampled_from([None, *Reason]))
    def something_succeeds(self, data: st.DataObject, reason: Reason | None) -> None:
        action = self.take(data)
        for each in self.bob.succeed(action, reason, reason):
            assert isinstance(each, Leave)
            self.gone(each.peer.decode())
        if isinstance(action, Ask) and action.node in self.placed:
            taken = reason in (None, Reason.STALE)
            (self.takes.add if taken else self.takes.discard)(action.node)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def something_fails(self, data: st.DataObject) -> None:
        action = self.take(data)
        match action:
            case Dial(node) | Ask(node) | Beat(node):
                self.bob.core.lost(node, self.bob.now)
                self.gone(node)
            case Reserve(node):
                self.bob.core.reserved(node, False, self.bob.now)
            case Search():
                self.bob.core.found({}, self.bob.now)
            case Store():
                self.bob.core.stored(False, self.bob.now)

    @rule()
    def the_process_dies(self) -> None:
        self.bob.core.restarted(self.bob.now)
        self.pending, self.placed, self.takes, self.beaten_at = [], set(), set(), 0.0

    def take(self, data: st.DataObject) -> Action:
        return self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1)))

    def gone(self, node: str) -> None:
        """End a connection, and everything that is in progress with it."""
        self.placed.discard(node)
        self.takes.discard(node)
        self.pending = [each for each in self.pending if getattr(each, "node", "") != node]

    def look(self) -> None:
        wanted = self.bob.wants()
        beats = [each for each in wanted if isinstance(each, Beat)]
        if beats:
            assert self.bob.now >= self.beaten_at + BEAT_EVERY
            self.beaten_at = self.bob.now
            assert {each.node for each in beats} <= self.takes
        for each in wanted:
            if isinstance(each, Dial):
                assert each.node not in self.placed
                self.placed.add(each.node)
            if isinstance(each, Ask):
                record, _ = delivered(each)
                assert record.content.sequence >= self.sequence
                assert record.content.expires_at > NOW + self.bob.now * 1000
                self.sequence = record.content.sequence
        self.pending += wanted
        assert self.bob.wants() == []  # no action is returned twice

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.placed) <= WANTED
        busy = [(type(each), getattr(each, "node", "")) for each in self.pending]
        assert len(busy) == len(set(busy))
        assert sum(isinstance(each, Reserve) for each in self.pending) <= RESERVATIONS
        assert self.bob.core.reservations <= RESERVATIONS
        assert self.bob.core.describe()[0] == len(self.takes)


Anything.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestAnything = Anything.TestCase


@given(st.sets(st.sampled_from(STRANGERS), max_size=8), st.integers(0, 2))
@settings(max_examples=examples(30))
def test_whoever_is_alive_is_told_in_the_end(alive: set[str], chosen: int) -> None:
    """Full nodes that answer get slots, whatever the others do."""
    bob = Bob(*CHOSEN)
    answering = {*alive, *CHOSEN[:chosen]}
    bob.core.found({each: [address(each)] for each in STRANGERS}, bob.now)
    for _ in range(400):
        for each in bob.wants():
            node = getattr(each, "node", None)
            if node is None or node in answering:
                bob.succeed(each)
            else:
                bob.core.lost(node, bob.now)
        bob.wait(5)
    most = WANTED if chosen else WANTED - 1
    assert bob.core.describe()[0] == min(len(answering), most)
