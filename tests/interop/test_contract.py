# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The engine starts, stops and refuses as scripts that drive wireguard-go expect."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE
from tests.netns.peers import (
    UAPI_DIR,
    WIREGUARD_GO,
    Engine,
    Peer,
    introduce,
    link_mtu,
    remove_sockets,
    running,
    show_endpoint,
    stop_process,
)
from tests.netns.topology import CommandFailed, Namespace, Topology, pair, run, unique_name
from tests.netns.waiting import wait_until
from tools.testing import patience

pytestmark = pytest.mark.netns

PORT = 51820


@pytest.fixture
def home() -> Iterator[Namespace]:
    with Topology() as topology:
        yield topology.namespace("alice")


@pytest.fixture
def ifname() -> Iterator[str]:
    """Yield a name for an interface, and remove its sockets afterwards, even after a kill."""
    name = unique_name("wg")
    yield name
    remove_sockets(name)


def test_the_command_returns_when_link_and_socket_exist(
    engine: Engine, home: Namespace, ifname: str
) -> None:
    home.run(*engine.argv, ifname)
    assert home.has_link(ifname)
    assert run("wg", "show", ifname, "listen-port").strip().isdigit()
    assert socket_of(ifname).stat().st_mode & 0o077 == 0
    assert link_mtu(home, ifname) == 1420


def test_the_daemon_keeps_neither_output_nor_directory_of_its_caller(
    engine: Engine, home: Namespace, ifname: str
) -> None:
    """The reader of the command's output sees its end, and the daemon keeps no directory busy."""
    starter = home.start(
        *engine.argv, ifname, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/tmp"
    )
    starter.communicate(timeout=patience.seconds(20))
    assert starter.returncode == 0
    (daemon,) = home.pids()
    if engine.is_ours:
        assert Path(f"/proc/{daemon}/cwd").readlink() == Path("/")
        assert os.getsid(daemon) != os.getsid(0)


def test_an_engine_in_the_foreground_is_the_only_process(
    engine: Engine, home: Namespace, ifname: str
) -> None:
    process = home.start(*engine.argv, "-f", ifname)
    wait_for_start(home, ifname)
    assert process.poll() is None
    assert home.pids() == [process.pid]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_removes_link_and_socket(
    engine: Engine, home: Namespace, ifname: str, number: signal.Signals
) -> None:
    process = home.start(*engine.argv, "-f", ifname)
    wait_for_start(home, ifname)
    process.send_signal(number)
    process.wait(patience.seconds(20))
    assert not home.has_link(ifname)
    assert not socket_of(ifname).exists()


def test_the_engine_ends_if_its_link_is_deleted(
    engine: Engine, home: Namespace, ifname: str
) -> None:
    start_daemon(engine, home, ifname)
    home.ip("link", "delete", ifname)
    wait_until(lambda: not home.pids(), what="the engine ended")
    assert not socket_of(ifname).exists()


def test_the_engine_ends_if_its_link_is_deleted_in_another_namespace(
    engine: Engine, home: Namespace, ifname: str
) -> None:
    with Topology() as topology:
        other = topology.namespace("other")
        start_daemon(engine, home, ifname)
        home.ip("link", "set", ifname, "netns", other.name)
        other.ip("link", "set", ifname, "up")
        other.ip("link", "delete", ifname)
        wait_until(lambda: not home.pids(), what="the engine ended")


def test_the_engine_ends_if_its_socket_is_deleted(
    engine: Engine, home: Namespace, ifname: str
) -> None:
    start_daemon(engine, home, ifname)
    socket_of(ifname).unlink()
    wait_until(lambda: not home.pids(), what="the engine ended")
    assert not home.has_link(ifname)


def test_an_engine_starts_again_after_a_kill(
    our_engine: Engine, home: Namespace, ifname: str
) -> None:
    """A killed engine leaves its socket behind, and the next engine starts all the same."""
    for _ in range(2):
        start_daemon(our_engine, home, ifname)
        (daemon,) = home.pids()
        os.kill(daemon, signal.SIGKILL)
        wait_until(lambda: not home.pids(), what="the engine is dead")
        assert socket_of(ifname).exists()
    start_daemon(our_engine, home, ifname)
    assert run("wg", "show", ifname, "listen-port").strip().isdigit()


def test_a_second_engine_of_the_same_name_is_refused(
    engine: Engine, home: Namespace, ifname: str
) -> None:
    start_daemon(engine, home, ifname)
    (daemon,) = home.pids()
    with pytest.raises(CommandFailed) as refusal:
        home.run(*engine.argv, ifname)
    assert home.pids() == [daemon]
    assert run("wg", "show", ifname, "listen-port").strip().isdigit()
    if engine.is_ours:
        assert "Traceback" not in str(refusal.value)
        assert ifname in str(refusal.value)


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "a/b", "..", "a b"])
def test_a_bad_interface_name_is_refused(our_engine: Engine, home: Namespace, name: str) -> None:
    with pytest.raises(CommandFailed, match=r"ended with 2:") as refusal:
        home.run(*our_engine.argv, name)
    assert "Traceback" not in str(refusal.value)


def test_an_engine_without_privileges_says_that_it_needs_root(
    our_engine: Engine, home: Namespace
) -> None:
    # The process keeps root's user id, so it can read a checkout under /root.
    powerless = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    with pytest.raises(CommandFailed, match=r"ended with 4:.*root"):
        home.run(*powerless, *our_engine.argv, unique_name("wg"))


