# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""MACs and cookies, on both sides: WireGuard paper, sections 5.4.4 and 5.4.7."""

import os
from hashlib import blake2s

import pytest

from fs_tunnel.proto.cookie import CookieChecker, CookieGenerator
from fs_tunnel.proto.crypto import hash32, xaead_open, xaead_seal
from fs_tunnel.proto.errors import AuthenticationFailed
from fs_tunnel.proto.messages import CookieReply, Initiation, parse_untrusted
from fs_wire.types import Endpoint

BOB = bytes(range(32))
HOME = Endpoint("192.0.2.1", 1000)
SENDER = 0x87654321
MESSAGE = Initiation(SENDER, b"e" * 32, b"s" * 48, b"t" * 28).to_bytes()


@pytest.fixture
def checker() -> CookieChecker:
    return CookieChecker(BOB, os.urandom)


@pytest.fixture
def generator() -> CookieGenerator:
    return CookieGenerator(BOB)


def reply_to(checker: CookieChecker, message: bytes, source: Endpoint, now: float) -> CookieReply:
    reply = parse_untrusted(checker.create_reply(message, source, now))
    assert isinstance(reply, CookieReply)
    return reply


def test_mac1_shows_that_the_sender_knows_us(
    checker: CookieChecker, generator: CookieGenerator
) -> None:
    message = generator.add_macs(MESSAGE, 0)
    assert message[:-32] == MESSAGE[:-32]
    assert message[-16:] == bytes(16)
    checker.check_mac1(message)
    for at in (0, 50, 120):
        changed = bytearray(message)
        changed[at] ^= 1
        with pytest.raises(AuthenticationFailed):
            checker.check_mac1(bytes(changed))
    with pytest.raises(AuthenticationFailed):
        CookieChecker(bytes(32), os.urandom).check_mac1(message)


def test_a_cookie_makes_mac2_valid(checker: CookieChecker, generator: CookieGenerator) -> None:
    first = generator.add_macs(MESSAGE, 0)
    with pytest.raises(AuthenticationFailed):
        checker.check_mac2(first, HOME, 0)
    reply = reply_to(checker, first, HOME, 0)
    assert reply.receiver == SENDER
    generator.consume_reply(reply, 0)
    second = generator.add_macs(MESSAGE, 1)
    checker.check_mac1(second)
    checker.check_mac2(second, HOME, 1)


@pytest.mark.parametrize(
    "elsewhere", [Endpoint("192.0.2.1", 1001), Endpoint("192.0.2.2", 1000), Endpoint("::1", 1000)]
)
def test_a_cookie_is_for_one_address_and_one_port(
    checker: CookieChecker, generator: CookieGenerator, elsewhere: Endpoint
) -> None:
    generator.consume_reply(reply_to(checker, generator.add_macs(MESSAGE, 0), HOME, 0), 0)
    message = generator.add_macs(MESSAGE, 1)
    checker.check_mac2(message, HOME, 1)
    with pytest.raises(AuthenticationFailed):
        checker.check_mac2(message, elsewhere, 1)


def test_a_reply_is_for_the_latest_message_and_used_once(
    checker: CookieChecker, generator: CookieGenerator
) -> None:
    first = generator.add_macs(MESSAGE, 0)
    other = Initiation(8, b"x" * 32, b"s" * 48, b"t" * 28).to_bytes()
    generator.add_macs(other, 1)
    with pytest.raises(AuthenticationFailed):
        generator.consume_reply(reply_to(checker, first, HOME, 1), 1)
    reply = reply_to(checker, generator.add_macs(other, 2), HOME, 2)
    generator.consume_reply(reply, 2)
    with pytest.raises(AuthenticationFailed):
        generator.consume_reply(reply, 2)


def test_a_reply_nobody_asked_for_is_refused(generator: CookieGenerator) -> None:
    # Its key is made of a public key: eve can seal a cookie, but not over a mac1 that is not there.
    key, nonce = hash32(b"cookie--", BOB), bytes(24)
    with pytest.raises(AuthenticationFailed):
        generator.consume_reply(
            CookieReply(SENDER, nonce, xaead_seal(key, nonce, b"c" * 16, b"")), 0
        )
    assert generator.add_macs(MESSAGE, 0)[-16:] == bytes(16)


@pytest.mark.parametrize(
    ("source", "address"),
    [
        (Endpoint("192.0.2.1", 0x1234), "c00002011234"),
        (Endpoint("2001:db8::1", 0x0035), "20010db80000000000000000000000010035"),
    ],
)
def test_what_a_cookie_is_made_of(source: Endpoint, address: str) -> None:
    secret, nonce = bytes(range(32)), bytes(range(100, 124))
    entropy = {32: secret, 24: nonce}
    message = CookieGenerator(BOB).add_macs(MESSAGE, 0)
    reply = reply_to(CookieChecker(BOB, entropy.__getitem__), message, source, 0)
    key = blake2s(b"cookie--" + BOB).digest()
    cookie = xaead_open(key, nonce, reply.encrypted_cookie, message[-32:-16])
    assert reply.nonce == nonce
    assert cookie == blake2s(bytes.fromhex(address), key=secret, digest_size=16).digest()


def test_the_secret_changes_after_120_s_and_not_before() -> None:
    drawn: list[int] = []

    def entropy(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    checker = CookieChecker(BOB, entropy)
    secrets_drawn = []
    for now in (1000, 1000, 1119.9, 1120, 1239.9, 1240):
        drawn.clear()
        checker.create_reply(MESSAGE, HOME, now)
        secrets_drawn.append(drawn.count(32))
    assert secrets_drawn == [1, 0, 0, 1, 0, 1]


def test_a_forged_reply_is_refused(checker: CookieChecker, generator: CookieGenerator) -> None:
    reply = reply_to(checker, generator.add_macs(MESSAGE, 0), HOME, 0)
    forged = CookieReply(reply.receiver, reply.nonce, bytes(32))
    with pytest.raises(AuthenticationFailed):
        generator.consume_reply(forged, 0)
    generator.consume_reply(reply, 0)  # the forgery did not use the message up


def test_cookies_live_for_120_s(checker: CookieChecker, generator: CookieGenerator) -> None:
    generator.consume_reply(reply_to(checker, generator.add_macs(MESSAGE, 0), HOME, 0), 0)
    checker.check_mac2(generator.add_macs(MESSAGE, 119.9), HOME, 119.9)
    late = generator.add_macs(MESSAGE, 119.9)
    assert generator.add_macs(MESSAGE, 120)[-16:] == bytes(16)
    with pytest.raises(AuthenticationFailed):
        checker.check_mac2(late, HOME, 120)
    # A new secret: what was made under the old one is worthless.
    reply_to(checker, MESSAGE, HOME, 121)
    with pytest.raises(AuthenticationFailed):
        checker.check_mac2(late, HOME, 121)
