# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the verbs share that make a wallet or show it."""

import asyncio
import json
from pathlib import Path

import click

from fs_market.core.wire.ethereum import Address
from fs_market.money import wallet as keystores
from fs_tunnel.console import amounts, questions
from fs_tunnel.roles import open_market


def keep(
    wallet_file: Path | None, secret: bytes, password_file: Path | None, as_json: bool
) -> None:
    """Encrypt a key with a password that the user chooses, and show its account."""
    write(wallet_file, secret, questions.read_password(password_file, is_chosen=True), as_json)


def write(wallet_file: Path | None, secret: bytes, password: str, as_json: bool) -> None:
    """Encrypt a key with this password, and show its account."""
    path = wallet_file or open_market.default_wallet()
    kept = asyncio.run(keystores.create(path, secret, password))
    tell(path, kept.address, as_json)


def tell(path: Path, address: Address, as_json: bool) -> None:
    """Show an account and its file."""
    if as_json:
        said = {"schema": amounts.SCHEMA, "address": str(address), "file": str(path)}
        click.echo(json.dumps(said))
    else:
        click.echo(f"account: {address}\nkeystore: {path}")
