# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Transactions are sent once, whatever the chain node and the chain do."""

import asyncio
from pathlib import Path

import pytest

from fs_market.chain.contracts import Erc20
from fs_market.chain.deploy import Deployed
from fs_market.chain.transactions import Call, Outcome
from fs_market.errors import ChainError, Displaced, Reverted, StillPending
from fs_market.money.wallet import Wallet
from tests.market.chain.sending import BRIEF, REFUSED, entries, signed
from tests.market.chains import Dev
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil, between
from tests.market.parties import new_wallet, party, until


def test_an_intent_is_carried_out_once(node: Anvil, alice: Wallet, tmp_path: Path) -> None:
    bob = new_wallet().address

    async def run() -> None:
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
            first = await us.sender.carry_out("pay", Call(bob, value=5))
            again = await us.sender.carry_out("pay", Call(bob, value=5))
            assert first == again
            assert first.has_succeeded
            assert await us.chain.balance(bob) == 5

    asyncio.run(run())
    assert node.nonce(alice.address) == 1


def test_nonces_of_many_at_once(node: Anvil, alice: Wallet, tmp_path: Path) -> None:
    bob = new_wallet().address

    async def run() -> None:
        async with (
            party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us,
            # This acts like another process: it shares only the journal's file.
            party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as other,
        ):
            await asyncio.gather(
                *(us.sender.carry_out(f"a{n}", Call(bob, value=1)) for n in range(10)),
                *(other.sender.carry_out(f"b{n}", Call(bob, value=1)) for n in range(10)),
            )
            assert await us.chain.balance(bob) == 20

    asyncio.run(run())
    assert [nonce for _, nonce, _, _ in entries(tmp_path / "j")] == list(range(20))


