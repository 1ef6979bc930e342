# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What is believed, what is refused and why, and which peers are banned."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_net.core.batch import MAX_BATCH, Batch, Outbox, take_untrusted
from fs_net.core.index import Index
from fs_net.core.judge import MAX_SKEW, Judge
from fs_net.core.records import HEARTBEAT_LIFETIME, MAX_SIGNED, sign
from fs_net.core.standing import BAN_AT, Standings
from fs_net.errors import Reason
from fs_wire.schema import to_bytes
from tests.net.world import ALICE, EVE, HOUR, NETWORK, NOW, Chain, Provider


class World:
    def __init__(self, rate: float = 1e6) -> None:
        self.chain, self.index = Chain(), Index()
        self.bob = Provider(1)
        self.chain.listings[self.bob.address] = self.bob.listing()
        self.judge = Judge(self.index, self.chain, NETWORK, rate=rate, burst=rate)


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_good_enters_the_index(world: World) -> None:
    record, heartbeat = world.bob.record(), world.bob.heartbeat()
    assert world.judge.record(ALICE, record.raw, NOW).said == record
    assert world.judge.heartbeat(ALICE, heartbeat.raw, NOW).said == heartbeat
    entry = world.index.entry(world.bob.address, NOW)
    assert entry is not None
    assert entry.record == record and entry.heartbeat == heartbeat
    assert not world.judge.refused


def test_a_provider_without_stake_is_refused(world: World) -> None:
    eve = Provider(666)
    assert world.judge.record(EVE, eve.record().raw, NOW).reason is Reason.UNSTAKED
    assert world.judge.heartbeat(EVE, eve.heartbeat().raw, NOW).reason is Reason.UNSTAKED


def test_the_heartbeat_key_signs_no_records(world: World) -> None:
    forged = sign(world.bob.record().content, world.bob.keys.heartbeat, NETWORK)
    assert world.judge.record(EVE, forged.raw, NOW).reason is Reason.BAD_SIGNATURE
    assert not len(world.index.records)


def test_a_replay_is_stale(world: World) -> None:
    older, later = world.bob.record(NOW), world.bob.record(NOW + 1)
    assert world.judge.record(ALICE, later.raw, NOW).said
    assert world.judge.record(EVE, older.raw, NOW).reason is Reason.STALE
    assert world.judge.record(EVE, later.raw, NOW).reason is Reason.STALE
    assert world.index.records.get(world.bob.address) == later


def test_what_is_known_costs_no_signature(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record = world.bob.record()
    world.judge.record(ALICE, record.raw, NOW)

    def check(*_: object) -> None:
        raise AssertionError("a signature was checked")

    monkeypatch.setattr("fs_net.core.records.Signed.check", check)
    assert world.judge.record(ALICE, record.raw, NOW).reason is Reason.STALE


def test_a_withdrawn_offer_does_not_come_back(world: World) -> None:
    """The later record expires sooner. The earlier record must not be shown again then."""
    long = world.bob.record(NOW, lifetime=10 * HOUR)
    farewell = world.bob.record(NOW + 1, lifetime=1000)
    assert world.judge.record(ALICE, farewell.raw, NOW).said
    later = NOW + 2 * HOUR
    world.index.expire(later)
    assert world.judge.record(EVE, long.raw, later).reason is Reason.STALE
    assert world.index.entry(world.bob.address, later) is None


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (NOW - MAX_SKEW - 1, Reason.FUTURE),
        (NOW - MAX_SKEW, None),
        (NOW + HOUR - 1, None),
        (NOW + HOUR, Reason.EXPIRED),
    ],
)
def test_a_record_has_its_time(world: World, now: int, reason: Reason | None) -> None:
    assert world.judge.record(ALICE, world.bob.record(NOW).raw, now).reason is reason


def test_a_heartbeat_of_long_ago_is_refused(world: World) -> None:
    raw = world.bob.heartbeat(NOW).raw
    late = NOW + HEARTBEAT_LIFETIME
    assert world.judge.heartbeat(EVE, raw, late).reason is Reason.EXPIRED
    assert world.judge.heartbeat(ALICE, raw, late - 1).said


