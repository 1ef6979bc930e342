# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel chain dev``: a chain of one's own, to try the market without money."""

import asyncio
import json
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Erc20
from fs_market.chain.deploy import DEFAULT_RULES, TOKEN, Deployed, deploy
from fs_market.chain.devchain import CHAIN_ID, DevChain, served
from fs_market.chain.fees import FeePolicy
from fs_market.chain.sender import Patience, Sender
from fs_market.core.wire.ethereum import Address
from fs_market.journal import Journal
from fs_market.money.wallet import SECRET_LEN, Wallet, write_once
from fs_market.settings import MarketSettings, render
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console.amounts import SCHEMA

_COIN = 1000 * 10**18  # wei for each account
_TOKENS = 1_000_000 * TOKEN
_BOND_PER_SLOT = TOKEN
_PATIENCE = Patience(poll=0.05)
_NAMES = ("deployer", "owner", "provider", "client")


@click.group()
def chain() -> None:
    """Run a development chain of your own."""


@chain.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="TCP port; 0 takes any free one."
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to keep keys and settings in. Default: a temporary one.",
)
@json_option
def dev(port: int, address: str, directory: Path | None, as_json: bool) -> None:
    """Run a chain with the contracts and four funded accounts.

    Its money is worth nothing. The chain runs until Ctrl-C, and forgets everything then.
    """
    # Before there are threads, so that all inherit it, and the wait below gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    tester = DevChain()
    with _place(directory) as place, served(tester, port, address) as url:
        _tell(asyncio.run(_prepare(tester, url, place)), as_json)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


@dataclass(frozen=True, slots=True)
class _Prepared:
    settings: MarketSettings
    contracts: Deployed
    accounts: dict[str, Address]
    place: Path


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="fs-tunnel-chain-") as temporary:
        yield Path(temporary)


async def _prepare(tester: DevChain, url: str, place: Path) -> _Prepared:
    """Deploy the contracts, fund the accounts, and write keys and settings."""
    keys = {name: secrets.token_bytes(SECRET_LEN) for name in _NAMES}
    wallets = {name: Wallet(secret) for name, secret in keys.items()}
    for name, secret in keys.items():
        write_once(place / f"{name}.key", secret.hex().encode() + b"\n")
        tester.fund(wallets[name].address, _COIN)
    deployer = wallets["deployer"]
    async with (
        Chain(url, CHAIN_ID, confirmations=1) as connection,
        Journal(place / "deployer.journal", connection.genesis) as journal,
    ):
        sender = Sender(connection, journal, deployer, FeePolicy(), _PATIENCE)
        # There is no court yet whose contract could stand here.
        contracts = await deploy(sender, deployer.address, DEFAULT_RULES, _BOND_PER_SLOT)
        token = Erc20(connection, contracts.token)
        for name, wallet in wallets.items():
            await sender.carry_out(f"mint:{name}", token.mint(wallet.address, _TOKENS))
    settings = MarketSettings(
        rpc=url,
        chain_id=CHAIN_ID,
        confirmations=1,
        fees=FeePolicy(),
        token=contracts.token,
        channels=contracts.channels,
        stakes=contracts.stakes,
        registry=contracts.registry,
    )
    write_once(place / "market.toml", render(settings).encode())
    return _Prepared(settings, contracts, {name: wallets[name].address for name in _NAMES}, place)


def _tell(prepared: _Prepared, as_json: bool) -> None:
    settings, place = prepared.settings, prepared.place
    contracts = {
        name: str(getattr(prepared.contracts, name)) for name in prepared.contracts.__slots__
    }
    if as_json:
        said = {
            "schema": SCHEMA,
            "rpc": settings.rpc,
            "chain_id": settings.chain_id,
            "contracts": contracts,
            "accounts": {
                name: {"address": str(address), "key_file": str(place / f"{name}.key")}
                for name, address in prepared.accounts.items()
            },
            "settings": str(place / "market.toml"),
        }
        click.echo(json.dumps(said))
        return
    lines = [f"chain {settings.chain_id} at {settings.rpc}, until Ctrl-C"]
    lines += [f"{name}: {address}" for name, address in contracts.items()]
    lines += [f"{name}'s account: {address}" for name, address in prepared.accounts.items()]
    lines += [f"keys: {place}/NAME.key", f"settings: {place}/market.toml"]
    click.echo("\n".join(lines))
