"""A hole through two NATs: what each side knows of its own, when to call, and what came of it.

A NAT gives a socket an outside endpoint.  Where that is the same towards everybody, others can be
told of it; where it differs (RFC 4787 calls that address-dependent mapping, and people a symmetric
NAT), what a server sees is not what the other side will.  Both sides call each other's endpoints at
the same time: each datagram opens the way for those that come back.
"""

import contextlib
from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from enum import IntEnum
from ipaddress import ip_address

from fs_wire import stun
from fs_wire.types import Endpoint

MAX_SERVERS = 4  # as many as an engine asks at once
_FAMILIES = {"ip4": 4, "ip6": 6}
FIRST_INTERVAL = 0.3  # s; a handshake's answer counts until the next call
CALLS_EACH = 2  # of one interval, before it is doubled
LONGEST_INTERVAL = 2.4  # s


class Mapping(IntEnum):
    """What a NAT does to one socket; the number goes over the wire."""

    UNKNOWN = 0  # too few servers answered
    STEADY = 1  # one outside endpoint towards everybody, as without a NAT
    SYMMETRIC = 2  # another for each destination

    @classmethod
    def from_number(cls, number: int) -> "Mapping":
        """UNKNOWN where we know no such mapping."""
        return cls(number) if number in set(cls) else cls.UNKNOWN


def stun_servers(addresses: Iterable[str]) -> tuple[Endpoint, ...]:
    """Full nodes of these multiaddrs as servers of STUN."""
    return tuple(Endpoint(host, stun.PORT) for host in hosts_of(addresses)[:MAX_SERVERS])


def hosts_of(addresses: Iterable[str]) -> list[str]:
    """The IP addresses in multiaddrs, each once; names are left out."""
    hosts: dict[str, None] = {}
    for family, host in (each.split("/")[1:3] for each in addresses if each.count("/") > 1):
        with contextlib.suppress(ValueError):
            if family in _FAMILIES and ip_address(host).version == _FAMILIES[family]:
                hosts[str(ip_address(host))] = None
    return list(hosts)


def judge_mapping(seen: MappingOf[Endpoint, Endpoint]) -> Mapping:
    """Of where each server sees us; two of one family of addresses tell, if they do."""
    families = [[e for e in seen.values() if (":" in e.ip) is is_v6] for is_v6 in (False, True)]
    if any(len(set(each)) > 1 for each in families):
        return Mapping.SYMMETRIC
    return Mapping.STEADY if any(len(each) > 1 for each in families) else Mapping.UNKNOWN


def is_hopeless(ours: Mapping, theirs: Mapping) -> bool:
    """Whether neither side can know where to call."""
    return ours is theirs is Mapping.SYMMETRIC


def explain_failure(ours: Mapping, theirs: Mapping) -> str:
    """Why no call got through, and the remedy."""
    remedy = "choose another provider, or forward a port"
    if is_hopeless(ours, theirs):
        return f"cannot: both sides' NATs are symmetric; {remedy}"
    if Mapping.SYMMETRIC in (ours, theirs):
        which = "our" if ours is Mapping.SYMMETRIC else "the provider's"
        other = "the provider's" if ours is Mapping.SYMMETRIC else "ours"
        return (
            f"cannot: {which} NAT is symmetric, and {other} lets in only whom it called; {remedy}"
        )
    return f"cannot: no datagram gets through; a firewall may drop UDP; {remedy}"


class Timetable:
    """When to call.  The intervals grow, so that an answer finds its call still open."""

    def __init__(self, now: float) -> None:
        self._interval, self._calls = FIRST_INTERVAL, 0
        self._due: float | None = now

    @property
    def due(self) -> float | None:
        """When to call next; None where it is over, which is after some 9 seconds."""
        return self._due

    def called(self, now: float) -> None:
        """The call that was due is made."""
        self._due = now + self._interval if self._interval <= LONGEST_INTERVAL else None
        self._calls += 1
        if self._calls % CALLS_EACH == 0:
            self._interval *= 2
