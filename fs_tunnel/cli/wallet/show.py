# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet show``: the account's address."""

from pathlib import Path

import click

from fs_market.money import wallet as keystores
from fs_tunnel.cli.options import market_options
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.cli.wallet import keeping
from fs_tunnel.roles import open_market


@click.command()
@market_options.wallet_option
@json_option
def show(wallet_file: Path | None, as_json: bool) -> None:
    """Show the account's address.

    show needs no password and no chain.
    """
    path = wallet_file or open_market.default_wallet()
    keeping.tell(path, keystores.address_of(path), as_json)
