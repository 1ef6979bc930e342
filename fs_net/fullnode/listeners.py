# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Listeners that hear of changes as they happen; a slow listener delays nobody."""

import asyncio
from weakref import WeakSet

from fs_net.fullnode.catalogue import Change, ChangeKind


class Listener:
    """One listener: an iterator without an end.

    Only the latest change of each provider waits, so the number of waiting changes is bounded.
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
        """Add a change; a record that waits is not hidden by a later heartbeat."""
        waiting = self._waiting.get(change.provider)
        if waiting and waiting.kind is ChangeKind.RECORD and change.kind is ChangeKind.HEARTBEAT:
            change = Change(change.version, ChangeKind.RECORD, change.provider)
        self._waiting[change.provider] = change
        self._is_any.set()


class Listeners:
    """All listeners; a listener that nobody uses any more is forgotten."""

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
