# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The programs of test_crashes: a process without threads, from which others are forked.

python -m tests.market.crashes \
    SCENARIO STRIDE URL CHAIN_ID TOKEN CHANNELS STAKES REGISTRY DIRECTORY < KEYS
"""

import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from fs_market.chain.contracts import Channels, Erc20, Offer, Registry, StakeBook
from fs_market.chain.deploy import TOKEN, Deployed
from fs_market.chain.transactions import Call
from fs_market.core.wire.channels import channel_id, channels_domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.stakes import bind_digest, stakes_domain
from fs_market.money import voucher_book
from fs_market.money.settle import SettlementPolicy, Settler
from fs_market.money.staking import Staking
from fs_market.money.treasury import Treasury
from fs_market.money.wallet import Wallet
from tests.market import killed_at
from tests.market.parties import Party, keep, open_channel, party, voucher

DEPOSIT, PROMISED = 1_000_000, 600_000
STAKE = 100 * TOKEN


@dataclass(frozen=True, slots=True)
class Scene:
    url: str
    chain_id: int
    contracts: Deployed
    directory: Path
    rich: Wallet

    async def party(self, stack: AsyncExitStack, wallet: Wallet, name: str) -> Party:
        journal = self.directory / f"{name}.journal"
        return await stack.enter_async_context(party(self.url, self.chain_id, wallet, journal))

    def channels(self, us: Party) -> Channels:
        return Channels(us.chain, self.contracts.channels)


def settlement(scene: Scene, name: str, step: int) -> int:
    """A payee closes a channel with its voucher; return how the killed process ended."""
    payee = Wallet(os.urandom(32))
    domain = channels_domain(scene.chain_id, scene.contracts.channels)

    async def prepare() -> None:
        async with AsyncExitStack() as stack:
            payer = await scene.party(stack, scene.rich, "rich")
            await fund(payer, payee.address)
            terms, key = await open_channel(payer, payee, scene.contracts, DEPOSIT)
            us = await scene.party(stack, payee, name)
            promised = voucher(scene.chain_id, scene.contracts, terms, key, PROMISED)
            await keep(us.journal, terms, promised)

    async def settle() -> None:
        async with AsyncExitStack() as stack:
            us = await scene.party(stack, payee, name)
            settler = Settler(us.journal, scene.channels(us), us.sender, SettlementPolicy(1))
            await settler.resume()
            await settler.settle_due(0, lambda _channel: True)
            # A repetition, as after a restart, changes nothing.
            await settler.settle_due(0, lambda _channel: True)

    async def agree() -> None:
        async with AsyncExitStack() as stack:
            us = await scene.party(stack, payee, name)
            assert await scene.channels(us).balance_of(payee.address) == PROMISED
            assert await us.chain.nonce(payee.address) == 1
            assert await us.journal.do(succeeded) == 1
            (terms,) = await us.journal.do(
                lambda db: [
                    voucher_book.account(db, row[0]).terms  # type: ignore[union-attr]
                    for row in db.execute("SELECT id FROM channels WHERE is_closed = 1")
                ]
            )
            assert await scene.channels(us).is_closed(channel_id(domain, terms))

    return run(prepare, settle, agree, step)


def transfer(scene: Scene, name: str, step: int) -> int:
    """A user deposits and withdraws a part; each command is repeated after the crash."""
    wallet = Wallet(os.urandom(32))

    async def prepare() -> None:
        async with AsyncExitStack() as stack:
            rich = await scene.party(stack, scene.rich, "rich")
            await fund(rich, wallet.address)
            token = Erc20(rich.chain, scene.contracts.token)
            await rich.sender.carry_out(f"mint:{name}", token.mint(wallet.address, DEPOSIT))

    async def move() -> None:
        async with AsyncExitStack() as stack:
            us = await scene.party(stack, wallet, name)
            token = Erc20(us.chain, scene.contracts.token)
            treasury = Treasury(us.journal, token, scene.channels(us), us.sender)
            # The user types this again after a crash; finished steps are not repeated.
            if await scene.channels(us).balance_of(wallet.address) == 0:
                await treasury.deposit(PROMISED, os.urandom(8))
            await treasury.resume()
            if await token.balance_of(wallet.address) == DEPOSIT - PROMISED:
                await treasury.withdraw(wallet.address, 1000, os.urandom(8))

    async def agree() -> None:
        async with AsyncExitStack() as stack:
            us = await scene.party(stack, wallet, name)
            token = Erc20(us.chain, scene.contracts.token)
            assert await scene.channels(us).balance_of(wallet.address) == PROMISED - 1000
            assert await token.balance_of(wallet.address) == DEPOSIT - PROMISED + 1000
            assert await us.chain.nonce(wallet.address) == 3
            assert await us.journal.do(succeeded) == 3
            treasury = Treasury(us.journal, token, scene.channels(us), us.sender)
            assert await treasury.unfinished() == []

    return run(prepare, move, agree, step)


def staking(scene: Scene, name: str, step: int) -> int:
    """An owner stakes and announces; each command is repeated after the crash."""
    wallet, key = Wallet(os.urandom(32)), Wallet(os.urandom(32))
    digest = bind_digest(
        stakes_domain(scene.chain_id, scene.contracts.stakes), key.address, wallet.address
    )
    offered = Offer(3, os.urandom(32))
    keys = os.urandom(32), os.urandom(32)

    async def prepare() -> None:
        async with AsyncExitStack() as stack:
            rich = await scene.party(stack, scene.rich, "rich")
            await fund(rich, wallet.address)
            token = Erc20(rich.chain, scene.contracts.token)
            await rich.sender.carry_out(f"mint:{name}", token.mint(wallet.address, 2 * STAKE))

    async def act() -> None:
        async with AsyncExitStack() as stack:
            us = await scene.party(stack, wallet, name)
            token = Erc20(us.chain, scene.contracts.token)
            stakes = StakeBook(us.chain, scene.contracts.stakes)
            registry = Registry(us.chain, scene.contracts.registry)
            errands = Staking(us.journal, token, stakes, registry, us.sender, key.address)
            binding = key.sign_digest(digest)
            # The user types this again after a crash; finished steps are not repeated.
            if (await stakes.stake_of(key.address)).amount == 0:
                await errands.stake(STAKE, binding, os.urandom(8))
            await errands.resume()
            if not (await registry.entry_of(key.address)).offer.slots:
                await errands.announce(key.address, *keys, offered, os.urandom(8))
            await errands.resume()

    async def agree() -> None:
        async with AsyncExitStack() as stack:
            us = await scene.party(stack, wallet, name)
            stakes = StakeBook(us.chain, scene.contracts.stakes)
            entry = await Registry(us.chain, scene.contracts.registry).entry_of(key.address)
            held = await stakes.stake_of(key.address)
            assert (held.amount, await stakes.balance_of(wallet.address)) == (STAKE, 0)
            assert (entry.node_key, entry.heartbeat_key, entry.offer) == (*keys, offered)
            assert await us.chain.nonce(wallet.address) == 4
            assert await us.journal.do(succeeded) == 4

    return run(prepare, act, agree, step)


def run(
    prepare: Callable[[], Awaitable[None]],
    act: Callable[[], Awaitable[None]],
    agree: Callable[[], Awaitable[None]],
    step: int,
) -> int:
    assert killed_at.in_process(prepare) == 0
    ended = killed_at.in_process(act, step)
    assert ended in (0, killed_at.DIED)
    assert killed_at.in_process(act) == 0
    assert killed_at.in_process(agree) == 0
    return ended


async def fund(rich: Party, account: Address) -> None:

    await rich.sender.carry_out(f"fund:{account}", Call(account, value=10**18))


def succeeded(db: sqlite3.Connection) -> int:
    rows = db.execute("SELECT outcome, count(*) FROM transactions GROUP BY outcome").fetchall()
    assert [outcome for outcome, _ in rows] == ["succeeded"], rows
    return int(rows[0][1])


def main() -> None:
    name, stride, url, chain_id, *addresses, directory = sys.argv[1:]
    contracts = Deployed(*map(Address.parse, addresses))
    rich = Wallet(bytes.fromhex(sys.stdin.readline().strip()))
    scene = Scene(url, int(chain_id), contracts, Path(directory), rich)
    scenario = {"settlement": settlement, "transfer": transfer, "staking": staking}[name]
    for step in range(1, 1000, int(stride)):
        if scenario(scene, f"{name}-{step}", step) == 0:
            print(step)
            return


if __name__ == "__main__":
    main()
