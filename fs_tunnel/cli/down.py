"""``fs-tunnel down``: undo what ``up`` or ``serve`` did."""

import click

from fs_tunnel import settings
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.lifecycle import require_net_admin, take_down


@click.command()
@click.argument("conf", shell_complete=complete_conf)
def down(conf: str) -> None:
    """Take down the tunnel of CONF, or of that name, and undo all that it changed.

    A tunnel that is not up is left alone; what a crash left behind is undone.
    """
    require_net_admin("fs-tunnel down")
    name = settings.tunnel_name(conf)
    click.echo(f"{name} is down" if take_down(name) else f"{name} was not up")
