# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""One peer: its handshake, its sessions and its timers, and how it acts on each of them.

A peer never reads a clock or a socket.  It writes datagrams and drops into the ``Switch`` that it
shares with its device.  It writes keys into the packet path, which does not tell of every packet:
``look`` brings the timers up to date with what passed there.  The verbs are those of the Linux
driver's send.c, receive.c and timers.c.
"""

from collections import deque
from collections.abc import Callable, Sequence

from fs_tunnel.proto import punching
from fs_tunnel.proto.constants import MAX_HANDSHAKE_ATTEMPTS, MAX_STAGED_PACKETS, REKEY_TIMEOUT
from fs_tunnel.proto.cookie import CookieGenerator
from fs_tunnel.proto.endpoints import PeerEndpoints
from fs_tunnel.proto.errors import AuthenticationFailed
from fs_tunnel.proto.handshake import Handshake, OpenedInitiation, SessionKeys
from fs_tunnel.proto.keyring import Keyring
from fs_tunnel.proto.messages import (
    INITIATION_LEN,
    RESPONSE_LEN,
    TRANSPORT_TYPE,
    Initiation,
    Response,
)
from fs_tunnel.proto.noise import StaticKeys
from fs_tunnel.proto.path import Counters, EndpointMoved, Limits, LocalAddress, Outgoing
from fs_tunnel.proto.switch import Switch
from fs_tunnel.proto.tai64n import Stamps
from fs_tunnel.proto.timers import Event, PeerTimers, Timer
from fs_tunnel.proto.traffic import Traffic
from fs_wire.types import NO_PRESHARED_KEY, Endpoint, PresharedKey, PublicKey


class Peer:
    """The state of one peer; ``Device`` makes and finds peers.

    Times are seconds of the device's clock.
    """

    __slots__ = (
        "public_key",
        "number",
        "timers",
        "cookies",
        "latest_handshake_ns",
        "_switch",
        "_endpoints",
        "_handshake",
        "_sessions",
        "_staged",
        "_stamps",
        "_latest_initiation",
        "_latest_completion",
        "_attempts",
        "_handshake_counters",
        "_traffic",
        "_limits",
    )

    def __init__(
        self,
        public_key: PublicKey,
        local: StaticKeys | None,
        switch: "Switch[Peer]",
        wake: Callable[[float, "Peer"], None],
    ) -> None:
        self.public_key = public_key
        self.number = switch.path.add_peer()  # its name in the packet path
        self.timers = PeerTimers(switch.entropy, lambda deadline: wake(deadline, self))
        self.cookies = CookieGenerator(public_key.raw)
        self.latest_handshake_ns = 0  # Unix time; 0 is never
        self._switch = switch
        self._endpoints = PeerEndpoints(switch.path, self.number)
        self._handshake = Handshake(local, public_key.raw, NO_PRESHARED_KEY.raw)
        self._sessions = Keyring(self, self.number, switch)
        self._staged: deque[bytes] = deque()
        self._stamps = Stamps()
        self._latest_initiation = self._latest_completion = float("-inf")
        self._attempts = 0
        self._handshake_counters = Counters()  # the packet path counts transport messages
        self._traffic = Traffic(switch.path, self.number, self.timers)
        self._limits = Limits()

    def __repr__(self) -> str:
        return f"Peer({self.public_key.to_base64()})"

    @property
    def endpoint(self) -> Endpoint | None:
        """Where datagrams for the peer go; None if the peer was neither configured nor heard."""
        return self._endpoints.current

    @property
    def counters(self) -> Counters:
        """Authentic datagrams, of transport and of handshakes, as ``wg show`` counts them."""
        return self._switch.path.counters(self.number).plus(self._handshake_counters)

    @property
    def credit_used(self) -> int:
        """Bytes of transport messages in both directions; ``Limits.credit`` bounds this sum."""
        transport = self._switch.path.counters(self.number)
        return transport.rx_bytes + transport.tx_bytes

    # Settings.

    @property
    def limits(self) -> Limits:
        """What the peer may use; a change takes effect with the next packet."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._switch.path.set_limits(self.number, limits)

    @property
    def preshared_key(self) -> PresharedKey:
        """A change takes effect at the next handshake, as in the Linux driver."""
        return PresharedKey(self._handshake.preshared)

    @preshared_key.setter
    def preshared_key(self, key: PresharedKey) -> None:
        self._handshake.preshared = key.raw

    def set_persistent_keepalive(self, seconds: int, now: float) -> None:
        """Send a keepalive every ``seconds``; 0 switches this off.

        Switching it on sends one at once, which opens the path through a NAT.
        """
        self.look()
        was_off = not self.timers.persistent_keepalive
        self.timers.persistent_keepalive = seconds
        if self._switch.is_up:
            self.timers.start(Timer.PERSISTENT_KEEPALIVE, now)
            if seconds and was_off:
                self.send_keepalive(now)

    def set_endpoint(self, endpoint: Endpoint) -> None:
        """Send to ``endpoint`` until the peer is heard from elsewhere."""
        self._endpoints.configure(endpoint)

    def leave_from_any_address(self) -> None:
        """Let the kernel choose our address: the one that the peer spoke to may be gone."""
        self._endpoints.leave_from_any_address()

    def set_local_keys(self, local: StaticKeys | None) -> None:
        """Take over our changed identity, and end the sessions made under the old one."""
        self.forget_sessions()
        self._handshake.set_local(local)

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
        """Send the staged packets; if there are none, send an empty one."""
        if self._staged:
            self._send_staged(now)
        else:
            self.send_packet(b"", now)

    def greet(self, now: float) -> None:
        """Open a session unless there is one; the peer may not know that our sessions are gone."""
        if self._sessions.current is None and self._sessions.next is None:
            self.send_keepalive(now)

    def call(self, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Send an initiation to all ``endpoints``; return True if the peer has answered.

        See ``punching.call``.
        """
        return punching.call(self, endpoints, now)

    def session_age(self, now: float) -> float:
        """Seconds since the latest handshake was completed; infinite if there is no session."""
        if self._sessions.current is None:
            return float("inf")
        return now - self._latest_completion

    def since_initiation(self, now: float) -> float:
        """Seconds since the latest initiation or response was sent; infinite if none was."""
        return now - self._latest_initiation

    def initiate_handshake(self, now: float, *, is_retry: bool = False) -> Outgoing | None:
        """Send an initiation and return it; None if none can be sent.

        Unless it is a retry, none is sent within REKEY_TIMEOUT of the one before.
        """
        if self.endpoint is None or self._handshake.local is None or not self._switch.is_up:
            return None
        if not is_retry:
            if self.since_initiation(now) < REKEY_TIMEOUT:
                return None
            self._attempts = 0
        self._latest_initiation = now
        if self._handshake.local_index is not None:
            self._forget_initiation()
            self._endpoints.alternate()
        index = self._switch.indices.allocate((self, None))
        stamp = self._stamps.next(self._switch.wall_time_ns())
        try:
            message = self._handshake.create_initiation(index, stamp, self._switch.entropy)
        except AuthenticationFailed:
            self._switch.indices.free(index)
            self._switch.drops["unusable_peer_key"] += 1
            return None
        self._switch.log_keys(self._handshake, self._handshake.ephemeral)
        initiation = self._send_handshake(message, now)
        self.timers.fire(Event.HANDSHAKE_INITIATED, now)
        return initiation

    def send_handshake_message(self, outgoing: Outgoing) -> None:
        """Send a datagram that holds a handshake message, and count it."""
        self._count_handshake(tx_bytes=len(outgoing.data), tx_packets=1)
        self._switch.outgoing.append(outgoing)

    # Receiving.

    def consume_initiation(
        self, opened: OpenedInitiation, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        """Authenticate an initiation and answer it.

        Raise AuthenticationFailed or ReplayDetected, which leave the peer as it was.
        """
        self._handshake.consume_initiation(opened, now)
        self._authenticated(INITIATION_LEN, source, local, now)
        index = self._switch.indices.allocate((self, None))
        response, keys, ephemeral = self._handshake.create_response(
            opened, index, self._switch.entropy
        )
        self._switch.log_keys(self._handshake, ephemeral)
        self._begin_session(keys, now)
        # A response counts as an attempt of ours, so that the two sides do not initiate in turns.
        self._latest_initiation = now
        self._send_handshake(response, now)

    def consume_response(
        self, message: Response, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        """Complete our handshake; raise AuthenticationFailed, which leaves it pending."""
        keys = self._handshake.consume_response(message)
        self._authenticated(RESPONSE_LEN, source, local, now)
        self._begin_session(keys, now)
        self._handshake_complete(now)
        self.send_keepalive(now)

    def confirm_session(self, local_index: int, now: float) -> None:
        """Use the session whose first packet has come: the other side has its keys."""
        if self._sessions.confirm(local_index):
            self._handshake_complete(now)
            self._send_staged(now)

    def not_sent(self, datagram: bytes) -> None:
        """Uncount a datagram that the shell could not send."""
        if datagram[0] == TRANSPORT_TYPE:
            self._switch.path.not_sent(self.number, len(datagram))
        else:
            self._count_handshake(tx_bytes=-len(datagram), tx_packets=-1)

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
                self.leave_from_any_address()
                self.initiate_handshake(now)
            case Timer.ERASE_KEYS:
                self.forget_sessions()
            case Timer.PERSISTENT_KEEPALIVE:
                self.send_keepalive(now)
            case Timer.LOOK:
                self._traffic.await_next()

    def forget_sessions(self) -> None:
        """Erase all keys, and drop the pending handshake and the staged packets."""
        self._forget_initiation()
        self._sessions.erase()
        self._staged.clear()
        self._latest_initiation = float("-inf")

    def shut_down(self) -> None:
        """End everything under way: the peer is removed, or the interface went down."""
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

    def _begin_session(self, keys: SessionKeys, now: float) -> None:
        self._sessions.begin(keys, now)
        self.timers.fire(Event.SESSION_DERIVED, now)

    def _handshake_complete(self, now: float) -> None:
        self.timers.fire(Event.HANDSHAKE_COMPLETE, now)
        self._attempts = 0
        self._latest_completion = now
        self.latest_handshake_ns = self._switch.wall_time_ns()

    def _authenticated(
        self, length: int, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        """Count an authentic handshake message of ``length`` bytes, and answer to its source."""
        self._count_handshake(rx_bytes=length, rx_packets=1)
        if self._endpoints.follow(source, local):
            self._switch.notices.append((self, EndpointMoved(self.number)))
        self._switch.path.note_received(self.number, now)
        self.look()

    def _send_handshake(self, message: Initiation | Response, now: float) -> Outgoing:
        datagram = self.cookies.add_macs(message.to_bytes(), now)
        endpoint, local = self._switch.path.endpoint(self.number)
        assert endpoint is not None
        outgoing = Outgoing(self.number, endpoint, local, datagram)
        self.send_handshake_message(outgoing)
        self._switch.path.note_sent(self.number, now)
        self.look()
        return outgoing

    def _count_handshake(
        self, *, rx_bytes: int = 0, tx_bytes: int = 0, rx_packets: int = 0, tx_packets: int = 0
    ) -> None:
        more = Counters(rx_bytes, tx_bytes, rx_packets, tx_packets)
        self._handshake_counters = self._handshake_counters.plus(more)

    def _stage(self, packet: bytes) -> None:
        if not packet and self._staged:
            return  # a staged packet serves as the keepalive
        if len(self._staged) >= MAX_STAGED_PACKETS:
            self._staged.popleft()
            self._switch.drops["staged_overflow"] += 1
        self._staged.append(packet)

    def _send_staged(self, now: float) -> None:
        staged, self._staged = self._staged, deque()
        for packet in staged:
            self.send_packet(packet, now)

    def _forget_initiation(self) -> None:
        if self._handshake.local_index is not None:
            self._switch.indices.free(self._handshake.local_index)
            self._handshake.forget_initiation()
