"""One peer: its handshake, its sessions, its timers, and what to do when one of these speaks.

A peer never reads a clock or a socket.  It writes datagrams and drops into the ``Switch`` that it
shares with its device.  Verbs are those of the Linux driver's send.c, receive.c and timers.c.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from fs_tunnel.errors import AuthenticationFailed
from fs_tunnel.proto import tai64n
from fs_tunnel.proto.constants import (
    MAX_HANDSHAKE_ATTEMPTS,
    MAX_STAGED_PACKETS,
    PADDING_MULTIPLE,
    REKEY_TIMEOUT,
)
from fs_tunnel.proto.cookie import CookieGenerator
from fs_tunnel.proto.handshake import Entropy, Handshake, OpenedInitiation, SessionKeys
from fs_tunnel.proto.indices import IndexTable
from fs_tunnel.proto.messages import INITIATION_LEN, RESPONSE_LEN, Response
from fs_tunnel.proto.noise import StaticKeys
from fs_tunnel.proto.session import Keypair, Keypairs
from fs_tunnel.proto.timers import Event, PeerTimers, Timer
from fs_tunnel.types import NO_PRESHARED_KEY, Endpoint, PresharedKey, PublicKey

_ZERO_PADDING = bytes(PADDING_MULTIPLE)


class LocalAddress(NamedTuple):
    """The address of ours that a peer speaks to: answers must leave from it."""

    packed: bytes  # 4 or 16
    interface_index: int


class Outgoing(NamedTuple):
    """A datagram for the shell to send; ``peer`` is None for a cookie reply."""

    data: bytes
    endpoint: Endpoint
    local: LocalAddress | None
    peer: "Peer | None"


class KeyLogEntry(NamedTuple):
    """The secrets with which a capture of one handshake can be read: for debugging only."""

    local_static: bytes
    remote_static: bytes
    local_ephemeral: bytes
    preshared: bytes


@dataclass(slots=True)
class Switch:
    """What the peers of one device share."""

    entropy: Entropy
    wall_time_ns: Callable[[], int]  # Unix time, for TAI64N and for telling people
    indices: "IndexTable[tuple[Peer, Keypair | None]]"  # None: a handshake under way
    outgoing: list[Outgoing] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)
    is_up: bool = False  # while down, nothing is sent and no timer starts
    mtu: int = 0  # of the TUN; 0 where it is not known
    key_log: Callable[[KeyLogEntry], None] | None = None


class Peer:
    """The state of one peer; ``Device`` makes and finds them."""

    __slots__ = (
        "public_key",
        "endpoint",
        "local",
        "timers",
        "rx_bytes",
        "tx_bytes",
        "rx_packets",
        "tx_packets",
        "latest_handshake_ns",
        "_configured_endpoint",
        "_latest_endpoint",
        "_switch",
        "_handshake",
        "_keypairs",
        "_cookies",
        "_staged",
        "_latest_initiation",
        "_latest_stamp",
        "_attempts",
        "_renewed_while_receiving",
    )

    def __init__(
        self,
        public_key: PublicKey,
        local: StaticKeys | None,
        switch: Switch,
        wake: Callable[[float, "Peer"], None],
    ) -> None:
        self.public_key = public_key
        self.endpoint: Endpoint | None = None
        self._configured_endpoint: Endpoint | None = None
        self._latest_endpoint: Endpoint | None = None
        self.local: LocalAddress | None = None
        self.timers = PeerTimers(switch.entropy, lambda deadline: wake(deadline, self))
        self.rx_bytes = self.tx_bytes = 0  # of authentic datagrams, as `wg show` counts them
        self.rx_packets = self.tx_packets = 0  # datagrams
        self.latest_handshake_ns = 0  # Unix time; 0 is never
        self._switch = switch
        self._handshake = Handshake(local, public_key.raw, NO_PRESHARED_KEY.raw)
        self._keypairs = Keypairs()
        self._cookies = CookieGenerator(public_key.raw)
        self._staged: deque[bytes] = deque()
        self._latest_initiation = float("-inf")
        self._latest_stamp = 0
        self._attempts = 0
        self._renewed_while_receiving = False

    def __repr__(self) -> str:
        return f"Peer({self.public_key.to_base64()})"

    # Settings.

    @property
    def preshared_key(self) -> PresharedKey:
        return PresharedKey(self._handshake.preshared)

    @preshared_key.setter
    def preshared_key(self, key: PresharedKey) -> None:
        """Takes effect at the next handshake, as in the Linux driver."""
        self._handshake.preshared = key.raw

    def set_persistent_keepalive(self, seconds: int, now: float) -> None:
        """0 is off; switching it on sends one at once, which opens the path through a NAT."""
        was_off = not self.timers.persistent_keepalive
        self.timers.persistent_keepalive = seconds
        if self._switch.is_up:
            self.timers.start(Timer.PERSISTENT_KEEPALIVE, now)
            if seconds and was_off:
                self.send_keepalive(now)

    def set_endpoint(self, endpoint: Endpoint) -> None:
        """Where to send until the peer is heard from elsewhere."""
        self.endpoint = self._configured_endpoint = endpoint
        self._latest_endpoint = self.local = None

    def set_local_keys(self, local: StaticKeys | None) -> None:
        """Our identity changed: sessions made under the old one end."""
        self.forget_sessions()
        self._handshake.set_local(local)

    @property
    def cookies(self) -> CookieGenerator:
        return self._cookies

    # Sending.

    def send_packet(self, packet: bytes, now: float) -> None:
        """Seal and send one packet, or stage it and ask for a session.

        An empty packet is a keepalive.
        """
        keypair = self._keypairs.current
        if self.endpoint is None:
            self._switch.drops["no_endpoint"] += 1
        elif not self._switch.is_up:
            self._switch.drops["interface_down"] += 1
        elif keypair is None or not keypair.may_send(now):
            self._stage(packet)
            self.initiate_handshake(now)
        else:
            self._transmit(keypair.seal(packet + self._padding(len(packet))))
            timers = self.timers
            timers.fire(Event.AUTHENTICATED_PACKET_SENT, now)
            timers.fire(Event.AUTHENTICATED_PACKET_TRAVERSED, now)
            if packet:
                timers.fire(Event.DATA_SENT, now)
            if keypair.wants_rekey_after_sending(now):
                self.initiate_handshake(now)

    def send_keepalive(self, now: float) -> None:
        """Send what is staged, or else an empty packet."""
        if self._staged:
            self._send_staged(now)
        else:
            self.send_packet(b"", now)

    def initiate_handshake(self, now: float, *, is_retry: bool = False) -> None:
        """Send an initiation; unless it is a retry, not within REKEY_TIMEOUT of the one before."""
        if self.endpoint is None or self._handshake.local is None or not self._switch.is_up:
            return
        if not is_retry:
            if now - self._latest_initiation < REKEY_TIMEOUT:
                return
            self._attempts = 0
        self._latest_initiation = now
        if self._handshake.local_index is not None:
            self._forget_initiation()
            self._try_another_path()
        index = self._switch.indices.allocate((self, None))
        try:
            message = self._handshake.create_initiation(index, self._stamp(), self._switch.entropy)
        except AuthenticationFailed:
            self._switch.indices.free(index)
            self._switch.drops["unusable_peer_key"] += 1
            return
        self._log_keys(self._handshake.ephemeral)
        self._transmit(self._cookies.add_macs(message.to_bytes(), now))
        self.timers.fire(Event.AUTHENTICATED_PACKET_SENT, now)
        self.timers.fire(Event.AUTHENTICATED_PACKET_TRAVERSED, now)
        self.timers.fire(Event.HANDSHAKE_INITIATED, now)

    # Receiving.

    def consume_initiation(
        self, opened: OpenedInitiation, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        """Authenticate an initiation and answer it.

        AuthenticationFailed and ReplayDetected leave the peer as it was.
        """
        self._handshake.consume_initiation(opened, now)
        self._authenticated(INITIATION_LEN, source, local, now)
        index = self._switch.indices.allocate((self, None))
        response, keys, ephemeral = self._handshake.create_response(
            opened, index, self._switch.entropy
        )
        self._log_keys(ephemeral)
        self._begin_session(keys, now)
        # A response counts as an attempt of ours, so that both sides do not initiate in turns.
        self._latest_initiation = now
        self._transmit(self._cookies.add_macs(response.to_bytes(), now))
        self.timers.fire(Event.AUTHENTICATED_PACKET_SENT, now)
        self.timers.fire(Event.AUTHENTICATED_PACKET_TRAVERSED, now)

    def consume_response(
        self, message: Response, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        """Complete our handshake; AuthenticationFailed leaves it pending."""
        keys = self._handshake.consume_response(message)
        self._authenticated(RESPONSE_LEN, source, local, now)
        self._begin_session(keys, now)
        self._handshake_complete(now)
        self.send_keepalive(now)

    def receive_transport_untrusted(
        self,
        keypair: Keypair,
        datagram: bytes,
        counter: int,
        source: Endpoint,
        local: LocalAddress | None,
        now: float,
    ) -> bytes:
        """Open one transport message of a session of this peer: the packet, still padded.

        Raises what ``Keypair.open_untrusted`` raises.  Authentic is enough to move the endpoint,
        whatever is inside: as all others do.
        """
        padded = keypair.open_untrusted(datagram, counter, now)
        self._accept(len(datagram), source, local)
        if keypair is self._keypairs.next:
            self._free(self._keypairs.confirm(keypair))
            self._handshake_complete(now)
            self._send_staged(now)
        if not self._renewed_while_receiving and keypair.wants_rekey_after_receiving(now):
            self._renewed_while_receiving = True
            self.initiate_handshake(now)
        self.timers.fire(Event.AUTHENTICATED_PACKET_RECEIVED, now)
        self.timers.fire(Event.AUTHENTICATED_PACKET_TRAVERSED, now)
        if padded:
            self.timers.fire(Event.DATA_RECEIVED, now)
        return padded

    def not_sent(self, length: int) -> None:
        """The shell could not send a datagram of ``length`` bytes: uncount it."""
        self.tx_bytes -= length
        self.tx_packets -= 1

    # Timers.

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Act on a deadline that has passed."""
        match timer:
            case Timer.RETRANSMIT_HANDSHAKE:
                self._retransmit_handshake(now)
            case Timer.SEND_KEEPALIVE:
                self.send_keepalive(now)
                if self.timers.take_repeat():
                    self.timers.start(Timer.SEND_KEEPALIVE, now)
            case Timer.NEW_HANDSHAKE:
                self.local = None  # the path may be dead because our address is gone
                self.initiate_handshake(now)
            case Timer.ERASE_KEYS:
                self.forget_sessions()
            case Timer.PERSISTENT_KEEPALIVE:
                self.send_keepalive(now)

    def forget_sessions(self) -> None:
        """Erase every key and every pending handshake; staged packets go with them."""
        self._forget_initiation()
        self._free(self._keypairs.clear())
        self._staged.clear()
        self._latest_initiation = float("-inf")

    def shut_down(self) -> None:
        """The peer is removed, or the interface went down."""
        self.forget_sessions()
        self.timers.stop_all()
        self._attempts = 0

    # Helpers.

    def _retransmit_handshake(self, now: float) -> None:
        if self._attempts >= MAX_HANDSHAKE_ATTEMPTS:
            self._switch.drops["handshake_gave_up"] += 1
            self.timers.stop(Timer.SEND_KEEPALIVE)
            self._staged.clear()
            if not self.timers.is_running(Timer.ERASE_KEYS):
                self.timers.start(Timer.ERASE_KEYS, now)
            return
        self._attempts += 1
        self.initiate_handshake(now, is_retry=True)

    def _try_another_path(self) -> None:
        """Leave from another address of ours, and try the other endpoint.

        These are where the peer was heard last and where it was configured to be.  Whoever
        forwards one authentic packet becomes the endpoint. Where that happened to both
        sides, and the one in between went away, nothing else would ever bring them together.
        """
        self.local = None
        if self._configured_endpoint is None:
            return
        if self.endpoint != self._configured_endpoint:
            self._latest_endpoint, self.endpoint = self.endpoint, self._configured_endpoint
        elif self._latest_endpoint is not None:
            self.endpoint = self._latest_endpoint

    def _begin_session(self, keys: SessionKeys, now: float) -> None:
        keypair = Keypair(keys, now)
        self._switch.indices.assign(keys.local_index, (self, keypair))
        self._free(self._keypairs.begin_session(keypair))
        self.timers.fire(Event.SESSION_DERIVED, now)

    def _handshake_complete(self, now: float) -> None:
        self.timers.fire(Event.HANDSHAKE_COMPLETE, now)
        self._attempts = 0
        self._renewed_while_receiving = False
        self.latest_handshake_ns = self._switch.wall_time_ns()

    def _authenticated(
        self, length: int, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        self._accept(length, source, local)
        self.timers.fire(Event.AUTHENTICATED_PACKET_RECEIVED, now)
        self.timers.fire(Event.AUTHENTICATED_PACKET_TRAVERSED, now)

    def _accept(self, length: int, source: Endpoint, local: LocalAddress | None) -> None:
        """Count a datagram of ``length`` bytes, and answer to where it came from."""
        self.rx_bytes += length
        self.rx_packets += 1
        self.endpoint, self.local = source, local

    def _stage(self, packet: bytes) -> None:
        if not packet and self._staged:
            return  # what is staged will do as a keepalive
        if len(self._staged) >= MAX_STAGED_PACKETS:
            self._staged.popleft()
            self._switch.drops["staged_overflow"] += 1
        self._staged.append(packet)

    def _send_staged(self, now: float) -> None:
        staged, self._staged = self._staged, deque()
        for packet in staged:
            self.send_packet(packet, now)

    def _transmit(self, datagram: bytes) -> None:
        assert self.endpoint is not None
        self.tx_bytes += len(datagram)
        self.tx_packets += 1
        self._switch.outgoing.append(Outgoing(datagram, self.endpoint, self.local, self))

    def _padding(self, length: int) -> bytes:
        """Zeroes up to a multiple of 16, but not past the MTU (paper, section 5.4.6)."""
        short = -length % PADDING_MULTIPLE
        mtu = self._switch.mtu
        if mtu and length <= mtu < length + short:
            short = mtu - length
        return _ZERO_PADDING[:short]

    def _stamp(self) -> bytes:
        # A clock that is set back must not make this peer unreachable (CVE-2021-46873): within one
        # run, stamps only grow.
        wall = max(self._switch.wall_time_ns(), self._latest_stamp + tai64n.RESOLUTION_NS)
        self._latest_stamp = wall
        return tai64n.stamp(wall)

    def _forget_initiation(self) -> None:
        if self._handshake.local_index is not None:
            self._switch.indices.free(self._handshake.local_index)
            self._handshake.forget_initiation()

    def _free(self, keypairs: list[Keypair]) -> None:
        for keypair in keypairs:
            self._switch.indices.free(keypair.local_index)

    def _log_keys(self, ephemeral: bytes | None) -> None:
        handshake, key_log = self._handshake, self._switch.key_log
        if key_log is not None and ephemeral is not None and handshake.local is not None:
            key_log(
                KeyLogEntry(
                    handshake.local.private, handshake.remote, ephemeral, handshake.preshared
                )
            )
