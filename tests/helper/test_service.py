# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The helper of a tunnel, from its start to its end, in namespaces."""

import os
import signal
from pathlib import Path

import pytest

from fs_tunnel.helper.client import HelperClient
from fs_wire.errors import ControlError, FlowShieldError
from tests.helper.asking import engine_pid, helper_pid, within
from tests.netns.served import (
    WEB_V4,
    Served,
    expect_ok,
    host_state,
    ping,
    write_private,
)
from tests.netns.topology import CommandFailed
from tests.netns.waiting import wait_until
from tools.testing import patience

pytestmark = pytest.mark.netns


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"  # in a container, nobody may wait for it


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, number)
    wait_until(lambda: has_ended(pid), what="it has ended")


def assert_blocked(scene: Served) -> None:
    with pytest.raises(CommandFailed, match=r"unreachable|No route"):
        scene.client.namespace.run("ping", "-n", "-c", "1", "-W", "1", "198.51.100.1")


def make_split(scene: Served) -> None:
    text = scene.client.conf.read_text()
    write_private(scene.client.conf, text.replace("0.0.0.0/0, ::/0", "203.0.113.0/24"))


def test_it_is_a_daemon_and_ends_with_its_tunnel(scene: Served) -> None:
    scene.up()
    pid = helper_pid(scene, scene.client.name)
    process = Path(f"/proc/{pid}")
    assert (process / "cwd").readlink() == Path("/")
    assert {(process / "fd" / str(n)).readlink() for n in range(3)} == {Path(os.devnull)}
    assert os.getsid(pid) == os.getpgid(pid) != os.getsid(0)
    socket = scene.folder / "run" / f"{scene.client.name}.helper"
    assert socket.stat().st_mode & 0o077 == 0
    private_key = scene.client.keys.private.encode()
    assert private_key not in (process / "cmdline").read_bytes()
    assert private_key not in (process / "environ").read_bytes()
    scene.down(scene.client.namespace, scene.client.conf)
    wait_until(lambda: has_ended(pid), what="the helper has ended")
    assert list((scene.folder / "run").iterdir()) == []


def test_a_dead_engine_of_a_full_tunnel_is_held_blocked(scene: Served) -> None:
    before = host_state(scene.client.namespace)
    scene.up()
    pid = helper_pid(scene, scene.client.name)
    os.kill(engine_pid(scene, scene.client.name), signal.SIGKILL)
    wait_until(lambda: has_ended(pid), what="the helper has nothing left to do")
    assert_blocked(scene)
    scene.down(scene.client.namespace, scene.client.conf)
    assert host_state(scene.client.namespace) == before


def test_a_dead_engine_of_a_split_tunnel_is_cleaned_up_after(scene: Served) -> None:
    make_split(scene)
    before = host_state(scene.client.namespace)
    scene.up()
    assert host_state(scene.client.namespace) != before
    pid = helper_pid(scene, scene.client.name)
    os.kill(engine_pid(scene, scene.client.name), signal.SIGKILL)
    wait_until(lambda: has_ended(pid), what="the helper has done its work")
    assert host_state(scene.client.namespace) == before
    assert list((scene.folder / "state").glob("*.journal")) == []
    assert list((scene.folder / "run").iterdir()) == []


def test_a_dead_engine_of_a_provider_is_cleaned_up_after(scene: Served) -> None:
    """The helper cleans up if nobody starts the engine again for a while."""
    before = host_state(scene.provider)
    scene.serve("--wan", "wan")
    pid = helper_pid(scene, scene.name)
    os.kill(engine_pid(scene, scene.name), signal.SIGKILL)
    wait_until(lambda: has_ended(pid), what="the helper has done its work")
    assert host_state(scene.provider) == before
    wait_until(lambda: not scene.provider.pids(), what="no process is left")


