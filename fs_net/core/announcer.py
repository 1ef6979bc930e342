"""A provider's side: it signs what it says, with sequences that only rise."""

from dataclasses import dataclass, replace

from nacl.signing import SigningKey

from fs_net.core.records import Heartbeat, ProviderRecord, Signed, sign


@dataclass(frozen=True, repr=False)
class Keys:
    """The two keys of the Registry's entry: the first may rest, the second is used all the time."""

    node: SigningKey
    heartbeat: SigningKey


class Announcer:
    """Keeps the last sequence; a clock that was set back does not make it fall.

    After a restart the clock alone orders what is said; ``last`` is for who kept the last one.
    """

    def __init__(self, keys: Keys, network: bytes, last: int = 0) -> None:
        self._keys, self._network, self._last = keys, network, last
        self._record = 0

    @property
    def last(self) -> int:
        """The greatest sequence so far; who keeps it can say more after a restart."""
        return self._last

    def record(self, offer: ProviderRecord, lifetime: int, now: int) -> Signed[ProviderRecord]:
        """The offer under the next sequence, for ``lifetime`` from it on; times are ms."""
        self._record = sequence = self._next(now)
        said = replace(offer, sequence=sequence, expires_at=sequence + lifetime)
        return sign(said, self._keys.node, self._network)

    def heartbeat(self, provider: bytes, free_slots: int, now: int) -> Signed[Heartbeat]:
        """A heartbeat for the latest record."""
        said = Heartbeat(provider, self._next(now), self._record, free_slots)
        return sign(said, self._keys.heartbeat, self._network)

    def _next(self, now: int) -> int:
        self._last = max(self._last + 1, now)
        return self._last
