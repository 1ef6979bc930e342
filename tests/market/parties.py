# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Accounts on a chain with all that they need to act, for tests in the words of the market."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels, Erc20
from fs_market.chain.deploy import DEFAULT_RULES, TOKEN, Deployed, deploy
from fs_market.chain.fees import FeePolicy
from fs_market.chain.sender import Patience, Sender
from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.wire.channels import Terms, Voucher, channel_id, channels_domain
from fs_market.core.wire.signatures import SigningKey
from fs_market.journal import Journal
from fs_market.money import voucher_book
from fs_market.money.voucher_book import Side
from fs_market.money.wallet import Wallet
from tools.testing import patience

QUICK = Patience(poll=0.01, replace_after=1000.0, give_up_after=30.0)
DEADLINE = patience.seconds(30.0)  # seconds
FAR = 2**40  # seconds since the epoch
WINDOW = 3600


@dataclass(frozen=True, slots=True)
class Party:
    """An account that is connected to the chain."""

    chain: Chain
    journal: Journal
    sender: Sender
    wallet: Wallet


@asynccontextmanager
async def party(
    url: str,
    chain_id: int,
    wallet: Wallet,
    journal: Path,
    *,
    confirmations: int = 1,
    patience: Patience = QUICK,
    fees: FeePolicy | None = None,
) -> AsyncIterator[Party]:
    async with (
        Chain(url, chain_id, confirmations=confirmations) as chain,
        Journal(journal, chain.genesis) as book,
    ):
        sender = Sender(chain, book, wallet, fees or FeePolicy(), patience)
        yield Party(chain, book, sender, wallet)


def new_wallet() -> Wallet:
    return Wallet(os.urandom(32))


async def deployed(url: str, chain_id: int, wallet: Wallet, journal: Path) -> Deployed:
    async with party(url, chain_id, wallet, journal) as deployer:
        return await deploy(deployer.sender, wallet.address, DEFAULT_RULES, TOKEN)


async def open_channel(
    payer: Party,
    payee: Wallet,
    contracts: Deployed,
    deposit: int,
    *,
    expires_at: int = FAR,
) -> tuple[Terms, SigningKey]:
    """Mint, deposit and open a channel, as a client does first."""
    token, channels = Erc20(payer.chain, contracts.token), Channels(payer.chain, contracts.channels)
    session_key = SigningKey(os.urandom(32))
    terms = Terms(
        payer.wallet.address,
        payee.address,
        session_key.address,
        WINDOW,
        expires_at,
        os.urandom(32),
        os.urandom(32),
    )
    name = terms.salt.hex()
    send = payer.sender.carry_out
    await send(f"mint:{name}", token.mint(payer.wallet.address, deposit))
    await send(f"approve:{name}", token.approve(channels.address, deposit))
    await send(f"deposit:{name}", channels.deposit(deposit))
    await send(f"open:{name}", channels.open(terms, deposit))
    return terms, session_key


def voucher(chain_id: int, contracts: Deployed, terms: Terms, key: SigningKey, n: int) -> Voucher:
    domain = channels_domain(chain_id, contracts.channels)
    return sign_voucher(key, domain, channel_id(domain, terms), n)


async def keep(journal: Journal, terms: Terms, promised: Voucher) -> None:
    """Write down what a payee keeps: the channel, and its latest voucher."""
    await journal.do(lambda db: voucher_book.add_channel(db, promised.channel, Side.PAYEE, terms))
    await journal.do(lambda db: voucher_book.note_voucher(db, promised))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)
