# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider dies during a download: the tunnel moves to the next provider, and nothing leaks.

client  198.51.100.2 --- provider --- internet  192.0.2.1 --- 192.0.2.2  second
"""

import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.market import NAME, PROVIDER, SALES, SOLD, WEB, Market, market
from tests.e2e.uplink import left
from tests.netns.capture import Capture
from tests.netns.topology import Namespace, unique_name
from tests.netns.waiting import wait_until
from tests.walks import long

pytestmark = pytest.mark.netns

SECOND = "192.0.2.2"
SOLD_SECOND = unique_name("next")
MIB = 1 << 20
WITHIN = 20.0  # seconds: the promise is "within seconds"
FIRST_PORT, SECOND_PORT = 51820, 51821


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[Market, Namespace]]:
    with market() as scene:
        second = scene.topology.namespace("next")
        scene.topology.link(
            *(second, "wan", [f"{SECOND}/24"]), *(scene.internet, "next", ["192.0.2.1/24"])
        )
        second.ip("route", "add", "default", "via", "192.0.2.1")
        second.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        scene.internet.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        _write_second_sale(scene, second)
        yield scene, second


@pytest.fixture
def scene(built: tuple[Market, Namespace]) -> Iterator[tuple[Market, Namespace]]:
    made, second = built
    made.begin()
    made.serve()
    _serve_second(made, second)
    try:
        yield built
    finally:
        made.fs_tunnel(made.client, "down", NAME)
        made.fs_tunnel(made.provider, "down", SOLD)
        made.fs_tunnel(second, "down", SOLD_SECOND)
        # The dead provider sent no last message, so its session is kept to be continued.
        for each in (made.folder / "state" / "market").glob(f"{NAME}.[!b]*"):
            each.unlink()


def _write_second_sale(scene: Market, second: Namespace) -> None:
    folder = scene.folder
    for file in ("second-node.key",):
        (folder / "chain" / file).touch(mode=0o600)
        (folder / "chain" / file).write_text(secrets.token_hex(32) + "\n")
    sale = (folder / "sale.toml").read_text()
    for before, after in (
        (f"{PROVIDER}:{SALES}", f"{SECOND}:{SALES}"),
        (f"{PROVIDER}:{FIRST_PORT}", f"{SECOND}:{SECOND_PORT}"),
        ("node.key", "second-node.key"),
    ):
        assert sale.count(before) == 1
        sale = sale.replace(before, after)
    (folder / "second.toml").write_text(sale)
    conf = folder / f"{SOLD_SECOND}.conf"
    conf.touch(mode=0o600)
    key = scene.ok(second, "genkey").strip()
    conf.write_text(
        f"[Interface]\nPrivateKey = {key}\nAddress = 10.77.0.1/24\nListenPort = {SECOND_PORT}\n"
    )


def _serve_second(scene: Market, second: Namespace) -> None:
    scene.ok(
        second,
        *("serve", "--wan", "wan", "--allow-dest", "203.0.113.0/24", "--no-dns"),
        *("--market", scene.folder / "second.toml", scene.folder / f"{SOLD_SECOND}.conf"),
    )


def kill_provider(scene: Market) -> None:
    """Kill its engine, its agent, and the helper that would start them again."""
    told = scene.status(scene.provider, SOLD)
    helper = _helper_of(int(told["market"]["pid"]))
    for pid in (helper, int(told["market"]["pid"]), int(told["pid"])):
        os.kill(pid, signal.SIGKILL)


def _helper_of(agent: int) -> int:
    status = Path(f"/proc/{agent}/status").read_text()
    return int(status.partition("\nPPid:")[2].split()[0])


def failover(scene: Market) -> dict[str, Any]:
    told = scene.money(NAME)["failover"]
    assert isinstance(told, dict)
    return told


def test_the_tunnel_moves_to_who_stands_by_and_nothing_leaks(
    scene: tuple[Market, Namespace],
) -> None:
    made, second = scene
    said = made.up("--provider", f"{SECOND}:{SALES}")
    assert said.count("is open") == 2
    made.wait_for_agent(NAME, "served")
    assert failover(made)["waiting"] == [f"{SECOND}:{SALES}"]
    fetching = made.fetching(200 * MIB)
    wait_until(lambda: fetching.done > 4 * MIB, what="bytes come")
    wait_until(lambda: int(made.money(NAME)["paid"]["units"]), what="they are paid")
    with Capture(made.client, "eth0") as uplink:
        kill_provider(made)
        at_first = made.money(NAME)
        wait_until(lambda: failover(made)["moves"], what="the tunnel moves", seconds=WITHIN)
        wait_until(lambda: made.fetch(MIB) == MIB, what="bytes come again", seconds=WITHIN)
        frames = [frame.data for frame in uplink.frames() if frame.outgoing and frame.data]
    fetching.process.kill()
    (move,) = failover(made)["moves"]
    assert (move["origin"], move["target"]) == (f"{PROVIDER}:{SALES}", f"{SECOND}:{SALES}")
    assert "silent" in move["why"]
    assert left(frames) == {
        (PROVIDER, "udp", FIRST_PORT),
        (SECOND, "tcp", SALES),
        (SECOND, "udp", SECOND_PORT),
    }
    told = made.wait_for_agent(NAME, "served")
    (before,) = told["elsewhere"]
    assert int(before["paid"]["units"]) >= int(at_first["paid"]["units"]) > 0
    assert int(told["deposit"]["units"]) + int(before["deposit"]["units"]) <= int(5e6)
    shown = made.ok(made.client, "status", NAME)
    assert f"to {SECOND}:{SALES}: the provider is silent" in shown
    assert made.status(made.client, NAME)["peers"][0]["endpoint"] == f"{SECOND}:{SECOND_PORT}"
    # Both books and the chain agree, also about the provider that died.
    said = made.ok(made.client, "down", NAME)
    assert "over (done)" in said
    assert "market settle" in said
    told = json.loads(made.ok(second, "status", "--json", SOLD_SECOND))["tunnels"][0]["market"]
    paid = int(told["paid"]["units"])
    wait_until(lambda: made.gained("provider") == paid, what="the second is paid")
    made.serve()
    theirs = int(made.wait_for_agent(SOLD, "ready")["paid"]["units"])
    made.ok(made.provider, "down", SOLD)
    # A voucher that was on its way when the first died is lost: a window, which grows with what
    # was paid.
    ours = int(before["paid"]["units"])
    assert ours * 3 // 4 <= theirs <= ours
    wait_until(lambda: made.gained("provider") == paid + theirs, what="the first is paid")
    assert not list((made.folder / "state" / "market").glob(f"{NAME}.[cjks]*"))


def test_who_leaves_is_left_and_a_share_that_is_spent_too(
    scene: tuple[Market, Namespace],
) -> None:
    made, _ = scene
    share = 8 * MIB  # at 10 for a GiB
    budget = 2 * 10 * share / (1 << 30)
    made.up("--provider", f"{SECOND}:{SALES}", "--budget", f"{budget:.6f} {made.symbol}")
    made.wait_for_agent(NAME, "served")
    said = made.ok(made.provider, "down", SOLD)
    assert "is down" in said
    wait_until(lambda: failover(made)["moves"], what="the tunnel moves", seconds=WITHIN)
    (move,) = failover(made)["moves"]
    assert move["why"].startswith("the session is over")
    wait_until(lambda: made.fetch(MIB) == MIB, what="bytes come again", seconds=WITHIN)
    fetching = made.fetching(4 * share)
    assert fetching.stalled() <= share

    def blocked() -> bool:
        return "no standby is left" in made.ok(made.client, "status", NAME)

    wait_until(blocked, what="it says that it is blocked", seconds=WITHIN)
    shown = made.ok(made.client, "status", NAME)
    assert "over (spent)" in shown
    assert f"fs-tunnel down {NAME}" in shown
    assert failover(made)["state"] == "blocked"
    assert_nothing_leaves(made)
    fetching.process.kill()
    told = made.money(NAME)
    paid = int(told["paid"]["units"]) + sum(int(e["paid"]["units"]) for e in told["elsewhere"])
    assert paid <= budget * 10**6
    made.down()
    wait_until(lambda: made.gained("provider") == paid, what="both are paid")


def test_who_does_not_answer_is_passed_over_and_nobody_need_stand_by(
    scene: tuple[Market, Namespace],
) -> None:
    made, _ = scene
    done = made.fs_tunnel(
        made.client,
        *("up", "--provider", "192.0.2.1:9", "--provider", f"{PROVIDER}:{SALES}"),
        *("--provider", f"{SECOND}:{SALES}", "--no-failover"),
        *("--max-price", f"20 {made.symbol}/GiB", "--budget", f"5 {made.symbol}", "--yes"),
        *("--settings", made.settings, "--wallet", made.folder / "wallet.json"),
        *("--password-file", made.folder / "password", NAME),
    )
    assert done.code == 0, done.err
    assert "no provider answers at 192.0.2.1 port 9" in done.err
    assert done.out.count("is open, with 5 ") == 1
    made.wait_for_agent(NAME, "served")
    assert failover(made)["waiting"] == []
    kill_provider(made)
    wait_until(lambda: failover(made)["state"] == "blocked", what="it is blocked", seconds=WITHIN)
    assert made.status(made.client, NAME)["peers"][0]["endpoint"] == f"{PROVIDER}:{FIRST_PORT}"
    assert_nothing_leaves(made)


def test_a_provider_that_comes_back_is_kept_where_nobody_else_answers(
    scene: tuple[Market, Namespace],
) -> None:
    made, _ = scene
    made.up("--provider", f"{SECOND}:{SALES}")
    made.wait_for_agent(NAME, "served")
    wait_until(lambda: failover(made)["waiting"] == [f"{SECOND}:{SALES}"], what="one stands by")
    engine = int(made.status(made.provider, SOLD)["pid"])
    made.internet.ip("link", "set", "next", "down")
    os.kill(engine, signal.SIGSTOP)
    try:
        wait_until(lambda: "error" in failover(made), what="nobody answers", seconds=WITHIN)
        assert failover(made)["waiting"] == [f"{SECOND}:{SALES}"], failover(made)
        os.kill(engine, signal.SIGCONT)
        wait_until(lambda: failover(made)["state"] == "standing by", what="it is well")
        assert made.fetch(MIB) == MIB
        assert not failover(made)["moves"]
    finally:
        os.kill(engine, signal.SIGCONT)
        made.internet.ip("link", "set", "next", "up")


@long
def test_whoever_is_killed_half_way_the_tunnel_moves(scene: tuple[Market, Namespace]) -> None:
    made, _ = scene
    made.up("--provider", f"{SECOND}:{SALES}")
    agent = int(made.wait_for_agent(NAME, "served")["pid"])
    helper = _helper_of(agent)
    file = made.folder / "state" / "market" / f"{NAME}.standbys"
    kill_provider(made)
    wait_until(lambda: json.loads(file.read_text())["intention"], what="it is to move")
    (mover,) = (
        pid for pid in _children_of(helper) if "fs_tunnel.roles.client.moving" in _command(pid)
    )
    os.kill(mover, signal.SIGKILL)
    assert not json.loads(file.read_text())["moves"]
    wait_until(lambda: failover(made)["moves"], what="the tunnel moves", seconds=WITHIN)
    wait_until(lambda: made.fetch(MIB) == MIB, what="bytes come again", seconds=WITHIN)
    assert "over (done)" in made.down()


def _children_of(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def assert_nothing_leaves(made: Market) -> None:
    with Capture(made.client, "eth0") as uplink:
        made.client.start("curl", "-s", "--max-time", "2", f"http://{WEB}/").wait()
        frames = [frame.data for frame in uplink.frames() if frame.outgoing and frame.data]
    assert {kind for _, kind, _ in left(frames)} <= {"udp"}
    assert {port for _, _, port in left(frames)} <= {FIRST_PORT, SECOND_PORT}
