# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which other full nodes to dial, and which to compare records with next. No IO.

A peer is a full node if it joins our mesh, or if the DHT lists it as one. The DHT is hearsay. So an
address that fails is dialled more and more rarely, and then forgotten. The network process itself
dials the full nodes in the settings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_COMPARE_EVERY = 60_000  # ms, with each neighbour
_RETRY = 1_000, 300_000  # ms until an address is dialled again: at first, at most
_MOST = 256  # known full nodes
_WANTED = 8  # connections that we open ourselves
_FORGET_AFTER = 16  # failures in a row, which take about an hour
_ADDRESSES = 4  # addresses of one full node that are dialled


@dataclass(slots=True)
class _Known:
    addresses: list[str]
    failures: int = 0
    next_dial: int = 0


class Neighbours:
    """The neighbours of a full node, by libp2p ids in binary form; ``now`` is in ms."""

    def __init__(self, compare_every: int = _COMPARE_EVERY) -> None:
        self._compare_every = compare_every
        self._known: dict[bytes, _Known] = {}
        self._compared: dict[bytes, int] = {}  # connected peer: last comparison in ms, or 0

    @property
    def connected(self) -> set[bytes]:
        return set(self._compared)

    def heard_of(self, found: Mapping[bytes, Iterable[str]]) -> None:
        """Note full nodes from the DHT, or connected ones, with their addresses."""
        for peer, addresses in found.items():
            some = list(addresses)[:_ADDRESSES]
            if not some or (peer not in self._known and len(self._known) >= _MOST):
                continue
            self._known.setdefault(peer, _Known([])).addresses = some

    def see(self, connected: Iterable[bytes]) -> None:
        """Note who is connected at present; a peer that came back is compared with at once."""
        self._compared = {peer: self._compared.get(peer, 0) for peer in connected}
        for peer in self._compared:
            if (known := self._known.get(peer)) is not None:
                known.failures, known.next_dial = 0, 0

    def to_dial(self, now: int) -> list[tuple[bytes, list[str]]]:
        """Return whom to dial now, if we have few neighbours."""
        due = [
            (peer, known.addresses)
            for peer, known in self._known.items()
            if peer not in self._compared and known.next_dial <= now
        ]
        return due[: max(0, _WANTED - len(self._compared))]

    def failed(self, peer: bytes, now: int) -> None:
        """Note that a full node could not be dialled."""
        known = self._known.get(peer)
        if known is None:
            return
        known.failures += 1
        if known.failures >= _FORGET_AFTER:
            del self._known[peer]
            return
        shortest, longest = _RETRY
        known.next_dial = now + min(longest, shortest << min(known.failures, 16))

    def to_compare(self, now: int) -> bytes | None:
        """Return the neighbour that waited longest for a comparison, if one is due."""
        due = [(when, peer) for peer, when in self._compared.items() if self._is_due(when, now)]
        return min(due)[1] if due else None

    def compared(self, peer: bytes, now: int) -> None:
        """Note a comparison, successful or not, so that the others come first."""
        if peer in self._compared:
            self._compared[peer] = now

    def _is_due(self, when: int, now: int) -> bool:
        return when == 0 or now - when >= self._compare_every
