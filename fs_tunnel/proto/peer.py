"""One peer: its handshake, its sessions, its timers, and what to do when one of these speaks.

A peer never reads a clock or a socket.  It writes datagrams and drops into the ``Switch`` that it
shares with its device, and keys into the packet path, which does not tell of every packet:
``look`` brings the timers up to date with what passed there.  Verbs are those of the Linux driver's
send.c, receive.c and timers.c.
"""

from collections import deque
from collections.abc import Callable, Sequence

from fs_tunnel.proto import tai64n
from fs_tunnel.proto.constants import (
    CALL_ANSWERED_FOR,
    MAX_HANDSHAKE_ATTEMPTS,
    MAX_STAGED_PACKETS,
    MIN_CALL_INTERVAL,
    REKEY_TIMEOUT,
)
from fs_tunnel.proto.cookie import CookieGenerator
from fs_tunnel.proto.errors import AuthenticationFailed
from fs_tunnel.proto.handshake import Handshake, OpenedInitiation, SessionKeys
from fs_tunnel.proto.messages import (
    INITIATION_LEN,
    RESPONSE_LEN,
    TRANSPORT_TYPE,
    Initiation,
    Response,
)
from fs_tunnel.proto.noise import StaticKeys
from fs_tunnel.proto.path import (
    Counters,
    EndpointMoved,
    Limits,
    LocalAddress,
    Outgoing,
    PathKeys,
)
from fs_tunnel.proto.session import Session, Sessions
from fs_tunnel.proto.switch import KeyLogEntry, Switch
from fs_tunnel.proto.timers import Event, PeerTimers, Timer
from fs_tunnel.proto.traffic import Traffic
from fs_wire.types import NO_PRESHARED_KEY, Endpoint, PresharedKey, PublicKey


