# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""From a wallet to the first client: stake, entry, serve; then parts of the network die.

Every kind of process of the program takes part. So the program is in folders that only root can
enter, as in root's own home.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.closed.fixtures import nothing_is_opened_without_root, opened
from tests.e2e.announced import announced, line, network, start_full_node
from tests.e2e.market import NAME, PROVIDER, SALES, SOLD, Market, market
from tests.netns.waiting import wait_until

__all__ = ["nothing_is_opened_without_root", "opened"]

MIB = 1 << 20
pytestmark = pytest.mark.netns


@pytest.fixture
def scene() -> Iterator[Market]:
    with market() as made:
        try:
            yield made
        finally:
            made.fs_tunnel(made.client, "down", NAME)
            made.fs_tunnel(made.provider, "down", SOLD)


def test_a_provider_is_found_and_stays_found(scene: Market) -> None:
    alice = start_full_node(scene, "alice", 4001)
    carol = start_full_node(scene, "carol", 4002, alice.address)
    announced(scene, alice.address)
    scene.serve()
    alice.wait_for_more()
    carol.wait_for_more()
    told = scene.money(SOLD)
    for each in (alice, carol):
        known = each.told
        assert known["sales"] == [f"{PROVIDER}:{SALES}"]
        assert known["endpoints"] == [f"{PROVIDER}:51820"]
        assert known["quote_key"] == told["node"]
        assert known["peer_key"] == told["network"]["peer"][-64:]
        assert (known["country"], known["per_gib"]) == ("DE", 10 * 10**6)
        assert (known["slots"], known["free"]) == (120, 120)
    wait_until(lambda: network(scene).get("full_nodes") == 2, what="both are told of")
    assert "network: known to 2 full nodes" in scene.ok(scene.provider, "status", SOLD)
    status = Path(f"/proc/{told['network']['pid']}/status").read_text()
    agent = Path(f"/proc/{told['pid']}/status").read_text()
    assert line(status, "Uid:") == line(agent, "Uid:") != "0"
    assert line(status, "CapEff:") == "0000000000000000"

    scene.up()
    scene.wait_for_agent(NAME, "served")
    wait_until(lambda: carol.told["free"] == 119, what="the slot is taken")
    alice.process.kill()
    carol.wait_for_more()
    os.kill(network(scene)["pid"], signal.SIGKILL)
    carol.wait_for_more()
    assert scene.fetch(2 * MIB) == 2 * MIB
    now = scene.money(SOLD)
    assert now["pid"] == told["pid"]
    assert now["network"]["pid"] not in (None, told["network"]["pid"])
    assert now["served"] == 1

    # Only root can start the fork server, so the agent is started again.
    os.kill(parent_of(now["network"]["pid"]), signal.SIGKILL)
    agent_now = scene.wait_for_agent(SOLD, "ready", but=told["pid"])
    carol.wait_for_more()
    assert scene.fetch(2 * MIB) == 2 * MIB

    pid = network(scene)["pid"]
    assert agent_now["pid"] == scene.money(SOLD)["pid"]
    scene.ok(scene.provider, "down", SOLD)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="its network process is gone")


def parent_of(pid: int) -> int:
    return int(line(Path(f"/proc/{pid}/status").read_text(), "PPid:"))
