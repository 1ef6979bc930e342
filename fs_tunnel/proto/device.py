# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The device: one identity and its peers, as the control plane over a packet path.

Theory of operation.  A shell owns the sockets and the clock, and calls the device:

- ``handle_events``: act on what the packet path tells;
- ``process_handshakes``: spend CPU on handshake messages that wait (see ``admission``);
- ``handle_timers``: act on deadlines that have passed;
- ``take_datagrams``: get the datagrams to send.

Packets do not come through the device: the packet path moves them.

Nothing that arrives raises.  A refused message is dropped, and counted in ``drops`` by reason.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

from fs_tunnel.proto.admission import Admission, QueuedHandshake
from fs_tunnel.proto.allowed_ips import AllowedIPs
from fs_tunnel.proto.constants import HANDSHAKES_AT_ONCE, MAX_QUEUED_HANDSHAKES
from fs_tunnel.proto.errors import AuthenticationFailed, ReplayDetected
from fs_tunnel.proto.handshake import Entropy, open_initiation
from fs_tunnel.proto.indices import IndexTable
from fs_tunnel.proto.messages import CookieReply, Initiation, Response
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
from fs_tunnel.proto.session import Session
from fs_tunnel.proto.switch import KeyLogEntry, Switch
from fs_tunnel.proto.timers import IDLE
from fs_wire import stun
from fs_wire.errors import FlowShieldError
from fs_wire.types import Endpoint, IPNetwork, PrivateKey, PublicKey


