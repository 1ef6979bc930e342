"""``fs-tunnel down``: undo what ``up`` or ``serve`` did."""

from typing import Any

import click

from fs_tunnel import settings
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.spending import summary
from fs_tunnel.helper.client import HelperClient
from fs_tunnel.lifecycle import take_down
from fs_tunnel.privileges import require_net_admin
from fs_tunnel.roles.market_files import MarketFiles
from fs_wire.errors import ControlError, NotRunningError


@click.command()
@click.argument("conf", shell_complete=complete_conf)
def down(conf: str) -> None:
    """Take down the tunnel of CONF, or of that name, and undo all that it changed.

    A tunnel that is not up is left alone; what a crash left behind is undone. One that was bought
    is paid for first, and its channel is closed; a provider settles with its clients.
    """
    require_net_admin("fs-tunnel down")
    name = settings.tunnel_name(conf)
    files = MarketFiles(name)
    role = (files.read_start() or {}).get("role")
    told = _dismiss_agent(name) if role else None
    click.echo(f"{name} is down" if take_down(name) else f"{name} was not up")
    if told is not None:
        click.echo(summary(told))
    if role == "provider":
        files.start.unlink()
    elif told is not None and told["state"] == "over":
        files.forget_keys()
        if told.get("elsewhere"):
            click.echo("channels of other providers may be open: fs-tunnel market settle")


def _dismiss_agent(name: str) -> dict[str, Any] | None:
    try:
        return HelperClient(name).dismiss()
    except (NotRunningError, ControlError) as error:
        click.echo(
            f"fs-tunnel: warning: the session of {name} goes on at the next start: {error}",
            err=True,
        )
        return None
