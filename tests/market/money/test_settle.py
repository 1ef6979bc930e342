# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""When vouchers become money: the policy, and its effect on a chain."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.chain.contracts import Channels
from fs_market.core.wire.channels import ChannelStatus
from fs_market.errors import NodeRefused
from fs_market.money import voucher_book
from fs_market.money.settle import Action, SettlementPolicy, Settler, decide
from fs_market.money.wallet import Wallet
from tests.market.chain.sending import entries
from tests.market.chains import Dev
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil, rpc
from tests.market.parties import (
    FAR,
    WINDOW,
    Party,
    deployed,
    keep,
    new_wallet,
    open_channel,
    party,
    until,
    voucher,
)

POLICY = SettlementPolicy(threshold=1000, fee_share=Fraction(1, 10), margin=60)
NOW, LATER = 10_000, 20_000


def decided(
    promised: int,
    *,
    claimed: int = 0,
    fee: int = 0,
    closes_at: int = 0,
    now: int = NOW,
    is_over: bool = False,
    deposit: int = 10_000,
) -> Action:
    status = ChannelStatus(deposit, claimed, closes_at)
    return decide(status, promised, LATER, fee, now, POLICY, is_session_over=is_over)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (decided(0), Action.WAIT),
        (decided(999), Action.WAIT),  # below the threshold
        (decided(1000), Action.REDEEM),
        (decided(5000, claimed=4001), Action.WAIT),
        (decided(5000, claimed=4000), Action.REDEEM),
        (decided(1000, fee=100), Action.REDEEM),
        (decided(1000, fee=101), Action.WAIT),  # gas would cost too large a share
        (decided(1000, is_over=True), Action.CLOSE),
        (decided(999, is_over=True), Action.WAIT),
        (
            decided(20_000, claimed=10_000),
            Action.WAIT,
        ),  # a channel never pays more than its deposit
        (decided(5, fee=4, now=LATER - 60), Action.REDEEM),  # the last chance, but it goes on
        (decided(5, fee=4, now=LATER - 60, is_over=True), Action.CLOSE),
        (decided(5, fee=5, now=LATER - 60), Action.WAIT),  # gas costs as much as the claim brings
        (decided(5, fee=4, now=LATER - 61), Action.WAIT),
        (decided(5, fee=4, closes_at=NOW + 60), Action.REDEEM),  # the payer requested to close
        (decided(5, fee=4, closes_at=NOW + 60, is_over=True), Action.CLOSE),
        (decided(5, fee=4, closes_at=NOW + 61), Action.WAIT),
        (decided(5, fee=4, now=LATER + 1000), Action.CLOSE),  # late, but not yet taken back
    ],
)
def test_the_policy(action: Action, expected: Action) -> None:
    assert action is expected


@given(
    st.integers(0, 20_000),
    st.integers(0, 10_000),
    st.integers(0, 500),
    st.integers(0, 30_000),
    st.integers(0, 30_000),
    st.booleans(),
)
def test_money_is_neither_burned_nor_left(
    promised: int, claimed: int, fee: int, closes_at: int, now: int, is_over: bool
) -> None:
    action = decided(
        promised, claimed=claimed, fee=fee, closes_at=closes_at, now=now, is_over=is_over
    )
    due = min(promised, 10_000) - claimed
    end = min(LATER, closes_at or LATER)
    if action is not Action.WAIT:
        assert due > fee or due >= POLICY.threshold
    elif now >= end - POLICY.margin:
        assert due <= fee


@asynccontextmanager
async def payer_and_payee(dev: Dev, folder: Path) -> AsyncIterator[tuple[Party, Party]]:
    """Make both parties, with coin for gas."""
    rich, payee = new_wallet(), new_wallet()
    dev.fund(payee.address)
    dev.fund(rich.address)
    async with (
        party(dev.url, dev.chain_id, rich, folder / "payer") as payer,
        party(dev.url, dev.chain_id, payee, folder / "payee") as us,
    ):
        yield payer, us


def test_redeemed_closed_and_written_down(dev: Dev, tmp_path: Path) -> None:
    async def run() -> None:
        async with payer_and_payee(dev, tmp_path) as (payer, us):
            rich, payee = payer.wallet, us.wallet
            channels = Channels(us.chain, dev.contracts.channels)
            settler = Settler(us.journal, channels, us.sender, SettlementPolicy(threshold=100))
            terms, key = await open_channel(payer, payee, dev.contracts, 1000)

            async def promise(amount: int) -> bytes:
                signed = voucher(dev.chain_id, dev.contracts, terms, key, amount)
                await keep(us.journal, terms, signed)
                return signed.channel

            channel = await promise(99)
            assert await settler.settle_due(0) == {channel: Action.WAIT}
            await promise(250)
            assert await settler.settle_due(0) == {channel: Action.REDEEM}
            assert await settler.settle_due(0) == {channel: Action.WAIT}
            assert await channels.balance_of(payee.address) == 250
            await promise(700)
            assert await settler.settle_due(0, lambda _channel: True) == {channel: Action.CLOSE}
            assert await channels.balance_of(payee.address) == 700
            assert await channels.balance_of(rich.address) == 300
            assert await settler.settle_due(0) == {}
            account = await us.journal.do(lambda db: voucher_book.account(db, channel))
            assert account is not None
            assert account.is_closed

    asyncio.run(run())


