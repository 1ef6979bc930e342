# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Two honest sides, from the quote to the last voucher, and all ways in which a session ends."""

from dataclasses import replace

import pytest

from fs_market.core.money.accounting import ANY, Increment
from fs_market.core.money.prices import Price
from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.session.client_states import State as ClientState
from fs_market.core.session.events import ReceiptSigned
from fs_market.core.session.offers import STOP_BEFORE_EXPIRY
from fs_market.core.session.provider_serving import FAREWELL_FOR
from fs_market.core.session.provider_states import State as ProviderState
from fs_market.core.wire.messages import Refusal, serialize
from fs_market.core.wire.receipts import (
    FIRST_RECEIPT,
    bucket_of,
    check_follows_untrusted,
    receipt_digest,
    unpack_rates,
)
from fs_market.core.wire.signatures import verify_untrusted
from fs_market.errors import Reason, StateError
from tests.market.core.world import (
    DOMAIN,
    EPOCH,
    LIFETIME,
    MIB,
    NODE_KEY,
    PLACE,
    SESSION_KEY,
    World,
    served,
)


def test_a_session_from_quote_to_close() -> None:
    world = served()
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)
    carried = world.download(20 * MIB)
    assert carried == 20 * MIB
    world.pass_time(5)
    world.client.close(world.now)
    world.settle_messages()
    assert world.states == (ClientState.OVER, ProviderState.OVER)
    assert world.endings(world.alice) == world.endings(world.bob) == [Reason.DONE]
    assert world.client.usage.bytes == world.provider.usage.bytes == 20 * MIB
    due = world.price.cost(20 * MIB, world.provider.usage.seconds)
    assert world.provider.paid == world.client.promised == world.claimed == due
    assert not world.client.refused
    assert not world.provider.refused


def test_a_client_whose_last_word_is_lost_is_not_waited_for_once_it_has_paid() -> None:
    world = served()
    world.download(3 * MIB)
    world.client.close(world.now)
    while world.client.state is not ClientState.OVER:
        world.run(world.alice)
        world.run(world.bob)
        world.deliver(world.alice if world.alice.outbox else world.bob)
    world.alice.outbox.clear()  # its last message is lost with the tunnel
    world.pass_time(FAREWELL_FOR - 1, deliver=False)
    assert world.provider.state is ProviderState.CLOSING
    world.pass_time(2, deliver=False)
    assert world.endings(world.bob) == [Reason.DONE]
    assert world.claimed == world.price.cost(world.served_bytes, world.provider.usage.seconds)


def test_a_voucher_that_came_out_of_turn_ends_nothing() -> None:
    world = served()
    world.download(3 * MIB)
    world.crash(world.alice)
    world.client.connect(world.now)
    # The restarted provider asks the chain: it takes the order, but not yet the voucher.
    world.client.receive(serialize(Refusal(Reason.UNEXPECTED)), world.now)
    assert world.client.state is ClientState.ORDERING
    world.connect()
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)


def test_the_price_of_time_alone() -> None:
    world = served(price=Price(0, 3600 * 1000), increment=Increment(MIB, 2, MIB, 16))
    world.pass_time(30)
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)
    assert world.bob.peer is not None
    assert world.bob.peer.credit == ANY
    world.client.close(world.now)
    world.settle_messages()
    assert world.claimed == world.provider.usage.seconds * 1000 > 25_000


def test_traffic_resumes_when_vouchers_do() -> None:
    world = served()
    world.traffic(down=10 * MIB)  # no message passes
    world.pass_time(3, deliver=False)
    assert world.provider.state is ProviderState.SUSPENDED
    assert world.traffic(down=MIB) == 0
    seconds = world.provider.usage.milliseconds
    world.pass_time(20, deliver=False)
    assert world.provider.usage.milliseconds == seconds  # time without service does not count
    world.connect()
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)
    assert world.download(5 * MIB) == 5 * MIB


def test_an_unpaying_client_is_cut_off_within_one_window() -> None:
    world = served()
    carried = world.traffic(down=100 * MIB)
    assert carried <= MIB + 1024
    world.pass_time(200, deliver=False)
    assert world.traffic(down=MIB) == 0
    assert world.provider.state is ProviderState.OVER
    assert world.bob.peer is None
    assert world.endings(world.bob) == [Reason.UNPAID]


