# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market``: the group of its verbs."""

import click

from fs_tunnel.cli.market.announce import announce
from fs_tunnel.cli.market.listing import list_
from fs_tunnel.cli.market.orders import orders
from fs_tunnel.cli.market.prepay import prepay
from fs_tunnel.cli.market.quote import quote
from fs_tunnel.cli.market.retire import retire
from fs_tunnel.cli.market.rotate import rotate_heartbeat
from fs_tunnel.cli.market.settle import settle
from fs_tunnel.cli.market.stake import stake
from fs_tunnel.cli.market.unstake import unstake


@click.group()
def market() -> None:
    """Find providers, manage purchases, or become a provider."""


for _command in (
    *(list_, quote, orders, prepay, settle),
    *(stake, announce, rotate_heartbeat, retire, unstake),
):
    market.add_command(_command)
