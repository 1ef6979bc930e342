# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel top``: rates from two looks at the counters."""

import json
from pathlib import Path
from typing import Any

import pytest

from fs_tunnel.cli.top import compare, to_table
from tests.netns.served import served

BOB, CAROL = "bob's key", "carol's key"


def look(**peers: tuple[int, int, int, int]) -> list[dict[str, Any]]:
    """One tunnel; of each peer received and sent bytes and packets."""
    names = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")
    return [
        {
            "name": "alice",
            "peers": [
                {
                    "public_key": f"{peer}'s key",
                    "endpoint": None,
                    "latest_handshake": None,
                    **dict(zip(names, counted, strict=True)),
                }
                for peer, counted in peers.items()
            ],
        }
    ]


def test_a_rate_is_what_passed_by_the_second_and_the_busiest_comes_first() -> None:
    before = look(bob=(100, 200, 1, 2), carol=(0, 0, 0, 0))
    after = look(bob=(300, 200, 5, 2), carol=(4000, 1000, 10, 0))
    carol, bob = compare(before, after, 2.0)
    assert (carol.peer, carol[4:]) == (CAROL, (2000.0, 500.0, 5.0, 0.0))
    assert (bob.peer, bob[4:]) == (BOB, (100.0, 0.0, 2.0, 0.0))


def test_a_new_peer_counts_from_zero_and_one_that_is_gone_is_not_there() -> None:
    (bob,) = compare(look(carol=(9, 9, 9, 9)), look(bob=(10, 20, 1, 2)), 1.0)
    assert (bob.peer, bob[4:]) == (BOB, (10.0, 20.0, 1.0, 2.0))


def test_a_peer_that_was_made_anew_has_no_negative_rate() -> None:
    (bob,) = compare(look(bob=(1000, 9, 9, 9)), look(bob=(10, 20, 1, 2)), 1.0)
    assert bob[4:] == (10.0, 20.0, 1.0, 2.0)


def test_the_table() -> None:
    rates = compare(look(bob=(0, 0, 0, 0)), look(bob=(3 << 20, 1536, 4000, 2)), 1.0)
    head, bob = to_table(rates).splitlines()
    assert head.split("  ")[0] == "TUNNEL"
    assert bob.startswith("alice ")
    for said in ("3.0 MiB/s", "1.5 KiB/s", "4,000/s", "2/s", "never"):
        assert said in bob
    assert to_table([]) == "no peers"


@pytest.mark.netns
def test_it_sees_what_passes(tmp_path: Path) -> None:
    with served(tmp_path) as scene:
        none = scene.fs_tunnel(scene.provider, "top", "--times", "1")
        assert none.code == 3
        scene.serve("--wan", "wan")
        scene.up()
        home = scene.client.namespace
        flood = home.start("ping", "-n", "-q", "-i", "0.01", "-s", "1000", "10.66.0.1")
        said = scene.fs_tunnel(
            scene.provider, "top", "--json", "--interval", "0.5", "--times", "3", scene.name
        )
        flood.kill()
        last = json.loads(said.out.splitlines()[-1])
        assert last["schema"] == 1
        busy, idle = last["peers"]
        assert busy["peer"] == scene.client.keys.public
        assert busy["rx_bytes"] > busy["rx_packets"] * 1000 > 0
        assert idle["rx_bytes"] == idle["tx_bytes"] == 0
