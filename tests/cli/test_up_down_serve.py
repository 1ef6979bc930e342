# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``up``, ``serve`` and ``down`` as commands: recovery, several tunnels at a time, and refusals."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs_tunnel.cli.main import cli
from fs_wire.errors import PrivilegeError
from tests.netns.served import (
    LAB,
    PROVIDER_WAN_V4,
    WEB_V4,
    Served,
    expect_ok,
    host_state,
    ping,
    write_private,
)
from tests.netns.topology import CommandFailed, Namespace, add_addresses
from tests.netns.waiting import wait_until
from tests.walks import strides
from tools.testing import patience

pytestmark = pytest.mark.netns


@pytest.fixture
def etc(scene: Served) -> Iterator[Path]:
    """Files that stand in /etc for commands in the client's namespace."""
    folder = Path("/etc/netns") / scene.client.namespace.name
    folder.mkdir(parents=True)
    yield folder
    for each in folder.iterdir():
        each.unlink()
    folder.rmdir()


def rewrite(conf: Path, old: str, new: str) -> None:
    text = conf.read_text()
    assert old in text
    write_private(conf, text.replace(old, new).rstrip("\n"))


def routing(where: Namespace) -> list[str]:
    """Rules, routes and parameters; link-local addresses are another's every time."""
    lines = host_state(where).splitlines()
    return [line for line in lines if "fe80" not in line and "multicast" not in line]


def kill_engine(scene: Served, where: Namespace, name: str) -> None:
    (pid,) = (
        pid
        for pid in where.pids()
        if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(f"fs_wg\0{name}\0".encode())
    )
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not where.has_link(name), what="the interface is gone")


# Recovery.


@strides
def test_up_after_a_crash_at_any_step_makes_all_of_it(scene: Served, stride: int) -> None:
    """Also what was written down and never made."""
    where, conf = scene.client.namespace, scene.client.conf
    scene.up()
    expected = [line for line in routing(where) if " inet" not in line]
    scene.down(where, conf)
    for step in range(1, 30, stride):
        finished = scene.fs_tunnel(where, str(step), "before", "up", conf, module="tests.crash_at")
        if finished.code != -signal.SIGKILL:
            break
        scene.up()
        assert [line for line in routing(where) if " inet" not in line] == expected, step
        scene.down(where, conf)
    assert step > 8


def test_a_dead_tunnel_comes_back_although_nobody_can_resolve_its_endpoint(
    scene: Served, etc: Path
) -> None:
    """The way is closed, so names are not answered until the tunnel is up."""
    scene.serve("--wan", "wan")
    where, name = scene.client.namespace, scene.client.name
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (etc / "hosts").write_text("198.51.100.1 provider.example.net\n")
    rewrite(scene.client.conf, "198.51.100.1:51820", "provider.example.net:51820")
    scene.up()
    ping(where, WEB_V4)
    kill_engine(scene, where, name)
    (etc / "hosts").write_text("")
    with pytest.raises(CommandFailed, match=r"unreachable|No route"):
        ping(where, WEB_V4)
    scene.up()
    ping(where, WEB_V4)
    scene.down(where, scene.client.conf)
    # Nobody remembers what was taken down.
    finished = scene.fs_tunnel(where, "up", scene.client.conf)
    assert finished.code == 1
    assert "provider.example.net has no address" in finished.err


def test_no_socket_of_a_killed_engine_stays(scene: Served) -> None:
    where, name = scene.client.namespace, scene.client.name
    scene.up()
    kill_engine(scene, where, name)
    scene.down(where, scene.client.conf)
    assert not Path(f"/var/run/wireguard/{name}.sock").exists()
    assert list((scene.folder / "run").iterdir()) == []


