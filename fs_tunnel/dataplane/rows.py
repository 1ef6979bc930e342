# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The rows of the twin's tables: one for each peer, and one for each session."""

from dataclasses import dataclass, field

from fs_tunnel.dataplane.keypair import Keypair
from fs_tunnel.proto.ip import parse_inner_untrusted, tcp_ports
from fs_tunnel.proto.path import Limits, LocalAddress
from fs_wire.types import Endpoint

MIN_BURST = 128 << 10  # bytes: one frame is up to 64 KiB, and takes more on the wire


class Bucket:
    """A token bucket that lets ``rate`` bytes a second pass; 0 lets everything pass.

    The bytes of one second, or MIN_BURST if that is more, may pass at once.
    """

    __slots__ = ("rate", "_burst", "_tokens", "_filled")

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._burst = self._tokens = float(max(rate, MIN_BURST))
        self._filled = 0.0

    def take(self, length: int, now: float) -> bool:
        """Return whether ``length`` bytes may pass at ``now``, in seconds; count them if so."""
        if not self.rate:
            return True
        if now > self._filled:
            self._tokens = min(self._tokens + (now - self._filled) * self.rate, self._burst)
            self._filled = now
        if self._tokens < length:
            return False
        self._tokens -= length
        return True


@dataclass(slots=True, eq=False)
class SessionRow:
    """The keys of one session, and what the path has told of them."""

    peer: "PeerRow"
    keypair: Keypair
    unconfirmed: bool
    renewal_wanted: bool = False  # HandshakeWanted was told, on receiving


@dataclass(slots=True, eq=False)
class PeerRow:
    """One row of the peers' table; see ``Activity`` and ``Limits`` for the fields."""

    number: int
    endpoint: Endpoint | None = None
    local: LocalAddress | None = None
    current: SessionRow | None = None
    sessions: set[int] = field(default_factory=set)
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_packets: int = 0
    tx_packets: int = 0
    latest_sent: float = 0.0
    latest_received: float = 0.0
    unanswered_sent: float = 0.0
    unanswered_received: float = 0.0
    received_more: bool = False
    is_watched: bool = True
    renewal_wanted_at: float = 0.0
    limits: Limits = field(default_factory=Limits)
    is_credit_low: bool = False
    sending: Bucket = field(default_factory=lambda: Bucket(0))
    receiving: Bucket = field(default_factory=lambda: Bucket(0))

    def is_exempt(self, packet: bytes, *, from_gateway: bool) -> bool:
        """Return whether a packet is TCP to or from the gateway's port that ``Limits`` exempts."""
        ports = tcp_ports(packet)
        if self.limits.exempt is None or ports is None:
            return False
        source, destination, _ = parse_inner_untrusted(packet)
        end = (source, ports[0]) if from_gateway else (destination, ports[1])
        return end == self.limits.exempt
