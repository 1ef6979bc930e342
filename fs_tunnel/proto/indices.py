"""Session indices: the 32-bit names by which the other side addresses our keys.

They are random, so that an observer learns nothing from them (WireGuard paper, section 5.4.2).
"""

from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class IndexTable(Generic[V]):
    """Random unique indices and what each stands for."""

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
        """Let an allocated index stand for something else: a handshake became a session."""
        self._entries[index] = value

    def free(self, index: int) -> None:
        self._entries.pop(index, None)
