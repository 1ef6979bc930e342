"""``fs-tunnel cleanup``: undo what crashed tunnels left behind."""

import click

from fs_tunnel.leftovers import clean_up
from fs_tunnel.privileges import require_net_admin


@click.command()
def cleanup() -> None:
    """Undo all that tunnels without an engine have changed; those that are up stay up.

    After that, what a full tunnel had closed is open. It is what a service manager calls when an
    engine has ended, whatever it ended of.
    """
    require_net_admin("fs-tunnel cleanup")
    nothing = True
    for name in clean_up():
        nothing = False
        click.echo(f"{name}: what it left behind is undone")
    if nothing:
        click.echo("nothing was left behind")
