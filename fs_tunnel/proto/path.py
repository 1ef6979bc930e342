# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The packet path, as the control plane sees it.

Theory of operation.  Two halves make a tunnel.  The control plane (``device`` and ``peer``) shakes
hands, keeps the timers and holds the settings; it may take its time.  The packet path seals, opens
and moves packets.  It decides nothing beyond its tables: peers and their endpoints, keys by session
index, allowed IPs, limits.  The control plane writes these tables, and reads counters and times.
The packet path tells it of the few things that need a decision (``PathEvent``).

Two implementations have this shape: ``dataplane.twin`` in Python, and ``dataplane.native`` around
threads written in C.  A peer is named by the number that ``add_peer`` returned.  Times are seconds
of the device's clock, and 0.0 stands for never.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from fs_wire.types import Endpoint, IPNetwork


class LocalAddress(NamedTuple):
    """The address of ours that a peer speaks to; answers must leave from it."""

    packed: bytes  # 4 or 16
    interface_index: int


class Outgoing(NamedTuple):
    """A datagram to send; ``peer`` is None if it goes to a stranger or to a STUN server."""

    peer: int | None
    endpoint: Endpoint
    local: LocalAddress | None
    data: bytes


class PathKeys(NamedTuple):
    """The keys and indices that a handshake gives to the packet path."""

    local_index: int
    remote_index: int
    sending: bytes  # 32
    receiving: bytes  # 32
    is_initiator: bool
    created: float


class Counters(NamedTuple):
    """Authentic messages of one peer since it was added; bytes include headers and tags.

    The packet path counts transport messages, the control plane handshake messages.
    """

    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_packets: int = 0
    tx_packets: int = 0

    def plus(self, more: "Counters") -> "Counters":
        """Return the sums of both."""
        return Counters(
            self.rx_bytes + more.rx_bytes,
            self.tx_bytes + more.tx_bytes,
            self.rx_packets + more.rx_packets,
            self.tx_packets + more.tx_packets,
        )


class Activity(NamedTuple):
    """When packets of one peer passed; its timers start from these times."""

    latest_sent: float
    latest_received: float
    unanswered_sent: float  # the first data sent since the latest authentic message came
    unanswered_received: float  # the first data received since the latest message was sent
    received_more: bool  # data came while ``unanswered_received`` was set; true until it is taken


class Limits(NamedTuple):
    """What one peer may use.  0 means that there is no limit of that kind.

    Rates are in bytes a second; the bytes of one second, or 128 KiB if that is more, may come at
    once.  ``credit`` is absolute: all packets pass until ``rx_bytes`` and ``tx_bytes`` add up to
    it.  Beyond it only packets to or from ``exempt`` pass.  The path tells ``CreditLow`` once, when
    fewer than ``credit_low`` bytes are left.
    """

    rx_rate: int = 0
    tx_rate: int = 0
    credit: int = 0
    credit_low: int = 0
    exempt: tuple[bytes, int] | None = None  # packed address and TCP port of the gateway


class HandshakeReceived(NamedTuple):
    """A datagram that is no transport message: untrusted, and of any length."""

    data: bytes
    source: Endpoint
    local: LocalAddress | None


class HandshakesLost(NamedTuple):
    """Handshake messages came for which there was no room; the last event that is returned."""


class PacketWaits(NamedTuple):
    """A packet for a peer that has no session; it is whole, and needs no offload."""

    peer: int
    packet: bytes


class HandshakeWanted(NamedTuple):
    """A session with traffic is due for renewal."""

    peer: int


class SessionConfirmed(NamedTuple):
    """The first authentic packet came under keys that were added with ``confirmed=False``.

    It proves that the other side has the keys.  The path seals with them from then on.
    """

    peer: int
    local_index: int


class BecameActive(NamedTuple):
    """An authentic packet was sent or received, for the first time since ``watch``."""

    peer: int


