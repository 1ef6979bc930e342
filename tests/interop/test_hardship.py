# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""If the kernel refuses a call or a device goes away, the engine recovers and never spins."""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE, transfer_tcp
from tests.netns.peers import (
    FS,
    Engine,
    Peer,
    control_request,
    introduce,
    running,
)
from tests.netns.topology import CommandFailed, Pair, add_addresses, pair
from tests.netns.waiting import wait_until
from tools.testing import patience

pytestmark = pytest.mark.netns

PORT = 51820
_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def tunnel(engine: Engine) -> Iterator[tuple[Pair, Peer, Peer]]:
    with (
        pair() as net,
        running(engine, net.alice, ALICE_INSIDE) as alice,
        running(engine, net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, (net.alice_v4, PORT), (net.bob_v4, PORT))
        alice.ping(bob.v4)
        yield net, alice, bob


def reaches(alice: Peer, bob: Peer) -> bool:
    try:
        alice.namespace.run("ping", "-n", "-q", "-c", "1", "-W", "1", bob.v4)
    except CommandFailed:
        return False
    return True


def cpu_seconds(peer: Peer) -> float:
    assert peer.process is not None
    fields = Path(f"/proc/{peer.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def assert_rests(peer: Peer) -> None:
    """Check that the engine does not spin; a thread that spins takes all of a second."""
    before = cpu_seconds(peer)
    time.sleep(1.0)
    assert cpu_seconds(peer) - before < 0.5
    assert peer.alive()


def packet_path(peer: Peer) -> dict[str, object]:
    found = control_request(peer.ifname, {"op": "status"})["packet_path"]
    assert isinstance(found, dict)
    return found


def test_a_path_with_a_smaller_mtu_carries_fragments(our_engine: Engine) -> None:
    """The kernel refuses UDP_SEGMENT beyond a device's MTU, but it fragments a plain datagram."""
    with tunnel(our_engine) as (net, alice, bob):
        for namespace in (net.alice, net.bob):
            namespace.ip("link", "set", "wire", "mtu", "1400")
        data = secrets.token_bytes(4 << 20)
        assert transfer_tcp(alice, bob, bob.v4, data) == data
        assert transfer_tcp(bob, alice, alice.v6, data) == data
        assert "send_failed" not in alice.drops()
        if packet_path(alice)["form"] == "native":
            assert int(str(packet_path(alice)["gso_refused"])) > 0


def test_a_full_socket_buffer_delays_packets_and_loses_none(our_engine: Engine) -> None:
    """Packets wait for a slow device without loss, while the other direction goes on."""
    with tunnel(our_engine) as (net, alice, bob):
        slow = ("root", "tbf", "rate", "20mbit", "burst", "10k", "limit", "100mb")
        net.alice.run("tc", "qdisc", "add", "dev", "wire", *slow)
        with net.alice.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as blaster:
            # This is more than the buffer of any socket holds.
            for _ in range(12_000):
                blaster.sendto(bytes(1300), (bob.v4, 9))
        assert_rests(alice)
        net.alice.run("tc", "qdisc", "del", "dev", "wire", "root")
        data = secrets.token_bytes(1 << 20)
        assert transfer_tcp(alice, bob, bob.v4, data) == data
        assert transfer_tcp(bob, alice, alice.v4, data) == data


def test_the_tunnel_is_back_once_its_removed_address_is_back(our_engine: Engine) -> None:
    """For a while no route leads to the peer; once the address is back, so is the tunnel."""
    with tunnel(our_engine) as (net, alice, bob):
        net.alice.ip("address", "del", f"{net.alice_v4}/24", "dev", "wire")
        assert not reaches(alice, bob)
        assert alice.drops()["send_failed"] > 0
        assert_rests(alice)
        add_addresses(net.alice, "wire", [f"{net.alice_v4}/24"])
        wait_until(lambda: reaches(alice, bob), what="a ping with the address")


def test_the_tunnel_is_back_once_the_wire_is_up_again(our_engine: Engine) -> None:
    with tunnel(our_engine) as (net, alice, bob):
        net.alice.ip("link", "set", "wire", "down")
        assert not reaches(alice, bob)
        for peer in (alice, bob):
            assert_rests(peer)
        net.alice.ip("link", "set", "wire", "up")
        wait_until(lambda: reaches(alice, bob), what="a ping over the wire")


def test_the_tunnel_is_back_once_a_removed_wire_is_replaced(our_engine: Engine) -> None:
    with tunnel(our_engine) as (net, alice, bob):
        net.alice.ip("link", "del", "wire")
        assert not reaches(alice, bob)
        for peer in (alice, bob):
            assert_rests(peer)
        net.topology.link(
            *(net.alice, "wire", [f"{net.alice_v4}/24"]),
            *(net.bob, "wire", [f"{net.bob_v4}/24"]),
        )
        wait_until(lambda: reaches(alice, bob), what="a ping over the other wire")


def test_the_tunnel_is_back_once_the_tun_is_up_again(our_engine: Engine) -> None:
    with tunnel(our_engine) as (_, alice, bob):
        for _ in range(3):
            alice.namespace.ip("link", "set", alice.ifname, "down")
            assert_rests(alice)
            alice.namespace.ip("link", "set", alice.ifname, "up")
            wait_until(lambda: reaches(alice, bob), what="a ping through the TUN")


def test_the_engine_ends_if_its_busy_tun_is_deleted(our_engine: Engine) -> None:
    """The engine ends by itself, and the other engine does not spin."""
    with (
        tunnel(our_engine) as (_, alice, bob),
        alice.namespace.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as blaster,
    ):
        assert alice.process is not None
        with contextlib.suppress(OSError):
            for number in range(20_000):
                blaster.sendto(bytes(1000), (bob.v4, 9))
                if number == 1000:
                    alice.namespace.ip("link", "del", alice.ifname)
        assert alice.process.wait(patience.seconds(10.0)) == 0
        assert_rests(bob)


def test_a_killed_engine_does_not_hinder_the_next_engine(our_engine: Engine) -> None:
    with tunnel(our_engine) as (net, alice, bob):
        assert alice.process is not None
        alice.process.kill()
        alice.process.wait(patience.seconds(10.0))
        with running(our_engine, net.alice, ALICE_INSIDE, keys=alice.keys) as again:
            again.add_peer(
                bob.keys.public, allowed_ips=["10.66.0.2/32"], endpoint=(net.bob_v4, PORT)
            )
            wait_until(lambda: reaches(again, bob), what="a ping through the next engine")


def test_several_threads_share_the_port() -> None:
    """Each flow arrives, whichever thread carries it, and a taken port is still an error."""
    threads = {"FS_WG_THREADS": "3"}
    with (
        pair() as net,
        running(FS, net.alice, ALICE_INSIDE, env=threads) as alice,
        running(FS, net.bob, BOB_INSIDE, env=threads) as bob,
    ):
        introduce(alice, bob, (net.alice_v4, PORT), (net.bob_v4, PORT))
        assert packet_path(alice)["threads"] == 3
        data = secrets.token_bytes(1 << 20)
        for number in range(6):
            address = bob.v4 if number % 2 else bob.v6
            assert transfer_tcp(alice, bob, address, data) == data
            alice.wg("set", "listen-port", str(PORT + 1 + number))
        with net.bob.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", PORT + 50))
            with pytest.raises(CommandFailed):
                bob.wg("set", "listen-port", str(PORT + 50))
        alice.ping(bob.v4)
