# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``up`` and ``down`` after a crash, a second signal or a hook that fails."""

import os
import signal
from pathlib import Path

import pytest

from tests.lifecycles import kill_engine, rewrite, start_foreground
from tests.netns.served import WEB_V4, Served, expect_ok, host_state, ping, write_private
from tests.netns.topology import CommandFailed, Namespace
from tests.netns.waiting import wait_until
from tests.walks import strides
from tools.testing import patience

pytestmark = pytest.mark.netns


def routing(where: Namespace) -> list[str]:
    """Rules, routes and parameters; link-local addresses are another's every time."""
    lines = host_state(where).splitlines()
    return [line for line in lines if "fe80" not in line and "multicast" not in line]


@strides
def test_up_after_a_crash_at_any_step_makes_all_of_it(scene: Served, stride: int) -> None:
    """Also what was written down and never made."""
    where, conf = scene.client.namespace, scene.client.conf
    scene.up()
    expected = [line for line in routing(where) if " inet" not in line]
    scene.down(where, conf)
    for step in range(1, 30, stride):
        finished = scene.fs_tunnel(where, str(step), "before", "up", conf, module="tests.crash_at")
        if finished.code != -signal.SIGKILL:
            break
        scene.up()
        assert [line for line in routing(where) if " inet" not in line] == expected, step
        scene.down(where, conf)
    assert step > 8


def test_a_dead_tunnel_comes_back_although_nobody_can_resolve_its_endpoint(
    scene: Served, etc: Path
) -> None:
    """The way is closed, so names are not answered until the tunnel is up."""
    scene.serve("--wan", "wan")
    where, name = scene.client.namespace, scene.client.name
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (etc / "hosts").write_text("198.51.100.1 provider.example.net\n")
    rewrite(scene.client.conf, "198.51.100.1:51820", "provider.example.net:51820")
    scene.up()
    ping(where, WEB_V4)
    kill_engine(scene, where, name)
    (etc / "hosts").write_text("")
    with pytest.raises(CommandFailed, match=r"unreachable|No route"):
        ping(where, WEB_V4)
    scene.up()
    ping(where, WEB_V4)
    scene.down(where, scene.client.conf)
    # Nobody remembers what was taken down.
    finished = scene.fs_tunnel(where, "up", scene.client.conf)
    assert finished.code == 1
    assert "provider.example.net has no address" in finished.err


def test_no_socket_of_a_killed_engine_stays(scene: Served) -> None:
    where, name = scene.client.namespace, scene.client.name
    scene.up()
    kill_engine(scene, where, name)
    scene.down(where, scene.client.conf)
    assert not Path(f"/var/run/wireguard/{name}.sock").exists()
    assert list((scene.folder / "run").iterdir()) == []


def test_a_dead_engine_of_a_split_tunnel_leaves_nothing(scene: Served) -> None:
    where = scene.client.namespace
    rewrite(scene.client.conf, "0.0.0.0/0, ::/0", "203.0.113.0/24")
    before = host_state(where)
    process = start_foreground(scene, where, "up", "-f", scene.client.conf)
    assert process.stderr is not None
    kill_engine(scene, where, scene.client.name)
    assert process.wait(patience.seconds(20)) == 1
    said = process.stderr.read().decode()
    assert "died, and all changes are undone" in said
    assert said.count("\n") == 1
    assert host_state(where) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_does_not_disturb_the_undoing(
    scene: Served, number: signal.Signals
) -> None:
    where = scene.client.namespace
    trace = scene.folder / "down-began"
    rewrite(scene.client.conf, "[Peer]", f"PreDown = touch {trace}; sleep 1\n[Peer]")
    before = host_state(where)
    process = start_foreground(scene, where, "up", "-f", "--allow-hooks", scene.client.conf)
    process.send_signal(number)
    wait_until(trace.exists, what="it goes down")
    for again in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process.send_signal(again)
    assert process.wait(patience.seconds(20)) == 0
    assert host_state(where) == before


def test_a_hook_that_fails_on_the_way_down_stops_nothing(scene: Served) -> None:
    where = scene.client.namespace
    rewrite(scene.client.conf, "[Peer]", "PreDown = false\nPostDown = exit 3\n[Peer]")
    before = host_state(where)
    expect_ok(scene.fs_tunnel(where, "up", "--allow-hooks", scene.client.conf))
    finished = scene.fs_tunnel(where, "down", scene.client.conf)
    assert finished.code == 0
    assert "ended with 3" in finished.err
    assert host_state(where) == before


def test_a_hook_may_bring_up_another_tunnel(scene: Served) -> None:
    where = scene.client.namespace
    second = scene.folder / f"h{os.getpid():x}.conf"
    write_private(second, scene.client.conf.read_text())
    command = " ".join(scene.command())
    rewrite(
        scene.client.conf,
        "[Peer]",
        f"PostUp = {command} up {second}\nPreDown = {command} down {second}\n[Peer]",
    )
    before = host_state(where)
    expect_ok(scene.fs_tunnel(where, "up", "--allow-hooks", scene.client.conf))
    assert where.has_link(second.stem)
    scene.down(where, scene.client.conf)
    assert host_state(where) == before