def test_a_busy_port_is_refused_and_the_engine_keeps_its_port(
    engine: Engine, home: Namespace, ifname: str
) -> None:
    start_daemon(engine, home, ifname)
    home.ip("link", "set", ifname, "up")
    run("wg", "set", ifname, "listen-port", str(PORT))
    with home.udp_socket("0.0.0.0", PORT + 1):
        with pytest.raises(CommandFailed, match="Address already in use"):
            run("wg", "set", ifname, "listen-port", str(PORT + 1))
        if engine.is_ours:
            assert run("wg", "show", ifname, "listen-port").strip() == str(PORT)
            with pytest.raises(OSError, match="in use"):
                home.udp_socket("0.0.0.0", PORT)
    run("wg", "set", ifname, "listen-port", str(PORT + 1))
    assert run("wg", "show", ifname, "listen-port").strip() == str(PORT + 1)


def test_the_port_is_open_only_while_the_link_is_up(
    our_engine: Engine, home: Namespace, ifname: str
) -> None:
    start_daemon(our_engine, home, ifname)
    run("wg", "set", ifname, "listen-port", str(PORT))
    home.udp_socket("0.0.0.0", PORT).close()
    home.ip("link", "set", ifname, "up")
    wait_until(lambda: is_taken(home, PORT), what="the port is taken")
    home.ip("link", "set", ifname, "down")
    wait_until(lambda: not is_taken(home, PORT), what="the port is free again")


@contextlib.contextmanager
def talking(engine: Engine) -> Iterator[tuple[Topology, Peer, Peer]]:
    with (
        pair() as net,
        running(engine, net.alice, ALICE_INSIDE) as alice,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, (net.alice_v4, PORT), (net.bob_v4, PORT))
        alice.ping(bob.v4)
        yield net.topology, alice, bob


def test_the_tun_may_move_to_a_namespace_while_the_sockets_stay(engine: Engine) -> None:
    with talking(engine) as (topology, alice, bob):
        inner = topology.namespace("inner")
        alice.move_tun(inner)
        alice.bring_up()  # a link that moves loses its addresses and goes down
        alice.ping(bob.v4)
        bob.ping(alice.v6)
        assert alice.home.pids() and not inner.pids()
        assert is_taken(alice.home, PORT) and not is_taken(inner, PORT)
        inner.ip("link", "set", alice.ifname, "mtu", "1300")
        alice.ping(bob.v4, size=1200)


def test_a_tunnel_works_again_after_its_link_was_down(engine: Engine) -> None:
    with talking(engine) as (_, alice, bob):
        for _ in range(3):
            time.sleep(0.03)  # bob drops initiations that follow each other too fast
            alice.namespace.ip("link", "set", alice.ifname, "down")
            alice.namespace.ip("link", "set", alice.ifname, "up")
            alice.namespace.ip("address", "replace", "fd66::1/64", "dev", alice.ifname, "nodad")
            alice.ping(bob.v4)
            bob.ping(alice.v6)


def test_a_tunnel_survives_the_removal_of_its_source_address(our_engine: Engine) -> None:
    """The session goes on, over IPv4 and IPv6. Debian's wireguard-go fails here."""
    with talking(our_engine) as (_, alice, bob):
        for address, replacement, prefix, far in (
            ("192.0.2.1", "192.0.2.10", 24, "192.0.2.2"),
            ("2001:db8::1", "2001:db8::10", 64, "2001:db8::2"),
        ):
            alice.wg("set", "peer", bob.keys.public, "endpoint", show_endpoint(far, PORT))
            alice.ping(bob.v4)
            alice.home.ip("address", "del", f"{address}/{prefix}", "dev", "wire")
            nodad = ["nodad"] if ":" in replacement else []
            alice.home.ip("address", "add", f"{replacement}/{prefix}", "dev", "wire", *nodad)
            alice.ping(bob.v4, count=3)
            assert bob.endpoint(alice.keys.public) == show_endpoint(replacement, PORT)


def test_a_tunnel_survives_an_uplink_that_goes_down(engine: Engine) -> None:
    """The engine survives an unreachable network, and traffic resumes afterwards."""
    with talking(engine) as (_, alice, bob):
        alice.home.ip("link", "set", "wire", "down")
        with pytest.raises(CommandFailed):
            alice.namespace.run("ping", "-n", "-c", "3", "-i", "0.05", "-w", "1", bob.v4)
        alice.home.ip("link", "set", "wire", "up")
        alice.ping(bob.v4, count=3)


def test_no_descriptor_is_leaked(engine: Engine, home: Namespace, ifname: str) -> None:
    """Clients of the UAPI socket come, misbehave and go; no descriptor of theirs stays open."""
    process = home.start(*engine.argv, "-f", ifname)
    wait_for_start(home, ifname)
    descriptors = Path(f"/proc/{process.pid}/fd")
    run("wg", "show", ifname)
    before = len(list(descriptors.iterdir()))
    for request in (b"", b"get=1\n", b"get=1\n\n", b"set=1\nnonsense\n\n", b"\xff\xff\n\n"):
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(socket_of(ifname)))
                client.sendall(request)
    run("wg", "show", ifname)
    wait_until(lambda: len(list(descriptors.iterdir())) <= before, what="all are closed")
    stop_process(process)


def is_taken(namespace: Namespace, port: int) -> bool:
    try:
        namespace.udp_socket("0.0.0.0", port).close()
    except OSError:
        return True
    return False


def start_daemon(engine: Engine, namespace: Namespace, ifname: str) -> None:
    """Start a daemon and wait for its first answer.

    The command of wireguard-go returns a moment before its daemon is ready.
    """
    namespace.run(*engine.argv, ifname)
    run("wg", "show", ifname)


def wait_for_start(namespace: Namespace, ifname: str) -> None:
    wait_until(lambda: namespace.has_link(ifname) and socket_of(ifname).is_socket(), what="a start")


def socket_of(ifname: str) -> Path:
    return UAPI_DIR / f"{ifname}.sock"
