# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``run``: a program inside of a tunnel, or outside of it, and nobody else in either place."""

import contextlib
import os
import pty
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs_tunnel.linux.firewall.kill_switch import outside_mark
from fs_tunnel.linux.routing import inner_namespace
from fs_tunnel.linux.splits import cgroup
from tests.netns.capture import Capture
from tests.netns.served import (
    WEB_V4,
    WEB_V6,
    Finished,
    Served,
    host_state,
    served,
    settle,
    write_private,
)
from tests.netns.topology import run as run_program
from tests.netns.waiting import wait_until
from tests.walks import strides
from tools.testing import commands, patience

pytestmark = pytest.mark.netns

NOBODY = 65534
NEIGHBOUR = "198.51.100.1"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        settle(made.client.namespace)
        made.serve_apart("--wan", "wan")
        yield made
        assert not inner_namespace.path_of(made.client.name).exists()
        assert not cgroup.group(made.client.name).exists()


@pytest.fixture
def etc(scene: Served) -> Iterator[Path]:
    """The client's /etc/resolv.conf, for commands but run, which has its own."""
    folder = Path("/etc/netns") / scene.client.namespace.name
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.53\nnameserver 192.0.2.53\n")
    yield folder
    (folder / "resolv.conf").unlink()
    folder.rmdir()


def command(scene: Served, *arguments: str, module: str = "fs_tunnel.cli.main") -> list[str]:
    """Not by ``ip netns exec``, which hides cgroups, and whose mounts are its own."""
    where = scene.client.namespace
    return ["nsenter", f"--net={where.path}", *scene.command(*arguments, module=module)]


