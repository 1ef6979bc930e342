# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet balance``: what the account has."""

import asyncio
import json
from pathlib import Path

import click

from fs_market.core.wire.ethereum import Address
from fs_market.money import wallet as keystores
from fs_tunnel.cli.options import market_options
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console import amounts
from fs_tunnel.roles import open_market


@click.command()
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
