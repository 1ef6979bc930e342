# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Between ``up`` and ``down``, nothing leaves a client in the clear, even if a part fails.

The test prints a table. Each column is a state and each row is a way out. Each cell tells how many
packets the capture saw on the uplink. The columns without a tunnel are the control: in them the
capture must see every probe.
"""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.leaks.scene import OTHER, Watched, watched
from tests.netns.capture import Capture
from tests.netns.served import WEB_V4, expect_ok
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path) as made:
        yield made


def table(columns: dict[str, Counter[str]], rows: list[str]) -> str:
    width = max(map(len, rows))
    lines = [f"{'packets seen':{width}}  " + "  ".join(columns)]
    for row in rows:
        cells = (f"{seen[row]:{len(state)}}" for state, seen in columns.items())
        lines.append(f"{row:{width}}  " + "  ".join(cells))
    return "\n".join(lines)


def test_nothing_leaves_in_the_clear(scene: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    home, served = scene.home, scene.served
    control = {"disconnected": scene.seen_all()}
    inside: dict[str, Counter[str]] = {}

    scene.up()
    inside["connecting"] = scene.seen()
    served.serve_apart("--wan", "wan")
    wait_until(lambda: reaches(scene), what="the tunnel carries packets")
    inside["connected"] = scene.seen()
    served.down_apart()
    inside["provider lost"] = scene.seen()
    served.serve_apart("--wan", "wan")

    engine = scene.engine()
    os.kill(engine, signal.SIGSTOP)
    inside["suspended"] = scene.seen()
    os.kill(engine, signal.SIGCONT)
    scene.move("3")
    inside["new address"] = scene.seen()

    os.kill(engine, signal.SIGKILL)
    wait_until(lambda: not home.has_link(served.client.name), what="the TUN is gone")
    inside["killed"] = scene.seen()
    scene.up()
    inside["up again"] = scene.seen()
    home.ip("link", "del", served.client.name)
    inside["TUN deleted"] = scene.seen()
    scene.up()
    os.kill(scene.engine(), signal.SIGTERM)
    wait_until(lambda: not home.has_link(served.client.name), what="the TUN is gone")
    inside["engine stopped"] = scene.seen()

    scene.up()
    wait_until(lambda: reaches(scene), what="the tunnel carries packets again")
    with uploading(scene):
        os.kill(scene.engine(), signal.SIGKILL)
        inside["killed while sending"] = scene.seen()
    scene.up()
    inside["run --inside"] = scene.seen(partial(scene.send_by, "--inside"))
    beside = scene.seen(partial(scene.send_by, "--outside"))
    with running_outside(scene):
        inside["beside run --outside"] = scene.seen()

    scene.lockdown("on")
    inside["lockdown, up"] = scene.seen()
    scene.down()
    inside["lockdown"] = scene.seen()
    scene.up()
    inside["lockdown, up again"] = scene.seen()
    os.kill(scene.engine(), signal.SIGKILL)
    wait_until(lambda: not home.has_link(served.client.name), what="the TUN is gone")
    expect_ok(served.fs_tunnel(home, "cleanup"))
    inside["lockdown, cleaned up"] = scene.seen()
    scene.lockdown("off")
    scene.move("2")
    control["down"] = scene.seen_all()
    rows = [*(probe.name for probe in scene.probes), OTHER]
    with capsys.disabled():
        print("\n" + table(control | {"run --outside": beside} | inside, rows))
    meant = [each.name for each in scene.probes if not each.from_box]
    assert all(beside[each] for each in meant), "on purpose"
    for state, seen in inside.items():
        assert not seen, f"in the clear while {state}: {dict(seen)}"


@contextmanager
def uploading(scene: Watched) -> Iterator[None]:
    """Upload through the tunnel; the transfer runs when the block begins."""
    scene.served.web.start("ncat", "--listen", "--keep-open", "--recv-only", "7007")
    with Capture(scene.served.provider, scene.served.name) as tunnel:
        sending = f"exec ncat --send-only {WEB_V4} 7007 </dev/zero"
        sender = scene.home.start("sh", "-c", sending)
        wait_until(lambda: len(list(tunnel.packets())) > 100, what="the transfer runs")
    yield
    sender.kill()
    sender.wait()


@contextmanager
def running_outside(scene: Watched) -> Iterator[None]:
    command = scene.served.command("run", "--outside", "--", "sh", "-c", "echo; read line")
    with subprocess.Popen(
        ["nsenter", f"--net={scene.home.path}", *command],
        env={**os.environ, **scene.served.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield
        process.communicate(b"\n")


def reaches(scene: Watched) -> bool:
    argv = ("ping", "-n", "-c", "1", "-W", "1", "10.66.0.1")
    return scene.home.start(*argv).wait() == 0