def test_no_more_is_sold_than_the_stake_covers(world: World) -> None:
    assert world.judge.record(EVE, world.bob.record(slots=51).raw, NOW).reason is Reason.OVERSOLD
    assert world.judge.heartbeat(EVE, world.bob.heartbeat(free=51).raw, NOW).reason is (
        Reason.OVERSOLD
    )


def test_one_peer_is_bounded_and_others_are_not(world: World) -> None:
    world = World(rate=3)
    raws = [world.bob.heartbeat(NOW + each).raw for each in range(5)]
    reasons = [world.judge.heartbeat(EVE, raw, NOW).reason for raw in raws]
    assert reasons == [None, None, None, Reason.RATE_LIMITED, Reason.RATE_LIMITED]
    assert world.judge.heartbeat(ALICE, raws[4], NOW).said


def test_rubbish_gets_a_peer_banned_and_time_mends_it(world: World) -> None:
    for _ in range(10):
        assert not world.judge.is_banned(EVE, NOW)
        assert world.judge.record(EVE, b"rubbish" * 20, NOW).reason is Reason.MALFORMED
    assert world.judge.is_banned(EVE, NOW)
    raw = world.bob.record().raw
    assert world.judge.record(EVE, raw, NOW).reason is Reason.BANNED
    assert not world.judge.is_banned(EVE, NOW + 61_000)
    assert world.judge.record(EVE, raw, NOW + 61_000).said


def test_gossip_heard_twice_bans_nobody(world: World) -> None:
    raw = world.bob.record().raw
    for _ in range(1000):
        world.judge.record(ALICE, raw, NOW)
    assert not world.judge.is_banned(ALICE, NOW)


def test_standings_are_bounded() -> None:
    standings = Standings(most=10)
    for number in range(100):
        standings.blame(number.to_bytes(2, "big"), Reason.MALFORMED, 0.0)
    assert len(standings) == 10
    assert standings.blame_of((99).to_bytes(2, "big"), 60.0) == pytest.approx(5.0)
    assert BAN_AT > 10


@given(st.binary(max_size=2 * MAX_SIGNED))
def test_a_verdict_is_given_on_anything(raw: bytes) -> None:
    world = World()
    for verdict in (world.judge.record(EVE, raw, NOW), world.judge.heartbeat(EVE, raw, NOW)):
        assert verdict.said is None and verdict.reason is not None
    assert take_untrusted(world.judge, EVE, raw, NOW) in ([Reason.MALFORMED], [])
    assert not len(world.index.records)


def test_batches_carry_everything_and_fit() -> None:
    world, outbox = World(), Outbox()
    crowd = [Provider(number) for number in range(1, 401)]
    for each in crowd:
        world.chain.listings[each.address] = each.listing()
        outbox.add(each.record(NOW - 1))
        outbox.add(each.record())
        outbox.add(each.heartbeat())
    assert len(outbox) == 800  # the latest of each provider
    batches = list(outbox.drain())
    assert not len(outbox) and not list(outbox.drain())
    assert all(len(each) <= MAX_BATCH for each in batches)
    for batch in batches:
        assert set(take_untrusted(world.judge, ALICE, batch, NOW)) == {None}
    assert len(list(world.index.entries(NOW))) == 400


def test_nobody_vouches_for_a_batch(world: World) -> None:
    good, bad = world.bob.record(), Provider(1).record(NOW + 5)
    forged = replace(bad, raw=bytes(64) + bad.raw[64:])
    batch = to_bytes(Batch((forged.raw, good.raw), ()))
    assert take_untrusted(world.judge, EVE, batch, NOW) == [Reason.BAD_SIGNATURE, None]
    assert take_untrusted(world.judge, EVE, bytes(MAX_BATCH + 1), NOW) == [Reason.OVERSIZED]


def test_the_rest_of_a_bad_batch_is_not_looked_at(world: World) -> None:
    batch = to_bytes(Batch((b"rubbish",) * 256, ()))
    reasons = take_untrusted(world.judge, EVE, batch, NOW)
    assert reasons == [Reason.MALFORMED] * 10 + [Reason.BANNED]
