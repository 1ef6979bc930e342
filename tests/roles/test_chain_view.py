# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which providers the chain lists: only final blocks count, and every change is seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Erc20, Offer, Registry, StakeBook
from fs_market.chain.deploy import TOKEN, Deployed
from fs_market.chain.fees import FeePolicy
from fs_market.core.wire.ethereum import Address
from fs_market.errors import NodeUnreachable
from fs_market.settings import MarketSettings
from fs_net.ports import Listing
from fs_tunnel.roles.chain_view import ChainListings, Progress
from fs_wire.errors import UsageError
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil, between
from tests.market.parties import Party, new_wallet, party

CONFIRMATIONS = 3
STAKE = 200 * TOKEN
NODE, HEARTBEAT, ANOTHER = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
OFFER = Offer(5, bytes([4]) * 32)


def settings_of(url: str, contracts: Deployed) -> MarketSettings:
    return MarketSettings(
        rpc=url,
        chain_id=ANVIL_CHAIN_ID,
        confirmations=CONFIRMATIONS,
        fees=FeePolicy(),
        token=contracts.token,
        channels=contracts.channels,
        stakes=contracts.stakes,
        registry=contracts.registry,
    )


class Bob:
    """A provider whose transactions are mined but not final."""

    def __init__(self, us: Party, contracts: Deployed) -> None:
        self.stakes = StakeBook(us.chain, contracts.stakes)
        self.registry = Registry(us.chain, contracts.registry)
        self.address = us.wallet.address.raw
        self.act = us.sender.carry_out


@asynccontextmanager
async def scene(node: Anvil, contracts: Deployed, folder: Path) -> AsyncIterator[Bob]:
    """Bob has a final stake and no entry."""
    wallet = new_wallet()
    node.fund(wallet.address)
    async with party(node.url, ANVIL_CHAIN_ID, wallet, folder / "journal") as us:
        token, bob = Erc20(us.chain, contracts.token), Bob(us, contracts)
        stakes = bob.stakes
        await bob.act("mint", token.mint(wallet.address, STAKE))
        await bob.act("approve", token.approve(stakes.address, STAKE))
        await bob.act("deposit", stakes.deposit(STAKE))
        await bob.act("register", stakes.register(wallet.address, STAKE))
        node.mine(CONFIRMATIONS)
        yield bob


@asynccontextmanager
async def listings(url: str, contracts: Deployed) -> AsyncIterator[ChainListings]:
    settings = settings_of(url, contracts)
    async with Chain(url, settings.chain_id, confirmations=CONFIRMATIONS, attempts=1) as chain:
        yield ChainListings(chain, settings)


def test_a_listing_follows_final_blocks(node: Anvil, on_anvil: Deployed, tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(node, on_anvil, tmp_path) as bob, listings(node.url, on_anvil) as view:
            await view.refresh()
            assert view.listing(bob.address) is None
            me, registry = bob.stakes, bob.registry
            provider = Address(bob.address)
            await bob.act("announce", registry.announce(provider, provider, NODE, HEARTBEAT, OFFER))
            await view.refresh()
            assert view.listing(bob.address) is None  # not final yet
            node.mine(CONFIRMATIONS)
            await view.refresh()
            listed = Listing(NODE, HEARTBEAT, OFFER.slots, STAKE)
            assert view.listing(bob.address) == listed

            await bob.act("rotate", registry.rotate_heartbeat(provider, ANOTHER))
            await view.refresh()
            assert view.listing(bob.address) == listed
            node.mine(CONFIRMATIONS)
            await view.refresh()
            listed = replace(listed, heartbeat_key=ANOTHER)
            assert view.listing(bob.address) == listed

            await bob.act("offer", registry.change_offer(provider, replace(OFFER, slots=7)))
            node.mine(CONFIRMATIONS)
            await view.refresh()
            assert view.listing(bob.address) == replace(listed, slots=7)

            await bob.act("exit", me.request_exit(provider))
            node.mine(CONFIRMATIONS)
            await view.refresh()
            assert view.listing(bob.address) is None
            assert len(view) == 0

    asyncio.run(play())


def test_what_was_taken_back_was_never_listed(
    node: Anvil, on_anvil: Deployed, tmp_path: Path
) -> None:
    async def play() -> None:
        async with scene(node, on_anvil, tmp_path) as bob, listings(node.url, on_anvil) as view:
            provider = Address(bob.address)
            await view.refresh()
            before = node.snapshot()
            await bob.act(
                "announce", bob.registry.announce(provider, provider, NODE, HEARTBEAT, OFFER)
            )
            await view.refresh()
            node.take_back_to(before)
            node.mine(2 * CONFIRMATIONS)
            await view.refresh()
            assert view.listing(bob.address) is None

    asyncio.run(play())


def test_one_provider_can_be_looked_up_alone(
    node: Anvil, on_anvil: Deployed, tmp_path: Path
) -> None:
    async def play() -> None:
        async with scene(node, on_anvil, tmp_path) as bob, listings(node.url, on_anvil) as view:
            provider = Address(bob.address)
            announce = bob.registry.announce(provider, provider, NODE, HEARTBEAT, OFFER)
            await bob.act("announce", announce)
            assert await view.look_up(bob.address) is None
            node.mine(CONFIRMATIONS)
            assert view.listing(bob.address) is None
            listed = Listing(NODE, HEARTBEAT, OFFER.slots, STAKE)
            assert await view.look_up(bob.address) == view.listing(bob.address) == listed
            assert await view.look_up(bytes(20)) is None

    asyncio.run(play())


def test_a_node_that_fails_loses_nothing(node: Anvil, on_anvil: Deployed, tmp_path: Path) -> None:
    """One answer after another is lost; what was read before stays, and then everything is read."""

    async def play() -> None:
        async with scene(node, on_anvil, tmp_path) as bob:
            provider = Address(bob.address)
            announce = bob.registry.announce(provider, provider, NODE, HEARTBEAT, OFFER)
            await bob.act("announce", announce)
            node.mine(CONFIRMATIONS)
            failing = {"next": 0, "asked": 0}

            def fault(_method: str, _count: int) -> str | None:
                failing["asked"] += 1
                return "after" if failing["asked"] == failing["next"] else None

            with between(node.url) as relay:
                relay.fault = fault
                async with listings(relay.url, on_anvil) as view:
                    failures = 0
                    for failing["next"] in range(1, 100):
                        failing["asked"] = 0
                        try:
                            await view.refresh()
                        except NodeUnreachable:
                            failures += 1
                            continue
                        break
                    assert failures > 2
                    assert view.listing(bob.address) == Listing(NODE, HEARTBEAT, 5, STAKE)

    asyncio.run(play())


def test_progress_is_told(node: Anvil, on_anvil: Deployed) -> None:
    async def play() -> list[Progress]:
        told: list[Progress] = []
        async with listings(node.url, on_anvil) as view:
            await view.refresh(told.append)
        return told

    node.mine(2500)
    told = asyncio.run(play())
    assert [each.block for each in told][:2] == [1000, 2000]
    assert told[-1].block == told[-1].last


def test_settings_must_name_the_contracts(node: Anvil, on_anvil: Deployed) -> None:
    settings = replace(settings_of(node.url, on_anvil), registry=None)
    chain = Chain(node.url, ANVIL_CHAIN_ID, confirmations=1)
    with pytest.raises(UsageError, match="registry"):
        ChainListings(chain, settings)
