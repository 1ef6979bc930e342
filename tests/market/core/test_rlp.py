# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""RLP is what the library of this name makes, and what Ethereum's own examples say."""

import pytest
import rlp as library
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.wire.rlp import Item, encode

ITEMS = st.recursive(
    st.integers(0, 2**256) | st.binary(max_size=70), lambda inner: st.lists(inner, max_size=8)
)
LOREM = (
    "4c6f72656d20697073756d20646f6c6f722073697420616d65742c20"
    "636f6e7365637465747572206164697069736963696e6720656c6974"
)


@given(ITEMS)
def test_it_is_what_the_library_makes(item: Item) -> None:
    assert encode(item) == library.encode(item)


# https://ethereum.org/en/developers/docs/data-structures-and-encoding/rlp/
@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        (b"", "80"),
        (0, "80"),
        ([], "c0"),
        (15, "0f"),
        (1024, "820400"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (b"Lorem ipsum dolor sit amet, consectetur adipisicing elit", f"b838{LOREM}"),
    ],
)
def test_the_examples_of_ethereum(item: Item, encoded: str) -> None:
    assert encode(item).hex() == encoded


def test_a_negative_number_has_no_encoding() -> None:
    with pytest.raises(OverflowError):
        encode(-1)
