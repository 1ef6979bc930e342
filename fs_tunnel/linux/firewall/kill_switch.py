# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The firewall of a client: traffic that belongs into the tunnel goes nowhere else.

Routing alone leaves gaps: a socket that is bound to the uplink, a network that the uplink claims
to be on, a route that came in by DHCP.  The table is there before the first rule of routing, and
goes after the last one.  It names no process, so it outlives the engine.

The tunnel's own datagrams are told by their mark, which only CAP_NET_ADMIN can set, and by their
destination.  Every refusal is counted under a name (``nft list counters table inet fs_NAME``).

Two parts of the table are empty until another module fills them.  The chain ``outside`` lets out
programs that are outside on purpose (``split_plans``).  The sets ``negotiation`` let out the
connection over which a dead tunnel buys its next place (``permitted_negotiation``).

Sources: CVE-2019-14899 (answers for the tunnel's address, asked for from outside), CVE-2024-3661
(TunnelVision), CVE-2023-36672 and -36673 (TunnelCrack); RFC 6890.
"""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from fs_tunnel.linux.firewall.nft import NftTable, check_interface, elements, fill, table_of
from fs_tunnel.linux.routing.links import LINK_GROUP
from fs_wire.types import Endpoint, IPAddress, IPNetwork, parse_network

# Networks that --allow-lan leaves outside, if the host is on one: RFC 1918, 3927, 4193, 4291.
_PRIVATE_V4 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
_PRIVATE_V6 = ("fc00::/7", "fe80::/10")
LAN = tuple(parse_network(each) for each in (*_PRIVATE_V4, *_PRIVATE_V6))
# Multicast of one link or of one site: mDNS, SSDP, DHCP.
LAN_MULTICAST = ("224.0.0.0/24", "239.0.0.0/8", "255.255.255.255/32", "ff02::/16", "ff05::/16")

# DHCP and neighbour discovery: without them a host is not on its link.
LINK_UPKEEP_OUT = """\
udp sport 68 udp dport 67 accept
ip6 daddr { fe80::/10, ff02::1:2 } udp sport 546 udp dport 547 accept
icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } \
ip6 hoplimit 255 accept
"""
LINK_UPKEEP_IN = """\
udp sport 67 udp dport 68 accept
ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } \
ip6 hoplimit 255 accept
"""
DNS = "meta l4proto { tcp, udp } th dport { 53, 853 }"

# Holes: $tunnels is the group of all tunnels' interfaces, $mark marks this tunnel's datagrams, and
# $outside_mark the programs outside of it.  A hole in a set is its elements.
_TABLE = """\
add table inet $table
delete table inet $table

