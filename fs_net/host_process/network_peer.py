# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Our network process's peer: a libp2p host and everything around it."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

import trio
from libp2p.host.exceptions import StreamFailure
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.peer.peerstore import PeerStoreError
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from fs_net.bridge import Decision, Settings
from fs_net.host_process import gossip, guards, identity
from fs_net.host_process.dht import Dht
from fs_net.host_process.dht_service import FULL_NODES
from fs_net.host_process.door import Door
from fs_net.host_process.gate import ClientGate
from fs_net.host_process.gossip import GuardedPubsub
from fs_net.host_process.link import Link, Method
from fs_net.host_process.local import find_local_peers
from fs_net.host_process.making import make_host
from fs_net.host_process.peers import Peers
from fs_net.host_process.relay import Relay
from fs_net.host_process.sessions import Sessions
from fs_net.host_process.streams import Streams
from fs_net.host_process.watcher import Watcher
from fs_wire.patience import patient

_BAN = 600.0  # s
_MAX_BANNED = 4096
_JUDGEMENT = patient(2.0)  # s for the program to judge gossip
_ANSWER = patient(8.0)  # s for the program to answer a question
_DIAL = patient(10.0)  # s
_PACE = 0.005  # s between publications, so that queues of 32 do not overflow
_UPKEEP = 30.0  # s
_DHT_UPKEEP = 2.0  # s
_KNOWN_DIALLED = 16  # peers of the last run that are dialled again
_BOOTSTRAP = 5.0  # s between checks that the full nodes in the settings are connected
_MAX_ADDRESSES = 8  # of one peer


