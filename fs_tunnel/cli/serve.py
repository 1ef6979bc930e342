# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel serve``: become a provider."""

from collections.abc import Sequence
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fs_tunnel import settings
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.options.market_options import MARKET_USER
from fs_tunnel.cli.options.params import Network
from fs_tunnel.cli.options.tunnel_options import ALLOW_HOOKS, FOREGROUND
from fs_tunnel.config import TunnelConfig
from fs_tunnel.helper import block_list
from fs_tunnel.helper.settings import ResolverSettings, Settings
from fs_tunnel.linux.firewall import lockdown
from fs_tunnel.linux.firewall.provider import MAX_FLOWS_PER_CLIENT, ProviderPolicy
from fs_tunnel.linux.journal import hooks
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.plans import Surroundings, forwarding_key, provider_plan, was_routing
from fs_tunnel.linux.routing import links
from fs_tunnel.linux.routing.links import Address
from fs_tunnel.roles.running import read_config, run_tunnel
from fs_wire.errors import ConfigError, UsageError
from fs_wire.types import IPNetwork

if TYPE_CHECKING:
    from fs_tunnel.roles.provider.selling import Sale

DEFAULT_PORT = 51820


@click.command()
@FOREGROUND
@click.option(
    "--wan", metavar="IFNAME", help="Interface that clients leave by. Default: the default route's."
)
@click.option(
    "--allow-dest",
    "allowed",
    multiple=True,
    type=Network(),
    help="Let clients reach this private or reserved network; repeatable.",
)
@click.option("--allow-smtp", is_flag=True, help="Let clients reach port 25.")
@click.option(
    "--max-flows",
    default=MAX_FLOWS_PER_CLIENT,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="How many connections one client may have at a time.",
)
@click.option("--no-dns", is_flag=True, help="Do not run a resolver for clients.")
@click.option(
    "--dns-block",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Do not resolve the names in this file: one a line, or in the form of hosts(5).",
)
@click.option(
    "--market",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Sell the tunnel, as the section [provider] of this market.toml says.",
)
@MARKET_USER
@ALLOW_HOOKS
@click.argument("conf", shell_complete=complete_conf)
def serve(
    foreground: bool,
    wan: str | None,
    allowed: tuple[IPNetwork, ...],
    allow_smtp: bool,
    max_flows: int,
    no_dns: bool,
    dns_block: Path | None,
    market: Path | None,
    market_user: int,
    allow_hooks: bool,
    conf: str,
) -> None:
    """Provide: serve the clients listed as peers in CONF, a wg-quick file.

    serve sets up forwarding, NAT and a firewall. Clients reach the internet, but not private
    networks, each other or this host. fs-tunnel down undoes all of it.

    With --market, serve also sells the tunnel to anyone who pays.
    """
    config = read_config("serve", conf, allow_hooks=allow_hooks)
    if lockdown.setting() is not None:
        raise UsageError(
            "lockdown is on, and lets nothing in and out but tunnels; fs-tunnel lockdown off first"
        )
    addresses = config.interface.addresses
    if not any(address.network.num_addresses > 1 for address in addresses):
        raise ConfigError(
            "a provider needs an address with its clients' network, such as 10.66.0.1/24",
            source=config.source,
            key="Address",
        )
    if dns_block is not None:
        if no_dns:
            raise UsageError("--dns-block is for the resolver; leave out --no-dns")
        block_list.load(dns_block)  # what is wrong with it is told here
    sale = _sale(config, market, market_user)
    endpoints = settings.resolve(config)
    port = config.interface.listen_port or DEFAULT_PORT
    mark = config.interface.fwmark or 0
    out = _wan(wan)
    policy = ProviderPolicy(
        name=config.name,
        wan=out,
        port=port,
        addresses=addresses,
        allowed_destinations=allowed,
        allow_smtp=allow_smtp,
        routes_ipv4=was_routing(forwarding_key(4, out)),
        routes_ipv6=was_routing(forwarding_key(6, out)),
        max_flows=max_flows,
        payment_port=sale.payment_port if sale else 0,
    )
    around = Surroundings(mtu=settings.mtu_for(endpoints.values(), mark), mark=mark)
    plan = provider_plan(config, policy, around)
    start = sale.prepare(plan, has_resolver=not no_dns) if sale else None
    run_tunnel(
        "serve",
        config,
        settings.device_update(config, endpoints, port=port, mark=mark),
        hooks.surround(config, plan),
        Settings(
            resolver=None if no_dns else _resolver(config.name, plan, dns_block), market=start
        ),
        keeps=sale.keeps if sale else None,
        foreground=foreground,
    )
    if sale is not None and not foreground:
        sale.tell_readiness()


def _sale(config: TunnelConfig, market: Path | None, user: int) -> "Sale | None":
    if market is None:
        return None
    from fs_tunnel.roles.provider.selling import Sale  # noqa: PLC0415 - keystores take their time to import

    return Sale(config, market, user)


def _resolver(name: str, plan: Sequence[Change], dns_block: Path | None) -> ResolverSettings:
    return ResolverSettings(
        name,
        # Not all in the file: this host may be without IPv6.
        tuple(str(ip_interface(each.address).ip) for each in plan if isinstance(each, Address)),
        str(dns_block.absolute()) if dns_block else None,
    )


def _wan(named: str | None) -> str:
    if named is not None:
        if not links.exists(named):
            raise UsageError(f"there is no interface {named}; see ip link, and give --wan another")
        return named
    found = links.default_interface()
    if found is None:
        raise UsageError("this host has no default route; name the way out with --wan")
    return found
