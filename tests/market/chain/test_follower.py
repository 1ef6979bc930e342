# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Events as they are on the chain, even after a reorganisation."""

import asyncio
from pathlib import Path

import pytest

from fs_market.chain.answers import Log
from fs_market.chain.contracts import Erc20
from fs_market.chain.deploy import Deployed
from fs_market.chain.follower import Changes, Follower
from fs_market.errors import DeepReorg, NodeUnreachable
from fs_market.money.wallet import Wallet
from tests.market.chains import Dev
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil, between
from tests.market.parties import Party, new_wallet, party
from tests.netns.waiting import wait_until

CONFIRMATIONS = 3


class Told:
    """The state of a listener that does what the follower says."""

    def __init__(self) -> None:
        self.seen: list[Log] = []
        self.final: list[Log] = []

    def hear(self, changes: Changes) -> None:
        for log in changes.undone:
            assert self.seen.pop() == log
        self.seen.extend(changes.seen)
        for log in changes.final:
            assert log in self.seen
            assert log not in self.final
            self.final.append(log)

    def amounts(self, token: Erc20) -> list[int]:
        return [token.event(log).args["value"] for log in self.seen]


async def follow(us: Party, contracts: Deployed) -> tuple[Follower, Erc20]:
    token = Erc20(us.chain, contracts.token)
    base = await us.chain.block(0)
    assert base is not None
    return Follower(us.chain, [token.address], [token.topic("Transfer")], base), token


def send_mint(node: Anvil, token: Erc20, wallet: Wallet, amount: int) -> None:
    """Mint from one of anvil's own accounts, so that it can differ after a reorganisation."""
    (account, *_) = node.rpc("eth_accounts")
    data = "0x" + token.mint(wallet.address, amount).data.hex()
    sent = {"from": account, "to": str(token.address), "data": data}
    digest = node.rpc("eth_sendTransaction", sent)
    # anvil answers before the block is there.
    wait_until(lambda: node.rpc("eth_getTransactionReceipt", digest), what="it is mined")


def test_a_reorganisation_is_taken_back_and_told_anew(
    node: Anvil, on_anvil: Deployed, alice: Wallet, tmp_path: Path
) -> None:
    async def run() -> None:
        async with party(
            node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", confirmations=CONFIRMATIONS
        ) as us:
            follower, token = await follow(us, on_anvil)
            told = Told()
            told.hear(await follower.poll())
            send_mint(node, token, alice, 1)
            node.mine(CONFIRMATIONS)
            told.hear(await follower.poll())
            assert (told.amounts(token), len(told.final)) == ([1], 1)
            before = node.snapshot()
            send_mint(node, token, alice, 2)
            send_mint(node, token, alice, 3)
            told.hear(await follower.poll())
            assert told.amounts(token) == [1, 2, 3]
            node.take_back_to(before)
            send_mint(node, token, alice, 4)
            changes = await follower.poll()
            assert len(changes.undone) == 2
            told.hear(changes)
            assert told.amounts(token) == [1, 4]
            node.mine(CONFIRMATIONS)
            told.hear(await follower.poll())
            assert [token.event(log).args["value"] for log in told.final] == [1, 4]
            assert await follower.poll() == Changes()

    asyncio.run(run())


def test_a_shorter_chain_takes_back_too(
    node: Anvil, on_anvil: Deployed, alice: Wallet, tmp_path: Path
) -> None:
    async def run() -> None:
        async with party(
            node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", confirmations=CONFIRMATIONS
        ) as us:
            follower, token = await follow(us, on_anvil)
            told = Told()
            told.hear(await follower.poll())
            before = node.snapshot()
            send_mint(node, token, alice, 2)
            told.hear(await follower.poll())
            node.take_back_to(before)
            told.hear(await follower.poll())
            assert told.seen == []

    asyncio.run(run())


def test_what_was_final_is_not_taken_back_in_silence(
    node: Anvil, on_anvil: Deployed, alice: Wallet, tmp_path: Path
) -> None:
    async def run() -> None:
        async with party(
            node.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", confirmations=CONFIRMATIONS
        ) as us:
            follower, _ = await follow(us, on_anvil)
            before = node.snapshot()
            node.mine(10)
            while (await follower.poll()).seen:
                pass
            node.take_back_to(before)
            node.rpc("evm_increaseTime", 1000)
            node.mine(20)
            with pytest.raises(DeepReorg, match="raise confirmations"):
                await follower.poll()

    asyncio.run(run())


def test_a_failed_look_loses_nothing(
    node: Anvil, on_anvil: Deployed, alice: Wallet, tmp_path: Path
) -> None:
    """The chain node dies at each request of a look in turn, just after a reorganisation."""

    async def run() -> None:
        with between(node.url) as faulty:
            async with party(
                faulty.url, ANVIL_CHAIN_ID, alice, tmp_path / "j", confirmations=CONFIRMATIONS
            ) as us:
                us.chain._rpc.attempts = 1
                follower, token = await follow(us, on_anvil)
                told = Told()
                told.hear(await follower.poll())
                for step in range(1, 100):
                    before = node.snapshot()
                    send_mint(node, token, alice, 2)
                    told.hear(await follower.poll())
                    node.take_back_to(before)
                    send_mint(node, token, alice, 4)
                    left = [step]

                    def fail(_method: str, _count: int, left: list[int] = left) -> str | None:
                        left[0] -= 1
                        return "before" if left[0] == 0 else None

                    faulty.fault = fail
                    try:
                        told.hear(await follower.poll())
                    except NodeUnreachable:
                        told.hear(await follower.poll())
                    faulty.fault = lambda _method, _count: None
                    assert told.amounts(token)[-1] == 4
                    assert 2 not in told.amounts(token)
                    if left[0] > 0:
                        return
                pytest.fail("a look has no end")

    asyncio.run(run())


def test_on_the_development_chain(dev: Dev, tmp_path: Path) -> None:
    wallet = new_wallet()
    dev.fund(wallet.address)

    async def run() -> None:
        async with party(dev.url, dev.chain_id, wallet, tmp_path / "j") as us:
            follower, token = await follow(us, dev.contracts)
            told = Told()
            told.hear(await follower.poll())
            for amount in (5, 6):
                await us.sender.carry_out(f"mint{amount}", token.mint(wallet.address, amount))
            told.hear(await follower.poll())
            assert told.amounts(token) == [5, 6]
            assert told.final == told.seen

    asyncio.run(run())