class Device:
    """A WireGuard interface without its sockets and packets.

    It begins down: it can be configured, but it sends nothing before ``come_up``.  ``now`` is
    always in seconds of one clock that never goes back.
    """

    def __init__(
        self, *, entropy: Entropy, wall_time_ns: Callable[[], int], path: PacketPath
    ) -> None:
        """``entropy`` returns as many random bytes as it is asked for.

        ``wall_time_ns`` returns Unix time in nanoseconds.
        """
        indices: IndexTable[tuple[Peer, Session | None]] = IndexTable(entropy)
        self._path = path
        self._switch = Switch(entropy, wall_time_ns, path, indices)
        self._session = indices.get
        self._keys: StaticKeys | None = None
        self._private_key: PrivateKey | None = None
        self._peers: dict[PublicKey, Peer] = {}
        self._by_static: dict[bytes, Peer] = {}
        self._by_number: dict[int, Peer] = {}
        self.allowed_ips: AllowedIPs[Peer] = AllowedIPs()
        self._admission = Admission(entropy, self._switch.drops)
        self._observer = Observer(entropy)
        self._observations: list[tuple[Endpoint, Endpoint]] = []
        self._mtu = 0
        self._wakes: list[tuple[float, int, Peer]] = []
        self._wake_order = count()

    # Settings.

    @property
    def private_key(self) -> PrivateKey | None:
        """Our identity; None until it is set."""
        return self._private_key

    def set_private_key(self, key: PrivateKey | None) -> None:
        """Change or remove our identity.

        Every session ends.  A peer with the same key is removed, because it would be ourselves.
        """
        if key == self._private_key:
            return
        self._private_key = key
        self._keys = StaticKeys.from_private(key.raw) if key else None
        self._admission.set_public_key(self._keys.public if self._keys else None)
        if self._keys is not None and (us := self._by_static.get(self._keys.public)):
            self.remove_peer(us)
        for peer in self._peers.values():
            peer.set_local_keys(self._keys)

    @property
    def public_key(self) -> PublicKey | None:
        """The public key of our identity; None until the private key is set."""
        return PublicKey(self._keys.public) if self._keys else None

    @property
    def peers(self) -> dict[PublicKey, Peer]:
        """Peers by public key, in the order in which they were added; do not change it."""
        return self._peers

    def add_peer(self, public_key: PublicKey) -> Peer:
        """Return the peer of this key, and make it first if it is missing.

        Raise FlowShieldError if the key is our own.
        """
        peer = self._peers.get(public_key)
        if peer is None:
            if self._keys is not None and public_key.raw == self._keys.public:
                raise FlowShieldError("this peer has our own key; give each side a key of its own")
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
        """Route ``network`` to ``peer``, and take it from the peer that had it."""
        self.allowed_ips.insert(network, peer)
        self._path.allow(network, peer.number)

    def disallow(self, peer: Peer, network: IPNetwork) -> None:
        """Route ``network`` to nobody; do nothing if it does not belong to ``peer``."""
        if self.allowed_ips.remove(network, peer):
            self._path.disallow(network)

    def disallow_all(self, peer: Peer) -> None:
        """Route nothing to ``peer``."""
        for network in self.allowed_ips.networks_of(peer):
            self.disallow(peer, network)

    def shut_down(self) -> None:
        """Take the interface down: sessions end, timers stop, settings stay."""
        self._switch.is_up = False
        self._path.set_up(False)
        self._admission.clear()
        for peer in self._peers.values():
            peer.shut_down()

    def come_up(self, now: float) -> None:
        """Bring the interface up: peers with a persistent keepalive open their path."""
        self._switch.is_up = True
        self._path.set_up(True)
        for peer in self._peers.values():
            if peer.timers.persistent_keepalive:
                peer.send_keepalive(now)

    @property
    def mtu(self) -> int:
        """The MTU of the TUN in bytes, which padding never exceeds; 0 if it is not known."""
        return self._mtu

    @mtu.setter
    def mtu(self, mtu: int) -> None:
        if mtu != self._mtu:
            self._mtu = mtu
            self._path.set_mtu(mtu)

    def log_keys_to(self, write: Callable[[KeyLogEntry], None] | None) -> None:
        """Give ``write`` the secrets of every handshake; None ends this.

        The secrets decrypt a capture of the traffic: this is for debugging only.
        """
        self._switch.key_log = write

    # Input.

    def handle_events(self, now: float, handshakes: int = HANDSHAKES_AT_ONCE) -> None:
        """Act on the events of the packet path, and queue at most ``handshakes`` messages."""
        # The second round takes the events that acting on the first ones led to.
        for most in (handshakes, 0):
            for event in self._path.take_events(most):
                match event:
                    case HandshakeReceived():
                        self._receive_untrusted(event, now)
                    case HandshakesLost():
                        self._admission.note_loss(now)
                    case _ if (peer := self._by_number.get(event.peer)) is not None:
                        self._handle_event(peer, event, now)

    @property
    def queued_handshakes(self) -> int:
        """How many handshake messages wait for ``process_handshakes``."""
        return len(self._admission)

    def process_handshakes(self, now: float, budget: int = MAX_QUEUED_HANDSHAKES) -> None:
        """Act on at most ``budget`` of the handshake messages that wait, oldest first."""
        for _ in range(min(budget, len(self._admission))):
            self._consume_handshake(self._admission.pop(), now)

    # Time.

    def next_timer(self) -> float | None:
        """When ``handle_timers`` is due; None while no timer runs."""
        while self._wakes and self._wakes[0][0] != self._wakes[0][2].timers.wake_at:
            heappop(self._wakes)  # stale: the deadline of this peer has changed since
        return self._wakes[0][0] if self._wakes else None

    def handle_timers(self, now: float) -> None:
        """Act on every deadline up to ``now``."""
        while (due := self.next_timer()) is not None and due <= now:
            _, _, peer = heappop(self._wakes)
            peer.timers.wake_at = IDLE
            peer.look()  # packets that passed may have moved the deadline
            for timer in peer.timers.take_due(now):
                peer.handle_timer(timer, now)
            deadline = peer.timers.next_deadline()
            if deadline < peer.timers.wake_at:
                peer.timers.wake_at = deadline
                self._wake(deadline, peer)

    # Output.

    def take_datagrams(self) -> list[Outgoing]:
        """Return the datagrams to send, in order, and forget them."""
        taken, self._switch.outgoing = self._switch.outgoing, []
        return taken

    def take_notices(self) -> list[tuple[Peer, CreditLow | EndpointMoved]]:
        """Return what happened to peers since the last call, in order, and forget it.

        It is for programs that watch the engine; the device itself has acted already.
        """
        taken, self._switch.notices = self._switch.notices, []
        return taken

    def observe(self, servers: Sequence[Endpoint], now: float) -> None:
        """Ask STUN servers where they see our socket; do nothing while the interface is down.

        Raise UsageError if servers were asked too often in the last seconds.
        """
        if self._switch.is_up:
            self._switch.outgoing += self._observer.ask(servers, now)

    def take_observations(self) -> list[tuple[Endpoint, Endpoint]]:
        """Return (server, where it sees us) for each answer, and forget the answers."""
        taken, self._observations = self._observations, []
        return taken

    def not_sent(self, outgoing: Outgoing) -> None:
        """Uncount a datagram that the shell could not send."""
        peer = None if outgoing.peer is None else self._by_number.get(outgoing.peer)
        if peer is not None:
            peer.not_sent(outgoing.data)

    def forget_local(self, outgoing: Outgoing) -> None:
        """Let datagrams to the same peer leave from any address: that of ``outgoing`` is gone."""
        peer = None if outgoing.peer is None else self._by_number.get(outgoing.peer)
        if peer is not None:
            peer.leave_from_any_address()

    @property
    def drops(self) -> Counter[str]:
        """How many messages and packets were refused, by reason, here and in the packet path."""
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

    def _receive_untrusted(self, received: HandshakeReceived, now: float) -> None:
        if not stun.is_answer(received.data):
            cookie_reply = self._admission.receive_untrusted(received, now)
            if cookie_reply is not None:
                self._switch.outgoing.append(cookie_reply)
            return
        observation = self._observer.receive_untrusted(received.data, received.source, now)
        if observation is None:
            self._drop("unasked_answer")
        else:
            self._observations.append(observation)

    def _consume_handshake(self, queued: QueuedHandshake, now: float) -> None:
        message, source, local = queued
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
        # The reply proves nothing about the path it came over, so the endpoint stays.
        peer, _ = self._session(message.receiver) or (None, None)
        if peer is None:
            self._drop("unknown_index")
        else:
            peer.cookies.consume_reply(message, now)

    def _drop(self, reason: str) -> None:
        self._switch.drops[reason] += 1

    def _wake(self, deadline: float, peer: Peer) -> None:
        heappush(self._wakes, (deadline, next(self._wake_order), peer))
