# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The networks of this folder exist, work as documented, and are gone afterwards."""

import subprocess
from pathlib import Path

import pytest

from tests.netns.capture import Capture
from tests.netns.relay import DOWN, UP, Relay
from tests.netns.topology import CommandFailed, Topology, pair, run, triangle
from tests.netns.waiting import wait_until
from tools.testing import patience

pytestmark = pytest.mark.netns


def test_teardown_removes_namespaces_and_daemons_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), Topology() as topology:
        alice = topology.namespace("alice")
        process = alice.start("sleep", "1000")
        alice.run("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
        wait_until(lambda: len(alice.pids()) == 2, what="both sleepers run")
        raise ZeroDivisionError
    assert process.returncode is not None
    assert alice.name not in run("ip", "netns", "list")


def test_the_error_of_a_failed_command_names_the_command() -> None:
    with Topology() as topology, pytest.raises(CommandFailed, match=r"ip route get 192\.0\.2\.1"):
        topology.namespace("alice").run("ip", "route", "get", "192.0.2.1")


def test_the_triangles_router_routes_and_translates() -> None:
    with triangle() as net:
        for address in (net.web_v4, net.provider_v6, net.attacker_v4):
            net.client.run("ping", "-n", "-c", "1", "-w", "10", address)
        with (
            net.web.udp_socket("0.0.0.0", 9) as web,
            net.client.udp_socket("0.0.0.0") as client,
        ):
            client.sendto(b"who am I", (net.web_v4, 9))
            assert web.recvfrom(100)[1][0] == net.router_wan_v4


def test_a_capture_sees_both_directions_and_writes_a_pcap(tmp_path: Path) -> None:
    with pair() as net, Capture(net.alice, "wire") as capture:
        with (
            net.alice.udp_socket(net.alice_v6, 1000) as alice,
            net.bob.udp_socket(net.bob_v6, 2000) as bob,
        ):
            alice.sendto(b"to bob", (net.bob_v6, 2000))
            bob.sendto(b"to alice", bob.recvfrom(100)[1])
            assert alice.recv(100) == b"to alice"
        seen = [(each.outgoing, each.source, each.payload) for each in capture.udp()]
        assert seen == [
            (True, (net.alice_v6, 1000), b"to bob"),
            (False, (net.bob_v6, 2000), b"to alice"),
        ]
        pcap = capture.write_pcap(tmp_path / "exchange.pcap")
        shown = run("tcpdump", "-n", "-r", str(pcap), "udp")
    assert "2001:db8::1.1000 > 2001:db8::2.2000: UDP, length 6" in shown


def test_a_relay_impairs_traffic_as_ordered() -> None:
    with (
        pair() as net,
        net.bob.udp_socket(net.bob_v4, 2000) as bob,
        net.alice.udp_socket(net.alice_v4) as alice,
        Relay(net.alice, listen=(net.alice_v4, 1000), target=(net.bob_v4, 2000), seed=1) as relay,
    ):
        alice.connect((net.alice_v4, 1000))

        relay.impair(repeat=1.0)
        alice.send(b"twice")
        _, before = bob.recvfrom(100)
        assert bob.recv(100) == b"twice"

        relay.impair(loss=1.0)
        alice.send(b"never")
        wait_until(lambda: relay.status().counts.get("up_dropped"), what="a loss")

        relay.impair()
        relay.drop_next(1, direction=UP, message_type=1)
        for payload in (b"\x01 dropped", b"\x02 kept"):
            alice.send(payload)
        assert bob.recv(100) == b"\x02 kept"

        relay.impair(reorder=1.0)
        alice.send(b"held back")
        wait_until(lambda: relay.status().counts.get("up_reordered"), what="a reordering")
        relay.impair()
        alice.send(b"overtakes")
        assert {bob.recv(100), bob.recv(100)} == {b"held back", b"overtakes"}

        relay.rebind()
        alice.send(b"from elsewhere")
        payload, after = bob.recvfrom(100)
        assert payload == b"from elsewhere"
        assert before[1] != after[1] == relay.status().upstream_ports[0]

        relay.drop_next(1, direction=DOWN)
        for payload in (b"lost", b"arrives"):
            bob.sendto(payload, after)
        assert alice.recv(100) == b"arrives"


def test_a_relay_ends_when_its_handle_closes() -> None:
    with pair() as net:
        relay = Relay(net.alice, listen=(net.alice_v4, 1000), target=(net.bob_v4, 2000))
        relay.close()
        wait_until(lambda: not net.alice.pids(), what="the relay ended")


def test_a_process_that_starts_inside_sees_the_namespace() -> None:
    with pair() as net:
        shown = net.alice.start("ip", "-o", "link", "show", "wire", stdout=subprocess.PIPE)
        output, _ = shown.communicate(timeout=patience.seconds(20))
        assert b"wire" in output
