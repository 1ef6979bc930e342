"""Who wants to hear of changes as they happen, without anybody waiting for who is slow."""

import asyncio
from weakref import WeakSet

from fs_net.fullnode.catalogue import Change, ChangeKind


class Listener:
    """One of them: an iterator without an end.

    What waits is the latest of each provider, so it is bounded by their number.
    """

    def __init__(self) -> None:
        self._waiting: dict[bytes, Change] = {}
        self._is_any = asyncio.Event()

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> Change:
        await self._is_any.wait()
        change = self._waiting.pop(next(iter(self._waiting)))
        if not self._waiting:
            self._is_any.clear()
        return change

    def tell(self, change: Change) -> None:
        """That a record is another is not lost behind a heartbeat."""
        waiting = self._waiting.get(change.provider)
        if waiting and waiting.kind is ChangeKind.RECORD and change.kind is ChangeKind.HEARTBEAT:
            change = Change(change.version, ChangeKind.RECORD, change.provider)
        self._waiting[change.provider] = change
        self._is_any.set()


class Listeners:
    """Who stops listening is forgotten."""

    def __init__(self) -> None:
        self._all: WeakSet[Listener] = WeakSet()

    def __len__(self) -> int:
        return len(self._all)

    def add(self) -> Listener:
        listener = Listener()
        self._all.add(listener)
        return listener

    def tell(self, change: Change) -> None:
        for listener in self._all:
            listener.tell(change)
