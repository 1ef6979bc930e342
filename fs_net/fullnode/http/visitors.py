"""How much one address may ask: little that has to be worked out, much that is known."""

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass

from fs_net.fullnode.http.problems import Problem
from fs_wire.ratelimit import RateLimiter


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one client address (a /64 of IPv6): a rate a second, and how many at once."""

    requests: float = 50.0
    requests_burst: float = 200.0
    searches: float = 4.0  # answers that have to be made
    searches_burst: float = 40.0
    sign_ins: float = 0.2
    sign_ins_burst: float = 10.0
    listeners: int = 512  # to events, of all addresses together
    listeners_each: int = 8


class Visitors:
    """Asked before anything is done for a request; a refusal says when to come again."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """``clock`` is monotonic, in seconds."""
        self._limits, self._clock = limits, clock
        self._requests = RateLimiter(limits.requests, limits.requests_burst)
        self._searches = RateLimiter(limits.searches, limits.searches_burst)
        self._sign_ins = RateLimiter(limits.sign_ins, limits.sign_ins_burst)

    def request(self, host: str) -> None:
        self._take(self._requests, host, self._limits.requests)

    def search(self, host: str) -> None:
        self._take(self._searches, host, self._limits.searches)

    def sign_in(self, host: str) -> None:
        self._take(self._sign_ins, host, self._limits.sign_ins)

    def _take(self, limiter: RateLimiter, host: str, rate: float) -> None:
        if not limiter.allow(source_of(host), self._clock()):
            seconds = math.ceil(1 / rate)
            raise Problem(
                429,
                f"too many requests from your address; wait {seconds} s, and then ask less often",
                {"Retry-After": str(seconds)},
            )


def source_of(host: str) -> str:
    """An address, or the /64 of an IPv6 address, of which one machine has as many as it likes."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