class Peer:
    """The state of one peer; ``Device`` makes and finds them."""

    __slots__ = (
        "public_key",
        "number",
        "timers",
        "latest_handshake_ns",
        "_configured_endpoint",
        "_latest_endpoint",
        "_switch",
        "_handshake",
        "_sessions",
        "_cookies",
        "_staged",
        "_latest_initiation",
        "_latest_completion",
        "_latest_stamp",
        "_attempts",
        "_rx_bytes",
        "_tx_bytes",
        "_rx_packets",
        "_tx_packets",
        "_traffic",
        "_limits",
    )

    def __init__(
        self,
        public_key: PublicKey,
        local: StaticKeys | None,
        switch: Switch,
        wake: Callable[[float, "Peer"], None],
    ) -> None:
        self.public_key = public_key
        self.number = switch.path.add_peer()  # its name in the packet path
        self._configured_endpoint: Endpoint | None = None
        self._latest_endpoint: Endpoint | None = None
        self.timers = PeerTimers(switch.entropy, lambda deadline: wake(deadline, self))
        self.latest_handshake_ns = 0  # Unix time; 0 is never
        self._switch = switch
        self._handshake = Handshake(local, public_key.raw, NO_PRESHARED_KEY.raw)
        self._sessions = Sessions()
        self._cookies = CookieGenerator(public_key.raw)
        self._staged: deque[bytes] = deque()
        self._latest_initiation = self._latest_completion = float("-inf")
        self._latest_stamp = 0
        self._attempts = 0
        # Of handshake messages; the packet path counts transport.
        self._rx_bytes = self._tx_bytes = self._rx_packets = self._tx_packets = 0
        self._traffic = Traffic(switch.path, self.number, self.timers)
        self._limits = Limits()

    def __repr__(self) -> str:
        return f"Peer({self.public_key.to_base64()})"

    @property
    def endpoint(self) -> Endpoint | None:
        return self._switch.path.endpoint(self.number)[0]

    @property
    def counters(self) -> Counters:
        """Authentic datagrams, as ``wg show`` counts them: of transport, and of handshakes."""
        transport = self._switch.path.counters(self.number)
        return Counters(
            transport.rx_bytes + self._rx_bytes,
            transport.tx_bytes + self._tx_bytes,
            transport.rx_packets + self._rx_packets,
            transport.tx_packets + self._tx_packets,
        )

    @property
    def credit_used(self) -> int:
        """Bytes of transport, both ways: what ``Limits.credit`` is compared with."""
        transport = self._switch.path.counters(self.number)
        return transport.rx_bytes + transport.tx_bytes

    # Settings.

    @property
    def limits(self) -> Limits:
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        """Takes effect with the next packet."""
        self._limits = limits
        self._switch.path.set_limits(self.number, limits)

    @property
    def preshared_key(self) -> PresharedKey:
        return PresharedKey(self._handshake.preshared)

    @preshared_key.setter
    def preshared_key(self, key: PresharedKey) -> None:
        """Takes effect at the next handshake, as in the Linux driver."""
        self._handshake.preshared = key.raw

    def set_persistent_keepalive(self, seconds: int, now: float) -> None:
        """0 is off; switching it on sends one at once, which opens the path through a NAT."""
        self.look()
        was_off = not self.timers.persistent_keepalive
        self.timers.persistent_keepalive = seconds
        if self._switch.is_up:
            self.timers.start(Timer.PERSISTENT_KEEPALIVE, now)
            if seconds and was_off:
                self.send_keepalive(now)

    def set_endpoint(self, endpoint: Endpoint) -> None:
        """Where to send until the peer is heard from elsewhere."""
        self._switch.path.set_endpoint(self.number, endpoint, None)
        self._configured_endpoint, self._latest_endpoint = endpoint, None

    def leave_from_any_address(self) -> None:
        """The address that the peer spoke to is gone, or may be."""
        self._switch.path.forget_local(self.number)

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
        path = self._switch.path
        endpoint, local = path.endpoint(self.number)
        if endpoint is None:
            self._switch.drops["no_endpoint"] += 1
        elif not self._switch.is_up:
            self._switch.drops["interface_down"] += 1
        elif (datagram := path.seal(self.number, packet, now)) is None:
            self._stage(packet)
            self.initiate_handshake(now)
        else:
            self._switch.outgoing.append(Outgoing(self.number, endpoint, local, datagram))
            self.look()

    def send_keepalive(self, now: float) -> None:
        """Send what is staged, or else an empty packet."""
        if self._staged:
            self._send_staged(now)
        else:
            self.send_packet(b"", now)

    def greet(self, now: float) -> None:
        """Open a session, unless there is one: for a peer that may not know that ours are gone."""
        if self._sessions.current is None and self._sessions.next is None:
            self.send_keepalive(now)

    def call(self, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Send one initiation to all of these, unless a session is fresh; whether one is.

        It opens our NAT towards each, and where the other side does the same, one gets through:
        whoever answers is the endpoint.  An older session is kept meanwhile.
        """
        if now - self._latest_completion < CALL_ANSWERED_FOR and self._sessions.current is not None:
            return True
        if now - self._latest_initiation < MIN_CALL_INTERVAL:
            return False
        if self.endpoint is None:
            self.set_endpoint(endpoints[0])
        before = len(self._switch.outgoing)
        self.initiate_handshake(now, is_retry=True)
        for initiation in self._switch.outgoing[before:]:
            others = [each for each in endpoints if each != initiation.endpoint]
            self._switch.outgoing += [
                initiation._replace(endpoint=each, local=None) for each in others
            ]
            self._tx_bytes += len(others) * len(initiation.data)
            self._tx_packets += len(others)
        return False

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
        self._send_handshake_message(message, now)
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
        self._send_handshake_message(response, now)

    def consume_response(
        self, message: Response, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        """Complete our handshake; AuthenticationFailed leaves it pending."""
        keys = self._handshake.consume_response(message)
        self._authenticated(RESPONSE_LEN, source, local, now)
        self._begin_session(keys, now)
        self._handshake_complete(now)
        self.send_keepalive(now)

    def confirm_session(self, local_index: int, now: float) -> None:
        """The first packet came under keys of ours that the other side had not used yet."""
        session, current = self._sessions.next, self._sessions.current
        if session is None or session.local_index != local_index:
            # There is a younger one, while the path has gone over to the one that was confirmed.
            if current is not None:
                self._switch.path.use_keys(self.number, current.local_index)
            return
        fallen = self._sessions.confirm(session)
        self._switch.path.use_keys(self.number, local_index)
        self._free(fallen)
        self._handshake_complete(now)
        self._send_staged(now)

    def not_sent(self, datagram: bytes) -> None:
        """The shell could not send a datagram: uncount it."""
        if datagram[0] == TRANSPORT_TYPE:
            self._switch.path.not_sent(self.number, len(datagram))
        else:
            self._tx_bytes -= len(datagram)
            self._tx_packets -= 1

    # Timers.

    def look(self) -> None:
        """Bring the timers up to date with what passed in the packet path."""
        self._traffic.look()

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
                self._traffic.rearm()
                self.leave_from_any_address()  # ours may be gone
                self.initiate_handshake(now)
            case Timer.ERASE_KEYS:
                self.forget_sessions()
            case Timer.PERSISTENT_KEEPALIVE:
                self.send_keepalive(now)
            case Timer.LOOK:
                self._traffic.await_next()

    def forget_sessions(self) -> None:
        """Erase every key and every pending handshake; staged packets go with them."""
        self._forget_initiation()
        self._free(self._sessions.clear())
        self._staged.clear()
        self._latest_initiation = float("-inf")

    def shut_down(self) -> None:
        """The peer is removed, or the interface went down."""
        self.forget_sessions()
        self.timers.stop_all()
        self._attempts = 0
        self._traffic.forget()

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
        self.leave_from_any_address()
        endpoint = self.endpoint
        if self._configured_endpoint is None:
            return
        if endpoint != self._configured_endpoint:
            self._latest_endpoint, endpoint = endpoint, self._configured_endpoint
        elif self._latest_endpoint is not None:
            endpoint = self._latest_endpoint
        self._switch.path.set_endpoint(self.number, endpoint, None)

    def _begin_session(self, keys: SessionKeys, now: float) -> None:
        session = Session(keys.local_index, keys.is_initiator)
        self._switch.indices.assign(keys.local_index, (self, session))
        path = self._switch.path
        path.add_keys(
            self.number,
            PathKeys(
                keys.local_index,
                keys.remote_index,
                keys.sending,
                keys.receiving,
                keys.is_initiator,
                now,
            ),
            confirmed=keys.is_initiator,
        )
        if keys.is_initiator:
            path.use_keys(self.number, keys.local_index)
        self._free(self._sessions.begin_session(session))
        self.timers.fire(Event.SESSION_DERIVED, now)

    def _handshake_complete(self, now: float) -> None:
        self.timers.fire(Event.HANDSHAKE_COMPLETE, now)
        self._attempts = 0
        self._latest_completion = now
        self.latest_handshake_ns = self._switch.wall_time_ns()

    def _authenticated(
        self, length: int, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        """A handshake message of ``length`` bytes is the peer's: count it, and answer there."""
        self._rx_bytes += length
        self._rx_packets += 1
        if source != self.endpoint:
            self._switch.notices.append((self, EndpointMoved(self.number)))
        self._switch.path.set_endpoint(self.number, source, local)
        self._switch.path.note_received(self.number, now)
        self.look()

    def _send_handshake_message(self, message: Initiation | Response, now: float) -> None:
        datagram = self._cookies.add_macs(message.to_bytes(), now)
        endpoint, local = self._switch.path.endpoint(self.number)
        assert endpoint is not None
        self._tx_bytes += len(datagram)
        self._tx_packets += 1
        self._switch.outgoing.append(Outgoing(self.number, endpoint, local, datagram))
        self._switch.path.note_sent(self.number, now)
        self.look()

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

    def _free(self, sessions: list[Session]) -> None:
        for session in sessions:
            self._switch.indices.free(session.local_index)
            self._switch.path.remove_keys(session.local_index)

    def _log_keys(self, ephemeral: bytes | None) -> None:
        handshake, key_log = self._handshake, self._switch.key_log
        if key_log is not None and ephemeral is not None and handshake.local is not None:
            key_log(
                KeyLogEntry(
                    handshake.local.private, handshake.remote, ephemeral, handshake.preshared
                )
            )
