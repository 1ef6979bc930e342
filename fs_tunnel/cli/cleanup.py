# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel cleanup``: undo what crashed tunnels left behind."""

import click

from fs_tunnel.leftovers import clean_up
from fs_tunnel.privileges import require_net_admin


@click.command()
def cleanup() -> None:
    """Clean up after tunnels that crashed.

    Tunnels that are up stay up. A full tunnel that crashed had closed this host's network; cleanup
    opens it again. Service managers call cleanup after an engine has ended.
    """
    require_net_admin("fs-tunnel cleanup")
    nothing = True
    for name in clean_up():
        nothing = False
        click.echo(f"{name}: cleaned up")
    if nothing:
        click.echo("nothing to clean up")
