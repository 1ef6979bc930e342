# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The uptime of each provider, as this full node alone measures it. No IO.

Time is cut into buckets of ten minutes, and one byte is kept for each bucket. The byte is 0 if
nothing was measured. Otherwise it is 1 plus the share of looks at which the provider was live, in
254ths. A provider's uptime is computed from a ring in memory that holds a week of buckets. The
store keeps whole days. A provider that has vanished counts as silent until a week has passed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

BUCKET = 600_000  # ms
DAY = 144  # buckets
_WEEK = 7 * DAY
_FULL = 254
_MILLION = 1_000_000


@dataclass(slots=True)
class _Ring:
    """The buckets of one provider; the last three fields belong to the current bucket."""

    shares: bytearray = field(default_factory=lambda: bytearray(_WEEK))
    measured: int = 0  # buckets with a measurement
    total: int = 0  # the sum of their shares
    looks: int = 0
    live: int = 0
    has_record: bool = False

    def put(self, bucket: int, share: int) -> None:
        """Store a byte as described above, in place of the byte of a week ago."""
        place = bucket % _WEEK
        old, self.shares[place] = self.shares[place], share
        self.measured += bool(share) - bool(old)
        self.total += max(0, share - 1) - max(0, old - 1)

    def current(self) -> int:
        return 1 + _FULL * self.live // self.looks if self.looks else 0


class Uptimes:
    """Call ``look`` every few seconds; ``now`` is in ms since the epoch and never falls by much."""

    def __init__(self) -> None:
        self._rings: dict[bytes, _Ring] = {}
        self._bucket: int | None = None

    def __len__(self) -> int:
        return len(self._rings)

    def look(self, live: set[bytes], silent: Iterable[bytes], now: int) -> bool:
        """Count who is live and who is silent; return whether a bucket ended and figures changed.

        If nobody is live, we ourselves are cut off, and nothing is counted.
        """
        has_ended = self._go_to(now // BUCKET)
        for provider in live.union(silent):
            self._rings.setdefault(provider, _Ring()).has_record = True
        if not live:
            return has_ended
        for provider, ring in self._rings.items():
            ring.looks += 1
            ring.live += provider in live
        return has_ended

    def share(self, provider: bytes) -> int | None:
        """Return parts of a million over all finished buckets, or None if nothing was measured."""
        ring = self._rings.get(provider)
        if ring is None or not ring.measured:
            return None
        return ring.total * _MILLION // (ring.measured * _FULL)

    def day(self, provider: bytes, day: int) -> bytes:
        """Return the 144 bytes of a day since the epoch, as far as it is in the last week.

        They include the bucket that is not finished.
        """
        ring = self._rings.get(provider)
        if ring is None or self._bucket is None:
            return bytes(DAY)
        today, number = divmod(self._bucket, DAY)
        shares = ring.shares[day % 7 * DAY :][:DAY]
        if day == today:
            return bytes(shares[:number]) + bytes([ring.current()]) + bytes(DAY - number - 1)
        if day == today - 7:
            return bytes(number + 1) + bytes(shares[number + 1 :])
        return bytes(shares) if today - 7 < day < today else bytes(DAY)

    def days(self, day: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the same for every provider that was measured on that day."""
        for provider in self._rings:
            if any(shares := self.day(provider, day)):
                yield provider, shares

    def restore(self, provider: bytes, day: int, shares: bytes, now: int) -> None:
        """Take what ``day`` returned in an earlier run, if it is from the last week."""
        last = now // BUCKET
        self._go_to(last)
        ring = self._rings.setdefault(provider, _Ring())
        for number, share in enumerate(shares[:DAY]):
            if last - _WEEK < day * DAY + number < last:
                ring.put(day * DAY + number, share)

    def _go_to(self, bucket: int) -> bool:
        """End all buckets before this one, including buckets in which nobody looked."""
        before = self._bucket
        if before is not None and bucket <= before:
            return False
        self._bucket = bucket
        if before is None:
            return False
        skipped = range(max(before + 1, bucket - _WEEK + 1), bucket + 1)
        for provider, ring in list(self._rings.items()):
            ring.put(before, ring.current())
            is_known, ring.has_record = ring.has_record, False
            ring.looks = ring.live = 0
            for each in skipped:
                ring.put(each, 0)
            if not ring.total and not is_known:
                del self._rings[provider]
        return True


def average(shares: Iterable[int]) -> int | None:
    """Return the average of some buckets in parts of a million, or None without a measurement."""
    measured = [share - 1 for share in shares if share]
    return sum(measured) * _MILLION // (len(measured) * _FULL) if measured else None
