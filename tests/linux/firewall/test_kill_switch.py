# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client's ruleset as text; tests/leaks tests its effect."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fs_tunnel.linux.firewall.kill_switch import LAN, Inbound, KillSwitch, kill_switch_table
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint

SWITCH = KillSwitch(
    name="wg-0",
    mark=51820,
    addresses=(ip_interface("10.66.0.2/24"), ip_interface("fd66::2/64")),
    endpoints=(Endpoint("192.0.2.1", 51820), Endpoint("2001:db8::1", 443)),
)


def ruleset(**changes: object) -> str:
    return kill_switch_table(replace(SWITCH, **changes)).ruleset  # type: ignore[arg-type]


def test_a_table_is_replaced_in_one_transaction() -> None:
    lines = ruleset().splitlines()
    assert lines[:2] == ["add table inet fs_wg_2d_0", "delete table inet fs_wg_2d_0"]
    assert lines.count("table inet fs_wg_2d_0 {") == 1
    # A table that a process owns would vanish with it.
    assert "owner" not in ruleset()


def test_all_is_closed_unless_it_is_said_to_be_open() -> None:
    said = ruleset()
    for hook in ("output", "input", "forward"):
        assert f"type filter hook {hook} priority filter; policy drop;" in said
    for name in ("excluded4", "excluded6", "lan4", "lan6", "resolvers4", "only6"):
        (line,) = [line for line in said.splitlines() if f"set {name} " in line]
        assert "elements" not in line


def test_the_tunnels_datagrams_carry_the_mark_and_go_to_its_endpoints() -> None:
    said = ruleset()
    assert "elements = { 192.0.2.1 . 51820 };" in said
    assert "elements = { 2001:db8::1 . 443 };" in said
    accepted = [line for line in said.splitlines() if "@endpoints" in line and "daddr" in line]
    assert len(accepted) == 2
    assert all("meta mark 51820 " in line for line in accepted)


def test_dns_goes_to_the_tunnels_resolvers_or_at_least_through_it() -> None:
    refused = "meta l4proto { tcp, udp } th dport { 53, 853 } counter name dns reject"

    def chains(said: str) -> tuple[str, str]:
        inside, output = said.index("chain inside"), said.index("chain output")
        return said[inside:output], said[output : said.index("chain input")]

    inside, output = chains(ruleset())
    assert "dns" not in inside
    assert output.index("oifgroup 51820 goto inside") < output.index(refused)
    assert output.index(refused) < output.index("@lan4")
    inside, _ = chains(ruleset(resolvers=(ip_address("10.66.0.1"), ip_address("fd66::1"))))
    assert inside.index("ip daddr @resolvers4") < inside.index("@resolvers6")
    assert inside.index("@resolvers6") < inside.index(refused) < inside.rindex("accept")


def test_a_lan_is_private() -> None:
    assert all(network.is_private for network in LAN)
    said = ruleset(allow_lan=True)
    assert "192.168.0.0/16" in said
    assert "192.168.0.0/16" not in ruleset()


def test_some_networks_leave_all_else_free() -> None:
    said = ruleset(only=(ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")))
    assert "policy drop" not in said
    assert said.count("daddr @only4 counter name outside reject") == 2
    assert said.count("daddr @only6 counter name outside reject") == 2


def test_who_may_come_in_is_marked_by_version() -> None:
    inbound = (Inbound(ip_network("192.0.2.0/24"), 22), Inbound(ip_network("2001:db8::/32"), 80))
    said = ruleset(inbound=inbound)
    assert "ip saddr 192.0.2.0/24 tcp dport 22 ct state new ct mark set 51820" in said
    assert "ip6 saddr 2001:db8::/32 tcp dport 80 ct state new ct mark set 51820" in said
    assert "ct state new" not in ruleset()


@pytest.mark.parametrize("name", ["", 'a"b', "a b", "x" * 16, "wg0\n"])
def test_a_name_that_nft_would_misread_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        replace(SWITCH, name=name)
