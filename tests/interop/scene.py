# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The scene of the wire tests: a server runs the engine under test, and eve has sockets."""

import base64
import contextlib
import itertools
import secrets
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6

from tests.interop.eve import Identity, Session
from tests.netns.capture import Capture
from tests.netns.peers import Engine, Peer, running, show_endpoint
from tests.netns.topology import Namespace, pair
from tools.testing import patience

SERVER_PORT = 51820
SERVER_INSIDE = ("10.66.0.1/16", "fd66::1/64")
# An answer that must come has this deadline.
ANSWER_SECONDS = patience.seconds(10.0)
# An answer that must not come gets this time, after a later message was answered already.
STRAGGLER_SECONDS = 0.05


class Line:
    """Eve's UDP socket towards the server; it keeps the datagrams that nobody expected."""

    def __init__(self, namespace: Namespace, address: str, server: tuple[str, int]) -> None:
        self.socket = namespace.udp_socket(address)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.connect(server)
        self.unexpected: list[bytes] = []

    @property
    def name(self) -> str:
        """Return the socket's own address and port, as ``wg`` shows an endpoint."""
        return show_endpoint(*self.socket.getsockname()[:2])

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    def expect(self, fits: Callable[[bytes], bool], *, what: str) -> bytes:
        """Return the first datagram that fits, and keep the others in ``unexpected``."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            data = self.receive(left)
            if data is not None and fits(data):
                return data
            if data is not None:
                self.unexpected.append(data)
        raise AssertionError(f"no {what} came back; other datagrams: {len(self.unexpected)}")

    def receive(self, seconds: float) -> bytes | None:
        """Return the next datagram, or None if none comes in time."""
        readable, _, _ = select.select([self.socket], [], [], max(0.0, seconds))
        return self.socket.recv(65535) if readable else None

    def drain(self, seconds: float) -> list[bytes]:
        """Return all datagrams that arrive until the line is quiet for ``seconds``."""
        found = []
        while (data := self.receive(seconds)) is not None:
            found.append(data)
        return found


class Eve:
    """A peer of the server, with an identity, addresses in the tunnel, and a line."""

    def __init__(self, scene: "Scene", identity: Identity, inside: tuple[str, str], line: Line):
        self._scene, self.identity, self.line = scene, identity, line
        self.v4, self.v6 = inside

    @property
    def public(self) -> str:
        return self.identity.public

    @property
    def server_v4(self) -> str:
        return self._scene.v4

    @property
    def server_v6(self) -> str:
        return self._scene.v6

    def shake_hands(self, *, line: Line | None = None, at: float | None = None) -> Session:
        """Open a session with the server; a keepalive confirms it, so that the server uses it."""
        over = line or self.line
        initiation = self.identity.initiation(at=at)
        over.send(initiation.message)
        session = initiation.finish(over.expect(initiation.is_answered_by, what="response"))
        over.send(session.seal(b""))
        return session

    def echo_request(self, *, data: bytes = b"", family: int = 4) -> bytes:
        """Make a ping from her tunnel address to the server's, with an identifier of its own."""
        number = secrets.randbits(16)
        if family == 4:
            return bytes(IP(src=self.v4, dst=self.server_v4) / ICMP(id=number) / data)
        request = ICMPv6EchoRequest(id=number, data=data)
        return bytes(IPv6(src=self.v6, dst=self.server_v6) / request)

    def ping(
        self, session: Session, *, line: Line | None = None, data: bytes = b"", family: int = 4
    ) -> bytes:
        """Ping the server through a session and return the transport message with its answer."""
        over = line or self.line
        request = self.echo_request(data=data, family=family)
        over.send(session.seal(request))
        return self.expect_pong(session, request, line=over)

    def expect_pong(self, session: Session, request: bytes, *, line: Line | None = None) -> bytes:
        """Return the transport message that answers an earlier ping."""

        def is_pong(message: bytes) -> bool:
            return session.is_for_us(message) and is_reply_to(session.open(message), request)

        return (line or self.line).expect(is_pong, what="ping reply")