def test_one_channel_that_fails_keeps_no_other_waiting_and_is_told(
    dev: Dev, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with payer_and_payee(dev, tmp_path) as (payer, us):
            payee = us.wallet
            channels = Channels(us.chain, dev.contracts.channels)
            settler = Settler(us.journal, channels, us.sender, SettlementPolicy(threshold=1))
            found = []
            for amount in (40, 60):
                terms, key = await open_channel(payer, payee, dev.contracts, 1000)
                signed = voucher(dev.chain_id, dev.contracts, terms, key, amount)
                await keep(us.journal, terms, signed)
                found.append(signed.channel)
            status = channels.status

            async def first_fails(channel: bytes) -> ChannelStatus | None:
                if channel == min(found):
                    raise NodeRefused("busy")
                return await status(channel)

            with monkeypatch.context() as patch:
                patch.setattr(channels, "status", first_fails)
                with pytest.raises(NodeRefused):
                    await settler.settle_due(0, lambda _channel: True)
            assert 0 < await channels.balance_of(payee.address) < 100
            done = await settler.settle_due(0, lambda _channel: True)
            assert done == {min(found): Action.CLOSE}
            assert await channels.balance_of(payee.address) == 100

    asyncio.run(run())


def test_notice_by_the_payer_is_answered_in_time(dev: Dev, tmp_path: Path) -> None:
    """Even less than the threshold is redeemed before the payer takes it back; gas is reported."""

    async def run() -> None:
        async with payer_and_payee(dev, tmp_path) as (payer, us):
            payee = us.wallet
            channels = Channels(us.chain, dev.contracts.channels)
            terms, key = await open_channel(payer, payee, dev.contracts, 1000)
            signed = voucher(dev.chain_id, dev.contracts, terms, key, 5)
            await keep(us.journal, terms, signed)
            await payer.sender.carry_out("notice", channels.start_close(terms))
            status = await channels.status(signed.channel)
            assert status is not None
            assert status.closes_at > 0
            policy = SettlementPolicy(threshold=10**6, margin=600)
            for now, expected in (
                (status.closes_at - WINDOW, Action.WAIT),
                (status.closes_at - 600, Action.REDEEM),
            ):
                settler = Settler(
                    us.journal, channels, us.sender, policy, clock=partial(float, now)
                )
                assert await settler.settle_due(1) == {signed.channel: expected}
            assert await channels.balance_of(payee.address) == 5

    asyncio.run(run())


def test_many_channels_are_settled_in_the_time_of_one(node: Anvil, tmp_path: Path) -> None:
    """All claims are sent before the first one is final, the most urgent one first."""
    count, confirmations = 5, 4
    rich, payee = new_wallet(), new_wallet()
    for each in (rich, payee):
        node.fund(each.address)

    async def run() -> None:
        contracts = await deployed(node.url, ANVIL_CHAIN_ID, rich, tmp_path / "deployer")
        async with (
            party(node.url, ANVIL_CHAIN_ID, rich, tmp_path / "payer") as payer,
            party(
                *(node.url, ANVIL_CHAIN_ID, payee, tmp_path / "payee"), confirmations=confirmations
            ) as us,
        ):
            for number in range(count):
                terms, key = await open_channel(
                    payer, payee, contracts, 1000, expires_at=FAR - number
                )
                signed = voucher(ANVIL_CHAIN_ID, contracts, terms, key, 100 + number)
                await keep(us.journal, terms, signed)
            channels = Channels(us.chain, contracts.channels)
            settler = Settler(us.journal, channels, us.sender, SettlementPolicy(threshold=1))
            node.automine(is_on=False)
            settling = asyncio.create_task(settler.settle_due(0))

            async def all_wait() -> bool:
                return bool(int(node.rpc("txpool_status")["pending"], 16) == count)

            await until(all_wait)
            node.mine(confirmations)
            assert set((await settling).values()) == {Action.REDEEM}
            assert await channels.balance_of(payee.address) == sum(range(100, 100 + count))

    asyncio.run(run())
    promised = [int(intent.rpartition(":")[2]) for intent, *_ in entries(tmp_path / "payee")]
    assert promised == list(reversed(range(100, 100 + count)))


def test_a_payer_takes_back_what_nobody_claims(dev: Dev, tmp_path: Path) -> None:
    rich, payee = new_wallet(), Wallet(os.urandom(32))
    dev.fund(rich.address)

    async def run() -> None:
        async with party(dev.url, dev.chain_id, rich, tmp_path / "payer") as payer:
            channels = Channels(payer.chain, dev.contracts.channels)
            terms, _ = await open_channel(payer, payee, dev.contracts, 1000)
            await payer.sender.carry_out("notice", channels.start_close(terms))
            head = await payer.chain.head()
            rpc(dev.url, "testing_timeTravel", head.timestamp + WINDOW + 1)
            await payer.sender.carry_out("end", channels.finalize(terms))
            assert await channels.balance_of(rich.address) == 1000

    asyncio.run(run())
