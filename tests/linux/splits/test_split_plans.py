# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The changes of ``run`` and their order; tests/cli/run tests their effect."""

from pathlib import Path

import pytest

from fs_tunnel.linux.firewall.kill_switch import outside_mark
from fs_tunnel.linux.firewall.nft import NftChain, NftTable
from fs_tunnel.linux.journal import plans
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.routing.inner_namespace import InnerNamespace
from fs_tunnel.linux.routing.links import MAIN_TABLE, Route, RuleTo, Unreachable
from fs_tunnel.linux.routing.sysctl import Sysctl
from fs_tunnel.linux.splits import split_plans
from fs_tunnel.linux.splits.cgroup import MarkedGroup
from fs_tunnel.linux.splits.split_plans import inside_plan, outside_plan
from fs_wire.errors import SystemChangeError, UsageError

TABLE = 52003
GROUP = Path("/sys/fs/cgroup/unified/fs-tunnel-wg0")


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Parameters of a host that has IPv6, and is no router."""
    parameters = {"net/ipv6/conf/default/disable_ipv6": "0"}
    for module in (plans, split_plans):
        monkeypatch.setattr(module, "read", parameters.get)
    monkeypatch.setattr(plans, "original", lambda _place: None)
    return parameters


def kinds(plan: list[Change]) -> list[type[Change]]:
    return list(dict.fromkeys(type(each) for each in plan))


def ruleset(plan: list[Change]) -> str:
    (table,) = (each for each in plan if isinstance(each, NftTable))
    return table.ruleset


def test_inside_is_closed_before_it_exists_and_opened_last() -> None:
    plan = inside_plan("wg0", (4, 6), 1420, TABLE)
    assert kinds(plan)[:4] == [Unreachable, NftTable, RuleTo, InnerNamespace]
    assert plan[-2:] == [
        Route("0.0.0.0/0", "wg0", TABLE, plans.TUNNEL_METRIC),
        Route("::/0", "wg0", TABLE, plans.TUNNEL_METRIC),
    ]
    # Before whatever may lead out beside a full tunnel.
    assert {each.priority for each in plan if isinstance(each, RuleTo)} == {5210}


def test_inside_neither_the_host_nor_its_other_links_are_reached() -> None:
    """Routing leads into the tunnel alone; this holds whatever becomes of the rules."""
    said = ruleset(inside_plan("wg0", (4, 6), 1420, TABLE))
    assert 'iifname "fs-in52003" counter name host drop' in said
    assert 'oifname != "wg0" counter name beside reject' in said


def test_inside_a_tunnel_of_one_version_the_other_leads_nowhere() -> None:
    plan = inside_plan("wg0", (4,), 1420, TABLE)
    assert [each.network for each in plan if isinstance(each, Unreachable)] == ["0.0.0.0/0", "::/0"]
    by_cable = [each.network for each in plan if isinstance(each, RuleTo) and each.iifname]
    assert by_cable == ["0.0.0.0/0", "::/0"]
    assert InnerNamespace("wg0", "fs-in52003", ("198.18.0.4/32",), 1420) in plan
    assert not any("ipv6" in each.key for each in plan if isinstance(each, Sysctl))


def test_two_tunnels_have_addresses_and_cables_of_their_own() -> None:
    def place(name: str, table: int) -> InnerNamespace:
        plan = inside_plan(name, (4, 6), 1420, table)
        return next(each for each in plan if isinstance(each, InnerNamespace))

    first, second = place("wg0", TABLE), place("wg1", TABLE + 1)
    assert first.cable != second.cable
    assert not set(first.addresses) & set(second.addresses)


def test_a_host_that_is_no_router_does_not_become_one(host: dict[str, str]) -> None:
    said = ruleset(inside_plan("wg0", (4, 6), 1420, TABLE))
    assert said.count("counter name transit drop") == 3
    host["net/ipv4/conf/wg0/forwarding"] = "1"
    host["net/ipv6/conf/all/forwarding"] = "1"
    assert "transit drop" not in ruleset(inside_plan("wg0", (4, 6), 1420, TABLE))


def test_outside_takes_the_mark_and_the_cgroup() -> None:
    mark = outside_mark(51820)
    plan = outside_plan("wg0", 51820, GROUP, kill_switch=True)
    assert kinds(plan) == [MarkedGroup, RuleTo, NftChain]
    rules = [each for each in plan if isinstance(each, RuleTo)]
    assert {(each.table, each.mark) for each in rules} == {(MAIN_TABLE, mark)}
    (leave,) = (each for each in plan if isinstance(each, NftChain))
    assert all(f"meta mark {mark} " in rule for rule in leave.rules)
    assert 'socket cgroupv2 level 1 "unified/fs-tunnel-wg0"' in leave.rules[0]
    assert f"ct mark {mark} ct state established,related" in leave.rules[1]
    assert len(leave.rules) == 2
    assert NftChain not in kinds(outside_plan("wg0", 51820, GROUP, kill_switch=False))


def test_the_mark_of_who_is_outside_is_nobodys() -> None:
    marks = {*range(1, 1000), *range(51820, 52820), 2**32 - 1}
    assert {outside_mark(each) for each in marks} & (marks | {0}) == set()
    assert all(0 < outside_mark(each) < 2**32 for each in marks)


def test_what_nft_would_misread_or_miss_is_refused() -> None:
    with pytest.raises(UsageError):
        inside_plan('wg"0', (4,), 1420, TABLE)
    with pytest.raises(SystemChangeError, match="mount cgroup2"):
        outside_plan("wg0", 51820, Path("/mnt/fs-tunnel-wg0"), kill_switch=True)
