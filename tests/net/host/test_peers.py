# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A crowd of names does not make us forget ourselves or connected peers."""

from pathlib import Path

import pytest
import trio
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from multiaddr import Multiaddr

from fs_net.host_process import network_peer
from fs_net.host_process.peers import MOST, STRANGERS
from tests.net.host.stage import TOPIC, Stage, address_of, eve, eventually, run
from tests.walks import long

CROWD = [ID(number.to_bytes(34, "big")) for number in range(1, MOST + 2)]


def after_a_crowd(folder: Path) -> tuple[bool, bool, int]:
    """Return whether a peer knows itself, and its guest, and how many of the crowd."""

    async def main() -> tuple[bool, bool, int]:
        stage = Stage(folder)
        full, friend = stage.node(), stage.node()
        store = full.host.get_peerstore()
        async with full.running(), friend.running(), eve() as guest:
            await guest.meet(full)
            await friend.connect(address_of(full), 10)
            assert await eventually(lambda: len(full.host.get_connected_peers()) == 2)
            known = set(store.peer_ids())
            for each in CROWD:
                store.add_addrs(each, [Multiaddr("/ip4/192.0.2.1/tcp/1")], 3600)
            left = set(store.peer_ids())
            try:
                await full.publish(TOPIC, b"signed")
                signs = True
            except Exception:  # noqa: BLE001 - libp2p has many errors for it
                signs = False
            assert not left & set(CROWD) or CROWD[-1] in left
            return signs, known <= left, len(left & set(CROWD))

    return run(lambda: trio.run(main))


def test_a_crowd_is_forgotten_and_nobody_else(tmp_path: Path) -> None:
    signs, knows_guests, count = after_a_crowd(tmp_path)
    assert signs and knows_guests
    assert STRANGERS <= count <= MOST


@long
def test_the_library_would_forget_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_peer, "Peers", PeerStore)
    signs, knows_guests, _ = after_a_crowd(tmp_path)
    assert not signs and not knows_guests
