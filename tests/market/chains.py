# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Chains that the tests of a module share, with the contracts on them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fs_market.chain.deploy import Deployed
from fs_market.chain.devchain import CHAIN_ID, DevChain, served
from fs_market.core.wire.ethereum import Address
from fs_market.money.wallet import Wallet
from tests.market import parties
from tests.market.nodes import ANVIL_CHAIN_ID, ETHER, Anvil, anvil


@dataclass(frozen=True, slots=True)
class Dev:
    """The development chain."""

    chain: DevChain
    url: str
    contracts: Deployed
    chain_id: int = CHAIN_ID

    def fund(self, account: Address) -> None:
        self.chain.fund(account, 100 * ETHER)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """eth-tester behind JSON-RPC."""
    chain, deployer = DevChain(), parties.new_wallet()
    chain.fund(deployer.address, 100 * ETHER)
    journal = tmp_path_factory.mktemp("deployer") / "journal"
    with served(chain) as url:
        contracts = asyncio.run(parties.deployed(url, CHAIN_ID, deployer, journal))
        yield Dev(chain, url, contracts)


@pytest.fixture
def node() -> Iterator[Anvil]:
    """Run a fresh chain node for each test, because anvil keeps its gas price over reverts."""
    with anvil() as started:
        yield started


@pytest.fixture
def alice(node: Anvil) -> Wallet:
    """An account with ether on anvil."""
    wallet = parties.new_wallet()
    node.fund(wallet.address)
    return wallet


@pytest.fixture
def on_anvil(node: Anvil, tmp_path: Path) -> Deployed:
    """The contracts, on anvil."""
    deployer = parties.new_wallet()
    node.fund(deployer.address)
    return asyncio.run(
        parties.deployed(node.url, ANVIL_CHAIN_ID, deployer, tmp_path / "deployer.journal")
    )
