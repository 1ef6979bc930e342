"""The device: one identity, its peers, and the way of every datagram and packet between them.

Theory of operation.  A shell gives it datagrams from UDP (``receive_datagram``), packets from the
TUN (``receive_packet``), CPU for handshakes (``process_handshakes``) and the time
(``handle_timers``), and takes what is to be sent and delivered (``take_datagrams``,
``take_packets``).  Handshake messages wait in a queue while transport goes on.  When the queue
grows, the device is under load: from then on only those enter it who return a cookie, which proves
that they own their address, and do not ask too often (paper, section 5.3).

Nothing that arrives raises: what is refused is dropped, and counted in ``drops`` by reason.
"""

from collections import Counter, deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from fs_tunnel.errors import (
    AuthenticationFailed,
    FlowShieldError,
    MalformedMessage,
    ProtocolError,
    ReplayDetected,
    SessionExpired,
)
from fs_tunnel.proto.allowed_ips import AllowedIPs
from fs_tunnel.proto.constants import LOADED_ABOVE_QUEUED, LOADED_FOR, MAX_QUEUED_HANDSHAKES
from fs_tunnel.proto.cookie import CookieChecker
from fs_tunnel.proto.handshake import Entropy, open_initiation
from fs_tunnel.proto.indices import IndexTable
from fs_tunnel.proto.ip import parse_inner_untrusted
from fs_tunnel.proto.messages import (
    CookieReply,
    Initiation,
    Response,
    TransportHeader,
    parse_untrusted,
)
from fs_tunnel.proto.noise import StaticKeys
from fs_tunnel.proto.peer import KeyLogEntry, LocalAddress, Outgoing, Peer, Switch
from fs_tunnel.proto.ratelimit import HandshakeRateLimiter
from fs_tunnel.proto.session import Keypair
from fs_tunnel.proto.timers import IDLE
from fs_tunnel.types import Endpoint, IPNetwork, PrivateKey, PublicKey

_QueuedHandshake = tuple[Initiation | Response | CookieReply, Endpoint, LocalAddress | None]


