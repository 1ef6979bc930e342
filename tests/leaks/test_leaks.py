"""Between ``up`` and ``down`` nothing leaves a client in the clear, whatever happens to it.

Each column of the table that these tests print is a state, each row a way out, each cell how many
packets were seen on the uplink.  The columns without a tunnel are the control: there every probe
must be seen.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks.scene import OTHER, Watched, watched
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
    served.serve("--wan", "wan")
    wait_until(lambda: reaches(scene), what="the tunnel carries packets")
    inside["connected"] = scene.seen()
    served.down(served.provider, served.conf)
    inside["provider lost"] = scene.seen()
    served.serve("--wan", "wan")

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

    scene.move("2")
    scene.down()
    control["down"] = scene.seen_all()
    rows = [*(probe.name for probe in scene.probes), OTHER]
    with capsys.disabled():
        print("\n" + table(control | inside, rows))
    for state, seen in inside.items():
        assert not seen, f"in the clear while {state}: {dict(seen)}"


def reaches(scene: Watched) -> bool:
    argv = ("ping", "-n", "-c", "1", "-W", "1", "10.66.0.1")
    return scene.home.start(*argv).wait() == 0