def test_credit_is_one_increment_until_the_opening_is_final_and_then_grows() -> None:
    world = served()
    for _ in range(8):
        world.download(MIB)
        world.pass_time(0.01)
    books = world.provider._books
    assert books is not None
    assert books.window.bytes == MIB
    world.provider.channel_changed(replace(world.status, is_final=True), world.now)
    seen = set()
    for _ in range(180):
        world.download(MIB)
        world.pass_time(0.01)  # 100 MiB/s for 100 ms: four times the bytes in flight are 40 MiB
        seen.add(books.window.bytes // MIB)
    assert seen >= {1, 2, 4, 8, 16, 32}
    assert max(seen) <= 64
    world.client.close(world.now)
    world.settle_messages()
    assert world.claimed == world.price.cost(188 * MIB, world.provider.usage.seconds)


def test_an_inflated_count_is_not_paid_and_the_client_leaves() -> None:
    world = served()
    world.bob.lies = lambda count: count * 2
    world.download(20 * MIB)
    assert world.endings(world.alice) == [Reason.COUNTS_DISAGREE]
    own = world.alice.peer
    assert own is not None
    most = own.rx * 1.01
    assert world.client.promised <= world.price.cost(int(most), 1)


def test_what_the_wire_loses_is_paid_for_within_the_tolerance() -> None:
    world = served()
    for _ in range(2000):
        world.traffic(down=64 << 10, lost=500)  # 0.8 %
        world.settle_messages()
    world.client.close(world.now)
    world.settle_messages()
    assert world.endings(world.alice) == [Reason.DONE]
    assert world.claimed == world.price.cost(world.served_bytes, 0)
    assert world.served_bytes > world.received_bytes


def test_who_loses_too_much_is_left() -> None:
    world = served()
    for _ in range(100):
        for _ in range(20):
            world.traffic(down=64 << 10, lost=6000)  # 9 %
            world.settle_messages()
        world.pass_time(1)
    assert world.endings(world.alice)[0] in (Reason.COUNTS_DISAGREE, Reason.STARVED)
    most = int(world.received_bytes * 1.01)
    assert world.claimed <= world.price.cost(most, world.client.usage.seconds)


def test_a_provider_that_takes_and_does_not_serve_is_left() -> None:
    """It claims as much as possible without proof of a lie, and then stops serving."""
    world = served()
    world.download(MIB)
    extra = 2 * MIB
    world.bob.lies = lambda count: count + extra if count else 0
    world.pass_time(2)
    world.pass_time(40)
    assert world.client.state is ClientState.OVER
    assert world.endings(world.alice)[0] in (Reason.STARVED, Reason.COUNTS_DISAGREE)


def test_the_budget_is_the_end() -> None:
    world = served(budget=1_000_000, deposit=1_000_000)
    carried = world.download(100 * MIB)
    assert carried <= world.price.bytes_within(1_000_000, 0)
    world.pass_time(2)
    assert Reason.SPENT in world.endings(world.alice)
    assert world.claimed <= 1_000_000
    assert world.claimed == world.price.cost(carried, world.provider.usage.seconds)


def test_receipts_chain_what_both_counted() -> None:
    world = served()
    for _ in range(190):
        world.download(MIB)
        world.pass_time(1)
    world.client.close(world.now)
    world.settle_messages()
    signed = [event for event in world.bob.log if isinstance(event, ReceiptSigned)]
    receipts = [event.offer.receipt for event in signed]
    assert len(receipts) >= 3
    assert [each.epoch for each in receipts] == list(range(len(receipts)))
    before, previous = None, FIRST_RECEIPT
    for event in signed:
        receipt = event.offer.receipt
        check_follows_untrusted(receipt, before, previous)
        previous, before = receipt_digest(DOMAIN, receipt), receipt
        verify_untrusted(previous, event.offer.signature, NODE_KEY.address)
        verify_untrusted(previous, event.client_signature, SESSION_KEY.address)
    assert (receipts[-1].up, receipts[-1].down) == (0, 190 * MIB)
    histogram = [sum(each) for each in zip(*(unpack_rates(r.rates) for r in receipts), strict=True)]
    assert sum(histogram) == receipts[-1].seconds
    assert histogram[bucket_of(MIB)] > 150


def test_a_provider_closes_and_is_paid_to_the_unit() -> None:
    world = served()
    world.download(3 * MIB + 12345)
    world.provider.close(world.now, Reason.FULL)
    world.settle_messages()
    assert world.endings(world.alice) == world.endings(world.bob) == [Reason.FULL]
    assert world.claimed == world.price.cost(3 * MIB + 12345, 0) == world.client.promised


def test_a_channel_that_closes_is_settled_at_once() -> None:
    world = served()
    world.download(3 * MIB)
    world.provider.channel_changed(replace(world.status, closes_at=EPOCH + 5), world.now)
    world.settle_messages()
    assert world.endings(world.bob) == [Reason.EXPIRED]
    assert world.claimed == world.client.promised > 0


def test_a_channel_that_expires_is_closed_before() -> None:
    world = served()
    world.pass_time(5)
    world.now += LIFETIME - STOP_BEFORE_EXPIRY
    world.pass_time(2)
    assert Reason.EXPIRED in world.endings(world.bob)


def test_a_channel_that_the_chain_does_not_know_yet_is_asked_for_again() -> None:
    world = World()
    world.hides_channel = True
    world.connect()
    assert world.states == (ClientState.ORDERING, ProviderState.QUOTING)
    world.pass_time(50)
    assert world.client.state is ClientState.ORDERING
    world.hides_channel = False
    world.pass_time(5)
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)


