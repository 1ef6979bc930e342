# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How much one source may ask: few answers that must be made, many that exist already."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from fs_net.core.sources import source_of
from fs_net.fullnode.http.problems import Problem
from fs_wire.ratelimit import RateLimiter


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one source (an IPv4 address or an IPv6 /64): rates a second, and bursts."""

    requests: float = 50.0
    requests_burst: float = 200.0
    searches: float = 4.0  # answers that must be made
    searches_burst: float = 40.0
    sign_ins: float = 0.2
    sign_ins_burst: float = 10.0
    listeners: int = 512  # listeners to events, of all sources together
    listeners_each: int = 8  # listeners to events of one source


class Visitors:
    """Checks the limits before any work for a request; a refusal says when to come again."""

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
                f"too many requests from your address; wait {seconds} s, then ask less often",
                {"Retry-After": str(seconds)},
            )