def test_a_dead_engine_of_a_split_tunnel_leaves_nothing(scene: Served) -> None:
    where = scene.client.namespace
    rewrite(scene.client.conf, "0.0.0.0/0, ::/0", "203.0.113.0/24")
    before = host_state(where)
    process = where.start(
        *scene.command("up", "-f", scene.client.conf),
        env=scene.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().endswith(b" is up\n")
    kill_engine(scene, where, scene.client.name)
    assert process.wait(patience.seconds(20)) == 1
    said = process.stderr.read().decode()
    assert "died, and all changes are undone" in said
    assert said.count("\n") == 1
    assert host_state(where) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_does_not_disturb_the_undoing(
    scene: Served, number: signal.Signals
) -> None:
    where = scene.client.namespace
    trace = scene.folder / "down-began"
    rewrite(scene.client.conf, "[Peer]", f"PreDown = touch {trace}; sleep 1\n[Peer]")
    before = host_state(where)
    process = where.start(
        *scene.command("up", "-f", "--allow-hooks", scene.client.conf),
        env=scene.env,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline().endswith(b" is up\n")
    process.send_signal(number)
    wait_until(trace.exists, what="it goes down")
    for again in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process.send_signal(again)
    assert process.wait(patience.seconds(20)) == 0
    assert host_state(where) == before


def test_a_hook_that_fails_on_the_way_down_stops_nothing(scene: Served) -> None:
    where = scene.client.namespace
    rewrite(scene.client.conf, "[Peer]", "PreDown = false\nPostDown = exit 3\n[Peer]")
    before = host_state(where)
    expect_ok(scene.fs_tunnel(where, "up", "--allow-hooks", scene.client.conf))
    finished = scene.fs_tunnel(where, "down", scene.client.conf)
    assert finished.code == 0
    assert "ended with 3" in finished.err
    assert host_state(where) == before


def test_a_hook_may_bring_up_another_tunnel(scene: Served) -> None:
    where = scene.client.namespace
    second = scene.folder / f"h{os.getpid():x}.conf"
    write_private(second, scene.client.conf.read_text())
    command = " ".join(scene.command())
    rewrite(
        scene.client.conf,
        "[Peer]",
        f"PostUp = {command} up {second}\nPreDown = {command} down {second}\n[Peer]",
    )
    before = host_state(where)
    expect_ok(scene.fs_tunnel(where, "up", "--allow-hooks", scene.client.conf))
    assert where.has_link(second.stem)
    scene.down(where, scene.client.conf)
    assert host_state(where) == before


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


def test_two_providers_on_one_host(scene: Served) -> None:
    """The guard of the one lets the clients of the other through, v6 too."""
    second = scene.folder / f"q{os.getpid():x}.conf"
    text = scene.conf.read_text()
    head, *_, other = text.split("[Peer]")
    write_private(scene.conf, text[: text.rindex("[Peer]")])
    head = head.replace("51820", "51821").replace("10.66.0.1/24, fd66::1/64", "10.67.0.1/24")
    write_private(second, f"{head}[Peer]{other.replace('10.66.0.3', '10.67.0.3')}")
    rewrite(scene.other.conf, ":51820", ":51821")
    rewrite(scene.other.conf, "10.66.0.3/32", "10.67.0.3/32")
    before = host_state(scene.provider)
    scene.serve("--wan", "wan")
    expect_ok(scene.fs_tunnel(scene.provider, "serve", "--wan", "wan", *LAB, second))
    scene.up()
    scene.up(scene.other)
    ping(scene.client.namespace, WEB_V4)
    ping(scene.other.namespace, WEB_V4)
    scene.down(scene.provider, scene.conf)
    ping(scene.other.namespace, WEB_V4)
    scene.down(scene.provider, second)
    assert host_state(scene.provider) == before


# What a provider is not.


@pytest.mark.parametrize("routes", [False, True])
def test_forwarding_for_clients_makes_no_router_of_the_way_out(scene: Served, routes: bool) -> None:
    """A stranger on the way out does not get through to the provider's other networks."""
    provider, inside = scene.provider, scene.client.namespace
    scene.web.ip("route", "add", "198.51.100.0/25", "via", PROVIDER_WAN_V4)
    if routes:
        provider.sysctl("net/ipv4/ip_forward", 1)
    before = host_state(provider)
    scene.serve("--wan", "wan")
    scene.serve("--wan", "wan")
    inside.ip("route", "replace", "203.0.113.0/24", "via", "198.51.100.1")
    if routes:
        ping(scene.web, "198.51.100.2")
    else:
        with pytest.raises(CommandFailed):
            scene.web.run("ping", "-n", "-c", "1", "-W", "1", "198.51.100.2")
        assert scene.refused("ipv4_transit") > 0
    scene.down(provider, scene.conf)
    assert host_state(provider) == before


def test_router_advertisements_are_heard_while_serving(scene: Served) -> None:
    provider = scene.provider
    provider.sysctl("net/ipv6/conf/wan/accept_ra", 1)
    before = host_state(provider)
    scene.serve("--wan", "wan")
    read = ("sysctl", "-n", "net.ipv6.conf.wan.accept_ra")
    assert provider.run(*read) == "2\n"
    scene.down(provider, scene.conf)
    assert provider.run(*read) == "1\n"
    assert host_state(provider) == before


def test_the_way_out_is_that_of_the_default_route(scene: Served) -> None:
    scene.serve()
    assert 'oifname "wan"' in scene.provider.run("nft", "list", "ruleset")
    scene.down(scene.provider, scene.conf)
    scene.provider.ip("route", "del", "default")
    scene.provider.ip("-6", "route", "del", "default")
    finished = scene.fs_tunnel(scene.provider, "serve", scene.conf)
    assert finished.code == 2
    assert "--wan" in finished.err


@pytest.mark.parametrize("port", ["", "ListenPort = 0"])
def test_the_usual_port_where_the_file_has_none(scene: Served, port: str) -> None:
    rewrite(scene.conf, "ListenPort = 51820", port)
    scene.serve("--wan", "wan")
    assert scene.provider.run("wg", "show", scene.name, "listen-port") == "51820\n"


# Refusals and warnings.


def test_a_gateway_without_a_network_is_refused(scene: Served) -> None:
    rewrite(scene.conf, "10.66.0.1/24, fd66::1/64", "10.66.0.1/32, fd66::1/128")
    finished = scene.fs_tunnel(scene.provider, "serve", "--wan", "wan", scene.conf)
    assert finished.code == 2
    assert "Address: a provider needs an address with its clients' network" in finished.err


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


def test_a_second_address_of_the_way_out_is_served_too(scene: Served) -> None:
    """The tunnel's own packets are not tracked, wherever they arrive."""
    add_addresses(scene.provider, "lan2", ["198.51.100.9/25"])
    rewrite(scene.client.conf, "198.51.100.1:51820", "198.51.100.9:51820")
    scene.serve("--wan", "wan")
    scene.up()
    ping(scene.client.namespace, WEB_V4)
