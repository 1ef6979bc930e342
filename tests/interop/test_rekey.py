# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""For hours of a fast clock, sessions end and new ones replace them."""

import itertools

import pytest

from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE
from tests.netns.capture import Capture
from tests.netns.peers import WIREGUARD_GO, Engine, Peer, introduce, running
from tests.netns.topology import pair
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

PORT = 51820


def test_hours_of_rekeys_lose_no_packet(our_engine: Engine) -> None:
    """In two hours of both peers' clocks, each two minutes bring a session, and no ping is lost."""
    scale, seconds = 400.0, 18
    env = {"FS_WG_CLOCK_SCALE": str(scale)}
    with (
        pair() as net,
        running(our_engine, net.alice, ALICE_INSIDE, env=env) as alice,
        running(our_engine, net.bob, BOB_INSIDE, env=env) as bob,
        Capture(net.alice, "wire") as wire,
    ):
        introduce(alice, bob, (net.alice_v4, PORT), (net.bob_v4, PORT))
        alice.ping(bob.v4)
        ping_for(alice, bob.v4, seconds)
        due = seconds * scale / 120
        assert len(responses(wire)) > due / 2
        assert_sessions_are_fresh(wire)


def test_wireguard_go_follows_our_repeated_rekeys(our_engine: Engine) -> None:
    """Our clock runs fast and wireguard-go's does not, so our side starts every rekey."""
    scale, seconds = 60.0, 12
    with (
        pair() as net,
        running(our_engine, net.alice, ALICE_INSIDE, env={"FS_WG_CLOCK_SCALE": str(scale)}) as us,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as them,
        Capture(net.alice, "wire") as wire,
    ):
        introduce(us, them, (net.alice_v4, PORT), (net.bob_v4, PORT))
        us.ping(them.v4)
        first = them.latest_handshake(us.keys.public)
        ping_for(us, them.v4, seconds)
        assert len(responses(wire)) > seconds * scale / 120 / 2
        assert_sessions_are_fresh(wire)
        assert them.latest_handshake(us.keys.public) > first


def test_an_idle_tunnel_is_silent_until_data_comes(our_engine: Engine) -> None:
    """Without data, both sides erase their keys and send nothing; data brings new keys."""
    scale = 400.0
    env = {"FS_WG_CLOCK_SCALE": str(scale)}
    with (
        pair() as net,
        running(our_engine, net.alice, ALICE_INSIDE, env=env) as alice,
        running(our_engine, net.bob, BOB_INSIDE, env=env) as bob,
        Capture(net.alice, "wire") as wire,
    ):
        introduce(alice, bob, (net.alice_v4, PORT), (net.bob_v4, PORT))
        alice.ping(bob.v4)
        alice.namespace.run("sleep", str(3 * 180 / scale + 0.3))
        before = len(wire.udp())
        alice.namespace.run("sleep", "1")  # more than six minutes of the engines' clocks
        assert len(wire.udp()) == before
        handshakes = len(responses(wire))
        bob.ping(alice.v4)
        assert len(responses(wire)) > handshakes


def test_a_persistent_keepalive_holds_the_path_open(our_engine: Engine) -> None:
    scale = 100.0
    with (
        pair() as net,
        running(our_engine, net.alice, ALICE_INSIDE, env={"FS_WG_CLOCK_SCALE": str(scale)}) as us,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as them,
        Capture(net.alice, "wire") as wire,
    ):
        introduce(us, them, None, (net.bob_v4, PORT))
        us.wg("set", "peer", them.keys.public, "persistent-keepalive", "25")
        # Even the first keepalive comes without any packet of ours.
        wait_until(lambda: len(keepalives(wire)) >= 3, what="keepalives")
        assert them.latest_handshake(us.keys.public) > 0


def ping_for(peer: Peer, address: str, seconds: float) -> None:
    """Ping every 20 ms for some seconds, and check that at most one in a hundred is lost."""
    count = int(seconds * 50)
    shown = peer.namespace.run(
        *("ping", "-n", "-q", "-i", "0.02", "-c", str(count), "-w", str(int(seconds * 2)), address)
    )
    received = int(shown.partition(" received")[0].rsplit(None, 1)[1])
    assert received >= count * 0.99, shown


def responses(wire: Capture) -> list[bytes]:
    return [each.payload for each in wire.udp() if each.payload[:1] == b"\x02"]


def keepalives(wire: Capture) -> list[bytes]:
    """Return the empty transport messages that left this side."""
    return [each.payload for each in wire.udp() if each.outgoing and len(each.payload) == 32]


def assert_sessions_are_fresh(wire: Capture) -> None:
    """Check that every session has an index of its own and starts to count at zero."""
    indices = [message[4:8] for message in responses(wire)]
    assert len(set(indices)) == len(indices)
    transport = [each.payload for each in wire.udp() if each.payload[:1] == b"\x04"]
    by_session = itertools.groupby(sorted(transport, key=lambda m: m[4:8]), key=lambda m: m[4:8])
    for _, messages in by_session:
        counters = [int.from_bytes(message[8:16], "little") for message in messages]
        assert len(set(counters)) == len(counters), "a nonce was used twice"
        assert min(counters) == 0
