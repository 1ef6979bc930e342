# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``run``: a program inside of a tunnel, or outside of it; nobody else is in either place."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fs_tunnel.linux.firewall.kill_switch import outside_mark
from fs_tunnel.linux.routing import inner_namespace
from fs_tunnel.linux.splits import cgroup
from tests.cli.run.running import (
    NEIGHBOUR,
    NOBODY,
    PING,
    WAITING,
    finish,
    fs_run,
    inside,
    outside,
    start,
)
from tests.lifecycles import rewrite
from tests.netns.capture import Capture
from tests.netns.served import (
    WEB_V4,
    WEB_V6,
    Served,
    host_state,
)
from tests.netns.topology import run as run_program
from tests.netns.waiting import wait_until
from tests.walks import at_length

pytestmark = pytest.mark.netns


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
    rewrite(scene.client.conf, "0.0.0.0/0, ::/0", allowed)
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
    rewrite(scene.client.conf, "[Peer]", "DNS = 10.66.0.1, example.org\n[Peer]")
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


@pytest.mark.parametrize(
    "options", [("--only", "198.51.100.1/32"), *at_length((), ("--no-kill-switch",))]
)
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
    rewrite(scene.client.conf, "0.0.0.0/0, ::/0", "203.0.113.0/24")
    scene.up()
    said = outside(scene, "true")
    assert said.code == 2
    assert "is no full tunnel" in said.err
