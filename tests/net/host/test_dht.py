# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Records are found without any full node, and the DHT cannot be turned against us."""

import socket
import time
from contextlib import closing
from pathlib import Path

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.kad_dht.kad_dht import KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.utils import InvalidRecordType
from multiaddr import Multiaddr

from fs_net.core.records import ProviderRecord, network_id, parse_untrusted
from fs_net.host_process import dht as dht_module
from fs_net.host_process import guards
from fs_net.host_process.dht import RecordValidator
from fs_net.host_process.dht_service import FULL_NODES
from tests.net.host.stage import Stage, address_of, eventually, run
from tests.net.world import NETWORK, NOW, Provider
from tests.walks import long


def key_of(provider: Provider) -> bytes:
    return bytes(provider.keys.node.verify_key)


def name_of(provider: Provider) -> str:
    return dht_module.name_of(key_of(provider))


def test_a_record_is_found_by_who_knows_the_key(tmp_path: Path) -> None:
    bob = Provider(1)
    older, later = bob.record(NOW), bob.record(NOW + 1)

    async def main() -> tuple[bytes | None, bytes | None]:
        stage = Stage(tmp_path)
        full = [stage.node() for _ in range(3)]
        provider, client = stage.node(is_full_node=False), stage.node(is_full_node=False)
        async with full[0].running(), full[1].running(), full[2].running():
            for each in full[1:]:
                await each.connect(address_of(full[0]), 10)
            async with provider.running(), client.running():
                await provider.connect(address_of(full[1]), 10)
                await client.connect(address_of(full[2]), 10)
                for each, size in ((full[0], 2), (provider, 1), (client, 1)):
                    table = each.dht.service
                    await eventually(lambda: table.get_routing_table_size() >= size)  # noqa: B023
                assert await provider.dht.put(key_of(bob), older.raw, 10)
                first = await client.dht.get(key_of(bob), 10)
                assert await provider.dht.put(key_of(bob), later.raw, 10)
                return first, await client.dht.get(key_of(bob), 10)

    first, second = run(lambda: trio.run(main))
    assert first == older.raw
    assert second == later.raw


def test_who_stores_a_record_checks_it() -> None:
    validator, bob, eve = RecordValidator(NETWORK), Provider(1), Provider(2)
    validator.validate(name_of(bob), bob.record().raw)
    foreign = Provider(1, network_id(2, bytes(20)))
    for key, value in (
        (name_of(bob), eve.record().raw),
        (name_of(bob), foreign.record().raw),
        (name_of(bob), bob.heartbeat().raw),
        (name_of(bob), b""),
        ("/fs/AA", bob.record().raw),
        ("/fs/" + "!" * 43, bob.record().raw),
        ("/fs/" + "A" * 42 + "B", bob.record().raw),
    ):
        with pytest.raises(InvalidRecordType):
            validator.validate(key, value)


def test_the_latest_good_record_is_the_best() -> None:
    validator, bob, eve = RecordValidator(NETWORK), Provider(1), Provider(2)
    values = [bob.record(NOW).raw, bob.record(NOW + 2).raw, eve.record(NOW + 9).raw]
    assert validator.select(name_of(bob), values) == 1
    assert parse_untrusted(ProviderRecord, values[1]).content.sequence == NOW + 2
    with pytest.raises(ValueError, match="no record"):
        validator.select(name_of(bob), [b"", eve.record().raw])


def test_networks_do_not_share_a_dht(tmp_path: Path) -> None:
    async def main() -> bool:
        stage = Stage(tmp_path)
        one = stage.node(network=network_id(2, bytes(20)))
        served = [str(each) for each in one.host.get_mux().get_protocols()]
        assert one.dht.protocol in served and "/ipfs/kad/1.0.0" not in served
        stranger = stage.node()
        async with one.running(), stranger.running():
            await stranger.connect(address_of(one), 10)
            try:
                await stranger.host.new_stream(
                    one.host.get_id(),
                    [guards.name_dht(NETWORK)],  # type: ignore[list-item]
                )
            except Exception:  # noqa: BLE001 - refused
                return True
            return False

    assert run(lambda: trio.run(main))


