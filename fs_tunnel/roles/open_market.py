# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Opens the market of a user's settings: a chain, its contracts, and the journal of a wallet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels, Erc20
from fs_market.core.money.units import Token
from fs_market.errors import ChainError
from fs_market.journal import Journal
from fs_market.settings import MarketSettings, find, read


def default_wallet() -> Path:
    return Path.home() / ".local" / "share" / "flowshield" / "wallet.json"


@dataclass(frozen=True, slots=True)
class Market:
    """A chain, its contracts, and the journal beside the wallet."""

    chain: Chain
    journal: Journal
    coin: Erc20
    token: Token
    channels: Channels
    settings: MarketSettings


@asynccontextmanager
async def opened(
    settings_file: Path | None, rpc: str | None, wallet_file: Path
) -> AsyncIterator[Market]:
    """Connect to the chain of the settings. Each wallet has a journal for each chain."""
    settings = read(find(settings_file), rpc)
    async with Chain(
        settings.rpc, settings.chain_id, confirmations=settings.confirmations
    ) as chain:
        coin, channels = Erc20(chain, settings.token), Channels(chain, settings.channels)
        if (found := await channels.token()) != settings.token:
            raise ChainError(
                f"the channels at {settings.channels} are for the token {found}, "
                f"not {settings.token}; mend the settings"
            )
        name = f"{wallet_file.stem}-{settings.chain_id}-{chain.genesis[:4].hex()}.journal"
        async with Journal(wallet_file.with_name(name), chain.genesis) as journal:
            token = await coin.describe()
            yield Market(chain, journal, coin, token, channels, settings)
