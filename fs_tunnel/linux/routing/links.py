# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Change links, addresses, routes and rules, over netlink.

Source: rtnetlink(7).  We avoid two traps of pyroute2: it gives a rule without a priority 32000, and
a dump needs a family.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import PrivilegeError, SystemChangeError

if TYPE_CHECKING:
    from pyroute2 import IPRoute

MAIN_TABLE = 254
RULE_PRIORITY = 5220
RULE_PROTOCOL = 201  # marks our rules among all others
LINK_GROUP = 51820  # of the interfaces of all our tunnels
LAST_RESORT_METRIC = 4278198272

_FIB_RULE_INVERT = 2
_IFA_F_NODAD = 2
_ALREADY_THERE = frozenset({errno.EEXIST})
# The kernel answers EINVAL for a blackhole.
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL})
_ALREADY_GONE = frozenset(
    {errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENETUNREACH}
)


@dataclass(frozen=True, slots=True)
class Link(Change):
    """A tunnel's interface. An engine makes it; the engine ends when we delete it."""

    ends_with_link: ClassVar[bool] = True

    ifname: str

    def do(self) -> None:
        """Do nothing: the engine makes the interface, after this is in the journal."""

    def undo(self) -> None:
        with _netlink(f"deleting {self.ifname}", _ALREADY_GONE) as ip:
            for index in ip.link_lookup(ifname=self.ifname):
                ip.link("del", index=index)


@dataclass(frozen=True, slots=True)
class LinkUp(Change):
    """An interface that is up, with an MTU in bytes. It ends with its link."""

    ends_with_link: ClassVar[bool] = True

    ifname: str
    mtu: int

    @property
    def place(self) -> tuple[object, ...]:
        return ("LinkUp", self.ifname)

    def do(self) -> None:
        with _netlink(f"setting {self.ifname} up with MTU {self.mtu}") as ip:
            index = index_of(ip, self.ifname)
            ip.link("set", index=index, mtu=self.mtu, group=LINK_GROUP, state="up")

    def undo(self) -> None:
        """Do nothing: the link goes as a whole."""


@dataclass(frozen=True, slots=True)
class Address(Change):
    """An address with its prefix, ``10.66.0.2/24``, on an interface."""

    ends_with_link: ClassVar[bool] = True

    ifname: str
    address: str

    def do(self) -> None:
        with _netlink(f"adding {self.address} to {self.ifname}", _ALREADY_THERE) as ip:
            ip.addr("add", **self._arguments(ip))

    def undo(self) -> None:
        with _netlink(f"removing {self.address} from {self.ifname}", _ALREADY_GONE) as ip:
            if ip.link_lookup(ifname=self.ifname):
                ip.addr("del", **self._arguments(ip))

    def _arguments(self, ip: "IPRoute") -> dict[str, Any]:
        interface = ip_interface(self.address)
        arguments: dict[str, Any] = {
            "index": index_of(ip, self.ifname),
            "address": str(interface.ip),
            "prefixlen": interface.network.prefixlen,
        }
        if interface.version == 6:
            # Nobody else is on this link: without this, the address is unusable for a second.
            arguments["flags"] = _IFA_F_NODAD
        return arguments


@dataclass(frozen=True, slots=True)
class Route(Change):
    """A route of one table to an interface."""

    ends_with_link: ClassVar[bool] = True

    network: str
    ifname: str
    table: int = MAIN_TABLE
    metric: int = 0

    def do(self) -> None:
        with _netlink(f"routing {self.network} to {self.ifname}") as ip:
            from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

            try:
                ip.route("add", **self._arguments(ip))
            except NetlinkError as error:
                if error.code != errno.EEXIST or not self._is_ours(ip):
                    raise

    def undo(self) -> None:
        with _netlink(f"removing the route {self.network}", _ALREADY_GONE) as ip:
            if ip.link_lookup(ifname=self.ifname):
                ip.route("del", **self._arguments(ip))

    def _is_ours(self, ip: "IPRoute") -> bool:
        # We do not replace another program's route to this network: we could not restore it.
        network = ip_network(self.network)
        here = str(network.network_address)
        return any(
            (route.get_attr("RTA_DST") or here, route["dst_len"]) == (here, network.prefixlen)
            for route in ip.get_routes(
                family=_family(self.network), table=self.table, oif=index_of(ip, self.ifname)
            )
        )

    def _arguments(self, ip: "IPRoute") -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "dst": self.network,
            "family": _family(self.network),
            "oif": index_of(ip, self.ifname),
            "table": self.table,
        }
        if self.metric:
            arguments["priority"] = self.metric
        return arguments


