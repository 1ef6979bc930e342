# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The server resists attacks on the wire, and mistakes that other implementations have made."""

import secrets
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP

from tests.interop.eve import (
    INITIATION,
    TRANSPORT,
    mac2_of,
)
from tests.interop.scene import Scene
from tests.interop.scene import scene as make_scene
from tests.netns.peers import Engine, generate_psk, parse_endpoint
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

TEN_YEARS = 10 * 365 * 86400.0


@pytest.fixture(scope="module")
def scene(engine: Engine) -> Iterator[Scene]:
    """Share one server among attacks that leave it as it was."""
    with make_scene(engine) as made:
        yield made


# Datagrams of odd sizes.


@pytest.mark.parametrize("kind", [INITIATION, TRANSPORT, 0xFF])
def test_an_oversized_datagram_does_no_harm(scene: Scene, kind: int) -> None:
    eve = scene.eve()
    session = eve.shake_hands()
    largest = 65535 - 20 - 8
    head = session.seal(b"")[:16]
    for size in (1501, 9000, largest):
        eve.line.send(bytes([kind]) + head[1:] + secrets.token_bytes(size - 16))
    scene.assert_silence(eve.line)
    eve.ping(session)


def test_an_authentic_packet_of_the_largest_size_does_no_harm(scene: Scene) -> None:
    eve = scene.eve()
    session = eve.shake_hands()
    room = 65535 - 20 - 8 - 32
    inner = bytes(
        IP(src=eve.v4, dst=scene.v4, proto=253) / secrets.token_bytes(room // 16 * 16 - 20)
    )
    eve.line.send(session.seal(inner))
    eve.ping(session)
    assert scene.server.alive()


# The owner of an address.


def test_a_more_specific_prefix_of_another_peer_wins(scene: Scene) -> None:
    """Eve may not send from the other peer's address, and packets to it do not go to her."""
    eve, alice = scene.eve(), scene.eve()
    scene.server.add_peer(eve.public, allowed_ips=["10.66.200.0/24", f"{eve.v4}/32"])
    scene.server.add_peer(alice.public, allowed_ips=["10.66.200.7/32", f"{alice.v4}/32"])
    sessions = eve.shake_hands(), alice.shake_hands()
    stolen, allowed = (
        bytes(IP(src=f"10.66.200.{host}", dst=scene.v4) / ICMP(id=secrets.randbits(16)))
        for host in (7, 8)
    )
    with scene.counting_drops(1):
        eve.line.send(sessions[0].seal(stolen))
        eve.line.send(sessions[0].seal(allowed))
        eve.expect_pong(sessions[0], allowed)
    assert scene.delivered(stolen) == 0

    alice.line.send(sessions[1].seal(stolen))
    alice.expect_pong(sessions[1], stolen)


def test_an_address_given_to_another_peer_is_taken_from_the_first(scene: Scene) -> None:
    eve, alice = scene.eve(), scene.eve()
    session = eve.shake_hands()
    scene.server.add_peer(alice.public, allowed_ips=[f"{eve.v4}/32"])
    request = eve.echo_request()
    with scene.counting_drops(1):
        eve.line.send(session.seal(request))
        scene.assert_silence(eve.line)
    assert scene.delivered(request) == 0


# Keys and clocks.


def test_a_peer_with_a_timestamp_in_the_future_recovers_if_added_again(scene: Scene) -> None:
    """CVE-2021-46873: one handshake with a stamp far ahead locks an honest clock out.

    The peer can shake hands again once somebody removes and adds it.
    """
    eve = scene.eve()
    eve.shake_hands(at=time.time() + TEN_YEARS)
    honest = eve.identity.initiation()
    time.sleep(0.03)
    eve.line.send(honest.message)
    scene.assert_silence(eve.line)

    scene.add_again(eve)
    eve.ping(eve.shake_hands())


def test_a_changed_psk_takes_effect(scene: Scene) -> None:
    eve = scene.eve()
    eve.ping(eve.shake_hands())
    psk = generate_psk()
    scene.server.set_psk(eve.public, psk)
    eve.identity.set_psk(psk)
    time.sleep(0.03)
    eve.ping(eve.shake_hands())


def test_a_removed_peer_gets_no_answer(scene: Scene) -> None:
    eve = scene.eve()
    session = eve.shake_hands()
    eve.ping(session)
    scene.server.remove_peer(eve.public)
    request = eve.echo_request()
    with scene.counting_drops(2):
        eve.line.send(session.seal(request))
        eve.line.send(eve.identity.initiation().message)
        scene.assert_silence(eve.line)
    assert scene.delivered(request) == 0


# When the server initiates.


def test_a_cookie_reply_does_not_move_the_endpoint(engine: Engine) -> None:
    """The server still heeds the cookie: its next initiation carries a MAC2."""
    env = {"FS_WG_CLOCK_SCALE": "20"} if engine.is_ours else {}
    with make_scene(engine, env=env) as scene:
        eve, elsewhere = scene.eve(), scene.line()
        scene.server.add_peer(
            eve.public, allowed_ips=[f"{eve.v4}/32"], endpoint=parse_endpoint(eve.line.name)
        )
        scene.server.namespace.start("ping", "-n", "-c", "1", eve.v4)
        first = eve.line.expect(is_initiation, what="initiation")
        assert eve.identity.is_mac1_for_us(first)
        assert mac2_of(first) == bytes(16)

        cookie = secrets.token_bytes(16)
        elsewhere.send(eve.identity.seal_cookie(cookie, first))
        second = None
        while second is None:
            # The test asks all the time, because a retry could move the endpoint back to us.
            assert scene.endpoint(eve) == eve.line.name
            second = eve.line.receive(0.02)
        assert is_initiation(second)
        assert eve.identity.is_mac2_of(cookie, second)
        assert elsewhere.drain(0) == []


def test_a_forged_cookie_reply_is_not_heeded(our_engine: Engine) -> None:
    with make_scene(our_engine, env={"FS_WG_CLOCK_SCALE": "20"}) as scene:
        eve = scene.eve()
        scene.server.add_peer(
            eve.public, allowed_ips=[f"{eve.v4}/32"], endpoint=parse_endpoint(eve.line.name)
        )
        scene.server.namespace.start("ping", "-n", "-c", "1", eve.v4)
        first = eve.line.expect(is_initiation, what="initiation")
        forged = bytearray(eve.identity.seal_cookie(secrets.token_bytes(16), first))
        forged[-1] ^= 1
        with scene.counting_drops(1):
            eve.line.send(bytes(forged))
            second = eve.line.expect(is_initiation, what="another initiation")
        assert mac2_of(second) == bytes(16)


# Ages, on a clock that runs fast.


def test_data_is_answered_by_one_keepalive_and_a_keepalive_by_none(our_engine: Engine) -> None:
    """If a keepalive were answered, two peers would keep each other awake for ever."""
    with make_scene(our_engine, env={"FS_WG_CLOCK_SCALE": "50"}) as scene:
        eve = scene.eve()
        session = eve.shake_hands()
        one_way = bytes(IP(src=eve.v4, dst=scene.v4) / ICMP(type=0))
        eve.line.send(session.seal(one_way))
        keepalive = eve.line.expect(session.is_for_us, what="keepalive")
        assert session.open(keepalive) == b""
        for _ in range(3):
            eve.line.send(session.seal(b""))
            # This takes 20 s of the server's clock, twice its delay before a keepalive.
            assert eve.line.drain(0.4) == []


def test_a_session_that_is_too_old_neither_receives_nor_sends(our_engine: Engine) -> None:
    """The server enforces REJECT_AFTER_TIME in both directions."""
    scale = 100.0
    with make_scene(our_engine, env={"FS_WG_CLOCK_SCALE": str(scale)}) as scene:
        eve = scene.eve()
        session = eve.shake_hands()
        eve.ping(session)
        eve.line.send(session.seal(b""))
        time.sleep(180.0 / scale + 0.1)
        request = eve.echo_request()
        with scene.counting_drops(1):
            eve.line.send(session.seal(request))
            wait_until(lambda: scene.dropped_for("session_expired"), what="the drop")
        assert scene.delivered(request) == 0

        assert eve.line.drain(0) == []
        scene.server.namespace.start("ping", "-n", "-c", "1", eve.v4)
        eve.line.expect(is_initiation, what="initiation in place of data under old keys")
        assert not any(map(session.is_for_us, eve.line.unexpected))


def is_initiation(data: bytes) -> bool:
    return data[0] == INITIATION
