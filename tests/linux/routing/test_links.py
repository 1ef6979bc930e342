# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Links, addresses, routes and rules: made, made again, undone and undone again."""

from collections.abc import Callable, Iterator

import pytest

from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.kinds import from_json, to_json
from fs_tunnel.linux.routing import links
from fs_tunnel.linux.routing.links import (
    LINK_GROUP,
    Address,
    Link,
    LinkUp,
    Route,
    RuleTo,
    UnmarkedRule,
    Unreachable,
)
from fs_wire.errors import SystemChangeError
from tests.netns.topology import Namespace, Topology

pytestmark = pytest.mark.netns

TABLE = 51820


@pytest.fixture
def host() -> Iterator[Namespace]:
    """Two links, ``near`` and ``other``, that are up; their far ends are elsewhere."""
    with Topology() as topology:
        made, far = topology.namespace("host"), topology.namespace("far")
        for name in ("near", "other"):
            topology.link(made, name, [], far, name, [])
        with made.entered():
            yield made


def state(host: Namespace) -> str:
    shown = [
        host.ip(family, *what)
        for family in ("-4", "-6")
        for what in (("rule",), ("route", "show", "table", "all"), ("-o", "address"))
    ]
    lines = "\n".join(shown).splitlines()
    return "\n".join(line for line in lines if "fe80" not in line and "ff00::/8" not in line)


CHANGES: dict[str, tuple[Change, Callable[[str], bool]]] = {
    "address4": (Address("near", "10.66.0.2/24"), lambda s: "inet 10.66.0.2/24" in s),
    "address6": (Address("near", "fd66::2/64"), lambda s: "inet6 fd66::2/64" in s),
    "route4": (Route("10.9.0.0/16", "near"), lambda s: "10.9.0.0/16 dev near" in s),
    "route6": (Route("fd09::/48", "near"), lambda s: "fd09::/48 dev near" in s),
    "default4": (
        Route("0.0.0.0/0", "near", table=TABLE, metric=100),
        lambda s: "default dev near table 51820" in s,
    ),
    "default6": (
        Route("::/0", "near", table=TABLE, metric=100),
        lambda s: "default dev near table 51820" in s,
    ),
    "unreachable4": (Unreachable("0.0.0.0/0", TABLE), lambda s: "unreachable default" in s),
    "unreachable6": (Unreachable("::/0", TABLE), lambda s: "unreachable default" in s),
    "rule4": (UnmarkedRule(4, TABLE, TABLE), lambda s: "not from all fwmark 0xca6c" in s),
    "rule6": (UnmarkedRule(6, TABLE, TABLE), lambda s: "not from all fwmark 0xca6c" in s),
    "rule to": (
        RuleTo("10.9.0.0/16", TABLE, 5217),
        lambda s: "5217:\tfrom all to 10.9.0.0/16 lookup 51820 proto 201" in s,
    ),
    "rule to, but default": (
        RuleTo("fd09::/48", 254, 5219, but_default=True),
        lambda s: "from all to fd09::/48 lookup main suppress_prefixlength 0" in s,
    ),
    "rule of a mark": (
        RuleTo("0.0.0.0/0", 254, 5219, mark=51820),
        lambda s: "5219:\tfrom all fwmark 0xca6c lookup main proto 201" in s,
    ),
}


@pytest.mark.parametrize("which", CHANGES)
def test_it_can_be_made_and_undone_any_number_of_times(host: Namespace, which: str) -> None:
    change, is_made = CHANGES[which]
    change = from_json(to_json(change.prepared()))
    before = state(host)
    change.undo()
    assert state(host) == before
    change.do()
    made = state(host)
    assert is_made(made)
    assert not is_made(before)
    change.redo()
    assert state(host) == made
    for _ in range(2):
        change.undo()
        assert state(host) == before


@pytest.mark.parametrize("which", ["address4", "address6", "route4", "route6", "default4"])
def test_what_went_with_the_link_is_undone(host: Namespace, which: str) -> None:
    change, _ = CHANGES[which]
    change.do()
    host.ip("link", "del", "near")
    change.undo()
    with pytest.raises(SystemChangeError, match=r"no interface near; its engine has ended"):
        change.do()


