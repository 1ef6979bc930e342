# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet sign-in``: prove to a full node's page whose wallet it is."""

import asyncio
from pathlib import Path

import click

from fs_market.money import wallet as keystores
from fs_tunnel.cli.options import market_options
from fs_tunnel.console import questions
from fs_tunnel.roles import open_market
from fs_tunnel.roles.fullnode import sign_in


@click.command("sign-in")
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