def test_a_killed_helper_opens_nothing_and_is_not_missed(scene: Served) -> None:
    before = host_state(scene.client.namespace)
    scene.serve("--wan", "wan")
    scene.up()
    state = host_state(scene.client.namespace)
    kill(helper_pid(scene, scene.client.name))
    assert host_state(scene.client.namespace) == state
    ping(scene.client.namespace, WEB_V4)
    os.kill(engine_pid(scene, scene.client.name), signal.SIGKILL)
    wait_until(
        lambda: not scene.client.namespace.has_link(scene.client.name), what="the link is gone"
    )
    assert_blocked(scene)
    scene.up()
    ping(scene.client.namespace, WEB_V4)
    assert helper_pid(scene, scene.client.name)
    kill(helper_pid(scene, scene.client.name))
    scene.down(scene.client.namespace, scene.client.conf)
    assert host_state(scene.client.namespace) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_helper_that_is_told_to_end_leaves_the_tunnel_alone(
    scene: Served, number: signal.Signals
) -> None:
    scene.up()
    state = host_state(scene.client.namespace)
    kill(helper_pid(scene, scene.client.name), number)
    assert host_state(scene.client.namespace) == state
    assert not (scene.folder / "run" / f"{scene.client.name}.helper").exists()


def test_up_again_keeps_the_helper_or_starts_another(scene: Served) -> None:
    scene.up()
    pid = helper_pid(scene, scene.client.name)
    scene.up()
    assert helper_pid(scene, scene.client.name) == pid
    kill(pid)
    scene.up()
    assert helper_pid(scene, scene.client.name) != pid


def test_the_foreground_takes_over_and_is_not_taken_over(scene: Served) -> None:
    name = scene.client.name
    scene.up()
    pid = helper_pid(scene, name)
    process = scene.client.namespace.start(
        *scene.command("up", "-f", scene.client.conf), env=scene.env
    )
    wait_until(lambda: has_ended(pid), what="the daemon has made room")

    def new_pid() -> int:
        try:
            return helper_pid(scene, name)
        except FlowShieldError:
            return 0

    wait_until(lambda: new_pid() == process.pid, what="the foreground is the helper")
    scene.up()
    assert helper_pid(scene, name) == process.pid
    with within(scene), pytest.raises(ControlError, match="in the foreground"):
        HelperClient(name).leave()
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience.seconds(20)) == 0
    assert not scene.client.namespace.has_link(name)


def test_two_commands_at_a_time_leave_one_helper(scene: Served) -> None:
    where = scene.client.namespace
    commands = [where.start(*scene.command("up", scene.client.conf), env=scene.env) for _ in "12"]
    assert [each.wait(patience.seconds(30)) for each in commands] == [0, 0]
    arguments = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in where.pids()]
    assert len([each for each in arguments if b"fs_tunnel.helper.process" in each]) == 1


def test_a_service_that_failed_keeps_what_it_knows(scene: Served) -> None:
    """Systemd calls down between the end of a service and its next start."""
    scene.serve("--wan", "wan")
    scene.up()
    ping(scene.client.namespace, WEB_V4)
    kept = scene.folder / "run" / f"{scene.name}.endpoints"
    wait_until(kept.exists, what="the client's endpoint is kept")
    done = scene.fs_tunnel(scene.provider, "down", scene.conf, env={"SERVICE_RESULT": "exit-code"})
    expect_ok(done)
    assert kept.exists()
    expect_ok(scene.fs_tunnel(scene.provider, "down", scene.conf))
    assert not kept.exists()


def test_down_says_that_it_disconnects(scene: Served) -> None:
    """A hook that is slow gives the time to look."""
    text = scene.client.conf.read_text()
    gate = scene.folder / "gate"
    os.mkfifo(gate)
    write_private(scene.client.conf, text.replace("[Peer]", f"PreDown = cat {gate}\n[Peer]"))
    where = scene.client.namespace
    expect_ok(scene.fs_tunnel(where, "up", "--allow-hooks", scene.client.conf))
    process = where.start(*scene.command("down", scene.client.conf), env=scene.env)

    def said() -> str:
        return scene.fs_tunnel(where, "status", scene.client.name).out

    wait_until(lambda: said().startswith(f"{scene.client.name}  up  disconnecting"), what="it says")
    gate.write_text("go on")
    assert process.wait(patience.seconds(20)) == 0
