# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel genpsk``: a pre-shared key."""

import os

import click

from fs_tunnel.cli.keys.shared import print_secret
from fs_wire.types import KEY_LEN, PresharedKey


@click.command()
def genpsk() -> None:
    """Make a pre-shared key and print it in base64."""
    print_secret(PresharedKey(os.urandom(KEY_LEN)).to_base64())
