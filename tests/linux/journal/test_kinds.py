# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Every kind of change survives being written down."""

import json

import pytest

from fs_tunnel.linux.dns.host_resolver import ResolvConf, Resolvconf
from fs_tunnel.linux.dns.resolved import ResolvedLink
from fs_tunnel.linux.firewall.lockdown import LockdownLifted
from fs_tunnel.linux.firewall.nft import NftChain, NftTable
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint
from fs_tunnel.linux.firewall.permitted_negotiation import PermittedNegotiation
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.hooks import HookChange
from fs_tunnel.linux.journal.kinds import KINDS, from_json, to_json
from fs_tunnel.linux.routing.inner_namespace import InnerNamespace
from fs_tunnel.linux.routing.links import (
    Address,
    Link,
    LinkUp,
    Route,
    RuleTo,
    UnmarkedRule,
    Unreachable,
)
from fs_tunnel.linux.routing.sysctl import Sysctl
from fs_tunnel.linux.splits.cgroup import MarkedGroup
from fs_wire.errors import SystemChangeError

SAMPLES: list[Change] = [
    Address("wg0", "10.66.0.2/24"),
    HookChange("wg0", "inner", ("echo 'a\n\u2028b'", ""), ()),
    InnerNamespace("wg0", "fs-in52000", ("198.18.0.1/32",), 1420),
    Link("wg0"),
    LinkUp("wg0", 1420),
    LockdownLifted("closed"),
    MarkedGroup("wg0", 0x0100CA6C),
    NftTable("fs_wg0", 'table inet fs_wg0 {\n  "x"\n}\n'),
    PermittedEndpoint("fs_wg0", "192.0.2.1", 51820),
    PermittedNegotiation("fs_wg0", "2001:db8::1", 4700, 20),
    NftChain("fs_wg0", "outside", ("meta mark 5 accept",)),
    ResolvConf("nameserver 10.66.0.1\n", "file:\udcff\x00\n"),
    Resolvconf("tun.wg0", "nameserver 10.66.0.1\n"),
    ResolvConf("nameserver 10.66.0.1\n", "link:../run/resolv.conf", "resolv.conf.wg0"),
    ResolvedLink("wg0", ("10.66.0.1", "fd66::1"), ("example.net",), takes_all=True),
    Route("0.0.0.0/0", "wg0", table=51820, metric=100),
    RuleTo("10.0.0.0/8", 254, 5219, but_default=True),
    RuleTo("::/0", 254, 5219, mark=51820),
    RuleTo("::/0", 52000, 5210, iifname="fs-in52000"),
    Sysctl("net/ipv4/ip_forward", "1"),
    Sysctl("net/ipv4/ip_forward", "1", "0"),
    UnmarkedRule(6, 51820, 51820),
    Unreachable("::/0", 51820),
]


def name(change: Change) -> str:
    return type(change).__name__


def test_there_is_a_sample_of_every_kind() -> None:
    assert {name(each) for each in SAMPLES} == set(KINDS)
    assert set(Change.__subclasses__()) >= set(KINDS.values())


@pytest.mark.parametrize("change", SAMPLES, ids=name)
def test_it_is_one_line_and_comes_back_equal(change: Change) -> None:
    line = to_json(change)
    assert "\n" not in line
    assert line.isascii()
    assert from_json(line) == change


@pytest.mark.parametrize("change", SAMPLES, ids=name)
def test_a_value_of_another_type_is_refused(change: Change) -> None:
    values = json.loads(to_json(change))
    for key in values.keys() - {"change"}:
        wrongs: tuple[object, ...] = (3.5, {}, [1], True, [[]])
        for wrong in wrongs:
            if wrong is True and isinstance(values[key], bool):
                continue
            with pytest.raises(SystemChangeError, match="damaged"):
                from_json(json.dumps({**values, key: wrong}))


@pytest.mark.parametrize("change", SAMPLES, ids=name)
def test_what_was_before_is_no_part_of_what_it_is(change: Change) -> None:
    values = json.loads(to_json(change))
    if "before" in values:
        other = from_json(json.dumps({**values, "before": "something else"}))
        assert (other.identity, other.place) == (change.identity, change.place)
        assert other.transition() is not None
    assert hash(change.identity)
    assert hash(change.place)
