# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's stake and entry, made by its owner on the development chain."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fs_market.chain.contracts import Erc20, Offer, Registry, StakeBook
from fs_market.chain.deploy import DEFAULT_RULES, TOKEN
from fs_market.core.wire.stakes import bind_digest, stakes_domain
from fs_market.errors import ChainError, Reverted
from fs_market.money.errands import Done
from fs_market.money.staking import GAS, Staking
from fs_market.money.wallet import Wallet
from tests.market.chains import Dev
from tests.market.parties import Party, new_wallet, party

FUNDS = 1000 * TOKEN


@dataclass(frozen=True, slots=True)
class Owner:
    us: Party
    key: Wallet
    token: Erc20
    stakes: StakeBook
    registry: Registry
    errands: Staking

    @property
    def binding(self) -> bytes:
        domain = stakes_domain(self.us.chain.chain_id, self.stakes.address)
        return self.key.sign_digest(bind_digest(domain, self.key.address, self.us.wallet.address))

    async def stake(self, amount: int) -> Done:
        return await self.errands.stake(amount, self.binding, os.urandom(8))


@asynccontextmanager
async def owner(dev: Dev, folder: Path, key: Wallet | None = None) -> AsyncIterator[Owner]:
    wallet, key = new_wallet(), key or new_wallet()
    dev.fund(wallet.address)
    journal = folder / f"{wallet.address}.journal"
    async with party(dev.url, dev.chain_id, wallet, journal) as us:
        token = Erc20(us.chain, dev.contracts.token)
        stakes = StakeBook(us.chain, dev.contracts.stakes)
        registry = Registry(us.chain, dev.contracts.registry)
        await us.sender.carry_out("mint", token.mint(wallet.address, FUNDS))
        errands = Staking(us.journal, token, stakes, registry, us.sender, key.address)
        yield Owner(us, key, token, stakes, registry, errands)


def test_a_key_agrees_to_its_owner_as_the_contract_has_it(dev: Dev, tmp_path: Path) -> None:
    async def scene() -> None:
        async with owner(dev, tmp_path) as bob:
            key, account = bob.key.address, bob.us.wallet.address
            by_contract = await bob.stakes._read("bindDigest", key, account)
            domain = stakes_domain(dev.chain_id, dev.contracts.stakes)
            assert bind_digest(domain, key, account) == by_contract

    asyncio.run(scene())


def test_the_rules_and_the_bond_are_read(dev: Dev, tmp_path: Path) -> None:
    async def scene() -> None:
        async with owner(dev, tmp_path) as bob:
            assert await bob.stakes.rules() == DEFAULT_RULES
            assert await bob.registry.bond_per_slot() == TOKEN
            assert await bob.registry.book() == bob.stakes.address

    asyncio.run(scene())


def test_what_lies_in_the_book_is_used_first(dev: Dev, tmp_path: Path) -> None:
    async def scene() -> None:
        async with owner(dev, tmp_path) as bob:
            await bob.us.sender.carry_out("a", bob.token.approve(bob.stakes.address, 60 * TOKEN))
            await bob.us.sender.carry_out("d", bob.stakes.deposit(60 * TOKEN))
            done = await bob.stake(100 * TOKEN)
            assert len(done.receipts) == 3
            assert await bob.token.balance_of(bob.us.wallet.address) == FUNDS - 100 * TOKEN
            assert await bob.stakes.balance_of(bob.us.wallet.address) == 0

    asyncio.run(scene())


def test_what_cannot_be_is_refused_before_it_costs(dev: Dev, tmp_path: Path) -> None:
    async def scene() -> None:
        async with owner(dev, tmp_path) as bob, owner(dev, tmp_path, bob.key) as eve:
            with pytest.raises(ChainError, match="send the account more"):
                await bob.stake(FUNDS + 1)
            await bob.stake(100 * TOKEN)
            before = await eve.us.chain.nonce(eve.us.wallet.address)
            with pytest.raises(ChainError, match="belongs to"):
                await eve.stake(100 * TOKEN)
            assert await eve.us.chain.nonce(eve.us.wallet.address) == before
            # A task that was finally refused does not come back.
            offered = Offer(101, os.urandom(32))
            keys = os.urandom(32), os.urandom(32)
            with pytest.raises(Reverted):
                await bob.errands.announce(bob.key.address, *keys, offered, os.urandom(8))
            assert await bob.errands.unfinished() == []

    asyncio.run(scene())


def test_all_steps_keep_to_the_gas_that_is_told(dev: Dev, tmp_path: Path) -> None:
    async def scene() -> None:
        async with owner(dev, tmp_path) as bob:
            offered = Offer(100, os.urandom(32))
            keys = os.urandom(32), os.urandom(32)
            done = [await bob.stake(100 * TOKEN), await bob.stake(TOKEN)]
            done += [await bob.errands.announce(bob.key.address, *keys, offered, os.urandom(8))]
            done += [await bob.errands.rotate(os.urandom(32), os.urandom(8))]
            done += [await bob.errands.retire(os.urandom(8))]
            done += [await bob.errands.request_exit(os.urandom(8))]
            head = await bob.us.chain.head()
            dev.chain._tester.time_travel(head.timestamp + DEFAULT_RULES.exit_delay)
            done += [await bob.errands.collect(os.urandom(8))]
            assert await bob.token.balance_of(bob.us.wallet.address) == FUNDS
            seen = set()
            for each in done:
                for (name, _), receipt in zip(
                    bob.errands.steps(each.task), each.receipts, strict=True
                ):
                    assert receipt.gas_used <= GAS[name], name
                    seen.add(name)
            assert seen == set(GAS)

    asyncio.run(scene())
