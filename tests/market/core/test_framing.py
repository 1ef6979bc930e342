# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Messages on a stream arrive whole or are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.wire.framing import Unframer, frame
from fs_market.errors import MalformedMessage
from fs_wire.codec import MAX_BYTES


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.integers(1, 50))
def test_frames_are_cut_wherever_they_arrive_in_pieces(messages: list[bytes], size: int) -> None:
    stream = b"".join(map(frame, messages))
    unframer, found = Unframer(), []
    for at in range(0, len(stream), size):
        found += unframer.feed_untrusted(stream[at : at + size])
    assert found == messages


@pytest.mark.parametrize("length", [0, MAX_BYTES + 1, 0xFFFF])
def test_a_frame_of_no_possible_length_ends_the_stream(length: int) -> None:
    with pytest.raises(MalformedMessage, match="connect again"):
        Unframer().feed_untrusted(length.to_bytes(2, "big"))
