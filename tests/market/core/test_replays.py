# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Eve repeats earlier messages: nobody's session ends, moves or slows down."""

from dataclasses import replace

import pytest
from coincurve import PrivateKey

from fs_market.core.money.records import ProviderRecord
from fs_market.core.session.client_states import State as ClientState
from fs_market.core.session.events import CheckChannel, Configure, Journal, Settle
from fs_market.core.session.provider_states import State as ProviderState
from fs_market.core.wire.channels import Voucher, channels_domain
from fs_market.core.wire.messages import Close, Message, Order, parse_untrusted, sign_close
from fs_market.core.wire.messages import serialize as wire
from fs_market.core.wire.schema import from_bytes_untrusted, to_bytes
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import Reason
from tests.market.core.world import DOMAIN, MIB, NODE_KEY, SESSION_KEY, World, served

STRANGER = SigningKey(PrivateKey().secret)
ELSEWHERE = channels_domain(1, DOMAIN.contract)


@pytest.fixture
def world() -> World:
    market = served()
    market.download(3 * MIB)
    return market


def to_bob(world: World, message: Message) -> Reason | None:
    return world.provider.receive(wire(message), world.now)


def to_alice(world: World, message: Message) -> Reason | None:
    before = world.client.refused.copy()
    world.client.receive(wire(message), world.now)
    world.run(world.alice)
    (reason,) = [*(world.client.refused - before), None][:1]
    return reason


def close_by(
    key: SigningKey, world: World, *, paid: int | None = None, final: bool = False
) -> Close:
    paid = world.client.promised if paid is None else paid
    return sign_close(key, DOMAIN, world.provider.channel, Reason.DONE, paid, final=final)


@pytest.mark.parametrize("final", [False, True])
def test_only_the_other_side_ends_a_session(world: World, final: bool) -> None:
    own = close_by(SESSION_KEY, world, final=final)
    elsewhere = sign_close(
        *(SESSION_KEY, ELSEWHERE, own.channel, own.reason, own.paid), final=final
    )
    for close, reason in [
        (close_by(STRANGER, world, final=final), Reason.BAD_SIGNATURE),
        (
            close_by(NODE_KEY, world, final=final),
            Reason.BAD_SIGNATURE,
        ),  # Bob's own message, reflected
        (elsewhere, Reason.BAD_SIGNATURE),
        (replace(own, reason=0), Reason.BAD_SIGNATURE),
        (replace(own, final=not final), Reason.BAD_SIGNATURE),
        (replace(own, paid=own.paid + 1), Reason.BAD_SIGNATURE),
        (replace(own, channel=bytes(32)), Reason.FOREIGN_CHANNEL),
        (close_by(SESSION_KEY, world, paid=own.paid - 1, final=final), Reason.REPLAYED),
    ]:
        assert to_bob(world, close) is reason
        assert world.provider.refused[reason] > 0
    theirs = close_by(NODE_KEY, world, final=final)
    for close, reason in [
        (own, Reason.BAD_SIGNATURE),
        (replace(theirs, final=not final), Reason.BAD_SIGNATURE),
        (close_by(NODE_KEY, world, paid=theirs.paid - 1, final=final), Reason.REPLAYED),
        (replace(theirs, channel=bytes(32)), Reason.FOREIGN_CHANNEL),
    ]:
        assert to_alice(world, close) is reason
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)
    assert to_alice(world, theirs) is None
    assert world.client.state in (ClientState.CLOSING, ClientState.OVER)


def test_a_close_of_before_the_last_payment_is_a_replay(world: World) -> None:
    """Alice wanted to stop, crashed before Bob heard it, came back, and continues."""
    old = close_by(SESSION_KEY, world)
    world.crash(world.alice)
    world.connect()
    world.download(3 * MIB)
    assert to_bob(world, old) is Reason.REPLAYED
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)


def test_an_order_counts_once(world: World) -> None:
    orders = [each for each in world.sent_by["alice"] if isinstance(each, Order)]
    assert to_bob(world, orders[-1]) is Reason.REPLAYED
    assert not world.provider.messages_to_send()
    world.connect()
    again = [each for each in world.sent_by["alice"] if isinstance(each, Order)][-1]
    assert again.number == orders[-1].number + 1
    assert to_bob(world, replace(again, number=again.number + 1)) is Reason.BAD_SIGNATURE
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_an_order_counts_once_over_crashes(world: World, victim: str) -> None:
    old = [each for each in world.sent_by["alice"] if isinstance(each, Order)][-1]
    world.crash(getattr(world, victim))
    assert to_bob(world, old) is Reason.REPLAYED
    world.connect()
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)
    assert not world.provider.refused[Reason.FOREIGN_KEY]
    assert world.download(MIB) == MIB


