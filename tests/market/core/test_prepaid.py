# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client that prepays and leaves: what it has bought, and what a crash must not cost."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.money.accounting import Increment
from fs_market.core.money.prices import Price
from fs_market.core.money.records import ClientRecord
from fs_market.core.session.client_paying import GIVE_UP_AFTER
from fs_market.core.session.client_states import State as ClientState
from fs_market.core.session.prepaid import PrepaidSession
from fs_market.core.session.provider_serving import FAREWELL_FOR
from fs_market.core.session.provider_states import State as ProviderState
from fs_market.core.session.session import TICK
from fs_market.core.wire.messages import PeerConfig, Refusal, Statement, serialize, sign_close
from fs_market.core.wire.receipts import EPOCH_SECONDS
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.errors import Reason
from tests.market.core.world import (
    DOMAIN,
    LIFETIME,
    MIB,
    NODE_KEY,
    SESSION_KEY,
    World,
    served,
)

BYTES_COST = Price(50_000_000, 0)
DEPOSIT = 1_000_000  # pays for slightly more than 20 MiB


def prepaid(price: Price = BYTES_COST, **settings: object) -> World:
    """Prepay: the voucher is confirmed, and Alice has left."""
    world = buying(price, **settings)
    world.connect()
    assert world.client.is_confirmed
    world.client.close(world.now)
    world.run(world.alice)
    assert world.client.state is ClientState.OVER
    assert not world.alice.outbox  # the provider is told nothing
    return world


def buying(price: Price = BYTES_COST, **settings: object) -> World:
    return World(price=price, deposit=DEPOSIT, buyer=PrepaidSession, **settings)  # type: ignore[arg-type]


def kept(world: World) -> ClientRecord:
    assert world.alice.disk is not None
    return from_bytes_untrusted(ClientRecord, world.alice.disk)


def talk(world: World, is_enough: Callable[[], bool]) -> None:
    """Deliver one message of each side at a time, until it is enough."""
    world.client.connect(world.now)
    while not is_enough():
        for side in world.sides:
            world.run(side)
            if side.outbox:
                world.deliver(side)


def use_up(world: World) -> int:
    """Send traffic until none passes; return how much did. Alice's agent hears nothing of it."""
    total = 0
    while passed := world.traffic(down=64 << 10):
        world.bob.outbox.clear()
        total += passed
    return total


def test_one_voucher_is_for_all_of_it() -> None:
    world = prepaid()
    assert [each.cumulative for each in world.vouchers()] == [DEPOSIT]
    assert world.provider.paid == world.client.promised == DEPOSIT
    assert not kept(world).is_over


@pytest.mark.parametrize("finality", [False, True])
def test_a_silent_client_is_served_until_all_is_used_up_and_the_provider_gets_it(
    finality: bool,
) -> None:
    world = prepaid()
    if finality:
        world.status = replace(world.status, is_final=True)
        world.provider.channel_changed(world.status, world.now)
        world.run(world.bob)
    bought = world.price.bytes_within(DEPOSIT, 0)
    total = use_up(world)
    assert bought - 4096 <= total <= bought + world.price.bytes_within(world.most_exposed, 0)
    world.pass_time(TICK + FAREWELL_FOR + 1, deliver=False)
    assert world.endings(world.bob) == [Reason.SPENT]
    assert world.claimed == DEPOSIT
    assert world.bob.peer is None


def test_what_comes_when_credit_has_ended_is_not_waited_for() -> None:
    world = prepaid()
    use_up(world)
    assert world.bob.peer is not None
    world.bob.peer.rx += 64 << 10  # the bytes are counted and dropped
    world.pass_time(TICK + FAREWELL_FOR + 1, deliver=False)
    assert world.provider.usage.bytes > world.price.bytes_within(DEPOSIT, 0)
    assert world.endings(world.bob) == [Reason.SPENT]