@pytest.mark.parametrize("network", ["10.9.0.0/16", "fd09::/48"])
def test_a_route_of_somebody_elses_is_neither_replaced_nor_removed(
    host: Namespace, network: str
) -> None:
    family = "-6" if ":" in network else "-4"
    host.ip(family, "route", "add", network, "dev", "other", "metric", "5")
    before = state(host)
    route = Route(network, "near", metric=5)
    with pytest.raises(SystemChangeError, match=f"routing {network} to near: File exists"):
        route.do()
    route.undo()
    assert state(host) == before


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_a_table_that_is_closed_already_is_another_tunnels(host: Namespace, network: str) -> None:
    Unreachable(network, TABLE).do()
    with pytest.raises(SystemChangeError, match="table 51820 is another tunnel's"):
        Unreachable(network, TABLE).prepared()
    Unreachable(network, TABLE + 1).prepared()


def test_a_closed_table_outlives_the_link_and_answers(host: Namespace) -> None:
    for change in (
        Unreachable("0.0.0.0/0", TABLE),
        UnmarkedRule(4, TABLE, TABLE),
        Address("near", "10.66.0.2/24"),
        Route("0.0.0.0/0", "near", table=TABLE, metric=100),
    ):
        change.do()
    assert "dev near" in host.ip("route", "get", "192.0.2.1")
    host.ip("link", "del", "near")
    with host.udp_socket("0.0.0.0") as sender, pytest.raises(OSError, match="No route to host"):
        sender.sendto(b"x", ("192.0.2.1", 9))
    assert links.mtu_towards("192.0.2.1") is None


def test_a_link_that_is_up_has_its_mtu_and_our_group(host: Namespace) -> None:
    host.ip("link", "set", "near", "down")
    LinkUp("near", 1280).do()
    shown = host.ip("-d", "link", "show", "near")
    assert "mtu 1280" in shown
    assert f"group {LINK_GROUP}" in shown
    assert ",UP" in shown
    LinkUp("near", 1400).do()
    assert "mtu 1400" in host.ip("link", "show", "near")


def test_an_mtu_that_the_link_cannot_have_is_an_error(host: Namespace) -> None:
    with pytest.raises(SystemChangeError, match="MTU 5: "):
        LinkUp("near", 5).do()


def test_a_link_is_deleted_once(host: Namespace) -> None:
    assert links.exists("near")
    Link("near").undo()
    assert not links.exists("near")
    Link("near").undo()
    assert links.exists("other")


# Looking.


def test_the_default_interface_is_that_of_the_best_default_route(host: Namespace) -> None:
    assert links.default_interface() is None
    host.ip("-6", "route", "add", "default", "dev", "other")
    assert links.default_interface() == "other"
    host.ip("route", "add", "default", "dev", "other", "metric", "20")
    host.ip("route", "add", "default", "dev", "near", "metric", "10")
    assert links.default_interface() == "near"
    # A tunnel's own table does not count.
    host.ip("route", "add", "default", "dev", "other", "table", "77")
    assert links.default_interface() == "near"


def test_the_mtu_is_that_of_the_marked_route(host: Namespace) -> None:
    host.ip("link", "set", "near", "mtu", "1300")
    assert links.mtu_towards("192.0.2.1") is None
    host.ip("route", "add", "default", "dev", "other")
    host.ip("route", "add", "default", "dev", "near", "table", "7")
    host.ip("rule", "add", "fwmark", "9", "lookup", "7")
    assert links.mtu_towards("192.0.2.1") == 1500
    assert links.mtu_towards("192.0.2.1", mark=9) == 1300
    host.ip("-6", "route", "add", "default", "dev", "near")
    assert links.mtu_towards("2001:db8::1") == 1300
    for kind in ("unreachable", "prohibit", "blackhole"):
        host.ip("route", "replace", kind, "198.51.100.0/24")
        assert links.mtu_towards("198.51.100.1") is None


def test_a_table_is_in_use_by_either_family(host: Namespace) -> None:
    assert not links.table_in_use(TABLE)
    for network in ("0.0.0.0/0", "::/0"):
        Unreachable(network, TABLE).do()
        assert links.table_in_use(TABLE)
        Unreachable(network, TABLE).undo()
        assert not links.table_in_use(TABLE)
