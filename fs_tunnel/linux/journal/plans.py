# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Plans: the changes that ``up`` and ``serve`` make on a host, as lists in their order.

For a full tunnel, the order ensures that nothing leaves in the clear.  The last resort of the
tunnel's table comes first.  Then comes the rule that sends everything to the table.  The TUN's own
route comes last.  If the engine dies, the table still has an answer, which is "unreachable".  No
rule prefers specific routes of the main table: a hostile network can inject those (CVE-2024-3661).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from fs_tunnel.config import InterfaceConfig, TunnelConfig
from fs_tunnel.linux.dns.host_resolver import use_resolvers
from fs_tunnel.linux.firewall.kill_switch import LAN, Inbound, KillSwitch, kill_switch_table
from fs_tunnel.linux.firewall.lockdown import MARKS, LockdownLifted
from fs_tunnel.linux.firewall.provider import ProviderPolicy, provider_table
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import original
from fs_tunnel.linux.routing.links import (
    MAIN_TABLE,
    RULE_PRIORITY,
    Address,
    Link,
    LinkUp,
    Route,
    RuleTo,
    UnmarkedRule,
    Unreachable,
)
from fs_tunnel.linux.routing.sysctl import Sysctl, read
from fs_wire.errors import ConfigError, UsageError
from fs_wire.types import Endpoint, IPNetwork

log = logging.getLogger(__name__)

FIRST_MARK = 51820  # of full tunnels, and their tables
TUNNEL_METRIC = 100
_DEFAULT = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_HALVES = {4: ("0.0.0.0/1", "128.0.0.0/1"), 6: ("::/1", "8000::/1")}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A plan's figures: ``mtu`` in bytes; ``mark`` is 0 if none is needed."""

    mtu: int
    mark: int = 0
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Protection:
    """A client's choice of what is outside of its full tunnel or, with ``only``, inside of it."""

    kill_switch: bool = True
    allow_lan: bool = False
    excluded: tuple[IPNetwork, ...] = ()
    only: tuple[IPNetwork, ...] = ()
    inbound: tuple[Inbound, ...] = ()


def full_tunnel_versions(config: TunnelConfig) -> tuple[int, ...]:
    """The IP versions, 4 or 6, all of whose traffic belongs into the tunnel."""
    if config.interface.table != "auto":
        return ()
    networks = _allowed(config)
    return tuple(version for version in (4, 6) if _takes_all(networks, version))


def lifts_lockdown(config: TunnelConfig, protection: Protection) -> bool:
    """Whether the tunnel's own kill switch closes all that lockdown would."""
    full = full_tunnel_versions(config)
    return bool(full) and protection.kill_switch and not protection.only


def choose_mark(
    config: TunnelConfig,
    protection: Protection,
    in_use: Callable[[int], bool],
    *,
    under_lockdown: bool = False,
) -> int:
    """The firewall mark of the tunnel's own datagrams: configured, or of the first free table.

    ConfigError for a mark that lockdown would not let out.
    """
    mark = config.interface.fwmark
    if mark:
        if under_lockdown and mark not in MARKS and not lifts_lockdown(config, protection):
            raise ConfigError(
                f"lockdown lets no datagram with this mark out; choose one of {MARKS.start} to "
                f"{MARKS.stop - 1}, or leave it out",
                source=config.source,
                key="FwMark",
            )
        return mark
    if not (full_tunnel_versions(config) or protection.only or under_lockdown):
        return 0
    mark = FIRST_MARK
    while in_use(mark):
        mark += 1
    return mark


def client_plan(config: TunnelConfig, around: Surroundings, protection: Protection) -> list[Change]:
    """The changes of ``up``; ConfigError if ``protection`` does not fit the configuration."""
    name, interface, mark = config.name, config.interface, around.mark
    _check(config, protection)
    full = full_tunnel_versions(config)
    versions = tuple(sorted({each.version for each in protection.only})) or full
    return fit_to_host(
        [
            *_close_tables(versions, mark),
            *_firewall(config, around, protection, versions),
            *([LockdownLifted()] if lifts_lockdown(config, protection) else []),
            *_rules(config, mark, protection, full),
            Link(name),
            *_interface(name, interface, around.mtu),
            *_open_tables(name, versions, mark),
            *([] if protection.only else _routes(config, full)),
            *_resolvers(config, protection, takes_all=bool(full) and not protection.only),
        ]
    )


