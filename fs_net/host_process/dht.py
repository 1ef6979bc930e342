"""The DHT: where a provider's record is found without asking any full node.

A record lies under the provider's node key, so whoever stores it can check the signature without
a chain, and nobody can put another one in its place.
"""

import base64
import binascii
from collections.abc import Awaitable
from typing import TypeVar

import trio
from libp2p.abc import IHost
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.utils import InvalidRecordType
from libp2p.records.validator import NamespacedValidator, Validator

from fs_net.core.records import ProviderRecord, Signed, parse_untrusted
from fs_net.errors import Refused
from fs_net.host_process.guards import name_dht

NAMESPACE = "fs"
_ASKED = 2  # times: once, a provider is missed at times

T = TypeVar("T")


class RecordValidator(Validator):
    """A record under the name of its node key; the latest is the best."""

    def __init__(self, network: bytes) -> None:
        self._network = network

    def validate(self, key: str, value: bytes) -> None:
        """InvalidRecordType where the node key did not sign this record."""
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
            said = parse_untrusted(ProviderRecord, value)
            said.check(_key_of(key), self._network)
        except (Refused, ValueError) as error:
            raise InvalidRecordType(str(error)) from None
        return said


class Dht:
    """KadDHT with deadlines: it waits 20 s for each peer that is dead."""

    def __init__(self, host: IHost, network: bytes, *, is_server: bool) -> None:
        self.protocol = name_dht(network)
        self._validator = RecordValidator(network)
        self.service = KadDHT(
            host,
            DHTMode.SERVER if is_server else DHTMode.CLIENT,
            validator=NamespacedValidator({NAMESPACE: self._validator}, strict_validation=True),
            validator_changed=True,
            strict_validation=True,
            enable_random_walk=True,
        )

    async def put(self, node_key: bytes, record: bytes, deadline: float) -> bool:
        """Store a record; whether that ended within ``deadline`` seconds."""
        ended = await _within(deadline, self._put(node_key, record))
        return ended is True

    async def get(self, node_key: bytes, deadline: float) -> bytes | None:
        """The latest record that was found.

        What this node itself stores is one answer among others: KadDHT would take it for the best.
        """
        name, store = name_of(node_key), self.service.value_store
        key = name.encode()
        stored = [held.value] if (held := store.get(key)) else []
        store.remove(key)
        found = await _within(deadline, self.service.get_value(name))
        values = stored + ([found] if found is not None else [])
        if not values:
            return None
        best = values[self._validator.select(name, values)]
        store.put(key, best)
        return best

    async def provide(self, key: str, deadline: float) -> bool:
        """Tell that this node serves ``key``."""
        return bool(await _within(deadline, self.service.provide(key)))

    async def find_providers(self, key: str, deadline: float) -> list[PeerInfo]:
        """Who serves ``key``, each once; as many as were found within the deadline."""
        found: dict[ID, PeerInfo] = {}
        with trio.move_on_after(deadline):
            for _ in range(_ASKED):
                for peer in await self.service.find_providers(key):
                    found.setdefault(peer.peer_id, peer)
        return list(found.values())

    async def find_peer(self, peer: ID, deadline: float) -> PeerInfo | None:
        """Where a peer can be dialled."""
        return await _within(deadline, self.service.find_peer(peer))

    async def _put(self, node_key: bytes, record: bytes) -> bool:
        await self.service.put_value(name_of(node_key), record)
        return True


def name_of(node_key: bytes) -> str:
    """Under which name a record is stored; peers refuse to look for more than 50 bytes."""
    return f"/{NAMESPACE}/{base64.urlsafe_b64encode(node_key).decode().rstrip('=')}"


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