class EndpointMoved(NamedTuple):
    """An authentic packet came from elsewhere, and the peer's endpoint has followed it."""

    peer: int


class CreditLow(NamedTuple):
    """A peer has little credit left; see ``Limits``."""

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
    """The tables and the events of a packet path.  No method waits for a packet.

    A method that takes a peer's number raises KeyError if there is no such peer.
    """

    # Peers.

    def add_peer(self) -> int:
        """Make a peer without endpoint, keys or limits, and return its number."""

    def remove_peer(self, peer: int) -> None:
        """Forget a peer, its keys and its allowed IPs; no later peer gets its number."""

    def endpoint(self, peer: int) -> tuple[Endpoint | None, LocalAddress | None]:
        """Return where the peer is, and the address of ours that it spoke to last."""

    def set_endpoint(
        self, peer: int, endpoint: Endpoint | None, local: LocalAddress | None
    ) -> None:
        """Send to ``endpoint``, from ``local``; None for either if it is not known."""

    def forget_local(self, peer: int) -> None:
        """Answer from any address of ours: the one that the peer spoke to may be gone."""

    def set_limits(self, peer: int, limits: Limits) -> None:
        """Set what a peer may use, from the next packet on."""

    def counters(self, peer: int) -> Counters:
        """Return the transport messages of a peer since it was added."""

    # Keys.

    def add_keys(self, peer: int, keys: PathKeys, *, confirmed: bool) -> None:
        """Open messages that come under ``keys.local_index``, but seal with other keys as before.

        ``confirmed`` says that the other side is known to have the keys; see ``SessionConfirmed``.
        """

    def use_keys(self, peer: int, local_index: int | None) -> None:
        """Seal with these keys from now on; None stands for no keys, so that packets wait.

        Raise KeyError if the peer has no such keys.
        """

    def remove_keys(self, local_index: int) -> None:
        """Erase keys, and neither seal nor open with them any more."""

    # Cryptokey routing.

    def allow(self, network: IPNetwork, peer: int) -> None:
        """Route ``network`` to ``peer``, and take it from the peer that had it."""

    def disallow(self, network: IPNetwork) -> None:
        """Route ``network`` to nobody."""

    # The interface.

    def set_up(self, up: bool) -> None:
        """Set the interface up or down; while it is down, packets are dropped."""

    def set_mtu(self, mtu: int) -> None:
        """Set the MTU of the TUN in bytes, which padding never exceeds; 0 if it is not known."""

    # Packets of the control plane.

    def seal(self, peer: int, packet: bytes, now: float) -> bytes | None:
        """Seal a packet, count it as sent, and return the datagram; an empty one is a keepalive.

        Return None if the peer has no keys that may be used.
        """

    def not_sent(self, peer: int, length: int) -> None:
        """Uncount a datagram of ``length`` bytes from ``seal`` that could not be sent.

        Do nothing if the peer was removed since.
        """

    # Timers.

    def activity(self, peer: int) -> Activity:
        """Return when packets of a peer passed."""

    def watch(self, peer: int) -> None:
        """Tell of the next packet with ``BecameActive``.  A peer is watched from the beginning."""

    def note_sent(self, peer: int, now: float) -> None:
        """Note that a handshake message was sent, which answers all data received so far."""

    def note_received(self, peer: int, now: float) -> None:
        """Note that an authentic handshake message came, which answers all data sent so far."""

    def rearm(self, peer: int) -> None:
        """Count the next data sent as the first unanswered data again."""

    def take_received_more(self, peer: int) -> bool:
        """Return ``received_more``, and clear it."""

    # What the path tells.

    def take_events(self, handshakes: int) -> Sequence[PathEvent]:
        """Return the events since the last call, in order, and forget them.

        At most ``handshakes`` events of HandshakeReceived are among them; the others wait.
        """

    def drops(self) -> Mapping[str, int]:
        """Return how many packets and datagrams were refused, by reason."""
