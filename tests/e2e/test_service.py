# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider sells under its systemd unit, which lacks no capability and no system call."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.announced import announced, network, start_full_node
from tests.e2e.market import NAME, SOLD, Market, market
from tests.netns.topology import REPOSITORY
from tests.netns.waiting import wait_until
from tools.testing import patience

MIB = 1 << 20
UNIT = REPOSITORY / "packaging" / "systemd" / "fs-tunnel-serve@.service"
pytestmark = pytest.mark.netns


@pytest.fixture
def scene() -> Iterator[Market]:
    with market() as made:
        try:
            yield made
        finally:
            made.fs_tunnel(made.client, "down", NAME)
            made.fs_tunnel(made.provider, "down", SOLD)


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing is audited: what plays the unit gives up privileges before it starts the program."""
    log = tmp_path_factory.mktemp("open") / "opened"
    log.touch()
    return log


def serve(scene: Market) -> "subprocess.Popen[bytes]":
    words = ("serve", "-f", "--wan", "wan", "--allow-dest", "203.0.113.0/24")
    conf, sale = scene.folder / f"{SOLD}.conf", scene.folder / "sale.toml"
    confined = (sys.executable, "-m", "tests.netns.confined", str(UNIT))
    command = scene.command(scene.provider, *words, "--market", sale, conf)
    process = scene.provider.start(*confined, *command[4:], env=scene.env)
    wait_until(
        lambda: (
            scene.fs_tunnel(scene.provider, "status", SOLD).code == 0 or process.poll() is not None
        ),
        what="it serves",
        seconds=60,
    )
    assert process.poll() is None
    return process


def test_it_sells_and_announces_within_its_unit(scene: Market) -> None:
    alice = start_full_node(scene, "alice", 4001)
    announced(scene, alice.address)
    scene.begin()
    for _ in range(2):  # at the second start, the books belong to the agent already
        process = serve(scene)
        scene.wait_for_agent(SOLD, "ready")
        alice.wait_for_more()
        scene.up()
        scene.wait_for_agent(NAME, "served")
        assert scene.fetch(MIB) == MIB
        pid = network(scene)["pid"]
        scene.ok(scene.client, "down", NAME)
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience.seconds(40)) == 0
        wait_until(partial(_has_ended, pid), what="nothing of it is left")
    assert scene.gained("provider") > 0


def _has_ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
