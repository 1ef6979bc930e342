# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet withdraw``: tokens out of the contract."""

import asyncio
from typing import Any

import click

from fs_market.core.wire.ethereum import Address
from fs_tunnel.cli.options import market_options
from fs_tunnel.cli.options.params import joined_amount, json_option
from fs_tunnel.cli.wallet import transfers


@click.command()
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
    asyncio.run(transfers.move("withdraw", joined_amount(amount), receiver, **options))