class NetworkPeer:
    """Create it, then enter ``running``; ``methods`` are the calls that the program may make."""

    def __init__(self, settings: Settings, link: Link) -> None:
        self._settings, self._link = settings, link
        self._folder = Path(settings.folder)
        self.caught: Counter[str] = Counter()
        peers = Peers()
        self.host = make_host(settings, self._folder, peers)
        peers.kept = self._kept
        guards.guard_streams(self.host, self.caught)
        guards.bound_quic()
        self.door = Door(self.host, settings.max_per_source)
        self.router = gossip.gossip_router()
        self.gossip = GuardedPubsub(self.host, self.router, self._judge)
        self.streams = Streams(self.host, self._on_message, self._on_question)
        self.sessions = Sessions(self.host, self._on_session)
        self.dht = Dht(self.host, settings.network, is_server=settings.is_full_node)
        # A peer that listens nowhere is a client, and a client needs only the circuit.
        is_client = not settings.listen
        self.relay = Relay(self.host, relays=settings.is_full_node, punches=not is_client)
        if is_client:
            network: Any = self.host.get_network()
            network.connection_gate = ClientGate((*settings.bootstrap, *settings.named))
        self._banned: dict[ID, float] = {}
        self._pace = trio.Lock()
        self._works: trio.Nursery  # since ``running`` was entered
        self._listed: list[bytes] = []  # the keys of calls to ``list_keys`` so far
        self._dials: WeakValueDictionary[ID, trio.Lock] = WeakValueDictionary()
        self._found: set[ID] = set()  # peers in the local network
        self.host.get_network().register_notifee(Watcher(self._joined, self._left))

    @property
    def methods(self) -> dict[str, Method]:
        """The methods that the program may call, by name."""
        return {
            "info": self.info,
            "connect": self.connect,
            "disconnect": self.disconnect,
            "ban": self.ban,
            "publish": self.publish,
            "send": self.send,
            "ask": self.ask,
            "list_keys": self.list_keys,
            "open_session": self.sessions.open,
            "session_read": self.sessions.read,
            "session_write": self.sessions.write,
            "session_close": self.sessions.close,
            "session_abort": self.sessions.abort,
            "put": self.dht.put,
            "get": self.dht.get,
            "find_peer": self.find_peer,
            "find_full_nodes": self.find_full_nodes,
            "connected_full_nodes": self.connected_full_nodes,
            "reserve": self.reserve,
            "dial_circuit": self.dial_circuit,
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen, join the network, and run all services until the end of the block."""
        listen = [Multiaddr(each) for each in self._settings.listen]
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.host.run(listen_addrs=listen))
            for service in (self.gossip, self.dht.service, self.gossip.router):
                await stack.enter_async_context(background_trio_service(cast(Any, service)))
            await self.gossip.wait_until_ready()
            await self.relay.start(stack)
            nursery = self._works = await stack.enter_async_context(trio.open_nursery())
            if self._settings.is_full_node:
                # Only full nodes form the mesh; providers never subscribe.
                for topic in self._settings.topics:
                    subscription = await self.gossip.subscribe(topic)
                    nursery.start_soon(_discard, subscription)
            if self._settings.finds_local_peers:
                discovery = find_local_peers(
                    self.host, self._settings.network, self._on_local_peer(nursery)
                )
                stack.callback(discovery.stop)
            nursery.start_soon(self._keep_up)
            nursery.start_soon(self._keep_bootstrap)
            nursery.start_soon(self._fill_dht)
            if self._settings.is_full_node:
                nursery.start_soon(self._announce)
            yield
            nursery.cancel_scope.cancel()

    async def info(self) -> dict[str, Any]:
        """Return this peer's id, addresses, connections and counters."""
        return {
            "peer": self.host.get_id().to_bytes(),
            "addresses": [str(each) for each in self.host.get_addrs()],
            "connected": [each.to_bytes() for each in self.host.get_connected_peers()],
            "mesh": {
                topic: [each.to_bytes() for each in peers]
                for topic, peers in self.router.mesh.items()
            },
            "dht": self.dht.service.get_routing_table_size(),
            "counters": {
                "caught": dict(self.caught),
                "gossip": dict(self.gossip.caught),
                "streams": dict(self.streams.refused),
                "sessions": dict(self.sessions.refused),
                "dropped": dict(self._link.dropped),
                "dht": dict(self.dht.service.refused),
                "turned away": self.door.refused,
            },
        }

    async def connect(self, address: str, deadline: float) -> bytes:
        """Dial ``…/p2p/…`` even if the peer was known at other addresses; return the peer's id."""
        peer = info_from_p2p_addr(Multiaddr(address))
        self.router.choose(peer.peer_id)
        with trio.fail_after(deadline):
            await self._connect(peer)
        return peer.peer_id.to_bytes()

    async def disconnect(self, peer: bytes) -> None:
        """Close all connections of a peer; what takes longer goes on without the caller."""
        closed = trio.Event()

        async def close() -> None:
            try:
                await self.host.disconnect(ID(peer))
            except Exception as error:  # noqa: BLE001 - libp2p passes on any error of its transports
                self.caught[f"disconnect: {type(error).__name__}"] += 1
            closed.set()

        # A close that is cancelled half-way tells nobody that the connection has ended.
        self._works.start_soon(close)
        with trio.move_on_after(_JUDGEMENT):
            await closed.wait()

    async def ban(self, peer: bytes) -> None:
        """Close all connections of a peer, and refuse new ones for ten minutes."""
        if len(self._banned) >= _MAX_BANNED:
            del self._banned[min(self._banned, key=lambda each: self._banned[each])]
        self._banned[ID(peer)] = trio.current_time() + _BAN
        await self.disconnect(peer)

    async def publish(self, topic: str, data: bytes) -> None:
        """Send gossip, but no faster than the queues take it."""
        async with self._pace:
            await self.gossip.publish(topic, data)
            await trio.sleep(_PACE)

    async def send(self, peer: bytes, message: bytes, deadline: float) -> None:
        """Send a message on the stream to a peer, and open the stream if there is none."""
        async with self._in_time(peer, deadline):
            await self.streams.send(ID(peer), message)

    async def ask(self, peer: bytes, question: bytes, deadline: float) -> bytes:
        """Ask a peer a question and return its answer."""
        async with self._in_time(peer, deadline):
            return await self.streams.ask(ID(peer), question)

    async def find_peer(self, peer: bytes, deadline: float) -> list[str]:
        """Return the addresses that the DHT has for a peer."""
        found = await self.dht.find_peer(ID(peer), deadline)
        return [f"{each}/p2p/{found.peer_id}" for each in found.addrs] if found else []

    async def find_full_nodes(self, deadline: float) -> list[tuple[bytes, list[str]]]:
        """Return the full nodes that the DHT knows, each once."""
        found = await self.dht.find_providers(FULL_NODES, deadline)
        return [
            (each.peer_id.to_bytes(), [_with_peer(address, each.peer_id) for address in each.addrs])
            for each in found
        ]

    async def connected_full_nodes(self) -> list[tuple[bytes, list[str]]]:
        """Return connected peers in the mesh of our topics, and their addresses."""
        store, found = self.host.get_peerstore(), []
        subscribed = set[ID]().union(
            *(self.gossip.peer_topics.get(topic, ()) for topic in self._settings.topics)
        )
        for peer in subscribed.intersection(self.host.get_connected_peers()):
            try:
                addresses = [f"{each}/p2p/{peer}" for each in store.addrs(peer)]
            except PeerStoreError:  # the peer is not identified yet
                addresses = []
            found.append((peer.to_bytes(), addresses[:_MAX_ADDRESSES]))
        return found

    async def list_keys(self, node_keys: bytes, more: bool) -> None:
        """Store only records of these node keys; the last of several calls has ``more`` unset.

        ``node_keys`` are the keys of 32 bytes, one after another.
        """
        self._listed += [node_keys[at : at + 32] for at in range(0, len(node_keys), 32)]
        if not more:
            self.dht.list_keys(self._listed)
            self._listed = []

    async def reserve(self, relay: bytes, deadline: float) -> bool:
        """Ask a connected full node to relay circuits to us."""
        return await self.relay.reserve(ID(relay), deadline)

    async def dial_circuit(self, address: str, deadline: float, punch: bool = True) -> bool:
        """Connect through a full node; return whether a direct connection followed."""
        circuit = Multiaddr(address)
        peer = info_from_p2p_addr(circuit).peer_id
        return await self.relay.dial(circuit, peer, deadline, punch=punch)

    def is_banned(self, peer: ID) -> bool:
        return self._banned.get(peer, 0.0) > trio.current_time()

    @asynccontextmanager
    async def _in_time(self, peer: bytes, deadline: float) -> AsyncIterator[None]:
        """Give the block so many seconds, and close the connections if it fails in this way.

        A call that is given up may leave half a frame behind, or the peer may be gone without a
        word, or it opens no stream any more. The next dial would find the same useless connection.
        """
        try:
            with trio.fail_after(deadline):
                yield
        except (trio.TooSlowError, StreamFailure):
            await self.disconnect(peer)
            raise

    async def _judge(self, peer: bytes, topic: str, data: bytes) -> Decision:
        decision = await self._link.call("gossip", peer, topic, data, deadline=_JUDGEMENT)
        return Decision(decision) if decision in set(Decision) else Decision.IGNORE

    def _on_message(self, peer: bytes, message: bytes) -> None:
        self._link.tell("message", peer, message)

    async def _on_question(self, peer: bytes, question: bytes) -> bytes:
        answer = await self._link.call("question", peer, question, deadline=_ANSWER)
        if type(answer) is not bytes:
            raise EOFError("the program has no answer")
        return answer

    async def _on_session(self, peer: bytes, number: int) -> bool:
        return await self._link.call("session", peer, number, deadline=_ANSWER) is True

    def _on_local_peer(self, nursery: trio.Nursery) -> Any:
        token = trio.lowlevel.current_trio_token()

        def found(peer: PeerInfo) -> None:
            token.run_sync_soon(self._dial_local_peer, nursery, peer)

        return found

    def _dial_local_peer(self, nursery: trio.Nursery, peer: PeerInfo) -> None:
        if peer.peer_id not in self._found and len(self._found) < self._settings.max_connections:
            self._found.add(peer.peer_id)
            nursery.start_soon(self._dial, peer)

    async def _connect(self, peer: PeerInfo) -> None:
        """Dial a peer, unless it is connected; dials to the same peer wait for one another."""
        async with self._dials.setdefault(peer.peer_id, trio.Lock()):
            if peer.peer_id not in self.host.get_connected_peers():
                await guards.dial(self.host, peer)

    async def _dial(self, peer: PeerInfo) -> None:
        try:
            with trio.move_on_after(_DIAL):
                await self._connect(peer)
        except Exception as error:  # noqa: BLE001 - libp2p passes on any error of its transports
            self.caught[f"dial: {type(error).__name__}"] += 1

    async def _keep_up(self) -> None:
        """Dial peers of the last run; then keep banning graylisted peers and saving others."""
        for peer, addresses in identity.load_peers(self._folder)[:_KNOWN_DIALLED]:
            await self._dial(PeerInfo(ID(peer), [Multiaddr(each) for each in addresses]))
        while True:
            for connected in self.host.get_connected_peers():
                if self.gossip.is_graylisted(connected):
                    self.caught["graylisted"] += 1
                    await self.ban(connected.to_bytes())
            await self.sessions.end_silent()
            self.remember()
            await trio.sleep(_UPKEEP)

    async def _fill_dht(self) -> None:
        """Add connected peers to the DHT, which by itself learns only of peers that ask it."""
        while True:
            for peer in self.dht.connected():
                await self.dht.service.add_peer(peer)
            await trio.sleep(_DHT_UPKEEP)

    async def _announce(self) -> None:
        """Tell the DHT that this is a full node: now and then, and soon after it met another one.

        Those who search for full nodes would otherwise miss this one for the first half minute.
        """
        told, again = set[ID](), 0.0
        while True:
            others = set(self.dht.connected())
            is_due = others - told or (others and trio.current_time() >= again)
            if is_due and await self.dht.provide(FULL_NODES, _UPKEEP / 3):
                told, again = others, trio.current_time() + _UPKEEP
            await trio.sleep(_DHT_UPKEEP)

    async def _keep_bootstrap(self) -> None:
        """Keep the full nodes in the settings connected."""
        peers = [info_from_p2p_addr(Multiaddr(each)) for each in self._settings.bootstrap]
        for each in peers:
            self.router.choose(each.peer_id)
        while True:
            for peer in peers:
                if peer.peer_id not in self.host.get_connected_peers():
                    await self._dial(peer)
            await trio.sleep(_BOOTSTRAP)

    async def _joined(self, conn: SwarmConn) -> None:
        """Refuse a banned peer, or one too many of its source."""
        if not self.door.admits(conn):
            await conn.close()
        elif self.is_banned(conn.muxed_conn.peer_id):
            await self.disconnect(conn.muxed_conn.peer_id.to_bytes())

    async def _left(self, conn: SwarmConn) -> None:
        peer = conn.muxed_conn.peer_id
        self.door.forget(conn)
        self.streams.forget(peer)
        self.gossip.renew(peer)

    def remember(self) -> None:
        """Save the addresses of connected peers."""
        store, peers = self.host.get_peerstore(), []
        for peer in self.host.get_connected_peers():
            with contextlib.suppress(PeerStoreError):  # the store has no addresses any more
                peers.append((peer.to_bytes(), [str(each) for each in store.addrs(peer)]))
        if peers:
            identity.save_peers(self._folder, peers)

    def _kept(self) -> Iterable[ID]:
        """Yield the peers that must not be forgotten."""
        yield self.host.get_id()
        yield from self.host.get_connected_peers()
        yield from self.dht.service.routing_table.get_peer_ids()


def _with_peer(address: Multiaddr, peer: ID) -> str:
    """Append ``/p2p/…`` to an address if it is missing, so that it can be dialled."""
    text = str(address)
    return text if text.endswith(f"/p2p/{peer}") else f"{text}/p2p/{peer}"


async def _discard(subscription: Any) -> None:
    """Empty the queue of gossip, which was judged already."""
    while True:
        await subscription.get()