def provider_plan(
    config: TunnelConfig, policy: ProviderPolicy, around: Surroundings
) -> list[Change]:
    """The changes of ``serve``: the firewall comes before the host can forward a packet."""
    name = config.name
    if _wants_all(config):
        raise ConfigError(
            "a client cannot own all addresses; give each [Peer] its own, such as 10.66.0.2/32",
            source=config.source,
            key="AllowedIPs",
        )
    return fit_to_host(
        [
            provider_table(policy),
            Link(name),
            *_interface(name, config.interface, around.mtu),
            *_routes(config, ()),
            *_forwarding(policy),
        ]
    )


def fit_to_host(plan: Sequence[Change]) -> list[Change]:
    """Leave out the changes that need IPv6, if this host gives none to a new interface.

    The changes that block IPv6 stay: another interface may have it all the same.
    """
    off = read("net/ipv6/conf/default/disable_ipv6")
    if off == "0":
        return list(plan)
    kept = [change for change in plan if not _gives_ipv6(change)]
    if off is None:  # a kernel without IPv6 knows no such routes or rules either
        kept = [change for change in kept if not _closes_ipv6(change)]
    if len(kept) < len(plan):
        log.warning("IPv6 is switched off on this host: the tunnel carries IPv4 alone")
    return kept


def forwarding_key(version: int, wan: str) -> str:
    """The kernel parameter that lets the host route what ``wan`` receives.

    IPv4 has one for each interface; IPv6 has one for the host.
    """
    return f"net/ipv{version}/conf/{wan if version == 4 else 'all'}/forwarding"


def was_routing(key: str) -> bool:
    """Whether this host routed before any tunnel, so that it must go on routing for others."""
    return (original(Sysctl(key, "1").place) or read(key)) == "1"


def _gives_ipv6(change: Change) -> bool:
    match change:
        case Address(address=place) | Route(network=place):
            return ":" in place
        case Sysctl(key=key):
            return key.startswith("net/ipv6/")
    return False


def _closes_ipv6(change: Change) -> bool:
    match change:
        case Unreachable(network=network) | RuleTo(network=network):
            return ":" in network
        case UnmarkedRule(version=version):
            return version == 6
    return False


def _interface(name: str, interface: InterfaceConfig, mtu: int) -> list[Change]:
    return [
        *(Address(name, str(address)) for address in interface.addresses),
        LinkUp(name, interface.mtu or mtu),
    ]


def _close_tables(versions: Sequence[int], mark: int) -> list[Change]:
    changes: list[Change] = []
    if 4 in versions:
        # The kernel checks answers to marked packets against the marked route.  Nobody on the
        # uplink can learn the tunnel's address by ARP.
        changes.append(Sysctl("net/ipv4/conf/all/src_valid_mark", "1"))
        changes.append(Sysctl("net/ipv4/conf/all/arp_ignore", "2"))
    return [*changes, *(Unreachable(str(_DEFAULT[version]), mark) for version in versions)]


def _firewall(
    config: TunnelConfig, around: Surroundings, protection: Protection, versions: Sequence[int]
) -> list[Change]:
    if not versions or not protection.kill_switch:
        return []
    switch = KillSwitch(
        name=config.name,
        mark=around.mark,
        addresses=config.interface.addresses,
        endpoints=around.endpoints,
        resolvers=config.interface.dns,
        only=protection.only,
        excluded=protection.excluded,
        allow_lan=protection.allow_lan,
        inbound=protection.inbound,
    )
    return [kill_switch_table(switch)]


