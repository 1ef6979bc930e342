"""The firewall of a client: what is to go through the tunnel goes nowhere else.

Routing alone leaves gaps: a socket that is bound to the uplink, a network that the uplink claims
to be on, a route that came in by DHCP.  The table stands before the first rule of routing and
falls after the last one; it names no process, and so outlives the engine.

Programs that are outside on purpose fill the chain ``outside`` (``split.py``), which is empty else.

The tunnel's own datagrams are told by their mark, which only CAP_NET_ADMIN can set, and by where
they go.  Every refusal is counted under a name (``nft list counters table inet fs_NAME``).  The
sets ``negotiation`` are empty until a dead tunnel is to move (``permitted_negotiation``).

Sources: CVE-2019-14899 (answers for the tunnel's address, asked for from outside), CVE-2024-3661
(TunnelVision), CVE-2023-36672 and -36673 (TunnelCrack); RFC 6890.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from fs_tunnel.linux.firewall.nft import (
    NftTable,
    check_interface,
    counters,
    set_of,
    table_of,
    without,
)
from fs_tunnel.linux.routing.links import LINK_GROUP
from fs_wire.types import Endpoint, IPAddress, IPNetwork, parse_network

# What --allow-lan leaves outside, if the host is on such a network; RFC 1918, 3927, 4193, 4291.
_PRIVATE_V4 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
_PRIVATE_V6 = ("fc00::/7", "fe80::/10")
LAN = tuple(parse_network(each) for each in (*_PRIVATE_V4, *_PRIVATE_V6))
# Of one link, or of one site: mDNS, SSDP, DHCP.
LAN_MULTICAST = ("224.0.0.0/24", "239.0.0.0/8", "255.255.255.255/32", "ff02::/16", "ff05::/16")
_COUNTERS = ("off_path", "dns", "outside", "unsolicited", "forwarded")
# DHCP and neighbour discovery: without them a host is not on its link.
LINK_UPKEEP_OUT = """udp sport 68 udp dport 67 accept
    ip6 daddr { fe80::/10, ff02::1:2 } udp sport 546 udp dport 547 accept
    icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } \
ip6 hoplimit 255 accept"""
LINK_UPKEEP_IN = """udp sport 67 udp dport 68 accept
    ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
    icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } \
ip6 hoplimit 255 accept"""
DNS = "meta l4proto { tcp, udp } th dport { 53, 853 }"


@dataclass(frozen=True, slots=True)
class Inbound:
    """Who may connect to us from outside while the tunnel is up: TCP, to one of our ports."""

    source: IPNetwork
    port: int


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """What ``up`` leaves open; UsageError for an interface name that nft would misread.

    ``only``: what belongs into the tunnel, where that is not everything; all else is free then.
    """

    name: str  # of the tunnel, and its interface
    mark: int
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    endpoints: tuple[Endpoint, ...]
    resolvers: tuple[IPAddress, ...] = ()
    only: tuple[IPNetwork, ...] = ()
    excluded: tuple[IPNetwork, ...] = ()
    allow_lan: bool = False
    inbound: tuple[Inbound, ...] = ()

    def __post_init__(self) -> None:
        check_interface(self.name)


def outside_mark(mark: int) -> int:
    """The mark of programs outside of the tunnel whose own datagrams carry ``mark``."""
    return mark ^ 0x0100_0000


def kill_switch_table(switch: KillSwitch) -> NftTable:
    """The table ``inet fs_NAME``."""
    table = table_of(switch.name)
    return NftTable(table, render(table, switch))


def render(table: str, switch: KillSwitch) -> str:
    """The ruleset, to be loaded with ``nft -f``."""
    mark = switch.mark
    return f"""{without(table)}
