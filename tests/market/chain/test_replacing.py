# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A transaction that waits too long is replaced, and the cap on fees always holds."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from fs_market.chain.fees import GWEI, FeePolicy
from fs_market.chain.sender import Patience
from fs_market.chain.transactions import Call, Outcome
from fs_market.errors import FeeTooHigh, StillPending
from fs_market.money.wallet import Wallet
from tests.market.chain.sending import HASTY, REFUSED, attempts, entries, signed
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil, between
from tests.market.parties import new_wallet, party


def test_a_stuck_transaction_is_replaced_under_its_nonce(
    node: Anvil, alice: Wallet, tmp_path: Path
) -> None:
    bob = new_wallet().address

    async def run() -> None:
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", patience=HASTY) as us:
            node.automine(is_on=False)
            waiting = asyncio.create_task(us.sender.carry_out("pay", Call(bob, value=5)))
            await signed(us.journal, alice, 3)
            fees = [each.fees for each in await attempts(us.journal, alice)]
            assert all(
                after.limit * 10 >= before.limit * 11 and after.tip * 10 >= before.tip * 11
                for before, after in pairwise(fees)
            )
            node.mine()
            await waiting
            assert await us.chain.balance(bob) == 5

    asyncio.run(run())
    node.mine(3)
    assert node.nonce(alice.address) == 1
    assert [entry[2] for entry in entries(tmp_path / "j")] == [Outcome.SUCCEEDED]


def test_an_earlier_attempt_may_be_the_one_that_is_mined(
    node: Anvil, alice: Wallet, tmp_path: Path
) -> None:
    """The chain node never got the replacement: the first attempt is mined and found."""
    bob = new_wallet().address

    async def run() -> None:
        with between(node.url) as faulty:
            async with party(
                faulty.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", patience=HASTY
            ) as us:
                node.automine(is_on=False)
                faulty.fault = lambda method, count: (
                    REFUSED if method == "eth_sendRawTransaction" and count > 1 else None
                )
                waiting = asyncio.create_task(us.sender.carry_out("pay", Call(bob, value=5)))
                await signed(us.journal, alice, 2)
                node.mine()
                await waiting
                assert await us.chain.balance(bob) == 5

    asyncio.run(run())
    assert node.nonce(alice.address) == 1


def test_the_cap_on_fees_holds_for_replacements(node: Anvil, alice: Wallet, tmp_path: Path) -> None:
    bob = new_wallet().address
    fees = FeePolicy(cap=3 * GWEI, min_tip=GWEI // 10, max_tip=GWEI)

    async def run() -> None:
        async with party(
            *(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j"),
            patience=Patience(poll=0.01, replace_after=0.02, give_up_after=1.0),
            fees=fees,
        ) as us:
            node.automine(is_on=False)
            with pytest.raises(StillPending):
                await us.sender.carry_out("pay", Call(bob, value=5))
            offered = [each.fees for each in await attempts(us.journal, alice)]
            assert len(offered) > 1
            assert all(each.limit <= fees.cap for each in offered)

    asyncio.run(run())


def test_a_dear_chain_is_refused_before_anything_is_signed(
    node: Anvil, alice: Wallet, tmp_path: Path
) -> None:
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(500 * GWEI))
    node.mine()

    async def run() -> None:
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
            with pytest.raises(FeeTooHigh, match="wait, or raise max_fee_gwei"):
                await us.sender.carry_out("pay", Call(new_wallet().address, value=5))

    asyncio.run(run())
    assert entries(tmp_path / "j") == []
