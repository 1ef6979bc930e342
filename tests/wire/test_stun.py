# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""STUN's Binding: the vectors of RFC 5769, sizes, and what is no message."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.proto.errors import MalformedMessage
from fs_tunnel.proto.messages import parse_untrusted
from fs_wire import stun
from fs_wire.errors import Malformed
from fs_wire.types import Endpoint

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
# RFC 5769, sections 2.2 and 2.3, with their MESSAGE-INTEGRITY and FINGERPRINT.
ANSWER_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
ANSWER_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
ENDPOINTS = st.builds(
    Endpoint,
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str),
    st.integers(1, 65535),
)
TRANSACTIONS = st.binary(min_size=12, max_size=12)


def test_the_vectors_of_rfc_5769() -> None:
    v4, v6 = stun.parse_answer_untrusted(ANSWER_V4), stun.parse_answer_untrusted(ANSWER_V6)
    assert v4 == (TRANSACTION, Endpoint(str(IPv4Address("192.0.2.1")), 32853))
    address = str(IPv6Address("2001:db8:1234:5678:11:2233:4455:6677"))
    assert v6 == (TRANSACTION, Endpoint(address, 32853))


@given(TRANSACTIONS, ENDPOINTS)
def test_an_answer_says_what_was_seen_and_is_no_larger_than_its_request(
    transaction: bytes, seen: Endpoint
) -> None:
    request, answer = stun.request(transaction), stun.answer(transaction, seen)
    assert stun.parse_request_untrusted(request) == transaction
    assert stun.parse_answer_untrusted(answer) == (transaction, seen)
    assert len(answer) <= len(request) == stun.REQUEST_LEN


def test_a_small_request_has_no_answer() -> None:
    """20 bytes would fetch 32: a server that answered would be an amplifier."""
    small = b"\x00\x01\x00\x00" + stun.request(TRANSACTION)[4:20]
    with pytest.raises(Malformed, match="shorter"):
        stun.parse_request_untrusted(small)


@given(TRANSACTIONS, ENDPOINTS)
def test_wireguard_takes_none_of_it_for_its_own(transaction: bytes, seen: Endpoint) -> None:
    answer = stun.answer(transaction, seen)
    assert stun.is_answer(answer)
    with pytest.raises(MalformedMessage):
        parse_untrusted(answer)


@given(st.binary(max_size=600))
def test_rubbish_is_malformed(data: bytes) -> None:
    for parse in (stun.parse_request_untrusted, stun.parse_answer_untrusted):
        with pytest.raises(Malformed):
            parse(data)


@given(st.data(), st.sampled_from([ANSWER_V4, ANSWER_V6, stun.request(TRANSACTION)]))
def test_what_was_changed_is_parsed_or_malformed(data: st.DataObject, message: bytes) -> None:
    position = data.draw(st.integers(0, len(message) - 1))
    changed = bytearray(message[: data.draw(st.integers(1, len(message)))])
    changed[min(position, len(changed) - 1)] = data.draw(st.integers(0, 255))
    for parse in (stun.parse_request_untrusted, stun.parse_answer_untrusted):
        try:
            parse(bytes(changed))
        except Malformed:
            continue
