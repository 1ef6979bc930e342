# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Limits of a peer, set over the control socket, hold for real traffic."""

import secrets
import threading
import time
from collections.abc import Iterator

import pytest

from fs_wire import control
from fs_wire.types import PublicKey
from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE, transfer_tcp
from tests.netns.peers import Engine, Peer, introduce, running
from tests.netns.topology import Pair, pair
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

PORT, GATEWAY_PORT = 51820, 4443
DATA = secrets.token_bytes(8 << 20)

Tunnel = tuple[Pair, Peer, Peer]


@pytest.fixture
def tunnel(our_engine: Engine) -> Iterator[Tunnel]:
    """Connect Alice, the client, to Bob, the provider who limits her."""
    with (
        pair() as net,
        running(our_engine, net.alice, ALICE_INSIDE) as alice,
        running(our_engine, net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, (net.alice_v4, PORT), (net.bob_v4, PORT))
        alice.ping(bob.v4)
        yield net, alice, bob


def limit(provider: Peer, client: Peer, **limits: int | str | None) -> None:
    control.limit(provider.ifname, PublicKey.from_base64(client.keys.public), **limits)


def credit_used(provider: Peer, client: Peer) -> int:
    used = control.status(provider.ifname)["peers"][client.keys.public]["credit_used"]
    assert isinstance(used, int)
    return used


def test_a_client_without_credit_reaches_only_the_gateway(tunnel: Tunnel) -> None:
    _, alice, bob = tunnel
    credit = credit_used(bob, alice) + len(DATA) // 2
    gateway = f"{bob.v4}:{GATEWAY_PORT}"
    limit(bob, alice, credit=credit, credit_low=len(DATA) // 4, exempt=gateway)
    received = []
    stream = threading.Thread(
        target=lambda: received.append(transfer_tcp(alice, bob, bob.v4, DATA))
    )
    with control.connect(bob.ifname) as connection:
        events = connection.events()
        stream.start()
        event = next(events)
    assert (event["event"], event["peer"]) == ("credit_low", alice.keys.public)
    assert credit - len(DATA) // 4 <= event["credit_used"]
    assert event["credit"] == credit
    wait_until(lambda: bob.drops().get("no_credit", 0) > 0, what="the credit is used up")

    paid = secrets.token_bytes(1000)
    assert transfer_tcp(alice, bob, bob.v4, paid, port=GATEWAY_PORT) == paid
    assert received == []

    limit(bob, alice, credit=credit + 2 * len(DATA))
    stream.join(30)
    assert received == [DATA]
    shown = control.status(bob.ifname)["peers"][alice.keys.public]["limits"]
    assert shown["exempt"] == gateway
    assert shown["credit"] == credit + 2 * len(DATA)


@pytest.mark.parametrize("direction", ["rx_rate", "tx_rate"])
def test_a_transfer_is_not_faster_than_its_rate(tunnel: Tunnel, direction: str) -> None:
    _, alice, bob = tunnel
    # The rate is so low that even a slow machine exceeds it.
    rate, burst = 1 << 20, 1 << 20
    data = DATA[: 3 << 20]
    limit(bob, alice, **{direction: rate})
    sender, receiver = (alice, bob) if direction == "rx_rate" else (bob, alice)
    began = time.monotonic()
    assert transfer_tcp(sender, receiver, receiver.v4, data) == data
    seconds = time.monotonic() - began
    refused = "rate_limited_receiving" if direction == "rx_rate" else "rate_limited_sending"
    assert bob.drops()[refused] > 0
    assert len(data) < burst + rate * seconds


def test_limits_of_a_peer_do_not_apply_to_another_peer(tunnel: Tunnel) -> None:
    _, alice, bob = tunnel
    stranger = PublicKey(secrets.token_bytes(32))
    bob.add_peer(stranger.to_base64(), allowed_ips=["10.66.0.9/32"])
    control.limit(bob.ifname, stranger, credit=1, rx_rate=1, tx_rate=1)
    assert transfer_tcp(alice, bob, bob.v4, DATA) == DATA
    assert "no_credit" not in bob.drops()


def test_an_event_tells_a_peers_new_endpoint(tunnel: Tunnel) -> None:
    net, alice, bob = tunnel
    with control.connect(bob.ifname) as connection:
        events = connection.events()
        told = threading.Thread(target=lambda: heard.append(next(events)))
        heard: list[control.Message] = []
        told.start()
        alice.wg("set", "listen-port", "41820")
        alice.ping(bob.v4)
        told.join(10)
    expected = {"event": "endpoint_moved", "peer": alice.keys.public}
    assert heard == [{**expected, "endpoint": f"{net.alice_v4}:41820"}]
