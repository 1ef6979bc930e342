# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The changes of a plan and their order, which keeps a dying tunnel from leaking."""

import os
from ipaddress import ip_interface, ip_network
from typing import Any

import pytest

from fs_tunnel.config import TunnelConfig, parse
from fs_tunnel.linux.dns import host_resolver, resolved
from fs_tunnel.linux.dns.host_resolver import ResolvConf, Resolvconf
from fs_tunnel.linux.firewall.nft import NftTable
from fs_tunnel.linux.firewall.provider import ProviderPolicy
from fs_tunnel.linux.journal import plans
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.plans import (
    Protection,
    Surroundings,
    choose_mark,
    client_plan,
    provider_plan,
)
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
from fs_tunnel.proto.crypto import public_key
from fs_wire.errors import ConfigError
from fs_wire.types import PrivateKey, PublicKey

PLAIN = Protection()


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A host with IPv6 that accepts router advertisements."""
    parameters = {
        "net/ipv6/conf/default/disable_ipv6": "0",
        "net/ipv6/conf/eth0/accept_ra": "1",
    }
    monkeypatch.setattr(plans, "read", parameters.get)
    monkeypatch.setattr(resolved, "is_serving", lambda: False)
    return parameters


def config(allowed: str, *lines: str, address: str = "10.66.0.2/24, fd66::2/64") -> TunnelConfig:
    ours, theirs = os.urandom(32), PublicKey(public_key(os.urandom(32)))
    text = [
        "[Interface]",
        f"PrivateKey = {PrivateKey(ours).to_base64()}",
        f"Address = {address}",
        *lines,
        "[Peer]",
        f"PublicKey = {theirs.to_base64()}",
        f"AllowedIPs = {allowed}",
    ]
    return parse("\n".join(text), name="wg0", source="wg0.conf")


def plan(
    allowed: str,
    *lines: str,
    mark: int = 51820,
    protection: Protection = PLAIN,
    **more: str,
) -> list[Change]:
    around = Surroundings(mtu=1420, mark=mark)
    return client_plan(config(allowed, *lines, **more), around, protection)


def of(kind: type[Change], changes: list[Change]) -> list[int]:
    return [index for index, change in enumerate(changes) if isinstance(change, kind)]


# A client.


def test_the_way_is_closed_before_anything_is_sent_there_and_opened_last() -> None:
    changes = plan("0.0.0.0/0, ::/0")
    (link,), (up,) = of(Link, changes), of(LinkUp, changes)
    routes = [i for i in of(Route, changes) if changes[i].table == 51820]  # type: ignore[attr-defined]
    assert len(of(Unreachable, changes)) == len(of(UnmarkedRule, changes)) == len(routes) == 2
    assert max(of(Unreachable, changes)) < min(of(UnmarkedRule, changes))
    assert max(of(UnmarkedRule, changes)) < link < min(of(Address, changes))
    assert max(of(Address, changes)) < up < min(routes)


def test_marked_answers_are_valid_and_arp_is_shy_before_the_rule() -> None:
    changes = plan("0.0.0.0/0")
    keys = {changes[i].key: changes[i].value for i in of(Sysctl, changes)}  # type: ignore[attr-defined]
    assert keys == {
        "net/ipv4/conf/all/src_valid_mark": "1",
        "net/ipv4/conf/all/arp_ignore": "2",
    }
    assert max(of(Sysctl, changes)) < min(of(UnmarkedRule, changes))


@pytest.mark.parametrize(
    ("allowed", "versions"),
    [
        ("0.0.0.0/0", (4,)),
        ("::/0", (6,)),
        ("0.0.0.0/0, ::/0", (4, 6)),
        ("0.0.0.0/1, 128.0.0.0/1", (4,)),
        ("0.0.0.0/1", ()),
        ("10.0.0.0/8, fd00::/8", ()),
    ],
)
def test_only_what_takes_all_of_a_version_closes_it(allowed: str, versions: tuple[int]) -> None:
    changes = plan(allowed)
    rules = [changes[i].version for i in of(UnmarkedRule, changes)]  # type: ignore[attr-defined]
    assert tuple(rules) == versions


def test_no_rule_prefers_the_main_table() -> None:
    """A hostile network can put routes there: CVE-2024-3661."""
    rules = [each for each in plan("0.0.0.0/0, ::/0") if "Rule" in type(each).__name__]
    assert all(isinstance(each, UnmarkedRule) and each.table == 51820 for each in rules)


def test_the_firewall_stands_before_the_rule() -> None:
    for allowed in ("0.0.0.0/0, ::/0", "0.0.0.0/0", "::/0"):
        changes = plan(allowed)
        (table,) = of(NftTable, changes)
        assert max(of(Unreachable, changes)) < table < min(of(UnmarkedRule, changes))
    assert of(NftTable, plan("10.0.0.0/8")) == []
    assert of(NftTable, plan("0.0.0.0/0", protection=Protection(kill_switch=False))) == []


def test_what_is_outside_is_asked_for_before_the_tunnel_and_its_resolver_before_that() -> None:
    protection = Protection(allow_lan=True, excluded=(ip_network("192.0.2.0/24"),))
    changes = plan("0.0.0.0/0, ::/0", "DNS = 10.9.9.9", protection=protection)
    rules = [each for each in changes if isinstance(each, RuleTo)]
    assert rules[0] == RuleTo("10.9.9.9/32", 51820, 5217)
    assert rules[1] == RuleTo("192.0.2.0/24", 254, 5218)
    assert RuleTo("10.0.0.0/8", 254, 5219, but_default=True) in rules[2:]
    assert all(rule.but_default and rule.priority == 5219 for rule in rules[2:])
    assert max(of(RuleTo, changes)) < min(of(Link, changes))


def test_only_some_networks_have_a_closed_table_and_nothing_else_changes() -> None:
    protection = Protection(only=(ip_network("10.9.0.0/16"),))
    changes = plan("0.0.0.0/0, ::/0", "DNS = 10.66.0.1", protection=protection)
    rules = [each for each in changes if isinstance(each, RuleTo)]
    assert rules == [
        RuleTo("0.0.0.0/0", 254, 5219, mark=51820),
        RuleTo("10.9.0.0/16", 51820, 5220),
    ]
    assert of(UnmarkedRule, changes) == of(ResolvConf, changes) == of(Resolvconf, changes) == []
    assert [changes[i] for i in of(Unreachable, changes)] == [Unreachable("0.0.0.0/0", 51820)]
    assert [changes[i] for i in of(Route, changes)] == [
        Route("0.0.0.0/0", "wg0", table=51820, metric=100)
    ]
    inside = plan("10.0.0.0/8", "DNS = 10.9.0.1", protection=protection)
    assert len(of(ResolvConf, inside) + of(Resolvconf, inside)) == 1


@pytest.mark.parametrize(
    ("allowed", "protection", "said"),
    [
        ("10.0.0.0/8", Protection(allow_lan=True), "no full tunnel"),
        ("10.0.0.0/8", Protection(excluded=(ip_network("10.1.0.0/16"),)), "no full tunnel"),
        ("10.0.0.0/8", Protection(only=(ip_network("192.0.2.0/24"),)), "is not among them"),
        ("0.0.0.0/0", Protection(only=(ip_network("fd00::/8"),)), "is not among them"),
    ],
)
def test_what_the_file_has_no_room_for_is_refused(
    allowed: str, protection: Protection, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(allowed, protection=protection)


def test_every_other_network_is_a_route_unless_an_address_has_it() -> None:
    changes = plan("10.66.0.0/25, 10.66.0.0/24, 10.9.0.0/16, fd66::/64, fd09::/48")
    routes = [changes[i] for i in of(Route, changes)]
    assert routes == [Route("10.9.0.0/16", "wg0"), Route("fd09::/48", "wg0")]


def test_a_table_of_the_users_gets_every_route_and_no_rule() -> None:
    changes = plan("10.66.0.0/24, 0.0.0.0/0", "Table = 77")
    routes = [changes[i] for i in of(Route, changes)]
    assert routes == [Route("0.0.0.0/0", "wg0", table=77), Route("10.66.0.0/24", "wg0", table=77)]
    assert of(UnmarkedRule, changes) == of(Unreachable, changes) == []


def test_without_a_table_there_are_no_routes() -> None:
    assert of(Route, plan("0.0.0.0/0, 10.9.0.0/16", "Table = off")) == []


@pytest.mark.parametrize(("line", "mtu"), [("", 1420), ("MTU = 1300", 1300)])
def test_the_file_may_say_the_mtu(line: str, mtu: int) -> None:
    assert LinkUp("wg0", mtu) in plan("10.9.0.0/16", line)


def test_a_resolver_is_used_where_the_file_has_one() -> None:
    assert isinstance(plan("0.0.0.0/0", "DNS = 10.66.0.1")[-1], ResolvConf | Resolvconf)
    assert of(ResolvConf, plan("0.0.0.0/0")) == of(Resolvconf, plan("0.0.0.0/0")) == []


@pytest.mark.parametrize(
    ("allowed", "only", "takes_all"),
    [
        ("0.0.0.0/0, ::/0", (), True),
        ("0.0.0.0/0", (), True),
        ("10.0.0.0/8", (), False),
        ("0.0.0.0/0", ("10.0.0.0/8",), False),
    ],
)
def test_only_a_full_tunnel_answers_for_every_name(
    allowed: str, only: tuple[str, ...], takes_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolved, "is_serving", lambda: True)
    monkeypatch.setattr(host_resolver, "_leads_to_resolved", lambda: True)
    protection = Protection(only=tuple(ip_network(each) for each in only))
    changes = plan(allowed, "DNS = 10.66.0.1, example.net", protection=protection)
    (change,) = (each for each in changes if isinstance(each, resolved.ResolvedLink))
    assert change == resolved.ResolvedLink(
        "wg0", ("10.66.0.1",), ("example.net",), takes_all=takes_all
    )


@pytest.mark.parametrize(
    ("allowed", "line", "used", "mark"),
    [
        ("10.0.0.0/8", "", set[int](), 0),
        ("10.0.0.0/8", "FwMark = 7", set[int](), 7),
        ("0.0.0.0/0", "", set[int](), 51820),
        ("0.0.0.0/0", "", {51820, 51821}, 51822),
        ("0.0.0.0/0", "FwMark = 7", {7}, 7),
        ("0.0.0.0/0", "FwMark = off", set[int](), 51820),
        ("0.0.0.0/0", "Table = 77", set[int](), 0),
    ],
)
def test_the_mark_is_the_files_or_of_the_first_free_table(
    allowed: str, line: str, used: set[int], mark: int
) -> None:
    assert choose_mark(config(allowed, line), Protection(), used.__contains__) == mark


def test_a_host_without_ipv6_gets_none_and_still_closes_it(host: dict[str, str]) -> None:
    host["net/ipv6/conf/default/disable_ipv6"] = "1"
    changes = plan("0.0.0.0/0, ::/0")
    assert not any(":" in changes[i].address for i in of(Address, changes))  # type: ignore[attr-defined]
    assert Unreachable("::/0", 51820) in changes
    del host["net/ipv6/conf/default/disable_ipv6"]
    assert Unreachable("::/0", 51820) not in plan("0.0.0.0/0, ::/0")


# A provider.


def serving(addresses: str = "10.66.0.1/24, fd66::1/64", **more: Any) -> list[Change]:
    made = config("10.66.0.2/32, fd66::2/128", address=addresses)
    policy = ProviderPolicy(
        "wg0", "eth0", 51820, tuple(ip_interface(each) for each in addresses.split(", ")), **more
    )
    return provider_plan(made, policy, Surroundings(mtu=1420))


def test_the_firewall_stands_before_the_first_packet_is_forwarded() -> None:
    changes = serving()
    assert of(NftTable, changes) == [0]
    assert min(of(Sysctl, changes)) > max(of(LinkUp, changes))


def test_ipv4_is_forwarded_for_two_interfaces_and_ipv6_for_the_host() -> None:
    settings = [(each.key, each.value) for each in serving() if isinstance(each, Sysctl)]
    assert settings == [
        ("net/ipv4/conf/eth0/forwarding", "1"),
        ("net/ipv4/conf/wg0/forwarding", "1"),
        ("net/ipv6/conf/eth0/accept_ra", "2"),
        ("net/ipv6/conf/all/forwarding", "1"),
    ]


@pytest.mark.parametrize("value", ["0", "2"])
def test_a_way_out_without_router_advertisements_is_left_alone(
    host: dict[str, str], value: str
) -> None:
    host["net/ipv6/conf/eth0/accept_ra"] = value
    assert not any("accept_ra" in each.key for each in serving() if isinstance(each, Sysctl))


def test_without_addresses_of_ipv6_it_is_not_forwarded() -> None:
    keys = [each.key for each in serving("10.66.0.1/24") if isinstance(each, Sysctl)]
    assert not any("ipv6" in key for key in keys)


@pytest.mark.parametrize("allowed", ["0.0.0.0/0", "::/0", "0.0.0.0/1, 128.0.0.0/1"])
def test_no_client_owns_all_addresses(allowed: str) -> None:
    policy = ProviderPolicy("wg0", "eth0", 51820, (ip_interface("10.66.0.1/24"),))
    with pytest.raises(ConfigError, match="a client cannot own all addresses"):
        provider_plan(config(allowed), policy, Surroundings(mtu=1420))
