"""How many handshakes one source may ask of us while we are under load.

A token bucket per source; a source is an IPv4 address or an IPv6 /64, since whoever has one address
of a /64 has them all.  Numbers as in the Linux driver's ratelimiter.c.
"""

from collections import OrderedDict
from ipaddress import IPv6Address

from fs_wire.types import Endpoint

HANDSHAKES_PER_SECOND = 20
BURST = 5
MAX_SOURCES = 65536

_REFILL_TIME = BURST / HANDSHAKES_PER_SECOND  # after which a bucket is as good as new


class HandshakeRateLimiter:
    """Bounded in memory: a source that has been quiet is forgotten, and the oldest make room."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        # source: (tokens, when they were counted), least recently seen first
        self._buckets: OrderedDict[str | bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, source: Endpoint, now: float) -> bool:
        """Whether ``source`` may ask for one more handshake; takes the token if so."""
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
