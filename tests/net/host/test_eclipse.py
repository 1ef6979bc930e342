# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""An attacker that surrounds a name in the DHT, or holds its streams, cannot hide a record."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from libp2p.abc import IHost
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.host.exceptions import StreamFailure
from libp2p.kad_dht.kad_dht import KadDHT
from libp2p.kad_dht.provider_store import ProviderStore
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

from fs_net.host_process import dht_service
from fs_net.host_process.dht import Dht
from fs_net.host_process.dht_service import FULL_NODES, FullNodeStore, GuardedDht
from fs_net.host_process.network_peer import NetworkPeer
from tests.net.host.stage import Eve, Stage, address_of, eve, eventually, peer_of, run
from tests.net.host.sybils import approach, sybils
from tests.net.host.test_dht import key_of, name_of
from tests.net.world import Provider
from tests.walks import long
from tools.testing import patience

COUNT, SILENT = 24, 2  # more than the 20 that a lookup keeps


def found_among_sybils(folder: Path) -> tuple[bytes | None, bytes]:
    """Return what a client finds through one full node about a provider at another full node."""
    bob = Provider(1)

    async def surround(full: NetworkPeer, hosts: list[IHost]) -> None:
        async def connect(host: IHost) -> None:
            await host.connect(peer_of(full))
            await full.dht.service.add_peer(host.get_id(), skip_server_mode_check=True)

        await approach(hosts, connect)

    async def main() -> bytes | None:
        stage = Stage(folder)
        one, other = stage.node(), stage.node()
        provider, client = stage.node(is_full_node=False), stage.node(is_full_node=False)
        async with (
            sybils(name_of(bob), COUNT, silent=SILENT) as hosts,
            one.running(),
            other.running(),
            provider.running(),
            client.running(),
        ):
            await other.connect(address_of(one), 10)
            for full in (one, other):
                await surround(full, hosts)
            await provider.connect(address_of(one), 10)
            await client.connect(address_of(other), 10)
            for each in (provider, client):
                await eventually(each.dht.connected)
            await provider.dht.put(key_of(bob), bob.record().raw, patience.seconds(20))
            return await client.dht.get(key_of(bob), patience.seconds(20))

    return run(lambda: trio.run(main)), bob.record().raw


@long
def test_a_record_is_found_among_ids_ground_next_to_its_name(tmp_path: Path) -> None:
    found, said = found_among_sybils(tmp_path)
    assert found == said


@long
def test_the_closest_alone_would_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(self: Dht, name: str, speak: object) -> None: ...

    monkeypatch.setattr(Dht, "_with_others", nobody)
    found, _ = found_among_sybils(tmp_path)
    assert found is None


async def hold(attacker: Eve, full: NetworkPeer, count: int) -> None:
    """Open streams of the DHT, and begin a message on each; reset some of them at once."""
    for _ in range(count):
        with contextlib.suppress(StreamFailure, StreamError):
            stream = await attacker.open(full, str(full.dht.protocol))
            await stream.write(b"\x05")


def found_beside_silent_streams(folder: Path, count: int) -> bytes | None:
    """Return what a client finds while an attacker holds so many streams of the DHT open."""
    bob = Provider(1)

    async def main() -> bytes | None:
        stage = Stage(folder)
        full, client = stage.node(), stage.node(is_full_node=False)
        full.dht.service.value_store.put(name_of(bob).encode(), bob.record().raw)
        async with full.running(), client.running(), eve() as attacker:
            await client.connect(address_of(full), 10)
            await eventually(client.dht.connected)
            await hold(attacker, full, count)
            return await client.dht.get(key_of(bob), 3)

    return run(lambda: trio.run(main))


