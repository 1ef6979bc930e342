"""``fs-tunnel up``: become a client."""

import os
from collections.abc import Callable
from typing import Any

import click

from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.options.market_options import buying_options
from fs_tunnel.cli.options.params import InboundParam, Network, User
from fs_tunnel.cli.options.tunnel_options import ALLOW_HOOKS, FOREGROUND
from fs_tunnel.config import TunnelConfig
from fs_tunnel.helper.settings import Settings
from fs_tunnel.linux.firewall.kill_switch import LAN, Inbound
from fs_tunnel.linux.journal import hooks
from fs_tunnel.linux.journal.plans import Protection, full_tunnel_versions
from fs_tunnel.linux.routing.remote_login import remote_login
from fs_tunnel.privileges import require_net_admin
from fs_tunnel.roles.running import client_tunnel, read_config, run_tunnel
from fs_wire.errors import UsageError
from fs_wire.types import IPNetwork

Reach = Callable[[bool], None]


@click.command()
@FOREGROUND
@click.option(
    "--no-kill-switch",
    is_flag=True,
    help="Without the firewall around a full tunnel; routing alone has gaps.",
)
@click.option("--allow-lan", is_flag=True, help="Leave the private networks that are here outside.")
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    type=Network(),
    help="Leave a network outside of a full tunnel; repeatable.",
)
@click.option(
    "--only",
    multiple=True,
    type=Network(),
    help="Take a network of AllowedIPs through the tunnel, and nothing else; repeatable.",
)
@click.option(
    "--allow-inbound",
    "inbound",
    multiple=True,
    type=InboundParam(),
    help="Let these connect by TCP to a port of ours from outside; repeatable.",
)
@click.option("--force", is_flag=True, help="Even where it cuts the connection you came by.")
@click.option(
    "--agent",
    type=User(),
    default=0,
    help="Let this user permit other endpoints, through the tunnel's helper.",
)
@ALLOW_HOOKS
@buying_options
@click.argument("conf", required=False, shell_complete=complete_conf)
def up(
    foreground: bool,
    no_kill_switch: bool,
    allow_lan: bool,
    excluded: tuple[IPNetwork, ...],
    only: tuple[IPNetwork, ...],
    inbound: tuple[Inbound, ...],
    force: bool,
    agent: int,
    allow_hooks: bool,
    conf: str | None,
    **buying: Any,
) -> None:
    """Bring up the tunnel of CONF, a wg-quick file, or one that is bought.

    A bare name is looked for in /etc/fs-tunnel and /etc/wireguard. Where the tunnel is up already,
    the file is applied anew, and its sessions stay.

    A full tunnel, with AllowedIPs = 0.0.0.0/0, ::/0, fails closed: until fs-tunnel down, nothing
    leaves this host outside of it.

    With --max-price and --budget a provider is looked for in the network, and its tunnel bought;
    with --provider it is that one's. CONF is the tunnel's name then, or left out. It is paid for
    while it is used, out of a channel that is opened for it, and closed at fs-tunnel down. Up to
    two more stand by, each with an equal part of the budget: the tunnel moves to the next when one
    is lost. Of a provider behind a NAT it is bought through a full node; then both sides call each
    other, or it is said why that cannot work, and the next is bought of.
    """
    protection = Protection(not no_kill_switch, allow_lan, excluded, only, inbound)

    def bring_up(conf: str, market: str | None = None, reach: Reach | None = None) -> None:
        config = read_config("up", conf, allow_hooks=allow_hooks)
        if not force:
            _keep_remote_login(config, protection)
        device, plan = client_tunnel(config, protection)
        run_tunnel(
            "up",
            config,
            device,
            hooks.surround(config, plan),
            Settings(agent=agent, market=market),
            foreground=foreground,
            reach=reach,
        )

    if any(buying[each] for each in ("providers", "budget", "max_price", "countries")):
        _buy(bring_up, conf, protection, buying)
    elif conf is not None:
        bring_up(conf)
    else:
        raise UsageError(
            "name a CONF, or buy a tunnel with --max-price and --budget; see fs-tunnel up --help"
        )


def _buy(
    bring_up: Callable[[str, str, Reach | None], None],
    name: str | None,
    protection: Protection,
    options: dict[str, Any],
) -> None:
    """Bring up the tunnel of the first provider that has a place, and can be reached."""
    # The chain's library takes its time.
    from fs_tunnel.roles.client.buying import Buying  # noqa: PLC0415
    from fs_tunnel.roles.client.reaching import Unreachable  # noqa: PLC0415

    require_net_admin("fs-tunnel up")
    buying = Buying(name, protection, **options)
    while True:
        files = buying.buy()
        try:
            bring_up(str(files.conf), str(files.start), buying.reach())
        except Unreachable as error:
            buying.go_on(error)
        else:
            return


def _keep_remote_login(config: TunnelConfig, protection: Protection) -> None:
    """UsageError where the tunnel would cut the connection by which the user came."""
    login = remote_login(os.getpid())
    if login is None or login.address.is_loopback:
        return
    if protection.only:
        is_cut = any(login.address in network for network in protection.only)
    else:
        outside = [*protection.excluded, *(LAN if protection.allow_lan else ())]
        is_cut = bool(full_tunnel_versions(config)) and not any(
            login.address in network for network in outside
        )
    is_let_in = any(
        login.address in each.source and login.port == each.port for each in protection.inbound
    )
    if is_cut and not is_let_in:
        bits = login.address.max_prefixlen
        place = f"{login.address}/{bits}"
        place = f"[{place}]:{login.port}" if login.address.version == 6 else f"{place}:{login.port}"
        raise UsageError(
            f"you came by SSH from {login.address}, and this tunnel would cut you off; "
            f"add --allow-inbound {place}, or --force"
        )
