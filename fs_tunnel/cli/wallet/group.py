# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet``: the group of its verbs."""

import click

from fs_tunnel.cli.wallet.balance import balance
from fs_tunnel.cli.wallet.create import create
from fs_tunnel.cli.wallet.deposit import deposit
from fs_tunnel.cli.wallet.importing import import_
from fs_tunnel.cli.wallet.show import show
from fs_tunnel.cli.wallet.signing_in import sign_in_
from fs_tunnel.cli.wallet.withdraw import withdraw


@click.group()
def wallet() -> None:
    """Make a wallet, look at it, and move its money."""


for _command in (create, import_, show, balance, deposit, withdraw, sign_in_):
    wallet.add_command(_command)