def test_an_order_leaves_when_its_number_is_on_the_disk() -> None:
    world = World(slow_disks=True)
    world.connect()
    assert world.alice.told(Journal)
    world.client.connect(world.now)
    assert not world.client.messages_to_send()
    world.run(world.alice)
    world.sync(world.alice)
    assert world.alice.outbox


def test_a_voucher_of_before_does_no_more_than_ask(world: World) -> None:
    vouchers = [each for each in world.sent_by["alice"] if isinstance(each, Voucher)]
    assert len(vouchers) > 2
    assert to_bob(world, vouchers[0]) is Reason.NOTHING_NEW
    paid = world.provider.paid
    assert to_bob(world, vouchers[-1]) is None
    assert world.provider.paid == paid


def test_a_last_voucher_that_was_lost_is_sent_again_before_the_end(world: World) -> None:
    world.traffic(down=MIB // 4)
    world.client.close(world.now)
    world.run(world.alice)
    while world.client.promised < world.price.cost(world.served_bytes, 0):
        for side in world.sides:
            world.run(side)
            if side.outbox:
                world.deliver(side)
    lost = [each for each in world.alice.outbox if isinstance(parse_untrusted(each), Voucher)]
    assert lost
    world.alice.outbox.clear()
    early = close_by(SESSION_KEY, world, final=True)
    assert early.paid > world.provider.paid
    assert to_bob(world, early) is None
    assert world.provider.state is ProviderState.CLOSING
    world.settle_messages()
    assert world.states == (ClientState.OVER, ProviderState.OVER)
    assert world.claimed == world.client.promised


def test_who_stops_before_it_is_served_again_pays_what_it_owes(world: World) -> None:
    world.traffic(down=MIB // 4)
    world.crash(world.alice)
    world.client.connect(world.now)
    assert world.client.state is ClientState.ORDERING
    world.client.close(world.now)
    world.settle_messages()
    assert world.states == (ClientState.OVER, ProviderState.OVER)
    assert world.claimed == world.client.promised == world.price.cost(world.served_bytes, 0)


def test_who_was_asked_to_close_closes_although_it_crashed(world: World) -> None:
    """The provider closes whether its client comes back or not."""
    world.client.close(world.now)
    world.run(world.alice)
    while world.alice.outbox:
        world.deliver(world.alice)
    assert world.provider.state is ProviderState.CLOSING
    world.crash(world.bob)
    assert world.provider.state is ProviderState.CLOSING
    world.pass_time(61, deliver=False)
    assert world.endings(world.bob) == [Reason.DONE]


def test_who_has_not_heard_the_end_is_told_again(world: World) -> None:
    """Bob's last message was lost, and only the journal of his agent still has the session."""
    world.provider.close(world.now)
    world.run(world.bob)
    world.settle_messages()
    assert world.bob.disk is not None
    kept = from_bytes_untrusted(ProviderRecord, world.bob.disk)
    assert kept.is_over
    world.alice.disk = to_bytes(replace(world.client._open_books.record, is_over=False))
    world.crash(world.alice)
    world.bob.session = world.new_provider()
    world.client.connect(world.now)
    world.run(world.alice)
    order = world.alice.outbox.pop(0)
    assert world.provider.receive(order, world.now) is None
    assert isinstance(world.provider.next_event(), CheckChannel)
    world.provider.had_ended(kept)
    world.run(world.bob)
    world.alice.outbox.clear()
    settled = len(world.bob.told(Settle))
    world.settle_messages()
    assert world.states == (ClientState.OVER, ProviderState.OVER)
    assert world.endings(world.alice)[-1] is Reason.DONE
    assert len(world.bob.told(Settle)) == settled


def test_who_closes_finds_the_provider_again_by_an_order(world: World) -> None:
    world.client.close(world.now)
    world.run(world.alice)
    world.crash(world.bob)
    places = len(world.alice.told(Configure))
    world.connect()
    assert world.states == (ClientState.OVER, ProviderState.OVER)
    assert world.claimed == world.client.promised
    assert len(world.alice.told(Configure)) == places
    assert not world.client.refused[Reason.UNEXPECTED]
