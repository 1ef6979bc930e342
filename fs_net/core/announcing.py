# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which full nodes a provider tells about itself, what it tells them, and when. No IO.

A provider stays connected to a few full nodes. It dials each of them, sends its record, and hears
whether the full node took it. Full nodes that took it get a heartbeat every few seconds. From time
to time the provider asks each full node again. So it learns that the full node still runs, and the
full node takes again what it may have forgotten. If a full node dies, or refuses what others take,
another one gets its slot.

One slot is kept for the full nodes in the settings, which the user chose. A secret order ranks all
others, so nobody can create identities that are chosen first.

``next_actions`` says what to do. The shell does it and reports the results by ``dialled``,
``answered``, ``lost``, ``found``, ``stored`` and ``reserved``. ``now`` is in seconds of a clock
that never goes back, and ``unix_ms`` is the time that is signed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fs_net.core.announcer import Announcer
from fs_net.core.batch import Batch
from fs_net.core.questions import Deliver, serialize
from fs_net.core.records import HEARTBEAT_INTERVAL, ProviderRecord, Signed
from fs_net.errors import Reason
from fs_wire.schema import to_bytes

WANTED = 4  # full nodes to stay connected to
RECORD_LIFETIME = 6 * 3600 * 1000  # ms; the record is signed again after half of it
BEAT_EVERY = HEARTBEAT_INTERVAL / 1000  # s
ASK_EVERY = 30.0  # s
_TRY_AGAIN = 10.0, 60.0  # s after the DHT failed, and after a relay refused
_REFUSED = 10.0, 60.0  # s until a full node that refused is asked again: at first, at most
_PATIENCE = 5  # refusals in a row of a record that other full nodes take
_AVOID_FOR = 600.0  # s
_BACK_OFF = 5.0, 300.0  # s after all addresses of a full node failed: at first, at most
_SEARCH_EVERY, _SEARCH_IN_NEED = 600.0, 10.0  # s
_STORE_EVERY, _RESERVE_EVERY = 3600.0, 1200.0  # s
_MOST_KNOWN = 64
RESERVATIONS = 2  # relays at a time

_TAKEN = (None, Reason.STALE)  # STALE: the full node had it already
_HOPELESS = (
    Reason.BANNED,
    Reason.MALFORMED,
    Reason.OVERSIZED,
    Reason.RATE_LIMITED,
    Reason.VERSION,
)
_OF_CLOCKS = (Reason.FUTURE, Reason.EXPIRED)


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to a full node; ``node`` is the part of its address after ``/p2p/``."""

    node: str
    address: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a full node to take the records in the question."""

    node: str
    peer: bytes
    question: bytes


@dataclass(frozen=True, slots=True)
class Beat:
    """Send a heartbeat."""

    node: str
    peer: bytes
    message: bytes


