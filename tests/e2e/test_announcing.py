"""From a wallet to the first client: stake, entry, serve; and who of the network then dies."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.market import NAME, PROVIDER, SALES, SOLD, WEB, Market, make_keystore, market
from tests.netns.served import Finished
from tests.netns.waiting import wait_until

MIB = 1 << 20
pytestmark = pytest.mark.netns


@dataclass
class FullNode:
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def address(self) -> str:
        return (self.folder / "address").read_text()

    @property
    def told(self) -> dict[str, Any]:
        file = self.folder / "told.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def wait_for_more(self, count: int = 2) -> None:
        """Until so many more heartbeats were heard."""
        before = self.told.get("heartbeats", 0)
        wait_until(
            lambda: self.told.get("heartbeats", 0) >= before + count,
            what=f"{self.folder.name} hears heartbeats",
            seconds=60,
        )


def start_full_node(scene: Market, name: str, port: int, *bootstrap: str) -> FullNode:
    folder = scene.folder / name
    folder.mkdir()
    provider = json.loads(verb(scene, "stake", "--json").out)["provider"]
    process = scene.internet.start(
        *(sys.executable, "-m", "tests.e2e.full_node", str(folder), f"/ip4/{WEB}/tcp/{port}"),
        *(str(scene.settings), provider, *bootstrap),
        env=scene.env,
    )
    wait_until(
        lambda: (folder / "address").exists() or process.poll() is not None,
        what=f"{name} listens",
        seconds=40,
    )
    assert process.poll() is None
    return FullNode(folder, process)


def verb(scene: Market, *words: str) -> Finished:
    wallet = make_keystore(scene, "owner")
    return scene.fs_tunnel(
        scene.provider,
        *("market", *words, "--settings", str(scene.folder / "sale.toml")),
        *("--wallet", str(wallet), "--password-file", str(scene.folder / "password")),
    )


def network(scene: Market) -> dict[str, Any]:
    told = scene.money(SOLD)["network"]
    assert isinstance(told, dict)
    return told


@pytest.fixture
def scene() -> Iterator[Market]:
    with market() as made:
        try:
            yield made
        finally:
            made.fs_tunnel(made.client, "down", NAME)
            made.fs_tunnel(made.provider, "down", SOLD)


def test_a_provider_is_found_and_stays_found(scene: Market) -> None:
    sale = scene.folder / "sale.toml"
    alice = start_full_node(scene, "alice", 4001)
    carol = start_full_node(scene, "carol", 4002, alice.address)
    sale.write_text(
        sale.read_text()
        + f'country = "DE"\nclients = 120\n\n[network]\nbootstrap = ["{alice.address}"]\n'
    )
    conf = scene.folder / f"{SOLD}.conf"
    refused = scene.fs_tunnel(scene.provider, "serve", "--market", sale, conf)
    assert refused.code == 2
    assert "market announce" in refused.err  # which makes the keys

    for words in (("stake", "120", scene.symbol, "--yes"), ("announce", "--yes")):
        done = verb(scene, *words)
        assert done.code == 0, done.err
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
    wait_until(lambda: network(scene)["full_nodes"] == 2, what="both are told of")
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

    # Nobody but root can start what forks network processes: the agent is started again.
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


def line(status: str, name: str) -> str:
    return next(each.split()[1] for each in status.splitlines() if each.startswith(name))
