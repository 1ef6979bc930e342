"""What we think of a peer: rubbish costs it, time mends it, and too much of it gets it dropped."""

import math
from collections import OrderedDict

from fs_net.errors import Reason

# What is surely the sender's own doing weighs most; what may be a matter of clocks or of a chain
# seen a block later weighs little; a repetition is everyday gossip.
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
    """Bounded in memory: who was not blamed for longest is forgotten first."""

    __slots__ = ("_blame", "_most")

    def __init__(self, most: int = _MAX_PEERS) -> None:
        self._most = most
        # peer: (blame, when it was counted), least recently blamed first
        self._blame: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blame)

    def blame(self, peer: bytes, reason: Reason, now: float) -> None:
        """Count one refusal against a peer; ``now`` in seconds."""
        weight = _WEIGHTS.get(reason, 0.0)
        if not weight:
            return
        total = self.blame_of(peer, now) + weight
        self._blame[peer] = (total, now)
        self._blame.move_to_end(peer)
        if len(self._blame) > self._most:
            self._blame.popitem(last=False)

    def blame_of(self, peer: bytes, now: float) -> float:
        """Halves each minute."""
        blame, counted = self._blame.get(peer, (0.0, now))
        return blame * math.exp2((counted - now) / _HALF_LIFE)

    def is_banned(self, peer: bytes, now: float) -> bool:
        """Whether nothing of this peer is listened to."""
        return self.blame_of(peer, now) >= BAN_AT
