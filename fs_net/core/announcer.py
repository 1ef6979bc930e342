# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's signer: it signs records and heartbeats, whose sequences only rise."""

from dataclasses import dataclass, replace

from nacl.signing import SigningKey

from fs_net.core.records import Heartbeat, ProviderRecord, Signed, sign


@dataclass(frozen=True, repr=False)
class Keys:
    """The two keys in the Registry: the node key is rarely used, the heartbeat key all the time."""

    node: SigningKey
    heartbeat: SigningKey


class Announcer:
    """Signs with rising sequences, even if the clock is set back.

    After a restart the clock alone gives the next sequence. A caller that kept the last sequence
    passes it as ``last``.
    """

    def __init__(self, keys: Keys, network: bytes, last: int = 0) -> None:
        self._keys, self._network, self._last = keys, network, last
        self._record = 0

    @property
    def last(self) -> int:
        """The greatest sequence so far; keep it, so that the next run can start above it."""
        return self._last

    def record(self, offer: ProviderRecord, lifetime: int, now: int) -> Signed[ProviderRecord]:
        """Sign the offer with the next sequence; it is valid for ``lifetime``. Times are ms."""
        self._record = sequence = self._next(now)
        said = replace(offer, sequence=sequence, expires_at=sequence + lifetime)
        return sign(said, self._keys.node, self._network)

    def heartbeat(self, provider: bytes, free_slots: int, now: int) -> Signed[Heartbeat]:
        """Sign a heartbeat for the latest record."""
        said = Heartbeat(provider, self._next(now), self._record, free_slots)
        return sign(said, self._keys.heartbeat, self._network)

    def _next(self, now: int) -> int:
        self._last = max(self._last + 1, now)
        return self._last
