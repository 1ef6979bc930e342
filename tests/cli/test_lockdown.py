# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``lockdown``: closed while no full tunnel is up, at every step on the way there and back."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks.probes import Probe
from tests.leaks.scene import GATEWAY_V4, OTHER, Watched, watched
from tests.netns.served import WEB_V4, expect_ok, host_state, settle, write_private
from tests.netns.waiting import wait_until
from tests.walks import at_length, strides

pytestmark = pytest.mark.netns


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path) as made:
        settle(made.home)
        made.served.serve_apart("--wan", "wan")
        yield made


def tables(scene: Watched) -> list[str]:
    said = scene.home.run("nft", "list", "tables")
    return [line.removeprefix("table inet ") for line in said.splitlines()]


LOCKDOWN = "flowshield_lockdown"
MARKET = f"""
[chain]
rpc = "http://{WEB_V4}:8545"
id = 1
[contracts]
token = "0x{"1" * 40}"
channels = "0x{"2" * 40}"
"""


def kill_switch(scene: Watched) -> str:
    return f"fs_{scene.served.client.name}"


def reaches_web(scene: Watched) -> bool:
    argv = ("ping", "-n", "-q", "-c", "1", "-W", "2", WEB_V4)
    return scene.home.start(*argv, stdout=subprocess.DEVNULL).wait() == 0


def split(scene: Watched, *lines: str) -> None:
    """The client's file names a part of the network only."""
    conf = scene.served.client.conf
    text = conf.read_text().replace("0.0.0.0/0, ::/0", "203.0.113.0/24, 10.66.0.0/24")
    write_private(conf, text.replace("[Peer]", "\n".join([*lines, "[Peer]"])))


def test_on_blocks_and_off_leaves_no_trace(scene: Watched) -> None:
    before = host_state(scene.home)
    control = scene.seen_all()
    assert all(control[probe.name] for probe in scene.probes)
    scene.lockdown("on")
    assert scene.seen() == {}
    scene.lockdown("on")
    scene.lockdown("off")
    scene.lockdown("off")
    assert host_state(scene.home) == before
    assert [path.name for path in (scene.served.folder / "state").glob("lock*")] == []


def test_it_is_loaded_at_boot_by_nft_alone(scene: Watched) -> None:
    scene.lockdown("on")
    expected = host_state(scene.home)
    scene.home.run("nft", "flush", "ruleset")
    said = scene.served.fs_tunnel(scene.home, "lockdown", "status")
    assert "not in force" in said.out
    file = scene.served.folder / "state/lockdown.nft"
    assert file.stat().st_mode & 0o777 == 0o600
    scene.home.run("nft", "-f", str(file))
    assert host_state(scene.home) == expected
    assert scene.seen() == {}


def test_a_lan_is_left_open_on_request(scene: Watched) -> None:
    def lan(probe: Probe) -> bool:
        return probe.name in ("multicast", "broadcast")

    scene.lockdown("on", "--allow-lan")
    # Beside them, what a multicast group's member says by itself.
    assert set(scene.seen()) - {OTHER} == {probe.name for probe in scene.probes if lan(probe)}
    scene.lockdown("on")
    assert scene.seen() == {}


def test_status_tells(scene: Watched) -> None:
    def told(*arguments: str) -> str:
        return scene.served.fs_tunnel(scene.home, *arguments).out

    def state() -> dict[str, bool]:
        found = json.loads(told("lockdown", "status", "--json"))
        assert found["schema"] == 1
        return {str(key): value for key, value in found["lockdown"].items()}

    assert told("lockdown", "status") == "lockdown is off\n"
    scene.lockdown("on", "--allow-lan")
    assert state() == {"on": True, "allow_lan": True, "blocking": True, "lifted": False}
    assert "lockdown is on, private networks apart: nothing leaves" in told("status")
    settings = scene.served.folder / "market.toml"
    settings.write_text(MARKET)
    asked = scene.served.fs_tunnel(
        scene.home, "market", "quote", f"{WEB_V4}:4700", "--settings", settings
    )
    assert (asked.code, "see fs-tunnel lockdown status" in asked.err) == (1, True)
    scene.up()
    assert state() == {"on": True, "allow_lan": True, "blocking": False, "lifted": True}
    assert "a full tunnel is up" in told("status")
    assert json.loads(told("status", "--json"))["lockdown"]["lifted"] is True


@pytest.mark.parametrize("late", [True, *at_length(False)])
def test_down_returns_to_where_it_blocks(scene: Watched, late: bool) -> None:
    """Also where it was said while the tunnel was up."""
    if not late:
        scene.lockdown("on")
    scene.up()
    if late:
        scene.lockdown("on")
    wait_until(lambda: reaches_web(scene), what="the tunnel carries packets")
    assert tables(scene) == [kill_switch(scene)]
    scene.down()
    assert tables(scene) == [LOCKDOWN]
    assert scene.seen() == {}


