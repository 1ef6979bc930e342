# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The provider's ruleset as text, and as nft reads it."""

import re
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network
from typing import Any

import pytest

from fs_tunnel.linux.firewall.nft import NftTable
from fs_tunnel.linux.firewall.provider import DENIED_V4, DENIED_V6, ProviderPolicy, provider_table
from fs_wire.errors import UsageError
from fs_wire.types import IPNetwork
from tests.netns.topology import CommandFailed, Namespace, Topology

ADDRESSES = (ip_interface("10.66.0.1/24"), ip_interface("fd66::1/64"))


def policy(**different: Any) -> ProviderPolicy:
    return ProviderPolicy(
        **{"name": "fs0", "wan": "eth0", "port": 51820, "addresses": ADDRESSES, **different}
    )


def ruleset(**different: Any) -> str:
    return provider_table(policy(**different)).ruleset


# The text.


def test_the_same_policy_gives_the_same_text() -> None:
    assert provider_table(policy()) == provider_table(policy())


def test_one_transaction_replaces_the_table() -> None:
    lines = ruleset().splitlines()
    assert lines[:2] == ["add table inet fs_fs0", "delete table inet fs_fs0"]
    assert [line for line in lines if line.startswith(("table", "add", "flush", "delete"))] == [
        *lines[:2],
        "table inet fs_fs0 {",
    ]


@pytest.mark.parametrize("name", ["a=b", "a+b", "a.b", "a-b", "a_b", "-", "0", "=" * 15])
def test_every_name_of_a_tunnel_has_a_table_of_its_own(name: str) -> None:
    table = provider_table(policy(name=name)).table
    assert re.fullmatch(r"fs_[A-Za-z0-9_]+", table)
    assert table != provider_table(policy(name="ab")).table


@pytest.mark.parametrize(
    "name", ['x" accept; "', "x;drop", "x{", "a b", "eth*", "x\ny", "", "é", "0123456789abcdef"]
)
@pytest.mark.parametrize("where", ["name", "wan"])
def test_a_name_that_would_be_read_as_rules_is_refused(name: str, where: str) -> None:
    with pytest.raises(UsageError, match="rename the interface"):
        policy(**{where: name})


@pytest.mark.parametrize(
    ("port", "range_"), [(51820, "1024-32767"), (32768, "1024-32767"), (1194, "32768-65535")]
)
def test_clients_flows_never_leave_from_the_tunnels_port(port: int, range_: str) -> None:
    assert f"masquerade to :{range_} fully-random" in ruleset(port=port)
    low, high = map(int, range_.split("-"))
    assert not low <= port <= high


def test_what_is_denied_covers_what_is_not_the_internet() -> None:
    denied = [ip_network(each) for each in (*DENIED_V4, *DENIED_V6)]

    def is_denied(text: str) -> bool:
        network = ip_network(text)
        return any(
            network.version == each.version and network.subnet_of(each)  # type: ignore[arg-type]
            for each in denied
        )

    inside = (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "::/128"),
        *("::1/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64"),
        *("2002::/16", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
    outside = ("1.1.1.1/32", "172.32.0.0/16", "100.128.0.0/16", "2606:4700::/32", "2400::/12")
    assert [each for each in inside if not is_denied(each)] == []
    assert [each for each in outside if is_denied(each)] == []


def test_port_25_is_a_choice() -> None:
    assert "tcp dport 25 counter name smtp reject with tcp reset" in ruleset()
    assert "dport 25 " not in ruleset(allow_smtp=True)


def test_a_host_that_routes_already_goes_on_routing() -> None:
    assert "ipv4_transit drop" in ruleset()
    assert "ipv6_transit drop" in ruleset()
    routing = ruleset(routes_ipv4=True, routes_ipv6=True)
    assert "transit drop" not in routing


# What nft makes of it.


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Topology() as topology:
        yield topology.namespace("host")


CASES: list[dict[str, Any]] = [
    {},
    {"name": "a=b+c.d-e_f"},
    {"wan": "eth0.100@if4:1"},
    {"allow_smtp": True, "routes_ipv4": True, "routes_ipv6": True, "max_flows": 1},
    {"addresses": ADDRESSES[:1]},
    {"addresses": ADDRESSES[1:]},
    # Overlapping networks are merged.
    {"addresses": (*ADDRESSES, ip_interface("10.66.0.9/16"), ip_interface("10.66.0.1/25"))},
    {"allowed_destinations": tuple(map(ip_network, ("0.0.0.0/0", "::/0", "10.0.0.0/8")))},
]


@pytest.mark.netns
@pytest.mark.parametrize("different", CASES)
def test_nft_takes_it_twice_and_forgets_it_twice(
    host: Namespace, different: dict[str, Any]
) -> None:
    table = provider_table(policy(**different))
    with host.entered():
        for _ in range(2):
            table.do()
            assert host.run("nft", "list", "tables").splitlines() == [f"table inet {table.table}"]
        for _ in range(2):
            table.undo()
            assert host.run("nft", "list", "ruleset") == ""


@pytest.mark.netns
def test_a_ruleset_that_is_refused_changes_nothing(host: Namespace) -> None:
    table = provider_table(policy())
    broken = NftTable(table.table, table.ruleset + "no such word\n")
    with host.entered():
        table.do()
        before = host.run("nft", "list", "ruleset")
        with pytest.raises(Exception, match=r"nft -f -: .*"):
            broken.do()
        assert host.run("nft", "list", "ruleset") == before


@pytest.mark.netns
@pytest.mark.parametrize("network", [*DENIED_V4, *DENIED_V6])
def test_the_denied_networks_stand_in_the_kernel(host: Namespace, network: str) -> None:
    """Masks that are no whole octets included."""
    table = provider_table(policy())
    with host.entered():
        table.do()
    net: IPNetwork = ip_network(network)
    name = "denied4" if net.version == 4 else "denied6"
    for address in (net[0], net[-1]):
        host.run("nft", "get", "element", "inet", table.table, name, f"{{ {address} }}")
    for outside in ("1.1.1.1", "172.32.0.0", "2606:4700::1"):
        if ip_network(outside).version == net.version:
            with pytest.raises(CommandFailed):
                host.run("nft", "get", "element", "inet", table.table, name, f"{{ {outside} }}")
