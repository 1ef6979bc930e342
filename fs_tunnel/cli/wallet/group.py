# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet``: an account on the chain, and its money there."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import click

from fs_market.chain.sender import Patience, Sender
from fs_market.core.wire.ethereum import Address
from fs_market.money import wallet as keystores
from fs_market.money.errands import Done, amount_of
from fs_market.money.treasury import Treasury
from fs_tunnel.cli.options import market_options
from fs_tunnel.cli.options.params import joined_amount, json_option
from fs_tunnel.console import amounts, questions
from fs_tunnel.roles import open_market
from fs_tunnel.roles.fullnode import sign_in
from fs_tunnel.roles.open_market import Market
from fs_wire.errors import UsageError

_PATIENCE = Patience(poll=1.0)


@click.group()
def wallet() -> None:
    """Make a wallet, look at it, and move its money."""


@wallet.command()
@market_options.wallet_option
@market_options.password_option
@json_option
def create(wallet_file: Path | None, password_file: Path | None, as_json: bool) -> None:
    """Make a new account, and keep its key encrypted.

    There is no other copy of the key. Back up the file, and remember the password.
    """
    _keep(wallet_file, secrets.token_bytes(keystores.SECRET_LEN), password_file, as_json)


@wallet.command("import")
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with a private key of 64 hexadecimal digits, or - for standard input.",
)
@click.option(
    "--keystore",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keystore of another wallet (version 3). Its password stays the same.",
)
@market_options.wallet_option
@market_options.password_option
@json_option
def import_(
    key_file: Path | None,
    keystore: Path | None,
    wallet_file: Path | None,
    password_file: Path | None,
    as_json: bool,
) -> None:
    """Import an account from a key file or a keystore."""
    if (key_file is None) == (keystore is None):
        raise UsageError("name either --key-file or --keystore")
    if keystore is not None:
        password = questions.read_password(password_file)
        secret = asyncio.run(keystores.open_keystore(keystore, password))
        _write(wallet_file, secret, password, as_json)
        return
    assert key_file is not None
    if str(key_file) == "-" and str(password_file) == "-":
        raise UsageError("key and password cannot both come from -; use a file for one")
    _keep(
        wallet_file, keystores.parse_secret(questions.read_secret(key_file)), password_file, as_json
    )


@wallet.command()
@market_options.wallet_option
@json_option
def show(wallet_file: Path | None, as_json: bool) -> None:
    """Show the account's address.

    show needs no password and no chain.
    """
    path = wallet_file or open_market.default_wallet()
    _tell(path, keystores.address_of(path), as_json)


@wallet.command()
@market_options.wallet_option
@market_options.settings_options
@json_option
def balance(
    wallet_file: Path | None, settings_file: Path | None, rpc: str | None, as_json: bool
) -> None:
    """Show the account's coin for gas, its tokens and its deposit.

    The deposit lies in the contract. Channels are paid from it, and a provider's earnings arrive
    in it. wallet withdraw moves it to the account.
    """
    path = wallet_file or open_market.default_wallet()
    asyncio.run(_balance(path, keystores.address_of(path), settings_file, rpc, as_json))


@wallet.command()
@click.argument("amount", nargs=-1, metavar="AMOUNT UNIT")
@market_options.wallet_option
@market_options.password_option
@market_options.settings_options
@market_options.yes_option
@json_option
def deposit(amount: tuple[str, ...], **options: Any) -> None:
    """Move tokens from the account into the contract.

    Payments come out of this deposit. If the command is interrupted, run it again: it finishes the
    same transfer and does not pay twice.
    """
    asyncio.run(_move("deposit", joined_amount(amount), None, **options))


@wallet.command()
@click.argument("amount", nargs=-1, metavar="AMOUNT UNIT")
@click.option(
    "--to", metavar="ADDRESS", help="Account that receives the tokens. Default: the wallet's own."
)
@market_options.wallet_option
@market_options.password_option
@market_options.settings_options
@market_options.yes_option
@json_option
def withdraw(amount: tuple[str, ...], to: str | None, **options: Any) -> None:
    """Move tokens out of the contract, to an account.

    If the command is interrupted, run it again: it finishes the same transfer and does not pay
    twice.
    """
    receiver = Address.parse(to) if to is not None else None
    asyncio.run(_move("withdraw", joined_amount(amount), receiver, **options))


