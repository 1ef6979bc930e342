# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``up``, ``serve`` and ``down`` as commands: once more, several at a time, and refusals."""

import os
import subprocess
from pathlib import Path

import pytest

from fs_tunnel.cli.main import cli
from fs_wire.errors import PrivilegeError
from tests.lifecycles import rewrite
from tests.netns.served import (
    PROVIDER_WAN_V4,
    WEB_V4,
    Served,
    expect_ok,
    host_state,
    ping,
    write_private,
)
from tools.testing import patience

pytestmark = pytest.mark.netns


# The same again.


def test_an_address_that_changed_keeps_the_routes(scene: Served) -> None:
    """With its last address the kernel takes an interface's routes away."""
    scene.serve("--wan", "wan")
    where, client = scene.client.namespace, scene.client
    scene.up()
    rewrite(client.conf, f"{client.v4}/32", "10.66.0.77/32")
    rewrite(scene.conf, f"{client.v4}/32", "10.66.0.77/32")
    scene.serve("--wan", "wan")
    scene.up()
    assert client.v4 not in where.ip("address")
    ping(where, WEB_V4)


def test_an_endpoint_that_changed_is_used(scene: Served) -> None:
    scene.serve("--wan", "wan")
    where = scene.client.namespace
    scene.up()
    ping(where, WEB_V4)
    rewrite(scene.client.conf, "198.51.100.1:51820", f"{PROVIDER_WAN_V4}:51820")
    scene.up()
    shown = where.run("wg", "show", scene.client.name, "endpoints")
    assert shown.split()[1] == f"{PROVIDER_WAN_V4}:51820"


def test_what_somebody_deleted_is_mended(scene: Served) -> None:
    scene.serve("--wan", "wan")
    where = scene.client.namespace
    scene.up()
    ping(where, WEB_V4)
    expected = host_state(where)
    where.ip("route", "flush", "table", "51820")
    where.ip("rule", "del", "priority", "5220")
    for each in (where, scene.provider):
        each.run("nft", "flush", "ruleset")
    scene.up()
    scene.serve("--wan", "wan")
    assert host_state(where) == expected
    ping(where, WEB_V4)


def test_another_policy_replaces_the_firewall_and_keeps_sessions(scene: Served) -> None:
    scene.serve("--wan", "wan")
    scene.up()
    ping(scene.client.namespace, WEB_V4)
    before = scene.provider.run("wg", "show", scene.name, "latest-handshakes")
    scene.serve("--wan", "wan", "--allow-smtp")
    assert "dport 25 " not in scene.provider.run("nft", "list", "ruleset")
    assert scene.provider.run("wg", "show", scene.name, "latest-handshakes") == before
    ping(scene.client.namespace, WEB_V4)


# Several at a time.


@pytest.mark.parametrize("first_down", [0, 1])
def test_two_tunnels_restore_what_was_before_both(
    scene: Served, etc: Path, first_down: int
) -> None:
    where = scene.client.namespace
    (etc / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    confs = [scene.client.conf, scene.folder / f"t{os.getpid():x}{first_down}.conf"]
    write_private(confs[1], scene.client.conf.read_text())
    for conf, server in zip(confs, ("10.66.0.1", "10.66.0.11"), strict=True):
        rewrite(conf, "[Peer]", f"DNS = {server}\n[Peer]")
    before = host_state(where)
    for conf in confs:
        expect_ok(scene.fs_tunnel(where, "up", conf))
    assert "10.66.0.11" in where.run("cat", "/etc/resolv.conf")
    scene.down(where, confs.pop(first_down))
    (left,) = confs
    shown = where.run("cat", "/etc/resolv.conf")
    assert ("nameserver 10.66.0.1\n" if first_down else "nameserver 10.66.0.11\n") in shown
    assert where.run("sysctl", "-n", "net.ipv4.conf.all.src_valid_mark") == "1\n"
    scene.down(where, left)
    assert host_state(where) == before


def test_a_mark_that_another_tunnel_has_is_refused_and_the_other_stays_closed(
    scene: Served,
) -> None:
    where = scene.client.namespace
    second = scene.folder / f"m{os.getpid():x}.conf"
    rewrite(scene.client.conf, "[Peer]", "FwMark = 4242\n[Peer]")
    write_private(second, scene.client.conf.read_text())
    scene.up()
    expected = host_state(where)
    finished = scene.fs_tunnel(where, "up", second)
    assert finished.code == 1
    assert "another FwMark" in finished.err
    assert host_state(where) == expected


# Refusals and warnings.


@pytest.mark.parametrize("verb", ["up", "serve", "down"])
def test_without_root_it_is_said_what_is_missing(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(PrivilegeError, match=f"fs-tunnel {verb} .*sudo"):
        cli.main([verb, "/nowhere.conf"], standalone_mode=False)


def test_a_root_without_its_powers_changes_nothing(scene: Served) -> None:
    where = scene.client.namespace
    before = host_state(where)
    process = where.start(
        *("setpriv", "--bounding-set", "-all", "--inh-caps", "-all"),
        *scene.command("up", scene.client.conf),
        env=scene.env,
        stderr=subprocess.PIPE,
    )
    said = process.communicate(timeout=patience.seconds(30))[1].decode()
    assert process.returncode == 4
    assert "--cap-add NET_ADMIN" in said
    assert said.count("\n") == 1
    assert host_state(where) == before


def test_a_key_that_others_can_read_is_warned_of(scene: Served) -> None:
    scene.client.conf.chmod(0o644)
    finished = scene.fs_tunnel(scene.client.namespace, "up", scene.client.conf)
    assert finished.code == 0
    assert f"chmod 600 {scene.client.conf}" in finished.err


def test_what_lies_in_the_current_directory_is_not_run(scene: Served, tmp_path: Path) -> None:
    """Root may stand anywhere."""
    trap = tmp_path / "trap"
    trap.mkdir()
    for module in ("click.py", "uvloop.py", "pytun.py", "fs_tunnel.py"):
        (trap / module).write_text(f"open({str(trap / 'sprung')!r}, 'w')\nraise SystemExit(9)\n")
    where = scene.client.namespace
    program = [scene.command()[0], "-P", *scene.command("up", scene.client.conf)[1:]]
    process = where.start(*program, env=scene.env, cwd=str(trap))
    assert process.wait(patience.seconds(30)) == 0
    assert not (trap / "sprung").exists()


def test_a_busy_moment_is_waited_for(scene: Served) -> None:
    """Two at a time: one brings it up, the other one finds it up."""
    where = scene.client.namespace
    processes = [
        where.start(*scene.command("up", scene.client.conf), env=scene.env, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    said = sorted(
        process.communicate(timeout=patience.seconds(60))[0].decode() for process in processes
    )
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert [" is up\n" in each for each in said].count(True) == 1
    assert ["was up already" in each for each in said].count(True) == 2