@strides
@pytest.mark.parametrize("verb", ["up", "down"])
def test_it_is_never_open_in_between(scene: Watched, verb: str, stride: int) -> None:
    """Whatever step ``up`` or ``down`` dies at; and ``cleanup`` opens nothing."""
    home, served = scene.home, scene.served
    scene.lockdown("on")
    expected = host_state(home)
    for step in range(1, 30, stride):
        if verb == "down":
            scene.up()
        arguments = (str(step), "before", verb, served.client.conf)
        done = served.fs_tunnel(home, *arguments, module="tests.crash_at")
        assert tables(scene), step
        expect_ok(served.fs_tunnel(home, "cleanup"))
        assert tables(scene), step
        scene.down()  # where it had its engine, it is up
        if done.code != -signal.SIGKILL:
            break
        assert host_state(home) == expected, step
    assert step > 8


@pytest.mark.parametrize("first_down", [0, *at_length(1)])
def test_the_last_of_two_tunnels_returns_to_it(scene: Watched, first_down: int) -> None:
    client = scene.served.client
    second = scene.served.folder / f"l{os.getpid():x}{first_down}.conf"
    write_private(second, client.conf.read_text())
    scene.lockdown("on")
    expected = host_state(scene.home)
    confs = [client.conf, second]
    for conf in confs:
        expect_ok(scene.served.fs_tunnel(scene.home, "up", conf))
    scene.served.down(scene.home, confs.pop(first_down))
    assert LOCKDOWN not in tables(scene)
    scene.served.down(scene.home, confs[0])
    assert host_state(scene.home) == expected


@pytest.mark.parametrize("late", [True, *at_length(False)])
def test_a_split_tunnel_works_and_all_else_stays_blocked(scene: Watched, late: bool) -> None:
    split(scene)
    if late:
        scene.up()
        said = scene.served.fs_tunnel(scene.home, "lockdown", "on")
        assert "is cut off, too" in said.out
    else:
        scene.lockdown("on")
    scene.up()
    wait_until(lambda: reaches_web(scene), what="the tunnel carries packets")
    assert scene.seen() == {}
    scene.down()
    assert scene.seen() == {}


@pytest.mark.parametrize(
    "options", [("--no-kill-switch",), *at_length(("--only", "203.0.113.0/24"))]
)
def test_it_stays_where_no_kill_switch_takes_its_place(
    scene: Watched, options: tuple[str, ...]
) -> None:
    scene.lockdown("on")
    scene.up(*options)
    wait_until(lambda: reaches_web(scene), what="the tunnel carries packets")
    assert LOCKDOWN in tables(scene)
    assert scene.seen() == {}


def test_what_cannot_work_is_refused_with_a_remedy(scene: Watched) -> None:
    served, home, conf = scene.served, scene.home, scene.served.client.conf
    scene.lockdown("on")
    done = served.fs_tunnel(home, "serve", "--wan", "wire", served.conf)
    assert done.code == 2
    assert "lockdown off" in done.err
    text = conf.read_text()
    write_private(conf, text.replace(GATEWAY_V4, "provider.example.net"))
    done = served.fs_tunnel(home, "up", conf)
    assert done.code == 1
    assert "lockdown lets nobody resolve names: write the address itself" in done.err
    write_private(conf, text)
    split(scene, "FwMark = 7")
    done = served.fs_tunnel(home, "up", conf)
    assert done.code == 2
    assert "FwMark: lockdown lets no datagram with this mark out; choose one of 51820" in done.err


def test_who_came_by_ssh_is_not_cut_off(scene: Watched) -> None:
    def lockdown(address: str, *options: str) -> tuple[int, str]:
        ssh = {"SSH_CONNECTION": f"{address} 40000 198.51.100.2 22"}
        words = ("lockdown", "on", *options)
        done = scene.served.fs_tunnel(scene.home, *words, env=ssh, is_forked=False)
        return done.code, done.err

    code, said = lockdown("198.51.100.1")
    assert code == 2
    assert "cut you off; add --force" in said
    assert lockdown("198.51.100.1", "--allow-lan")[0] == 2
    assert lockdown("192.168.7.1")[0] == 2
    assert tables(scene) == []
    assert lockdown("192.168.7.1", "--allow-lan") == (0, "")
    assert lockdown("127.0.0.1") == (0, "")
    assert lockdown("198.51.100.1", "--force") == (0, "")


def test_a_file_that_is_damaged_means_that_it_is_on(scene: Watched) -> None:
    scene.lockdown("on")
    file = scene.served.folder / "state/lockdown.nft"
    file.write_text("# fs-tunnel lockdown {")
    found = scene.served.fs_tunnel(scene.home, "lockdown", "status")
    assert "lockdown is on: nothing leaves" in found.out
