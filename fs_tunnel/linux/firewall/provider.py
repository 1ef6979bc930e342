# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The firewall of a provider: what clients may reach, and what they may not.

The ruleset is a pure function of a policy, and ``nft`` loads it as one transaction.  Every refusal
is counted under a name (``nft list counters table inet fs_NAME``).

Sources: RFC 6890 (special-purpose addresses); CVE-2021-3773 (Port Shadow).  Two rules guard against
Port Shadow: clients' flows get random ports from a range without the tunnel's own port, and the
tunnel's own flow is not tracked at all.
"""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from fs_tunnel.linux.firewall.nft import NftTable, check_interface, elements, fill, table_of
from fs_tunnel.linux.routing.links import LINK_GROUP
from fs_wire.types import IPNetwork

# Addresses that lead nowhere on the internet, or that have a special meaning to the host.
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

# Holes: $tun and $wan are interfaces, $port is the tunnel's UDP port, and $tunnels the group of all
# tunnels' interfaces.  A hole in a set is its elements.
_TABLE = """\
add table inet $table
delete table inet $table

table inet $table {
  counter spoofed { }
  counter client_to_client { }
  counter denied_destination { }
  counter smtp { }
  counter too_many_flows { }
  counter not_to_wan { }
  counter unsolicited { }
  counter gateway { }
  counter off_path { }
  counter ipv4_transit { }
  counter ipv6_transit { }

  set clients4 { type ipv4_addr; flags interval; auto-merge; $clients4 }
  set clients6 { type ipv6_addr; flags interval; auto-merge; $clients6 }
  set gateway4 { type ipv4_addr; flags interval; auto-merge; $gateway4 }
  set gateway6 { type ipv6_addr; flags interval; auto-merge; $gateway6 }
  set allowed4 { type ipv4_addr; flags interval; auto-merge; $allowed4 }
  set allowed6 { type ipv6_addr; flags interval; auto-merge; $allowed6 }
  set denied4 { type ipv4_addr; flags interval; auto-merge; $denied4 }
  set denied6 { type ipv6_addr; flags interval; auto-merge; $denied6 }
  set flows4 { type ipv4_addr; size 65536; flags dynamic; }
  set flows6 { type ipv6_addr; size 65536; flags dynamic; }

  chain untracked_in {
    type filter hook prerouting priority raw; policy accept;
    iifname != $tun ip daddr @gateway4 fib saddr type != local counter name off_path drop
    iifname != $tun ip6 daddr @gateway6 fib saddr type != local counter name off_path drop
    iifname != $tun fib daddr type local udp dport $port notrack
  }
  chain untracked_out {
    type filter hook output priority raw; policy accept;
    oifname != $tun udp sport $port notrack
  }
  chain not_spoofed {
    ip saddr != @clients4 counter name spoofed drop
    ip6 saddr != @clients6 counter name spoofed drop
    ip saddr @gateway4 counter name spoofed drop
    ip6 saddr @gateway6 counter name spoofed drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname $tun jump from_client
    oifname $tun jump to_client
    $refuse_ipv4_transit
    $refuse_ipv6_transit
  }
  chain from_client {
    jump not_spoofed
    oifname $tun counter name client_to_client drop
    ip daddr @allowed4 goto to_wan
    ip6 daddr @allowed6 goto to_wan
    ip daddr @denied4 counter name denied_destination reject with icmpx admin-prohibited
    ip6 daddr @denied6 counter name denied_destination reject with icmpx admin-prohibited
    goto to_wan
  }
  chain to_wan {
    oifname != $wan counter name not_to_wan reject with icmpx admin-prohibited
    $refuse_smtp
    ct state new add @flows4 { ip saddr ct count over $max_flows } \
counter name too_many_flows reject with icmpx admin-prohibited
    ct state new add @flows6 { ip6 saddr ct count over $max_flows } \
counter name too_many_flows reject with icmpx admin-prohibited
    tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
    accept
  }
  chain to_client {
    tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
    ct state established,related accept
    counter name unsolicited drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname $tun jump to_gateway
  }
  chain to_gateway {
    jump not_spoofed
    ct state established,related accept
    ip daddr @gateway4 icmp type echo-request accept
    ip6 daddr @gateway6 icmpv6 type echo-request accept
    ip daddr @gateway4 meta l4proto { tcp, udp } th dport 53 accept
    ip6 daddr @gateway6 meta l4proto { tcp, udp } th dport 53 accept
    $accept_payment
    counter name gateway reject with icmpx admin-prohibited
  }
  chain nat {
    type nat hook postrouting priority srcnat; policy accept;
    iifname $tun oifname $wan meta l4proto { tcp, udp } masquerade to :$client_ports fully-random
    iifname $tun oifname $wan masquerade fully-random
  }
}
"""

# Mail from strangers to port 25 is nearly always spam; submission (465, 587) stays open.
_REFUSE_SMTP = "tcp dport 25 counter name smtp reject with tcp reset"

# Clients need forwarding.  These rules keep a host that is no router from becoming one.
_REFUSE_IPV4_TRANSIT = """\
meta nfproto ipv4 iifname $wan oifgroup != $tunnels counter name ipv4_transit drop
"""
_REFUSE_IPV6_TRANSIT = """\
meta nfproto ipv6 iifgroup != $tunnels oifgroup != $tunnels counter name ipv6_transit drop
"""

_ACCEPT_PAYMENT = """\
ip daddr @gateway4 tcp dport $payment_port accept
ip6 daddr @gateway6 tcp dport $payment_port accept
"""


@dataclass(frozen=True, slots=True)
class ProviderPolicy:
    """What ``serve`` allows the clients of one tunnel.

    Raise UsageError for an interface name that nft would misread.
    """

    name: str  # of the tunnel, and its interface
    wan: str  # the interface that leads to the internet
    port: int  # the UDP port of the tunnel
    addresses: tuple[IPv4Interface | IPv6Interface, ...]  # of the gateway, with the clients' nets
    allowed_destinations: tuple[IPNetwork, ...] = ()  # exempt from the denied sets
    allow_smtp: bool = False
    # True if the host is a router anyway.  Otherwise it forwards for the clients alone.
    routes_ipv4: bool = False
    routes_ipv6: bool = False
    max_flows: int = MAX_FLOWS_PER_CLIENT
    payment_port: int = 0  # TCP, on the gateway; 0 if clients pay nothing there

    def __post_init__(self) -> None:
        for ifname in (self.name, self.wan):
            check_interface(ifname)


def provider_table(policy: ProviderPolicy) -> NftTable:
    """The table ``inet fs_NAME`` of a policy."""
    table = table_of(policy.name)
    tun, wan = f'"{policy.name}"', f'"{policy.wan}"'
    ruleset = fill(
        _TABLE,
        table=table,
        tun=tun,
        wan=wan,
        port=policy.port,
        # Clients' flows leave from ports in the half of the range without the tunnel's own.
        client_ports="1024-32767" if policy.port > 32767 else "32768-65535",
        max_flows=policy.max_flows,
        refuse_ipv4_transit=(
            "" if policy.routes_ipv4 else fill(_REFUSE_IPV4_TRANSIT, wan=wan, tunnels=LINK_GROUP)
        ),
        refuse_ipv6_transit=(
            "" if policy.routes_ipv6 else fill(_REFUSE_IPV6_TRANSIT, tunnels=LINK_GROUP)
        ),
        refuse_smtp="" if policy.allow_smtp else _REFUSE_SMTP,
        accept_payment=(
            fill(_ACCEPT_PAYMENT, payment_port=policy.payment_port) if policy.payment_port else ""
        ),
        **elements("clients", (each.network for each in policy.addresses)),
        **elements("gateway", (each.ip for each in policy.addresses)),
        **elements("allowed", policy.allowed_destinations),
        **elements("denied", (*DENIED_V4, *DENIED_V6)),
    )
    return NftTable(table, ruleset)
