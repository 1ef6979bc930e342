# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A peer that leaves makes room for another, and no peer takes the room of others."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from fs_net.core.sources import source_of
from fs_net.host_process.door import Door
from fs_net.host_process.network_peer import NetworkPeer
from tests.net.host.stage import Stage, address_of, eve, eventually, run
from tests.walks import long
from tools.testing import patience


def accepted(folder: Path, most: int, guests: int) -> int:
    """Return how many guests were accepted, if each came after the one before had left."""

    async def main() -> int:
        full = Stage(folder).node(max_connections=most)
        count = 0
        async with full.running():
            for _ in range(guests):
                async with eve() as guest:
                    try:
                        with trio.fail_after(patience.seconds(2)):
                            await guest.meet(full)
                    except Exception:  # noqa: BLE001 - libp2p has many errors for it
                        break
                    count += 1
                    await guest.host.disconnect(full.host.get_id())
                assert await eventually(lambda: not full.host.get_connected_peers())
        return count

    return run(lambda: trio.run(main))


def test_who_left_makes_room(tmp_path: Path) -> None:
    assert accepted(tmp_path, 4, 6) == 6


@long
def test_the_library_alone_would_accept_nobody_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stay(self: Door, raw: object, listener: object) -> object:
        return await self._upgrade(raw, listener)

    monkeypatch.setattr(Door, "_stay", stay)
    assert accepted(tmp_path, 4, 6) == 4


def knocks(full: NetworkPeer, place: str, count: int) -> Iterator[socket.socket]:
    """Open connections that say nothing, and yet count."""
    port = int(address_of(full).split("/tcp/")[1].split("/")[0])
    for _ in range(count):
        yield socket.create_connection(("127.0.0.1", port), source_address=(place, 0))


def is_refused(knocking: socket.socket) -> bool:
    knocking.settimeout(0.5)
    try:
        return knocking.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def refused(full: NetworkPeer, stack: ExitStack, place: str, count: int) -> int:
    """Return how many connections were refused."""
    came = [stack.enter_context(each) for each in knocks(full, place, count)]
    return sum(map(is_refused, came))


def test_a_place_has_its_share_and_no_more(tmp_path: Path) -> None:
    async def main() -> tuple[int, int, int]:
        full = Stage(tmp_path).node(max_connections=20, max_per_source=8)
        async with full.running():
            with ExitStack() as stack:
                crowd = await trio.to_thread.run_sync(refused, full, stack, "127.0.0.2", 30)
                other = await trio.to_thread.run_sync(refused, full, stack, "127.0.0.3", 8)
            assert await eventually(lambda: not full.door._open)
            async with eve() as guest:
                await guest.meet(full)
            return crowd, other, full.door.refused

    assert run(lambda: trio.run(main)) == (22, 0, 22)


def incoming(full: NetworkPeer) -> int:
    """Count the connections that others made; a full node also dials peers that it knows."""
    network: Any = full.host.get_network()
    return sum(
        not each.muxed_conn.is_initiator
        for several in network.connections.values()
        for each in several
    )


def test_over_quic_as_well(tmp_path: Path) -> None:
    async def main() -> bool:
        stage = Stage(tmp_path)
        quic = ("/ip4/127.0.0.1/udp/0/quic-v1",)
        full = stage.node(listen=quic, max_per_source=1)
        guests = [stage.node(listen=quic) for _ in range(3)]
        async with full.running(), guests[0].running(), guests[1].running(), guests[2].running():
            for guest in guests[:2]:
                await guest.connect(address_of(full), 10)
            assert await eventually(lambda: full.door.refused >= 1)
            assert await eventually(lambda: incoming(full) == 1)
            await guests[0].disconnect(full.host.get_id().to_bytes())
            assert await eventually(lambda: not full.door._open, 20)
            await guests[2].connect(address_of(full), 10)
            return await eventually(lambda: incoming(full) == 1)

    assert run(lambda: trio.run(main))


def test_what_one_host_may_have_all_of_is_one_place() -> None:
    assert source_of("192.0.2.1") == source_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1%eth0")
    assert source_of("2001:db8::1") != source_of("2001:db8:0:1::1")
