# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Alice, Bob, their disks and the wire do anything; an honest side loses at most one window.

A crash may cost its own victim one more window, for what it had not written down yet.
"""

import random
from typing import Any

from coincurve import PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fs_market.core.money.accounting import Increment, Usage
from fs_market.core.money.prices import Price
from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.messages import (
    ReceiptAcceptance,
    ReceiptOffer,
    Refusal,
    Statement,
    serialize,
    sign_close,
)
from fs_market.core.wire.receipts import Receipt, receipt_digest
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import Reason
from tests.market.core.world import (
    DEPOSIT,
    DOMAIN,
    MIB,
    NODE_KEY,
    SESSION_KEY,
    World,
)
from tests.walks import examples

positions = st.integers(0, 10_000)
PRICES = st.sampled_from(
    [Price(50_000_000, 3_600), Price(10_000, 0), Price(0, 360_000), Price(10**15, 10**9)]
)
amounts = st.integers(0, 2 * DEPOSIT)
counts = st.one_of(st.integers(0, 200 * MIB), st.integers(0, 2**64 - 1))
STRANGER = SigningKey(PrivateKey().secret)


class Market(RuleBasedStateMachine):
    """What both sides, their hosts and the wire may do while they follow the protocol."""

    slow_disks = True

    @initialize(price=PRICES, final=st.booleans(), connected=st.booleans())
    def begin(self, price: Price, final: bool, connected: bool) -> None:
        deposit = DEPOSIT if price.per_gib < 10**12 else 10**18
        self.world = World(
            price=price,
            deposit=deposit,
            budget=deposit,
            increment=Increment(MIB, 2, 16 * MIB, 8),
            slow_disks=self.slow_disks,
        )
        self.world.status = self.world.status.__class__(deposit, is_final=final)
        if connected:
            self.world.connect()

    def side(self, alices: bool) -> Any:
        return self.world.alice if alices else self.world.bob

    # Both.

    @rule()
    def they_connect(self) -> None:
        self.world.connect()

    @rule(down=st.integers(0, 3 * MIB), up=st.integers(0, MIB))
    def traffic_passes(self, down: int, up: int) -> None:
        self.world.traffic(down=down, up=up)

    @rule(total=st.integers(1, 8 * MIB))
    def traffic_passes_and_is_paid(self, total: int) -> None:
        self.world.download(total)

    @rule(seconds=st.sampled_from([0.001, 0.7, 1.0, 5.0, 61.0]), deliver=st.booleans())
    def time_passes(self, seconds: float, deliver: bool) -> None:
        self.world.pass_time(seconds, deliver=deliver)

    @rule(alices=st.booleans(), records=st.integers(1, 3))
    def a_disk_is_written(self, alices: bool, records: int) -> None:
        self.world.sync(self.side(alices), records)

    @rule(alices=st.booleans(), engine_too=st.booleans())
    def somebody_crashes(self, alices: bool, engine_too: bool) -> None:
        self.world.crash(self.side(alices), engine_too=engine_too)

    @rule(alices=st.booleans())
    def somebody_closes(self, alices: bool) -> None:
        side = self.side(alices)
        side.session.close(self.world.now)
        self.world.run(side)

    # The wire.

    @precondition(lambda self: self.world.alice.outbox or self.world.bob.outbox)
    @rule(alices=st.booleans(), position=positions, again=st.booleans())
    def a_message_arrives(self, alices: bool, position: int, again: bool) -> None:
        side = self.side(alices)
        if side.outbox:
            at = position % len(side.outbox)
            data = side.outbox[at]
            self.world.deliver(side, at)
            if again:
                side.outbox.append(data)

    @rule(alices=st.booleans())
    def messages_are_lost(self, alices: bool) -> None:
        self.side(alices).outbox.clear()

    # Invariants.

    @invariant()
    def bob_loses_at_most_one_window(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        used = world.price.cost(world.served_bytes, int(world.served_seconds))
        loss = used - world.paid_on_disk()
        assert loss <= world.most_exposed * (1 + world.bob.crashes) + self.seconds_astray()

    @invariant()
    def alice_pays_for_what_she_got(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        tolerance = 1_000_000 + world.tolerance_ppm
        got = world.received_bytes * tolerance // 1_000_000
        seconds = (int(world.client_seconds) + 1) * tolerance // 1_000_000 + 1
        window = world.price.cost(16 * MIB, 8)  # the largest window that they agreed on
        most = world.price.cost(got, seconds) + window * world.alice.crashes
        promised = max((voucher.cumulative for voucher in world.vouchers()), default=0)
        assert promised <= most
        assert promised <= min(world.deposit, world.client_config.budget)

    @invariant()
    def nothing_is_said_before_it_is_on_the_disk(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        promised = max((voucher.cumulative for voucher in world.vouchers()), default=0)
        assert promised <= world.promised_on_disk()
        acknowledged = [m.paid for m in world.sent_by["bob"] if isinstance(m, Statement)]
        assert max(acknowledged, default=0) <= max(world.paid_on_disk(), world.claimed)

    def seconds_astray(self) -> int:
        """Time is read once a second, and counted in whole seconds."""
        ticks = 3 * (1 + self.world.bob.crashes)
        return self.world.price.cost(0, ticks) + 1


class Honest(Market):
    """Nobody lies, but disks, hosts and wires fail: in the end, the books balance."""

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(3):
            for side in world.sides:
                world.sync(side)
            world.connect()
        world.client.close(world.now)
        world.settle_messages()
        world.pass_time(200)
        assert world.claimed <= world.client.promised <= world.deposit
        if world.endings(world.alice)[-1:] == world.endings(world.bob)[-1:] == [Reason.DONE]:
            assert world.claimed == world.provider.paid
            # Bob may miss a last payment, which is as far ahead of his count as Alice pays.
            crashes = world.alice.crashes + world.bob.crashes
            ahead = world.most_exposed * (1 + crashes) + self.seconds_astray()
            assert world.client.promised - world.claimed <= ahead
        self.bob_loses_at_most_one_window()
        self.alice_pays_for_what_she_got()


class LyingBob(Market):
    """Bob says anything with his real keys, and Alice pays only for what she counted."""

    slow_disks = False

    @rule(up=counts, down=counts, seconds=st.integers(0, 2**32 - 1), paid=amounts, window=counts,
          suspended=st.booleans(), final=st.booleans(), modest=st.booleans())  # fmt: skip
    def he_states(self, up: int, down: int, seconds: int, paid: int, window: int,
                  suspended: bool, final: bool, modest: bool) -> None:  # fmt: skip
        own: Usage = self.world.client.usage
        if modest:  # close to the truth, so that Alice may believe it
            up, down = own.up, own.down + down % (4 * MIB)
            seconds = own.seconds + seconds % 5
            paid = min(paid, self.world.client.promised)
        self.tell_alice(
            Statement(
                *(self.world.client._channel or bytes(32), up, down, seconds, paid, window, 8),
                suspended=suspended,
                final=final,
            )
        )

    @rule(reason=st.integers(0, 30), final=st.booleans())
    def he_closes_or_refuses(self, reason: int, final: bool) -> None:
        channel = self.world.client._channel or bytes(32)
        paid = self.world.client.promised
        close = sign_close(NODE_KEY, DOMAIN, channel, reason, paid, final=final)
        self.tell_alice(close if final else Refusal(reason))

    @rule(epoch=st.integers(0, 3), down=counts, seconds=st.integers(0, 1000))
    def he_offers_a_receipt(self, epoch: int, down: int, seconds: int) -> None:
        channel = self.world.client._channel or bytes(32)
        receipt = Receipt(channel, epoch, bytes(32), 0, down, seconds, bytes(32), False)
        self.tell_alice(ReceiptOffer(receipt, NODE_KEY.sign(receipt_digest(DOMAIN, receipt))))

    @rule(factor=st.sampled_from([0, 1, 2, 100]))
    def his_engine_lies(self, factor: int) -> None:
        self.world.bob.lies = lambda count: count * factor

    def tell_alice(self, message: Any) -> None:
        self.world.client.receive(serialize(message), self.world.now)
        self.world.run(self.world.alice)

    @invariant()
    def bob_loses_at_most_one_window(self) -> None:
        """There is no bound for a liar."""

    @invariant()
    def alice_signs_one_receipt_an_epoch(self) -> None:
        if not hasattr(self, "world"):
            return
        signed: dict[int, set[bytes]] = {}
        for message in self.world.sent_by["alice"]:
            if isinstance(message, ReceiptAcceptance):
                signed.setdefault(message.epoch, set()).add(message.signature)
        assert all(len(each) == 1 for each in signed.values())


class LyingAlice(Market):
    """Alice signs anything with her real keys, and Bob serves only for what he can redeem."""

    slow_disks = False

    @rule(amount=amounts, near=st.booleans(), kind=st.integers(0, 5))
    def she_pays(self, amount: int, near: bool, kind: int) -> None:
        channel = self.world.provider.channel or bytes(32)
        if near:
            amount = self.world.provider.paid + amount % 100_000
        voucher = sign_voucher(SESSION_KEY, DOMAIN, channel, amount)
        if kind == 1:
            voucher = sign_voucher(STRANGER, DOMAIN, channel, amount)
        elif kind == 2:
            voucher = sign_voucher(SESSION_KEY, DOMAIN, bytes(32), amount)
        elif kind == 3:
            elsewhere = channels_domain(1, DOMAIN.contract)
            voucher = sign_voucher(SESSION_KEY, elsewhere, channel, amount)
        elif kind == 4 and self.world.vouchers():
            voucher = random.Random(amount).choice(self.world.vouchers())
        self.world.provider.receive(serialize(voucher), self.world.now)
        self.world.run(self.world.bob)

    @rule(data=st.binary(max_size=200))
    def she_babbles(self, data: bytes) -> None:
        self.world.provider.receive(data, self.world.now)
        self.world.run(self.world.bob)

    @invariant()
    def alice_pays_for_what_she_got(self) -> None:
        """A liar may pay anything that Bob believes."""
        if hasattr(self, "world"):
            assert self.world.provider.paid <= self.world.deposit


for machine in (Honest, LyingBob, LyingAlice):
    machine.TestCase.settings = settings(max_examples=examples(80), stateful_step_count=40)
TestHonest = Honest.TestCase
TestLyingBob = LyingBob.TestCase
TestLyingAlice = LyingAlice.TestCase
