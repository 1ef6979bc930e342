# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How many handshakes one source may ask of us while we are under load.

There is a token bucket for each source.  A source is an IPv4 address or an IPv6 /64, because a host
with one address of a /64 can use them all.  Numbers are those of the Linux driver's ratelimiter.c.
"""

from collections import OrderedDict
from ipaddress import IPv6Address

from fs_wire.types import Endpoint

HANDSHAKES_PER_SECOND = 20
BURST = 5
MAX_SOURCES = 65536

_REFILL_TIME = BURST / HANDSHAKES_PER_SECOND  # seconds until an empty bucket is full again


class HandshakeRateLimiter:
    """The token buckets of all sources that asked lately, at most MAX_SOURCES.

    A source that has been quiet is forgotten.  If there are too many, the quietest make room.
    """

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        # By source: tokens, and when they were counted; the least recently seen comes first.
        self._buckets: OrderedDict[str | bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, source: Endpoint, now: float) -> bool:
        """Return whether ``source`` may ask for one more handshake, and take a token if so.

        ``now`` is in seconds.
        """
        self._forget_the_quiet(now)
        key = _subject(source.ip)
        tokens, counted = self._buckets.pop(key, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - counted) * HANDSHAKES_PER_SECOND)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        return allowed

    def _forget_the_quiet(self, now: float) -> None:
        while self._buckets:
            key, (_, counted) = next(iter(self._buckets.items()))
            if now - counted < _REFILL_TIME and len(self._buckets) < MAX_SOURCES:
                break
            del self._buckets[key]


def _subject(ip: str) -> str | bytes:
    return IPv6Address(ip).packed[:8] if ":" in ip else ip
