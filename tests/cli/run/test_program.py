# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The program of ``run``: whose it is, what it hears, and what is left if ``run`` is killed."""

import os
import pty
import select
import signal
import subprocess
from pathlib import Path

import pytest

from fs_tunnel.linux.routing import inner_namespace
from tests.cli.run.running import NOBODY, PING, WAITING, command, fs_run, inside, start
from tests.netns.served import WEB_V4, Served, host_state
from tests.netns.waiting import wait_until
from tests.walks import pairs_at_length, strides
from tools.testing import patience

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("place", ["--inside", "--outside"])
def test_it_is_the_users_own(scene: Served, place: str) -> None:
    scene.up()
    groups = ("sh", "-c", "id -u; id -G; echo $HOME; exit 9")
    done = fs_run(scene, "run", place, "--user", "nobody", "--", *groups)
    assert (done.code, done.out) == (9, f"{NOBODY}\n{NOBODY}\n/nonexistent\n")
    called = subprocess.run(
        ["setpriv", "--groups=7", *command(scene, "run", place, "--", *groups)],
        env={**os.environ, **scene.env, "SUDO_UID": str(NOBODY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert called.stdout == done.out, "none of the groups of who started it is left"
    assert fs_run(scene, "run", place, "--user", "no-such-user", "--", "true").code == 2
    assert fs_run(scene, "run", place, "--", "no-such-program").code == 127
    assert fs_run(scene, "run", place, "--", "/").code == 126
    assert fs_run(scene, "run", place, "--", "sh", "-c", "kill -9 $$").code == 137


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_passed_on(scene: Served, number: signal.Signals) -> None:
    scene.up()
    name = number.name.removeprefix("SIG")
    script = f"trap 'exit 5' {name}; echo ready; while :; do sleep 0.05; done"
    process = start(scene, "--inside", "--", "sh", "-c", script)
    process.send_signal(number)
    process.wait(patience.seconds(20))
    assert process.returncode == 5
    process.communicate()


def test_it_has_the_terminal(scene: Served) -> None:
    """Ctrl-C reaches it once, and the namespace is gone all the same."""
    scene.up()
    script = "trap 'n=$((n+1)); echo caught $n' INT; tty; read a; read b; echo end"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(  # noqa: S606
            "nsenter",
            command(scene, "run", "--inside", "--", "sh", "-c", script),
            {**os.environ, **scene.env},
        )
    said = read_until(terminal, b"/dev/pts")
    os.write(terminal, b"\x03")
    said += read_until(terminal, b"caught 1")
    os.write(terminal, b"\n\n")
    said += read_until(terminal, b"end")
    assert b"caught 2" not in said
    os.waitpid(pid, 0)
    os.close(terminal)


def read_until(terminal: int, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        assert select.select([terminal], [], [], 20)[0], said
        said += os.read(terminal, 1000)
    return said


# Crashes.


@strides
@pytest.mark.parametrize(
    ("place", "moment"),
    [
        *(("--inside", "after"), ("--outside", "before")),
        *pairs_at_length(("--inside", "before"), ("--outside", "after")),
    ],
)
def test_a_crash_at_any_step_is_cleaned_up(
    scene: Served, place: str, moment: str, stride: int
) -> None:
    home = scene.client.namespace
    scene.up()
    expected = host_state(home)
    for step in range(1, 40, stride):
        arguments = (str(step), moment, "run", place, "--", "true")
        if fs_run(scene, *arguments, module="tests.crash_at").code != -signal.SIGKILL:
            break
        assert inside(scene, *PING, WEB_V4).code == 0
        assert fs_run(scene, "cleanup").code == 0
        assert host_state(home) == expected, step
    assert step > (12 if place == "--inside" else 7)


def test_what_a_killed_command_left_is_cleaned_up_once_it_is_unused(scene: Served) -> None:
    scene.up()
    expected = host_state(scene.client.namespace)
    process = start(scene, "--inside", "--", *WAITING)
    (child,) = inner_namespace.processes(scene.client.name)
    process.kill()
    process.communicate()
    assert fs_run(scene, "cleanup").code == 0
    namespace = inner_namespace.path_of(scene.client.name)
    if Path(f"/proc/{child}").exists():
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: not list(inner_namespace.processes(scene.client.name)), what="it is empty")
    assert fs_run(scene, "cleanup").code == 0
    assert not namespace.exists()
    assert host_state(scene.client.namespace) == expected


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "--inside", "--outside", "--", "true"), 2, "choose --inside or --outside"),
        (("run", "--", "true"), 2, "choose --inside or --outside"),
        (("run", "--inside"), 2, "after --"),
        (("run", "--inside", "--"), 2, "after --"),
        (("run", "--inside", "--dns", "x", "--", "true"), 2, "'x' is no address"),
        (("run", "--inside", "nothing", "--", "true"), 3, "nothing is not up"),
        (("run", "--inside", "--", "true"), 3, "no tunnel is up"),
    ],
)
def test_what_makes_no_sense_is_refused(
    scene: Served, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = fs_run(scene, *arguments)
    assert done.code == code
    assert said in done.err
    assert done.err.count("\n") == 1
