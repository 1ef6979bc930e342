# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A transaction is done once its block is final, and a reorganisation cannot lose it."""

import asyncio
import json
from pathlib import Path

from fs_market.chain.transactions import Call
from fs_market.core.wire.ethereum import keccak
from fs_market.money.wallet import Wallet
from tests.market.chain.sending import mined
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil, between
from tests.market.parties import new_wallet, party


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