table inet $table {
  counter off_path { }
  counter dns { }
  counter outside { }
  counter unsolicited { }
  counter forwarded { }

  set ours4 { type ipv4_addr; flags interval; auto-merge; $ours4 }
  set ours6 { type ipv6_addr; flags interval; auto-merge; $ours6 }
  set resolvers4 { type ipv4_addr; flags interval; auto-merge; $resolvers4 }
  set resolvers6 { type ipv6_addr; flags interval; auto-merge; $resolvers6 }
  set excluded4 { type ipv4_addr; flags interval; auto-merge; $excluded4 }
  set excluded6 { type ipv6_addr; flags interval; auto-merge; $excluded6 }
  set lan4 { type ipv4_addr; flags interval; auto-merge; $lan4 }
  set lan6 { type ipv6_addr; flags interval; auto-merge; $lan6 }
  set only4 { type ipv4_addr; flags interval; auto-merge; $only4 }
  set only6 { type ipv6_addr; flags interval; auto-merge; $only6 }
  set endpoints4 { type ipv4_addr . inet_service; $endpoints4 }
  set endpoints6 { type ipv6_addr . inet_service; $endpoints6 }
  set negotiation4 { type ipv4_addr . inet_service; flags timeout; }
  set negotiation6 { type ipv6_addr . inet_service; flags timeout; }

  chain off_path {
    type filter hook prerouting priority raw; policy accept;
    iifgroup != $tunnels ip daddr @ours4 fib saddr type != local counter name off_path drop
    iifgroup != $tunnels ip6 daddr @ours6 fib saddr type != local counter name off_path drop
  }
  chain outside {
  }
  chain mark_in {
    type filter hook prerouting priority mangle; policy accept;
    $mark_inbound
    ct mark { $mark, $outside_mark } meta mark set ct mark
  }
  chain mark_replies {
    type route hook output priority mangle; policy accept;
    ct mark $mark ct direction reply meta mark set ct mark
  }
  chain mark_out {
    type filter hook postrouting priority mangle; policy accept;
    meta l4proto udp meta mark $mark ct mark set meta mark
  }
  $closed
}
"""

# Everything belongs into the tunnel.  The rules that nearly all packets take come first.
_CLOSED = """\
chain inside {
  $dns_inside
  accept
}
chain output {
  type filter hook output priority filter; policy drop;
  oifgroup $tunnels goto inside
  oifname "lo" accept
  meta mark $mark ip daddr . udp dport @endpoints4 accept
  meta mark $mark ip6 daddr . udp dport @endpoints6 accept
  meta mark $mark ct mark $mark ct direction reply accept
  meta mark $mark ip daddr . tcp dport @negotiation4 ct mark set meta mark accept
  meta mark $mark ip6 daddr . tcp dport @negotiation6 ct mark set meta mark accept
  jump outside
  $link_upkeep_out
  $dns counter name dns reject with icmpx admin-prohibited
  ip daddr @excluded4 accept
  ip6 daddr @excluded6 accept
  ip daddr @lan4 accept
  ip6 daddr @lan6 accept
  counter name outside reject with icmpx admin-prohibited
}
chain input {
  type filter hook input priority filter; policy drop;
  iifgroup $tunnels accept
  ct state established,related accept
  iifname "lo" accept
  ct mark $mark accept
  ip saddr . udp sport @endpoints4 accept
  ip6 saddr . udp sport @endpoints6 accept
  $link_upkeep_in
  ip saddr @lan4 accept
  ip6 saddr @lan6 accept
  counter name unsolicited drop
}
chain forward {
  type filter hook forward priority filter; policy drop;
  oifgroup $tunnels tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
  oifgroup != $tunnels $dns counter name dns reject with icmpx admin-prohibited
  oifgroup $tunnels accept
  iifgroup $tunnels ct state established,related accept
  ip daddr @excluded4 accept
  ip6 daddr @excluded6 accept
  ip daddr @lan4 accept
  ip6 daddr @lan6 accept
  ip saddr @excluded4 ct state established,related accept
  ip6 saddr @excluded6 ct state established,related accept
  ip saddr @lan4 ct state established,related accept
  ip6 saddr @lan6 ct state established,related accept
  counter name forwarded reject with icmpx admin-prohibited
}
"""

# The tunnel has resolvers of its own.  If it has none, it carries questions to any resolver.
_DNS_INSIDE = """\
ip daddr @resolvers4 $dns accept
ip6 daddr @resolvers6 $dns accept
$dns counter name dns reject with icmpx admin-prohibited
"""

# Only some networks belong into the tunnel: they are reached through it, or not at all.
_CLOSED_FOR_SOME = """\
chain output {
  type filter hook output priority filter; policy accept;
  jump outside
  oifgroup != $tunnels ip daddr @only4 counter name outside reject with icmpx admin-prohibited
  oifgroup != $tunnels ip6 daddr @only6 counter name outside reject with icmpx admin-prohibited
}
chain forward {
  type filter hook forward priority filter; policy accept;
  oifgroup != $tunnels ip daddr @only4 counter name outside reject with icmpx admin-prohibited
  oifgroup != $tunnels ip6 daddr @only6 counter name outside reject with icmpx admin-prohibited
}
"""

_MARK_INBOUND = """\
iifgroup != $tunnels $family saddr $source tcp dport $port ct state new ct mark set $mark
"""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A network that may connect to one TCP port of ours from outside while the tunnel is up."""

    source: IPNetwork
    port: int


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """What the kill switch of one tunnel leaves open.

    If ``only`` is set, these networks alone belong into the tunnel, and all others are free.
    Raise UsageError for an interface name that nft would misread.
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
    """The table ``inet fs_NAME`` of a kill switch."""
    table = table_of(switch.name)
    lan = (*LAN, *LAN_MULTICAST) if switch.allow_lan else ()
    ruleset = fill(
        _TABLE,
        table=table,
        mark=switch.mark,
        outside_mark=outside_mark(switch.mark),
        tunnels=LINK_GROUP,
        mark_inbound="".join(_mark_inbound(each, switch.mark) for each in switch.inbound),
        closed=_closed_for_some() if switch.only else _closed(switch),
        **elements("ours", (address.ip for address in switch.addresses)),
        **elements("resolvers", switch.resolvers),
        **elements("excluded", switch.excluded),
        **elements("lan", lan),
        **elements("only", switch.only),
        **elements("endpoints", (f"{each.ip} . {each.port}" for each in switch.endpoints)),
    )
    return NftTable(table, ruleset)


def _closed(switch: KillSwitch) -> str:
    return fill(
        _CLOSED,
        mark=switch.mark,
        tunnels=LINK_GROUP,
        dns=DNS,
        dns_inside=fill(_DNS_INSIDE, dns=DNS) if switch.resolvers else "",
        link_upkeep_out=LINK_UPKEEP_OUT,
        link_upkeep_in=LINK_UPKEEP_IN,
    )


def _closed_for_some() -> str:
    return fill(_CLOSED_FOR_SOME, tunnels=LINK_GROUP)


def _mark_inbound(inbound: Inbound, mark: int) -> str:
    """The rule that marks a connection from outside, so that its replies leave the same way."""
    return fill(
        _MARK_INBOUND,
        tunnels=LINK_GROUP,
        family="ip" if inbound.source.version == 4 else "ip6",
        source=inbound.source,
        port=inbound.port,
        mark=mark,
    )
