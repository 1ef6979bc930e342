# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a host has is the same before and after: rules, routes, tables, resolver, parameters.

Each way of using a tunnel ends twice here, by ``down``, and by ``kill -9`` of all its processes
and ``cleanup``.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.served import (
    LAB,
    Finished,
    Served,
    expect_ok,
    host_state,
    served,
    settle,
    write_private,
)
from tests.netns.topology import Namespace
from tests.netns.waiting import wait_until
from tests.walks import at_length
from tools.testing import patience

pytestmark = pytest.mark.netns


@dataclass
class Host:
    """The side that is looked at."""

    scene: Served
    where: Namespace
    conf: Path

    def fs(self, *arguments: str | Path) -> Finished:
        """With the host's own mounts: neither cgroups nor namespaces are seen by ip netns exec.

        But for the file of the resolvers, which is the test's.
        """
        resolv_conf = self.scene.folder / "resolv.conf"
        script = f"mount --bind {resolv_conf} /etc/resolv.conf && exec "
        argv = ["nsenter", f"--net={self.where.path}", "unshare", "--mount", "--propagation"]
        argv += ["slave", "sh", "-c", script + '"$@"', "sh", *self.scene.command(*arguments)]
        done = subprocess.run(
            argv,
            env={**os.environ, **self.scene.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience.seconds(60),
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def up(self, *options: str, allowed: str = "0.0.0.0/0, ::/0") -> None:
        text = self.scene.client.conf.read_text()
        text = text.replace("0.0.0.0/0, ::/0", allowed)
        if "DNS" not in text:
            text = text.replace("[Peer]", "DNS = 10.66.0.1\n[Peer]")
        write_private(self.conf, text)
        expect_ok(self.fs("up", *options, self.conf))

    def run(self, place: str) -> None:
        """Start a program that runs on; ``down`` and ``cleanup`` must take it out of its place."""
        self.up()
        process = subprocess.Popen(
            [
                *("nsenter", f"--net={self.where.path}"),
                *self.scene.command("run", place, self.conf.stem, "--", *STAYING),
            ],
            env={**os.environ, **self.scene.env},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        self.programs.append(process)

    def __post_init__(self) -> None:
        self.programs: list[subprocess.Popen[bytes]] = []

    def state(self) -> tuple[str, str]:
        return host_state(self.where), (self.scene.folder / "resolv.conf").read_text()

    def kill_all(self) -> None:
        """Engine, commands and programs."""
        for program in self.programs:
            children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text()
            program.kill()
            for child in children.split():
                os.kill(int(child), signal.SIGKILL)
            program.communicate()
        self.programs.clear()
        for pid in self.where.pids():
            if self.conf.stem.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.where.has_link(self.conf.stem), what="the TUN is gone")


STAYING = ("sh", "-c", "echo; exec sleep 600")


def serve(host: Host) -> None:
    expect_ok(host.fs("serve", *LAB, "--wan", "wan", host.conf))


USES: dict[str, Callable[[Host], None]] = {
    "full": lambda host: host.up(),
    "full, IPv4 alone": lambda host: host.up("--allow-lan", allowed="0.0.0.0/0"),
    "full, no kill switch": lambda host: host.up("--no-kill-switch"),
    "split": lambda host: host.up(allowed="203.0.113.0/24, 10.66.0.0/24"),
    "only": lambda host: host.up("--only", "203.0.113.0/24", "--only", "10.66.0.0/24"),
    "run --inside": lambda host: host.run("--inside"),
    "run --outside": lambda host: host.run("--outside"),
    "serve": serve,
}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        settle(made.client.namespace, made.provider)
        yield made


def host_of(scene: Served, use: str) -> Host:
    if use == "serve":
        return Host(scene, scene.provider, scene.conf)
    return Host(scene, scene.client.namespace, scene.client.conf)


_CHIEF = "full", "run --inside", "serve"


@pytest.mark.parametrize("use", [*_CHIEF, *at_length(*sorted(USES.keys() - set(_CHIEF)))])
def test_all_is_as_before(scene: Served, use: str) -> None:
    host = host_of(scene, use)
    before = host.state()
    conf = host.conf.read_text()
    USES[use](host)
    assert host.state() != before
    expect_ok(host.fs("down", host.conf))
    assert host.state() == before

    write_private(host.conf, conf.rstrip("\n"))
    USES[use](host)
    host.kill_all()
    expect_ok(host.fs("cleanup"))
    assert host.state() == before
    assert list((scene.folder / "state").glob("*.journal")) == []


def test_lockdown_is_a_state_of_its_own(scene: Served) -> None:
    host = host_of(scene, "lockdown")
    before = host.state()
    expect_ok(host.fs("lockdown", "on"))
    closed = host.state()
    assert closed != before
    host.up()
    expect_ok(host.fs("down", host.conf))
    assert host.state() == closed
    host.up()
    host.kill_all()
    expect_ok(host.fs("cleanup"))
    assert host.state() == closed
    expect_ok(host.fs("lockdown", "off"))
    assert host.state() == before
