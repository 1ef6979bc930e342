"""The DHT: where a provider's record is found without asking any full node.

A record lies under the provider's node key, so whoever stores it can check the signature without
a chain, and nobody can put another one in its place.  Withholding it is another matter: ids that
lie closer to its name than all others are found in a second.  So it is stored and looked for at
several points of the key space, and at all connected full nodes wherever they lie.
"""

import base64
import binascii
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from hashlib import sha256
from itertools import count
from typing import TypeVar

import trio
from libp2p.abc import IHost
from libp2p.kad_dht.kad_dht import DHTMode
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PeerStoreError
from libp2p.records.utils import InvalidRecordType
from libp2p.records.validator import NamespacedValidator, Validator

from fs_net.core.records import ProviderRecord, Signed, parse_untrusted
from fs_net.errors import Refused
from fs_net.host_process.dht_service import GuardedDht
from fs_net.host_process.guards import name_dht

NAMESPACE = "fs"
_ASKED = 2  # times: once, a provider is missed at times
_POINTS = 0xFF, 0x55  # of the key space, besides the name: how their first byte differs from its
_AT_ONCE = 10  # peers that are told or asked
_PEER_PATIENCE = 3.0  # s

T = TypeVar("T")


class RecordValidator(Validator):
    """A record under the name of its node key; the latest is the best."""

    def __init__(self, network: bytes) -> None:
        self._network = network
        self.listed: Collection[bytes] | None = None  # node keys; None: any

    def validate(self, key: str, value: bytes) -> None:
        """InvalidRecordType where the node key is not listed, or did not sign this record."""
        self._parse(key, value)

    def select(self, key: str, values: list[bytes]) -> int:
        """The index of the record with the greatest sequence; ValueError where none is good."""
        best, chosen = -1, -1
        for index, value in enumerate(values):
            try:
                sequence = self._parse(key, value).content.sequence
            except InvalidRecordType:
                continue
            if sequence > best:
                best, chosen = sequence, index
        if chosen < 0:
            raise ValueError("no record is good")
        return chosen

    def _parse(self, key: str, value: bytes) -> Signed[ProviderRecord]:
        try:
            node_key = _key_of(key)
            if self.listed is not None and node_key not in self.listed:
                raise InvalidRecordType("no provider with this key is listed")
            said = parse_untrusted(ProviderRecord, value)
            said.check(node_key, self._network)
        except (Refused, ValueError) as error:
            raise InvalidRecordType(str(error)) from None
        return said


