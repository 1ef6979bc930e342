# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel down``: undo what ``up`` or ``serve`` did."""

from typing import Any

import click

from fs_tunnel import settings
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.spending import summary
from fs_tunnel.helper.client import HelperClient
from fs_tunnel.lifecycle import take_down
from fs_tunnel.linux.journal.journal import journalled
from fs_tunnel.privileges import require_net_admin
from fs_tunnel.roles.market_files import MarketFiles
from fs_wire.errors import ControlError, NotRunningError


@click.command()
@click.argument("conf", shell_complete=complete_conf)
def down(conf: str) -> None:
    """Take a tunnel down and undo everything it changed.

    CONF is the tunnel's file or name. If the tunnel crashed, down cleans up after it. If you
    bought it, down first pays what is owed, and the provider closes the channel. If you sell it,
    down first settles with the clients.
    """
    require_net_admin("fs-tunnel down")
    name = settings.tunnel_name(conf)
    files = MarketFiles(name)
    role = files.role()
    told = _dismiss_agent(name) if role else None
    click.echo(f"{name} is down" if take_down(name) else _was_not_up(name))
    if told is not None:
        click.echo(summary(told))
    if role == "provider":
        files.start.unlink()
    elif told is not None and told["state"] == "over":
        files.forget_keys()
        if told.get("elsewhere"):
            click.echo("channels with other providers may be open; see fs-tunnel market settle")


def _was_not_up(name: str) -> str:
    up = ", ".join(sorted(journalled())) or "none"
    return f"{name} was not up; the tunnels that are up: {up}"


def _dismiss_agent(name: str) -> dict[str, Any] | None:
    try:
        return HelperClient(name).dismiss()
    except (NotRunningError, ControlError) as error:
        click.echo(
            f"fs-tunnel: warning: the session of {name} continues at the next start: {error}",
            err=True,
        )
        return None
