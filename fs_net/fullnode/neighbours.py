"""Which other full nodes to dial, and with whom to compare records next.  Without IO.

A full node is whoever meshes with us, or is in the DHT as one.  Where it says that it is is
hearsay: it is dialled more and more rarely, and forgotten.  Those of the settings the network
process dials by itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_COMPARE_EVERY = 60_000  # ms, with each neighbour
_RETRY = 1_000, 300_000  # ms until an address is dialled again: at first, at most
_MOST = 256  # full nodes that are known
_WANTED = 8  # connections that we open ourselves
_FORGET_AFTER = 16  # failures in a row: an hour
_ADDRESSES = 4  # of one node that are dialled


@dataclass(slots=True)
class _Known:
    addresses: list[str]
    failures: int = 0
    next_dial: int = 0


class Neighbours:
    """Peers by libp2p's ids in their binary form; ``now`` in ms."""

    def __init__(self, compare_every: int = _COMPARE_EVERY) -> None:
        self._compare_every = compare_every
        self._known: dict[bytes, _Known] = {}
        self._compared: dict[bytes, int] = {}  # connected ones: when we last did, or 0

    @property
    def connected(self) -> set[bytes]:
        return set(self._compared)

    def heard_of(self, found: Mapping[bytes, Iterable[str]]) -> None:
        """Full nodes of the DHT, or connected ones, with their addresses."""
        for peer, addresses in found.items():
            some = list(addresses)[:_ADDRESSES]
            if not some or (peer not in self._known and len(self._known) >= _MOST):
                continue
            self._known.setdefault(peer, _Known([])).addresses = some

    def see(self, connected: Iterable[bytes]) -> None:
        """Who is connected at present; one that is there again is compared with at once."""
        self._compared = {peer: self._compared.get(peer, 0) for peer in connected}
        for peer in self._compared:
            if (known := self._known.get(peer)) is not None:
                known.failures, known.next_dial = 0, 0

    def to_dial(self, now: int) -> list[tuple[bytes, list[str]]]:
        """Whom to dial now, while we have few neighbours."""
        due = [
            (peer, known.addresses)
            for peer, known in self._known.items()
            if peer not in self._compared and known.next_dial <= now
        ]
        return due[: max(0, _WANTED - len(self._compared))]

    def failed(self, peer: bytes, now: int) -> None:
        """It could not be dialled."""
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
        """With whom to compare: who waited longest, if it is time."""
        due = [(when, peer) for peer, when in self._compared.items() if self._is_due(when, now)]
        return min(due)[1] if due else None

    def compared(self, peer: bytes, now: int) -> None:
        """Whether it succeeded or not, others come first."""
        if peer in self._compared:
            self._compared[peer] = now

    def _is_due(self, when: int, now: int) -> bool:
        return when == 0 or now - when >= self._compare_every
