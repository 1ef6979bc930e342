"""MACs and cookies, on both sides: WireGuard paper, sections 5.4.4 and 5.4.7."""

import os

import pytest

from fs_tunnel.errors import AuthenticationFailed
from fs_tunnel.proto.cookie import CookieChecker, CookieGenerator
from fs_tunnel.proto.messages import CookieReply, Initiation, parse_untrusted
from fs_tunnel.types import Endpoint

BOB = bytes(range(32))
HOME = Endpoint("192.0.2.1", 1000)
MESSAGE = Initiation(7, b"e" * 32, b"s" * 48, b"t" * 28).to_bytes()


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
    assert reply.receiver == 7
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
    with pytest.raises(AuthenticationFailed):
        generator.consume_reply(CookieReply(7, bytes(24), bytes(32)), 0)


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
