"""``fs-tunnel serve``: become a provider."""

import click

from fs_tunnel import settings
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.params import Network
from fs_tunnel.cli.running import ALLOW_HOOKS, FOREGROUND, read_config, run_tunnel
from fs_tunnel.errors import ConfigError, UsageError
from fs_tunnel.linux import hooks, links
from fs_tunnel.linux.firewall import MAX_FLOWS_PER_CLIENT, ProviderPolicy
from fs_tunnel.linux.plans import Surroundings, forwarding_key, provider_plan, was_routing
from fs_tunnel.types import IPNetwork

DEFAULT_PORT = 51820


@click.command()
@FOREGROUND
@click.option("--wan", metavar="IFNAME", help="The way out; by default that of the default route.")
@click.option(
    "--allow-dest",
    "allowed",
    multiple=True,
    type=Network(),
    help="Let clients reach a private or reserved network, in a lab; repeatable.",
)
@click.option("--allow-smtp", is_flag=True, help="Let clients reach port 25.")
@click.option(
    "--max-flows",
    default=MAX_FLOWS_PER_CLIENT,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Connections that one client may have at a time.",
)
@ALLOW_HOOKS
@click.argument("conf", shell_complete=complete_conf)
def serve(
    foreground: bool,
    wan: str | None,
    allowed: tuple[IPNetwork, ...],
    allow_smtp: bool,
    max_flows: int,
    allow_hooks: bool,
    conf: str,
) -> None:
    """Serve the clients of CONF, a wg-quick file whose peers they are.

    Sets up forwarding, NAT and a firewall, which keeps clients from private networks, from each
    other and from this host; all of it is undone by fs-tunnel down.
    """
    config = read_config("serve", conf, allow_hooks=allow_hooks)
    addresses = config.interface.addresses
    if not any(address.network.num_addresses > 1 for address in addresses):
        raise ConfigError(
            "a provider needs an address with its clients' network, such as 10.66.0.1/24",
            source=config.source,
            key="Address",
        )
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
    )
    around = Surroundings(mtu=settings.mtu_for(endpoints.values(), mark), mark=mark)
    run_tunnel(
        "serve",
        config,
        settings.device_update(config, endpoints, port=port, mark=mark),
        hooks.surround(config, provider_plan(config, policy, around)),
        foreground=foreground,
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