@dataclass(frozen=True, slots=True)
class Leave:
    """Close the connection; the shell reports nothing back."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class Reserve:
    """Ask a full node to relay circuits to us."""

    node: str
    peer: bytes


@dataclass(frozen=True, slots=True)
class Search:
    """Look for full nodes in the DHT."""


@dataclass(frozen=True, slots=True)
class Store:
    """Put the record into the DHT."""

    record: bytes


Action = Dial | Ask | Beat | Leave | Reserve | Search | Store


@dataclass(slots=True)
class _Node:
    """A full node; it holds one of the slots while it is dialled or connected."""

    addresses: tuple[str, ...]
    is_chosen: bool  # by the settings
    rank: bytes
    is_dialled: bool = False
    peer: bytes = b""  # while it is connected
    failures: int = 0  # since it answered last
    ready_at: float = 0.0  # to be dialled, or asked
    is_asked: bool = False
    is_told: bool = False  # a heartbeat is being sent
    takes: bool = False
    reason: Reason | None = None  # why it does not take our record
    refusals: int = 0  # in a row
    reserve_at: float = 0.0
    is_reserving: bool = False
    has_reserved: bool = False

    @property
    def has_place(self) -> bool:
        return self.is_dialled or bool(self.peer)

    def hang_up(self) -> None:
        self.peer, self.is_dialled, self.is_asked, self.is_told = b"", False, False, False
        self.takes, self.is_reserving, self.has_reserved, self.reserve_at = False, False, False, 0.0


class Announcing:
    """All decisions of a provider's announcing, from its start to its end."""

    def __init__(
        self, announcer: Announcer, chosen: Sequence[str], secret: bytes, *, relayed: bool = False
    ) -> None:
        """``chosen`` are addresses of full nodes; ``secret`` orders all others."""
        self._announcer, self._secret, self._relayed = announcer, secret, relayed
        self._nodes: dict[str, _Node] = {}
        self._offer: ProviderRecord | None = None
        self._record: Signed[ProviderRecord] | None = None
        self._free = 0
        self._renew_at = self._beat_at = self._search_at = self._store_at = 0.0
        self._is_searching = self._is_storing = False
        for address in chosen:
            self._know(address.rpartition("/p2p/")[2], (address,), is_chosen=True)

    # What the shell reports.

    def offer(self, said: ProviderRecord, free: int) -> None:
        """Set what is sold at present; the sequence and expiry in ``said`` are ignored."""
        self._free = free
        if said != self._offer:
            self._offer, self._record = said, None

    def dialled(self, node: str, peer: bytes, now: float) -> None:
        """A dial succeeded."""
        if (found := self._placed(node)) is not None:
            found.is_dialled, found.peer, found.ready_at = False, peer, now

    def lost(self, node: str, now: float) -> None:
        """A dial or a connection failed."""
        if (found := self._placed(node)) is None:
            return
        found.hang_up()
        found.failures += 1
        rounds, rest = divmod(found.failures, len(found.addresses))
        first, longest = _BACK_OFF
        found.ready_at = now if rest else now + min(first * 2 ** min(rounds - 1, 16), longest)

    def answered(self, node: str, reasons: Sequence[Reason | None], now: float) -> list[Action]:
        """Take a full node's verdicts on the record and the heartbeat, in this order."""
        found = self._placed(node)
        if found is None:
            return []
        found.is_asked, found.failures = False, 0
        reason = next((each for each in reasons if each not in _TAKEN), None)
        if len(reasons) != 2:
            reason = reason or Reason.MALFORMED
        found.reason, found.takes = reason, reason is None
        if reason is None:
            found.refusals, found.ready_at = 0, now + ASK_EVERY
            return []
        found.refusals += 1
        first, longest = _REFUSED
        found.ready_at = now + min(first * 2 ** min(found.refusals - 1, 16), longest)
        if reason in _OF_CLOCKS:
            self._record = None  # the clock may have been set since it was signed
        is_alone = not any(each.takes for each in self._nodes.values())
        if reason not in _HOPELESS and (is_alone or found.refusals < _PATIENCE):
            return []
        peer = found.peer
        found.hang_up()
        found.refusals, found.ready_at = 0, now + _AVOID_FOR
        return [Leave(peer)]

    def beaten(self, node: str) -> None:
        """A heartbeat was sent."""
        if (found := self._placed(node)) is not None:
            found.is_told = False

    def found(self, nodes: Mapping[str, Sequence[str]], now: float) -> None:
        """Take the result of a search: names and addresses, or nothing if it failed."""
        self._is_searching = False
        self._search_at = now + _SEARCH_EVERY
        for node, addresses in nodes.items():
            if addresses:
                self._know(node, tuple(addresses)[:8], is_chosen=False)

    def stored(self, is_done: bool, now: float) -> None:
        """Note whether the DHT has the record."""
        self._is_storing = False
        self._store_at = now + (_STORE_EVERY if is_done else _TRY_AGAIN[0])

    def reserved(self, node: str, is_granted: bool, now: float) -> None:
        """Note whether a full node relays circuits to us."""
        if (found := self._placed(node)) is None:
            return
        found.is_reserving, found.has_reserved = False, is_granted
        found.reserve_at = now + (_RESERVE_EVERY if is_granted else _TRY_AGAIN[1])

    def restarted(self, now: float) -> None:
        """Note that the network process was replaced: all connections are gone, without blame."""
        self._is_searching = self._is_storing = False
        self._search_at = self._store_at = self._beat_at = now
        for node in self._nodes.values():
            if node.has_place:
                node.failures, node.ready_at = 0, now
            node.hang_up()

    # What the shell has to do.

    def next_actions(self, now: float, unix_ms: int) -> list[Action]:
        """Return what to do at this moment; the announcer has signed what is to be sent."""
        if self._offer is None:
            return []
        self._renew(now, unix_ms)
        actions: list[Action] = [*self._asks(now, unix_ms), *self._beats(now, unix_ms)]
        actions += [*self._dials(now), *self._reservations(now)]
        if self._wants_search(now):
            self._is_searching = True
            actions.append(Search())
        if self._wants_store(now):
            assert self._record is not None
            self._is_storing = True
            actions.append(Store(self._record.raw))
        return actions

    def next_timer(self, now: float) -> float:
        """Return when to ask for actions again, if nothing happens earlier."""
        due = [self._renew_at, now + ASK_EVERY]
        due += [self._beat_at] if any(node.takes for node in self._nodes.values()) else []
        due += [] if self._is_searching else [self._search_due()]
        due += [] if self._is_storing or not self._is_connected else [self._store_at]
        for node in self._nodes.values():
            if node.peer:
                due += [] if node.is_asked else [node.ready_at]
                if self._relayed and node.takes and not node.is_reserving:
                    due.append(node.reserve_at)
            elif not node.is_dialled:
                due.append(node.ready_at)
        later = [each for each in due if each > now]
        return min(later)

    def describe(self) -> tuple[int, int, Reason | None]:
        """Return how many full nodes take our record, how many are connected, and a refusal."""
        nodes = self._nodes.values()
        refused = [node.reason for node in nodes if node.reason is not None]
        takes, connected = sum(node.takes for node in nodes), sum(bool(node.peer) for node in nodes)
        return takes, connected, next(iter(refused), None)

    @property
    def reservations(self) -> int:
        """The number of full nodes that relay circuits to us."""
        return sum(node.has_reserved for node in self._nodes.values())

    @property
    def _is_connected(self) -> bool:
        return any(node.peer for node in self._nodes.values())

    def _renew(self, now: float, unix_ms: int) -> None:
        if self._record is not None and now < self._renew_at:
            return
        assert self._offer is not None
        self._record = self._announcer.record(self._offer, RECORD_LIFETIME, unix_ms)
        self._renew_at = now + RECORD_LIFETIME / 2000
        self._store_at = now
        for node in self._nodes.values():
            if node.takes:
                node.ready_at = now

    def _asks(self, now: float, unix_ms: int) -> Iterator[Ask]:
        assert self._record is not None
        for name, node in self._nodes.items():
            if node.peer and not node.is_asked and node.ready_at <= now:
                node.is_asked = True
                batch = Batch((self._record.raw,), (self._heartbeat(unix_ms),))
                yield Ask(name, node.peer, serialize(Deliver(to_bytes(batch))))

    def _beats(self, now: float, unix_ms: int) -> Iterator[Beat]:
        told = [(name, node) for name, node in self._nodes.items() if node.takes]
        if not told or now < self._beat_at:
            return
        self._beat_at = now + BEAT_EVERY
        message = self._heartbeat(unix_ms)
        for name, node in told:
            if not node.is_told:
                node.is_told = True
                yield Beat(name, node.peer, message)

    def _heartbeat(self, unix_ms: int) -> bytes:
        assert self._offer is not None
        return self._announcer.heartbeat(self._offer.provider, self._free, unix_ms).raw

    def _dials(self, now: float) -> Iterator[Dial]:
        while (node := self._next_to_dial(now)) is not None:
            found = self._nodes[node]
            found.is_dialled = True
            yield Dial(node, found.addresses[found.failures % len(found.addresses)])

    def _next_to_dial(self, now: float) -> str | None:
        places = [node for node in self._nodes.values() if node.has_place]
        chosen = [node for node in self._nodes.values() if node.is_chosen]
        is_kept = not chosen or any(node.has_place for node in chosen)
        ready = [
            (is_kept or not node.is_chosen, node.rank, name)
            for name, node in self._nodes.items()
            if not node.has_place and node.ready_at <= now
        ]
        if not ready:
            return None
        comes_later, _, name = min(ready)
        # The last slot is for a full node that the user chose.
        most = WANTED if is_kept or not comes_later else WANTED - 1
        return name if len(places) < most else None

    def _reservations(self, now: float) -> Iterator[Reserve]:
        if not self._relayed:
            return
        for name, node in self._nodes.items():
            held = sum(each.has_reserved or each.is_reserving for each in self._nodes.values())
            is_free = held < RESERVATIONS or node.has_reserved
            if node.takes and is_free and not node.is_reserving and node.reserve_at <= now:
                node.is_reserving = True
                yield Reserve(name, node.peer)

    def _wants_search(self, now: float) -> bool:
        return not self._is_searching and now >= self._search_due()

    def _search_due(self) -> float:
        places = sum(node.has_place for node in self._nodes.values())
        sooner = _SEARCH_EVERY - _SEARCH_IN_NEED if places < WANTED else 0.0
        return self._search_at - sooner

    def _wants_store(self, now: float) -> bool:
        return not self._is_storing and self._is_connected and now >= self._store_at

    def _placed(self, node: str) -> _Node | None:
        """Return a full node that is dialled or connected, or None if a report comes too late."""
        found = self._nodes.get(node)
        return found if found is not None and found.has_place else None

    def _know(self, node: str, addresses: tuple[str, ...], *, is_chosen: bool) -> None:
        if (known := self._nodes.get(node)) is not None:
            if is_chosen or not known.is_chosen:
                fresh = [each for each in addresses if each not in known.addresses]
                known.addresses = (*fresh, *known.addresses)[:8] if is_chosen else addresses
            return
        others = [(each.failures, name) for name, each in self._nodes.items() if not each.has_place]
        if len(self._nodes) >= _MOST_KNOWN and not is_chosen:
            strangers = [each for each in others if not self._nodes[each[1]].is_chosen]
            if not strangers:
                return
            del self._nodes[max(strangers)[1]]
        rank = sha256(self._secret + node.encode()).digest()
        self._nodes[node] = _Node(addresses, is_chosen, rank)
