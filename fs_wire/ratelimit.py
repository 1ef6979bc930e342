# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A rate limit for each source: one token bucket, asked before an expensive check.

Signatures are such a check: it costs us more than the message cost its sender.  The shell decides
on the sources: an address or a /64 outside of the tunnel, a peer inside.
"""

from collections import OrderedDict
from collections.abc import Hashable


class RateLimiter:
    """Limits each source, in bounded memory.

    It forgets a source whose bucket is full again.  If there are too many sources, it forgets those
    that were quiet for longest.
    """

    __slots__ = ("_burst", "_buckets", "_max_sources", "_rate")

    def __init__(self, rate: float, burst: float, max_sources: int = 65536) -> None:
        """Allow each source ``burst`` at once, and ``rate`` per second in the long run."""
        self._rate, self._burst, self._max_sources = rate, burst, max_sources
        # source: (tokens, time of that count); the least recently seen source is first
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, source: Hashable, now: float) -> bool:
        """Take one token of ``source``; return False if it has none.  ``now`` is in seconds."""
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
