# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""An engine answers a peer that shares no code with it; each test is a row of the protocol."""

import itertools
import secrets
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from cryptography.exceptions import InvalidTag
from scapy.contrib.wireguard import Wireguard, WireguardResponse
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import IPv6

from tests.interop.eve import (
    COOKIE_REPLY,
    COOKIE_REPLY_BYTES,
    INITIATION,
    INITIATION_BYTES,
    REJECT_AFTER_MESSAGES,
    RESPONSE,
    RESPONSE_BYTES,
    TRANSPORT,
    Identity,
    add_macs,
    mac2_of,
)
from tests.interop.scene import Eve, Scene
from tests.interop.scene import scene as make_scene
from tests.netns.peers import Engine, generate_psk

pytestmark = pytest.mark.netns

# Every implementation drops a peer's initiations that are closer together than this.
FLOOD_INTERVAL = 0.03


@pytest.fixture(scope="module")
def scene(engine: Engine) -> Iterator[Scene]:
    with make_scene(engine) as made:
        yield made


# Handshakes.


def test_a_valid_initiation_gets_one_response(scene: Scene) -> None:
    eve = scene.eve()
    initiation = eve.identity.initiation()
    eve.line.send(initiation.message)
    response = eve.line.expect(initiation.is_answered_by, what="response")

    seen = Wireguard(response)
    assert len(response) == RESPONSE_BYTES
    assert (seen.message_type, seen.reserved_zero) == (RESPONSE, 0)
    assert seen[WireguardResponse].receiver_index == initiation.index
    assert eve.identity.is_mac1_for_us(response)
    assert mac2_of(response) == bytes(16)

    session = initiation.finish(response)
    for family in (4, 6):
        eve.ping(session, family=family)
    assert eve.line.unexpected == []
    assert scene.endpoint(eve) == eve.line.name


def test_a_preshared_key_is_part_of_the_handshake(scene: Scene) -> None:
    eve = scene.eve(psk=generate_psk())  # Eve does not know this key.
    initiation = eve.identity.initiation()
    eve.line.send(initiation.message)
    response = eve.line.expect(initiation.is_answered_by, what="response")
    with pytest.raises(InvalidTag):
        initiation.finish(response)


def valid_initiation(eve: Eve) -> bytes:
    return eve.identity.initiation().message


def bad_mac1(eve: Eve) -> bytes:
    message = bytearray(valid_initiation(eve))
    message[-32] ^= 1
    return bytes(message)


def unknown_static_key(eve: Eve) -> bytes:
    return Identity(eve.identity.server_public).initiation().message


def message_of(kind: int, size: int) -> Callable[[Eve], bytes]:
    """Return a builder of random messages with a valid MAC1, so only the length may be wrong."""

    def build(eve: Eve) -> bytes:
        body = struct.pack("<I", kind) + secrets.token_bytes(max(0, size - 36))
        return add_macs(body, eve.identity.server_public)[:size]

    return build


def reserved_byte(position: int) -> Callable[[Eve], bytes]:
    def build(eve: Eve) -> bytes:
        reserved = bytearray(3)
        reserved[position] = 1
        return eve.identity.initiation(reserved=bytes(reserved)).message

    return build


SILENT_INPUTS: dict[str, Callable[[Eve], bytes]] = {
    "empty": lambda eve: b"",
    "one-byte": lambda eve: b"\x01",
    "three-bytes": lambda eve: bytes([INITIATION, 0, 0]),
    "garbage": lambda eve: b"\xff" + secrets.token_bytes(147),
    "http": lambda eve: b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "type-0": message_of(0, INITIATION_BYTES),
    "type-5": message_of(5, INITIATION_BYTES),
    "bad-mac1": bad_mac1,
    "unknown-static-key": unknown_static_key,
    "initiation-short": lambda eve: valid_initiation(eve)[:-1],
    "initiation-long": lambda eve: valid_initiation(eve) + b"\0",
    "initiation-garbage-with-mac1": message_of(INITIATION, INITIATION_BYTES),
    "response-short": message_of(RESPONSE, RESPONSE_BYTES - 1),
    "response-long": message_of(RESPONSE, RESPONSE_BYTES + 1),
    "response-to-nobody": message_of(RESPONSE, RESPONSE_BYTES),
    "cookie-short": message_of(COOKIE_REPLY, COOKIE_REPLY_BYTES - 1),
    "cookie-long": message_of(COOKIE_REPLY, COOKIE_REPLY_BYTES + 1),
    "cookie-for-nobody": message_of(COOKIE_REPLY, COOKIE_REPLY_BYTES),
    "transport-short": message_of(TRANSPORT, 31),
    "transport-for-nobody": message_of(TRANSPORT, 64),
    "reserved-1": reserved_byte(0),
    "reserved-2": reserved_byte(1),
    "reserved-3": reserved_byte(2),
}


