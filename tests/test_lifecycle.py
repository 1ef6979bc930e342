# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``up``, ``serve`` and ``down`` in namespaces: what they change, and leave behind."""

import os
import signal
from pathlib import Path

import pytest

from tests.lifecycles import rewrite, start_foreground
from tests.netns.served import (
    GATEWAY_V4,
    LAB,
    WEB_V4,
    WEB_V6,
    Served,
    expect_ok,
    host_state,
    ping,
    write_private,
)
from tools.testing import patience

pytestmark = pytest.mark.netns


def handshake_time(scene: Served) -> str:
    return scene.client.namespace.run("wg", "show", scene.client.name, "latest-handshakes")


# Before and after.


def test_up_and_down_leave_no_trace(scene: Served) -> None:
    before = host_state(scene.client.namespace), host_state(scene.provider)
    scene.serve("--wan", "wan")
    scene.up()
    ping(scene.client.namespace, WEB_V4)
    ping(scene.client.namespace, WEB_V6)
    assert host_state(scene.client.namespace) != before[0]
    assert host_state(scene.provider) != before[1]
    scene.down(scene.client.namespace, scene.client.conf)
    scene.down(scene.provider, scene.conf)
    assert (host_state(scene.client.namespace), host_state(scene.provider)) == before
    assert list((scene.folder / "state").glob("*.journal")) == []
    assert list((scene.folder / "run").iterdir()) == []


def test_down_of_what_is_not_up_is_fine(scene: Served) -> None:
    none_is_up = "was not up; the tunnels that are up: none"
    scene.up()
    for said in ("is down", none_is_up, none_is_up):
        finished = scene.fs_tunnel(scene.client.namespace, "down", scene.client.name)
        assert (finished.code, finished.out) == (0, f"{scene.client.name} {said}\n")


def test_up_again_applies_the_file_and_keeps_the_session(scene: Served) -> None:
    scene.serve("--wan", "wan")
    scene.up()
    ping(scene.client.namespace, WEB_V4)
    before, state = handshake_time(scene), host_state(scene.client.namespace)
    finished = scene.fs_tunnel(scene.client.namespace, "up", scene.client.conf)
    assert finished.code == 0
    assert "was applied again" in finished.out
    assert host_state(scene.client.namespace) == state
    assert handshake_time(scene) == before
    ping(scene.client.namespace, WEB_V4)


def test_serve_again_with_fewer_clients_forgets_the_others(scene: Served) -> None:
    scene.serve("--wan", "wan")
    text = scene.conf.read_text()
    write_private(scene.conf, text[: text.rindex("[Peer]")])
    scene.serve("--wan", "wan")
    shown = scene.provider.run("wg", "show", scene.name, "peers")
    assert shown.split() == [scene.client.keys.public]


def test_a_changed_file_changes_routes(scene: Served) -> None:
    scene.up()
    rewrite(scene.client.conf, "0.0.0.0/0, ::/0", "203.0.113.0/24")
    scene.up()
    assert scene.client.namespace.ip("rule").count("5220:") == 0
    assert f"203.0.113.0/24 dev {scene.client.name}" in scene.client.namespace.ip("route")
    scene.down(scene.client.namespace, scene.client.conf)


def test_the_file_may_name_a_table_or_none(scene: Served) -> None:
    text = scene.client.conf.read_text()
    for table, found in (("1234", True), ("off", False)):
        write_private(scene.client.conf, text.replace("[Peer]", f"Table = {table}\n[Peer]"))
        scene.up()
        routes = scene.client.namespace.ip("route", "show", "table", "all")
        assert (f"default dev {scene.client.name} table 1234" in routes) is found
        assert "5220:" not in scene.client.namespace.ip("rule")
        scene.down(scene.client.namespace, scene.client.conf)


# Refusals.


def test_a_busy_port_is_named(scene: Served) -> None:
    before = host_state(scene.provider)
    with scene.provider.udp_socket("0.0.0.0", 51820):
        finished = scene.fs_tunnel(scene.provider, "serve", "--wan", "wan", scene.conf)
    assert finished.code == 1
    assert "UDP port 51820 is in use" in finished.err
    assert "ListenPort" in finished.err
    assert host_state(scene.provider) == before


def test_an_interface_of_that_name_is_left_alone(scene: Served) -> None:
    where = scene.client.namespace
    where.ip("link", "add", scene.client.name, "type", "bridge")
    finished = scene.fs_tunnel(where, "up", scene.client.conf)
    assert finished.code == 1
    assert f"there is an interface {scene.client.name} already" in finished.err
    assert where.has_link(scene.client.name)


def test_an_engine_that_somebody_else_started_is_left_alone(scene: Served) -> None:
    where, name = scene.client.namespace, scene.client.name
    where.run(*scene.command(name, module="fs_tunnel.cli.fs_wg"), env=scene.env)
    up = scene.fs_tunnel(where, "up", scene.client.conf)
    down = scene.fs_tunnel(where, "down", scene.client.conf)
    assert (up.code, down.code) == (1, 3)
    assert "belongs to another program" in up.err
    assert "was not started by fs-tunnel" in down.err
    assert where.has_link(name)


def test_an_unknown_endpoint_changes_nothing(scene: Served) -> None:
    rewrite(scene.client.conf, "198.51.100.1:51820", "nowhere.invalid:51820")
    before = host_state(scene.client.namespace)
    finished = scene.fs_tunnel(scene.client.namespace, "up", scene.client.conf)
    assert finished.code == 1
    assert "nowhere.invalid has no address" in finished.err
    assert host_state(scene.client.namespace) == before


