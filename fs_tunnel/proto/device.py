"""The device: one identity and its peers, as the control plane over a packet path.

Theory of operation.  A shell lets it act on what the packet path tells (``handle_events``), gives
it CPU for handshakes (``process_handshakes``) and the time (``handle_timers``), and takes what is
to be sent (``take_datagrams``); packets pass it by.  Handshake messages wait in a queue while
transport goes on.  When the queue grows, the device is under load: from then on only those enter it
who return a cookie, which proves that they own their address, and do not ask too often (paper,
section 5.3).

Nothing that arrives raises: what is refused is dropped, and counted in ``drops`` by reason.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

from fs_tunnel.proto.allowed_ips import AllowedIPs
from fs_tunnel.proto.constants import (
    HANDSHAKES_AT_ONCE,
    LOADED_ABOVE_QUEUED,
    LOADED_FOR,
    MAX_QUEUED_HANDSHAKES,
)
from fs_tunnel.proto.cookie import CookieChecker
from fs_tunnel.proto.errors import AuthenticationFailed, MalformedMessage, ReplayDetected
from fs_tunnel.proto.handshake import Entropy, open_initiation
from fs_tunnel.proto.indices import IndexTable
from fs_tunnel.proto.messages import (
    CookieReply,
    Initiation,
    Response,
    TransportHeader,
    parse_untrusted,
)
from fs_tunnel.proto.noise import StaticKeys
from fs_tunnel.proto.observer import Observer
from fs_tunnel.proto.path import (
    BecameActive,
    CreditLow,
    EndpointMoved,
    HandshakeReceived,
    HandshakesLost,
    HandshakeWanted,
    LocalAddress,
    Outgoing,
    PacketPath,
    PacketWaits,
    PathEvent,
    SessionConfirmed,
)
from fs_tunnel.proto.peer import Peer
from fs_tunnel.proto.ratelimit import HandshakeRateLimiter
from fs_tunnel.proto.session import Session
from fs_tunnel.proto.switch import KeyLogEntry, Switch
from fs_tunnel.proto.timers import IDLE
from fs_wire import stun
from fs_wire.errors import FlowShieldError
from fs_wire.types import Endpoint, IPNetwork, PrivateKey, PublicKey

_QueuedHandshake = tuple[Initiation | Response | CookieReply, Endpoint, LocalAddress | None]


class Device:
    """A WireGuard interface without its sockets and packets."""

    def __init__(
        self, *, entropy: Entropy, wall_time_ns: Callable[[], int], path: PacketPath
    ) -> None:
        indices: IndexTable[tuple[Peer, Session | None]] = IndexTable(entropy)
        self._path = path
        self._switch = Switch(entropy, wall_time_ns, path, indices)
        self._session = indices.get
        self._keys: StaticKeys | None = None
        self._private_key: PrivateKey | None = None
        self._checker: CookieChecker | None = None
        self._peers: dict[PublicKey, Peer] = {}
        self._by_static: dict[bytes, Peer] = {}
        self._by_number: dict[int, Peer] = {}
        self.allowed_ips: AllowedIPs[Peer] = AllowedIPs()
        self._handshakes: deque[_QueuedHandshake] = deque()
        self._observer = Observer(entropy)
        self._observations: list[tuple[Endpoint, Endpoint]] = []
        self._rate_limiter = HandshakeRateLimiter()
        self._loaded_until = float("-inf")
        self._mtu = 0
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
            self._by_number[peer.number] = peer
        return peer

    def remove_peer(self, peer: Peer) -> None:
        """Forget a peer, its keys, and its allowed IPs."""
        peer.shut_down()
        self._path.remove_peer(peer.number)
        self.allowed_ips.remove_value(peer)
        del self._peers[peer.public_key], self._by_static[peer.public_key.raw]
        del self._by_number[peer.number]

    def allow(self, peer: Peer, network: IPNetwork) -> None:
        """Route ``network`` to ``peer``, taking it from whoever had it."""
        self.allowed_ips.insert(network, peer)
        self._path.allow(network, peer.number)

    def disallow(self, peer: Peer, network: IPNetwork) -> None:
        """Route ``network`` to nobody; nothing happens where it is not this peer's."""
        if self.allowed_ips.remove(network, peer):
            self._path.disallow(network)

    def disallow_all(self, peer: Peer) -> None:
        """Route nothing to ``peer``."""
        for network in self.allowed_ips.networks_of(peer):
            self.disallow(peer, network)

    def shut_down(self) -> None:
        """The interface went down: sessions end, timers stop, settings stay."""
        self._switch.is_up = False
        self._path.set_up(False)
        self._handshakes.clear()
        for peer in self._peers.values():
            peer.shut_down()

    def come_up(self, now: float) -> None:
        """The interface came up: peers with a persistent keepalive open their path.

        A device begins down: it may be configured, but sends nothing.
        """
        self._switch.is_up = True
        self._path.set_up(True)
        for peer in self._peers.values():
            if peer.timers.persistent_keepalive:
                peer.send_keepalive(now)

    @property
    def mtu(self) -> int:
        """Of the TUN, in bytes; 0 where it is not known. Padding stops at it."""
        return self._mtu

    @mtu.setter
    def mtu(self, mtu: int) -> None:
        if mtu != self._mtu:
            self._mtu = mtu
            self._path.set_mtu(mtu)

    def log_keys_to(self, write: Callable[[KeyLogEntry], None] | None) -> None:
        """Hand out the secrets of every handshake, to read a capture with: for debugging only."""
        self._switch.key_log = write

    # What comes in.

    def handle_events(self, now: float, handshakes: int = HANDSHAKES_AT_ONCE) -> None:
        """Act on what the packet path tells; of handshake messages, queue at most so many."""
        # The second time for what acting on the first ones led to.
        for most in (handshakes, 0):
            for event in self._path.take_events(most):
                match event:
                    case HandshakeReceived():
                        self._receive_handshake_untrusted(event, now)
                    case HandshakesLost():
                        self._loaded_until = now + LOADED_FOR
                    case _ if (peer := self._by_number.get(event.peer)) is not None:
                        self._handle_event(peer, event, now)

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
            peer.look()  # what passed may have moved the deadline
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

    def take_notices(self) -> list[tuple[Peer, CreditLow | EndpointMoved]]:
        """Return, and forget, what happened that others may want to know, in order."""
        taken, self._switch.notices = self._switch.notices, []
        return taken

    def observe(self, servers: Sequence[Endpoint], now: float) -> None:
        """Ask servers of STUN where they see our socket; UsageError where that was much of late."""
        if self._switch.is_up:
            self._switch.outgoing += self._observer.ask(servers, now)

    def take_observations(self) -> list[tuple[Endpoint, Endpoint]]:
        """Return, and forget, what servers answered: each with where it sees us."""
        taken, self._observations = self._observations, []
        return taken

    def not_sent(self, outgoing: Outgoing) -> None:
        """A datagram could not be sent: uncount it."""
        peer = None if outgoing.peer is None else self._by_number.get(outgoing.peer)
        if peer is not None:
            peer.not_sent(outgoing.data)

    def forget_local(self, outgoing: Outgoing) -> None:
        """The address of ours that a datagram was to leave from is gone: any other will do."""
        peer = None if outgoing.peer is None else self._by_number.get(outgoing.peer)
        if peer is not None:
            peer.leave_from_any_address()

    @property
    def drops(self) -> Counter[str]:
        """What was refused, by reason, here and in the packet path."""
        return self._switch.drops + Counter(self._path.drops())

    # Helpers.

    def _handle_event(self, peer: Peer, event: PathEvent, now: float) -> None:
        match event:
            case PacketWaits(_, packet):
                peer.send_packet(packet, now)
            case HandshakeWanted():
                peer.initiate_handshake(now)
            case SessionConfirmed(_, local_index):
                peer.confirm_session(local_index, now)
            case BecameActive():
                peer.look()
            case CreditLow() | EndpointMoved():
                self._switch.notices.append((peer, event))

    def _receive_handshake_untrusted(self, received: HandshakeReceived, now: float) -> None:
        """Queue a handshake message where it may cost CPU."""
        data, source, local = received
        if stun.is_answer(data):
            observation = self._observer.receive_untrusted(data, source, now)
            if observation is None:
                self._drop("unasked_answer")
            else:
                self._observations.append(observation)
            return
        try:
            message = parse_untrusted(data)
        except MalformedMessage:
            self._drop("malformed")
            return
        assert not isinstance(message, TransportHeader)
        if self._checker is None:
            self._drop("no_private_key")
            return
        if not isinstance(message, CookieReply):
            try:
                self._checker.check_mac1(data)
            except AuthenticationFailed:
                self._drop("bad_mac1")
                return
            if not self._passes_load_control(self._checker, data, source, now, local):
                return
        if len(self._handshakes) >= MAX_QUEUED_HANDSHAKES:
            self._drop("handshake_queue_full")
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
            self._drop("handshake_not_authentic")
        except ReplayDetected:
            self._drop("handshake_replayed")

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
            self._switch.outgoing.append(Outgoing(None, source, local, reply))
            self._drop("cookie_demanded")
            return False
        if not self._rate_limiter.allow(source, now):
            self._drop("rate_limited")
            return False
        return True

    def _consume_initiation(
        self, message: Initiation, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        assert self._keys is not None
        opened = open_initiation(self._keys, message)
        peer = self._by_static.get(opened.remote_static)
        if peer is None:
            self._drop("unknown_peer")
        else:
            peer.consume_initiation(opened, source, local, now)

    def _consume_response(
        self, message: Response, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None:
        peer, keypair = self._session(message.receiver) or (None, None)
        if peer is None or keypair is not None:
            self._drop("unknown_index")
        else:
            peer.consume_response(message, source, local, now)

    def _consume_cookie_reply(self, message: CookieReply, now: float) -> None:
        # It proves nothing about the path: the endpoint stays.
        peer, _ = self._session(message.receiver) or (None, None)
        if peer is None:
            self._drop("unknown_index")
        else:
            peer.cookies.consume_reply(message, now)

    def _drop(self, reason: str) -> None:
        self._switch.drops[reason] += 1

    def _wake(self, deadline: float, peer: Peer) -> None:
        heappush(self._wakes, (deadline, next(self._wake_order), peer))
