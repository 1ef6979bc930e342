"""How many signatures one source may have us check: a check costs more than a message.

A token bucket per source, asked before any arithmetic.  A source is whatever the shell takes for
one: an address or a /64 outside of the tunnel, a peer inside.
"""

from collections import OrderedDict
from collections.abc import Hashable


class RateLimiter:
    """Bounded in memory: a source that has been quiet is forgotten, and the oldest make room."""

    __slots__ = ("_burst", "_buckets", "_max_sources", "_rate")

    def __init__(self, rate: float, burst: float, max_sources: int = 65536) -> None:
        """``rate`` a second in the long run, ``burst`` at once."""
        self._rate, self._burst, self._max_sources = rate, burst, max_sources
        # source: (tokens, when they were counted), least recently seen first
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, source: Hashable, now: float) -> bool:
        """Whether ``source`` may have one more; takes the token if so."""
        tokens, counted = self._buckets.pop(source, (self._burst, now))
        self._forget_the_quiet(now)
        tokens = min(self._burst, tokens + (now - counted) * self._rate)
        allowed = tokens >= 1
        self._buckets[source] = (tokens - 1 if allowed else tokens, now)
        return allowed

    def _forget_the_quiet(self, now: float) -> None:
        as_good_as_new = self._burst / self._rate
        while self._buckets:
            source, (_, counted) = next(iter(self._buckets.items()))
            if now - counted < as_good_as_new and len(self._buckets) < self._max_sources:
                break
            del self._buckets[source]
