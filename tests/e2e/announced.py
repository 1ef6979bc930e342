# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider that announces itself, and full nodes that hear it, in the scene of a market."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.market import SOLD, WEB, Market, make_keystore
from tests.netns.served import Finished, expect_ok
from tests.netns.waiting import wait_until


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
        """Wait until ``count`` more heartbeats were heard."""
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
    """What the seller's agent says of the network; nothing before it has begun to look."""
    told = scene.money(SOLD).get("network", {})
    assert isinstance(told, dict)
    return told


def announced(scene: Market, bootstrap: str, clients: int = 120) -> None:
    """Write the network's settings, stake, and announce."""
    sale = scene.folder / "sale.toml"
    sale.write_text(
        sale.read_text()
        + f'country = "DE"\nclients = {clients}\n\n[network]\nbootstrap = ["{bootstrap}"]\n'
    )
    for words in (("stake", str(clients), scene.symbol, "--yes"), ("announce", "--yes")):
        expect_ok(verb(scene, *words))


def line(status: str, name: str) -> str:
    return next(each.split()[1] for each in status.splitlines() if each.startswith(name))
