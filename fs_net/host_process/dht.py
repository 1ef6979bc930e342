# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The DHT: clients can find a provider's record there without any full node.

A record is stored under the provider's node key. So every peer that stores it can check the
signature without a chain, and nobody can replace it by another. But peers can withhold it: an
attacker finds ids close to its name in a second. So records are stored and looked up at several
points of the key space. All connected full nodes are told and asked too, wherever their ids are.
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
from fs_wire.patience import patient

NAMESPACE = "fs"
_ASKED = 2  # lookups, because a single one misses some full nodes
# The extra points of the key space: the XOR of their first byte with that of the name.
_POINTS = 0xFF, 0x55
_AT_ONCE = 10  # peers that are told or asked in parallel
_PEER_PATIENCE = patient(3.0)  # s for each of them

T = TypeVar("T")


class RecordValidator(Validator):
    """Accepts a record under the name of its node key; the latest record is the best."""

    def __init__(self, network: bytes) -> None:
        self._network = network
        self.listed: Collection[bytes] | None = None  # node keys; None allows any

    def validate(self, key: str, value: bytes) -> None:
        """Raise InvalidRecordType if the node key is not listed, or did not sign this record."""
        self._parse(key, value)

    def select(self, key: str, values: list[bytes]) -> int:
        """Return the index of the record with the greatest sequence, or raise ValueError."""
        best, chosen = -1, -1
        for index, value in enumerate(values):
            try:
                sequence = self._parse(key, value).content.sequence
            except InvalidRecordType:
                continue
            if sequence > best:
                best, chosen = sequence, index
        if chosen < 0:
            raise ValueError("no record is valid")
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
    """KadDHT with deadlines, because by itself it waits 20 s for each dead peer."""

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
        """Store records of these node keys only, and forget all others."""
        self._validator.listed = frozenset(node_keys)
        store = self.service.value_store
        for name in list(store.store):
            if _key_of(name.decode()) not in self._validator.listed:
                store.remove(name)

    async def put(self, node_key: bytes, record: bytes, deadline: float) -> bool:
        """Store a record; return whether this ended in time and at least one peer has it.

        A peer that has just connected may fail: we may not know yet that it serves the DHT, or it
        may not know yet which keys are listed.
        """
        name = name_of(node_key)
        store = self.service.value_store
        stored_at: set[ID] = set()

        async def tell(peer: ID) -> None:
            if await store._store_at_peer(peer, name.encode(), record):
                stored_at.add(peer)

        with trio.move_on_after(deadline) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.service.put_value, name, record)
                nursery.start_soon(self._with_others, name, tell)
        return bool(stored_at) and not scope.cancelled_caught

    async def get(self, node_key: bytes, deadline: float) -> bytes | None:
        """Return the latest record that was found within ``deadline`` seconds, or None.

        The record in our own store is one answer among others. KadDHT would prefer it to all
        others.
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
        """Speak to connected peers that serve the DHT, and to peers near the extra points."""
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
        """Return the connected peers that are known to serve the DHT."""
        store, found = self._host.get_peerstore(), []
        for peer in self._host.get_connected_peers():
            with contextlib.suppress(PeerStoreError):  # the peer is not identified yet
                if self.protocol in store.get_protocols(peer):
                    found.append(peer)
        return found

    async def provide(self, key: str, deadline: float) -> bool:
        """Announce that this peer serves ``key``."""
        return bool(await _within(deadline, self.service.provide(key)))

    async def find_providers(self, key: str, deadline: float) -> list[PeerInfo]:
        """Return the peers that serve ``key``, each once, as far as they were found in time.

        We ask connected peers ourselves. KadDHT returns nothing until it has given up on dead
        peers, and stops asking as soon as it has found one peer.
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
        """Return the addresses of a peer, or None if they were not found in time."""
        return await _within(deadline, self.service.find_peer(peer))


def name_of(node_key: bytes) -> str:
    """Return the name under which a record is stored; peers reject more than 50 bytes."""
    return f"/{NAMESPACE}/{base64.urlsafe_b64encode(node_key).decode().rstrip('=')}"


def point_of(name: str, difference: int) -> bytes:
    """Return one of the extra points near which a record is stored.

    An attacker can make ids that are very close to the name. Seen from the opposite side of the key
    space, these ids are farther away than all honest ones. A position is a hash, so this function
    tries a few hundred.
    """
    first = sha256(name.encode()).digest()[0] ^ difference
    tried = (sha256(f"{name} {number}".encode()).digest() for number in count())
    return next(point for point in tried if sha256(point).digest()[0] == first)


def _key_of(name: str) -> bytes:
    """Invert ``name_of``; raises ValueError for any other name."""
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
