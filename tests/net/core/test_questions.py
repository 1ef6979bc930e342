# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The questions between peers, as bytes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_net.core.matching import Order, Wishes
from fs_net.core.questions import (
    MAX_BYTES,
    MAX_FETCHED,
    MAX_FOUND,
    UNMEASURED,
    Compare,
    Compared,
    Declined,
    Deliver,
    Delivered,
    Fetch,
    Find,
    Found,
    Hit,
    Message,
    Told,
    declined,
    parse_untrusted,
    serialize,
)
from fs_net.core.records import MAX_SIGNED, Service
from fs_net.errors import Reason, Refused
from fs_wire.codec import encode

_WISHES = st.builds(
    Wishes,
    st.frozensets(st.binary(min_size=2, max_size=2), max_size=64),
    st.none() | st.integers(0, 2**90),
    st.none() | st.integers(0, 2**90),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([Service.EXIT, Service.RELAY, Service.EXIT | Service.RELAY]),
    st.frozensets(st.integers(0, 65535), max_size=32),
)
_MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Compare, st.binary()),
    st.builds(Compared, st.binary()),
    st.builds(Fetch, st.lists(st.binary(min_size=16, max_size=16), max_size=4).map(tuple)),
    st.builds(Told, st.binary()),
    st.builds(Deliver, st.binary()),
    st.lists(st.none() | st.sampled_from(Reason)).map(Delivered.of),
    st.builds(Find.of, _WISHES, st.integers(0, 65535), st.sampled_from(Order)),
    st.builds(
        Found,
        st.lists(
            st.builds(Hit, st.binary(), st.binary(), st.integers(0, UNMEASURED)), max_size=4
        ).map(tuple),
        st.integers(0, 2**32 - 1),
    ),
    st.sampled_from(Reason).map(declined),
)


@given(_MESSAGES)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert parse_untrusted(serialize(message)) == message


@given(_WISHES, st.sampled_from(Order))
def test_wishes_come_back_as_they_were(wishes: Wishes, order: Order) -> None:
    found = Find.of(wishes, order=order)
    assert (found.wishes, found.order) == (wishes, order)


def test_an_order_of_a_later_version_is_the_usual_one() -> None:
    assert replace(Find.of(Wishes()), ranking=999).order is Order.BEST


@given(st.lists(st.none() | st.sampled_from(Reason)))
def test_reasons_come_back_as_they_were(reasons: list[Reason | None]) -> None:
    assert Delivered.of(reasons).reasons == reasons


def test_a_reason_of_a_later_version_is_a_refusal_all_the_same() -> None:
    assert Delivered((0, 999)).reasons == [None, Reason.MALFORMED]


def test_the_largest_answer_fits() -> None:
    hit = Hit(bytes(MAX_SIGNED), bytes(MAX_SIGNED), 0)
    assert len(serialize(Found((hit,) * MAX_FOUND, 2**32 - 1))) < MAX_BYTES
    with pytest.raises(Refused):
        parse_untrusted(serialize(Fetch((bytes(16),) * (MAX_FETCHED + 1))))


@given(st.binary(max_size=64))
def test_other_bytes_are_refused(data: bytes) -> None:
    try:
        message = parse_untrusted(data)
    except Refused:
        return
    assert serialize(message) == data


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], Reason.MALFORMED),
        (0, Reason.MALFORMED),
        ([2, 0, b""], Reason.VERSION),
        ([1, 99, b""], Reason.MALFORMED),
        ([1, True, b""], Reason.MALFORMED),
        ([1, 0], Reason.MALFORMED),
        ([1, 0, b"", 0], Reason.MALFORMED),
    ],
)
def test_a_refusal_has_its_reason(value: object, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        parse_untrusted(encode(value))  # type: ignore[arg-type]
    assert refused.value.reason is reason


def test_what_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(Refused) as refused:
        parse_untrusted(bytes(MAX_BYTES + 1))
    assert refused.value.reason is Reason.OVERSIZED
    with pytest.raises(ValueError, match="bytes"):
        serialize(Found((Hit(bytes(9000), b"", 0),) * 8, 0))


def test_declining_names_a_reason() -> None:
    message = parse_untrusted(serialize(declined(Reason.RATE_LIMITED)))
    assert message == Declined(1 + list(Reason).index(Reason.RATE_LIMITED))