def test_the_library_alone_would_join_that_of_ipfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here KadDHT's own ``protocol_prefix`` replaces our naming."""
    monkeypatch.setattr(dht_module, "name_dht", lambda _: "/flowshield")

    def protocols() -> list[str]:
        node = Stage(tmp_path).node()
        KadDHT(node.host, node.dht.service.mode, protocol_prefix="/flowshield")  # type: ignore[arg-type]
        return [str(each) for each in node.host.get_mux().get_protocols()]

    assert "/ipfs/kad/1.0.0" in run(protocols)


def put_beside_a_dead_peer(folder: Path, deadline: float) -> float:
    """Return how long a put takes if a peer accepts connections and says nothing."""
    bob = Provider(1)

    async def main() -> float:
        stage = Stage(folder)
        one, other = stage.node(), stage.node()
        with closing(socket.create_server(("127.0.0.1", 0))) as dead:
            async with one.running(), other.running():
                await other.connect(address_of(one), 10)
                peer = ID.from_pubkey(create_new_key_pair().public_key)
                address = Multiaddr(f"/ip4/127.0.0.1/tcp/{dead.getsockname()[1]}")
                one.host.get_peerstore().add_addrs(peer, [address], 600)
                await one.dht.service.routing_table.add_peer(PeerInfo(peer, [address]))
                started = time.monotonic()
                await one.dht.put(key_of(bob), bob.record().raw, deadline)
                return time.monotonic() - started

    return run(lambda: trio.run(main))


def test_a_name_is_short_enough_to_be_looked_for() -> None:
    assert len(name_of(Provider(1))) <= 50  # FIND_NODE refuses longer names


def test_a_dead_peer_costs_no_more_than_the_deadline(tmp_path: Path) -> None:
    assert put_beside_a_dead_peer(tmp_path, 1.0) < 2.5


@long
def test_it_would_cost_much_more(tmp_path: Path) -> None:
    assert put_beside_a_dead_peer(tmp_path, 5.0) > 2.5


def found_full_nodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    async def main() -> list[bytes]:
        stage = Stage(folder)
        one, other = stage.node(), stage.node()
        peers = [ID.from_pubkey(create_new_key_pair().public_key) for _ in range(3)]
        answers = iter([[peers[0]] * 20, [peers[0], peers[1], peers[2]]])

        async def find(_: str, count: int = 20) -> list[PeerInfo]:
            return [PeerInfo(each, []) for each in next(answers)]

        async with one.running(), other.running():
            monkeypatch.setattr(other.dht.service, "find_providers", find)
            return [peer for peer, _ in await other.find_full_nodes(5)]

    return run(lambda: trio.run(main))


def test_each_full_node_is_found_once_and_none_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library returned one provider 20 times, and another time missed one of three."""
    found = found_full_nodes(tmp_path, monkeypatch)
    assert len(found) == len(set(found)) == 3


def test_asking_once_would_miss_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_module, "_ASKED", 1)
    assert len(found_full_nodes(tmp_path, monkeypatch)) == 1


def test_connected_full_nodes_are_found_whoever_else_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> tuple[set[bytes], set[bytes]]:
        stage = Stage(tmp_path)
        full, provider = stage.node(), stage.node(is_full_node=False)

        async def hang(_: str, count: int = 20) -> list[PeerInfo]:
            await trio.sleep_forever()
            raise AssertionError

        async with full.running(), provider.running():
            monkeypatch.setattr(provider.dht.service, "find_providers", hang)
            await provider.connect(address_of(full), 10)
            await eventually(lambda: bool(provider.dht.connected()))
            await full.dht.provide(FULL_NODES, 5)
            found = {peer for peer, addresses in await provider.find_full_nodes(1) if addresses}
            return found, {full.host.get_id().to_bytes()}

    found, expected = run(lambda: trio.run(main))
    assert found == expected
