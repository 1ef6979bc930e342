# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Session indices: the 32-bit numbers by which the other side names our keys.

Indices are random, so that an observer learns nothing from them (WireGuard paper, section 5.4.2).
"""

from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class IndexTable(Generic[V]):
    """Random unique indices, and the value that each stands for; ``get`` returns that value."""

    __slots__ = ("_entries", "_entropy", "get")

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entries: dict[int, V] = {}
        self._entropy = entropy
        self.get: Callable[[int], V | None] = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def allocate(self, value: V) -> int:
        """Return a fresh index that stands for ``value``."""
        while True:
            index = int.from_bytes(self._entropy(4), "little")
            if index not in self._entries:
                self._entries[index] = value
                return index

    def assign(self, index: int, value: V) -> None:
        """Let an allocated index stand for another value: a handshake has become a session."""
        self._entries[index] = value

    def free(self, index: int) -> None:
        """Give an index back; do nothing if it is free already."""
        self._entries.pop(index, None)