def start(scene: Served, *arguments: str) -> subprocess.Popen[str]:
    """Until the program has said something."""
    process = subprocess.Popen(
        command(scene, "run", *arguments),
        env={**os.environ, **scene.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate("\n", timeout=patience.seconds(30))
    return process.returncode


def fs_run(scene: Served, *arguments: str, module: str = "fs_tunnel.cli.main") -> Finished:
    place = scene.client.namespace.path
    done = commands.fs_tunnel(*arguments, module=module, env=scene.env, network=str(place))
    return Finished(done.returncode, done.stdout, done.stderr)


def inside(scene: Served, *program: str) -> Finished:
    return fs_run(scene, "run", "--inside", scene.client.name, "--", *program)


def outside(scene: Served, *program: str) -> Finished:
    return fs_run(scene, "run", "--outside", scene.client.name, "--", *program)


PING = ("ping", "-n", "-q", "-c", "1", "-W", "2")
WAITING = ("sh", "-c", "echo here; read line")


# Inside.


def test_inside_all_goes_through_the_tunnel(scene: Served) -> None:
    scene.up()
    before = host_state(scene.client.namespace)
    with Capture(scene.provider, scene.name) as tunnel:
        assert inside(scene, *PING, WEB_V4).code == 0
        assert inside(scene, *PING, WEB_V6).code == 0
        packets = [packet for packet in tunnel.packets() if packet[0] >> 4 == 4]
    sources = {socket.inet_ntoa(packet[12:16]) for packet in packets}
    assert sources == {scene.client.v4, WEB_V4}
    assert host_state(scene.client.namespace) == before


@pytest.mark.parametrize(
    ("allowed", "options"),
    [("203.0.113.0/24", ()), ("0.0.0.0/0", ("--only", "203.0.113.0/24"))],
)
def test_inside_a_split_tunnel_there_is_no_other_way_out(
    scene: Served, allowed: str, options: tuple[str, ...]
) -> None:
    """Neither by a route of the host's, nor to the host itself."""
    text = scene.client.conf.read_text()
    write_private(scene.client.conf, text.replace("0.0.0.0/0, ::/0", allowed))
    scene.up(None, *options)
    home = scene.client.namespace
    assert home.start(*PING, NEIGHBOUR, stdout=subprocess.DEVNULL).wait() == 0, "the control"
    with Capture(home, "wire") as uplink:
        assert inside(scene, *PING, WEB_V4).code == 0
        assert inside(scene, *PING, NEIGHBOUR).code == 1
        assert inside(scene, *PING, "198.51.100.2").code == 1
        assert is_wireguard_alone(uplink)
    scene.down(home, scene.client.conf)


def is_wireguard_alone(uplink: Capture) -> bool:
    """Of IPv4."""
    packets = [packet for packet in uplink.packets() if packet[0] >> 4 == 4]
    return all(packet[9] == socket.IPPROTO_UDP for packet in packets)


def test_inside_is_closed_when_the_tunnel_dies_and_open_when_it_is_back(scene: Served) -> None:
    home, name = scene.client.namespace, scene.client.name
    scene.up()
    process = start(scene, "--inside", "--", *WAITING)
    (engine,) = [pid for pid in home.pids() if is_engine(cmdline(pid), name)]
    os.kill(engine, signal.SIGKILL)
    wait_until(lambda: not home.has_link(name), what="the TUN is gone")
    from_inside = ("ip", "netns", "exec", inner_namespace.path_of(name).name)
    with Capture(home, "wire") as uplink:
        assert subprocess.run([*from_inside, *PING, NEIGHBOUR], check=False).returncode != 0
        assert subprocess.run([*from_inside, *PING, WEB_V4], check=False).returncode != 0
        assert list(uplink.packets()) == []
    assert inside(scene, "true").code == 3
    scene.up()
    run_program(*from_inside, *PING, WEB_V4)
    assert finish(process) == 0


def is_engine(words: bytes, name: str) -> bool:
    return b"fs_wg" in words and name.encode() in words


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_several_share_a_namespace_that_the_last_one_takes_along(scene: Served) -> None:
    scene.up()
    first = start(scene, "--inside", "--", *WAITING)
    again = inside(scene, "readlink", "/proc/self/ns/net")
    assert again.code == 0
    namespace = inner_namespace.path_of(scene.client.name)
    assert f"net:[{namespace.stat().st_ino}]\n" == again.out
    assert finish(first) == 0
    assert not namespace.exists()


def test_down_cuts_off_what_is_inside(scene: Served) -> None:
    before = host_state(scene.client.namespace)
    scene.up()
    process = start(scene, "--inside", "--", *WAITING)
    expect_down(scene)
    assert host_state(scene.client.namespace) == before
    assert finish(process) == 0


def expect_down(scene: Served) -> None:
    """By ``nsenter``, as a user's shell would: the namespace is mounted where that can see it."""
    assert fs_run(scene, "down", scene.client.name).code == 0


def test_inside_names_are_asked_of_the_tunnels_resolver(scene: Served, etc: Path) -> None:
    text = scene.client.conf.read_text()
    write_private(scene.client.conf, text.replace("[Peer]", "DNS = 10.66.0.1, example.org\n[Peer]"))
    scene.up()
    said = inside(scene, "cat", "/etc/resolv.conf", "/etc/nsswitch.conf")
    assert said.out.startswith("nameserver 10.66.0.1\nsearch example.org\n")
    hosts = [line for line in said.out.splitlines() if line.startswith("hosts:")]
    assert hosts == ["hosts: files dns"], "no daemon asks in its place"
    assert (etc / "resolv.conf").read_text() != said.out
    assert outside(scene, "cat", "/etc/resolv.conf").out == "nameserver 192.0.2.53\n"
    scene.down(scene.client.namespace, scene.client.conf)


# Outside.


def test_outside_is_beside_the_tunnel_and_nobody_else_is(scene: Served) -> None:
    """Also where the kernel insists on answers from where it would ask itself."""
    home, name = scene.client.namespace, scene.client.name
    home.sysctl("net/ipv4/conf/all/rp_filter", 1)
    scene.up()
    before = host_state(home)
    process = start(scene, "--outside", "--", *WAITING)
    assert outside(scene, *PING, NEIGHBOUR).code == 0
    mark = str(outside_mark(51820))
    # Whoever can set the mark, as ping can for everybody, is not in the cgroup.
    assert fs_ping(scene, "-m", mark, NEIGHBOUR) != 0
    assert fs_ping(scene, NEIGHBOUR) != 0
    for attempt in (
        f"import socket; socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, {mark})",
        f"open({str(cgroup.group(name) / 'cgroup.procs')!r}, 'w').write('0')",
    ):
        said = as_nobody(home.path, sys.executable, "-c", attempt)
        assert said.returncode == 1
        assert "PermissionError" in said.stderr
    assert finish(process) == 0
    assert host_state(home) == before


def fs_ping(scene: Served, *arguments: str) -> int:
    return subprocess.run(
        ["nsenter", f"--net={scene.client.namespace.path}", *PING, *arguments],
        capture_output=True,
        check=False,
    ).returncode


def as_nobody(namespace: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *("nsenter", f"--net={namespace}"),
            *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("--no-kill-switch",), ("--only", "198.51.100.1/32")])
def test_outside_with_whatever_keeps_the_rest_in(scene: Served, options: tuple[str, ...]) -> None:
    home = scene.client.namespace
    scene.up(None, *options)
    assert outside(scene, *PING, NEIGHBOUR).code == 0
    with Capture(home, "wire") as uplink:
        fs_ping(scene, NEIGHBOUR)
        assert is_wireguard_alone(uplink)
    # The table is made anew under a program that runs.
    script = f"echo; read line; {' '.join(PING)} {NEIGHBOUR}"
    process = start(scene, "--outside", "--", "sh", "-c", script)
    assert fs_run(scene, "up", *options, str(scene.client.conf)).code == 0
    assert finish(process) == 0
    scene.down(home, scene.client.conf)


def test_down_leaves_who_was_outside_where_all_are(scene: Served) -> None:
    before = host_state(scene.client.namespace)
    scene.up()
    process = start(scene, "--outside", "--", *WAITING)
    expect_down(scene)
    assert host_state(scene.client.namespace) == before
    assert not cgroup.group(scene.client.name).exists()
    assert finish(process) == 0


def test_a_split_tunnel_has_no_outside(scene: Served) -> None:
    text = scene.client.conf.read_text()
    write_private(scene.client.conf, text.replace("0.0.0.0/0, ::/0", "203.0.113.0/24"))
    scene.up()
    said = outside(scene, "true")
    assert said.code == 2
    assert "is no full tunnel" in said.err


# The program.


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
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("place", ["--inside", "--outside"])
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


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "--inside", "--outside", "--", "true"), 2, "either --inside or --outside"),
        (("run", "--", "true"), 2, "either --inside or --outside"),
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
