# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The records and heartbeats of all providers; the order in which they arrive has no effect.

For each provider the greatest sequence wins. If two different items have the same sequence, the
greater bytes win. This is a maximum, so it is commutative, associative and idempotent: full nodes
that heard the same items agree. If the index is full, the providers with the most stake stay. All
full nodes make that choice alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

from fs_net.core.records import (
    HEARTBEAT_LIFETIME,
    MAX_RECORD_LIFETIME,
    Heartbeat,
    ProviderRecord,
    Signed,
    T,
)

MAX_PROVIDERS = 65_536


class Latest(Generic[T]):
    """The latest record, or the latest heartbeat, of each provider."""

    __slots__ = ("_held", "_least", "_lifetime", "_most")

    def __init__(self, lifetime: int, most: int = MAX_PROVIDERS) -> None:
        """``lifetime`` in ms: an item with a smaller sequence has expired after this time."""
        self._lifetime, self._most = lifetime, most
        self._held: dict[bytes, tuple[int, Signed[T]]] = {}  # provider: (its stake, the item)
        self._least: tuple[int, bytes] | None = None  # who is dropped next; None: not computed

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Signed[T]]:
        return (said for _, said in self._held.values())

    def get(self, provider: bytes) -> Signed[T] | None:
        held = self._held.get(provider)
        return held and held[1]

    def would_change(self, said: Signed[T]) -> bool:
        """Whether this is later than the held item; ask this before checking the signature."""
        held = self.get(said.content.provider)
        return held is None or _order(said) > _order(held)

    def add(self, said: Signed[T], stake: int) -> bool:
        """Take an item that was judged good; return whether anything changed."""
        if not self.would_change(said):
            return False
        provider = said.content.provider
        if provider not in self._held and len(self._held) >= self._most:
            least = self._find_least()
            if (stake, provider) < least:
                return False
            del self._held[least[1]]
        self._held[provider] = (stake, said)
        self._least = None
        return True

    def expire(self, now: int) -> list[bytes]:
        """Forget items so old that no earlier one can return; return their providers."""
        gone = [
            provider
            for provider, (_, said) in self._held.items()
            if said.content.sequence + self._lifetime <= now
        ]
        for provider in gone:
            del self._held[provider]
        if gone:
            self._least = None
        return gone

    def _find_least(self) -> tuple[int, bytes]:
        if self._least is None:
            self._least = min((stake, provider) for provider, (stake, _) in self._held.items())
        return self._least


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index knows about a provider; ``heartbeat`` is None while it is silent."""

    record: Signed[ProviderRecord]
    heartbeat: Signed[Heartbeat] | None


class Index:
    """Records and heartbeats of all providers."""

    __slots__ = ("heartbeats", "records")

    def __init__(self, most: int = MAX_PROVIDERS) -> None:
        self.records: Latest[ProviderRecord] = Latest(MAX_RECORD_LIFETIME, most)
        self.heartbeats: Latest[Heartbeat] = Latest(HEARTBEAT_LIFETIME, most)

    def entry(self, provider: bytes, now: int) -> Entry | None:
        """Return what is known about a provider, or None if its record expired at ``now`` (ms)."""
        record = self.records.get(provider)
        if record is None or record.content.expires_at <= now:
            return None
        heartbeat = self.heartbeats.get(provider)
        if heartbeat and heartbeat.content.sequence + HEARTBEAT_LIFETIME <= now:
            heartbeat = None
        return Entry(record, heartbeat)

    def entries(self, now: int) -> Iterator[Entry]:
        """Yield all providers whose record has not expired."""
        for record in self.records:
            entry = self.entry(record.content.provider, now)
            if entry is not None:
                yield entry

    def expire(self, now: int) -> None:
        """Forget everything that is too old to matter."""
        self.records.expire(now)
        self.heartbeats.expire(now)


def _order(said: Signed[T]) -> tuple[int, bytes]:
    return said.content.sequence, said.raw
