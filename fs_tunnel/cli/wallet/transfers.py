# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A transfer between an account and its deposit in the contract."""

import json
import secrets
from pathlib import Path

import click

from fs_market.chain.sender import Patience, Sender
from fs_market.core.wire.ethereum import Address
from fs_market.money import wallet as keystores
from fs_market.money.errands import Done, amount_of
from fs_market.money.treasury import Treasury
from fs_tunnel.console import amounts, questions
from fs_tunnel.roles import open_market
from fs_tunnel.roles.open_market import Market
from fs_wire.errors import UsageError

_PATIENCE = Patience(poll=1.0)


async def move(
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
    """Ask, then move an amount: ``deposit`` or ``withdraw``; say what it cost."""
    path = wallet_file or open_market.default_wallet()
    account = keystores.address_of(path)
    async with open_market.opened(settings_file, rpc, path) as market:
        units = market.token.parse(text).units
        if units == 0:
            raise UsageError(f"{text} is nothing; name an amount above 0")
        names = market.settings
        if to and to in (names.token, names.channels, names.stakes, names.registry):
            raise UsageError(f"{to} is a contract of the market, which could not spend the tokens")
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
