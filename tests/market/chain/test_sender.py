# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Transactions are sent once, whatever the chain node and the chain do."""

import asyncio
import json
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from fs_market.chain import transactions
from fs_market.chain.contracts import Erc20
from fs_market.chain.deploy import Deployed
from fs_market.chain.fees import GWEI, FeePolicy
from fs_market.chain.sender import Patience
from fs_market.chain.transactions import Call, Entry, Outcome
from fs_market.core.wire.ethereum import keccak
from fs_market.errors import ChainError, Displaced, FeeTooHigh, Reverted, StillPending
from fs_market.journal import Journal
from fs_market.money.wallet import Wallet
from tests.market.chains import Dev
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil, between
from tests.market.parties import new_wallet, party, until

HASTY = Patience(poll=0.01, replace_after=0.05, give_up_after=30.0)
BRIEF = Patience(poll=0.01, replace_after=1000.0, give_up_after=0.2)


def entries(journal: Path) -> list[tuple[str, int, str | None, int]]:
    """Return intent, nonce, outcome and attempts of every transaction in a journal."""
    with sqlite3.connect(journal) as db:
        rows = db.execute(
            "SELECT intent, nonce, outcome, (SELECT count(*) FROM attempts WHERE tx = id)"
            " FROM transactions ORDER BY nonce"
        ).fetchall()
    db.close()
    return rows


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


async def attempts(journal: Journal, wallet: Wallet) -> tuple[transactions.Signed, ...]:
    found: list[Entry] = await journal.do(lambda db: transactions.unfinished(db, wallet.address))
    return found[0].attempts if found else ()


async def signed(journal: Journal, wallet: Wallet, count: int) -> None:
    async def are_there() -> bool:
        return len(await attempts(journal, wallet)) >= count

    await until(are_there)


async def mined(node: Anvil, wallet: Wallet) -> None:
    async def is_there() -> bool:
        return node.nonce(wallet.address) > 0

    await until(is_there)


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


REFUSED = '{"jsonrpc": "2.0", "id": 0, "error": {"code": -32000, "message": "no"}}'


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


def test_a_reorganisation_sends_it_once_more(node: Anvil, alice: Wallet, tmp_path: Path) -> None:
    """It was mined, reverted and forgotten before it was final; only the journal has it."""
    bob = new_wallet().address

    async def run() -> None:
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", confirmations=3) as us:
            before = node.snapshot()
            waiting = asyncio.create_task(us.sender.carry_out("pay", Call(bob, value=5)))
            await mined(node, alice)
            node.automine(is_on=False)
            node.take_back_to(before)
            node.mine(2)
            await asyncio.sleep(0.1)
            assert not waiting.done()
            node.mine(3)
            receipt = await waiting
            block = await us.chain.block(receipt.block_number)
            assert block is not None
            assert block.hash == receipt.block_hash
            assert await us.chain.balance(bob) == 5

    asyncio.run(run())
    assert node.nonce(alice.address) == 1


def test_a_receipt_of_a_block_that_is_gone_is_not_believed(
    node: Anvil, alice: Wallet, tmp_path: Path
) -> None:
    gone, lies = "0x" + "ee" * 32, 0

    async def run() -> None:
        with between(node.url) as stale:

            def lie(method: str, _count: int) -> str | None:
                nonlocal lies
                if method != "eth_getTransactionReceipt" or lies == 3:
                    return None
                lies += 1
                sent = keccak(bytes.fromhex(stale.sent[0][2:]))
                receipt = node.rpc(method, "0x" + sent.hex()) | {"blockHash": gone}
                return json.dumps({"jsonrpc": "2.0", "id": 0, "result": receipt})

            stale.fault = lie
            async with party(stale.url, ANVIL_CHAIN_ID, alice, tmp_path / "j") as us:
                receipt = await us.sender.carry_out("pay", Call(new_wallet().address, value=5))
                assert receipt.block_hash.hex() != gone[2:]

    asyncio.run(run())
    assert lies == 3


def test_nothing_is_done_before_it_is_final(node: Anvil, alice: Wallet, tmp_path: Path) -> None:
    async def run() -> None:
        async with party(node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", confirmations=4) as us:
            waiting = asyncio.create_task(
                us.sender.carry_out("pay", Call(new_wallet().address, value=5))
            )
            await mined(node, alice)
            node.mine(2)
            await asyncio.sleep(0.1)
            assert not waiting.done()
            node.mine()
            await waiting

    asyncio.run(run())


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