def used(world: World, steps: int) -> list[int]:
    """Return the width of the window after each MiB, at 100 MiB a second."""
    widths = []
    for _ in range(steps):
        world.traffic(down=MIB)
        world.pass_time(0.01, deliver=False)
        widths.append(world.provider._open_books.window.bytes)
    return widths


@pytest.mark.parametrize("is_final", [False, True])
def test_the_window_grows_with_what_is_used_once_the_channel_is_final(is_final: bool) -> None:
    world = prepaid()
    world.status = replace(world.status, is_final=is_final)
    world.provider.channel_changed(world.status, world.now)
    world.run(world.bob)
    first, widths = world.increment.bytes, used(world, 9)
    assert widths[0] == first
    assert widths == sorted(widths)
    assert (max(widths) >= 4 * first) == is_final
    # The credit never exceeds what was paid for and used before.
    assert world.most_exposed <= world.price.cost(9 * MIB, 0)
    world.crash(world.bob)
    assert world.provider._open_books.window.bytes == first
    assert (max(used(world, 9)) >= 4 * first) == is_final


def test_only_who_has_paid_beyond_the_largest_window_is_ahead() -> None:
    world = prepaid(increment=Increment(MIB, 1, 4 * MIB, 8))
    assert world.provider.is_paid_ahead
    use_up(world)
    assert not world.provider.is_paid_ahead
    # Whose counts a crash took is behind a voucher by a window that had grown.
    world = served(price=BYTES_COST, increment=Increment(MIB, 1, 4 * MIB, 8))
    world.download(10 * MIB)
    assert not world.provider.is_paid_ahead
    world.crash(world.bob, engine_too=True)
    assert not world.provider.is_paid_ahead


def test_silence_and_unsigned_receipts_end_nothing() -> None:
    world = prepaid()
    for _ in range(5):
        world.traffic(down=MIB)
        world.pass_time(2 * EPOCH_SECONDS, deliver=False)
    assert world.provider.state is ProviderState.SERVING
    assert world.provider._open_books.record.offer  # nobody signs these
    assert world.traffic(down=MIB) > 0


def test_where_time_costs_the_clock_runs_without_traffic() -> None:
    world = prepaid(Price(0, 3600 * 1000))  # a thousand base units a second
    world.pass_time(DEPOSIT / 1000 - 5, deliver=False)
    assert world.provider.state is ProviderState.SERVING
    world.pass_time(10 + FAREWELL_FOR, deliver=False)
    assert world.endings(world.bob) == [Reason.SPENT]
    assert world.claimed == DEPOSIT


def test_a_channel_that_expires_leaves_the_provider_all_of_it() -> None:
    world = prepaid()
    world.pass_time(LIFETIME, deliver=False)
    assert world.endings(world.bob) == [Reason.EXPIRED]
    assert world.claimed == DEPOSIT


def test_the_voucher_does_not_leave_before_it_is_on_the_disk() -> None:
    world = buying(slow_disks=True)
    world.client.connect(world.now)
    while not world.promised_on_disk():
        assert not world.vouchers()
        for side in world.sides:
            world.run(side)
            while side.outbox:
                world.deliver(side)
        world.sync(world.bob)
        world.sync(world.alice, 1)
    assert [each.cumulative for each in world.vouchers()] == [DEPOSIT]


@given(
    crashes=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(1, 12), st.integers(0, 3)), max_size=6
    )
)
def test_whoever_crashes_when_it_is_paid_once_and_confirmed(
    crashes: list[tuple[str, int, int]],
) -> None:
    world = buying(slow_disks=True)
    for victim, rounds, records in crashes:
        side = world.alice if victim == "a" else world.bob
        world.alice.outbox.clear()
        world.bob.outbox.clear()
        world.client.connect(world.now)
        for _ in range(rounds):
            for each in world.sides:
                world.run(each)
                world.sync(each, 1)
                if each.outbox:
                    world.deliver(each)
        world.sync(side, records)
        world.crash(side, engine_too=side is world.bob)
    world.connect()
    assert world.client.is_confirmed
    assert {each.cumulative for each in world.vouchers()} == {DEPOSIT}
    assert len({each.channel for each in world.vouchers()}) == 1
    assert world.provider.paid == world.paid_on_disk() == DEPOSIT