table inet {table} {{
{counters(_COUNTERS)}
{both("ours", (address.ip for address in switch.addresses))}
{both("resolvers", switch.resolvers)}
{both("excluded", switch.excluded)}
{both("lan", (*LAN, *LAN_MULTICAST) if switch.allow_lan else ())}
{both("only", switch.only)}
{_endpoints(switch.endpoints)}
  set negotiation4 {{ type ipv4_addr . inet_service; flags timeout; }}
  set negotiation6 {{ type ipv6_addr . inet_service; flags timeout; }}

  chain off_path {{
    type filter hook prerouting priority raw; policy accept;
    iifgroup != {LINK_GROUP} ip daddr @ours4 fib saddr type != local counter name off_path drop
    iifgroup != {LINK_GROUP} ip6 daddr @ours6 fib saddr type != local counter name off_path drop
  }}
  chain outside {{
  }}
  chain mark_in {{
    type filter hook prerouting priority mangle; policy accept;
    {_inbound_rules(switch)}
    ct mark {{ {mark}, {outside_mark(mark)} }} meta mark set ct mark
  }}
  chain mark_replies {{
    type route hook output priority mangle; policy accept;
    ct mark {mark} ct direction reply meta mark set ct mark
  }}
  chain mark_out {{
    type filter hook postrouting priority mangle; policy accept;
    meta l4proto udp meta mark {mark} ct mark set meta mark
  }}
{_closed(switch) if not switch.only else _closed_for_some()}
}}
"""


def _closed(switch: KillSwitch) -> str:
    mark, ours, not_ours = switch.mark, f"oifgroup {LINK_GROUP}", f"oifgroup != {LINK_GROUP}"
    # Without resolvers of its own, the tunnel carries questions to any.
    dns_inside = (
        f"""ip daddr @resolvers4 {DNS} accept
    ip6 daddr @resolvers6 {DNS} accept
    {DNS} counter name dns reject with icmpx admin-prohibited
    """
        if switch.resolvers
        else ""
    )
    # The rules that nearly all packets take come first.
    return f"""  chain inside {{
    {dns_inside}accept
  }}
  chain output {{
    type filter hook output priority filter; policy drop;
    {ours} goto inside
    oifname "lo" accept
    meta mark {mark} ip daddr . udp dport @endpoints4 accept
    meta mark {mark} ip6 daddr . udp dport @endpoints6 accept
    meta mark {mark} ct mark {mark} ct direction reply accept
    meta mark {mark} ip daddr . tcp dport @negotiation4 ct mark set meta mark accept
    meta mark {mark} ip6 daddr . tcp dport @negotiation6 ct mark set meta mark accept
    jump outside
    {LINK_UPKEEP_OUT}
    {DNS} counter name dns reject with icmpx admin-prohibited
    {free("daddr")}
    counter name outside reject with icmpx admin-prohibited
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iifgroup {LINK_GROUP} accept
    ct state established,related accept
    iifname "lo" accept
    ct mark {mark} accept
    ip saddr . udp sport @endpoints4 accept
    ip6 saddr . udp sport @endpoints6 accept
    {LINK_UPKEEP_IN}
    ip saddr @lan4 accept
    ip6 saddr @lan6 accept
    counter name unsolicited drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    {ours} tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
    {not_ours} {DNS} counter name dns reject with icmpx admin-prohibited
    {ours} accept
    iifgroup {LINK_GROUP} ct state established,related accept
    {free("daddr")}
    {free("saddr", "ct state established,related ")}
    counter name forwarded reject with icmpx admin-prohibited
  }}"""


def _closed_for_some() -> str:
    """Only some networks belong into the tunnel: those are reached through it, or not at all."""
    rules = "\n    ".join(
        f"oifgroup != {LINK_GROUP} {family} daddr @only{version} "
        "counter name outside reject with icmpx admin-prohibited"
        for family, version in (("ip", 4), ("ip6", 6))
    )
    return f"""  chain output {{
    type filter hook output priority filter; policy accept;
    jump outside
    {rules}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    {rules}
  }}"""


def _inbound_rules(switch: KillSwitch) -> str:
    return "\n    ".join(
        f"iifgroup != {LINK_GROUP} {'ip' if each.source.version == 4 else 'ip6'} "
        f"saddr {each.source} tcp dport {each.port} ct state new ct mark set {switch.mark}"
        for each in switch.inbound
    )


def free(end: str, condition: str = "") -> str:
    """Rules for the networks that are left open, by the sets ``excluded`` and ``lan``."""
    return "\n    ".join(
        f"{family} {end} @{name}{version} {condition}accept"
        for name in ("excluded", "lan")
        for family, version in (("ip", 4), ("ip6", 6))
    )


def both(name: str, elements: Iterable[object]) -> str:
    """A set for each IP version."""
    texts = [str(each) for each in elements]
    return "\n".join(
        set_of(f"{name}{version}", kind, (each for each in texts if (":" in each) is is_v6))
        for version, kind, is_v6 in ((4, "ipv4_addr", False), (6, "ipv6_addr", True))
    )


def _endpoints(endpoints: Iterable[Endpoint]) -> str:
    texts = [(each.ip, each.port) for each in endpoints]
    lines = []
    for version, kind, is_v6 in ((4, "ipv4_addr", False), (6, "ipv6_addr", True)):
        listed = ", ".join(f"{ip} . {port}" for ip, port in texts if (":" in ip) is is_v6)
        body = f" elements = {{ {listed} }};" if listed else ""
        lines.append(f"  set endpoints{version} {{ type {kind} . inet_service;{body} }}")
    return "\n".join(lines)
