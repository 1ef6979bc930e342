# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market settle``: money back from channels that were left open."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click

from fs_market.chain.sender import Patience, Sender
from fs_market.core.money.units import format_wait
from fs_market.errors import ChainError
from fs_market.money import voucher_book
from fs_market.money import wallet as keystores
from fs_market.money.settlement import Closing, close_by_payer
from fs_market.money.voucher_book import Side
from fs_tunnel.cli.market.opened import opened
from fs_tunnel.cli.options.market_options import (
    password_option,
    settings_options,
    wallet_option,
    yes_option,
)
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console import amounts, questions
from fs_tunnel.console.text import counted
from fs_tunnel.roles import open_market

_PATIENCE = Patience(poll=0.5)


@click.command()
@wallet_option
@password_option
@settings_options
@yes_option
@json_option
def settle(password_file: Path | None, yes: bool, **options: Any) -> None:
    """Reclaim money from channels the provider left open.

    The first run requests the close. The provider then has a waiting period, the close window, to
    claim what you owe. Run settle again after it to get the rest back. settle also ends tunnels
    that are in use, and prepaid places.
    """
    asyncio.run(_settle(password_file, yes, **options))


async def _settle(
    password_file: Path | None,
    yes: bool,
    *,
    as_json: bool,
    wallet_file: Path | None,
    **where: Any,
) -> None:
    path = wallet_file or open_market.default_wallet()
    async with opened(wallet_file=path, **where) as found:
        accounts = await found.journal.do(lambda db: voucher_book.open_accounts(db, Side.PAYER))
        done = []
        if accounts:
            many = counted(len(accounts), "channel")
            questions.ask(f"Request the close of {many}?", is_given=yes)
            key = await keystores.unlock(path, questions.read_password(password_file))
            sender = Sender(found.chain, found.journal, key, found.settings.fees, _PATIENCE)
            for account in accounts:
                try:
                    now = (await found.chain.head()).timestamp
                    closing = await close_by_payer(
                        found.journal, found.channels, sender, account, now
                    )
                except ChainError as error:
                    click.echo(f"fs-tunnel: warning: {error}", err=True)
                    continue
                done.append((account, closing))
    if as_json:
        said = [
            {"channel": "0x" + account.channel.hex(), "state": closing.state, "at": closing.at}
            for account, closing in done
        ]
        click.echo(json.dumps({"schema": amounts.SCHEMA, "channels": said}))
        return
    for account, closing in done:
        click.echo(f"0x{account.channel.hex()}: {_closing_text(closing)}")
    if not accounts:
        click.echo("no channel is open")


def _closing_text(closing: Closing) -> str:
    if closing.at:
        left = format_wait(max(0, closing.at - int(time.time())))
        return f"{closing.state}; run the command again in {left}"
    return closing.state
