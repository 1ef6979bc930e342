# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The blame of each peer: broken rules raise it, time lowers it, and too much means a ban."""

import math
from collections import OrderedDict

from fs_net.errors import Reason

# A fault that only the sender can have made weighs most. A fault that may come from clocks, or
# from seeing a block later, weighs little. Repetition is normal in gossip and weighs nothing.
_WEIGHTS = {
    Reason.OVERSIZED: 10.0,
    Reason.MALFORMED: 10.0,
    Reason.BAD_SIGNATURE: 10.0,
    Reason.RATE_LIMITED: 1.0,
    Reason.FUTURE: 1.0,
    Reason.EXPIRED: 1.0,
    Reason.UNSTAKED: 1.0,
    Reason.OVERSOLD: 1.0,
}
BAN_AT = 100.0
_HALF_LIFE = 60.0  # s
_MAX_PEERS = 8192


class Standings:
    """Bounded in memory: the peer whose last blame is oldest is forgotten first."""

    __slots__ = ("_blame", "_most")

    def __init__(self, most: int = _MAX_PEERS) -> None:
        self._most = most
        # peer: (blame, time of the last blame), the least recently blamed peer first
        self._blame: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blame)

    def blame(self, peer: bytes, reason: Reason, now: float) -> None:
        """Count one refusal against a peer; ``now`` is in seconds."""
        weight = _WEIGHTS.get(reason, 0.0)
        if not weight:
            return
        total = self.blame_of(peer, now) + weight
        self._blame[peer] = (total, now)
        self._blame.move_to_end(peer)
        if len(self._blame) > self._most:
            self._blame.popitem(last=False)

    def blame_of(self, peer: bytes, now: float) -> float:
        """Return the peer's blame, which halves each minute."""
        blame, counted = self._blame.get(peer, (0.0, now))
        return blame * math.exp2((counted - now) / _HALF_LIFE)

    def is_banned(self, peer: bytes, now: float) -> bool:
        """Whether everything from this peer is refused."""
        return self.blame_of(peer, now) >= BAN_AT
