# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet create``: a new account."""

import secrets
from pathlib import Path

import click

from fs_market.money import wallet as keystores
from fs_tunnel.cli.options import market_options
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.cli.wallet import keeping


@click.command()
@market_options.wallet_option
@market_options.password_option
@json_option
def create(wallet_file: Path | None, password_file: Path | None, as_json: bool) -> None:
    """Make a new account, and keep its key encrypted.

    There is no other copy of the key. Back up the file, and remember the password.
    """
    keeping.keep(wallet_file, secrets.token_bytes(keystores.SECRET_LEN), password_file, as_json)
