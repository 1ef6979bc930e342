# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Our engine and Debian's wireguard-go carry each other's traffic."""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE, transfer_tcp
from tests.netns.peers import WIREGUARD_GO, Engine, Peer, generate_psk, introduce, running
from tests.netns.topology import CommandFailed, Pair, pair
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

TRANSFER_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Tunnel:
    """Alice runs the engine under test, and bob runs the reference."""

    net: Pair
    alice: Peer
    bob: Peer


@pytest.fixture(scope="module", params=["outside-v4", "outside-v6"])
def tunnel(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Tunnel]:
    with (
        pair() as net,
        running(engine, net.alice, ALICE_INSIDE) as alice,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as bob,
    ):
        hosts = {
            "outside-v4": (net.alice_v4, net.bob_v4),
            "outside-v6": (net.alice_v6, net.bob_v6),
        }[request.param]
        introduce(alice, bob, (hosts[0], 51820), (hosts[1], 51820), psk=generate_psk())
        yield Tunnel(net, alice, bob)


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_either_side_can_start_the_handshake_and_ping(tunnel: Tunnel, initiator: str) -> None:
    near, far = (tunnel.alice, tunnel.bob)
    if initiator == "theirs":
        near, far = far, near
    near.forget_session(far.keys.public)
    for address in (far.v4, far.v6):
        near.ping(address, count=3)
    for peer, other in ((near, far), (far, near)):
        assert peer.latest_handshake(other.keys.public) > 0
        counted = peer.transfer(other.keys.public)
        assert counted.received > 0 and counted.sent > 0


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000, 1372, 1373, 4000])
def test_ping_of_any_size_is_answered(tunnel: Tunnel, size: int) -> None:
    """Sizes lie around the steps of padding, around the MTU (1420 less 48), and beyond it."""
    tunnel.alice.ping(tunnel.bob.v4, size=size)
    tunnel.bob.ping(tunnel.alice.v6, size=size)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_tcp_arrives_whole_both_ways(tunnel: Tunnel, family: str) -> None:
    for client, server in ((tunnel.alice, tunnel.bob), (tunnel.bob, tunnel.alice)):
        address = server.v4 if family == "v4" else server.v6
        sent = secrets.token_bytes(TRANSFER_BYTES)
        received = transfer_tcp(client, server, address, sent)
        assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


def test_transfer_counters_agree_at_both_ends(tunnel: Tunnel) -> None:
    """What one end counts as sent, the other counts as received, to the byte."""
    alice, bob = tunnel.alice, tunnel.bob
    alice.ping(bob.v4)
    before = alice.transfer(bob.keys.public), bob.transfer(alice.keys.public)
    alice.ping(bob.v4, count=20, size=1000)

    def counted() -> tuple[int, int, int, int]:
        at_alice, at_bob = alice.transfer(bob.keys.public), bob.transfer(alice.keys.public)
        return (
            at_alice.sent - before[0].sent,
            at_bob.received - before[1].received,
            at_bob.sent - before[1].sent,
            at_alice.received - before[0].received,
        )

    # Headers of IPv4 and ICMP and 1000 bytes are padded to 16; WireGuard adds its header and tag.
    each = (20 + 8 + 1000 + 15) // 16 * 16 + 32
    wait_until(lambda: counted() == (20 * each,) * 4, what="equal counters")


def test_a_changed_psk_takes_effect(engine: Engine) -> None:
    with (
        pair() as net,
        running(engine, net.alice, ALICE_INSIDE) as alice,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, (net.alice_v4, 51820), (net.bob_v4, 51820), psk=generate_psk())
        alice.ping(bob.v4)

        changed = generate_psk()
        alice.set_psk(bob.keys.public, changed)
        bob.forget_session(alice.keys.public)
        with pytest.raises(CommandFailed):
            bob.namespace.run("ping", "-n", "-c", "3", "-i", "0.2", "-w", "2", alice.v4)
        assert bob.latest_handshake(alice.keys.public) == 0

        bob.set_psk(alice.keys.public, changed)
        bob.ping(alice.v4)
        assert bob.latest_handshake(alice.keys.public) > 0