@dataclass(frozen=True, slots=True)
class Unreachable(Change):
    """A last resort in a table: packets without another route in it go nowhere.

    It names no device, so it outlives the TUN.  Packets must not go past a dead engine.
    """

    network: str
    table: int

    def prepared(self) -> Self:
        with _netlink("looking at routes") as ip:
            if any(
                route.get_attr("RTA_PRIORITY") == LAST_RESORT_METRIC
                for route in ip.get_routes(family=_family(self.network), table=self.table)
            ):
                raise SystemChangeError(
                    f"routing table {self.table} is another tunnel's; repeat the command, "
                    "or set another FwMark"
                )
        return self

    def do(self) -> None:
        with _netlink(f"closing table {self.table}") as ip:
            ip.route("replace", **self._arguments())

    def undo(self) -> None:
        with _netlink(f"opening table {self.table}", _ALREADY_GONE) as ip:
            ip.route("del", **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {
            "dst": self.network,
            "family": _family(self.network),
            "type": "unreachable",
            "table": self.table,
            "priority": LAST_RESORT_METRIC,
        }


@dataclass(frozen=True, slots=True)
class UnmarkedRule(Change):
    """Route all packets without ``mark`` by ``table``; ``version`` is 4 or 6."""

    version: int
    mark: int
    table: int

    def do(self) -> None:
        with _netlink(f"adding the rule for table {self.table}", _ALREADY_THERE) as ip:
            ip.rule("add", **self._arguments())

    def undo(self) -> None:
        with _netlink(f"removing the rule for table {self.table}", _ALREADY_GONE) as ip:
            ip.rule("del", **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {
            "family": AF_INET6 if self.version == 6 else AF_INET,
            "priority": RULE_PRIORITY,
            "fwmark": self.mark,
            "table": self.table,
            "flags": _FIB_RULE_INVERT,
            "FRA_PROTOCOL": RULE_PROTOCOL,
        }


@dataclass(frozen=True, slots=True)
class RuleTo(Change):
    """Route packets to ``network`` by ``table``; the kernel tries smaller priorities first.

    ``mark``: only packets that carry it.  ``iifname``: only forwarded packets from this interface.
    ``but_default``: ignore a default route of that table.
    """

    network: str
    table: int
    priority: int
    mark: int = 0
    but_default: bool = False
    iifname: str = ""

    def do(self) -> None:
        with _netlink(f"adding the rule for {self.network}", _ALREADY_THERE) as ip:
            ip.rule("add", **self._arguments())

    def undo(self) -> None:
        with _netlink(f"removing the rule for {self.network}", _ALREADY_GONE) as ip:
            ip.rule("del", **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        network = ip_network(self.network)
        arguments: dict[str, Any] = {
            "family": _family(self.network),
            "priority": self.priority,
            "dst": str(network.network_address),
            "dst_len": network.prefixlen,
            "table": self.table,
            "FRA_PROTOCOL": RULE_PROTOCOL,
        }
        if self.mark:
            arguments["fwmark"] = self.mark
        if self.iifname:
            arguments["iifname"] = self.iifname
        if self.but_default:
            arguments["FRA_SUPPRESS_PREFIXLEN"] = 0
        return arguments


def exists(ifname: str) -> bool:
    """Whether there is an interface of this name."""
    with _netlink("looking at links") as ip:
        return bool(ip.link_lookup(ifname=ifname))


def default_interface() -> str | None:
    """The interface of the main table's default route, IPv4 first."""
    with _netlink("looking at routes") as ip:
        for family in (AF_INET, AF_INET6):
            routes = [
                route
                for route in ip.get_routes(family=family, table=MAIN_TABLE)
                if route["dst_len"] == 0 and route.get_attr("RTA_OIF")
            ]
            if routes:
                best = min(routes, key=lambda route: route.get_attr("RTA_PRIORITY") or 0)
                return _name_of(ip, best.get_attr("RTA_OIF"))
    return None


def mtu_towards(address: str, mark: int = 0) -> int | None:
    """The MTU of the link on which marked packets to ``address`` leave; None without a route."""
    with _netlink("looking at routes", _NO_ROUTE) as ip:
        for route in ip.route("get", dst=address, family=_family(address), mark=mark):
            index = route.get_attr("RTA_OIF")
            if index is not None:
                (link,) = ip.get_links(index)
                return int(link.get_attr("IFLA_MTU"))
    return None


def mtu_of(ifname: str) -> int:
    """The MTU of an interface in bytes; SystemChangeError if it is gone."""
    with _netlink("looking at links") as ip:
        (link,) = ip.get_links(index_of(ip, ifname))
        return int(link.get_attr("IFLA_MTU"))


def table_in_use(table: int) -> bool:
    """Whether a routing table holds any route."""
    with _netlink("looking at routes") as ip:
        return any(
            next(iter(ip.get_routes(family=family, table=table)), None) is not None
            for family in (AF_INET, AF_INET6)
        )


def load() -> None:
    """Load the library: a helper that cleans up may outlive the program's files."""
    import pyroute2  # noqa: F401, PLC0415


def index_of(ip: "IPRoute", ifname: str) -> int:
    """The index of an interface; SystemChangeError if it is gone."""
    found = ip.link_lookup(ifname=ifname)
    if not found:
        raise SystemChangeError(f"there is no interface {ifname}; its engine has ended")
    return int(found[0])


def _name_of(ip: "IPRoute", index: int) -> str:
    (link,) = ip.get_links(index)
    return str(link.get_attr("IFLA_IFNAME"))


def _family(network: str) -> int:
    return AF_INET6 if ip_network(network, strict=False).version == 6 else AF_INET


@contextmanager
def _netlink(doing: str, forgiven: frozenset[int] = frozenset()) -> Iterator["IPRoute"]:
    # The import takes a sixth of a second; commands that only look at tunnels skip it.
    from pyroute2 import IPRoute  # noqa: PLC0415
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        if error.code in forgiven:
            return
        if error.code == errno.EPERM:
            raise PrivilegeError(f"{doing} needs CAP_NET_ADMIN; run as root") from None
        raise SystemChangeError(f"{doing}: {error.args[1]}; see ip route and ip link") from None
