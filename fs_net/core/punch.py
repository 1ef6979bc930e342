# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Hole punching through two NATs: what each side knows about its NAT, and when to call.

A NAT gives a socket an outside endpoint. If the endpoint is the same towards every destination, a
peer can tell others about it. If it differs (RFC 4787: address-dependent mapping, usually called a
symmetric NAT), a server sees another endpoint than the other side will see. Both sides call each
other's endpoints at the same time. Each outgoing datagram opens the way for incoming ones.
"""

import contextlib
from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from enum import IntEnum
from ipaddress import ip_address

from fs_wire import stun
from fs_wire.types import Endpoint

MAX_SERVERS = 4  # an engine asks as many at once
_FAMILIES = {"ip4": 4, "ip6": 6}
FIRST_INTERVAL = 0.3  # s; the answer to a handshake counts until the next call
CALLS_EACH = 2  # calls with one interval, before it doubles
LONGEST_INTERVAL = 2.4  # s


class Mapping(IntEnum):
    """What a NAT does to one socket; the number is sent to the other side."""

    UNKNOWN = 0  # too few servers answered
    STEADY = 1  # the same outside endpoint for every destination, as without a NAT
    SYMMETRIC = 2  # another outside endpoint for each destination

    @classmethod
    def from_number(cls, number: int) -> "Mapping":
        """Return the mapping with this number, or UNKNOWN if there is none."""
        return cls(number) if number in set(cls) else cls.UNKNOWN


def stun_servers(addresses: Iterable[str]) -> tuple[Endpoint, ...]:
    """Return the full nodes at these multiaddrs as STUN servers."""
    return tuple(Endpoint(host, stun.PORT) for host in hosts_of(addresses)[:MAX_SERVERS])


def hosts_of(addresses: Iterable[str]) -> list[str]:
    """Return the IP addresses in multiaddrs, each once; host names are left out."""
    hosts: dict[str, None] = {}
    for family, host in (each.split("/")[1:3] for each in addresses if each.count("/") > 1):
        with contextlib.suppress(ValueError):
            if family in _FAMILIES and ip_address(host).version == _FAMILIES[family]:
                hosts[str(ip_address(host))] = None
    return list(hosts)


def judge_mapping(seen: MappingOf[Endpoint, Endpoint]) -> Mapping:
    """Judge by the endpoints that servers saw; two servers of one address family are enough."""
    families = [[e for e in seen.values() if (":" in e.ip) is is_v6] for is_v6 in (False, True)]
    if any(len(set(each)) > 1 for each in families):
        return Mapping.SYMMETRIC
    return Mapping.STEADY if any(len(each) > 1 for each in families) else Mapping.UNKNOWN


def is_hopeless(ours: Mapping, theirs: Mapping) -> bool:
    """Whether both NATs are symmetric, so that neither side knows where to call."""
    return ours is theirs is Mapping.SYMMETRIC


def explain_failure(ours: Mapping, theirs: Mapping) -> str:
    """Say why no call got through, and what to do."""
    remedy = "choose another provider, or forward a port"
    if is_hopeless(ours, theirs):
        return f"hole punching cannot work: both NATs are symmetric; {remedy}"
    if Mapping.SYMMETRIC in (ours, theirs):
        which, other = "your NAT", "the provider's NAT"
        if theirs is Mapping.SYMMETRIC:
            which, other = other, which
        return (
            f"hole punching failed: {which} is symmetric, and {other} lets in only endpoints that "
            f"were called; {remedy}"
        )
    return f"hole punching failed: no datagram gets through; a firewall may drop UDP; {remedy}"


class Timetable:
    """When to call. The intervals grow, so that an answer arrives before the next call."""

    def __init__(self, now: float) -> None:
        self._interval, self._calls = FIRST_INTERVAL, 0
        self._due: float | None = now

    @property
    def due(self) -> float | None:
        """The time of the next call, or None after about 9 seconds, when all calls are made."""
        return self._due

    def called(self, now: float) -> None:
        """Note that the due call was made."""
        self._due = now + self._interval if self._interval <= LONGEST_INTERVAL else None
        self._calls += 1
        if self._calls % CALLS_EACH == 0:
            self._interval *= 2