def test_many_at_once_on_the_development_chain(dev: Dev, tmp_path: Path) -> None:
    wallet, bob = new_wallet(), new_wallet().address
    dev.fund(wallet.address)

    async def run() -> None:
        async with party(dev.url, dev.chain_id, wallet, tmp_path / "j") as us:
            await asyncio.gather(
                *(us.sender.carry_out(f"a{n}", Call(bob, value=1)) for n in range(10))
            )
            assert await us.chain.balance(bob) == 10

    asyncio.run(run())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_pays_once(when: str, node: Anvil, alice: Wallet, tmp_path: Path) -> None:
    bob = new_wallet().address

    async def run() -> set[str]:
        with between(node.url) as faulty:
            faulty.fault = lambda method, count: (
                when if method == "eth_sendRawTransaction" and count <= 2 else None
            )
            async with party(faulty.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
                await us.sender.carry_out("pay", Call(bob, value=5))
                assert await us.chain.balance(bob) == 5
            return set(faulty.sent)

    sent = asyncio.run(run())
    assert len(sent) == 1  # the same bytes each time
    assert node.nonce(alice.address) == 1


def test_a_node_that_dies_is_waited_for_and_nothing_is_sent_twice(
    node: Anvil, alice: Wallet, tmp_path: Path
) -> None:
    bob = new_wallet().address

    async def run() -> None:
        with between(node.url) as faulty:
            async with party(
                faulty.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", patience=BRIEF
            ) as us:
                faulty.fault = lambda method, _count: (
                    "after"
                    if method in ("eth_sendRawTransaction", "eth_getTransactionReceipt")
                    else None
                )
                with pytest.raises(StillPending, match="nothing is paid twice"):
                    await us.sender.carry_out("pay", Call(bob, value=5))
                faulty.fault = lambda _method, _count: None
                await us.sender.carry_out("pay", Call(bob, value=5))
                assert await us.chain.balance(bob) == 5

    asyncio.run(run())
    assert node.nonce(alice.address) == 1


def test_a_foreign_transaction_takes_the_nonce(node: Anvil, alice: Wallet, tmp_path: Path) -> None:
    """Somebody uses the key elsewhere: this is reported, and no other nonce is used."""
    bob = new_wallet().address

    async def run() -> None:
        with between(node.url) as faulty:
            faulty.fault = lambda method, _count: (
                REFUSED if method == "eth_sendRawTransaction" else None
            )
            async with party(faulty.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
                waiting = asyncio.create_task(us.sender.carry_out("pay", Call(bob, value=5)))
                await signed(us.journal, alice, 1)
                async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "other") as foreign:
                    await foreign.sender.carry_out("else", Call(bob, value=1))
                with pytest.raises(Displaced, match="another program used nonce 0"):
                    await waiting
                assert await us.chain.balance(bob) == 1

    asyncio.run(run())
    assert entries(tmp_path / "j") == [("pay", 0, Outcome.DISPLACED, 1)]


def test_resume_sends_what_a_crash_left(node: Anvil, alice: Wallet, tmp_path: Path) -> None:
    bob = new_wallet().address

    async def run() -> None:
        with between(node.url) as faulty:
            faulty.fault = lambda method, _count: (
                REFUSED if method == "eth_sendRawTransaction" else None
            )
            async with party(
                faulty.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", patience=BRIEF
            ) as us:
                for name in ("one", "two"):
                    with pytest.raises(StillPending):
                        await us.sender.carry_out(name, Call(bob, value=5))
            assert node.nonce(alice.address) == 0
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
            await us.sender.finish_all()
            assert await us.chain.balance(bob) == 10
            assert await us.sender.resume() == []

    asyncio.run(run())


def test_a_transaction_that_the_node_forgot_keeps_no_later_one_waiting(
    node: Anvil, alice: Wallet, tmp_path: Path
) -> None:
    """Another process sends the earlier one again, and writes down how it ended."""
    bob = new_wallet().address

    async def run() -> None:
        node.automine(is_on=False)
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", patience=BRIEF) as us:
            for name in ("one", "two"):
                with pytest.raises(StillPending):
                    await us.sender.carry_out(name, Call(bob, value=5))
        node.rpc("anvil_dropAllTransactions")
        node.automine(is_on=True)
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
            await us.sender.carry_out("three", Call(bob, value=5))
            assert await us.chain.balance(bob) == 15
            assert await us.sender.resume() == []

    asyncio.run(run())
    assert entries(tmp_path / "j") == [
        (name, nonce, Outcome.SUCCEEDED, 1) for nonce, name in enumerate(("one", "two", "three"))
    ]


def test_who_cannot_pay_for_gas_is_told(node: Anvil, tmp_path: Path) -> None:
    poor = new_wallet()
    node.fund(poor.address, 10)

    async def run() -> None:
        async with party(node.url, ANVIL_CHAIN_ID, poor, tmp_path / "j") as us:
            with pytest.raises(ChainError, match="send the account some"):
                await us.sender.carry_out("pay", Call(new_wallet().address, value=1))

    asyncio.run(run())
    assert entries(tmp_path / "j") == []


def test_what_a_contract_refuses_is_not_sent(
    node: Anvil, on_anvil: Deployed, alice: Wallet, tmp_path: Path
) -> None:
    async def run() -> None:
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
            call = Erc20(us.chain, on_anvil.token)._call("transfer", new_wallet().address, 1)
            with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
                await us.sender.carry_out("pay", call)

    asyncio.run(run())
    assert node.nonce(alice.address) == 0


def test_what_a_contract_refuses_once_it_is_mined(
    node: Anvil, on_anvil: Deployed, alice: Wallet, tmp_path: Path
) -> None:
    """It was valid when it was signed. The reason is found, and the intent is free again."""

    async def run() -> None:
        with between(node.url) as late:
            async with party(late.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
                token = Erc20(us.chain, on_anvil.token)
                transfer = token._call("transfer", new_wallet().address, 7)
                await us.sender.carry_out("mint", token.mint(alice.address, 10))
                late.fault = lambda method, _count: (
                    REFUSED if method == "eth_sendRawTransaction" else None
                )
                first = asyncio.create_task(us.sender.carry_out("first", transfer))
                await signed(us.journal, alice, 1)
                second = asyncio.create_task(us.sender.carry_out("second", transfer))

                async def both() -> bool:
                    return len(entries(tmp_path / "j")) == 3

                await until(both)
                late.fault = lambda _method, _count: None
                await first
                with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
                    await second

    asyncio.run(run())
    outcomes = {intent: outcome for intent, _, outcome, _ in entries(tmp_path / "j")}
    assert outcomes == {
        "mint": Outcome.SUCCEEDED,
        "first": Outcome.SUCCEEDED,
        "second": Outcome.FAILED,
    }
