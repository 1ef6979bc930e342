# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel genkey``: a private key."""

import os

import click

from fs_tunnel.cli.keys.shared import print_secret
from fs_tunnel.proto.crypto import clamp
from fs_wire.types import KEY_LEN, PrivateKey


@click.command()
def genkey() -> None:
    """Make a private key and print it in base64."""
    print_secret(PrivateKey(clamp(os.urandom(KEY_LEN))).to_base64())