class Scene:
    """A server and its would-be peers; a capture of the server's TUN shows what was delivered."""

    def __init__(self, server: Peer, eve_home: Namespace, server_address: str, address: str):
        self.server, self.eve_home, self.address = server, eve_home, address
        self.server_address = server_address
        self.v4, self.v6 = server.v4, server.v6
        self._numbers = itertools.count(1)
        self._stack = contextlib.ExitStack()
        self.inside = self._stack.enter_context(Capture(server.namespace, server.ifname))

    def close(self) -> None:
        self._stack.close()

    def line(self, address: str | None = None, port: int = SERVER_PORT) -> Line:
        """Open a new UDP socket for eve; it closes with the scene."""
        made = Line(self.eve_home, address or self.address, (self.server_address, port))
        self._stack.callback(made.socket.close)
        return made

    def eve(self, *, line: Line | None = None, psk: str | None = None, known: bool = True) -> Eve:
        """Make a fresh identity; the server knows it as a peer unless ``known`` is False."""
        high, low = divmod(next(self._numbers) + 1, 250)
        inside = f"10.66.{high}.{low + 2}", f"fd66::{high:x}:{low + 2:x}"
        identity = Identity(base64.b64decode(self.server.keys.public))
        if known:
            self.server.add_peer(
                identity.public, allowed_ips=[f"{inside[0]}/32", f"{inside[1]}/128"], psk=psk
            )
        return Eve(self, identity, inside, line or self.line())

    def add_again(self, eve: Eve) -> None:
        """Remove a peer and add it as before, which forgets its sessions and timestamps."""
        self.server.remove_peer(eve.public)
        self.server.add_peer(eve.public, allowed_ips=[f"{eve.v4}/32", f"{eve.v6}/128"])

    def endpoint(self, eve: Eve) -> str:
        return self.server.endpoint(eve.public)

    def assert_silence(self, line: Line) -> None:
        """Check that the server answered nothing that was sent on ``line`` so far.

        A fresh peer then shakes hands and pings on the same line. Once the server answers her, it
        has dealt with all earlier messages.
        """
        witness = self.eve(line=line)
        session = witness.shake_hands()
        witness.ping(session)
        late = line.drain(STRAGGLER_SECONDS)
        assert line.unexpected + late == []

    def delivered(self, packet: bytes) -> int:
        """Count how often a packet came out of the server's TUN."""
        return sum(not frame.outgoing and frame.data == packet for frame in self.inside.frames())

    def dropped_for(self, reason: str) -> int:
        """Return our engine's drops for a reason, or 0 for an engine that does not count."""
        return self.server.drops().get(reason, 0) if self.server.engine.is_ours else 0

    def dropped(self) -> int:
        """Return our engine's count of all drops, or 0 for an engine that does not count."""
        return sum(self.server.drops().values()) if self.server.engine.is_ours else 0

    @contextlib.contextmanager
    def counting_drops(self, expected: int) -> Iterator[None]:
        """Check that our engine counts exactly ``expected`` drops within the block."""
        before = self.dropped()
        yield
        if self.server.engine.is_ours:
            assert self.dropped() - before == expected, self.server.drops()


@contextlib.contextmanager
def scene(engine: Engine, *, env: Mapping[str, str] | None = None) -> Iterator[Scene]:
    """Build a server in one namespace, and a home for eve in another."""
    with (
        pair() as net,
        running(engine, net.bob, SERVER_INSIDE, port=SERVER_PORT, env=env) as server,
        contextlib.closing(Scene(server, net.alice, net.bob_v4, net.alice_v4)) as made,
    ):
        yield made


def is_reply_to(padded: bytes, request: bytes) -> bool:
    """Tell whether the server's inner packet answers an echo request of either family."""
    if not padded or padded[0] >> 4 != request[0] >> 4:
        return False
    if padded[0] >> 4 == 4:
        reply, asked = IP(padded), IP(request)
        return ICMP in reply and reply[ICMP].type == 0 and reply[ICMP].id == asked[ICMP].id
    reply6, asked6 = IPv6(padded), IPv6(request)
    if ICMPv6EchoReply not in reply6:
        return False
    return bool(reply6[ICMPv6EchoReply].id == asked6[ICMPv6EchoRequest].id)
