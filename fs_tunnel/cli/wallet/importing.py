# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet import``: an account that has a key already."""

import asyncio
from pathlib import Path

import click

from fs_market.money import wallet as keystores
from fs_tunnel.cli.options import market_options
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.cli.wallet import keeping
from fs_tunnel.console import questions
from fs_wire.errors import UsageError


@click.command("import")
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
        keeping.write(wallet_file, secret, password, as_json)
        return
    assert key_file is not None
    if str(key_file) == "-" and str(password_file) == "-":
        raise UsageError("key and password cannot both come from -; use a file for one")
    keeping.keep(
        wallet_file, keystores.parse_secret(questions.read_secret(key_file)), password_file, as_json
    )
