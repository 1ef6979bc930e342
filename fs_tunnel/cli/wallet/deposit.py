# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet deposit``: tokens into the contract."""

import asyncio
from typing import Any

import click

from fs_tunnel.cli.options import market_options
from fs_tunnel.cli.options.params import joined_amount, json_option
from fs_tunnel.cli.wallet import transfers


@click.command()
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
    asyncio.run(transfers.move("deposit", joined_amount(amount), None, **options))
