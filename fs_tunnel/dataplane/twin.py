# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The packet path in Python: it runs anywhere, and it judges the native one in tests.

Theory of operation.  The owner of the TUN and the UDP sockets moves the data.  Packets come in by
``receive_packet`` and ``receive_frame``, and leave as datagrams by ``take_datagrams``.  Datagrams
come in by ``receive_datagram``, and leave by ``take_packets`` or ``take_frames``.

Nothing that arrives raises.  A refused packet is dropped, and counted in ``drops`` by reason.
Limits (``path.Limits``) count bytes as they are on the wire.
"""

from collections import Counter, deque
from collections.abc import Sequence
from itertools import count

from fs_tunnel.dataplane import offload
from fs_tunnel.dataplane.keypair import Keypair
from fs_tunnel.dataplane.rows import Bucket, PeerRow, SessionRow
from fs_tunnel.proto.allowed_ips import AllowedIPs
from fs_tunnel.proto.constants import MAX_QUEUED_HANDSHAKES, PADDING_MULTIPLE
from fs_tunnel.proto.errors import (
    AuthenticationFailed,
    MalformedMessage,
    ProtocolError,
    ReplayDetected,
    SessionExpired,
)
from fs_tunnel.proto.ip import parse_inner_untrusted
from fs_tunnel.proto.messages import (
    MIN_TRANSPORT_LEN,
    TRANSPORT_TYPE,
    TransportHeader,
    parse_untrusted,
)
from fs_tunnel.proto.path import (
    Activity,
    BecameActive,
    Counters,
    CreditLow,
    EndpointMoved,
    HandshakeReceived,
    HandshakesLost,
    HandshakeWanted,
    Limits,
    LocalAddress,
    Outgoing,
    PacketWaits,
    PathEvent,
    PathKeys,
    SessionConfirmed,
)
from fs_wire.types import Endpoint, IPNetwork

MAX_QUEUED_EVENTS = 4096  # with so many waiting, a packet without a session is dropped
MIN_RENEWAL_GAP = 0.1  # seconds between two HandshakeWanted that sending to one peer causes

_TRANSPORT = bytes([TRANSPORT_TYPE])
_ZERO_PADDING = bytes(PADDING_MULTIPLE)
_OPENING_REASONS: dict[type[ProtocolError], str] = {
    MalformedMessage: "inner_malformed",
    AuthenticationFailed: "not_authentic",
    ReplayDetected: "replayed",
    SessionExpired: "session_expired",
}


class Twin:
    """Implements ``PacketPath``, which describes the methods that have no text here."""

    def __init__(self) -> None:
        self._peers: dict[int, PeerRow] = {}
        self._numbers = count()
        self._sessions: dict[int, SessionRow] = {}
        self._allowed_ips: AllowedIPs[int] = AllowedIPs()
        self._is_up = False
        self._mtu = 0
        self._events: list[PathEvent] = []
        self._handshakes: deque[HandshakeReceived] = deque()
        self._has_lost_handshakes = False
        self._datagrams: list[Outgoing] = []
        self._packets: list[bytes] = []
        self._drops: Counter[str] = Counter()

    # Peers.

    def add_peer(self) -> int:
        number = next(self._numbers)
        self._peers[number] = PeerRow(number)
        return number

    def remove_peer(self, peer: int) -> None:
        row = self._peers[peer]
        for local_index in list(row.sessions):
            self.remove_keys(local_index)
        self._allowed_ips.remove_value(peer)
        del self._peers[peer]

    def endpoint(self, peer: int) -> tuple[Endpoint | None, LocalAddress | None]:
        row = self._peers[peer]
        return row.endpoint, row.local

    def set_endpoint(
        self, peer: int, endpoint: Endpoint | None, local: LocalAddress | None
    ) -> None:
        row = self._peers[peer]
        row.endpoint, row.local = endpoint, local

    def forget_local(self, peer: int) -> None:
        self._peers[peer].local = None

    def set_limits(self, peer: int, limits: Limits) -> None:
        row = self._peers[peer]
        row.limits, row.is_credit_low = limits, False
        if row.receiving.rate != limits.rx_rate:
            row.receiving = Bucket(limits.rx_rate)
        if row.sending.rate != limits.tx_rate:
            row.sending = Bucket(limits.tx_rate)

    def counters(self, peer: int) -> Counters:
        row = self._peers[peer]
        return Counters(row.rx_bytes, row.tx_bytes, row.rx_packets, row.tx_packets)

    # Keys.

    def add_keys(self, peer: int, keys: PathKeys, *, confirmed: bool) -> None:
        row = self._peers[peer]
        row.sessions.add(keys.local_index)
        self._sessions[keys.local_index] = SessionRow(row, Keypair(keys), not confirmed)

    def use_keys(self, peer: int, local_index: int | None) -> None:
        self._peers[peer].current = None if local_index is None else self._sessions[local_index]

    def remove_keys(self, local_index: int) -> None:
        session = self._sessions.pop(local_index)
        session.peer.sessions.remove(local_index)
        if session.peer.current is session:
            session.peer.current = None

    # Cryptokey routing.

    def allow(self, network: IPNetwork, peer: int) -> None:
        self._allowed_ips.insert(network, peer)

    def disallow(self, network: IPNetwork) -> None:
        self._allowed_ips.discard(network)

    # The interface.

    def set_up(self, up: bool) -> None:
        self._is_up = up

    def set_mtu(self, mtu: int) -> None:
        self._mtu = mtu

    # Packets of the control plane.

    def seal(self, peer: int, packet: bytes, now: float) -> bytes | None:
        row = self._peers[peer]
        session = row.current
        if session is None or not session.keypair.may_send(now):
            return None
        return self._seal(session, packet, now)

    def not_sent(self, peer: int, length: int) -> None:
        row = self._peers.get(peer)
        if row is not None:  # it may have been removed since
            row.tx_bytes -= length
            row.tx_packets -= 1

    # Timers.

    def activity(self, peer: int) -> Activity:
        row = self._peers[peer]
        return Activity(
            row.latest_sent,
            row.latest_received,
            row.unanswered_sent,
            row.unanswered_received,
            row.received_more,
        )

    def watch(self, peer: int) -> None:
        self._peers[peer].is_watched = True

    def note_sent(self, peer: int, now: float) -> None:
        row = self._peers[peer]
        row.latest_sent, row.unanswered_received = now, 0.0

    def note_received(self, peer: int, now: float) -> None:
        row = self._peers[peer]
        row.latest_received, row.unanswered_sent = now, 0.0

    def rearm(self, peer: int) -> None:
        self._peers[peer].unanswered_sent = 0.0

    def take_received_more(self, peer: int) -> bool:
        row = self._peers[peer]
        more, row.received_more = row.received_more, False
        return more

    # What the path tells.

    def take_events(self, handshakes: int) -> Sequence[PathEvent]:
        taken, self._events = self._events, []
        queue = self._handshakes
        taken.extend(queue.popleft() for _ in range(min(handshakes, len(queue))))
        if self._has_lost_handshakes:
            taken.append(HandshakesLost())
            self._has_lost_handshakes = False
        return taken

    def drops(self) -> Counter[str]:
        return self._drops

    # From the TUN to UDP.

    def receive_packet(self, packet: bytes, now: float) -> None:
        """Send a packet to the peer whose allowed IPs hold its destination."""
        self._route([packet], now)

    def receive_frame(self, frame: bytes, now: float) -> None:
        """Send the packets of a frame (see ``offload``); limits let all of them pass, or none."""
        try:
            self._route(offload.segment(frame), now)
        except MalformedMessage:
            self._drops["outbound_malformed"] += 1

    def take_datagrams(self) -> list[Outgoing]:
        """Return the datagrams to send, in order, and forget them."""
        taken, self._datagrams = self._datagrams, []
        return taken

    # From UDP to the TUN.

    def receive_datagram(
        self, data: bytes, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        """Open a transport message; keep any other message for the control plane.

        ``local`` is the address of ours that the datagram came to.
        """
        if data[:1] != _TRANSPORT:
            if len(self._handshakes) < MAX_QUEUED_HANDSHAKES:
                self._handshakes.append(HandshakeReceived(data, source, local))
            else:
                self._drops["handshake_queue_full"] += 1
                self._has_lost_handshakes = True
            return
        try:
            header = parse_untrusted(data)
        except MalformedMessage:
            self._drops["malformed"] += 1
            return
        assert isinstance(header, TransportHeader)
        try:
            self._open_untrusted(header, data, source, local, now)
        except ProtocolError as error:
            self._drops[_OPENING_REASONS[type(error)]] += 1

    def take_packets(self) -> list[bytes]:
        """Return the packets for the TUN, in order, and forget them."""
        taken, self._packets = self._packets, []
        return taken

    def take_frames(self, *, udp: bool = True) -> list[bytes]:
        """Return the packets for the TUN as frames, and forget them; ``udp`` joins UDP too."""
        return offload.coalesce(self.take_packets(), udp=udp)

    # Helpers.

    def _route(self, packets: list[bytes], now: float) -> None:
        """Seal the packets of one frame, or let them wait for a session."""
        reason = self._send(packets, now)
        if reason is not None:
            self._drops[reason] += len(packets)

    def _send(self, packets: list[bytes], now: float) -> str | None:
        """Send the packets, and return None; or return why they are dropped."""
        try:
            _, destination, _ = parse_inner_untrusted(packets[0])
        except MalformedMessage:
            return "outbound_malformed"
        number = self._allowed_ips.lookup(destination)
        if number is None:
            return "outbound_no_peer"
        row = self._peers[number]
        if row.endpoint is None:
            return "no_endpoint"
        if not self._is_up:
            return "interface_down"
        wire = sum(map(len, packets)) + len(packets) * MIN_TRANSPORT_LEN
        if not self._has_credit(row, wire) and not row.is_exempt(packets[0], from_gateway=True):
            return "no_credit"
        if not row.sending.take(wire, now):
            return "rate_limited_sending"
        session = row.current
        for packet in packets:
            if session is not None and session.keypair.may_send(now):
                datagram = self._seal(session, packet, now)
                self._datagrams.append(Outgoing(number, row.endpoint, row.local, datagram))
            elif len(self._events) < MAX_QUEUED_EVENTS:
                self._events.append(PacketWaits(number, packet))
            else:
                self._drops["staged_overflow"] += 1
        return None

    def _seal(self, session: SessionRow, packet: bytes, now: float) -> bytes:
        row, keypair = session.peer, session.keypair
        datagram = keypair.seal(packet + self._padding(len(packet)))
        row.tx_bytes += len(datagram)
        row.tx_packets += 1
        row.latest_sent, row.unanswered_received = now, 0.0
        if packet and not row.unanswered_sent:
            row.unanswered_sent = now
        self._tell_if_watched(row)
        if (
            keypair.wants_rekey_after_sending(now)
            and now - row.renewal_wanted_at >= MIN_RENEWAL_GAP
        ):
            row.renewal_wanted_at = now
            self._events.append(HandshakeWanted(row.number))
        return datagram

    def _open_untrusted(
        self,
        header: TransportHeader,
        data: bytes,
        source: Endpoint,
        local: LocalAddress | None,
        now: float,
    ) -> None:
        session = self._sessions.get(header.receiver)
        if session is None:
            self._drops["unknown_index"] += 1
            return
        keypair, row = session.keypair, session.peer
        padded = keypair.open_untrusted(data, header.counter, now)
        row.rx_bytes += len(data)
        row.rx_packets += 1
        # An authentic message moves the endpoint, whatever is in it: all implementations do so.
        if (source, local) != (row.endpoint, row.local):
            row.endpoint, row.local = source, local
            self._events.append(EndpointMoved(row.number))
        if session.unconfirmed:
            session.unconfirmed = False
            row.current = session
            self._events.append(SessionConfirmed(row.number, keypair.local_index))
        if not session.renewal_wanted and keypair.wants_rekey_after_receiving(now):
            session.renewal_wanted = True
            self._events.append(HandshakeWanted(row.number))
        row.latest_received, row.unanswered_sent = now, 0.0
        if padded and row.unanswered_received:
            row.received_more = True
        elif padded:
            row.unanswered_received = now
        self._tell_if_watched(row)
        if padded:
            self._deliver_untrusted(row, padded, len(data), now)

    def _deliver_untrusted(self, row: PeerRow, padded: bytes, wire: int, now: float) -> None:
        source, _, length = parse_inner_untrusted(padded)
        packet = padded[:length]
        if self._allowed_ips.lookup(source) != row.number:
            self._drops["source_not_allowed"] += 1
        elif not self._has_credit(row, 0) and not row.is_exempt(packet, from_gateway=False):
            self._drops["no_credit"] += 1
        elif not row.receiving.take(wire, now):
            self._drops["rate_limited_receiving"] += 1
        else:
            self._packets.append(packet)

    def _has_credit(self, row: PeerRow, more: int) -> bool:
        """Return whether ``more`` bytes may pass besides those that were counted."""
        credit, low = row.limits.credit, row.limits.credit_low
        if not credit:
            return True
        left = credit - (row.rx_bytes + row.tx_bytes + more)
        if left < low and not row.is_credit_low:
            row.is_credit_low = True
            self._events.append(CreditLow(row.number))
        return left >= 0

    def _tell_if_watched(self, row: PeerRow) -> None:
        if row.is_watched:
            row.is_watched = False
            self._events.append(BecameActive(row.number))

    def _padding(self, length: int) -> bytes:
        """Return zeroes up to a multiple of 16, but not past the MTU (paper, section 5.4.6)."""
        short = -length % PADDING_MULTIPLE
        if length <= self._mtu < length + short:
            short = self._mtu - length
        return _ZERO_PADDING[:short]
