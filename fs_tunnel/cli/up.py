# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel up``: become a client."""

import os
from collections.abc import Callable
from typing import Any

import click

from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.options.market_options import buying_options, purchase_of
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
    help="Do not set up the firewall around a full tunnel. Routing alone has gaps.",
)
@click.option(
    "--allow-lan", is_flag=True, help="Keep reaching the private networks that this host is on."
)
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    type=Network(),
    help="Leave this network outside a full tunnel; repeatable.",
)
@click.option(
    "--only",
    multiple=True,
    type=Network(),
    help="Send only this network, a part of AllowedIPs, through the tunnel; repeatable.",
)
@click.option(
    "--allow-inbound",
    "inbound",
    multiple=True,
    type=InboundParam(),
    help="Let this network connect to a TCP port of this host from outside; repeatable.",
)
@click.option("--force", is_flag=True, help="Go on even if this cuts your SSH connection.")
@click.option(
    "--agent",
    type=User(),
    default=0,
    help="Let this user add endpoints that the tunnel may send to.",
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
    """Connect: bring up the tunnel in CONF, a wg-quick file, or buy one.

    CONF is a path, or the name of a file in /etc/fs-tunnel or /etc/wireguard. If the tunnel is
    already up, up applies the file again and keeps its sessions.

    A full tunnel has AllowedIPs = 0.0.0.0/0, ::/0. It fails closed: until fs-tunnel down, nothing
    leaves this host outside the tunnel.

    To buy a tunnel, give --max-price and --budget. up then searches the network for a provider.
    With --provider it buys from that one. CONF is then the tunnel's name; the default is paid. An
    agent pays while you use the tunnel, from a channel that up opens and down closes. Up to two
    more providers stand by, each with an equal part of the budget. If a provider is lost, the
    tunnel moves to the next one.

    Providers behind NAT are reached by hole punching. If that fails, up says why and tries the
    next provider.
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
    from fs_tunnel.roles.client.buying import buy_tunnel  # noqa: PLC0415

    require_net_admin("fs-tunnel up")
    buy_tunnel(name, protection, purchase_of(options), bring_up)


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
