# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Plans of ``run``: the changes that it makes on top of a running tunnel, as lists in their order.

Inside: a namespace with its own routing table, which leads into the tunnel or nowhere.  Rules send
only packets from the namespace to that table.  So it works even if the host uses the tunnel for a
part of its traffic.  The table stays closed if the engine dies.

Outside: a cgroup whose sockets get a mark when they are made.  A rule routes the mark past the
tunnel, and the kill switch permits the mark in that cgroup.  The mark alone is not enough, since
ping(8) sets any mark for any user.
"""

from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from fs_tunnel.linux.firewall.kill_switch import outside_mark
from fs_tunnel.linux.firewall.nft import (
    NftChain,
    NftTable,
    check_interface,
    counters,
    table_of,
    without,
)
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.plans import TUNNEL_METRIC, fit_to_host, was_routing
from fs_tunnel.linux.routing.inner_namespace import InnerNamespace
from fs_tunnel.linux.routing.links import (
    LINK_GROUP,
    MAIN_TABLE,
    RULE_PRIORITY,
    Route,
    RuleTo,
    Unreachable,
)
from fs_tunnel.linux.routing.sysctl import Sysctl, read
from fs_tunnel.linux.splits.cgroup import LEVEL, MarkedGroup, nft_path

FIRST_INSIDE_TABLE = 52000
# Before the rules of up, which may let networks bypass the tunnel.
_PRIORITY = RULE_PRIORITY - 10
_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
# Addresses of the namespaces.  They never leave the host: the tunnel's address replaces them.
# RFC 2544, section C.2.2, and RFC 4193.
_INSIDE = {4: ip_network("198.18.0.0/16"), 6: ip_network("fd66:7368:696e::/64")}
_IPV6 = Path("/proc/sys/net/ipv6/conf")
_IPV6_FORWARDING = "net/ipv6/conf/all/forwarding"


def inside_plan(name: str, versions: Sequence[int], mtu: int, table: int) -> list[Change]:
    """The changes of ``run --inside``: ``versions`` are the IP versions of the tunnel's addresses.

    ``mtu`` in bytes.  UsageError if nft would misread the tunnel's name.
    """
    cable = f"fs-in{table}"
    number = table - FIRST_INSIDE_TABLE + 1
    hosts = {v: f"{_INSIDE[v][number]}/{32 if v == 4 else 128}" for v in versions}
    return fit_to_host(
        [
            *(Unreachable(network, table) for network in _DEFAULT.values()),
            _inside_table(name, cable),
            *(RuleTo(each, table, _PRIORITY, iifname=cable) for each in _DEFAULT.values()),
            InnerNamespace(name, cable, tuple(hosts.values()), mtu),
            *(RuleTo(host, table, _PRIORITY) for host in hosts.values()),
            *(Route(host, cable, table) for host in hosts.values()),
            *_forwarding(name, cable, versions),
            *(Route(_DEFAULT[v], name, table, TUNNEL_METRIC) for v in versions),
        ]
    )


def outside_plan(name: str, mark: int, group: Path, *, kill_switch: bool) -> list[Change]:
    """The changes of ``run --outside``: ``mark`` is the mark of the tunnel's own datagrams.

    SystemChangeError if nft would not find the cgroup.
    """
    marked = outside_mark(mark)
    socket = f'socket cgroupv2 level {LEVEL} "{nft_path(group)}"'
    leave = NftChain(
        table_of(name),
        "outside",
        (
            f"meta mark {marked} {socket} ct mark set {marked} accept",
            # Packets that the kernel itself sends for such a connection may have no socket.
            f"meta mark {marked} ct mark {marked} ct state established,related accept",
        ),
    )
    return fit_to_host(
        [
            MarkedGroup(name, marked),
            *(RuleTo(each, MAIN_TABLE, _PRIORITY, mark=marked) for each in _DEFAULT.values()),
            *([leave] if kill_switch else []),
        ]
    )


def _inside_table(name: str, cable: str) -> NftTable:
    check_interface(name)
    table, tun, cable = f"{table_of(name)}_inside", f'"{name}"', f'"{cable}"'
    # The namespace needs forwarding, but this must not make the host a router for others.
    guards = []
    if not was_routing(f"net/ipv4/conf/{name}/forwarding"):
        guards.append(f"meta nfproto ipv4 iifname {tun} counter name transit drop")
    if not was_routing(_IPV6_FORWARDING):
        guards.append(f"meta nfproto ipv6 iifname {tun} counter name transit drop")
        guards.append(
            f"meta nfproto ipv6 iifgroup != {LINK_GROUP} oifgroup != {LINK_GROUP} "
            "counter name transit drop"
        )
    rules = "\n    ".join(guards)
    text = f"""{without(table)}
table inet {table} {{
{counters(("host", "beside", "unsolicited", "transit"))}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname {cable} counter name host drop
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    oifname {cable} meta l4proto {{ icmp, icmpv6 }} accept
    oifname {cable} counter name host drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname {cable} jump from_inside
    oifname {cable} jump to_inside
    {rules}
  }}
  chain from_inside {{
    oifname != {tun} counter name beside reject with icmpx admin-prohibited
    tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
    accept
  }}
  chain to_inside {{
    iifname {tun} ct state established,related accept
    counter name unsolicited drop
  }}
  chain nat {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname {cable} oifname {tun} masquerade
  }}
}}
"""
    return NftTable(table, text)


def _forwarding(name: str, cable: str, versions: Sequence[int]) -> list[Change]:
    changes: list[Change] = []
    if 4 in versions:
        changes += [Sysctl(f"net/ipv4/conf/{each}/forwarding", "1") for each in (cable, name)]
        # Check sources loosely: the host itself may route an address outside of the tunnel.
        changes.append(Sysctl(f"net/ipv4/conf/{name}/rp_filter", "2"))
    if 6 in versions:
        # A router accepts router advertisements only if accept_ra is 2.
        for interface in sorted(path.name for path in _IPV6.glob("*")):
            key = f"net/ipv6/conf/{interface}/accept_ra"
            if interface not in ("all", "lo", name) and read(key) == "1":
                changes.append(Sysctl(key, "2"))
        changes.append(Sysctl(_IPV6_FORWARDING, "1"))
    return changes