@wallet.command("sign-in")
@click.argument("url")
@market_options.wallet_option
@market_options.password_option
def sign_in_(url: str, wallet_file: Path | None, password_file: Path | None) -> None:
    """Sign in to a full node's page with the wallet.

    Paste what sign-in prints into the page to see the account's orders there. The signature moves
    no money, and is valid on that page only.
    """
    asyncio.run(_sign_in(url, wallet_file or open_market.default_wallet(), password_file))


async def _sign_in(url: str, path: Path, password_file: Path | None) -> None:
    message = await sign_in.ask(url, keystores.address_of(path))
    key = await keystores.unlock(path, questions.read_password(password_file))
    click.echo(sign_in.prove(message, key))


def _keep(
    wallet_file: Path | None, secret: bytes, password_file: Path | None, as_json: bool
) -> None:
    _write(wallet_file, secret, questions.read_password(password_file, is_chosen=True), as_json)


def _write(wallet_file: Path | None, secret: bytes, password: str, as_json: bool) -> None:
    path = wallet_file or open_market.default_wallet()
    kept = asyncio.run(keystores.create(path, secret, password))
    _tell(path, kept.address, as_json)


def _tell(path: Path, address: Address, as_json: bool) -> None:
    if as_json:
        said = {"schema": amounts.SCHEMA, "address": str(address), "file": str(path)}
        click.echo(json.dumps(said))
    else:
        click.echo(f"account: {address}\nkeystore: {path}")


async def _balance(
    path: Path, account: Address, settings_file: Path | None, rpc: str | None, as_json: bool
) -> None:
    async with open_market.opened(settings_file, rpc, path) as market:
        wei = await market.chain.balance(account)
        held = await market.coin.balance_of(account)
        ready = await market.channels.balance_of(account)
    if as_json:
        said = {
            "schema": amounts.SCHEMA,
            "address": str(account),
            "chain_id": market.settings.chain_id,
            "coin": {"wei": str(wei), "text": amounts.coin_text(wei)},
            "account": amounts.amount_json(held, market.token),
            "channels": amounts.amount_json(ready, market.token),
        }
        click.echo(json.dumps(said))
        return
    click.echo(
        f"account: {account} on chain {market.settings.chain_id}\n"
        f"coin for gas: {amounts.coin_text(wei)}\n"
        f"in the account: {market.token.format(held)}\n"
        f"deposited: {market.token.format(ready)}"
    )


async def _move(
    kind: str,
    text: str,
    to: Address | None,
    *,
    wallet_file: Path | None,
    password_file: Path | None,
    settings_file: Path | None,
    rpc: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    path = wallet_file or open_market.default_wallet()
    account = keystores.address_of(path)
    async with open_market.opened(settings_file, rpc, path) as market:
        units = market.token.parse(text).units
        if units == 0:
            raise UsageError(f"{text} is nothing; name an amount above 0")
        said = market.token.format(units)
        where = "into the contract" if kind == "deposit" else f"to {to or account}"
        questions.ask(
            f"Move {said} of {account} on chain {market.settings.chain_id} {where}?", is_given=yes
        )
        # The prompts and the key derivation stop the loop: nothing else waits in it.
        key = await keystores.unlock(path, questions.read_password(password_file))
        sender = Sender(market.chain, market.journal, key, market.settings.fees, _PATIENCE)
        treasury = Treasury(market.journal, market.coin, market.channels, sender)
        for task in await treasury.unfinished():
            amount = market.token.format(amount_of(task))
            click.echo(f"fs-tunnel: finishing an earlier {task.kind} of {amount}", err=True)
        if kind == "deposit":
            transfer = await treasury.deposit(units, secrets.token_bytes(16))
        else:
            transfer = await treasury.withdraw(to or account, units, secrets.token_bytes(16))
    _tell_transfer(transfer, market, as_json)


def _tell_transfer(transfer: Done, market: Market, as_json: bool) -> None:
    if as_json:
        said = {
            "schema": amounts.SCHEMA,
            "kind": transfer.kind,
            "amount": amounts.amount_json(transfer.amount, market.token),
            "gas": transfer.gas,
            "fee": {"wei": str(transfer.cost), "text": amounts.coin_text(transfer.cost)},
            "transactions": ["0x" + each.transaction_hash.hex() for each in transfer.receipts],
        }
        click.echo(json.dumps(said))
        return
    done = {"deposit": "deposited", "withdraw": "withdrawn"}[transfer.kind]
    click.echo(
        f"{done}: {market.token.format(transfer.amount)}\n"
        f"gas: {transfer.gas}, for {amounts.coin_text(transfer.cost)} of the chain's coin"
    )
