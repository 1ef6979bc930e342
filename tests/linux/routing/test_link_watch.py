# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Whether a TUN is up, down or gone, in our network namespace or in another one."""

import select
import socket
from collections.abc import Iterator

import pytest

from fs_tunnel.linux.routing.link_watch import LinkState, LinkWatch
from fs_tunnel.linux.routing.tun import Tun, open_tun
from tests.netns.topology import Namespace, Topology, unique_name

pytestmark = pytest.mark.netns


@pytest.fixture
def topology() -> Iterator[Topology]:
    with Topology() as made:
        yield made


@pytest.fixture
def host(topology: Topology) -> Iterator[Namespace]:
    with (made := topology.namespace("host")).entered():
        yield made


@pytest.fixture
def tun(host: Namespace) -> Iterator[Tun]:
    made = open_tun(unique_name("tun"))
    yield made
    made.close()


@pytest.fixture
def watch(tun: Tun) -> Iterator[LinkWatch]:
    made = LinkWatch(tun)
    yield made
    made.close()


def is_told(watch: LinkWatch, *, seconds: float) -> bool:
    return bool(select.select([watch.fileno()], [], [], seconds)[0])


def test_netlink_tells_of_up_and_down(host: Namespace, tun: Tun, watch: LinkWatch) -> None:
    assert watch.state() is LinkState.DOWN
    assert not is_told(watch, seconds=0)
    for state in (LinkState.UP, LinkState.DOWN, LinkState.UP):
        host.ip("link", "set", tun.name, state.value)
        assert is_told(watch, seconds=20)
        assert watch.state() is state
        assert not is_told(watch, seconds=0)


def test_a_deleted_interface_is_gone(host: Namespace, tun: Tun, watch: LinkWatch) -> None:
    host.ip("link", "set", tun.name, "up")
    assert watch.state() is LinkState.UP
    host.ip("link", "del", tun.name)
    assert is_told(watch, seconds=20)
    assert watch.state() is LinkState.GONE


def test_an_interface_that_moved_is_still_watched(
    host: Namespace, topology: Topology, tun: Tun, watch: LinkWatch
) -> None:
    away = topology.namespace("away")
    host.ip("link", "set", tun.name, "netns", away.name)
    assert watch.state() is LinkState.DOWN
    away.ip("link", "set", tun.name, "up")
    assert watch.state() is LinkState.UP
    away.ip("link", "del", tun.name)
    assert watch.state() is LinkState.GONE


def test_more_news_than_fits_is_no_failure(host: Namespace, tun: Tun, watch: LinkWatch) -> None:
    watch._netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(10):
        name = unique_name("more")
        host.ip("link", "add", name, "type", "bridge")
    host.ip("link", "set", tun.name, "up")
    with pytest.raises(OSError, match="No buffer space"):
        while True:
            watch._netlink.recv(1)
    for _ in range(10):
        name = unique_name("more")
        host.ip("link", "add", name, "type", "bridge")
    assert watch.state() is LinkState.UP