def test_serving_all_addresses_to_one_client_is_refused(scene: Served) -> None:
    rewrite(scene.conf, "10.66.0.2/32", "0.0.0.0/0")
    finished = scene.fs_tunnel(scene.provider, "serve", "--wan", "wan", scene.conf)
    assert finished.code == 2
    assert "a client cannot own all addresses" in finished.err


def test_a_way_out_that_does_not_exist_is_named(scene: Served) -> None:
    finished = scene.fs_tunnel(scene.provider, "serve", "--wan", "wan9", scene.conf)
    assert finished.code == 2
    assert "no interface wan9" in finished.err


# Hooks.


def test_hooks_are_refused_by_line(scene: Served) -> None:
    rewrite(scene.client.conf, "[Peer]", "PostUp = touch /tmp/x\n[Peer]")
    finished = scene.fs_tunnel(scene.client.namespace, "up", scene.client.conf)
    assert finished.code == 2
    assert f"{scene.client.conf}:4: PostUp: " in finished.err
    assert "--allow-hooks" in finished.err


def test_hooks_that_others_could_have_written_are_refused(scene: Served) -> None:
    rewrite(scene.client.conf, "[Peer]", "PostUp = true\n[Peer]")
    scene.client.conf.chmod(0o666)
    finished = scene.fs_tunnel(scene.client.namespace, "up", "--allow-hooks", scene.client.conf)
    assert finished.code == 2
    assert "can be written by others" in finished.err


def test_hooks_run_in_their_order(scene: Served) -> None:
    trace = scene.folder / "trace"
    hooks = "\n".join(
        f"{kind} = echo {kind} %i >> {trace}; ip -o link show %i >> {trace} 2>&1 || true"
        for kind in ("PostDown", "PreUp", "PostUp", "PreDown")
    )
    rewrite(scene.client.conf, "[Peer]", f"{hooks}\n[Peer]")
    where, name = scene.client.namespace, scene.client.name
    expect_ok(scene.fs_tunnel(where, "up", "--allow-hooks", scene.client.conf))
    scene.down(where, scene.client.conf)
    said = trace.read_text().splitlines()
    kinds = [line.split()[0] for line in said if line.endswith(f" {name}")]
    assert kinds == ["PreUp", "PostUp", "PreDown", "PostDown"]
    there = [f"{name}:" in line for line in said if not line.endswith(f" {name}")]
    assert there == [False, True, True, False]


# DNS.


def test_the_resolver_is_the_tunnels_while_it_is_up(scene: Served) -> None:
    where = scene.client.namespace
    folder = Path("/etc/netns") / where.name
    folder.mkdir(parents=True)
    try:
        (folder / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        text = scene.client.conf.read_text()
        write_private(
            scene.client.conf, text.replace("[Peer]", f"DNS = {GATEWAY_V4}, example.net\n[Peer]")
        )
        before = host_state(where)
        scene.up()
        resolv_conf = where.run("cat", "/etc/resolv.conf")
        assert f"nameserver {GATEWAY_V4}\nsearch example.net\n" in resolv_conf
        assert "192.0.2.53" not in resolv_conf
        scene.down(where, scene.client.conf)
        assert host_state(where) == before
    finally:
        (folder / "resolv.conf").unlink()
        folder.rmdir()


# In the foreground.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_takes_it_down(scene: Served, number: signal.Signals) -> None:
    where = scene.client.namespace
    before = host_state(where)
    process = start_foreground(scene, where, "up", "-f", scene.client.conf)
    process.send_signal(number)
    assert process.wait(patience.seconds(20)) == 0
    assert host_state(where) == before


def test_down_from_elsewhere_ends_the_foreground(scene: Served) -> None:
    where = scene.client.namespace
    process = start_foreground(scene, where, "up", "-f", scene.client.conf)
    scene.down(where, scene.client.conf)
    assert process.wait(patience.seconds(20)) == 0


# Without IPv6.


def test_a_host_without_ipv6_gets_an_ipv4_tunnel(scene: Served) -> None:
    for where in (scene.client.namespace, scene.provider):
        for scope in ("all", "default"):
            where.sysctl(f"net/ipv6/conf/{scope}/disable_ipv6", 1)
    before = host_state(scene.client.namespace), host_state(scene.provider)
    for where, arguments in (
        (scene.provider, ["serve", "--wan", "wan", *LAB, str(scene.conf)]),
        (scene.client.namespace, ["up", str(scene.client.conf)]),
    ):
        finished = scene.fs_tunnel(where, *arguments)
        assert finished.code == 0, finished
        assert "IPv6 is switched off on this host" in finished.err
    ping(scene.client.namespace, WEB_V4)
    assert "unreachable default" in scene.client.namespace.ip(
        "-6", "route", "show", "table", "51820"
    )
    scene.down(scene.client.namespace, scene.client.conf)
    scene.down(scene.provider, scene.conf)
    assert (host_state(scene.client.namespace), host_state(scene.provider)) == before


# Several at a time.


def test_two_tunnels_at_a_time_do_not_share_a_table(scene: Served) -> None:
    where = scene.client.namespace
    second = scene.folder / f"s{os.getpid():x}.conf"
    write_private(second, scene.client.conf.read_text())
    before = host_state(where)
    scene.up()
    expect_ok(scene.fs_tunnel(where, "up", second))
    marks = {
        where.run("wg", "show", name, "fwmark").strip() for name in (scene.client.name, second.stem)
    }
    assert marks == {"0xca6c", "0xca6d"}
    scene.down(where, scene.client.conf)
    assert "lookup 51821" in where.ip("rule")
    scene.down(where, second)
    assert host_state(where) == before
