"""The firewall of a provider: what clients may reach, and what they may not.

The ruleset is a pure function of a policy, and is loaded by ``nft`` as one transaction.  Every
refusal is counted under a name (``nft list counters table inet fs_NAME``).

Sources: RFC 6890 (special-purpose addresses); CVE-2021-3773 (Port Shadow), against which client
flows get random ports from a range without the tunnel's own, and the tunnel's own flow is not
tracked at all.
"""

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
from fs_wire.types import IPNetwork

# Addresses of no use on the internet, or of special use to the host.
DENIED_V4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
DENIED_V6 = (
    "::/127",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)
MAX_FLOWS_PER_CLIENT = 4096
GATEWAY_PORT_DNS = 53

_COUNTERS = (
    "spoofed",
    "client_to_client",
    "denied_destination",
    "smtp",
    "too_many_flows",
    "not_to_wan",
    "unsolicited",
    "gateway",
    "off_path",
    "ipv4_transit",
    "ipv6_transit",
)


@dataclass(frozen=True, slots=True)
class ProviderPolicy:
    """What ``serve`` allows; UsageError for an interface name that nft would misread."""

    name: str  # of the tunnel, and its interface
    wan: str
    port: int
    addresses: tuple[IPv4Interface | IPv6Interface, ...]  # of the gateway, with the clients' nets
    allowed_destinations: tuple[IPNetwork, ...] = ()  # exempt from the denied sets
    allow_smtp: bool = False
    # Whether the host is a router besides; else the forwarding that clients need serves them alone.
    routes_ipv4: bool = False
    routes_ipv6: bool = False
    max_flows: int = MAX_FLOWS_PER_CLIENT
    payment_port: int = 0  # TCP, on the gateway; 0: none

    def __post_init__(self) -> None:
        for ifname in (self.name, self.wan):
            check_interface(ifname)


def provider_table(policy: ProviderPolicy) -> NftTable:
    """The table ``inet fs_NAME`` of a policy."""
    table = table_of(policy.name)
    return NftTable(table, render(table, policy))


def render(table: str, policy: ProviderPolicy) -> str:
    """The ruleset of a policy, to be loaded with ``nft -f``."""
    tun, wan = f'"{policy.name}"', f'"{policy.wan}"'
    # Clients' flows leave from ports that are not the tunnel's, nor in its half of the range.
    ports = "1024-32767" if policy.port > 32767 else "32768-65535"
    return f"""{without(table)}
table inet {table} {{
{counters(_COUNTERS)}
{set_of("clients4", "ipv4_addr", (a.network for a in policy.addresses if a.version == 4))}
{set_of("clients6", "ipv6_addr", (a.network for a in policy.addresses if a.version == 6))}
{set_of("gateway4", "ipv4_addr", (a.ip for a in policy.addresses if a.version == 4))}
{set_of("gateway6", "ipv6_addr", (a.ip for a in policy.addresses if a.version == 6))}
{set_of("allowed4", "ipv4_addr", (n for n in policy.allowed_destinations if n.version == 4))}
{set_of("allowed6", "ipv6_addr", (n for n in policy.allowed_destinations if n.version == 6))}
{set_of("denied4", "ipv4_addr", DENIED_V4)}
{set_of("denied6", "ipv6_addr", DENIED_V6)}
  set flows4 {{ type ipv4_addr; size 65536; flags dynamic; }}
  set flows6 {{ type ipv6_addr; size 65536; flags dynamic; }}

  chain untracked_in {{
    type filter hook prerouting priority raw; policy accept;
    iifname != {tun} ip daddr @gateway4 fib saddr type != local counter name off_path drop
    iifname != {tun} ip6 daddr @gateway6 fib saddr type != local counter name off_path drop
    iifname != {tun} fib daddr type local udp dport {policy.port} notrack
  }}
  chain untracked_out {{
    type filter hook output priority raw; policy accept;
    oifname != {tun} udp sport {policy.port} notrack
  }}
  chain not_spoofed {{
    ip saddr != @clients4 counter name spoofed drop
    ip6 saddr != @clients6 counter name spoofed drop
    ip saddr @gateway4 counter name spoofed drop
    ip6 saddr @gateway6 counter name spoofed drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname {tun} jump from_client
    oifname {tun} jump to_client
    {_transit_guard(policy)}
  }}
  chain from_client {{
    jump not_spoofed
    oifname {tun} counter name client_to_client drop
    ip daddr @allowed4 goto to_wan
    ip6 daddr @allowed6 goto to_wan
    ip daddr @denied4 counter name denied_destination reject with icmpx admin-prohibited
    ip6 daddr @denied6 counter name denied_destination reject with icmpx admin-prohibited
    goto to_wan
  }}
  chain to_wan {{
    oifname != {wan} counter name not_to_wan reject with icmpx admin-prohibited
    {_smtp_rule(policy)}
    ct state new add @flows4 {{ ip saddr ct count over {policy.max_flows} }} \
counter name too_many_flows reject with icmpx admin-prohibited
    ct state new add @flows6 {{ ip6 saddr ct count over {policy.max_flows} }} \
counter name too_many_flows reject with icmpx admin-prohibited
    tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
    accept
  }}
  chain to_client {{
    tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
    ct state established,related accept
    counter name unsolicited drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname {tun} jump to_gateway
  }}
  chain to_gateway {{
    jump not_spoofed
    ct state established,related accept
    ip daddr @gateway4 icmp type echo-request accept
    ip6 daddr @gateway6 icmpv6 type echo-request accept
    ip daddr @gateway4 meta l4proto {{ tcp, udp }} th dport {GATEWAY_PORT_DNS} accept
    ip6 daddr @gateway6 meta l4proto {{ tcp, udp }} th dport {GATEWAY_PORT_DNS} accept
    {_payment_rules(policy)}
    counter name gateway reject with icmpx admin-prohibited
  }}
  chain nat {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname {tun} oifname {wan} meta l4proto {{ tcp, udp }} masquerade to :{ports} fully-random
    iifname {tun} oifname {wan} masquerade fully-random
  }}
}}
"""


def _payment_rules(policy: ProviderPolicy) -> str:
    if not policy.payment_port:
        return ""
    return "\n    ".join(
        f"{family} daddr @gateway{version} tcp dport {policy.payment_port} accept"
        for family, version in (("ip", 4), ("ip6", 6))
    )


def _smtp_rule(policy: ProviderPolicy) -> str:
    # Mail from strangers to port 25 is nearly always spam; submission (465, 587) stays open.
    if policy.allow_smtp:
        return ""
    return "tcp dport 25 counter name smtp reject with tcp reset"


def _transit_guard(policy: ProviderPolicy) -> str:
    wan, rules = f'"{policy.wan}"', []
    if not policy.routes_ipv4:
        rules.append(
            f"meta nfproto ipv4 iifname {wan} oifgroup != {LINK_GROUP} "
            "counter name ipv4_transit drop"
        )
    if not policy.routes_ipv6:
        rules.append(
            f"meta nfproto ipv6 iifgroup != {LINK_GROUP} oifgroup != {LINK_GROUP} "
            "counter name ipv6_transit drop"
        )
    return "\n    ".join(rules)
