# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Timestamps order as times do, and tell little."""

from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.proto.tai64n import RESOLUTION_NS, stamp

times = st.integers(0, 2**40 * 10**9)


def test_the_epoch() -> None:
    # libtai: 1970-01-01 00:00:00 UTC was 2^62 + 10 in TAI.
    assert stamp(0).hex() == "400000000000000a00000000"
    assert stamp(10**9 - 1).hex() == "400000000000000a3b000000"


def test_a_day_in_2023() -> None:
    # 0x6553f100 is 1,700,000,000; 0x075bcd15 is 123,456,789, and its low 24 bits are not told.
    assert stamp(1_700_000_000_123_456_789).hex() == "400000006553f10a07000000"


@given(times, times)
def test_order(one: int, other: int) -> None:
    assert len(stamp(one)) == 12
    if one <= other:
        assert stamp(one) <= stamp(other)


@given(times)
def test_a_step_of_the_resolution_is_always_seen(moment: int) -> None:
    assert stamp(moment + RESOLUTION_NS) > stamp(moment)


@given(times)
def test_low_bits_are_hidden(moment: int) -> None:
    assert int.from_bytes(stamp(moment)[8:], "big") % RESOLUTION_NS == 0
