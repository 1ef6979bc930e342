# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Changes as they happen, for many listeners: server-sent events (HTML Standard, 9.2).

The changes of one second are combined into one tick, with the latest change of each provider. The
last ticks are kept. All that is known about a listener is the version up to which it has heard. So
a slow listener, and one that comes back with Last-Event-ID, gets everything that it missed, once. A
listener that missed more than is kept is told to begin anew. Heartbeats go only to listeners that
name the provider, because all heartbeats would be thousands a second.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace

from fs_net.fullnode.catalogue import Catalogue, Change, ChangeKind
from fs_net.fullnode.http.problems import Problem

TICK = 1.0  # seconds
_KEPT = 60  # ticks
_QUIET = 15.0  # seconds of silence, after which a comment keeps the connection open
MAX_WATCHED = 200  # providers that one listener may name

Wanted = frozenset[bytes]
RECORD, HEARTBEAT = ChangeKind.RECORD, ChangeKind.HEARTBEAT


@dataclass(slots=True)
class _Tick:
    after: int  # the version before it
    version: int
    changes: dict[bytes, Change]
    said: dict[bytes, bytes] = field(default_factory=dict)

    def of(self, wanted: Wanted | None) -> Iterable[bytes]:
        """Return the providers of this tick that a listener is told about."""
        if wanted is not None:
            return wanted & self.changes.keys()
        kinds = self.changes.values()
        return (each.provider for each in kinds if each.kind is not HEARTBEAT)


class Events:
    """Reads the catalogue's changes once, and sends them to all listeners."""

    def __init__(
        self,
        catalogue: Catalogue,
        describe: Callable[[Change], bytes],
        name: str,
        most: int,
        most_each: int,
        tick: float = TICK,
    ) -> None:
        """``describe`` makes the JSON of a change; ``name`` tells this start from others."""
        self._catalogue, self._describe, self._name = catalogue, describe, name
        self._most, self._most_each, self._tick = most, most_each, tick
        self._ticks: deque[_Tick] = deque(maxlen=_KEPT)
        self._version = catalogue.version
        self._pending: dict[bytes, Change] = {}
        self._turn = asyncio.Event()
        self._listening: Counter[str] = Counter()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._gather())
            group.create_task(self._tell())

    def listen(self, source: str, last_id: str, wanted: Wanted | None) -> AsyncIterator[bytes]:
        """Send what follows ``last_id`` (by default the present), about the wanted providers.

        Raises Problem if there are too many listeners.
        """
        if self._listening.total() >= self._most or self._listening[source] >= self._most_each:
            raise Problem(
                503,
                "too many clients listen to events; close another page, or read /api/v1/providers "
                "from time to time",
                {"Retry-After": "30"},
            )
        return self._listen(source, self._heard(last_id), wanted)

    async def _listen(
        self, source: str, heard: int | None, wanted: Wanted | None
    ) -> AsyncIterator[bytes]:
        self._listening[source] += 1
        try:
            yield b"retry: 3000\n" + self._mark()
            while True:
                turn = self._turn
                said = self._after(heard, wanted)
                heard = self._version
                if said:
                    yield said + self._mark()
                try:
                    async with asyncio.timeout(_QUIET):
                        await turn.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._listening[source] -= 1
            self._listening += Counter()  # forgets the zeroes

    def _heard(self, last_id: str) -> int | None:
        """Return the version that a listener has heard, or None if it is unknown or too old."""
        if not last_id:
            return self._version
        name, _, digits = last_id.partition("-")
        if name != self._name or not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            return None
        version = int(digits)
        oldest = self._ticks[0].after if self._ticks else self._version
        return version if oldest <= version <= self._version else None

    def _after(self, heard: int | None, wanted: Wanted | None) -> bytes:
        if heard is None or (self._ticks and heard < self._ticks[0].after):
            return b"event: reset\ndata: {}\n\n"
        latest: dict[bytes, _Tick] = {}
        for tick in self._ticks:
            if tick.version > heard:
                latest.update(dict.fromkeys(tick.of(wanted), tick))
        return b"".join(self._said(tick, provider) for provider, tick in latest.items())

    def _said(self, tick: _Tick, provider: bytes) -> bytes:
        if provider not in tick.said:
            change = tick.changes[provider]
            said = b"event: " + change.kind.encode() + b"\ndata: " + self._describe(change)
            tick.said[provider] = said + b"\n\n"
        return tick.said[provider]

    def _mark(self) -> bytes:
        """The id that a listener names when it comes back; it follows everything that it covers."""
        return f"id: {self._name}-{self._version}\n\n".encode()

    async def _gather(self) -> None:
        async for change in self._catalogue.changes():
            before = self._pending.get(change.provider)
            # A heartbeat must not hide that the record changed.
            hides = before and before.kind is RECORD and change.kind is HEARTBEAT
            self._pending[change.provider] = replace(change, kind=RECORD) if hides else change

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(self._tick)
            if not self._pending:
                continue
            changes, self._pending = self._pending, {}
            version = max(each.version for each in changes.values())
            self._ticks.append(_Tick(self._version, version, changes))
            self._version = version
            turn, self._turn = self._turn, asyncio.Event()
            turn.set()