class Dht:
    """KadDHT with deadlines: it waits 20 s for each peer that is dead."""

    def __init__(self, host: IHost, network: bytes, *, is_server: bool) -> None:
        self.protocol = name_dht(network)
        self._host = host
        self._validator = RecordValidator(network)
        self.service = GuardedDht(
            host,
            DHTMode.SERVER if is_server else DHTMode.CLIENT,
            NamespacedValidator({NAMESPACE: self._validator}, strict_validation=True),
        )

    def list_keys(self, node_keys: Iterable[bytes]) -> None:
        """Store for these node keys alone, and forget what is stored for others."""
        self._validator.listed = frozenset(node_keys)
        store = self.service.value_store
        for name in list(store.store):
            if _key_of(name.decode()) not in self._validator.listed:
                store.remove(name)

    async def put(self, node_key: bytes, record: bytes, deadline: float) -> bool:
        """Store a record; whether that ended within ``deadline`` seconds."""
        name = name_of(node_key)
        store = self.service.value_store

        async def tell(peer: ID) -> None:
            await store._store_at_peer(peer, name.encode(), record)

        with trio.move_on_after(deadline) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.service.put_value, name, record)
                nursery.start_soon(self._with_others, name, tell)
        return not scope.cancelled_caught

    async def get(self, node_key: bytes, deadline: float) -> bytes | None:
        """The latest record that was found within ``deadline`` seconds.

        What this node itself stores is one answer among others: KadDHT would take it for the best.
        """
        name, store = name_of(node_key), self.service.value_store
        key = name.encode()
        values = [held.value] if (held := store.get(key)) else []
        store.remove(key)

        async def look_up() -> None:
            if (found := await self.service.get_value(name)) is not None:
                values.append(found)

        async def ask(peer: ID) -> None:
            found = await store._get_from_peer(peer, key)
            if type(found) is bytes:
                values.append(found)

        with trio.move_on_after(deadline):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look_up)
                nursery.start_soon(self._with_others, name, ask)
        try:
            best = values[self._validator.select(name, values)]
        except ValueError:
            return None
        store.put(key, best)
        return best

    async def _with_others(
        self, name: str, speak: Callable[[ID], Awaitable[None]], points: Iterable[int] = _POINTS
    ) -> None:
        """Speak to connected peers that serve the DHT, and to those near other points."""
        spoken_to: set[ID] = set()
        limit = trio.CapacityLimiter(_AT_ONCE)

        async def speak_in_time(peer: ID) -> None:
            async with limit:
                with trio.move_on_after(_PEER_PATIENCE):
                    await speak(peer)

        async with trio.open_nursery() as nursery:

            def speak_to(peers: Iterable[ID]) -> None:
                for peer in peers:
                    if peer not in spoken_to and peer != self._host.get_id():
                        spoken_to.add(peer)
                        nursery.start_soon(speak_in_time, peer)

            async def walk_to(point: bytes) -> None:
                speak_to(await self.service.peer_routing.find_closest_peers_network(point))

            speak_to(self.connected())
            for difference in points:
                nursery.start_soon(walk_to, point_of(name, difference))

    def connected(self) -> list[ID]:
        """Connected peers that are known to serve the DHT."""
        store, found = self._host.get_peerstore(), []
        for peer in self._host.get_connected_peers():
            with contextlib.suppress(PeerStoreError):  # not identified yet
                if self.protocol in store.get_protocols(peer):
                    found.append(peer)
        return found

    async def provide(self, key: str, deadline: float) -> bool:
        """Tell that this node serves ``key``."""
        return bool(await _within(deadline, self.service.provide(key)))

    async def find_providers(self, key: str, deadline: float) -> list[PeerInfo]:
        """Who serves ``key``, each once; as many as were found within the deadline.

        Connected peers are asked by us: KadDHT knows nothing until it gave up on those that are
        dead, and asks nobody any more once it found somebody.
        """
        found: dict[ID, PeerInfo] = {}

        def take(peers: Iterable[PeerInfo]) -> None:
            for peer in peers:
                found.setdefault(peer.peer_id, peer)

        async def look_up() -> None:
            for _ in range(_ASKED):
                take(await self.service.find_providers(key))

        async def ask(peer: ID) -> None:
            store = self.service.provider_store
            told, _ = await store._get_providers_from_peer_with_closers(peer, key.encode())
            take(told)

        with trio.move_on_after(deadline):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look_up)
                nursery.start_soon(self._with_others, key, ask, ())
        return list(found.values())

    async def find_peer(self, peer: ID, deadline: float) -> PeerInfo | None:
        """Where a peer can be dialled."""
        return await _within(deadline, self.service.find_peer(peer))


def name_of(node_key: bytes) -> str:
    """Under which name a record is stored; peers refuse to look for more than 50 bytes."""
    return f"/{NAMESPACE}/{base64.urlsafe_b64encode(node_key).decode().rstrip('=')}"


def point_of(name: str, difference: int) -> bytes:
    """One of the other points near which a record is stored.

    From the opposite side of the key space, ids that were ground to lie near the name are farther
    away than all honest ones.  Places are hashes, so a few hundred have to be tried.
    """
    first = sha256(name.encode()).digest()[0] ^ difference
    tried = (sha256(f"{name} {number}".encode()).digest() for number in count())
    return next(point for point in tried if sha256(point).digest()[0] == first)


def _key_of(name: str) -> bytes:
    """The reverse of ``name_of``; ValueError for any other name."""
    try:
        node_key = base64.urlsafe_b64decode(name.rpartition("/")[2] + "=")
    except binascii.Error:
        node_key = b""
    if name_of(node_key) != name:
        raise ValueError("not the name of a node key")
    return node_key


async def _within(deadline: float, call: Awaitable[T]) -> T | None:
    with trio.move_on_after(deadline):
        return await call
    return None
