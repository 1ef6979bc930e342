"""The packet path, as the control plane sees it.

Theory of operation.  Two halves make a tunnel.  The control plane (``device`` and ``peer``) shakes
hands, keeps the timers and holds the settings; it may take its time.  The packet path seals, opens
and moves packets, and decides nothing that is not in its tables: peers and their endpoints, keys by
session index, allowed IPs, limits.  The control plane writes these tables, asks for counters and
for what happened when, and is told of the few things that need a decision (``PathEvent``).

Two implementations have this shape: ``dataplane.twin`` in Python, and ``dataplane.native`` around
threads written in C.  A peer is a number that ``add_peer`` gave; times are seconds of the device's
clock, and 0.0 is never.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from fs_wire.types import Endpoint, IPNetwork


class LocalAddress(NamedTuple):
    """The address of ours that a peer speaks to: answers must leave from it."""

    packed: bytes  # 4 or 16
    interface_index: int


class Outgoing(NamedTuple):
    """A datagram to send; ``peer`` is None for a cookie reply, and for a server of STUN."""

    peer: int | None
    endpoint: Endpoint
    local: LocalAddress | None
    data: bytes


class PathKeys(NamedTuple):
    """What a handshake leaves to the packet path."""

    local_index: int
    remote_index: int
    sending: bytes  # 32
    receiving: bytes  # 32
    is_initiator: bool
    created: float


class Counters(NamedTuple):
    """Authentic transport messages of one peer, with their headers and tags, since it was added."""

    rx_bytes: int
    tx_bytes: int
    rx_packets: int
    tx_packets: int


class Activity(NamedTuple):
    """When the packets of one peer passed: what its timers are made of."""

    latest_sent: float
    latest_received: float
    unanswered_sent: float  # the first data sent since anything authentic was received
    unanswered_received: float  # the first data received since anything was sent
    received_more: bool  # data came while ``unanswered_received`` was set; stays until taken


class Limits(NamedTuple):
    """What one peer may use.  0 is no limit of that kind.

    Rates are in bytes a second, and a second's worth, or 128 KiB, may come at once.  ``credit`` is
    absolute: the sum of ``rx_bytes`` and ``tx_bytes`` up to which all packets pass; beyond it only
    those to or from ``exempt`` do.  ``CreditLow`` is told once when less than ``credit_low`` bytes
    are left.
    """

    rx_rate: int = 0
    tx_rate: int = 0
    credit: int = 0
    credit_low: int = 0
    exempt: tuple[bytes, int] | None = None  # packed address and TCP port of the gateway


class HandshakeReceived(NamedTuple):
    """A datagram of a type other than transport; untrusted, and of any length."""

    data: bytes
    source: Endpoint
    local: LocalAddress | None


class HandshakesLost(NamedTuple):
    """More came than ``HandshakeReceived`` tells of: last of what ``take_events`` returns."""


class PacketWaits(NamedTuple):
    """A packet for a peer that has no session: whole, and without offloads."""

    peer: int
    packet: bytes


class HandshakeWanted(NamedTuple):
    """A session is due for renewal, and traffic goes on."""

    peer: int


class SessionConfirmed(NamedTuple):
    """The first authentic packet came under keys that were added with ``confirmed=False``.

    It is the proof that the other side has them: the path seals with them from then on.
    """

    peer: int
    local_index: int


class BecameActive(NamedTuple):
    """An authentic packet went or came, for the first time since ``watch``."""

    peer: int


class EndpointMoved(NamedTuple):
    """An authentic packet came from elsewhere: the peer's endpoint has followed it."""

    peer: int


class CreditLow(NamedTuple):
    """See ``Limits``."""

    peer: int


PathEvent = (
    HandshakeReceived
    | HandshakesLost
    | PacketWaits
    | HandshakeWanted
    | SessionConfirmed
    | BecameActive
    | EndpointMoved
    | CreditLow
)


class PacketPath(Protocol):
    """Tables of the packet path, and what it has to tell.  Nothing here waits for a packet."""

    # Peers.

    def add_peer(self) -> int:
        """Return the number of a peer without endpoint, keys or limits."""

    def remove_peer(self, peer: int) -> None:
        """Forget a peer, its keys and its allowed IPs; its number does not come again."""

    def endpoint(self, peer: int) -> tuple[Endpoint | None, LocalAddress | None]:
        """Where the peer is, and the address of ours that it was last heard at."""

    def set_endpoint(
        self, peer: int, endpoint: Endpoint | None, local: LocalAddress | None
    ) -> None: ...

    def forget_local(self, peer: int) -> None:
        """Answer from any address of ours: the one that the peer was heard at may be gone."""

    def set_limits(self, peer: int, limits: Limits) -> None: ...

    def counters(self, peer: int) -> Counters: ...

    # Keys.

    def add_keys(self, peer: int, keys: PathKeys, *, confirmed: bool) -> None:
        """Open what comes under ``keys.local_index``; nothing is sealed with them yet."""

    def use_keys(self, peer: int, local_index: int | None) -> None:
        """Seal with these keys from here on; None: with none, so that packets wait."""

    def remove_keys(self, local_index: int) -> None:
        """Erase keys; nothing is sealed with them or opened any more."""

    # Cryptokey routing.

    def allow(self, network: IPNetwork, peer: int) -> None:
        """Route ``network`` to ``peer``, whoever had it before."""

    def disallow(self, network: IPNetwork) -> None: ...

    # The interface.

    def set_up(self, up: bool) -> None:
        """While down, packets are dropped."""

    def set_mtu(self, mtu: int) -> None:
        """Of the TUN, in bytes: padding stops at it.  0: not known."""

    # What the control plane sends.

    def seal(self, peer: int, packet: bytes, now: float) -> bytes | None:
        """Seal a packet (empty: a keepalive), count it as sent, and return the datagram.

        None where the peer has no keys that may be used.
        """

    def not_sent(self, peer: int, length: int) -> None:
        """Uncount a datagram of ``length`` bytes from ``seal`` that could not be sent."""

    # Timers.

    def activity(self, peer: int) -> Activity: ...

    def watch(self, peer: int) -> None:
        """Tell of the next packet with ``BecameActive``; a peer that was added is watched."""

    def note_sent(self, peer: int, now: float) -> None:
        """An authentic message went out beside the path: nothing received is unanswered."""

    def note_received(self, peer: int, now: float) -> None:
        """An authentic message came in beside the path: nothing sent is unanswered."""

    def rearm(self, peer: int) -> None:
        """The next data sent is again the first: its timer has fired."""

    def take_received_more(self, peer: int) -> bool:
        """Return ``received_more``, and clear it."""

    # What it tells.

    def take_events(self, handshakes: int) -> Sequence[PathEvent]:
        """Return, and forget, what happened, in order: at most ``handshakes`` HandshakeReceived."""

    def drops(self) -> Mapping[str, int]:
        """Packets and datagrams refused, by reason."""