def _rules(
    config: TunnelConfig, mark: int, protection: Protection, full: Sequence[int]
) -> list[Change]:
    if protection.only:
        versions = sorted({each.version for each in protection.only})
        return [
            # The tunnel's own datagrams may go to a network that the tunnel takes.
            *(RuleTo(str(_DEFAULT[v]), MAIN_TABLE, RULE_PRIORITY - 1, mark=mark) for v in versions),
            *(RuleTo(str(each), mark, RULE_PRIORITY) for each in protection.only),
        ]
    lan = LAN if protection.allow_lan else ()
    inside = config.interface.dns if lan or protection.excluded else ()
    return [
        # The tunnel's resolver may have the same address as a host outside.
        *(RuleTo(str(ip_network(each)), mark, RULE_PRIORITY - 3) for each in inside),
        *(RuleTo(str(each), MAIN_TABLE, RULE_PRIORITY - 2) for each in protection.excluded),
        *(RuleTo(str(each), MAIN_TABLE, RULE_PRIORITY - 1, but_default=True) for each in lan),
        *(UnmarkedRule(version, mark, mark) for version in full),
    ]


def _resolvers(config: TunnelConfig, protection: Protection, *, takes_all: bool) -> list[Change]:
    interface = config.interface
    if not interface.dns:
        return []
    if protection.only and not all(
        any(server in network for network in protection.only) for server in interface.dns
    ):
        log.warning("the DNS servers of %s are not in what --only names: not used", config.name)
        return []
    return use_resolvers(config.name, interface.dns, interface.dns_search, takes_all=takes_all)


def _check(config: TunnelConfig, protection: Protection) -> None:
    full = full_tunnel_versions(config)
    outside = protection.allow_lan or protection.excluded or protection.inbound
    if protection.only and outside:
        raise UsageError("--only leaves all else outside; give no other network with it")
    if protection.inbound and not protection.kill_switch:
        raise UsageError("--allow-inbound is part of the kill switch; leave one of them out")
    if outside and not full:
        raise ConfigError(
            "the file names no full tunnel, so all other traffic is outside; "
            "leave out what opens it, or add 0.0.0.0/0, ::/0",
            source=config.source,
            key="AllowedIPs",
        )
    if protection.only and config.interface.table != "auto":
        raise ConfigError("--only makes its own table", source=config.source, key="Table")
    for network in protection.only:
        if not any(
            each.version == network.version and network.subnet_of(each)  # type: ignore[arg-type]
            for each in _allowed(config)
        ):
            raise ConfigError(
                f"{network} is not among them, so the tunnel would not carry it; add it",
                source=config.source,
                key="AllowedIPs",
            )


def _open_tables(name: str, versions: Sequence[int], mark: int) -> list[Change]:
    return [
        Route(str(_DEFAULT[version]), name, table=mark, metric=TUNNEL_METRIC)
        for version in versions
    ]


def _routes(config: TunnelConfig, versions: Sequence[int]) -> list[Change]:
    table = config.interface.table
    if table == "off":
        return []
    # In the main table the kernel routes to an address's own network by itself.
    addresses = config.interface.addresses if table == "auto" else ()
    connected = {address.network for address in addresses}
    number = MAIN_TABLE if table == "auto" else table
    return [
        Route(str(network), config.name, table=number)
        for network in sorted(_allowed(config), key=lambda each: (each.version, each))
        if network.version not in versions
        and not any(
            network.version == near.version and network.subnet_of(near)  # type: ignore[arg-type]
            for near in connected
        )
    ]


def _forwarding(policy: ProviderPolicy) -> list[Change]:
    changes: list[Change] = [
        Sysctl(forwarding_key(4, policy.wan), "1"),
        Sysctl(forwarding_key(4, policy.name), "1"),
    ]
    if any(address.version == 6 for address in policy.addresses):
        # A router accepts router advertisements only if accept_ra of the interface is 2.
        accept_ra = f"net/ipv6/conf/{policy.wan}/accept_ra"
        if read(accept_ra) == "1":
            changes.append(Sysctl(accept_ra, "2"))
        changes.append(Sysctl(forwarding_key(6, policy.wan), "1"))
    return changes


def _allowed(config: TunnelConfig) -> set[IPNetwork]:
    return {network for peer in config.peers for network in peer.allowed_ips}


def _takes_all(networks: set[IPNetwork], version: int) -> bool:
    halves = {ip_network(half) for half in _HALVES[version]}
    return _DEFAULT[version] in networks or halves <= networks


def _wants_all(config: TunnelConfig) -> bool:
    networks = _allowed(config)
    return any(_takes_all(networks, version) for version in (4, 6))