def with_many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lift the bound of one source, because client and attacker share an address here."""
    monkeypatch.setattr(dht_service, "_STREAMS_EACH", 64)


def test_silent_streams_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_many_places(monkeypatch)
    assert found_beside_silent_streams(tmp_path, 14) == Provider(1).record().raw


@long
def test_a_dozen_would_do_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedDht, "handle_stream", KadDHT.handle_stream)
    monkeypatch.setattr(dht_service, "_STREAMS", 12)
    assert found_beside_silent_streams(tmp_path, 14) is None


def test_streams_have_a_share_and_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_service, "_PATIENCE", 3.0)

    async def main() -> tuple[int, int]:
        full = Stage(tmp_path).node()
        async with full.running(), eve() as attacker:
            await hold(attacker, full, 20)
            service = full.dht.service
            assert await eventually(lambda: service.refused["slow"] == 16)
            assert await eventually(lambda: not service._streams)
            return service.refused["too many streams"], service.refused["slow"]

    assert run(lambda: trio.run(main)) == (4, 16)


def stored(folder: Path, listed: list[Provider] | None) -> tuple[bool, bool]:
    """Return whether a full node stores for Bob and for Eve, after it was told whom to list."""
    bob, crook = Provider(1), Provider(2)

    async def main() -> tuple[bool, bool]:
        stage = Stage(folder)
        full, provider = stage.node(), stage.node(is_full_node=False)
        store = full.dht.service.value_store
        async with full.running(), provider.running():
            await provider.connect(address_of(full), 10)
            await eventually(provider.dht.connected)
            await provider.dht.put(key_of(crook), crook.record().raw, 5)
            assert store.get(name_of(crook).encode()) is not None
            if listed is not None:
                await full.list_keys(b"".join(map(key_of, listed)), False)
            for each in (bob, crook):
                await provider.dht.put(key_of(each), each.record().raw, 5)
            return tuple(store.get(name_of(each).encode()) is not None for each in (bob, crook))  # type: ignore[return-value]

    return run(lambda: trio.run(main))


def test_nothing_is_stored_for_keys_that_are_not_listed(tmp_path: Path) -> None:
    assert stored(tmp_path, [Provider(1)]) == (True, False)


def test_whoever_did_not_say_stores_for_all(tmp_path: Path) -> None:
    assert stored(tmp_path, None) == (True, True)


class Places:
    """A host whose peers come from sources that the test names."""

    def __init__(self) -> None:
        self.connections: dict[ID, list[Any]] = {}

    def get_network(self) -> "Places":
        return self

    def get_id(self) -> ID:
        return ID(b"ours")

    def newcomer(self, place: str) -> PeerInfo:
        peer = ID.from_pubkey(create_new_key_pair().public_key)
        muxed = type("Muxed", (), {"get_remote_address": lambda self: (place, 1)})()
        self.connections[peer] = [type("Conn", (), {"muxed_conn": muxed})()]
        return PeerInfo(peer, [Multiaddr("/ip4/192.0.2.1/tcp/1")])


Make = Callable[[Places], ProviderStore]


def remembered(make: Make) -> tuple[bool, int]:
    """Return whether an honest full node is still known after a crowd, and how many are known."""
    places = Places()
    store = make(places)
    key = FULL_NODES.encode()
    for _ in range(50):
        store.add_provider(key, places.newcomer("198.51.100.1"))
        store.add_provider(b"anything", places.newcomer("198.51.100.1"))
    honest = [places.newcomer(f"203.0.113.{number}") for number in range(12)]
    for each in honest:
        store.add_provider(key, each)
    for _ in range(50):
        store.add_provider(key, places.newcomer("198.51.100.1"))
    known = {each.peer_id for each in store.get_providers(key)}
    return {each.peer_id for each in honest} <= known, len(known) + len(store.providers) - 1


def make_ours(places: Places) -> ProviderStore:
    return FullNodeStore(cast(Any, places), cast(Any, None))


def make_theirs(places: Places) -> ProviderStore:
    return ProviderStore(cast(Any, places), cast(Any, None))


def test_a_crowd_from_one_place_does_not_displace_full_nodes() -> None:
    assert remembered(make_ours) == (True, 16)


def test_the_library_remembers_who_came_first() -> None:
    assert remembered(make_theirs) == (False, 21)


def test_where_there_is_no_room_the_most_crowded_place_makes_some() -> None:
    places = Places()
    store = make_ours(places)
    key = FULL_NODES.encode()
    first = [places.newcomer(f"203.0.113.{number}") for number in range(18)]
    crowd = [places.newcomer("198.51.100.1") for _ in range(4)]
    for each in (*first, *crowd):
        store.add_provider(key, each)
    known = {each.peer_id for each in store.get_providers(key)}
    assert {each.peer_id for each in first} <= known
    assert known & {each.peer_id for each in crowd} == {each.peer_id for each in crowd[2:]}