class Device:
    """A WireGuard interface without its sockets."""

    def __init__(self, *, entropy: Entropy, wall_time_ns: Callable[[], int]) -> None:
        indices: IndexTable[tuple[Peer, Keypair | None]] = IndexTable(entropy)
        self._switch = Switch(entropy, wall_time_ns, indices)
        self._session = indices.get
        self._keys: StaticKeys | None = None
        self._private_key: PrivateKey | None = None
        self._checker: CookieChecker | None = None
        self._peers: dict[PublicKey, Peer] = {}
        self._by_static: dict[bytes, Peer] = {}
        self.allowed_ips: AllowedIPs[Peer] = AllowedIPs()
        self._handshakes: deque[_QueuedHandshake] = deque()
        self._rate_limiter = HandshakeRateLimiter()
        self._loaded_until = float("-inf")
        self._packets: list[bytes] = []
        self._wakes: list[tuple[float, int, Peer]] = []
        self._wake_order = count()

    # Settings.

    @property
    def private_key(self) -> PrivateKey | None:
        return self._private_key

    def set_private_key(self, key: PrivateKey | None) -> None:
        """Change or remove our identity: every session ends, and a peer that is us is removed."""
        if key == self._private_key:
            return
        self._private_key = key
        self._keys = StaticKeys.from_private(key.raw) if key else None
        self._checker = (
            CookieChecker(self._keys.public, self._switch.entropy) if self._keys else None
        )
        self._handshakes.clear()
        if self._keys is not None and (us := self._by_static.get(self._keys.public)):
            self.remove_peer(us)
        for peer in self._peers.values():
            peer.set_local_keys(self._keys)

    @property
    def public_key(self) -> PublicKey | None:
        return PublicKey(self._keys.public) if self._keys else None

    @property
    def peers(self) -> dict[PublicKey, Peer]:
        """Peers by public key, in the order in which they were added; not to be changed."""
        return self._peers

    def add_peer(self, public_key: PublicKey) -> Peer:
        """Return the peer of this key, made if need be; FlowShieldError for our own key."""
        peer = self._peers.get(public_key)
        if peer is None:
            if self._keys is not None and public_key.raw == self._keys.public:
                raise FlowShieldError("a peer has our own key; each side needs a key of its own")
            peer = Peer(public_key, self._keys, self._switch, self._wake)
            self._peers[public_key] = self._by_static[public_key.raw] = peer
        return peer

    def remove_peer(self, peer: Peer) -> None:
        """Forget a peer, its keys, and its allowed IPs."""
        peer.shut_down()
        self.allowed_ips.remove_value(peer)
        del self._peers[peer.public_key], self._by_static[peer.public_key.raw]

    def allow(self, peer: Peer, network: IPNetwork) -> None:
        """Route ``network`` to ``peer``, taking it from whoever had it."""
        self.allowed_ips.insert(network, peer)

    def shut_down(self) -> None:
        """The interface went down: sessions end, timers stop, settings stay."""
        self._switch.is_up = False
        self._handshakes.clear()
        for peer in self._peers.values():
            peer.shut_down()

    def come_up(self, now: float) -> None:
        """The interface came up: peers with a persistent keepalive open their path.

        A device begins down: it may be configured, but sends nothing.
        """
        self._switch.is_up = True
        for peer in self._peers.values():
            if peer.timers.persistent_keepalive:
                peer.send_keepalive(now)

    @property
    def mtu(self) -> int:
        """Of the TUN, in bytes; 0 where it is not known. Padding stops at it."""
        return self._switch.mtu

    @mtu.setter
    def mtu(self, mtu: int) -> None:
        self._switch.mtu = mtu

    def log_keys_to(self, write: Callable[[KeyLogEntry], None] | None) -> None:
        """Hand out the secrets of every handshake, to read a capture with: for debugging only."""
        self._switch.key_log = write

    # What comes in.

    def receive_packet(self, packet: bytes, now: float) -> None:
        """Route a packet from the TUN to the peer whose allowed IPs hold its destination."""
        try:
            _, destination, _ = parse_inner_untrusted(packet)
        except MalformedMessage:
            self.drops["outbound_malformed"] += 1
            return
        peer = self.allowed_ips.lookup(destination)
        if peer is None:
            self.drops["outbound_no_peer"] += 1
        else:
            peer.send_packet(packet, now)

    def receive_datagram(
        self, data: bytes, source: Endpoint, now: float, local: LocalAddress | None = None
    ) -> None:
        """Take a datagram from UDP: transport at once, a handshake message in its turn."""
        try:
            message = parse_untrusted(data)
        except MalformedMessage:
            self.drops["malformed"] += 1
            return
        if isinstance(message, TransportHeader):
            self._receive_transport(message, data, source, now, local)
        else:
            self._queue_handshake(message, data, source, now, local)

    @property
    def queued_handshakes(self) -> int:
        return len(self._handshakes)

    def process_handshakes(self, now: float, budget: int = MAX_QUEUED_HANDSHAKES) -> None:
        """Work off at most ``budget`` handshake messages that wait, oldest first."""
        for _ in range(min(budget, len(self._handshakes))):
            self._consume_handshake(*self._handshakes.popleft(), now)

    # Time.

    def next_timer(self) -> float | None:
        """When ``handle_timers`` is due; None while no timer runs."""
        while self._wakes and self._wakes[0][0] != self._wakes[0][2].timers.wake_at:
            heappop(self._wakes)  # superseded by an earlier one
        return self._wakes[0][0] if self._wakes else None

    def handle_timers(self, now: float) -> None:
        """Act on every deadline up to ``now``."""
        while (due := self.next_timer()) is not None and due <= now:
            _, _, peer = heappop(self._wakes)
            peer.timers.wake_at = IDLE
            for timer in peer.timers.take_due(now):
                peer.handle_timer(timer, now)
            deadline = peer.timers.next_deadline()
            if deadline < peer.timers.wake_at:
                peer.timers.wake_at = deadline
                self._wake(deadline, peer)

    # What goes out.

    def take_datagrams(self) -> list[Outgoing]:
        """Return, and forget, the datagrams to send, in order."""
        taken, self._switch.outgoing = self._switch.outgoing, []
        return taken

    def take_packets(self) -> list[bytes]:
        """Return, and forget, the packets to write to the TUN, in order."""
        taken, self._packets = self._packets, []
        return taken

    @property
    def drops(self) -> Counter[str]:
        """What was refused, by reason."""
        return self._switch.drops

    # Helpers.

    def _receive_transport(
        self,
        header: TransportHeader,
        data: bytes,
        source: Endpoint,
        now: float,
        local: LocalAddress | None,
    ) -> None:
        peer, keypair = self._session(header.receiver) or (None, None)
        if peer is None or keypair is None:
            self.drops["unknown_index"] += 1
            return
        try:
            padded = peer.receive_transport_untrusted(
                keypair, data, header.counter, source, local, now
            )
            if padded:
                inner_source, _, length = parse_inner_untrusted(padded)
                if self.allowed_ips.lookup(inner_source) is not peer:
                    self.drops["source_not_allowed"] += 1
                    return
                self._packets.append(padded[:length])
        except ProtocolError as error:
            self.drops[_TRANSPORT_REASONS[type(error)]] += 1

    def _queue_handshake(
        self,
        message: Initiation | Response | CookieReply,
        data: bytes,
        source: Endpoint,
        now: float,
        local: LocalAddress | None,
    ) -> None:
        if self._checker is None:
            self.drops["no_private_key"] += 1
            return
        if not isinstance(message, CookieReply):
            try:
                self._checker.check_mac1(data)
            except AuthenticationFailed:
                self.drops["bad_mac1"] += 1
                return
            if not self._passes_load_control(self._checker, data, source, now, local):
                return
        if len(self._handshakes) >= MAX_QUEUED_HANDSHAKES:
            self.drops["handshake_queue_full"] += 1
            return
        self._handshakes.append((message, source, local))

    def _consume_handshake(
        self,
        message: Initiation | Response | CookieReply,
        source: Endpoint,
        local: LocalAddress | None,
        now: float,
    ) -> None:
        try:
            match message:
                case Initiation():
                    self._consume_initiation(message, source, local, now)
                case Response():
                    self._consume_response(message, source, local, now)
                case CookieReply():
                    self._consume_cookie_reply(message, now)
        except AuthenticationFailed:
            self.drops["handshake_not_authentic"] += 1
        except ReplayDetected:
            self.drops["handshake_replayed"] += 1

    def _passes_load_control(
        self,
        checker: CookieChecker,
        data: bytes,
        source: Endpoint,
        now: float,
        local: LocalAddress | None,
    ) -> bool:
        """Under load, only who owns its address, and does not ask too often, gets our CPU."""
        if len(self._handshakes) >= LOADED_ABOVE_QUEUED:
            self._loaded_until = now + LOADED_FOR
        if now >= self._loaded_until:
            return True
        try:
            checker.check_mac2(data, source, now)
        except AuthenticationFailed:
            reply = checker.create_reply(data, source, now)
            self._switch.outgoing.append(Outgoing(reply, source, local, None))
            self.drops["cookie_demanded"] += 1
            return False
        if not self._rate_limiter.allow(source, now):
            self.drops["rate_limited"] += 1
            return False
        return True

    def _consume_initiation(
        self, message: Initiation, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        assert self._keys is not None
        opened = open_initiation(self._keys, message)
        peer = self._by_static.get(opened.remote_static)
        if peer is None:
            self.drops["unknown_peer"] += 1
        else:
            peer.consume_initiation(opened, source, local, now)

    def _consume_response(
        self, message: Response, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        peer, keypair = self._session(message.receiver) or (None, None)
        if peer is None or keypair is not None:
            self.drops["unknown_index"] += 1
        else:
            peer.consume_response(message, source, local, now)

    def _consume_cookie_reply(self, message: CookieReply, now: float) -> None:
        # It proves nothing about the path: the endpoint stays.
        peer, _ = self._session(message.receiver) or (None, None)
        if peer is None:
            self.drops["unknown_index"] += 1
        else:
            peer.cookies.consume_reply(message, now)

    def _wake(self, deadline: float, peer: Peer) -> None:
        heappush(self._wakes, (deadline, next(self._wake_order), peer))


_TRANSPORT_REASONS: dict[type[ProtocolError], str] = {
    MalformedMessage: "inner_malformed",
    AuthenticationFailed: "not_authentic",
    ReplayDetected: "replayed",
    SessionExpired: "session_expired",
}
