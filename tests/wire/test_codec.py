# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""One byte string per meaning, and everything else refused."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_wire.codec import MAX_BYTES, decode_untrusted, encode
from fs_wire.errors import Malformed

values = st.recursive(
    st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.booleans(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def depth(value: object) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(values.filter(lambda value: depth(value) <= 4))
def test_what_is_encoded_is_decoded(value: list[int]) -> None:
    assert decode_untrusted(encode(value)) == value


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not CBOR"),
        (b"\x01\x01", "canonical"),  # something follows
        (b"\x18\x01", "canonical"),  # 1 in two bytes
        (b"\x1b\x00\x00\x00\x00\x00\x00\x00\x01", "canonical"),
        (b"\x58\x01a", "canonical"),  # a length in two bytes
        (b"\x9f\x01\xff", "not CBOR"),  # of indefinite length
        (b"\x5f\x41a\xff", "not CBOR"),
        (b"\x61a", "of type str"),
        (b"\xa0", "of type dict"),
        (b"\xf6", "of type NoneType"),
        (b"\xf7", "of type"),
        (b"\xf9\x3c\x00", "of type float"),
        (b"\xe0", "of type"),
        (b"\x81\xf4\xf4", "canonical"),
        (b"\x81" * 5 + b"\x01", "depth"),
        (b"\xc2\x41\x01", "tags"),  # a bignum
        (b"\xd8\x23\x61(", "tags"),  # a regular expression
        (b"\xd9\xd9\xf7\x01", "tags"),
        (b"\xd8\x1c\x80", "tags"),  # something to be shared
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "not CBOR"),
        (b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "not CBOR"),
        (bytes(MAX_BYTES + 1), "at most 4096"),
    ],
)
def test_what_is_not_canonical_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode_untrusted(data)


@given(st.binary(max_size=100))
def test_any_bytes_are_canonical_or_refused(data: bytes) -> None:
    try:
        value = decode_untrusted(data)
    except Malformed:
        return
    assert encode(value) == cbor2.dumps(value, canonical=True) == data
