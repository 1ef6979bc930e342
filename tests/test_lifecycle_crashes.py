# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""After a crash the way stays closed until a command opens it, and nothing is left of it then."""

import signal
import socket
from pathlib import Path

import pytest

from tests.lifecycles import kill_engine, rewrite, start_foreground
from tests.netns.capture import Capture
from tests.netns.served import (
    LAB,
    WEB_V4,
    WEB_V6,
    Served,
    expect_ok,
    host_state,
    ping,
)
from tests.netns.topology import CommandFailed
from tests.walks import at_length, pairs_at_length, strides
from tools.testing import patience

pytestmark = pytest.mark.netns


def test_a_killed_engine_leaves_the_way_closed(scene: Served) -> None:
    scene.serve("--wan", "wan")
    client = scene.client.namespace
    with Capture(client, "wire") as uplink:
        ping(client, "198.51.100.1")  # the control: the uplink is seen
        assert any(packet[9] == socket.IPPROTO_ICMP for packet in uplink.packets() if packet)
    scene.up()
    ping(client, WEB_V4)
    kill_engine(scene, client, scene.client.name)
    with Capture(client, "wire") as uplink:
        for address in (WEB_V4, WEB_V6, "198.51.100.1"):
            with pytest.raises(CommandFailed, match=r"unreachable|No route"):
                client.run("ping", "-n", "-c", "1", "-W", "1", address)
        assert [packet for packet in uplink.packets() if packet[:1] == b"\x45"] == []
    said = scene.fs_tunnel(client, "status")
    assert (said.code, said.out.split(":")[0]) == (0, f"{scene.client.name}  blocked")
    scene.up()
    ping(client, WEB_V4)
    said = scene.fs_tunnel(client, "status", scene.client.name)
    assert said.out.startswith(f"{scene.client.name}  up  connected  port ")


def test_down_opens_the_way_after_a_crash(scene: Served) -> None:
    before = host_state(scene.client.namespace)
    scene.up()
    kill_engine(scene, scene.client.namespace, scene.client.name)
    scene.down(scene.client.namespace, scene.client.conf)
    assert host_state(scene.client.namespace) == before


def test_cleanup_undoes_what_is_dead_and_leaves_what_lives(scene: Served) -> None:
    """The client's host is as it was before, byte for byte."""
    where = scene.client.namespace
    before = host_state(where)
    scene.serve("--wan", "wan")
    scene.up()
    kill_engine(scene, where, scene.client.name)
    assert host_state(where) != before
    said = scene.fs_tunnel(where, "cleanup")
    assert (said.code, said.out) == (0, f"{scene.client.name}: cleaned up\n")
    assert host_state(where) == before
    scene.up()
    ping(where, WEB_V4)
    assert scene.fs_tunnel(where, "cleanup").out == "nothing to clean up\n"


def test_serve_undoes_what_a_crash_left(scene: Served) -> None:
    before = host_state(scene.provider)
    scene.serve("--wan", "wan")
    kill_engine(scene, scene.provider, scene.name)
    scene.serve("--wan", "wan")
    scene.up()
    ping(scene.client.namespace, WEB_V4)
    scene.down(scene.provider, scene.conf)
    assert host_state(scene.provider) == before


@strides
@pytest.mark.parametrize(
    ("verb", "moment"),
    [
        *(("up", "before"), ("serve", "after")),
        *pairs_at_length(("up", "after"), ("serve", "before")),
    ],
)
def test_whatever_step_of_the_way_up_is_killed_down_cleans_up(
    scene: Served, verb: str, moment: str, stride: int
) -> None:
    where, arguments = (
        (scene.client.namespace, ["up", str(scene.client.conf)])
        if verb == "up"
        else (scene.provider, ["serve", "--wan", "wan", *LAB, str(scene.conf)])
    )
    before = host_state(where)
    for step in range(1, 30, stride):
        finished = scene.fs_tunnel(where, str(step), moment, *arguments, module="tests.crash_at")
        died = finished.code == -signal.SIGKILL
        scene.down(where, Path(arguments[-1]))
        assert host_state(where) == before, f"after step {step}"
        if not died:
            expect_ok(finished)
            break
    assert step > 8


@strides
@pytest.mark.parametrize("moment", ["after", *at_length("before")])
def test_whatever_step_of_the_way_down_is_killed_down_goes_on(
    scene: Served, moment: str, stride: int
) -> None:
    where, conf = scene.client.namespace, scene.client.conf
    before = host_state(where)
    for step in range(1, 30, stride):
        scene.up()
        finished = scene.fs_tunnel(where, str(step), moment, "down", conf, module="tests.crash_at")
        scene.down(where, conf)
        assert host_state(where) == before, f"after step {step}"
        if finished.code != -signal.SIGKILL:
            expect_ok(finished)
            break
    assert step > 8


@strides
@pytest.mark.parametrize("moment", ["undo-before", *at_length("undo-after")])
def test_a_helper_that_is_killed_while_it_undoes_leaves_the_rest_to_down(
    scene: Served, moment: str, stride: int
) -> None:
    where = scene.provider
    before = host_state(where)
    arguments = [moment, "serve", "-f", "--wan", "wan", *LAB, str(scene.conf)]
    for step in range(1, 30, stride):
        process = start_foreground(scene, where, str(step), *arguments, module="tests.crash_at")
        kill_engine(scene, where, scene.name)
        code = process.wait(patience.seconds(20))
        scene.down(where, scene.conf)
        assert host_state(where) == before, f"after step {step}"
        assert list((scene.folder / "run").iterdir()) == []
        if code != -signal.SIGKILL:
            assert code == 1
            break
    assert step > 5


def test_a_failure_on_the_way_up_is_undone(scene: Served) -> None:
    rewrite(scene.client.conf, "[Peer]", "PostUp = false\n[Peer]")
    before = host_state(scene.client.namespace)
    finished = scene.fs_tunnel(scene.client.namespace, "up", "--allow-hooks", scene.client.conf)
    assert finished.code in (1, 2)
    assert finished.err.count("\n") == 1
    assert host_state(scene.client.namespace) == before


def test_a_dead_engine_ends_the_foreground_and_blocks(scene: Served) -> None:
    where = scene.client.namespace
    process = start_foreground(scene, where, "up", "-f", scene.client.conf)
    kill_engine(scene, where, scene.client.name)
    assert process.wait(patience.seconds(20)) == 1
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert "stays blocked" in said
    assert said.count("\n") == 1
    with pytest.raises(CommandFailed, match=r"unreachable|No route"):
        where.run("ping", "-n", "-c", "1", "-W", "1", WEB_V4)


def test_a_dead_engine_ends_serve_and_all_is_undone(scene: Served) -> None:
    before = host_state(scene.provider)
    process = start_foreground(scene, scene.provider, "serve", "-f", "--wan", "wan", scene.conf)
    kill_engine(scene, scene.provider, scene.name)
    assert process.wait(patience.seconds(20)) == 1
    assert host_state(scene.provider) == before
