# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market orders``: the wallet's channels."""

import asyncio
import json
from typing import Any

import click

from fs_market.money import voucher_book
from fs_market.money.voucher_book import Account, Side
from fs_tunnel.cli.market.opened import opened
from fs_tunnel.cli.options.market_options import settings_options, wallet_option
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console import amounts
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.console.text import align
from fs_tunnel.roles.open_market import Market


@click.command()
@wallet_option
@settings_options
@json_option
def orders(**options: Any) -> None:
    """List the wallet's payment channels that may be open."""
    asyncio.run(_orders(**options))


async def _orders(*, as_json: bool, **where: Any) -> None:
    async with opened(**where) as found:
        accounts = await found.journal.do(lambda db: voucher_book.open_accounts(db, Side.PAYER))
        said = [await _describe(found, account) for account in accounts]
    if as_json:
        click.echo(json.dumps({"schema": amounts.SCHEMA, "orders": said}))
        return
    table = [("CHANNEL", "PAID TO", "DEPOSIT", "CLAIMED", "STATE")]
    table += [
        (
            each["channel"],
            each["payee"],
            each["deposit"]["text"] if each["deposit"] else "-",
            each["claimed"]["text"] if each["claimed"] else "-",
            each["state"],
        )
        for each in said
    ]
    click.echo("\n".join(align(table)) if said else "no channel is open")


async def _describe(found: Market, account: Account) -> dict[str, Any]:
    status = await found.channels.status(account.channel)
    state = "closed" if await found.channels.is_closed(account.channel) else "not opened"
    if status is not None:
        state = "closing" if status.closes_at else "open"
    return {
        "channel": "0x" + account.channel.hex(),
        "payee": str(account.terms.payee),
        "state": state,
        "deposit": amount_json(status.deposit, found.token) if status else None,
        "claimed": amount_json(status.claimed, found.token) if status else None,
        "expires_at": account.terms.expires_at,
        "closes_at": status.closes_at or None if status else None,
    }
