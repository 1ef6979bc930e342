# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The inner packet's addresses and length, whatever it says about itself."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fs_tunnel.proto.errors import MalformedMessage
from fs_tunnel.proto.ip import parse_inner_untrusted
from tests.proto.world import ipv4_packet

SOURCE, DESTINATION = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
SIX, OTHER_SIX = IPv6Address("fd00::1"), IPv6Address("fd00::2")


def ipv6_packet(payload: bytes) -> bytes:
    length = len(payload).to_bytes(2, "big")
    return b"\x60\0\0\0" + length + b"\x3b\x40" + SIX.packed + OTHER_SIX.packed + payload


@given(st.integers(0, 1460).map(bytes), st.integers(0, 15))
@example(bytes(0x1FF), 1)
def test_padding_is_told_from_the_packet(payload: bytes, padding: int) -> None:
    for packet, addresses in (
        (ipv4_packet(SOURCE, DESTINATION, payload), (SOURCE, DESTINATION)),
        (ipv6_packet(payload), (SIX, OTHER_SIX)),
    ):
        source, destination, length = parse_inner_untrusted(packet + bytes(padding))
        assert (source, destination) == tuple(address.packed for address in addresses)
        assert length == len(packet)


def test_a_v4_header_may_have_options() -> None:
    packet = b"\x4f\0\0\x3c" + bytes(8) + SOURCE.packed + DESTINATION.packed + bytes(40)
    assert parse_inner_untrusted(packet) == (SOURCE.packed, DESTINATION.packed, 60)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        b"\x45" + bytes(18),
        b"\x45" + bytes(19),  # a total length of 0
        b"\x44\0\0\x14" + bytes(16),  # a header shorter than any
        b"\x4f\0\0\x14" + bytes(16),  # a header longer than the packet
        b"\x45\0\0\x15" + bytes(16),  # one byte more than there is
        b"\x60" + bytes(38),
        b"\x60\0\0\0\0\1" + bytes(34),
        b"\x00" * 40,
        b"\x50" * 60,
    ],
)
def test_lies_are_refused(packet: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_inner_untrusted(packet)


@given(st.binary(max_size=100))
def test_only_our_own_error_escapes(packet: bytes) -> None:
    try:
        _, _, length = parse_inner_untrusted(packet)
    except MalformedMessage:
        return
    assert 20 <= length <= len(packet)
