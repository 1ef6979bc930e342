# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Full nodes as a user runs them, and what they show about providers."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, NamedTuple

from fs_net.core.records import ProviderRecord, parse_untrusted
from tests.e2e.backbone import FULL_NODES, joined
from tests.e2e.market import Market
from tests.netns.topology import Namespace
from tests.netns.waiting import wait_until
from tools.testing import patience

API = 8080
_PACE = 0.5  # seconds, because one address gets only four new answers a second


class Shown(NamedTuple):
    """The facts about a provider that all full nodes must show alike."""

    sequence: int  # of its record
    per_gib: int
    live: bool


View = dict[str, Shown]  # by the providers' addresses


@dataclass(frozen=True)
class FullNode:
    namespace: Namespace
    process: "subprocess.Popen[bytes]"
    address: str
    multiaddr: str

    def kill(self) -> None:
        """Kill only this process; the processes that it started must end by themselves."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not self.namespace.pids(), what="its network process ends as well")

    def rows(self) -> list[dict[str, Any]]:
        """Return all providers from its API, asked from its own namespace."""
        with self.namespace.entered():
            connection = HTTPConnection(self.address, API, timeout=patience.seconds(20))
            try:
                connection.request("GET", "/api/v1/providers?min_free_slots=0&signed=true")
                answer = connection.getresponse()
                said = json.load(answer)
                assert answer.status == 200, said
            finally:
                connection.close()
        rows = said["providers"]
        assert isinstance(rows, list)
        return rows

    def view(self) -> View:
        return {each["address"]: _shown(each) for each in self.rows()}

    def heard_after(self, moment: int) -> set[str]:
        """Return the providers with heartbeats signed after that time, in ms since the epoch."""
        return {each["address"] for each in self.rows() if (each["heard_at"] or 0) > moment}


def _shown(row: dict[str, Any]) -> Shown:
    raw = bytes.fromhex(row["signed"]["record"])
    record = parse_untrusted(ProviderRecord, raw).content
    return Shown(record.sequence, record.price_per_gib, row["live"])


def agreed(nodes: Sequence[FullNode], live: Sequence[bool], seconds: float = 90) -> View:
    """Wait until all show the same and so many providers live; return that view, by address."""

    def agree() -> View:
        views = [each.view() for each in nodes]
        said = sorted(each.live for each in views[0].values())
        return views[0] if said == sorted(live) and all(v == views[0] for v in views) else {}

    return wait_until(agree, what="all views agree", seconds=seconds, every=_PACE)


def start_full_node(scene: Market, number: int, *bootstrap: str) -> FullNode:
    """Run ``fs-tunnel fullnode --api`` until it is ready."""
    namespace, address = joined(scene, "full", FULL_NODES, number)
    folder = scene.folder / f"full{number}"
    folder.mkdir()
    told = folder / "told.json"
    command = scene.command(
        namespace,
        *("fullnode", "--json", "--api", f"{address}:{API}", "--folder", folder / "node"),
        *("--settings", scene.settings),
        *(word for each in bootstrap for word in ("--bootstrap", each)),
    )
    with told.open("wb") as stdout:
        process = namespace.start(*command[4:], env=scene.env, stdout=stdout)
    wait_until(
        lambda: '"ready"' in told.read_text() or process.poll() is not None,
        what=f"full node {number} is ready",
        seconds=60,
    )
    assert process.poll() is None
    ready = json.loads(told.read_text().splitlines()[-1])
    (multiaddr,) = [each for each in ready["addresses"] if each.startswith(f"/ip4/{address}/tcp/")]
    return FullNode(namespace, process, address, multiaddr)