@pytest.mark.parametrize("build", SILENT_INPUTS.values(), ids=SILENT_INPUTS.keys())
def test_an_invalid_message_gets_no_answer(scene: Scene, build: Callable[[Eve], bytes]) -> None:
    eve = scene.eve()
    with scene.counting_drops(1):
        eve.line.send(build(eve))
        scene.assert_silence(eve.line)
    assert scene.endpoint(eve) == "(none)"


def test_a_replayed_or_older_initiation_gets_no_answer(scene: Scene) -> None:
    eve = scene.eve()
    moment = time.time()
    first = eve.identity.initiation(at=moment)
    eve.line.send(first.message)
    session = first.finish(eve.line.expect(first.is_answered_by, what="response"))
    for message in (first.message, eve.identity.initiation(at=moment - 10).message):
        time.sleep(FLOOD_INTERVAL)
        with scene.counting_drops(1):
            eve.line.send(message)
            scene.assert_silence(eve.line)

    time.sleep(FLOOD_INTERVAL)
    eve.ping(session)  # neither message hurt the session
    later = eve.identity.initiation(at=moment + 10)
    eve.line.send(later.message)
    eve.line.expect(later.is_answered_by, what="response to a newer initiation")


def test_a_replayed_initiation_does_not_move_the_endpoint(scene: Scene) -> None:
    eve, elsewhere = scene.eve(), scene.line()
    initiation = eve.identity.initiation()
    eve.line.send(initiation.message)
    eve.line.expect(initiation.is_answered_by, what="response")
    time.sleep(FLOOD_INTERVAL)
    elsewhere.send(initiation.message)
    scene.assert_silence(elsewhere)
    assert scene.endpoint(eve) == eve.line.name


def test_session_indices_are_random(scene: Scene) -> None:
    """Sixteen indices of 32 bits are different, unevenly spaced and widely spread."""
    indices = sorted(scene.eve().shake_hands().remote_index for _ in range(16))
    gaps = [high - low for low, high in itertools.pairwise(indices)]
    assert min(gaps) > 0
    assert indices[-1] - indices[0] > 1 << 28
    assert len(set(gaps)) == len(gaps)


# Transport.


def test_a_replayed_packet_is_delivered_once(scene: Scene) -> None:
    eve = scene.eve()
    session = eve.shake_hands()
    request = eve.echo_request()
    message = session.seal(request)
    with scene.counting_drops(2):
        for _ in range(3):
            eve.line.send(message)
        eve.expect_pong(session, request)
        eve.ping(session)
    assert scene.delivered(request) == 1


def test_the_replay_window_reaches_8128_packets_back(scene: Scene) -> None:
    eve = scene.eve()
    session = eve.shake_hands()
    head = 9000
    behind = [0, 8000, 8100, 8160, 8192]
    requests = {head - each: eve.echo_request() for each in behind}
    with scene.counting_drops(2):
        for counter, request in requests.items():
            eve.line.send(session.seal(request, counter=counter))
        last = eve.echo_request()
        eve.line.send(session.seal(last, counter=head + 1))
        eve.expect_pong(session, last)
    assert [scene.delivered(request) for request in requests.values()] == [1, 1, 1, 0, 0]


def test_a_counter_at_the_limit_is_refused(scene: Scene) -> None:
    eve = scene.eve()
    session = eve.shake_hands()
    refused, accepted = eve.echo_request(), eve.echo_request()
    with scene.counting_drops(1):
        eve.line.send(session.seal(refused, counter=REJECT_AFTER_MESSAGES))
        eve.line.send(session.seal(accepted, counter=REJECT_AFTER_MESSAGES - 1))
        eve.expect_pong(session, accepted)
    assert scene.delivered(refused) == 0


def source_not_allowed(eve: Eve) -> bytes:
    return bytes(IP(src="10.66.255.254", dst=eve.server_v4) / ICMP() / b"spoofed")


def source_of_another_family(eve: Eve) -> bytes:
    return bytes(IPv6(src="fd66::ffff", dst=eve.server_v6) / b"spoofed")


def length_beyond_the_packet(eve: Eve) -> bytes:
    return bytes(IP(src=eve.v4, dst=eve.server_v4, len=200) / ICMP())


def length_below_the_header(eve: Eve) -> bytes:
    return bytes(IP(src=eve.v4, dst=eve.server_v4, len=19) / ICMP())


def short_v4(eve: Eve) -> bytes:
    return bytes(IP(src=eve.v4, dst=eve.server_v4))[:16]


def short_v6(eve: Eve) -> bytes:
    return bytes(IPv6(src=eve.v6, dst=eve.server_v6))[:32]


