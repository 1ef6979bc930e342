# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""That a change of the machine would be seen: in a namespace that takes its place."""

import os
from pathlib import Path

import pytest

from tests.netns.topology import Topology
from tools.testing import machine

# What a test could leave behind, and the thing that tells.
CHANGES = {
    "a rule": ("ip rule add from 192.0.2.1 table 51820", "ip rule"),
    "a route in a table of its own": (
        "ip route add unreachable 192.0.2.0/24 table 51820",
        "ip route show table all",
    ),
    "a link": ("ip link add left-behind type bridge", "ip -o link"),
    "an address": ("ip address add 192.0.2.7/32 dev lo", "ip -o address"),
    "a table of nft": ("nft add table inet fs-tunnel", "nft --stateless list ruleset"),
    "a parameter": (
        "echo 7 > /proc/sys/net/ipv4/conf/lo/rp_filter",
        "/proc/sys/net/ipv4/conf/lo/rp_filter",
    ),
    "a resolver": ("echo nameserver 192.0.2.1 > /etc/resolv.conf", "/etc/resolv.conf"),
    "a namespace": ("ip netns add left-behind", "ip netns list"),
    "a socket": ("touch /run/wireguard/wg0.sock", "/run/wireguard"),
    "a journal": ("touch /var/lib/fs-tunnel/wg0 || mkdir /var/lib/fs-tunnel", "/var/lib/fs-tunnel"),
}


@pytest.mark.netns
@pytest.mark.parametrize(("command", "thing"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_told(command: str, thing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is this scene's room."""
    Path("/var/lib/fs-tunnel").mkdir(exist_ok=True)
    monkeypatch.setattr(machine, "_PATIENCE", 0.0)
    before = machine.state()
    assert machine.changes(before) == []
    assert os.system(command) == 0  # noqa: S605 - of the table above
    assert f"{thing}:" in machine.changes(before)


@pytest.mark.netns
def test_what_passes_is_no_change() -> None:
    before = machine.state()
    with Topology() as topology:
        topology.namespace("here")
        assert "ip netns list:" in machine.differences(before, machine.state())
    assert machine.changes(before) == []


def test_a_parameter_that_a_module_brought_is_no_change() -> None:
    assert machine.differences({"a": "1"}, {"a": "1", "b": "2"}) == []
    assert machine.differences({"a": "1"}, {}) == ["a:", "- 1", "+ (not there)"]
