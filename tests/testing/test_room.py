# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A scene's room, seen by a test in it; and the command lines that its keeper runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netns.topology import Topology
from tools.testing import commands, room

pytestmark = pytest.mark.netns

_ECHO = """
import os, sys
print(__name__, sys.argv[1:], os.environ["SAID"], os.getcwd(), sys.stdin.read(), flush=True)
print("wrong", file=sys.stderr)
sys.exit(7)
"""


def test_nothing_of_the_machine_is_in_it() -> None:
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert links.count("\n") == 1 and "LOOPBACK,UP" in links
    for folder in ("/run/netns", "/run/fs-tunnel", "/run/wireguard"):
        assert list(Path(folder).iterdir()) == []
    assert Path("/etc/resolv.conf").read_text() == room.RESOLVERS
    assert list(Path(room.HOME).iterdir()) == []
    assert Path.home() == Path(room.HOME)
    assert Path("/proc/1/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes()
    assert Path("/proc/self/cgroup").read_text().splitlines()[-1] == "0::/"


@pytest.mark.parametrize("turn", [1, 2])
def test_what_is_left_in_etc_is_gone_in_the_next(turn: int) -> None:
    """Each turn is a scene, or both are in one: what was written never reaches the machine."""
    for folder in ("/etc", "/var", "/var/lib", "/run", "/tmp"):
        Path(folder, f"left-behind-{turn}").touch()


def test_a_command_line_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    name = f"echo_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(_ECHO)
    env = {"SAID": "hello", "PYTHONPATH": str(tmp_path)}
    done = commands.fs_tunnel("a", "b c", module=name, env=env, cwd=tmp_path, stdin="in")
    plain = subprocess.run(
        [sys.executable, "-m", name, "a", "b c"],
        env={**os.environ, **env},
        cwd=tmp_path,
        input="in",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, plain.stdout, "wrong\n")
    assert plain.returncode == 7
    assert done.stdout == f"__main__ ['a', 'b c'] hello {tmp_path} in\n"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("", 0),
        ("raise SystemExit", 0),
        ("raise SystemExit('told')", 1),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import atexit; atexit.register(print, 'at exit')", 0),
        ("import threading; threading.Timer(0.2, print, ['late']).start()", 0),
    ],
)
def test_it_ends_as_a_process_ends(tmp_path: Path, source: str, code: int) -> None:
    (tmp_path / "ending.py").write_text(source)
    done = commands.fs_tunnel(module="ending", cwd=tmp_path)
    plain = subprocess.run(
        [sys.executable, "-m", "ending"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]


def test_it_runs_in_a_network_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "looking.py").write_text(
        "import os, socket\n"
        "print([name for _, name in socket.if_nameindex()], sorted(os.listdir('/sys/class/net')))\n"
        "print(open('/etc/hosts').read())\n"
    )
    with Topology() as topology:
        home = topology.namespace("home")
        home.ip("link", "add", "here", "type", "bridge")
        folder = Path("/etc/netns", home.name)
        folder.mkdir(parents=True)
        (folder / "hosts").write_text("192.0.2.1 there\n")
        done = commands.fs_tunnel(module="looking", cwd=tmp_path, network=home.name)
    assert done.stderr == ""
    assert done.stdout == "['lo', 'here'] ['here', 'lo']\n192.0.2.1 there\n\n"


def test_the_command_that_users_type_says_the_same() -> None:
    """The program itself, as a process and by the keeper."""
    program = Path(sys.executable).parent / "fs-tunnel"
    for words in (["--help"], ["status"], ["up"], ["up", "nowhere.conf"], ["nothing"]):
        plain = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        done = commands.fs_tunnel(*words)
        assert (done.returncode, done.stdout, done.stderr) == (
            plain.returncode,
            plain.stdout,
            plain.stderr,
        )