def test_who_gets_no_answer_gives_up() -> None:
    world = World()
    world.client.connect(world.now)
    world.pass_time(70, deliver=False)
    assert world.endings(world.alice) == [Reason.SILENT]


def test_either_side_comes_back_after_a_crash_and_the_books_balance() -> None:
    for victim in ("alice", "bob"):
        for engine_too in (False, True):
            world = served()
            world.download(5 * MIB)
            world.crash(getattr(world, victim), engine_too=engine_too)
            world.connect()
            assert world.states == (ClientState.SERVED, ProviderState.SERVING)
            assert world.download(5 * MIB) == 5 * MIB
            world.client.close(world.now)
            world.settle_messages()
            assert world.endings(world.alice)[-1] is Reason.DONE
            assert world.claimed == world.client.promised
            due = world.price.cost(10 * MIB, 0)
            lost = 0 if not engine_too else world.most_exposed
            assert due - lost <= world.claimed <= due


def test_who_pays_ahead_has_a_crash_forget_no_more_than_a_window() -> None:
    world = served()
    ahead = world.price.cost(20 * MIB, 0)
    voucher = sign_voucher(SESSION_KEY, DOMAIN, world.provider.channel, ahead)
    world.provider.receive(serialize(voucher), world.now)
    world.run(world.bob)
    for _ in range(38):
        world.traffic(down=MIB // 2)
    world.crash(world.bob, engine_too=True)
    for _ in range(80):
        world.traffic(down=MIB // 2)
    assert world.served_bytes > 20 * MIB
    loss = world.price.cost(world.served_bytes, 0) - ahead
    assert loss <= 2 * world.most_exposed


def test_nothing_happens_before_it_is_on_the_disk() -> None:
    world = World(slow_disks=True)
    alice, bob = world.sides
    world.connect()
    assert world.states == (ClientState.SERVED, ProviderState.SERVING)
    world.traffic(down=700 << 10)
    world.run(alice)
    assert world.client.promised > world.promised_on_disk()
    assert not world.vouchers()
    assert not alice.outbox
    world.sync(alice)
    assert world.vouchers()
    world.sync(bob)  # its count when the credit was low
    bob.outbox.clear()
    assert bob.peer is not None
    before = bob.peer.credit
    world.deliver(alice)
    assert world.provider.paid > world.paid_on_disk()
    assert not bob.outbox
    assert bob.peer.credit == before
    world.sync(bob)
    assert bob.peer.credit > before
    assert bob.outbox


def test_calls_out_of_turn_are_errors() -> None:
    world = World()
    with pytest.raises(StateError, match="connect"):
        world.client.accept(deposit=1, expires_at=1, salt=bytes(32))
    with pytest.raises(StateError, match="accept"):
        world.client.opened(0)
    with pytest.raises(StateError, match="CheckChannel"):
        world.provider.channel_missing()
    with pytest.raises(StateError, match="CheckChannel"):
        world.provider.channel_found(world.status, PLACE, 0)
