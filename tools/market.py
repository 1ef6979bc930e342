# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A market for the demo and the bench: a chain, a provider's settings, and what the chain knows.

The commands do the rest. The functions here read the chain by themselves, to check the commands.
"""

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels, Erc20
from fs_market.core.money.units import Token
from fs_market.settings import MarketSettings, read
from tests.netns.topology import Namespace
from tests.netns.waiting import wait_until
from tools.stage import StepFailed

RPC_PORT = 8545
SALES_PORT, PAYMENT_PORT = 4700, 4701
STAKE = 500  # whole tokens
CLIENTS = 100


@dataclass(frozen=True)
class Closed:
    """How a channel ended according to the chain: amounts in base units, and gas."""

    claimed: int
    refunded: int
    gas: int


def start_chain(internet: Namespace, address: str, folder: Path, env: dict[str, str]) -> Path:
    """Start a development chain on the internet; return the path of its settings."""
    settings = folder / "chain" / "market.toml"
    chain = internet.start(
        *("fs-tunnel", "chain", "dev", "--address", address, "--port", str(RPC_PORT)),
        *("--directory", str(settings.parent)),
        env=env,
    )
    wait_until(lambda: settings.exists() or chain.poll() is not None, what="the chain runs")
    if chain.poll() is not None:
        raise StepFailed(f"the chain ended with {chain.returncode}")
    return settings


def write_sale(
    settings: Path, address: str, endpoint: str, price: str, country: str, to: Path
) -> None:
    """Write the provider's market.toml."""
    node_key = settings.parent / "node.key"
    node_key.touch(mode=0o600)
    node_key.write_text(secrets.token_hex(32) + "\n")
    to.write_text(
        f"{settings.read_text()}\n[provider]\n"
        f'listen = "{address}:{SALES_PORT}"\nendpoint = "{endpoint}"\nprice = "{price}"\n'
        f'key_file = "{settings.parent / "provider.key"}"\nnode_key_file = "{node_key}"\n'
        f'payment_port = {PAYMENT_PORT}\nclients = {CLIENTS}\ncountry = "{country}"\n'
    )


def token_of(internet: Namespace, settings: Path) -> Token:
    """Return the chain's token."""

    async def ask(market: MarketSettings) -> Token:
        async with Chain(market.rpc, market.chain_id, confirmations=1) as chain:
            return await Erc20(chain, market.token).describe()

    with internet.entered():
        return asyncio.run(ask(read(settings)))


def closed(internet: Namespace, settings: Path) -> Closed | None:
    """Return how the only channel of this chain was closed, or None if it is still open."""

    async def ask(market: MarketSettings) -> Closed | None:
        async with Chain(market.rpc, market.chain_id, confirmations=1) as chain:
            channels = Channels(chain, market.channels)
            head = await chain.head()
            topics = [channels.topic("Closed")]
            logs = await chain.logs(0, head.number, [channels.address], topics)
            if not logs:
                return None
            args = channels.event(logs[0]).args
            receipt = await chain.receipt(logs[0].transaction_hash)
            assert receipt is not None
            return Closed(args["claimed"], args["refunded"], receipt.gas_used)

    with internet.entered():
        return asyncio.run(ask(read(settings)))
