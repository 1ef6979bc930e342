# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Peers follow each other when an address, a port, a family, a NAT or a network changes."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE, transfer_tcp
from tests.netns.peers import (
    WIREGUARD_GO,
    Engine,
    Peer,
    introduce,
    running,
    show_endpoint,
)
from tests.netns.relay import Relay
from tests.netns.topology import Pair, add_addresses, pair, triangle
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

PORT = 51820


@pytest.fixture(params=["we-roam", "they-roam"])
def engines(request: pytest.FixtureRequest, engine: Engine) -> tuple[Engine, Engine]:
    """Return the engine of the client that moves and of the server that follows."""
    ours_moves = request.param == "we-roam"
    return (engine, WIREGUARD_GO) if ours_moves else (WIREGUARD_GO, engine)


@contextmanager
def roamer_and_follower(engines: tuple[Engine, Engine]) -> Iterator[tuple[Pair, Peer, Peer]]:
    """Connect alice, who knows where bob is, to bob, who learns where alice is."""
    with (
        pair() as net,
        running(engines[0], net.alice, ALICE_INSIDE) as alice,
        running(engines[1], net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, None, (net.bob_v4, PORT))
        alice.ping(bob.v4)
        assert bob.endpoint(alice.keys.public) == show_endpoint(net.alice_v4, PORT)
        yield net, alice, bob


def test_a_changed_address_is_followed(engines: tuple[Engine, Engine]) -> None:
    moved = "192.0.2.77"
    with roamer_and_follower(engines) as (net, alice, bob):
        net.alice.ip("address", "del", f"{net.alice_v4}/24", "dev", "wire")
        add_addresses(net.alice, "wire", [f"{moved}/24"])
        if not alice.engine.is_ours:
            # Debian's wireguard-go keeps the removed source until it is told the endpoint again.
            alice.wg("set", "peer", bob.keys.public, "endpoint", show_endpoint(net.bob_v4, PORT))
        wait_until(lambda: reaches(alice, bob), what="a ping from the moved address")
        assert bob.endpoint(alice.keys.public) == show_endpoint(moved, PORT)
        bob.ping(alice.v4)


def test_a_changed_port_is_followed(engines: tuple[Engine, Engine]) -> None:
    with roamer_and_follower(engines) as (net, alice, bob):
        alice.wg("set", "listen-port", "41820")
        alice.ping(bob.v4)
        assert bob.endpoint(alice.keys.public) == show_endpoint(net.alice_v4, 41820)
        bob.ping(alice.v4)


def test_a_changed_family_is_followed(engines: tuple[Engine, Engine]) -> None:
    with roamer_and_follower(engines) as (net, alice, bob):
        alice.wg("set", "peer", bob.keys.public, "endpoint", show_endpoint(net.bob_v6, PORT))
        alice.ping(bob.v4)
        assert bob.endpoint(alice.keys.public) == show_endpoint(net.alice_v6, PORT)
        bob.ping(alice.v4)


def test_a_rebound_nat_is_followed(engines: tuple[Engine, Engine]) -> None:
    with (
        triangle() as net,
        running(engines[0], net.client, ALICE_INSIDE) as client,
        running(engines[1], net.provider, BOB_INSIDE) as provider,
        Relay(net.router, listen=(net.router_lan_v4, PORT), target=(net.provider_v4, PORT)) as nat,
    ):
        introduce(client, provider, None, (net.router_lan_v4, PORT))
        client.ping(provider.v4)
        seen = set()
        for _ in range(3):
            (port,) = nat.status().upstream_ports
            assert provider.endpoint(client.keys.public) == f"{net.router_wan_v4}:{port}"
            provider.ping(client.v4)
            seen.add(port)
            nat.rebind()
            client.ping(provider.v4)
        assert len(seen) == 3
        assert client.endpoint(provider.keys.public) == show_endpoint(net.router_lan_v4, PORT)


def test_a_stream_survives_a_bad_network(engine: Engine) -> None:
    """The network loses, repeats, reorders and delays; TCP inside the tunnel arrives whole."""
    with (
        triangle() as net,
        running(engine, net.client, ALICE_INSIDE) as client,
        running(WIREGUARD_GO, net.provider, BOB_INSIDE) as provider,
        Relay(
            net.router, listen=(net.router_lan_v4, PORT), target=(net.provider_v4, PORT), seed=7
        ) as network,
    ):
        introduce(client, provider, None, (net.router_lan_v4, PORT))
        client.ping(provider.v4)
        network.impair(loss=0.005, repeat=0.05, reorder=0.02, delay=0.001)
        for near, far in ((client, provider), (provider, client)):
            sent = secrets.token_bytes(1024 * 1024)
            received = transfer_tcp(near, far, far.v4, sent)
            assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()
        counts = network.status().counts
        assert all(counts[f"up_{what}"] for what in ("dropped", "repeated", "reordered"))


def test_a_lost_initiation_is_sent_again(engine: Engine) -> None:
    with (
        triangle() as net,
        running(engine, net.client, ALICE_INSIDE) as client,
        running(WIREGUARD_GO, net.provider, BOB_INSIDE) as provider,
        Relay(
            net.router, listen=(net.router_lan_v4, PORT), target=(net.provider_v4, PORT)
        ) as network,
    ):
        introduce(client, provider, None, (net.router_lan_v4, PORT))
        network.drop_next(1, direction="up", message_type=1)
        client.ping(provider.v4)
        assert network.status().counts["up_dropped"] == 1


def test_replies_leave_from_the_address_that_the_peer_sent_to(engine: Engine) -> None:
    """If that address is removed, replies leave from another one."""
    second = "192.0.2.200"
    with (
        pair() as net,
        running(WIREGUARD_GO, net.alice, ALICE_INSIDE) as alice,
        running(engine, net.bob, BOB_INSIDE) as bob,
    ):
        add_addresses(net.bob, "wire", [f"{second}/24"])
        introduce(alice, bob, None, (second, PORT))
        alice.ping(bob.v4)
        # Alice's endpoint for bob is the address that his answers come from.
        assert alice.endpoint(bob.keys.public) == show_endpoint(second, PORT)
        bob.ping(alice.v4)
        assert alice.endpoint(bob.keys.public) == show_endpoint(second, PORT)
        if not engine.is_ours:
            return  # Debian's wireguard-go keeps sending from an address that is gone.

        net.bob.ip("address", "del", f"{second}/24", "dev", "wire")
        bob.ping(alice.v4)
        assert alice.endpoint(bob.keys.public) == show_endpoint(net.bob_v4, PORT)


def reaches(near: Peer, far: Peer) -> bool:
    try:
        near.namespace.run("ping", "-n", "-c", "1", "-w", "1", far.v4)
    except AssertionError:
        return False
    return True