def v6_length_beyond_the_packet(eve: Eve) -> bytes:
    return bytes(IPv6(src=eve.v6, dst=eve.server_v6, plen=200) / b"x")


def unknown_version(eve: Eve) -> bytes:
    return b"\x50" + bytes(31)


BAD_PACKETS = [
    source_not_allowed,
    source_of_another_family,
    length_beyond_the_packet,
    length_below_the_header,
    short_v4,
    short_v6,
    v6_length_beyond_the_packet,
    unknown_version,
]


@pytest.mark.parametrize("build", BAD_PACKETS, ids=lambda build: build.__name__)
def test_an_authentic_but_bad_packet_is_dropped(
    scene: Scene, build: Callable[[Eve], bytes]
) -> None:
    eve, elsewhere = scene.eve(), scene.line()
    session = eve.shake_hands()
    eve.ping(session)
    before = len(scene.inside.frames())
    for line in (eve.line, elsewhere):
        with scene.counting_drops(1):
            line.send(session.seal(build(eve)))
            scene.assert_silence(line)
        assert scene.endpoint(eve) == line.name
    arrived = [frame for frame in scene.inside.frames()[before:] if not frame.outgoing]
    assert len(arrived) == 2, "only the witnesses' pings"


def test_a_forged_packet_is_dropped_and_does_not_move_the_endpoint(scene: Scene) -> None:
    eve, elsewhere = scene.eve(), scene.line()
    session = eve.shake_hands()
    request = eve.echo_request()
    message = session.seal(request)
    flipped = [bytearray(message) for _ in range(3)]
    for forged, position in zip(flipped, (8, 16, -1), strict=True):
        forged[position] ^= 1  # flips a bit of the counter, of the ciphertext or of the tag
    unknown = session.seal(request, index=session.remote_index ^ 1)
    with scene.counting_drops(4):
        for datagram in (*map(bytes, flipped), unknown):
            elsewhere.send(datagram)
        scene.assert_silence(elsewhere)
    assert scene.delivered(request) == 0
    assert scene.endpoint(eve) == eve.line.name

    eve.line.send(message)
    eve.expect_pong(session, request)  # no forgery used up the counter


def test_an_authentic_packet_from_elsewhere_moves_the_endpoint(scene: Scene) -> None:
    eve, elsewhere = scene.eve(), scene.line()
    session = eve.shake_hands()
    eve.ping(session)
    eve.ping(session, line=elsewhere)  # the answer comes to the other port
    assert scene.endpoint(eve) == elsewhere.name
    assert eve.line.drain(0) == []

    eve.line.send(session.seal(b""))  # a keepalive moves it as well
    scene.assert_silence(eve.line)
    assert scene.endpoint(eve) == eve.line.name


def test_a_keepalive_is_not_answered(scene: Scene) -> None:
    eve = scene.eve()
    session = eve.shake_hands()
    for _ in range(5):
        eve.line.send(session.seal(b""))
    scene.assert_silence(eve.line)


@pytest.mark.parametrize("size", [0, 1, 4, 5, 20, 21, 500, 1391, 1392])
def test_packets_are_padded_with_zeroes_up_to_the_mtu(scene: Scene, size: int) -> None:
    mtu, headers = 1420, 20 + 8
    eve = scene.eve()
    session = eve.shake_hands()
    message = eve.ping(session, data=secrets.token_bytes(size))
    padded, length = session.open(message), headers + size
    assert len(padded) == min((length + 15) // 16 * 16, mtu)
    assert padded[length:] == bytes(len(padded) - length)


def test_an_older_session_still_receives_after_a_rekey(scene: Scene) -> None:
    """A packet under the previous keys still arrives; a packet under older keys does not."""
    eve = scene.eve()
    sessions = []
    for _ in range(3):
        sessions.append(eve.shake_hands())
        eve.ping(sessions[-1])
        time.sleep(FLOOD_INTERVAL)
    oldest, previous, current = sessions
    lost, late = eve.echo_request(), eve.echo_request()
    eve.line.send(oldest.seal(lost))
    eve.line.send(previous.seal(late))
    eve.expect_pong(current, late)  # the server answers under the current keys
    assert (scene.delivered(lost), scene.delivered(late)) == (0, 1)


def test_an_unconfirmed_session_is_not_used(scene: Scene) -> None:
    """A responder sends under the keys of a handshake once the initiator has used them."""
    eve = scene.eve()
    confirmed = eve.shake_hands()
    eve.ping(confirmed)
    time.sleep(FLOOD_INTERVAL)
    initiation = eve.identity.initiation()
    eve.line.send(initiation.message)
    pending = initiation.finish(eve.line.expect(initiation.is_answered_by, what="response"))
    eve.ping(confirmed)
    eve.ping(pending)
