"""``fs-tunnel up``: become a client."""

import click

from fs_tunnel import settings
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.running import ALLOW_HOOKS, FOREGROUND, read_config, run_tunnel
from fs_tunnel.linux import hooks
from fs_tunnel.linux.plans import Surroundings, client_plan


@click.command()
@FOREGROUND
@ALLOW_HOOKS
@click.argument("conf", shell_complete=complete_conf)
def up(foreground: bool, allow_hooks: bool, conf: str) -> None:
    """Bring up the tunnel of CONF, a wg-quick file.

    A bare name is looked for in /etc/fs-tunnel and /etc/wireguard. Where the tunnel is up already,
    the file is applied anew, and its sessions stay.
    """
    config = read_config("up", conf, allow_hooks=allow_hooks)
    endpoints = settings.resolve(config)
    mark = settings.choose_mark(config)
    around = Surroundings(mtu=settings.mtu_for(endpoints.values(), mark), mark=mark)
    run_tunnel(
        "up",
        config,
        settings.device_update(config, endpoints, port=None, mark=mark),
        hooks.surround(config, client_plan(config, around)),
        foreground=foreground,
    )
