# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``serve``: what a provider forwards, where it sends it, and what it refuses to serve."""

import os

import pytest

from tests.lifecycles import rewrite
from tests.netns.served import (
    LAB,
    PROVIDER_WAN_V4,
    WEB_V4,
    Served,
    expect_ok,
    host_state,
    ping,
    write_private,
)
from tests.netns.topology import CommandFailed, add_addresses

pytestmark = pytest.mark.netns


def test_two_providers_on_one_host(scene: Served) -> None:
    """The guard of the one lets the clients of the other through, v6 too."""
    second = scene.folder / f"q{os.getpid():x}.conf"
    text = scene.conf.read_text()
    head, *_, other = text.split("[Peer]")
    write_private(scene.conf, text[: text.rindex("[Peer]")])
    head = head.replace("51820", "51821").replace("10.66.0.1/24, fd66::1/64", "10.67.0.1/24")
    write_private(second, f"{head}[Peer]{other.replace('10.66.0.3', '10.67.0.3')}")
    rewrite(scene.other.conf, ":51820", ":51821")
    rewrite(scene.other.conf, "10.66.0.3/32", "10.67.0.3/32")
    before = host_state(scene.provider)
    scene.serve("--wan", "wan")
    expect_ok(scene.fs_tunnel(scene.provider, "serve", "--wan", "wan", *LAB, second))
    scene.up()
    scene.up(scene.other)
    ping(scene.client.namespace, WEB_V4)
    ping(scene.other.namespace, WEB_V4)
    scene.down(scene.provider, scene.conf)
    ping(scene.other.namespace, WEB_V4)
    scene.down(scene.provider, second)
    assert host_state(scene.provider) == before


@pytest.mark.parametrize("routes", [False, True])
def test_forwarding_for_clients_makes_no_router_of_the_way_out(scene: Served, routes: bool) -> None:
    """A stranger on the way out does not get through to the provider's other networks."""
    provider, inside = scene.provider, scene.client.namespace
    scene.web.ip("route", "add", "198.51.100.0/25", "via", PROVIDER_WAN_V4)
    if routes:
        provider.sysctl("net/ipv4/ip_forward", 1)
    before = host_state(provider)
    scene.serve("--wan", "wan")
    scene.serve("--wan", "wan")
    inside.ip("route", "replace", "203.0.113.0/24", "via", "198.51.100.1")
    if routes:
        ping(scene.web, "198.51.100.2")
    else:
        with pytest.raises(CommandFailed):
            scene.web.run("ping", "-n", "-c", "1", "-W", "1", "198.51.100.2")
        assert scene.refused("ipv4_transit") > 0
    scene.down(provider, scene.conf)
    assert host_state(provider) == before


def test_router_advertisements_are_heard_while_serving(scene: Served) -> None:
    provider = scene.provider
    provider.sysctl("net/ipv6/conf/wan/accept_ra", 1)
    before = host_state(provider)
    scene.serve("--wan", "wan")
    read = ("sysctl", "-n", "net.ipv6.conf.wan.accept_ra")
    assert provider.run(*read) == "2\n"
    scene.down(provider, scene.conf)
    assert provider.run(*read) == "1\n"
    assert host_state(provider) == before


def test_the_way_out_is_that_of_the_default_route(scene: Served) -> None:
    scene.serve()
    assert 'oifname "wan"' in scene.provider.run("nft", "list", "ruleset")
    scene.down(scene.provider, scene.conf)
    scene.provider.ip("route", "del", "default")
    scene.provider.ip("-6", "route", "del", "default")
    finished = scene.fs_tunnel(scene.provider, "serve", scene.conf)
    assert finished.code == 2
    assert "--wan" in finished.err


@pytest.mark.parametrize("port", ["", "ListenPort = 0"])
def test_the_usual_port_where_the_file_has_none(scene: Served, port: str) -> None:
    rewrite(scene.conf, "ListenPort = 51820", port)
    scene.serve("--wan", "wan")
    assert scene.provider.run("wg", "show", scene.name, "listen-port") == "51820\n"


def test_a_gateway_without_a_network_is_refused(scene: Served) -> None:
    rewrite(scene.conf, "10.66.0.1/24, fd66::1/64", "10.66.0.1/32, fd66::1/128")
    finished = scene.fs_tunnel(scene.provider, "serve", "--wan", "wan", scene.conf)
    assert finished.code == 2
    assert "Address: a provider needs an address with its clients' network" in finished.err


def test_a_second_address_of_the_way_out_is_served_too(scene: Served) -> None:
    """The tunnel's own packets are not tracked, wherever they arrive."""
    add_addresses(scene.provider, "lan2", ["198.51.100.9/25"])
    rewrite(scene.client.conf, "198.51.100.1:51820", "198.51.100.9:51820")
    scene.serve("--wan", "wan")
    scene.up()
    ping(scene.client.namespace, WEB_V4)
