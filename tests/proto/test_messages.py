# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Sizes, layout, and what is refused: WireGuard paper, section 5.4."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fs_tunnel.proto.errors import MalformedMessage
from fs_tunnel.proto.messages import (
    CookieReply,
    Initiation,
    Response,
    TransportHeader,
    parse_untrusted,
    transport_header,
)

INITIATION = Initiation(0x04030201, b"e" * 32, b"s" * 48, b"t" * 28, b"1" * 16, b"2" * 16)
RESPONSE = Response(0x04030201, 0x08070605, b"e" * 32, b"n" * 16, b"1" * 16, b"2" * 16)
COOKIE_REPLY = CookieReply(0x04030201, b"n" * 24, b"c" * 32)


def test_layout() -> None:
    assert INITIATION.to_bytes() == (
        b"\1\0\0\0\1\2\3\4" + b"e" * 32 + b"s" * 48 + b"t" * 28 + b"1" * 16 + b"2" * 16
    )
    assert RESPONSE.to_bytes() == (
        b"\2\0\0\0\1\2\3\4\5\6\7\x08" + b"e" * 32 + b"n" * 16 + b"1" * 16 + b"2" * 16
    )
    assert COOKIE_REPLY.to_bytes() == b"\3\0\0\0\1\2\3\4" + b"n" * 24 + b"c" * 32
    assert transport_header(0x04030201, 5) == b"\4\0\0\0\1\2\3\4\5\0\0\0\0\0\0\0"


@pytest.mark.parametrize("message", [INITIATION, RESPONSE, COOKIE_REPLY])
def test_round_trip_and_no_other_length(message: Initiation | Response | CookieReply) -> None:
    data = message.to_bytes()
    assert parse_untrusted(data) == message
    for wrong in (data[:-1], data + b"\0", data[:4], b""):
        with pytest.raises(MalformedMessage):
            parse_untrusted(wrong)


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("data", [m.to_bytes() for m in (INITIATION, RESPONSE, COOKIE_REPLY)])
def test_reserved_bytes_are_zero(data: bytes, at: int) -> None:
    changed = bytearray(data)
    changed[at] = 1
    with pytest.raises(MalformedMessage):
        parse_untrusted(bytes(changed))


def test_a_transport_message_holds_at_least_a_tag() -> None:
    header = transport_header(7, 2**64 - 1)
    assert parse_untrusted(header + bytes(16)) == TransportHeader(7, 2**64 - 1)
    with pytest.raises(MalformedMessage):
        parse_untrusted(header + bytes(15))


def test_macs_are_zero_until_they_are_made() -> None:
    initiation = Initiation(1, b"e" * 32, b"s" * 48, b"t" * 28)
    response = Response(1, 2, b"e" * 32, b"n" * 16)
    for message in (initiation, response):
        assert message.mac1 == message.mac2 == bytes(16)
        assert message.to_bytes()[-32:] == bytes(32)


# Bytes at large would hardly ever pass the first check.
heads = st.sampled_from([bytes([kind, 0, 0, 0]) for kind in range(6)])
rests = st.sampled_from((148, 92, 64, 32, 16, 31)).flatmap(
    lambda size: st.binary(min_size=size - 4, max_size=size - 4)
)


@given(st.one_of(st.binary(max_size=300), st.builds(bytes.__add__, heads, rests)))
@example(transport_header(7, 9) + bytes(16))
def test_only_our_own_error_escapes(data: bytes) -> None:
    try:
        message = parse_untrusted(data)
    except MalformedMessage:
        return
    assert data.startswith(message.to_bytes())