def test_who_asks_again_gets_the_same_place_and_pays_nothing_more() -> None:
    world = prepaid()
    world.download(5 * MIB)
    world.crash(world.alice)
    world.connect()
    assert world.client.is_confirmed
    assert {each.cumulative for each in world.vouchers()} == {DEPOSIT}
    assert world.claimed == 0


def test_a_provider_that_never_confirms_leaves_what_was_promised_bought() -> None:
    world = buying()
    talk(world, lambda: bool(world.vouchers()))
    world.pass_time(GIVE_UP_AFTER + 1, deliver=False)
    assert world.endings(world.alice) == [Reason.SILENT]
    assert (kept(world).promised, kept(world).is_over) == (DEPOSIT, False)
    assert len(world.vouchers()) > 10  # the provider was asked again and again
    world.crash(world.alice)
    world.connect()
    assert world.client.is_confirmed
    assert {each.cumulative for each in world.vouchers()} == {DEPOSIT}


@pytest.mark.parametrize("reason", [Reason.FULL, Reason.TERMS, Reason.STALE_QUOTE])
def test_a_refusal_which_nobody_signs_does_not_have_it_paid_twice(reason: Reason) -> None:
    world = prepaid()
    world.crash(world.alice)
    world.client.connect(world.now)
    world.run(world.alice)
    world.client.receive(serialize(Refusal(reason)), world.now)
    world.run(world.alice)
    assert world.endings(world.alice)[-1] is reason
    assert not kept(world).is_over


def test_a_close_that_the_provider_signs_ends_it() -> None:
    world = prepaid()
    world.crash(world.alice)
    world.client.connect(world.now)
    world.run(world.alice)
    for signer in (SESSION_KEY, NODE_KEY):
        assert world.client.state is ClientState.ORDERING
        close = sign_close(
            *(signer, DOMAIN, world.provider.channel, Reason.SPENT, DEPOSIT), final=True
        )
        world.client.receive(serialize(close), world.now)
        world.run(world.alice)
    assert world.endings(world.alice)[-1] is Reason.SPENT
    assert kept(world).is_over


def test_who_asks_when_it_is_used_up_hears_so() -> None:
    world = prepaid()
    use_up(world)
    world.pass_time(TICK + FAREWELL_FOR + 1, deliver=False)
    world.crash(world.alice)
    world.connect()
    assert world.client.state is ClientState.OVER
    assert kept(world).is_over
    assert not world.client.is_confirmed


def test_a_refused_order_costs_nothing() -> None:
    world = buying()
    talk(world, lambda: world.client.state is ClientState.ORDERING)
    world.client.receive(serialize(Refusal(Reason.FULL)), world.now)
    world.run(world.alice)
    assert (kept(world).promised, kept(world).is_over) == (0, True)


def test_claims_beyond_what_was_promised_are_refused_and_confirm_nothing() -> None:
    world = prepaid()
    world.crash(world.alice)
    world.client.connect(world.now)
    world.settle_messages()
    place, statement = (
        next(each for each in reversed(world.sent_by["bob"]) if isinstance(each, kind))
        for kind in (PeerConfig, Statement)
    )
    assert isinstance(statement, Statement)
    world.crash(world.alice)
    world.client.connect(world.now)
    world.run(world.alice)
    world.client.receive(serialize(place), world.now)
    for lie in (
        replace(statement, paid=DEPOSIT + 1),
        replace(statement, paid=DEPOSIT - 1),
        replace(statement, suspended=True),
        replace(statement, final=True),
    ):
        world.client.receive(serialize(lie), world.now)
        assert not world.client.is_confirmed
    assert world.client.refused[Reason.COUNTS_DISAGREE] == 1
    world.client.receive(serialize(statement), world.now)
    assert world.client.is_confirmed
