# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel pubkey``: the public half of a private key."""

import click

from fs_tunnel.cli.keys.shared import read_private_key
from fs_tunnel.proto.crypto import public_key
from fs_wire.types import PublicKey


@click.command()
def pubkey() -> None:
    """Read a private key from standard input and print its public key."""
    click.echo(PublicKey(public_key(read_private_key().raw)).to_base64())
