# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A tunnel moves to another provider; nothing leaves, even if the mover dies at any step."""

import itertools
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks.scene import GATEWAY_V4, GATEWAY_V6, Watched, watched
from tests.netns.peers import KeyPair
from tests.netns.served import host_state
from tests.walks import strides

pytestmark = pytest.mark.netns


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path) as made:
        yield made


def places(scene: Watched) -> list[str]:
    """Return the client's file, and a file for another provider in which three values differ."""
    client = scene.served.client
    here = client.conf.read_text()
    there = re.sub(r"(?m)^PublicKey = .*", f"PublicKey = {KeyPair.generate().public}", here)
    there = re.sub(r"(?m)^Address = .*", "Address = 10.99.0.7/32, fd99::7/128", there)
    there = re.sub(r"(?m)^Endpoint = .*", f"Endpoint = [{GATEWAY_V6}]:51999", there)
    assert len(set(here.splitlines()) - set(there.splitlines())) == 3
    return [here, there]


def move(scene: Watched, content: str, step: int, moment: str = "before") -> int:
    client = scene.served.client
    client.conf.write_text(content)
    module = "tests.moved"
    return scene.served.fs_tunnel(
        scene.home, str(step), moment, str(client.conf), module=module
    ).code


def engine_of(scene: Watched) -> tuple[int, str]:
    said = scene.served.fs_tunnel(scene.home, "status", "--json", scene.served.client.conf)
    (tunnel,) = json.loads(said.out)["tunnels"]
    (peer,) = tunnel["peers"]
    return tunnel["pid"], peer["endpoint"]


@strides
def test_nothing_leaves_if_the_mover_dies_at_any_step(scene: Watched, stride: int) -> None:
    before = host_state(scene.home)
    here, there = places(scene)
    scene.up()
    engine, endpoint = engine_of(scene)
    assert endpoint == f"{GATEWAY_V4}:51820"
    for step in itertools.count(1, stride):
        code = move(scene, there, step)
        assert code in (0, -signal.SIGKILL)
        assert not scene.seen(), f"killed at step {step}"
        assert move(scene, there, 0) == 0
        assert engine_of(scene) == (engine, f"[{GATEWAY_V6}]:51999")
        assert "10.99.0.7" in scene.home.run("ip", "-br", "address", "show")
        assert scene.served.client.v4 not in scene.home.run("ip", "-br", "address", "show")
        if code == 0:
            break
        assert move(scene, here, 0) == 0
    assert step > 5
    assert not scene.seen()
    scene.down()
    assert host_state(scene.home) == before


def test_a_tunnel_that_is_down_is_not_moved(scene: Watched) -> None:
    before = host_state(scene.home)
    here, _ = places(scene)
    assert move(scene, here, 0) != 0
    assert host_state(scene.home) == before
